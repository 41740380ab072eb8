"""What the author of a plug-in reads when it fails: file and line of theirs, and what was expected.

All faulty optimizers of a framework stand in one file and run in one sweep."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gradrace import UserError
from gradrace.cli import app
from gradrace.record import RunRecord
from tiny import planned, swept, toml
from typer.testing import CliRunner

HEAD = """
import numpy as np
from gradrace import Binding, Hyper, Optimizer, ReferenceRule

def zeros(p, hyper):
    return {"m": np.zeros_like(p)}

def rule(p, g, state, lr, t, hyper):
    return p - lr * g, state

def optimizer(name, target=None, framework="torch", update=rule, hyper={}):
    bindings = {framework: Binding(target)} if target else {}
    return Optimizer(name=name, title=name, paper="-", learning_rate=0.01, hyper=hyper,
                     bindings=bindings, rule=ReferenceRule(init=zeros, update=update))
"""
NUMPY = """
def {name}(p, g, state, lr, t, hyper):
    {body}
{name}_optimizer = optimizer("{name}", update={name})
"""
TORCH = """
def {name}():
    import torch
    class Mine(torch.optim.Optimizer):
        {init}
            super().__init__(params, {{"lr": 0.1}})
            self.steps = 0
        @torch.no_grad()
        def step(self, closure=None):
            self.steps += 1
            for group in self.param_groups:
                for p in group["params"]:
                    {body}
    return Mine
{name}_optimizer = optimizer("{name}", {name}, hyper={hyper})
"""
JAX = """
def {name}():
    import jax
    import jax.numpy as jnp
    import optax
    {init}
        def update(updates, state, params=None):
            {body}
        return {hyper}
    return make
{name}_optimizer = optimizer("{name}", {name}, "jax")
"""
KERAS = """
def {name}():
    import keras
    class Mine(keras.optimizers.Optimizer):
        {init}
            super().__init__(learning_rate=0.1, **kwargs)
        def update_step(self, gradient, variable, learning_rate):
            {body}
    return Mine
{name}_optimizer = optimizer("{name}", {name}, "tensorflow", hyper={hyper})
"""
AT_INIT, AT_BODY = "  # INIT", "  # BODY"
TORCH_INIT = "def __init__(self, params, lr):"
KERAS_INIT = "def __init__(self, learning_rate, **kwargs):"
JAX_INIT = "def make(learning_rate):"
NO_HYPER, OPTAX = "{}", "optax.GradientTransformation(lambda p: optax.EmptyState(), update)"
BETA = '{"beta": Hyper(0.9, "-")}'
PAIR = "jax.tree.map(jnp.sign, updates), state"
KERNEL = "(for 0_dense.kernel, step 1)"

Case = tuple[str, str, str, str, str]
# name; where; __init__ or factory; body; hyperparameters, or what the factory returns; the message.
CASES: dict[str, list[tuple[Case, str]]] = {
    "numpy": [
        (("nothing", "def", "", "pass", ""), "must return (new parameter, new state), not None"),
        (("shape", "def", "", "return p[:1], state", ""), "an array of shape [64, 128], not an"),
        (("float32", "def", "", "return p.astype('f4'), state", ""), f"not float32 {KERNEL}"),
        (("in_place", "body", "", "p -= g; return p, state", ""), "changes an argument in place"),
        (("no_key", "body", "", "return p - state['v'], state", ""), f"KeyError: 'v' {KERNEL}"),
        (("no_hyper", "body", "", "return p * hyper['b'], state", ""), f"KeyError: 'b' {KERNEL}"),
        (
            ("third", "body", "", "return (p if t < 3 else 1 / 0), state", ""),
            "ZeroDivisionError: division by zero (for 0_dense.kernel, step 3)",
        ),
    ],
    "torch": [
        (
            ("rate", "init", "def __init__(self, params, learning_rate):", "pass", NO_HYPER),
            "Mine: missing a required argument: 'learning_rate'; it is given lr: torch classes take"
            " the learning rate as `lr`",
        ),
        (
            ("hyper", "init", TORCH_INIT, "pass", BETA),
            "Mine: got an unexpected keyword argument 'beta'; it is given lr and beta",
        ),
        (
            ("wanted", "init", "def __init__(self, params, lr, momentum):", "pass", NO_HYPER),
            "missing a required argument: 'momentum'; it is given lr",
        ),
        (
            ("third", "body", TORCH_INIT, "assert self.steps < 3, 'not three'", NO_HYPER),
            "AssertionError: not three",
        ),
        (
            ("shape", "body", TORCH_INIT, "p.add_(p.grad.repeat(3, 7))", NO_HYPER),
            "RuntimeError: The size of tensor a",
        ),
        (("key", "body", TORCH_INIT, "self.state[p]['m'] += 1", NO_HYPER), "KeyError: 'm'"),
    ],
    "jax": [
        (
            ("rate", "init", "def make(lr):", f"return {PAIR}", OPTAX),
            "make: missing a required argument: 'lr'; it is given learning_rate: factories of Optax"
            " take the learning rate as `learning_rate`",
        ),
        (
            ("kind", "init", JAX_INIT, f"return {PAIR}", "update"),
            "make: it returns a function; expected an optax.GradientTransformation",
        ),
        (
            ("pair", "init", JAX_INIT, "return updates", OPTAX),
            "its update returns a dict; expected (updates, new state)",
        ),
        (
            (
                *("shape", "init", JAX_INIT),
                *("return jax.tree.map(jnp.sum, updates), state", OPTAX),
            ),
            "its update gives the shape [] for 0_dense.bias; expected [128]",
        ),
        (
            (
                *("traced", "body", JAX_INIT),
                *("assert updates['0_dense.bias'].sum() > 0", OPTAX),
            ),
            "TracerBoolConversionError: Attempted boolean conversion of traced array",
        ),
        (
            ("array", "body", JAX_INIT, "np.asarray(updates['0_dense.bias'])", OPTAX),
            "TracerArrayConversionError:",
        ),
    ],
    "tensorflow": [
        (
            ("rate", "init", "def __init__(self, lr, **kwargs):", "pass", NO_HYPER),
            "Mine: missing a required argument: 'lr'; it is given learning_rate: Keras classes take"
            " the learning rate as `learning_rate`",
        ),
        (
            ("hyper", "body", KERAS_INIT, "variable.assign_sub(self.beta)", NO_HYPER),
            "AttributeError: 'Mine' object has no attribute 'beta'",
        ),
        (
            ("shape", "body", KERAS_INIT, "variable.assign_sub(gradient[:1])", NO_HYPER),
            "ValueError: Dimension 0 in both shapes must be equal, but are 64 and 1",
        ),
    ],
}
FORMS = {"numpy": NUMPY, "torch": TORCH, "jax": JAX, "tensorflow": KERAS}


def text_of(framework: str) -> str:
    parts = [HEAD]
    for (name, _, init, body, hyper), _ in CASES[framework]:
        made = {"init": init + AT_INIT + name, "body": body + AT_BODY + name, "hyper": hyper}
        parts.append(FORMS[framework].format(name=name, **made))
    return "".join(parts)


def line_of(text: str, name: str, where: str) -> int:
    sought = {"def": f"def {name}(", "init": AT_INIT + name, "body": AT_BODY + name}[where]
    return next(n for n, line in enumerate(text.splitlines(), 1) if sought in line)


@pytest.fixture(scope="module", params=list(CASES))
def failed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, dict[str, RunRecord]]:
    """The framework, the file's text, and the record of each optimizer."""
    framework = request.param
    module = {"numpy": "numpy", "tensorflow": "keras", "torch": "torch", "jax": "optax"}[framework]
    pytest.importorskip(module)
    folder = tmp_path_factory.mktemp(framework)
    text = text_of(framework)
    (folder / "mine.py").write_text(text)
    _, frames = swept(
        folder / "results",
        [folder / "mine.py"],
        frameworks=[framework],
        optimizers=[name for (name, *_), _ in CASES[framework]],
        seeds=1,
        dtype="float64" if framework == "numpy" else "float32",
    )
    return framework, text, {each.spec.optimizer.name: each for each in frames.records.values()}


def test_the_message_names_line_and_fault(failed):
    framework, text, records = failed
    for (name, where, *_), said in CASES[framework]:
        record = records[name]
        assert record.status == "failed", name
        place = f"mine.py, line {line_of(text, name, where)}: "
        assert place in record.reason and said in record.reason, (name, record.reason)
        assert record.reason.count(", line ") == 1 or framework == "jax"


LOADED = [
    ("", "mine.py: defines no gradrace.Optimizer"),
    ("x = (\n", "mine.py, line 1: '(' was never closed"),
    ("\nx = 1 / 0\n", "mine.py, line 2: ZeroDivisionError: division by zero"),
    (HEAD + "o = optimizer('a', hyper={'b': 1.0})", "optimizer a: hyper['b']: expected Hyper, not"),
    (
        HEAD + "def few(p, g): pass\no = optimizer('a', update=few)",
        "rule.update: expected a function of 6 arguments, not few(p, g) (mine.py, line 15)",
    ),
    (HEAD + "o = Optimizer(nam='a')", "mine.py, line 15: TypeError: Optimizer.__init__() got an"),
    (
        "from gradrace import Schedule\nS = Schedule(name='mine', summary='', function=lambda t, n:"
        " float('nan'))",
        "mine.py, line 2: schedule mine: step 0 of 20: the factor is nan; expected a finite number",
    ),
    (
        "from gradrace import DataSet, TaskSpec, Dense\nimport numpy as np\n"
        "DATA = DataSet(name='mine', load=lambda: (np.ones((9, 4)), np.ones(8)))\n"
        "TASK = TaskSpec(name='mine', title='', data='mine', input_shape=(4,), batch_size=2,"
        " model=(Dense(units=2),), steps=2, eval_every=1, target=0.5, target_origin='-')",
        "data set mine: x has 9 rows, y has 8",
    ),
]


@pytest.mark.parametrize(("text", "said"), LOADED)
def test_a_file_that_cannot_be_taken_says_why(tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(text)
    mine = {"schedules": ["mine"]} if "Schedule(" in text else {}
    mine |= {"tasks": ["mine"]} if "TaskSpec(" in text else {}
    with pytest.raises(UserError, match=re.escape(said)):
        planned(tmp_path / "results", [Path("mine.py")], **mine)


def test_a_quiet_run_says_each_reason_once(tmp_path, monkeypatch):
    """Also of skipped runs, if nothing else was measured."""
    monkeypatch.chdir(tmp_path)
    body = "def {0}(p, g, state, lr, t, hyper):\n    return p * hyper[{1}], state\n"
    Path("mine.py").write_text(
        HEAD + body.format("bad", "str(t) + str(p.sum())") + 'o = optimizer("bad", update=bad)\n'
    )
    run = ["--no-report", "--no-verify", "-q", "--load", "mine.py"]
    for dtype, said in (("float64", "KeyError: '1"), ("bfloat16", "float64")):
        content = {"title": "t", "tasks": ["digits_mlp"], "frameworks": ["numpy"], "seeds": 2}
        Path("s.toml").write_text(
            toml(content | {"optimizers": ["bad"], "dtype": dtype, "steps": 4, "timing": False})
        )
        done = CliRunner().invoke(app, ["run", "s.toml", "-o", dtype, *run])
        (line,) = [each for each in done.output.splitlines() if each.startswith("2 runs ")]
        assert said in line and line.count("KeyError") <= 1

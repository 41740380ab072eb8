"""Users' files: checked by field, prints and errors kept in place, missing packages skipped."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gradrace import Binding, Hyper, Optimizer, ReferenceRule, sweep
from gradrace.adapters.numpy.optimizer import CheckedRule
from gradrace.binding import _import, bind
from gradrace.errors import UserError
from gradrace.optimizer import HyperCorrection, Range, SearchSpace
from gradrace.plugins.absent import missing_package
from gradrace.plugins.declared import check_optimizer, check_task
from gradrace.plugins.executed import plugin_module
from gradrace.registry import Framework, import_adapter, load_registry
from gradrace.suite import make_suite
from gradrace.sweep.store import read_records
from tiny import TINY

HEAD = "from gradrace import Binding, Hyper, Optimizer, ReferenceRule\n"
FINE = Optimizer(
    name="mine",
    title="Mine",
    paper="-",
    learning_rate=0.1,
    hyper={"beta": Hyper(0.9, "decay", high=1.0)},
    bindings={"torch": Binding("torch.optim.SGD")},
    rule=ReferenceRule(lambda p, h: {}, lambda p, g, s, lr, t, h: (p, s)),
    space=SearchSpace({"beta": Range(0.1, 0.9)}, "here"),
)
TORCH = Binding("torch.optim.SGD")


def hyper(**fields):
    return {"hyper": {"beta": replace(FINE.hyper["beta"], **fields)}}


def binding(target="torch.optim.SGD", **fields):
    return {"bindings": {"torch": Binding(target, **fields)}}


def corrected(argument, values):
    return binding(corrections=(HyperCorrection("a", "b", argument, values),))


def rule(**fields):
    return {"rule": replace(FINE.rule, **fields)}


def space(**ranges):
    return {"space": SearchSpace(ranges, "here")}


WRONG_FIELDS = [
    *(({"name": w}, "name: expected letters") for w in (3, "a b", "x\n", "", "a" * 81)),
    ({"title": None}, "title: expected text, not None"),
    ({"paper": 7}, "paper: expected text"),
    ({"note": b"x"}, "note: expected text"),
    ({"learning_rate": True}, "learning_rate: expected a finite number above 0, not True"),
    *(
        ({"learning_rate": wrong}, "learning_rate: expected a finite number above 0")
        for wrong in ("0.1", 0, -1.0, float("nan"), float("inf"), np.float32(0.1))
    ),
    ({"hyper": None}, "hyper: expected a dict from names to Hyper, not None"),
    ({"hyper": [("beta", 1)]}, "hyper: expected a dict"),
    ({"hyper": {"beta": 0.9}}, "hyper['beta']: expected Hyper, not 0.9"),
    ({"hyper": {1: Hyper(0.9, "decay")}}, "hyper: the name 1"),
    ({"hyper": {"a b": Hyper(0.9, "decay")}}, "hyper: the name 'a b'"),
    (hyper(default="0.9"), "hyper['beta'].default: expected a finite number"),
    (hyper(default=True), "hyper['beta'].default: expected a finite number"),
    (hyper(default=float("nan")), "hyper['beta'].default: expected a finite number"),
    (hyper(default=2.0), "hyper['beta'].default: 2 is outside [0, 1]"),
    (hyper(meaning=1), "hyper['beta'].meaning: expected text"),
    (hyper(low="0"), "hyper['beta'].low: expected a number"),
    (hyper(high=None), "hyper['beta'].high: expected a number"),
    ({"bindings": None}, "bindings: expected a dict from names to Binding"),
    ({"bindings": {"torch": "torch.optim.SGD"}}, "bindings['torch']: expected Binding"),
    ({"bindings": {3: TORCH}}, "bindings: the name 3"),
    *(
        (binding(wrong), "bindings['torch'].target: expected a dotted path")
        for wrong in ("SGD", "torch.optim.SGD()", "", 3)
    ),
    (binding(lambda params, lr: None), "bindings['torch'].target: expected a dotted path such as"),
    (binding(canonical={"beta": 1}), "bindings['torch'].canonical: expected a function"),
    (binding(canonical=lambda: {}), "bindings['torch'].canonical: expected a function"),
    (binding(native=("beta",)), "bindings['torch'].native: expected a dict"),
    (binding(native={1: 2}), "bindings['torch'].native: the name 1"),
    (binding(corrections=3), "bindings['torch'].corrections: expected a tuple"),
    (binding(corrections=("x",)), "['torch'].corrections: an entry: expected HyperCorrection"),
    (corrected(3, lambda h, n: n), "corrections: argument: expected text"),
    (corrected("c", lambda: 0), "corrections: values: expected a function of 2"),
    (binding(native_target="SGD"), "bindings['torch'].native_target: expected a dotted path"),
    (binding(evaluation=len), "bindings['torch'].evaluation: expected a dotted path"),
    (binding(matrices_only=1), "bindings['torch'].matrices_only: expected True or False, not 1"),
    (binding(requires="lion-pytorch"), "bindings['torch'].requires: expected a tuple of names"),
    (binding(requires=("lion pytorch",)), "bindings['torch'].requires: expected a tuple of names"),
    (binding(asks_for_loss="yes"), "bindings['torch'].asks_for_loss: expected True or False"),
    ({"rule": lambda p, g: p}, "rule: expected a ReferenceRule or None"),
    (rule(init={}), "rule.init: expected a function of 2 arguments"),
    (rule(update=lambda p, g: p), "rule.update: expected a function of 6 arguments"),
    (rule(evaluation=3), "rule.evaluation: expected a function of 3 arguments"),
    (rule(joint=1), "rule.joint: expected True or False"),
    ({"differs": "no"}, "differs: expected a dict from names to text"),
    ({"differs": {"torch": None}}, "differs['torch']: expected text"),
    ({"imprecise": {"torch": 3}}, "imprecise['torch']: expected text"),
    ({"per_tensor": 1}, "per_tensor: expected True or False"),
    ({"full_batch": None}, "full_batch: expected True or False"),
    ({"space": {"beta": (0, 1)}}, "space: expected a SearchSpace or None"),
    ({"space": SearchSpace({"beta": Range(0.1, 0.9)}, 3)}, "space.source: expected text"),
    ({"space": SearchSpace([], "here")}, "space.ranges: expected a dict"),
    (space(beta=(0.1, 0.9)), "space.ranges['beta']: expected Range"),
    (space(beta=Range("0", 1)), "space.ranges['beta'].low: expected a finite number"),
    (space(beta=Range(0.1, 0.9, log=1)), "space.ranges['beta'].log: expected True or False"),
    (space(bet=Range(0.1, 0.9)), "no hyperparameter 'bet' (did you mean 'beta'?)"),
    (space(beta=Range(0.9, 0.1)), "0.9..0.1 is reversed"),
    (space(beta=Range(0.1, 2.0)), "leaves what it takes"),
]


@pytest.mark.parametrize(
    ("fields", "message"), WRONG_FIELDS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_wrong_field_is_named(fields, message):
    with pytest.raises(UserError) as caught:
        check_optimizer(replace(FINE, **fields))
    text = str(caught.value)
    assert message in text and "\n" not in text and len(text) < 300
    assert caught.value.exit_code == 2


def test_sound_declarations_pass(registry):
    check_optimizer(FINE)
    check_optimizer(replace(FINE, bindings={}, hyper={}, rule=None, space=None))
    check_optimizer(replace(FINE, bindings={"torch": Binding(lambda: None)}))
    for optimizer in registry.optimizers.values():
        check_optimizer(optimizer)
    for task in registry.tasks.values():
        check_task(task)


def load(folder: Path, text: str, name: str = "mine.py"):
    (folder / name).write_text(text)
    return load_registry([folder / name])


def mine(**fields: str) -> str:
    """A user's file with some fields of its optimizer as Python text."""
    usual = {"name": "'mine'", "title": "'Mine'", "paper": "'-'", "learning_rate": "0.1"}
    fields = {**usual, "hyper": "{}", "bindings": "{}", **fields}
    return f"{HEAD}MINE = Optimizer({', '.join(f'{k}={v}' for k, v in fields.items())})\n"


def a_task(data: str = "digits", units: int = 10, more: str = "") -> str:
    return f"""from gradrace.layers import Dense
from gradrace.spec import TaskSpec
TASK = TaskSpec(name='t', title='T', data='{data}', model=(Dense(units={units}),),
    input_shape=(64,), batch_size=8, steps=4, eval_every=2, target=0.5, target_origin='x'){more}
"""


RATE = "mine.py: optimizer mine: learning_rate: expected a finite number above 0, not 'x'"
NEGATIVE = "line 3: Dense: units: expected a number greater than 0, not -1"
MISSING = "line 2: not installed: not_there_at_all (pip install not_there_at_all)"
UNREADABLE = "class Mine(Exception):\n    def __str__(self): raise ValueError\nraise Mine()\n"
WRONG_FILES = {
    "a field": (mine(learning_rate="'x'"), RATE),
    "a near framework": (
        mine(bindings="{'pytorch': Binding('torch.optim.SGD')}"),
        "no framework 'pytorch' (did you mean 'torch'?)",
    ),
    "no such framework": (
        mine(bindings="{'mxnet': Binding('mxnet.SGD')}"),
        "no framework 'mxnet' (known: ",
    ),
    "differs of none": (
        mine(differs="{'jaxx': 'no'}"),
        "differs: no framework 'jaxx' (did you mean 'jax'?)",
    ),
    "an unknown argument": (
        mine(learning="1"),
        "line 2: TypeError: Optimizer.__init__() got an unexpected keyword",
    ),
    "a task": (a_task(units=-1), NEGATIVE),
    "a replaced task": (
        a_task(more=".model_copy(update={'steps': -1})"),
        "task t: steps: expected",
    ),
    "a task's data": (a_task("digit"), "task t: no data set 'digit' (did you mean 'digits'?)"),
    "nothing": (
        "x = 1\n",
        "defines no gradrace.Optimizer, gradrace.TaskSpec, gradrace.Schedule or gradrace.DataSet",
    ),
    "syntax": ("x = (\n", "line 1: '(' was never closed"),
    "a package": ("import os\nimport not_there_at_all.deep\n", MISSING),
    "a module of a package": (
        "import json.nothing\n",
        "line 1: ModuleNotFoundError: No module named 'json.nothing'",
    ),
    "sys.exit": ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
    "quit": ("raise SystemExit\n", "line 1: SystemExit"),
    "GeneratorExit": ("raise GeneratorExit\n", "line 1: GeneratorExit"),
    "its own BaseException": (
        "class Mine(BaseException): pass\nraise Mine('no')\n",
        "line 2: Mine: no",
    ),
    "no text": (UNREADABLE, "line 3: Mine: it has no text"),
    "many lines": ("raise ValueError('one\\ntwo')\n", "line 1: ValueError: one"),
    "recursion": ("def f(): f()\nf()\n", "RecursionError"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_wrong_file_is_one_line(tmp_path, case):
    text, message = WRONG_FILES[case]
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    assert message in str(caught.value), str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "mine.py"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("case", ["a package", "sys.exit", "syntax", "an unknown argument"])
def test_lines_are_told_of_files_with_relative_names(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    text, message = WRONG_FILES[case]
    Path("mine.py").write_text(text)
    with pytest.raises(UserError) as caught:
        load_registry([Path("mine.py")])
    assert str(caught.value).startswith("mine.py") and message in str(caught.value)
    Path("mine.py").write_bytes(b"x = 1\n\0")
    with pytest.raises(UserError, match=r"^mine\.py.*null bytes"):
        load_registry([Path("mine.py")])


def test_a_file_that_is_named_twice_is_loaded_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(mine())
    names = [Path("mine.py"), Path("./mine.py"), tmp_path / "mine.py"]
    assert load_registry(names).loaded["optimizers"] == ("mine",)


def test_two_files_of_one_name_are_two_modules(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(mine(name=f"'mine_{folder}'"))
    files = [tmp_path / folder / "mine.py" for folder in ("a", "b")]
    assert load_registry(files).loaded["optimizers"] == ("mine_a", "mine_b")
    modules = [plugin_module(file) for file in files]
    assert [module.MINE.name for module in modules] == ["mine_a", "mine_b"]


def test_ctrl_c_while_a_file_is_loaded_is_an_interrupt(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path, "raise KeyboardInterrupt\n")


def test_a_framework_of_ones_own_may_be_bound(tmp_path):
    (tmp_path / "adapter.py").write_text(ADAPTER)
    (tmp_path / "mine.py").write_text(mine(bindings="{'own': Binding('own.SGD')}"))
    for order in (["mine.py", "adapter.py"], ["adapter.py", "mine.py"]):
        assert "own" in load_registry([tmp_path / name for name in order]).frameworks


ADAPTER = """FRAMEWORK = "own"
TITLE = "Own"
REQUIRES = ("numpy",)
MODES = ("a", "b")
CONVERGENCE_MODE = "a"
"""
NAME, LITERAL = 'FRAMEWORK = "own"', "line 1: FRAMEWORK must be written as a literal"
WRONG_LITERALS = [
    (NAME, 'FRAMEWORK = "o" + "wn"', LITERAL),
    (NAME, "FRAMEWORK = name()", LITERAL),
    (NAME, "FRAMEWORK = None", LITERAL),
    (f'{NAME}\nTITLE = "Own"', 'FRAMEWORK, TITLE = "own", "Own"', LITERAL),
    (NAME, 'FRAMEWORK: str = f"{3}"', LITERAL),
    (NAME, "FRAMEWORK = 3", "line 1: FRAMEWORK: expected a name"),
    (NAME, 'FRAMEWORK = "o wn"', "line 1: FRAMEWORK: expected a name"),
    ('TITLE = "Own"', "TITLE = 3", "line 2: TITLE: expected text, not 3"),
    ('("numpy",)', '"numpy"', "line 3: REQUIRES: expected a tuple of names, not 'numpy'"),
    ('("numpy",)', "tuple(names)", "line 3: REQUIRES must be written as a literal"),
    ('("a", "b")', "()", "line 4: MODES: expected a tuple of names, at least one"),
    ('("a", "b")', '("a", 3)', "line 4: MODES: expected a tuple of names"),
    ('= "a"', '= "c"', "CONVERGENCE_MODE names 'c', which is not one of MODES (a, b)"),
    ('= "a"', '= "a"\nPROOF_MODES = ("c",)', "PROOF_MODES names 'c'"),
    ('= "a"', '= "a"\nLOOPED_MODES = "a"', "line 6: LOOPED_MODES: expected a tuple of names"),
    ('= "a"', '= "a"\nMEMORY_MIB = -1', "line 6: MEMORY_MIB: expected a whole number of MiB"),
    ('= "a"', '= "a"\nFIRST_RUN_S = (1, 2)', "line 6: FIRST_RUN_S: expected three durations"),
    ('= "a"', '= "a"\nFIRST_RUN_S = (1, 2, -3)', "line 6: FIRST_RUN_S: expected three durations"),
    ('= "a"', '= "a"\nALONE_MODES = ("a",)', "line 6: ALONE_MODES: expected a dict such as"),
    ('= "a"', '= "a"\nALONE_MODES = {"a": "numpy>2"}', "line 6: ALONE_MODES: expected a dict"),
    ('= "a"', '= "a"\nALONE_MODES = {"a": "jax<2"}', "ALONE_MODES names 'jax', which is not one"),
    ('= "a"', '= "a"\nALONE_MODES = {"c": "numpy<2"}', "ALONE_MODES names 'c', which is not one"),
    ('TITLE = "Own"\n', "", "an adapter must also state TITLE"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG_LITERALS)
def test_an_adapter_states_literals(tmp_path, old, new, message):
    assert old in ADAPTER
    with pytest.raises(UserError) as caught:
        load(tmp_path, ADAPTER.replace(old, new))
    assert message in str(caught.value) and str(caught.value).startswith(str(tmp_path / "mine.py"))


OLDER, LATER = ("2.11.0+cu130", "2.9", "1.99.9"), ("2.12.0", "2.12", "2.13.0.dev20270101", "10")


@pytest.mark.parametrize("version", [*OLDER, *LATER])
def test_a_mode_is_alone_below_the_stated_version(tmp_path, version):
    text = ADAPTER.replace('= "a"', '= "a"\nALONE_MODES = {"a": "numpy<2.12"}')
    framework = load(tmp_path, text).frameworks["own"]
    assert framework.alone("a", {"numpy": version, "scipy": "1.0"}) is (version in OLDER)
    assert not framework.alone("b", {"numpy": version}) and not framework.alone("a", {})


def test_lists_and_annotations_are_literals_and_an_adapter_needs_ADAPTER(tmp_path):
    text = ADAPTER.replace('("a", "b")', '["a", "b"]').replace("FRAMEWORK =", "FRAMEWORK: str =")
    framework = load(tmp_path, text).frameworks["own"]
    assert isinstance(framework, Framework) and framework.modes == ("a", "b")
    with pytest.raises(UserError, match="must define ADAPTER"):
        import_adapter(framework)


def test_prints_of_a_file_leave_standard_output_alone(tmp_path):
    loud = """import os, sys
print('loud')
sys.stdout.write('louder\\n')
os.write(1, b'loudest\\n')
os.system('echo shell')
"""
    (tmp_path / "mine.py").write_text(loud + mine())
    options = ["list", "optimizers", "--json", "--load", "mine.py"]
    command = [sys.executable, "-m", "gradrace", *options]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "mine" in json.dumps(json.loads(found.stdout))
    assert all(word in found.stderr for word in ("loud\n", "louder", "loudest", "shell"))


def test_a_file_that_builds_on_a_built_in_optimizer_does_not_own_it(tmp_path, registry):
    text = "from dataclasses import replace\nfrom gradrace.optimizers.adam import OPTIMIZER\n"
    text += "M = replace(OPTIMIZER, name='mine')\n"
    found = load(tmp_path, text)
    assert found.optimizer_files["adam"] == registry.optimizer_files["adam"]
    assert found.optimizer_files["mine"] == tmp_path / "mine.py"


class EntryPoint(SimpleNamespace):
    """As importlib.metadata gives it."""

    def load(self):
        __import__(self.module)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (mine(), None),
        (mine(title="3"), "title: expected text"),
        ("import not_there_at_all\n", "not installed: not_there_at_all"),
        ("raise SystemExit(2)\n", "cannot be loaded: SystemExit: 2"),
    ],
)
def test_installed_plugins_are_held_to_the_same(tmp_path, monkeypatch, text, message):
    (tmp_path / "shipped_plugin.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "shipped_plugin", raising=False)
    entry = EntryPoint(module="shipped_plugin", value="shipped_plugin")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
    if message is None:
        assert load_registry().modules == {
            (tmp_path / "shipped_plugin.py").resolve(): "shipped_plugin"
        }
        return
    with pytest.raises(UserError) as caught:
        load_registry()
    assert message in str(caught.value) and "shipped_plugin" in str(caught.value)


# -- packages that are not installed


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "numpy.linalg.nrom",
            "numpy.linalg.nrom: numpy.linalg has no 'nrom' (did you mean 'norm'?)",
        ),
        ("numpy.linlag.norm", "numpy.linlag.norm: numpy has no 'linlag' (did you mean 'linalg'?)"),
        ("numpy.pi", "numpy.pi is a float, which cannot be called"),
        ("json.decoder.JSONDecoder.no", "json.decoder.JSONDecoder has no 'no'"),
    ],
)
def test_a_dotted_path_that_leads_nowhere_is_a_failure_that_says_where(path, message):
    with pytest.raises(ValueError) as caught:
        _import(path)
    assert message in str(caught.value)


def test_dotted_paths_lead_to_modules_attributes_and_classes_inside():
    import json.decoder
    import xml.etree.ElementTree as Tree

    assert _import("json.decoder.JSONDecoder.decode") is json.decoder.JSONDecoder.decode
    assert _import("xml.etree.ElementTree.parse") is Tree.parse


TRIED = "try:\n    import not_there_at_all\nexcept {}"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("import not_there_at_all", True),
        ("import not_there_at_all.deep", True),
        ("from not_there_at_all import x", True),
        ("import json.nothing", False),
        ("from json import nothing", False),
        ("raise ImportError('by hand')", False),
        (TRIED.format("ImportError:\n    raise ImportError('please')"), True),
        (TRIED.format("ImportError:\n    raise ValueError"), False),
        ("raise ValueError", False),
        (TRIED.format("ImportError as e:\n    raise RuntimeError('needs it') from e"), True),
    ],
)
def test_a_missing_package_is_told_from_a_missing_module(text, missing):
    with pytest.raises(Exception) as caught:
        exec(text)
    assert missing_package(caught.value) == ("not_there_at_all" if missing else None)


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("not_there_at_all.Mine", ModuleNotFoundError),
        ("numpy.nothing.Mine", ValueError),
        ("numpy.Nothing", ValueError),
    ],
)
def test_binding_tells_them_apart(make_run, target, error):
    with pytest.raises(error) as caught:
        bound(make_run, Binding(target))
    missing = "not_there_at_all" if error is ModuleNotFoundError else None
    assert missing_package(caught.value) == missing


@pytest.mark.parametrize("canonical", [lambda h: [1], lambda h: {1: 2}])
def test_canonical_gives_keyword_arguments(make_run, canonical):
    with pytest.raises(ValueError, match="canonical must return a dict"):
        bound(make_run, Binding(lambda: dict, canonical))


def bound(make_run, binding):
    run = make_run().model_copy(update={"framework": "torch"})
    fields = {"name": "adam", "hyper": {}, "bindings": {"torch": binding}, "space": None}
    return bind(run, replace(FINE, **fields), np.ones(3))


RULE = """
def init(p, hyper):
    {init}
    return {{}}
def update(p, g, state, lr, t, hyper):
    {update}
    return p - lr * g, state
"""


def a_rule(init: str = "pass", update: str = "pass") -> str:
    rule = RULE.format(init=init, update=update)
    return mine(rule="ReferenceRule(init, update)").replace(HEAD, HEAD + rule)


def swept(folder: Path, text: str, **changes):
    """A short sweep that loads this file: its outcome, and the records of its optimizer."""
    (folder / "mine.py").write_text(text)
    content = {**TINY, "optimizers": ["sgd"], "seeds": 1, "steps": 4, "eval_every": 4, **changes}
    options = sweep.Options(output=folder)
    ready = sweep.prepare(make_suite("t", content), [folder / "mine.py"], options)
    outcome = sweep.execute(ready)
    records = read_records(folder, "t")
    return outcome, [record for record in records if record.spec.optimizer.name == "mine"]


def test_a_run_that_needs_a_missing_package_is_skipped(tmp_path):
    timing = {**TINY["timing"], "optimizers": ["sgd", "mine"]}
    outcome, records = swept(tmp_path, a_rule(init="import not_there_at_all"), timing=timing)
    assert {record.spec.measure for record in records} == {"convergence", "timing"}
    assert {(record.status, record.reason) for record in records} == {
        ("skipped", "not installed: not_there_at_all")
    }
    assert outcome.exit_code == 0


def test_verify_calls_a_missing_package_unavailable(tmp_path):
    from gradrace.verify.cases import Selection, everything
    from gradrace.verify.worker import serve

    (tmp_path / "mine.py").write_text(a_rule(init="import not_there_at_all"))
    table = everything(load_registry([tmp_path / "mine.py"]))
    asked = {
        "framework": "numpy",
        "plugins": [str(tmp_path / "mine.py")],
        "selection": asdict(Selection()),
        "device": "cpu",
        "cases": [case.id for case in table if getattr(case, "optimizer", "") == "mine"][:2],
        "folder": str(tmp_path),
        "skip": [],
    }
    out = io.BytesIO()
    serve(asked, out)
    said = [json.loads(line) for line in out.getvalue().splitlines()]
    ends = [each for each in said if each["event"] not in ("ready", "begin")]
    assert len(ends) == 2
    assert {(end["event"], end["reason"]) for end in ends} == {
        ("unavailable", "not installed: not_there_at_all")
    }


def test_compare_skips_a_side_that_lacks_a_package():
    from gradrace.paired.worker import _refusal

    for text, expected in (
        ("import not_there_at_all.x", ("skipped", "not installed: not_there_at_all")),
        ("import json.nothing", ("failed", "No module named 'json.nothing'")),
    ):
        with pytest.raises(ModuleNotFoundError) as caught:
            exec(text)
        answer = _refusal(caught.value)
        assert answer["event"] == expected[0] and expected[1] in answer["reason"]


# -- rules that users write in NumPy


def in_place(p, g, s):
    g *= 2
    return p - g, s


def state_in_place(p, g, s):
    s["m"] += g
    return p - s["m"], s


# What update does, and the end of "mine: rule.update ...".
WRONG_RULES = {
    "complex": (lambda p, g, s: (p + 0j, s), "must return float64, not complex128"),
    "integers": (lambda p, g, s: (p.astype(int), s), "must return float64, not int64"),
    "float32": (lambda p, g, s: (p.astype("float32"), s), "must return float64, not float32"),
    "objects": (lambda p, g, s: (p.astype(object), s), "must return float64, not object"),
    "a shape": (lambda p, g, s: (p[0], s), "must return an array of shape [2, 3]"),
    "a list": (lambda p, g, s: (p.tolist(), s), "must return an array of shape [2, 3], not list"),
    "a number": (lambda p, g, s: (1.0, s), "must return an array of shape [2, 3]"),
    "None": (lambda p, g, s: None, "must return (new parameter, new state), not NoneType"),
    "no state": (lambda p, g, s: p, "must return (new parameter, new state)"),
    "a state that is none": (lambda p, g, s: (p, [1]), "must return a dict as its state, not list"),
    "complex state": (lambda p, g, s: (p, {"m": g + 1j}), "must return float64 in state['m']"),
    "a complex number": (
        lambda p, g, s: (p, {"m": 1j}),
        "must return float64 in state['m'], not complex",
    ),
    "integer state": (
        lambda p, g, s: (p, {"m": g.astype(int)}),
        "must return float64 in state['m']",
    ),
    "deep": (
        lambda p, g, s: (p, {"m": [{"n": g.astype(int)}]}),
        "must return float64 in state['m']",
    ),
    "keys": (lambda p, g, s: (p, {1: g}), "must return a state with names as keys, not 1"),
    "the gradient in place": (in_place, "changes an argument in place"),
    "the state in place": (state_in_place, "changes an argument in place"),
}


@pytest.mark.parametrize("case", WRONG_RULES)
def test_a_rule_keeps_its_contract(case):
    update, message = WRONG_RULES[case]
    own = ReferenceRule(
        lambda p, h: {"m": np.zeros_like(p)}, lambda p, g, s, lr, t, h: update(p, g, s)
    )
    rule = CheckedRule("mine", own)
    p, g = np.ones((2, 3)), np.ones((2, 3))
    with pytest.raises(ValueError) as caught:
        rule.update(p, g, rule.init(p, {}), 0.1, 1, {})
    assert str(caught.value).startswith(f"mine: rule.update {message}")
    assert (p == 1).all() and (g == 1).all()


def test_init_and_evaluation_keep_it_too():
    def spoil(p, h):
        p += 1
        return {}

    p = np.ones(3)
    for init in (spoil, lambda p, h: {"m": p.astype(int)}, lambda p, h: None):
        with pytest.raises(ValueError, match=r"mine: rule\.init"):
            CheckedRule("mine", ReferenceRule(init, lambda *a: None)).init(p, {})
    rule = CheckedRule(
        "mine", ReferenceRule(lambda p, h: {}, lambda *a: None, lambda p, s, h: p.astype(int))
    )
    with pytest.raises(ValueError, match=r"mine: rule\.evaluation must return float64"):
        rule.evaluation(p, {}, {})


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_a_sound_rule_computes_as_without(shape):
    def update(p, g, s, lr, t, h):
        kept = {"m": s["m"] + g, "count": s["count"] + 1}
        return p - lr * kept["m"], {**kept, "flags": g > 0, "deep": [(g, {"x": g})]}

    rule = ReferenceRule(lambda p, h: {"m": np.zeros_like(p), "count": 0}, update)
    checked, p = CheckedRule("mine", rule), np.ones(shape)
    state, plain = checked.init(p, {}), rule.init(p, {})
    q = p
    for t in range(1, 4):
        p, state = checked.update(p, np.full(shape, 0.5), state, 0.1, t, {})
        q, plain = rule.update(q, np.full(shape, 0.5), plain, 0.1, t, {})
    assert np.array_equal(p, q) and state["count"] == 3


def test_a_wrong_rule_fails_its_run(tmp_path):
    _, (record,) = swept(tmp_path, a_rule(update="g *= 2"), timing=False)
    assert (
        record.status == "failed"
        and "mine: rule.update changes an argument in place" in record.reason
    )

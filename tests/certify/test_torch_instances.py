"""PyTorch's optimizers, stepped by hand: one class for each way of making and stepping one."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.importpath import ImportPath
from gradrace.stepping.instance import Making, NotApplicable
from gradrace.stepping.scenario import Course, Evaluate, Reload, Scenario, SetRate, Step, run
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

# Path -> its drive, what it wraps, whether it takes matrices only.
WAYS: Mapping[str, tuple[str, str, bool]] = {
    "torch.optim.AdamW": ("step()", "", False),
    "torch.optim.LBFGS": ("step(closure)", "", False),
    "torch.optim.Muon": ("step()", "", True),
    "pytorch_optimizer.NorMuon": ("step()", "", False),
    "pytorch_optimizer.AdaHessian": ("backward(create_graph=True), step()", "", False),
    "pytorch_optimizer.LOMO": ("fused_backward(loss, lr)", "", False),
    "pytorch_optimizer.AdamMini": ("step()", "", False),
    "pytorch_optimizer.Ranger21": ("step()", "", False),
    "pytorch_optimizer.BSAM": ("step(closure)", "", False),
    "pytorch_optimizer.AliG": ("step(closure)", "", False),
    "pytorch_optimizer.SAM": ("step(closure)", "torch.optim.SGD", False),
    "pytorch_optimizer.WSAM": ("step(closure)", "torch.optim.SGD", False),
    "pytorch_optimizer.Lookahead": ("step()", "torch.optim.SGD", False),
    "schedulefree.AdamWScheduleFree": ("train(), step()", "", False),
    "schedulefree.SGDScheduleFreeClosure": ("step(closure)", "", False),
    "heavyball.SOAP": ("step()", "", False),
    "heavyball.SAMWrapper": ("step(closure)", "", False),
}


def made(dotted: str, hyper: Mapping[str, Any] | None = None) -> Any:
    from gradrace.adapters.torch import ADAPTER

    pytest.importorskip(dotted.partition(".")[0])
    return ADAPTER.maker(ImportPath("torch", dotted), hyper or {})


def values(seed: int, matrices_only: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {"kernel": rng.normal(size=(5, 4)), "bias": rng.normal(size=4)}
    return {"kernel": found["kernel"]} if matrices_only else found


def scenario(maker: Any, *between: Any, **making: Any) -> Scenario:
    """Five steps, with these actions after the third."""
    only = maker.facts().matrices_only
    steps = [Step(values(seed, only)) for seed in range(1, 6)]
    actions = (*steps[:3], *between, *steps[3:])
    return Scenario(values(0, only), Making(0.01, **making), actions)


def printed(script: str) -> list[Any]:
    """What the script prints after each step."""
    # Some classes draw from the generator.
    torch.manual_seed(0)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(script, "script", "exec"), {})
    lines = [line.partition(" ")[2] for line in out.getvalue().splitlines() if "step " in line]
    return [eval(line, {"nan": np.nan, "inf": np.inf}) for line in lines]


def assert_prints(script: str, course: Course) -> None:
    taken = printed(script)
    assert len(taken) == len(course.steps)
    for shown, weights in zip(taken, course.steps, strict=True):
        for name, array in weights.items():
            np.testing.assert_array_equal(np.array(shown[name]), array)


@pytest.mark.parametrize("dotted", WAYS)
def test_a_class_is_stepped_in_its_own_way_and_the_script_prints_the_same(dotted: str) -> None:
    drive, inner, only = WAYS[dotted]
    maker = made(dotted)
    facts = maker.facts()
    assert (facts.drive, facts.inner, facts.matrices_only) == (drive, inner, only)
    assert facts.distribution.split(" ")[0]
    whole = scenario(maker, SetRate(0.02), Reload(), Evaluate())
    torch.manual_seed(0)
    course = run(maker, whole)
    assert any((course.steps[-1][name] != whole.start[name]).any() for name in whole.start)
    assert_prints(maker.script(whole), course)


def assert_same(one: Course, other: Course) -> None:
    for left, right in zip(one.steps, other.steps, strict=True):
        for name, array in left.items():
            np.testing.assert_array_equal(array, right[name])


RESUMED = ["torch.optim.Adam", "torch.optim.LBFGS", "schedulefree.SGDScheduleFree"]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("dotted", RESUMED)
def test_a_loaded_state_goes_on_with_the_same_bits(dotted: str, dtype: str) -> None:
    maker = made(dotted)
    plain = run(maker, scenario(maker, dtype=dtype))
    for between in (Reload(), Evaluate()):
        assert_same(plain, run(maker, scenario(maker, between, dtype=dtype)))


@pytest.mark.parametrize(
    ("dotted", "making"),
    [
        ("torch.optim.AdamW", {"strided": True}),
        ("torch.optim.AdamW", {"variant": "foreach"}),
        ("torch.optim.AdamW", {"variant": "fused"}),
        ("torch.optim.AdamW", {"resting": ("bias",), "dtype": "bfloat16"}),
        ("torch.optim.SGD", {"hyper": {"momentum": 0.5}, "strided": True, "dtype": "float32"}),
        ("pytorch_optimizer.Lookahead", {"resting": ("bias",)}),
        ("pytorch_optimizer.NorMuon", {"resting": ("kernel",)}),
    ],
)
def test_the_script_makes_tensors_and_optimizer_alike(
    dotted: str, making: Mapping[str, Any]
) -> None:
    maker = made(dotted)
    whole = scenario(maker, SetRate(0.02), Reload(), **making)
    course = run(maker, whole)
    assert_prints(maker.script(whole), course)
    for name in making.get("resting", ()):
        first = {each[name].tobytes() for each in course.steps}
        assert len(first) == 1, "it rests"


ODD_SHAPES = {"scalar": np.array(0.5), "empty": np.zeros((0, 3)), "vector": np.ones(3)}


def test_tensors_of_any_shape_and_gradients_that_are_absent() -> None:
    maker = made("torch.optim.Adam")
    instance = maker.make(ODD_SHAPES, Making(0.1))
    instance.step({"scalar": np.array(1.0), "empty": np.zeros((0, 3)), "vector": None})
    weights = instance.weights()
    assert weights["scalar"] == pytest.approx(0.4) and weights["empty"].shape == (0, 3)
    np.testing.assert_array_equal(weights["vector"], ODD_SHAPES["vector"])
    assert instance.gradients()["vector"] is None
    assert "vector.exp_avg" not in instance.state() and "scalar.exp_avg" in instance.state()


@pytest.mark.parametrize("drive", ["torch.optim.LBFGS", "pytorch_optimizer.AdaHessian"])
def test_a_loss_leaves_out_what_has_no_gradient(drive: str) -> None:
    instance = made(drive).make(values(0), Making(0.1))
    instance.step({"kernel": values(1)["kernel"], "bias": None})
    weights = instance.weights()
    np.testing.assert_array_equal(weights["bias"], values(0)["bias"])
    assert (weights["kernel"] != values(0)["kernel"]).any()


STATES: Mapping[str, set[str]] = {
    "torch.optim.SGD": set(),
    "torch.optim.NAdam": {"kernel.mu_product", "kernel.exp_avg", "kernel.exp_avg_sq"},
    "torch.optim.LBFGS": {"kernel.n_iter", "kernel.prev_flat_grad"},
    "pytorch_optimizer.SOAP": {"kernel.GG.0", "kernel.Q.1", "group.step"},
    "pytorch_optimizer.Lookahead": {"kernel.slow_params", "group.counter"},
    "schedulefree.AdamWScheduleFree": {"kernel.z", "group.k", "group.weight_sum"},
    "heavyball.SOAP": {"kernel.0.step"},
}


@pytest.mark.parametrize("dotted", STATES)
def test_a_state_has_readable_paths(dotted: str) -> None:
    instance = made(dotted).make(values(0), Making(0.1))
    for seed in (1, 2):
        instance.step(values(seed))
    state = instance.state()
    assert set(state) >= STATES[dotted] and (STATES[dotted] or not state)
    assert not {path for path in state if path.endswith((".lr", ".momentum", ".foreach"))}
    assert all("tensor(" not in path for path in state)


def test_a_wrapper_takes_the_class_that_the_user_names() -> None:
    with pytest.raises(UserError, match=r"schedulefree has no 'Sgd'"):
        made("pytorch_optimizer.Lookahead", {"optimizer": "schedulefree.Sgd"})
    for dotted, name in (("Lookahead", "optimizer"), ("SAM", "base_optimizer")):
        maker = made(f"pytorch_optimizer.{dotted}", {name: "torch.optim.AdamW"})
        assert maker.facts().inner == "torch.optim.AdamW"
        whole = scenario(maker, SetRate(0.02))
        assert_prints(maker.script(whole), run(maker, whole))


FILES: Mapping[str, str] = {
    "abstract": "class X(torch.optim.SGD, abc.ABC):\n    @abc.abstractmethod\n    def a(self): ...",
    "no optimizer": "class X:\n    def __init__(self, params, lr): ...",
    "a function": "def X(params, lr):\n    return 3",
    "no tensors": "class X:\n    def step(self): ...\n    def zero_grad(self): ...",
    "arguments": "class X(torch.optim.SGD):\n    def __init__(self, params, noise, lr): ...",
    "cuda": "class X(torch.optim.SGD):\n    def step(self): torch.ones(2).cuda()",
    "triton": "class X(torch.optim.SGD):\n    def step(self): import triton_kernels_of_mine",
    "no name": "Y = 3",
    "raises": "1 / 0",
    "leaves": "import sys\nsys.exit(3)",
}
TOLD: Mapping[str, str] = {
    "abstract": r"X is abstract: name a class that derives from it",
    "no optimizer": r"X is no optimizer: it needs step\(\)",
    "a function": r"X cannot be made or stepped: TypeError: is no optimizer: what it returns",
    "no tensors": r"X is no optimizer: it takes no tensors",
    "arguments": r"X wants arguments that nobody gave: noise; give them in hyper",
    "cuda": r"X cannot work here: it needs CUDA",
    "triton": r"X cannot work here: it needs Triton",
    "no name": r"mine.py: it has no 'X'",
    "raises": r"mine.py, line \d+: ZeroDivisionError",
    "leaves": r"mine.py, line \d+: SystemExit",
}


@pytest.mark.parametrize("case", FILES)
def test_what_cannot_be_made_is_refused_with_the_reason(case: str, tmp_path: Path) -> None:
    from gradrace.adapters.torch import ADAPTER

    file = tmp_path / "mine.py"
    file.write_text(f"import abc\nimport torch\n\n\n{FILES[case]}\n", encoding="utf-8")
    with pytest.raises(UserError, match=TOLD[case]):
        ADAPTER.maker(ImportPath("torch", "X", file), {})


@pytest.mark.parametrize(
    ("dotted", "hyper", "told"),
    [
        ("torch.optim.Optimizer", {}, "is abstract"),
        ("torch.optim.Adan", {}, r"has no 'Adan' \(did you mean 'Adam'\?\)"),
        ("torch.optim.lr_scheduler.StepLR", {}, r"needs step\(\) and zero_grad\(\)"),
        ("torch.optim.AdamW", {"weight_decy": 0.1}, "did you mean 'weight_decay'"),
        ("torch.optim.AdamW", {"lr": 0.1}, "lr is the learning rate"),
        ("torch.optim.AdamW", {"betas": [2.0, 0.9]}, "Invalid beta parameter"),
        ("pytorch_optimizer.AdamP", {"weight_decy": 5}, "did you mean 'weight_decay'"),
        ("pytorch_optimizer.GSAM", {}, "nobody gave: rho_scheduler"),
        # It takes pairs of matrices, and leaves groups marked for Muon alone.
        ("pytorch_optimizer.LoRARite", {}, "cannot be made or stepped: RuntimeError: mat1"),
    ],
)
def test_bad_arguments_are_refused_by_name(
    dotted: str, hyper: Mapping[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        made(dotted, hyper)


def test_what_a_class_lacks_is_not_applicable() -> None:
    matrices = made("torch.optim.Muon")
    with pytest.raises(NotApplicable, match="matrices only"):
        matrices.make(values(0), Making(0.1))
    single = made("torch.optim.LBFGS")
    with pytest.raises(NotApplicable, match="parameter"):
        single.make(values(0), Making(0.1, resting=("bias",)))
    low = made("pytorch_optimizer.FAdam")
    with pytest.raises(NotApplicable, match="float64"):
        low.make(values(0), Making(0.1))


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Any actions on tensors of a few numbers."""
    numbers = st.floats(-2.0, 2.0, width=16).filter(lambda value: abs(value) > 0.01)
    arrays = {
        name: st.lists(numbers, min_size=size, max_size=size).map(
            lambda found, shape=shape: np.array(found).reshape(shape)
        )
        for name, size, shape in (("a.b", 4, (2, 2)), ("c", 1, ()), ("d", 3, (3,)))
    }
    maybe = st.fixed_dictionaries({name: each | st.none() for name, each in arrays.items()})
    actions = st.lists(
        st.builds(Step, maybe)
        | st.builds(SetRate, st.sampled_from([0.0, 0.05, 0.2]))
        | st.just(Reload())
        | st.just(Evaluate()),
        min_size=1,
        max_size=6,
    )
    making = Making(
        0.1,
        dtype=draw(st.sampled_from(["float64", "float32", "bfloat16"])),
        strided=draw(st.booleans()),
        resting=draw(st.sampled_from([(), ("c",), ("a.b", "d")])),
    )
    return Scenario(draw(st.fixed_dictionaries(arrays)), making, tuple(draw(actions)))


@settings(max_examples=25)
@given(
    dotted=st.sampled_from(["torch.optim.Adam", "torch.optim.SGD", "schedulefree.SGDScheduleFree"]),
    whole=scenarios(),
)
def test_a_script_prints_what_any_scenario_did(dotted: str, whole: Scenario) -> None:
    maker = MADE.get(dotted) or MADE.setdefault(dotted, made(dotted))
    assert_prints(maker.script(whole), run(maker, whole))


MADE: dict[str, Any] = {}


def test_evaluating_leaves_the_bits_though_the_switch_rounds() -> None:
    maker, rng = made("schedulefree.AdamWScheduleFree"), np.random.default_rng(0)
    start = {"kernel": rng.normal(size=(40, 25))}
    given = [{"kernel": rng.normal(size=(40, 25))} for _ in range(5)]
    instance = maker.make(start, Making(0.1, dtype="float32"))
    for gradients in given:
        instance.step(gradients)
    weights, evaluated = instance.weights(), instance.evaluated()
    assert (evaluated["kernel"] != weights["kernel"]).mean() > 0.9
    np.testing.assert_array_equal(instance.weights()["kernel"], weights["kernel"])
    instance.optimizer.eval()
    instance.optimizer.train()
    assert (instance.weights()["kernel"] != weights["kernel"]).any(), "the class itself rounds"

"""PyTorch's optimizers of any package in real training, by their import paths."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradrace.adapter import LanesImpossible, Unsupported
from gradrace.importpath import ImportPath
from gradrace.plan import initial_weights, make_plan
from gradrace.registry import load_registry
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec

torch = pytest.importorskip("torch")

STEPS = 12
MINE = '''
import torch


class Sgd(torch.optim.Optimizer):
    """Plain steps; `quirk` names what else it does."""

    def __init__(self, params, lr, quirk=""):
        super().__init__(params, {"lr": lr})
        self.quirk, self.steps = quirk, 0

    def step(self):
        self.steps += 1
        with torch.no_grad():
            for group in self.param_groups:
                self.step_group(group)

    def step_group(self, group):
        for place, tensor in enumerate(group["params"]):
            if tensor.grad is None:
                continue
            if self.quirk == "raises" and self.steps == 9:
                raise RuntimeError("nine is too many")
            if self.quirk == "new tensors" and self.steps == 1:
                group["params"][place] = tensor.clone().requires_grad_()
                group["params"][place].grad = tensor.grad
            if self.quirk == "new memory":
                tensor.data = tensor - group["lr"] * tensor.grad
            else:
                group["params"][place].sub_(group["lr"] * tensor.grad)
            if self.quirk == "spoils gradients":
                tensor.grad.fill_(float("nan"))
'''


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Any]:
    """A session of digits_mlp with an optimizer by its import path."""
    from gradrace.adapters.torch import ADAPTER

    def open_(path: ImportPath, hyper: Mapping[str, Any], rate: float, **changes: Any) -> Any:
        run, inputs = planned(path, hyper, rate, **changes)
        return ADAPTER.open(run, initial_weights(run.task, 0), inputs)

    return open_


def planned(path: ImportPath, hyper: Mapping[str, Any], rate: float, **changes: Any) -> Any:
    registry = load_registry([path])
    task = registry.tasks["digits_mlp"].model_copy(update={"steps": STEPS, "eval_every": 6})
    optimizer = registry.optimizers[path.name]
    fields: dict[str, Any] = {
        "task": task,
        "optimizer": OptimizerSpec(name=path.name, hyper=hyper, rule="native"),
        "schedule": ScheduleSpec(kind="constant", base_lr=rate),
        "framework": "torch",
        "mode": "eager",
    }
    run = RunSpec(**fields | changes)
    return run, make_plan(run, optimizer)


def mine(folder: Path) -> ImportPath:
    file = folder / "mine.py"
    file.write_text(MINE, encoding="utf-8")
    return ImportPath("torch", "Sgd", file)


# Path -> hyper, learning rate, and whether it keeps arrays.
TRAINED: Mapping[str, tuple[Mapping[str, Any], float, bool]] = {
    "torch.optim.AdamW": ({"betas": (0.8, 0.95), "weight_decay": 0.1}, 3e-3, True),
    "torch.optim.LBFGS": ({"max_iter": 4}, 0.5, True),
    "torch.optim.Adam": ({"foreach": True, "amsgrad": True}, 3e-3, True),
    "pytorch_optimizer.SAM": ({}, 0.1, False),
    "pytorch_optimizer.AliG": ({}, 0.1, False),
    "pytorch_optimizer.AdaHessian": ({}, 0.01, True),
    "pytorch_optimizer.NorMuon": ({}, 0.01, True),
    "pytorch_optimizer.SOAP": ({}, 3e-3, True),
    "pytorch_optimizer.Lookahead": ({}, 0.1, True),
    "schedulefree.AdamWScheduleFree": ({}, 3e-3, True),
    "heavyball.SOAP": ({}, 3e-3, True),
}


@pytest.mark.parametrize("dotted", TRAINED)
def test_an_imported_optimizer_trains(opened: Callable[..., Any], dotted: str) -> None:
    pytest.importorskip(dotted.partition(".")[0])
    hyper, rate, keeps = TRAINED[dotted]
    session = opened(ImportPath("torch", dotted), hyper, rate)
    session.train(range(6))
    before = session.weights()
    session.evaluate("validation")
    for name, array in session.weights().items():
        np.testing.assert_array_equal(array, before[name])
    session.train(range(6, STEPS))
    losses = session.losses()
    assert len(losses) == STEPS and losses[-3:].mean() < 0.9 * losses[:3].mean()
    size = session.state_bytes()
    assert (size > 0) == keeps if size is not None else not keeps


@pytest.mark.parametrize("quirk", ["new memory", "spoils gradients"])
def test_what_a_class_does_beside_its_update_changes_nothing(
    opened: Callable[..., Any], tmp_path: Path, quirk: str
) -> None:
    plain, odd = (opened(mine(tmp_path), {"quirk": each}, 0.1) for each in ("", quirk))
    for session in (plain, odd):
        session.train(range(STEPS))
    np.testing.assert_array_equal(plain.losses(), odd.losses())
    assert plain.state_bytes() == odd.state_bytes()


@pytest.mark.parametrize(
    ("quirk", "told"),
    [("raises", "nine is too many"), ("new tensors", "Sgd trains tensors of its own.*0_dense")],
)
def test_a_broken_class_fails_with_its_reason(
    opened: Callable[..., Any], tmp_path: Path, quirk: str, told: str
) -> None:
    session = opened(mine(tmp_path), {"quirk": quirk}, 0.1)
    with pytest.raises((RuntimeError, ValueError), match=told):
        session.train(range(STEPS))


REFUSED: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "torch.optim.SparseAdam": ({}, "takes sparse gradients only"),
    "torch.optim.Muon": ({}, r"Muon takes matrices only, and 0_dense.bias has shape \[128\]"),
    "pytorch_optimizer.LOMO": ({}, "updates the weights while gradients are computed"),
    "pytorch_optimizer.AdaHessian": ({"mode": "compile"}, "needs second derivatives"),
    "pytorch_optimizer.FAdam": ({"dtype": "float64"}, "does not compute in float64"),
    "pytorch_optimizer.CPUOffloadOptimizer": ({}, "needs CUDA"),
    "pytorch_optimizer.DistributedMuon": ({}, "needs a process group"),
}


@pytest.mark.parametrize("dotted", REFUSED)
def test_what_cannot_train_is_refused_with_the_reason(
    opened: Callable[..., Any], dotted: str
) -> None:
    pytest.importorskip(dotted.partition(".")[0])
    changes, told = REFUSED[dotted]
    with pytest.raises(Unsupported, match=told):
        opened(ImportPath("torch", dotted), {}, 0.01, **changes)


SIDE_BY_SIDE = {
    "torch.optim.AdamW": [{"weight_decay": 0.1}, {"weight_decay": 0.5}],
    "schedulefree.SGDScheduleFree": [{}, {"momentum": 0.5}],
    "pytorch_optimizer.AdaBelief": [{}, {"rectify": True}],
}


@pytest.mark.parametrize("dotted", SIDE_BY_SIDE)
def test_lanes_have_the_bits_of_runs_alone(dotted: str, opened: Callable[..., Any]) -> None:
    from gradrace.adapters.torch import ADAPTER

    pytest.importorskip(dotted.partition(".")[0])
    path, changes = ImportPath("torch", dotted), {"mode": "population", "lanes": 3}
    cases = list(zip(SIDE_BY_SIDE[dotted], (0.01, 0.003), strict=True))
    pairs = [planned(path, hyper, rate, **changes) for hyper, rate in cases]
    runs, inputs = [run for run, _ in pairs], [each for _, each in pairs]
    assert ADAPTER.lane_key(*pairs[0]) == ADAPTER.lane_key(*pairs[1])
    starts = [initial_weights(run.task, 0) for run in runs]
    together = ADAPTER.open_population(runs, starts, inputs, 3)
    together.train(range(STEPS))
    evaluated = together.evaluate("validation")
    for lane, (hyper, rate) in enumerate(cases):
        alone = opened(path, hyper, rate, mode="eager-fused")
        alone.train(range(STEPS))
        assert alone.evaluate("validation") == pytest.approx(evaluated[lane], rel=1e-6)
        for name, array in alone.weights().items():
            np.testing.assert_allclose(together.weights(lane)[name], array, rtol=1e-4, atol=1e-5)


def test_a_class_that_lanes_would_break_is_trained_alone(tmp_path: Path) -> None:
    from gradrace.adapters.torch import ADAPTER

    run, inputs = planned(mine(tmp_path), {"quirk": "new memory"}, 0.1, mode="population")
    with pytest.raises(LanesImpossible, match="other memory"):
        ADAPTER.lane_key(run, inputs)


def test_a_class_that_evaluates_the_loss_is_trained_alone() -> None:
    from gradrace.adapters.torch import ADAPTER

    run, inputs = planned(ImportPath("torch", "torch.optim.LBFGS"), {}, 0.1, mode="population")
    with pytest.raises(LanesImpossible, match="evaluates the loss itself"):
        ADAPTER.lane_key(run, inputs)


def test_what_the_adapter_gives_by_itself_is_not_asked_of_the_user() -> None:
    pytest.importorskip("pytorch_optimizer")
    names = ["torch.optim.AdamW", *(f"pytorch_optimizer.{n}" for n in ("SAM", "AliG", "GSAM"))]
    paths = [f"torch:{name}" for name in names]
    asked = {"plugins": paths, "optimizers": {path: {} for path in paths}}
    child = subprocess.run(
        [sys.executable, "-m", "gradrace.describing", "torch"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = json.loads(child.stdout.splitlines()[-1])
    assert not any(answer["problem"] for answer in answers.values())
    wanted = {
        path: [name for name, each in answer["arguments"].items() if each["required"]]
        for path, answer in answers.items()
    }
    assert wanted == {**{path: [] for path in paths}, paths[-1]: ["rho_scheduler"]}


@pytest.mark.parametrize("dotted", ["pytorch_optimizer.ASGD", "schedulefree.ScheduleFreeWrapper"])
def test_an_update_is_probed_though_the_class_divides_by_its_rate(
    opened: Callable[..., Any], dotted: str
) -> None:
    pytest.importorskip(dotted.partition(".")[0])
    session = opened(ImportPath("torch", dotted), {}, 0.01)
    session.train(range(2))
    before = session.weights()
    session.probe("update", range(4))
    session.sync()
    for name, array in session.weights().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("name", ["torch.optim.AdamW", "pytorch_optimizer.SAM", "heavyball.SOAP"])
def test_the_schedule_is_followed(opened: Callable[..., Any], name: str) -> None:
    pytest.importorskip(name.partition(".")[0])
    session = opened(ImportPath("torch", name), {}, 0.01)
    session.set_learning_rates(np.repeat([0.01, 0.0], [6, STEPS - 6]))
    session.train(range(6))
    before = session.weights()
    session.train(range(6, STEPS))
    for key, array in session.weights().items():
        np.testing.assert_array_equal(array, before[key])

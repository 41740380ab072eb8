"""Layers, losses, metrics and penalties of every framework against the NumPy reference, float64."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from gradrace.layers import Embedding, Layer, build
from gradrace.plan import initial_weights
from gradrace.registry import load_registry
from layer_cases import CASES
from layer_table import STEPS, TASKS
from programs import printed, saved

REGISTRY = load_registry()
FRAMEWORKS = [
    name
    for name in ("torch", "tensorflow", "jax")
    if REGISTRY.frameworks[name].versions() is not None
]
LAYER_RTOL, SESSION_RTOL = 1e-12, 1e-11
Table = dict[str, np.ndarray]


def table_of(framework: str, planted: str = "") -> Table:
    """The arrays of layer_table.py, run in its own process after the statements `planted`."""
    return saved(f"import layer_table\n{planted}\nlayer_table.main()\n", framework)


@pytest.fixture(scope="session")
def layer_tables() -> dict[str, Table]:
    return {name: table_of(name) for name in ["numpy", *FRAMEWORKS]}


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference relative to the largest entry; 0 for two empty or two zero arrays."""
    assert found.shape == expected.shape and found.dtype == np.float64
    size = np.abs(expected).max(initial=0.0)
    apart = np.abs(found - expected).max(initial=0.0)
    return float(apart / size) if size else float(apart)


def worst(table: Table, reference: Table, kind: str) -> tuple[float, str]:
    """Over all entries of a kind, which both must have."""
    names = [name for name in reference if name.startswith(f"{kind}|")]
    assert names and set(names) == {name for name in table if name.startswith(f"{kind}|")}
    return max((difference(table[name], reference[name]), name) for name in names)


def test_the_table_covers_every_kind_of_layer():
    kinds = {type(case.layer) for case in CASES}
    assert kinds == set(get_args(get_args(Layer)[0]))


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("kind", ["layer", "loss"])
def test_layers_losses_and_metrics_equal_the_reference(layer_tables, framework, kind):
    size, name = worst(layer_tables[framework], layer_tables["numpy"], kind)
    print(f"{framework}: worst relative difference of a {kind} {size:.1e} ({name})")
    assert size <= LAYER_RTOL, name


def per_mode(table: Table, framework: str) -> dict[str, Table]:
    """mode -> the entries of its sessions, without the mode in their names."""
    return {
        mode: {
            name.replace(f"|{mode}|", "|", 1): v
            for name, v in table.items()
            if name.startswith(f"session|{mode}|")
        }
        for mode in REGISTRY.frameworks[framework].proof_modes
    }


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_sessions_equal_the_reference_at_every_step(layer_tables, framework):
    reference = per_mode(layer_tables["numpy"], "numpy")["reference"]
    for mode, table in per_mode(layer_tables[framework], framework).items():
        size, name = worst(table, reference, "session")
        print(f"{framework}-{mode}: worst relative difference of a session {size:.1e} ({name})")
        assert size <= SESSION_RTOL, f"{mode}: {name}"


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["numpy", *FRAMEWORKS])
def test_weights_come_back_bit_for_bit(layer_tables, framework):
    for mode, table in per_mode(layer_tables[framework], framework).items():
        for task in TASKS:
            start = initial_weights(task, 0)
            back = {name: table[f"session|{task.name}|start|{name}"] for name in start}
            assert all(np.array_equal(back[name], start[name]) for name in start), (
                f"{mode}: {task.name}"
            )


@pytest.mark.slow
@pytest.mark.skipif("torch" not in FRAMEWORKS, reason="PyTorch is not installed")
def test_torch_says_what_it_cannot_train():
    """One value a feature: batch normalisation raises, so the run is skipped with the reason."""
    script = """import layer_table as t
from gradrace.adapters.torch import ADAPTER
from gradrace.layers import *
from gradrace.registry import load_registry
from gradrace.spec import *
rate = ScheduleSpec(kind="constant", base_lr=0.1)
fields = {"optimizer": OptimizerSpec(name="sgd"), "framework": "torch", "mode": "eager"}
for shape, model in (
    ((64,), (Dense(units=10), BatchNorm())),
    ((8, 8), (BatchNorm(), Lstm(units=10))),
):
    task = t.task("alone", model, input_shape=shape, batch_size=1)
    run = RunSpec(task=task, schedule=rate, **fields)
    print(ADAPTER.supports(run, load_registry().optimizers["sgd"]))
"""
    refused = "PyTorch's batch normalisation refuses batches with one value a feature"
    assert printed(script).splitlines() == [refused, "None"]


def test_the_tasks_of_the_table_train(layer_tables):
    for task in TASKS:
        losses = layer_tables["numpy"][f"session|reference|{task.name}|loss"]
        assert losses.shape == (STEPS,) and np.isfinite(losses).all()
        names = [p.name for built in build(task.model, task.input_shape) for p in built.parameters]
        for name in names:
            start, end = (
                layer_tables["numpy"][f"session|reference|{task.name}|{at}|{name}"]
                for at in ("start", "end")
            )
            assert not np.array_equal(start, end), f"{task.name}: {name} did not move"
    assert any(isinstance(layer, Embedding) for task in TASKS for layer in task.model)


# Statements that plant a fault in PyTorch (`gradrace verify` has the long list), and the kinds of
# entries that then differ.
FAULTS = {
    "unbiased running variance": (
        """from gradrace.adapters.torch.layers import _BatchNorm as B
init = B.__init__
def wrong(self, *a): init(self, *a); self._biased = 1.0
B.__init__ = wrong""",
        ("layer", "session"),
    ),
    "the odd one of the padding before": (
        """import gradrace.adapters.torch.layers as t
same = t.same_padding
t.same_padding = lambda n, w, s: same(n, w, s)[::-1]""",
        ("layer", "session"),
    ),
    "flattened channels first": (
        """import gradrace.adapters.torch.layers as t
layout = t._layout
t._layout = lambda layer, parameter, flattened: layout(layer, parameter, None)""",
        ("session",),
    ),
    "epsilon in the clipped norm": (
        """import torch
norm = torch.nn.utils.get_total_norm
torch.nn.utils.get_total_norm = lambda g: norm(g) + 1e-6""",
        ("session",),
    ),
    "decay after the learning rate is gone": (
        """import gradrace.adapters.torch.losses as t
before = t.before_update
def wrong(r, p, k):
    apply = before(r, p, k)
    return apply and (lambda rate: apply(1.0))
t.before_update = wrong""",
        ("session",),
    ),
    "another step's masks": (
        """import gradrace.adapters.torch.session as t
masks = t.dropout_masks
t.dropout_masks = lambda b, s, at, n: masks(b, s, range(at.start + 1, at.stop + 1), n)""",
        ("session",),
    ),
}


@pytest.mark.slow
@pytest.mark.skipif("torch" not in FRAMEWORKS, reason="PyTorch is not installed")
@pytest.mark.parametrize("fault", FAULTS)
def test_the_comparison_notices(layer_tables, fault):
    planted, noticed_in = FAULTS[fault]
    table = table_of("torch", planted)
    for kind in noticed_in:
        reference = layer_tables["numpy"]
        if kind == "session":
            table = per_mode(table, "torch")["eager-fused"]
            reference = per_mode(reference, "numpy")["reference"]
        size, _ = worst(table, reference, kind)
        assert size > 1e-9, f"{fault}: {kind}"


def test_torch_refuses_targets_of_another_shape_than_the_outputs():
    torch = pytest.importorskip("torch")
    from gradrace.adapters.torch.losses import prepared

    with pytest.raises(ValueError, match="wants targets of that shape"):
        prepared(REGISTRY.tasks["diabetes_mlp"], (1,), np.zeros((4, 2)), torch.float64)

"""PyTorch's mode cudagraph on the CPU: everything but the capture itself, which needs a GPU."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gradrace.registry import load_registry
from programs import below, saved

REGISTRY = load_registry()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        REGISTRY.frameworks["torch"].versions() is None, reason="PyTorch is not installed"
    ),
]


def found() -> dict[str, Any]:
    """The values that captured_torch.py saves as JSON."""
    said = saved("captured_torch.py")
    return {name: json.loads(str(each)) for name, each in said.items() if each.dtype.kind == "U"}


# In float64: these read a rate, a count or a norm on the host, whatever they are asked for.
NEVER = {
    *("adafactor canonical", "adafactor native", "lbfgs canonical", "radam canonical"),
    "muon canonical",
}
# Classes of other packages count steps on the host, but for Lion, which does not count.
COUNTING = {
    name
    for name, optimizer in REGISTRY.optimizers.items()
    if "torch" in optimizer.bindings and optimizer.bindings["torch"].requires
} - {"lion"}
# These have a fused form that takes the learning rate from the device in float32 alone.
# lion-pytorch's class takes a rate on the host.
AT_ONE_RATE = {"sgd", "momentum", "nesterov", "adagrad", "lion"}


@pytest.mark.parametrize("kind", ["constant", "cosine"])
def test_every_class_gives_the_numbers_of_eager_fused_or_is_refused(kind):
    differences = below(found(), f"optimizers|{kind}|")
    refused = {name for name, value in differences.items() if isinstance(value, str)}
    at_one_rate = {name for name in differences if name.partition(" ")[0] in AT_ONE_RATE}
    counting = {name for name in differences if name.partition(" ")[0] in COUNTING}
    assert refused == NEVER | counting | (at_one_rate if kind == "cosine" else set())
    why = ("reads a tensor on the host (", "on the host at every step")
    assert all(any(text in differences[name] for text in why) for name in refused)
    assert len(differences) >= 35
    for name, value in differences.items():
        assert name in refused or value <= 1e-13, name


def test_fused_classes_follow_a_schedule_in_float32():
    differences = below(found(), "float32|")
    assert set(differences) == {"sgd", "nesterov", "adagrad", "adam"}
    assert max(differences.values()) < 1e-6


def test_layers_penalties_masks_and_inputs_give_the_numbers_of_eager_fused():
    differences = below(found(), "tasks|")
    assert len(differences) == 6 and max(differences.values()) < 1e-13


def test_new_learning_rates_are_captured_anew():
    assert found()["new rates"] < 1e-13 and found()["new rates|programs"] == 2


def test_the_first_call_captures_whatever_its_length():
    assert found()["programs"] == [0, 1, 1, 1]
    assert found()["losses"] == [7, 0] and found()["parts"] == []


@pytest.mark.parametrize("task", ["everything", "native dropout"])
def test_asking_for_gradients_leaves_the_run_as_it_was(task):
    assert found()[f"gradients|cudagraph|{task}|as without"] is True


ON_HOST = "its optimizer changes {!r} on the host at every step, which a CUDA graph cannot repeat"


def test_what_a_graph_would_repeat_wrongly_is_refused():
    users = below(found(), "users|")
    assert users.pop("Mine") == 0.0
    for name in ("Reads", "Asks"):
        assert users.pop(name).startswith("its step reads a tensor on the host (captured_torch.py")
    assert users == {
        "Counts": ON_HOST.format("taken"),
        "CountsInItsState": ON_HOST.format("[0].t"),
        "NewTensors": ON_HOST.format("[0].mean"),
        "Opaque": "the state of its optimizer cannot be looked into, so that the steps before the"
        " capture of a CUDA graph could not be undone",
    }


def test_the_classes_are_asked_to_be_capturable_and_fused_where_that_is_exact():
    in_lists = {"capturable": True, "fused": None, "foreach": True}
    fused = {"capturable": True, "fused": True, "foreach": None}
    assert below(found(), "arguments|") == {
        "adam cosine": in_lists,
        "adam constant": fused,
        "rmsprop cosine": in_lists,
    }


def test_what_no_graph_can_hold_is_refused_before_it_starts():
    assert below(found(), "refusals|") == {
        "cpu": "mode cudagraph needs a GPU: a CUDA graph replays work of the device",
        "gpu": None,
        "asks for the loss": "torch.optim.LBFGS evaluates the loss itself, on the host; no CUDA"
        " graph can do that",
    }


def test_a_step_is_captured_once_and_then_replayed():
    taken = below(found(), "capture|")
    assert taken["order"][:4] == ["begin Graph", "take", "end", "replay"]
    assert taken["refused"] == (
        "torch cannot capture this step in a CUDA graph: operation not permitted when stream is"
        " capturing"
    )

"""PyTorch's modes, dtypes, parts of a step and input, each in a process of its own."""

from __future__ import annotations

import json
from typing import Any

import gradrace
import numpy as np
import pytest
from gradrace.registry import load_registry
from programs import below, saved

REGISTRY = load_registry()
pytestmark = pytest.mark.skipif(
    REGISTRY.frameworks["torch"].versions() is None, reason="PyTorch is not installed"
)


def found(section: str, **variables: str) -> dict[str, Any]:
    """What modes_torch.py saves: arrays, and values of JSON."""
    return {
        name: json.loads(str(value)) if value.dtype.kind == "U" else value
        for name, value in saved("modes_torch.py", section, **variables).items()
    }


def under(section: str, start: str) -> dict[str, Any]:
    return below(found(section), start)


@pytest.mark.slow
@pytest.mark.parametrize(("section", "mode"), [("eager", "eager"), ("compile", "compile")])
def test_the_numbers_do_not_depend_on_the_mode(section, mode):
    """With batch norm, dropout, penalties, clipping, recurrent layers and L-BFGS."""
    fused = under(section, "modes|eager-fused|")
    for name, value in under(section, f"modes|{mode}|").items():
        assert np.isfinite(value).all(), name
        assert np.allclose(value, fused[name], rtol=1e-11, atol=1e-12), name


@pytest.mark.slow
@pytest.mark.parametrize("how", ["open", "updates"])
def test_eager_leaves_the_choice_to_the_class_and_eager_fused_takes_fused_where_it_exists(how):
    for mode in ("eager", "eager-fused"):
        given = {
            name: value
            for name, value in under("eager", f"classes|{mode}|").items()
            if name.endswith(how)
        }
        asked = {
            name.partition("|")[0] for name, value in given.items() if json.loads(value)["fused"]
        }
        assert len(given) == 8 and asked == (
            {"sgd", "adam", "adamw", "adagrad", "amsgrad"} if mode == "eager-fused" else set()
        )
        assert all(json.loads(value)["foreach"] is None for value in given.values())


@pytest.mark.slow
@pytest.mark.parametrize("task", ["mlp", "everything", "lstm"])
@pytest.mark.parametrize("mode", ["eager", "eager-fused"])
def test_bfloat16_trains_in_bfloat16_alone(task, mode):
    entries = under("eager", f"bfloat16|{task} {mode}|")
    assert entries["dtypes"] == ["torch.bfloat16"], (
        "parameters, statistics, optimizer state and batches"
    )
    assert entries["end"][0] < 0.9 * entries["start"][0]
    assert entries["losses"].dtype == np.float64 and entries["losses"].shape == (12,)
    weights = [value for name, value in entries.items() if name.startswith("weight ")]
    # A float32 of eight significant bits has zeros in the others.
    assert all(w.dtype == np.float32 and not (w.view(np.uint32) & 0xFFFF).any() for w in weights)


PROBED = [
    "mlp sgd",
    "everything adam",
    "native dropout momentum",
    "mlp rmsprop_momentum",
    "mlp rprop",
    "mlp asgd",
    "mlp lbfgs",
]


@pytest.mark.slow
@pytest.mark.parametrize("case", PROBED)
def test_a_probed_part_is_that_part_of_the_step_and_leaves_no_trace(case):
    """Neither in weights, running statistics and random numbers nor in the optimizer's state."""
    entries = under("eager", f"probe|{case}|")
    assert entries["parts"] == ["forward", "gradient", "update"][: 2 if "lbfgs" in case else 3]
    for first in (0, 5):
        assert entries[f"unmoved {first}"]
        probed, trained = entries[f"loss {first}"]
        assert probed == trained, "the forward pass computes the loss of the step"
        assert entries[f"gradient {first}"], "and the gradient the gradients that the step has"
    assert entries["as without"]


@pytest.mark.slow
def test_a_probed_update_is_a_step_of_the_class_for_every_parameter_at_a_rate_of_zero():
    for name, seen in under("eager", "moves|").items():
        assert seen["rates"] == [0.0] * 7, name
        assert seen["taken"] == [7.0] * 10, f"{name}: the steps that each of the ten tensors took"
    assert found("eager")["unknown part"] == "backward cannot be timed apart here"


@pytest.mark.slow
def test_the_pipeline_gives_the_bits_of_resident_data():
    resident = under("eager", "input|resident|")
    for name, value in under("eager", "input|pipeline|").items():
        assert np.array_equal(value, resident[name]), name
    assert found("eager")["input|through the dataset"] == "pipeline"


@pytest.mark.slow
def test_the_policy_is_set_and_stated():
    of = under("eager", "policy|")
    assert of["cpu"]["torch.get_num_threads"] == "1"
    assert of["cpu"]["torch.are_deterministic_algorithms_enabled"] == "False"
    gpu = {name.rpartition(".")[2]: value for name, value in of["gpu"].items()}
    assert (
        gpu["are_deterministic_algorithms_enabled"] == "True"
        and gpu["benchmark"] == gpu["allow_tf32"] == "False"
    )
    assert gpu["get_float32_matmul_precision"] == "highest" and "CUBLAS_WORKSPACE_CONFIG" in gpu
    caches = "torch.compiler.config.force_disable_caches"
    assert (of["timed"][caches], of["compile"][caches]) == (
        "True",
        "False",
    ), "first calls that are measured compile"


REFUSALS = {
    "mode": "PyTorch has no mode 'graph' here",
    "device": "no GPU visible to PyTorch",
    "batch norm": "PyTorch's batch normalisation refuses batches with one value a feature",
    "optimizer": "ftrl is not available in torch",
    "nothing": None,
    "compile anyway refused": "ftrl is not available in torch",
}


@pytest.mark.slow
def test_what_cannot_be_done_is_refused_with_the_reason():
    reasons = {
        name.removeprefix("refusals|"): reason
        for name, reason in found("refusals", CXX="/no/such/compiler").items()
    }
    assert reasons.pop("compile").startswith("torch.compile needs a C++ compiler")
    assert reasons == REFUSALS


@pytest.mark.slow
def test_compilations_count_the_programs_of_one_session():
    counts = found("compile")["compilations"]
    alone = [
        "first step",
        "more steps",
        "evaluated",
        "after that",
        "probed",
        "longer call",
        "after another session",
    ]
    assert counts["opened"] == 0 and {counts[when] for when in alone} == {1}
    assert (counts["of another session"], counts["another shape"]) == (1, 2)


@pytest.mark.slow
def test_many_sessions_of_one_shape_are_all_compiled():
    """torch keeps 8 programs of one function and then goes on in eager mode without a word."""
    assert found("compile")["many"] == [1] * 12


@pytest.mark.slow
def test_a_release_that_mixes_programs_compiles_one_session_after_another():
    of = under("older", "older|")
    assert of["second"] == (
        f"torch.compile of PyTorch {REGISTRY.frameworks['torch'].versions()['torch']} cannot keep"
        " the programs of two sessions apart, and this process has another one open"
    )
    assert of["programs"] == [1] * 13 and of["after a broken one"] is True


OLDER = """
import sys
from gradrace.optimizers.sgd import OPTIMIZER

if "worker" in sys.argv[0]:
    import torch

    whole = torch.compile

    def compile(model=None, *, fullgraph=False, backend="inductor"):
        return whole(model, fullgraph=fullgraph, backend="eager")

    torch.compile = compile
"""


@pytest.mark.slow
@pytest.mark.parametrize(("version", "apart"), [("2.11.0+cu130", True), ("2.13.0", False)])
def test_such_a_release_is_timed_in_a_process_for_each_cell(tmp_path, monkeypatch, version, apart):
    """If the version claims another release, two cells share a process, and one is skipped."""
    versions = lambda framework, interpreters: {"torch": version}
    monkeypatch.setattr("gradrace.sweep.planner.versions_of", versions)
    (tmp_path / "older.py").write_text(OLDER)
    suite = {
        **{"title": "Older", "tasks": ["breast_cancer_logreg"], "frameworks": ["torch"]},
        **{"optimizers": ["sgd", "adam"], "schedules": ["constant"], "convergence": False},
        "modes": {"torch": ["compile"]},
        "timing": {"launches": 1, "warmup_steps": 4, "blocks": 4, "block_steps": 2},
    }
    files = {"output": tmp_path / "results", "load": [tmp_path / "older.py"]}
    frames = gradrace.run(suite, verify=False, **files)
    found = frames.runs[["status", "reason"]].sort_values("status")
    assert found["status"].tolist() == ["ok", "ok" if apart else "skipped"]
    assert apart or "cannot keep the programs of two sessions apart" in found["reason"].iloc[-1]

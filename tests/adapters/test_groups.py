"""Parameter groups in real sessions: every framework trains as the NumPy reference does."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from grouped_runs import CASES, MODES, REGISTRY
from programs import below, saved

FRAMEWORKS = ("torch", "tensorflow", "jax")
INSTALLED = [name for name in FRAMEWORKS if REGISTRY.frameworks[name].versions() is not None]
PAIRS = [
    (framework, mode, name)
    for framework in INSTALLED
    for name, case in CASES.items()
    for mode in (MODES[framework] if case.every else MODES[framework][:1])
]


@cache
def found(framework: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    arrays = dict(saved("grouped_runs.py", framework))
    return arrays, json.loads(str(arrays.pop("said")))


def of(framework: str, name: str, mode: str) -> dict[str, np.ndarray]:
    arrays, said = found(framework)
    if name in said["refused"]:
        pytest.skip(said["refused"][name])
    return below(arrays, f"{name}|{mode}|")


@pytest.mark.parametrize(("framework", "mode", "name"), PAIRS, ids=map("/".join, PAIRS))
def test_groups_train_as_the_reference_does(framework, mode, name):
    own, reference = of(framework, name, mode), of("numpy", name, "reference")
    assert own.keys() == reference.keys()
    for key, expected in reference.items():
        if key.partition(" ")[0] in ("losses", "evaluated", "weight"):
            scale = max(1.0, np.abs(expected).max())
            assert np.abs(own[key] - expected).max() <= 1e-12 * scale, key


@pytest.mark.parametrize(("framework", "mode", "name"), PAIRS, ids=map("/".join, PAIRS))
def test_the_state_is_that_of_all_optimizers(framework, mode, name):
    own, reference = of(framework, name, mode), of("numpy", name, "reference")
    assert own["state bytes"] == reference["state bytes"] > 0


@pytest.mark.parametrize(("framework", "mode", "name"), PAIRS, ids=map("/".join, PAIRS))
def test_a_probed_update_moves_no_weight_of_any_group(framework, mode, name):
    own = of(framework, name, mode)
    for parameter, value in below(own, "weight ").items():
        assert np.array_equal(own[f"probed {parameter}"], value), parameter


@pytest.mark.skipif("torch" not in INSTALLED, reason="PyTorch is not installed")
def test_an_import_path_and_a_matrices_only_class_train_their_parts():
    """torch.optim.Muon takes hidden kernels alone; Adam by name and by path is the same class."""
    named, imported = of("torch", "named", "eager"), of("torch", "imported", "eager")
    assert np.isfinite(named["losses"]).all() and named["losses"][-1] < named["losses"][0]
    assert all(np.array_equal(named[key], imported[key]) for key in named)


@pytest.mark.parametrize("framework", INSTALLED)
def test_a_population_leaves_such_runs_alone(framework):
    assert "parameter groups" in found(framework)[1]["lanes"]

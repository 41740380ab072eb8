"""Adapters' folders: one table of layers and of modes each, all in the digest, none on sys.path."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import gradrace.adapters
import pytest
from gradrace import layers
from gradrace.registry import import_adapter, load_registry
from gradrace.sources import hashes, reach

REGISTRY = load_registry()
FRAMEWORKS = [name for name, each in REGISTRY.frameworks.items() if each.versions() is not None]
FOLDER = Path(gradrace.adapters.__file__).parent
KINDS = {kind.__name__ for kind in get_args(get_args(layers.Layer)[0])}
SHARED = {
    "numpy": {"held_arrays", "large_data"},
    "torch": {"held_arrays", "large_data"},
    "tensorflow": {"held_arrays", "deferred", "large_data"},
    "jax": {"deferred", "large_data"},
}
# Reached from the optimizers that are built of them.
PIECES = {"jax": {"jax.pieces"}, "torch": {"torch.early_state", "torch.third_party"}}
# Looks at optimizers, steps them for `certify`, and profiles steps; no run is computed by these.
BESIDE_RUNS = {"imported", "script", "profiling"}
TABLES = """
import importlib, json, sys
def table(module, name):
    try:
        found = getattr(importlib.import_module(f"gradrace.adapters.{sys.argv[1]}.{module}"), name)
    except ModuleNotFoundError:
        return None
    return sorted(getattr(key, "__name__", key) for key in found)
print(json.dumps([table("layers", "LAYERS"), table("modes", "MODES"), sys.path]))
"""


def files(framework: str) -> set[str]:
    """Modules of a framework's folder and what it shares, below gradrace.adapters."""
    stems = {file.stem for file in (FOLDER / framework).glob("*.py")} - BESIDE_RUNS
    if framework == "numpy":
        stems -= {"instance"}
    own = {f"{framework}.{stem}" for stem in stems}
    return {name.removesuffix(".__init__") for name in own} | SHARED[framework]


@pytest.fixture(scope="module", params=FRAMEWORKS)
def tables(request) -> tuple[str, list[str], list[str] | None, list[str]]:
    """Framework, kinds of layers, modes if it has several, and where its process finds modules."""
    command = [sys.executable, "-c", TABLES, request.param]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return request.param, *json.loads(done.stdout.splitlines()[-1])


def test_every_adapter_has_every_kind_of_layer(tables):
    assert set(tables[1]) == KINDS


def test_the_literal_modes_are_those_of_the_table(tables):
    name, _, modes, _ = tables
    assert modes is None or set(modes) == set(REGISTRY.frameworks[name].modes)
    assert (modes is None) == (len(REGISTRY.frameworks[name].modes) == 1)


def test_no_process_looks_for_modules_in_adapters(tables):
    for entry in (*tables[3], *sys.path):
        assert FOLDER not in (Path(entry).resolve(), *Path(entry).resolve().parents), entry


def test_neither_a_suite_nor_a_user_s_adapter_puts_adapters_on_the_path(tmp_path, gradrace):
    """A file that notes where its worker looks for modules."""
    adapter = (FOLDER / "numpy" / "__init__.py").read_text().replace('"numpy"\n', '"mine"\n', 1)
    note = f'import sys\nopen({str(tmp_path / "seen")!r}, "a").write(repr(sys.path) + "\\n")\n'
    (tmp_path / "mine.py").write_text(adapter.replace("\nimport numpy", f"\n{note}import numpy", 1))
    suite = 'title = "T"\ntasks = ["digits_mlp"]\nframeworks = ["mine"]\noptimizers = ["sgd"]\n'
    suite += 'seeds = 1\nsteps = 2\neval_every = 2\ndtype = "float64"\n'
    (tmp_path / "suite.toml").write_text(suite)
    done = gradrace("run", "suite.toml", "--load", "mine.py", "--output", "out")
    assert done.returncode == 0, done.stderr
    seen = (tmp_path / "seen").read_text().splitlines()
    assert seen and not any(f"{FOLDER}'" in line or f"{FOLDER}/" in line for line in seen)


@pytest.mark.parametrize("name", SHARED)
def test_every_file_of_an_adapter_counts(name):
    """All that a run of any optimizer may use, and, but for pieces, of a plain one as well."""
    framework = REGISTRY.frameworks[name]
    plain = hashes([framework.file, REGISTRY.optimizer_files["adam"]])
    every = hashes([framework.file, *REGISTRY.optimizer_files.values()])
    expected = {f"gradrace.adapters.{module}" for module in files(name)}
    pieces = {f"gradrace.adapters.{module}" for module in PIECES.get(name, ())}
    assert expected <= every.keys()
    assert expected - plain.keys() == pieces


@pytest.mark.parametrize("by", ["folder", "file"])
def test_a_user_s_adapter_may_be_a_package(tmp_path, by):
    package = tmp_path / f"own_adapter_{by}"
    package.mkdir()
    stated = 'FRAMEWORK = "own"\nTITLE = "Own"\nREQUIRES = ("numpy",)\nMODES = ("a",)\n'
    stated += 'CONVERGENCE_MODE = "a"\nfrom .inner_part import ADAPTER\n'
    (package / "__init__.py").write_text(stated)
    (package / "inner_part.py").write_text("ADAPTER = 'an adapter'\n")
    given = package if by == "folder" else package / "__init__.py"
    registry = load_registry([given])
    assert registry.plugins == (package / "__init__.py",)
    assert import_adapter(registry.frameworks["own"]) == "an adapter"
    assert str(package) in sys.path[-1]
    assert "inner_part" in reach(registry.plugins, [], [], []).sources

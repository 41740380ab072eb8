"""Optimizers of other packages: their versions enter digests; without them cells are skipped."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace

import pytest
from gradrace.commands.list import catalogue
from gradrace.registry import load_registry
from gradrace.spec import OptimizerSpec
from gradrace.sweep.planner import Planner


@pytest.fixture
def planner():
    """Of a registry whose AdaBelief needs a package that nobody has."""
    registry = load_registry()
    adabelief = registry.optimizers["adabelief"]
    torch = replace(adabelief.bindings["torch"], requires=("not-there-at-all", "schedulefree"))
    mine = replace(adabelief, bindings={**adabelief.bindings, "torch": torch})
    return Planner(replace(registry, optimizers={**registry.optimizers, "adabelief": mine}), {})


def run_of(make_run, name, framework):
    return make_run().model_copy(
        update={"framework": framework, "optimizer": OptimizerSpec(name=name)}
    )


def test_a_run_whose_package_is_missing_says_how_to_install_it(make_run, planner):
    pytest.importorskip("torch")
    assert planner.missing(run_of(make_run, "adabelief", "torch")) == (
        "not installed: not-there-at-all (pip install gradrace[optimizers])"
    )
    assert planner.missing(run_of(make_run, "adam", "torch")) is None


def test_other_frameworks_do_not_need_the_package(make_run, planner):
    pytest.importorskip("optax")
    assert planner.missing(run_of(make_run, "adabelief", "jax")) is None


@pytest.mark.parametrize(
    ("name", "distribution"), [("schedule_free_sgd", "schedulefree"), ("lion", "lion-pytorch")]
)
def test_the_package_s_version_is_in_the_digest(make_run, monkeypatch, name, distribution):
    pytest.importorskip(distribution.replace("-", "_"))
    run, registry = run_of(make_run, name, "torch"), load_registry()
    planned = Planner(registry, {}).plan(run)
    version = importlib.metadata.version
    assert planned.versions[distribution] == version(distribution)
    monkeypatch.setattr(
        importlib.metadata, "version", lambda of: "0.0.1" if of == distribution else version(of)
    )
    upgraded = Planner(registry, {}).plan(run)
    assert upgraded.versions[distribution] == "0.0.1"
    assert upgraded.digest != planned.digest


def test_list_names_the_packages_that_are_not_here(monkeypatch):
    version = importlib.metadata.version

    def without(of: str) -> str:
        if of == "lion-pytorch":
            raise importlib.metadata.PackageNotFoundError(of)
        return version(of)

    monkeypatch.setattr(importlib.metadata, "version", without)
    classes = {row["optimizer"]: row["in"] for row in catalogue()["optimizers"]}
    assert "torch: lion_pytorch.Lion (not installed: lion-pytorch)" in classes["lion"]
    assert "not installed" not in classes["adam"]

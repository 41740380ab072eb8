"""A suite's run verifies its cells: which cases, once, within a budget, and what stays valid."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gradrace.layers import Dropout
from gradrace.registry import Registry, load_registry
from gradrace.sources import hashes
from gradrace.spec import OptimizerSpec
from gradrace.sweep import Options, Sweep, prepare
from gradrace.verify import file as verify_file
from gradrace.verify import suite
from gradrace.verify.cells import selection
from gradrace.verify.current import current
from gradrace.verify.driver import sources
from gradrace.verify.file import is_full
from gradrace.verify.suite import Verified, expected_s, is_done, verify_suite
from gradrace.verify.verdict import Side, Verdict, VerifyFile
from records import MACHINE
from tiny import TINY, planned, toml

FAKE = """
import numpy as np
from gradrace.adapters.numpy import NumpyAdapter

FRAMEWORK = "fake"
TITLE = "A fake"
REQUIRES = ("numpy",)
MODES = ("plain",)
CONVERGENCE_MODE = "plain"

class Fake(NumpyAdapter):
    name = "fake"

    def updates(self, run, optimizer, start, gradients, rates):
        after = super().updates(run, optimizer, start, gradients, rates)
        for step in after[7:]:
            step.setdefault("1_conv2d.bias", np.zeros(4))[2] += WRONG
        return after

ADAPTER = Fake()
"""
PLAN = {**TINY, "frameworks": ["fake", "numpy"], "timing": False}


@pytest.fixture
def swept(tmp_path) -> Callable[..., Sweep]:
    """A suite of the NumPy reference and a copy of it, whose updates may be wrong."""

    def make(wrong: float = 0.0, **changes: object) -> Sweep:
        (tmp_path / "fake.py").write_text(FAKE.replace("WRONG", str(wrong)))
        (tmp_path / "two.toml").write_text(toml({**PLAN, **changes}))
        options = Options(output=tmp_path / "results")
        return prepare(str(tmp_path / "two.toml"), [tmp_path / "fake.py"], options)

    return make


def test_cells_are_verified_once_and_anew_if_a_source_changes(swept, tmp_path):
    told: list[str] = []
    first = verify_suite(swept(), told.append)
    assert (first.failures, first.says, first.computed) == ((), (), 5)
    assert "5 cases, about 5 s, at most 45 s" in told[0]
    kept = verify_file.read(tmp_path / "results")
    assert {f"{v.level}/{v.case}" for v in kept.verdicts} == {
        *(f"updates/{name}/canonical/decaying" for name in ("sgd", "adam")),
        *(f"trajectories/digits_mlp/{name}" for name in ("sgd", "adam")),
        "rates/constant/float64",
    }
    assert {v.verdict for v in kept.verdicts} == {"equal"} and not is_full(kept)
    assert is_done(swept()) and expected_s(swept()) == 0.0
    assert verify_suite(swept(), told.append) == Verified() and len(told) == 1

    more = verify_suite(swept(optimizers=["sgd", "adam", "momentum"]))
    assert more.computed == 2

    changed = verify_suite(swept(wrong=0.125))
    assert changed.computed == 5
    assert len(changed.failures) == 2 and "step 7, 1_conv2d.bias[2]" in changed.failures[0]
    again = verify_suite(swept(wrong=0.125))
    assert (again.failures, again.computed) == (changed.failures, 0)


def test_nothing_is_computed_after_the_budget(swept, tmp_path):
    began = time.monotonic()
    found = verify_suite(swept(), budget_s=0.0)
    assert time.monotonic() - began < 30 and found.failures == ()
    assert "5 of 5 cases were not finished after 0 s" in found.says[0]
    assert verify_file.read(tmp_path / "results").verdicts == ()
    assert is_done(swept())


def test_numpy_alone_has_nothing_to_be_compared_with(tmp_path):
    assert "NumPy alone" in verify_suite(planned(tmp_path)).says[0]


def test_other_machines_runs_are_not_verified_here(swept):
    sweep = swept()
    elsewhere = suite.replace(sweep, options=suite.replace(sweep.options, executor="ray"))
    assert "--executor ray" in verify_suite(elsewhere).says[0]


def test_a_failure_ends_the_run_with_code_1_and_can_be_turned_off(gradrace, swept, tmp_path):
    swept(wrong=0.125)
    command = ("run", "two.toml", "--load", "fake.py", "--no-report", "--json")
    plan = gradrace(*command[:-1], "--dry-run")
    assert "then its cells are verified: about 5 s, at most 45 s" in plan.stderr
    without = gradrace(*command, "--no-verify")
    assert without.returncode == 0 and not (tmp_path / "results/verify.json").exists()
    done = gradrace(*command, "-q")
    assert done.returncode == 1 == json.loads(done.stdout)["exit_code"]
    assert "FAILED  updates/sgd/canonical/decaying" in done.stderr
    assert "NOT fair" in done.stderr and "verifying the cells" not in done.stderr
    assert gradrace(*command).returncode == 1, "verdicts that are kept count as well"


# -- which cases


def cells(registry: Registry, *specs: object) -> set[str]:
    return set(selection(registry, specs).cells)


def test_a_varied_task_is_verified_layer_by_layer(registry, make_run):
    run = make_run(name="sgd", framework="torch", mode="eager")
    task = registry.tasks["digits_mlp"]
    varied = task.model_copy(
        update={"model": (*task.model[:1], Dropout(rate=0.5), *task.model[1:])}
    )
    rule = {"updates/sgd/canonical/decaying", "rates/constant/float64"}
    assert cells(registry, run) == {*rule, "trajectories/digits_mlp/sgd"}
    pieces = cells(registry, run.model_copy(update={"task": varied})) - rule
    assert {"layers/dropout/training", "losses/softmax_cross_entropy"} <= pieces
    assert not any(name.startswith("trajectories") for name in pieces)
    assert not any("conv2d" in name for name in pieces)


def test_native_rules_are_verified_as_such_and_import_paths_not_at_all(registry, make_run):
    native = OptimizerSpec(name="adam", hyper={}, rule="native")
    run = make_run(framework="torch", mode="eager")
    found = cells(registry, run.model_copy(update={"optimizer": native}))
    assert "updates/adam/native/decaying" in found
    assert not any("canonical" in name for name in found)
    own = OptimizerSpec(name="torch:mine.Mine", hyper={}, rule="native")
    found = cells(registry, run.model_copy(update={"optimizer": own}))
    assert not any(name.startswith("updates") for name in found)


# -- which verdicts still hold


def verdict(a: str, b: str, optimizer: str = "adam") -> Verdict:
    sides = {"a": Side(framework=a), "b": Side(framework=b)}
    about = {"level": "updates", "case": f"{optimizer}/canonical/decaying", "rule": "canonical"}
    return Verdict(**about, optimizer=optimizer, **sides, verdict="equal", tolerance=1e-12)


VERSIONS = {"torch": {"torch": "2"}, "jax": {"jax": "1"}, "numpy": {"numpy": "2"}}


def full(registry: Registry) -> VerifyFile:
    pairs = [("torch", "numpy"), ("jax", "numpy"), ("torch", "jax")]
    return VerifyFile(
        gradrace="0.1",
        started_at="2026-03-01T10:00:00+00:00",
        seconds=1.0,
        options={"quick": False},
        versions=VERSIONS,
        sources=sources(registry),
        machine=MACHINE,
        verdicts=tuple(verdict(*pair, name) for pair in pairs for name in ("adam", "sgd")),
    )


def changed_module(registry: Registry, name: str) -> dict[str, str]:
    found = sources(registry)
    assert name in found
    return {**found, name: "other"}


@pytest.mark.parametrize(
    ("versions", "module", "left"),
    [
        ({}, "", 6),
        ({"torch": {"torch": "3"}}, "", 2),
        ({"jax": {}}, "", 2),
        ({}, "gradrace.adapters.torch.session", 2),
        ({}, "gradrace.optimizers.adam", 3),
        ({}, "gradrace.verify.compute", 0),
        ({}, "gradrace.tasks.adding", 6),
    ],
)
def test_only_verdicts_of_what_changed_are_dropped(registry, versions, module, left):
    now = changed_module(registry, module) if module else sources(registry)
    found = current(full(registry), registry, {**VERSIONS, **versions}, now)
    assert len(found.verdicts) == left
    assert is_full(found) == (left == 6)
    assert ("no longer hold" in " ".join(found.left_out)) == (left < 6)


def test_a_part_leaves_a_full_verification_full(registry, tmp_path):
    whole = full(registry)
    verify_file.write(tmp_path, whole, registry)
    options = {"options": {"cells": True}, "verdicts": whole.verdicts[:1]}
    found = verify_file.write(tmp_path, whole.model_copy(update=options), registry)
    assert is_full(found) and len(found.verdicts) == 6


def test_a_users_file_touches_only_what_it_brought(tmp_path):
    file = tmp_path / "mine.py"
    text = Path(load_registry().optimizer_files["sgd"]).read_text(encoding="utf-8")
    file.write_text(
        text.replace('name="sgd"', 'name="mine"')
        .replace("from ..", "from gradrace.")
        .replace("from ._", "from gradrace.optimizers._")
    )
    registry = load_registry([file])
    (label,) = (name for name in sources(registry) if not name.startswith("gradrace"))
    own = full(registry)
    own = own.model_copy(update={"verdicts": (*own.verdicts, verdict("torch", "jax", "mine"))})
    found = current(own, registry, VERSIONS, {**sources(registry), label: "other"})
    assert found.verdicts == own.verdicts[:-1]
    assert hashes([registry.optimizer_files["sgd"]]).keys() <= found.sources.keys()

"""The level `populations` of `gradrace verify`, with fakes of the NumPy reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from gradrace.errors import UserError
from gradrace.layers import BatchNorm, Dropout
from gradrace.registry import Registry, load_registry
from gradrace.verify import VerifyOptions, verify
from gradrace.verify.cases import (
    LANES,
    POPULATION_TASKS,
    PopulationCase,
    Selection,
    by_id,
    everything,
    table,
)
from gradrace.verify.populations import lanes_of
from gradrace.verify.verdict import Verdict

FAKE = """
from dataclasses import replace
import numpy as np
from gradrace.adapter import LanesImpossible
from gradrace.adapters.numpy import NumpyAdapter
from gradrace.adapters.numpy.population import NumpyPopulation

FRAMEWORK = "fake"
TITLE = "A fake"
REQUIRES = ("numpy",)
MODES = ("plain",)
CONVERGENCE_MODE = "plain"

class Poisoned(NumpyPopulation):
    def losses(self):
        found = super().losses()
        return found if np.abs(found).max() < 1e3 else found + 1e-15

class Fake(NumpyAdapter):
    name = "fake"
    {body}

ADAPTER = Fake()
"""
NO_POPULATIONS = "open_population = property()"
IMPOSSIBLE = """
    def lane_key(self, run, inputs):
        raise LanesImpossible("its update counts in Python")
"""
NEIGHBOUR = """
    def open_population(self, runs, starts, inputs, lanes):
        rates = [each.learning_rates for each in inputs]
        inputs = [replace(i, learning_rates=r) for i, r in zip(inputs, rates[1:] + rates[:1])]
        return super().open_population(runs, starts, inputs, lanes)
"""
POISONED = """
    def open_population(self, runs, starts, inputs, lanes):
        return Poisoned(super().open_population(runs, starts, inputs, lanes)._sessions)
"""
ONE_TABLE = """
    def open_population(self, runs, starts, inputs, lanes):
        population = super().open_population(runs, starts, inputs, lanes)
        population.set_learning_rates = lambda lane, rates: None
        return population
"""


@pytest.fixture
def found(tmp_path) -> Callable[[str, str], Verdict]:
    """The verdict of one case about a NumPy reference with something else in its class."""

    def verdict(body: str, case: str) -> Verdict:
        file = tmp_path / "fake.py"
        file.write_text(FAKE.replace("{body}", body))
        selection = Selection(keyword=f"populations/{case}", frameworks=("fake",))
        verdicts = verify(load_registry([file]), VerifyOptions(selection)).verdicts
        sides = [(v, {v.a.framework, v.b.framework}) for v in verdicts if v.case == case]
        of_fake = [v for v, names in sides if "fake" in names]
        assert len(of_fake) == 1, "lanes against their own single runs"
        return of_fake[0]

    return verdict


def test_lanes_that_are_single_runs_are_equal(found):
    for case in ("digits_mlp/momentum", "digits_mlp/adam/alone", "digits_mlp+batch_norm/adam"):
        verdict = found("pass", case)
        assert (verdict.verdict, verdict.worst) == ("equal", 0.0), case
    assert {verdict.a.mode, verdict.b.mode} == {"plain", "population"}


@pytest.mark.parametrize(
    ("body", "case", "tensor"),
    [
        (NEIGHBOUR, "digits_mlp/sgd", "losses of lane 0"),
        (POISONED, "digits_mlp+batch_norm/momentum/alone", "losses of lane 0"),
        (ONE_TABLE, "digits_mlp/adam/rates_replaced", "losses of lane 1"),
    ],
)
def test_a_lane_that_depends_on_another_fails(found, body, case, tensor):
    verdict = found(body, case)
    assert verdict.verdict == "FAILED" and verdict.place.tensor == tensor, verdict.reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (NO_POPULATIONS, "the fake adapter trains no populations"),
        (IMPOSSIBLE, "its update counts in Python"),
    ],
)
def test_a_framework_that_trains_no_populations_is_unavailable_with_the_reason(found, body, reason):
    verdict = found(body, "digits_mlp/sgd")
    assert verdict.verdict == "unavailable" and reason in verdict.reason


# -- the table


def chosen(registry: Registry, **selection: object) -> dict[str, PopulationCase]:
    cases = by_id(list(table(registry, Selection(**selection))))
    return {case.name: case for case in cases.values() if isinstance(case, PopulationCase)}


def test_every_optimizer_equal_in_all_libraries_trains_every_task_under_k(registry):
    every = chosen(registry, keyword="populations")
    three = {"torch", "tensorflow", "jax"}
    equal = [n for n, o in registry.optimizers.items() if three <= set(o.bindings) - set(o.differs)]
    assert len(equal) >= 13
    assert every.keys() >= {f"{task}/{name}" for task in POPULATION_TASKS for name in equal}
    assert {case.task.name for case in every.values() if case.bits} >= {*POPULATION_TASKS}
    kinds = {type(layer) for case in every.values() for layer in case.task.model}
    assert {BatchNorm, Dropout} <= kinds
    assert any(case.task.regularization.clip_norm for case in every.values())
    assert any(case.replaced_from for case in every.values())
    assert {case.rule for case in every.values()} == {"canonical", "native"}


def test_without_k_a_part_is_chosen_and_the_rest_named(registry):
    every = {c.name for c in everything(registry) if isinstance(c, PopulationCase)}
    plain, quick = chosen(registry).keys(), chosen(registry, quick=True).keys()
    assert quick < plain < every and quick
    assert {f"{task}/adam" for task in POPULATION_TASKS} <= plain
    assert chosen(registry, keyword="adam").keys() >= {f"{task}/adam" for task in POPULATION_TASKS}


def test_lanes_differ_in_all_that_a_lane_owns(registry):
    case = chosen(registry, keyword="populations/digits_mlp/adam")["digits_mlp/adam"]
    adam, framework = registry.optimizers["adam"], registry.frameworks["numpy"]
    lanes = lanes_of(case, framework, adam, "cpu")
    assert len(lanes) == LANES
    for own in (
        lambda lane: lane.run.seed,
        lambda lane: lane.run.schedule.base_lr,
        lambda lane: lane.run.optimizer.hyper["beta1"],
        lambda lane: lane.run.task.regularization.l2,
        lambda lane: lane.inputs.batches.tobytes(),
        lambda lane: lane.inputs.learning_rates.tobytes(),
        lambda lane: lane.start["0_dense.kernel"].tobytes(),
    ):
        assert len({own(lane) for lane in lanes}) == LANES
    assert {lane.run.schedule.kind for lane in lanes} == {"constant", "warmup_cosine"}


def test_nothing_is_called_so(registry):
    with pytest.raises(UserError, match="nothing to verify is called"):
        verify(registry, VerifyOptions(Selection(keyword="populations/nonesuch")))


def test_a_loaded_task_is_trained_in_lanes(registry):
    mine = replace(registry, loaded={"tasks": ("digits_rnn",)})
    assert list(chosen(mine)) == ["digits_rnn/adam"]

"""One population case in one framework: its runs by themselves, together, or each lane alone."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np

from ..adapter import Adapter, LanesImpossible, Metrics, PopulationAdapter
from ..optimizer import Optimizer
from ..plan import RunInputs, Weights, initial_weights, make_plan
from ..registry import Framework
from ..spec import POPULATION, Device, OptimizerSpec, RunSpec
from .cases import LANES, WILD_LANE, WILD_RATE, PopulationCase
from .verdict import REFEREE

Arrays = dict[str, np.ndarray]

# The side of a `bits` case that opens a program for every lane by itself.
ALONE = f"{POPULATION} alone"


class Lane(NamedTuple):
    """One run of a case, with its number in it."""

    number: int
    run: RunSpec
    inputs: RunInputs

    @property
    def start(self) -> Weights:
        return initial_weights(self.run.task, self.run.seed)


def population_modes(case: PopulationCase, framework: Framework) -> tuple[str, ...]:
    """The two sides of a case. The referee's lanes are its sessions: one task shows that."""
    if framework.name == REFEREE and not case.task.name.startswith("digits_mlp"):
        return ()
    return (POPULATION, ALONE) if case.bits else (framework.convergence_mode, POPULATION)


def lanes_of(
    case: PopulationCase, framework: Framework, optimizer: Optimizer, device: Device
) -> list[Lane]:
    """The runs of a case, in the framework's convergence mode."""
    canonical = case.rule == "canonical"
    own = zip(
        case.tasks(),
        case.schedules(optimizer.learning_rate),
        case.hypers(optimizer.hypers({}) if canonical else {}),
        strict=True,
    )
    runs = [
        RunSpec(
            task=task,
            optimizer=OptimizerSpec(name=optimizer.name, hyper=hyper, rule=case.rule),
            schedule=schedule,
            framework=framework.name,
            mode=framework.convergence_mode,
            device=device,
            dtype="float64",
            seed=lane,
        )
        for lane, (task, schedule, hyper) in enumerate(own)
    ]
    return [Lane(number, run, make_plan(run, optimizer)) for number, run in enumerate(runs)]


def trained(case: PopulationCase, adapter: Adapter, lanes: Sequence[Lane], mode: str) -> Arrays:
    """The case's arrays, those of each lane named by its number. LanesImpossible says why not."""
    if not hasattr(adapter, "open_population"):
        raise LanesImpossible(f"the {adapter.name} adapter trains no populations")
    able = cast(PopulationAdapter, adapter)
    if mode == ALONE:
        parts = [_together(case, able, [lane]) for lane in lanes if lane.number != WILD_LANE]
    elif mode == POPULATION:
        beside = [_wild(lane) if case.bits else lane for lane in lanes]
        parts = [_together(case, able, same) for same in _by_key(able, beside)]
    else:
        _by_key(able, lanes)
        parts = [_by_itself(case, able, lane) for lane in lanes]
    found = {name: array for part in parts for name, array in part.items()}
    return {name: found[name] for name in sorted(found)}


def _wild(lane: Lane) -> Lane:
    if lane.number != WILD_LANE:
        return lane
    schedule = lane.run.schedule.model_copy(update={"base_lr": WILD_RATE})
    run = lane.run.model_copy(update={"schedule": schedule})
    return Lane(lane.number, run, make_plan(run, lane.inputs.optimizer))


def _by_key(adapter: PopulationAdapter, lanes: Sequence[Lane]) -> list[list[Lane]]:
    """The lanes that the adapter lets share a program."""
    groups: dict[Hashable, list[Lane]] = {}
    for lane in lanes:
        key = adapter.lane_key(_in_population(lane.run), lane.inputs)
        groups.setdefault(key, []).append(lane)
    return list(groups.values())


def _in_population(run: RunSpec) -> RunSpec:
    return run.model_copy(update={"mode": POPULATION, "lanes": LANES})


def _together(case: PopulationCase, adapter: PopulationAdapter, lanes: Sequence[Lane]) -> Arrays:
    runs = [_in_population(lane.run) for lane in lanes]
    starts = [lane.start for lane in lanes]
    population = adapter.open_population(runs, starts, [lane.inputs for lane in lanes], LANES)
    for steps in _calls(case):
        for place, lane in enumerate(lanes):
            if _replaced(case, lane, steps):
                population.set_learning_rates(place, _halved(case, lane))
        population.train(steps)
    losses, evaluated = np.asarray(population.losses()), population.evaluate("validation")
    if losses.shape != (len(lanes), case.steps):
        raise ValueError(f"the losses are {list(losses.shape)}, not [runs, steps]")
    found: Arrays = {}
    for place, lane in enumerate(lanes):
        if not (case.bits and lane.number == WILD_LANE):
            found |= _named(lane, losses[place], evaluated[place], population.weights(place))
    population.close()
    return found


def _by_itself(case: PopulationCase, adapter: PopulationAdapter, lane: Lane) -> Arrays:
    session = adapter.open(lane.run, lane.start, lane.inputs)
    for steps in _calls(case):
        if _replaced(case, lane, steps):
            session.set_learning_rates(_halved(case, lane))
        session.train(steps)
    losses, evaluated = np.asarray(session.losses()), session.evaluate("validation")
    found = _named(lane, losses, evaluated, session.weights())
    session.close()
    return found


def _calls(case: PopulationCase) -> Iterator[range]:
    """Two equal calls: a population must go on where it stopped, and some compile every length."""
    for first, last in pairwise([0, case.steps // 2, case.steps]):
        yield range(first, last)


def _replaced(case: PopulationCase, lane: Lane, steps: range) -> bool:
    return steps.start == case.replaced_from > 0 and lane.number > 0


def _halved(case: PopulationCase, lane: Lane) -> np.ndarray:
    """The first lane keeps its rates: they are replaced for one lane at a time."""
    late = np.arange(case.steps) >= case.replaced_from
    return np.where(late, 0.5**lane.number, 1.0) * lane.inputs.learning_rates


def _named(lane: Lane, losses: np.ndarray, evaluated: Metrics, weights: Weights) -> Arrays:
    of = f"of lane {lane.number}"
    found = {f"losses {of}": losses, f"validation loss and metric {of}": np.array(evaluated)}
    return found | {f"weight {name} {of}": np.array(value) for name, value in weights.items()}

"""Work that a process does once, done and timed before its cells.

Devices, thread pools, allocators, modules that a library imports late, and the first use of each
kind of operation would else be paid by whichever cell of a process comes first. Measured with torch
2.13 on 2026-11-28: the first LSTM of a process took 28 ms for its first step, the others 1 ms.

Nothing here calls `train` on a cell's task, so that no program of a cell is compiled before its
first call."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TypeVar

from ..adapter import Adapter
from ..layers import Dense
from ..plan import RunInputs, initial_weights
from ..spec import OptimizerSpec, RunSpec, ScheduleSpec, TaskSpec

# The same in every process, so that the starts of frameworks can be compared.
_TASK = TaskSpec(
    name="start",
    title="One dense layer",
    data="digits",
    input_shape=(64,),
    model=(Dense(units=10),),
    batch_size=2,
    steps=2,
    eval_every=2,
    target=1.0,
    target_origin="none",
)
T = TypeVar("T")
# Draws a run's numbers, and loads its data.
Inputs = Callable[[RunSpec], RunInputs]


def start(adapter: Adapter, run: RunSpec, mode: str, inputs: Inputs) -> float | None:
    """Seconds of a process's first session: set-up and first step of one dense layer, compilation
    included, data and import left out. None if the framework cannot train it.

    run: any cell of the process, for device, dtype and threads. mode: the framework's first."""
    update = {"task": _TASK, "optimizer": OptimizerSpec(name="sgd"), "input": "resident"}
    schedule = ScheduleSpec(kind="constant", base_lr=0.1)
    first = run.model_copy(update={**update, "schedule": schedule, "mode": mode})

    def train() -> float:
        drawn, weights = inputs(first), initial_weights(first.task, first.seed)
        began = time.perf_counter()
        session = adapter.open(first, weights, drawn)
        session.train(range(1))
        session.sync()
        seconds = time.perf_counter() - began
        session.losses()
        session.close()
        return seconds

    return _tried("the framework's start", train)


def first_uses(adapter: Adapter, runs: Sequence[RunSpec], mode: str, inputs: Inputs) -> None:
    """A gradient of each task, in a session of its own. A library then has set up the kinds of
    operations and the shapes of the task, for all of its cells.

    Pipelines are left out: a second one might read all of the data."""

    def differentiate(run: RunSpec) -> bool:
        run = run.model_copy(update={"mode": mode})
        session = adapter.open(run, initial_weights(run.task, run.seed), inputs(run))
        session.gradients(0)
        session.close()
        return True

    for place in _by_task(runs).values():
        for run in (runs[index] for index in place):
            # A cell that cannot be opened says so itself, later.
            if run.input == "resident" and _tried(run.id, partial(differentiate, run)):
                break


def turned(runs: Sequence[RunSpec]) -> list[int]:
    """The order in which a launch takes its cells: their indices. From launch to launch both the
    tasks and the cells of each task move on by one place."""
    groups = [_moved(group, runs[group[0]].launch) for group in _by_task(runs).values()]
    return [index for group in _moved(groups, runs[0].launch) for index in group]


def _moved(items: list[T], places: int) -> list[T]:
    first = places % len(items)
    return items[first:] + items[:first]


def _by_task(runs: Sequence[RunSpec]) -> dict[Hashable, list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(run.task.model_dump_json(), []).append(index)
    return groups


def _tried(what: str, work: Callable[[], T]) -> T | None:
    """The result, or None with a line in the log: only a cell's own run may fail the cell."""
    try:
        return work()
    except Exception as error:
        print(f"before the first call, {what}: {type(error).__name__}: {error}", file=sys.stderr)
        return None

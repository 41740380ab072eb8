"""Launches of quantities that a process shows only once: its first call, and how its memory grows.

Every pair has fresh processes of its own in every launch, one a side, because whatever ran in a
process before it would have paid a share: thread pools, allocators, code that is loaded at the
first use. From launch to launch the sides change places. Each launch begins with empty compile
caches."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..spec import MEMORY_STEPS, RunSpec
from ..statistics import step_times
from . import Pair, Side
from .measure import Launch, Outcome, check_cores, portable
from .processes import Failure, Lost, Processes, Refused, in_turn

# Steps planned for a first call: it takes one.
_PLANNED_STEPS = 8
_CLOCKS = ("wall_ns", "cpu_ns", "switches")
# Growth below a page of memory is none; a logarithm needs a figure.
_PAGE_BYTES = 4096.0


class Figure(NamedTuple):
    """The quantity of one side in one launch, and its CPU seconds if they were counted."""

    value: float
    cpu_s: float = 1.0
    contended: bool = False


# The answer of one side's process to a request.
Ask = Callable[[Mapping[str, Any]], dict[str, Any]]
# The figure of one run, from the process that was started for it.
Take = Callable[[Ask, RunSpec], Figure]


class FreshLauncher:
    """Takes launches of the pairs, each in two processes of its own. `take` measures one side.

    thrown_away: launches of each framework at the beginning that do not count: they find the disk's
    cache cold. UserError if a pair wants more threads than there are cores."""

    def __init__(
        self, pairs: Sequence[Pair], a: Side, b: Side, take: Take, thrown_away: int = 0
    ) -> None:
        self.versions: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self._pairs, self._sides, self._take = pairs, (a, b), take
        self._thrown_away, self._cold = thrown_away, {pair.a.framework for pair in pairs}
        self._first = 0
        check_cores(pairs)

    def __call__(self, cells: Sequence[int]) -> dict[int, Outcome]:
        """One launch of these pairs, by index."""
        outcomes = {cell: self._warmed(self._pairs[cell]) for cell in cells}
        self._first = 1 - self._first
        return outcomes

    def _warmed(self, pair: Pair) -> Outcome:
        for _ in range(self._thrown_away if pair.a.framework in self._cold else 0):
            self._launch(pair)
        self._cold.discard(pair.a.framework)
        return self._launch(pair)

    def _launch(self, pair: Pair) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="gradrace-caches-") as caches:
            try:
                with Processes(pair, self._sides, self._first, Path(caches)) as processes:
                    for known, about in zip(self.versions, processes.about, strict=True):
                        known |= about["versions"]
                    return self._measure(processes, pair)
            except (Refused, Lost) as error:
                return error.failure

    def _measure(self, processes: Processes, pair: Pair) -> Launch:
        found: dict[int, Figure] = {}
        for side in in_turn(self._first):

            def ask(request: Mapping[str, Any], side: int = side) -> dict[str, Any]:
                return processes.ask(side, request, pair.a != pair.b)

            found[side] = self._take(ask, (pair.a, pair.b)[side])
        a, b = found[0], found[1]
        return Launch(
            float(np.log(b.value / a.value)),
            float(np.log(b.cpu_s / a.cpu_s)),
            a.value,
            b.value,
            a.contended or b.contended,
        )


def first_call(ask: Ask, run: RunSpec) -> Figure:
    """Seconds of the first `train` call with its compilation, until the device has finished.
    Imports and the opening of the session come before, and are not counted."""
    spec = portable(run, _PLANNED_STEPS)
    ask({"do": "open", "cell": 0, "spec": spec})
    call = ask({"do": "first", "cell": 0})
    wall, cpu, switches = (np.array([float(call[name])]) for name in _CLOCKS)
    wall_s, cpu_s = (float(np.maximum(found, 1.0)[0]) * 1e-9 for found in (wall, cpu))
    return Figure(wall_s, cpu_s, step_times.contended(wall, cpu, switches))


def memory(ask: Ask, run: RunSpec) -> Figure:
    """Bytes by which the resident set grows, at its peak, while a session is opened and trains as
    many steps as a memory run of `gradrace time`; on a GPU the peak of the device's own count.

    Refused if the device's memory is not counted."""
    spec = portable(run, MEMORY_STEPS)
    grown = ask({"do": "grow", "cell": 0, "spec": spec, "steps": MEMORY_STEPS})
    on_device = grown["device_bytes"]
    if run.device != "gpu":
        return Figure(max(_PAGE_BYTES, float(grown["bytes"])))
    if on_device is None:
        why = f"{run.framework} does not count the memory of this device"
        raise Refused(Failure(why, skipped=True))
    return Figure(max(_PAGE_BYTES, float(on_device)))

"""Places versions by the losses of training runs, bit for bit: no clock, no error rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import ExitCode, UserError
from ..gate import traces
from ..sweep import Sweep
from . import Place, Tested
from .line import Row
from .log import DecisionLine, Log, LossesLine, packed, unpacked
from .search import Span, Spent
from .timed import Clock

Losses = Mapping[str, np.ndarray]


@dataclass
class Traced:
    """State of a bisection by losses. losses: those of the followed run, by index of the version.

    cell: the id of that run; '' until the ends were computed."""

    row: Row
    sweep: Sweep
    log: Log
    clock: Clock
    watch: Callable[[str], None]
    cell: str = ""
    losses: dict[int, np.ndarray] = field(default_factory=dict)
    tested: dict[int, Tested] = field(default_factory=dict)

    def ends(self) -> tuple[str, ...]:
        """The ids of runs whose losses differ between GOOD and BAD; follows the one that differs at
        the earliest step.

        UserError (exit code 3): one end gives no losses, or GOOD's differ from run to run."""
        last = len(self.row.ids) - 1
        good, again, bad = self._computed(0), self._computed(0, "again"), self._computed(last)
        if restless := [name for name in good if first_difference(good, again, name) is not None]:
            raise UserError(
                f"the losses of {restless[0]} differ between two runs of GOOD: they are not"
                " repeatable here, and cannot be bisected bit by bit",
                ExitCode.NOTHING_MEASURED,
            )
        apart = {name: first_difference(good, bad, name) for name in good}
        steps = {name: step for name, step in apart.items() if step is not None}
        if steps:
            self.cell = min(steps, key=lambda name: steps[name])
            self.losses = {0: good[self.cell], last: bad[self.cell]}
        return tuple(steps)

    def place(self, index: int, span: Span) -> Place:
        """Computes this version's losses, and compares them with those of both ends.

        Raises Spent if the budget is over."""
        try:
            found = self._computed(index, may_stop=True)
        except UserError as error:
            return self._noted(index, "skipped", str(error))
        losses = found.get(self.cell)
        if losses is None:
            return self._noted(index, "skipped", f"it has no run {self.cell}")
        self.losses[index] = losses
        place: Place = "neither"
        if same(losses, self.losses[span.older]):
            place = "older"
        elif same(losses, self.losses[span.newer]):
            place = "newer"
        step = _first(self.losses[0], losses)
        return self._noted(index, place, "" if step is None else f"step {step} differs from GOOD")

    def _noted(self, index: int, place: Place, reason: str) -> Place:
        label = self.row.label(index)
        self.tested[index] = Tested(version=label, place=place, reason=reason)
        self.log.add(DecisionLine(version=self.row.ids[index], place=place, reason=reason))
        self.watch(f"{label}: {place}{f' ({reason})' if reason else ''}")
        return place

    def change(self, span: Span) -> dict[str, Any]:
        """Fields of a `Change`: the first step that differs between the ends, and both values."""
        before, after = self.losses[span.older], self.losses[span.newer]
        step = _first(before, after)
        assert step is not None, "the ends of a span differ"
        values = (float(x[step]) if step < len(x) else None for x in (before, after))
        names = ("before_loss", "loss")
        return {"step": step, **dict(zip(names, values, strict=True)), "confirmed": True}

    def _computed(self, index: int, again: str = "", may_stop: bool = False) -> Losses:
        """Losses by run. UserError (exit code 3) with the reason if there are none."""
        phase = f"losses:{self.row.ids[index]}{again and ':'}{again}"
        known = self.log.next(phase)
        if not isinstance(known, LossesLine):
            if may_stop and self.clock.over:
                raise Spent
            known = self._line(phase, index)
            self.log.add(known)
        else:
            self.clock.add(known.seconds)
        if not known.runs:
            raise UserError(known.reason, ExitCode.NOTHING_MEASURED)
        return {name: unpacked(pieces) for name, pieces in known.runs.items()}

    def _line(self, phase: str, index: int) -> LossesLine:
        self.watch(f"{self.row.label(index)}: computing losses")
        began = time.monotonic()
        sweep = self.sweep
        if self.cell:
            sweep = replace(sweep, options=replace(sweep.options, keyword=self.cell))
        try:
            with self.row.sides(0, index) as (_, side):
                computed = traces.compute_elsewhere(sweep, side)
        except UserError as error:
            if not index or index == len(self.row.ids) - 1:
                raise
            runs, reason = {}, str(error)
        else:
            finished = {record.spec.id for record in computed.finished}
            runs = {name: x for name, x in computed.losses.items() if name in finished}
            broken = [r for r in computed.records.values() if r.spec.id not in finished]
            reason = f"{broken[0].spec.id}: {broken[0].reason}" if broken else "it has no losses"
        return LossesLine(
            phase=phase,
            seconds=time.monotonic() - began,
            runs={name: packed(x) for name, x in runs.items()},
            reason="" if runs else reason,
        )


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two rows of losses, float64[n] each, have equal bits (all NaN are one)."""
    return len(a) == len(b) and np.array_equal(a, b, equal_nan=True)


def first_difference(a: Losses, b: Losses, name: str) -> int | None:
    """The first step whose loss differs; a run that one side lacks differs from the start."""
    if name not in b:
        return 0
    return _first(a[name], b[name])


def _first(a: np.ndarray, b: np.ndarray) -> int | None:
    shared = min(len(a), len(b))
    x, y = a[:shared], b[:shared]
    unequal = np.flatnonzero((x != y) & ~(np.isnan(x) & np.isnan(y)))
    if len(unequal):
        return int(unequal[0])
    return None if len(a) == len(b) else shared

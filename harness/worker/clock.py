"""The timer: launches of one or more cells in one process, in blocks of steps that take turns.

The device is synchronised at the edges of a block, never inside, so that a framework can enqueue
ahead. The first call, which compiles, is timed apart; warm-up steps are not timed. With a
breakdown, blocks of the parts of a step take turns with blocks of whole steps, on the same batches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, Protocol

import numpy as np

from ..adapter import Part, Session
from ..machine import steal_ticks, usable_cores
from ..plan import Weights
from ..record import Blocks
from ..spec import TimingSpec


class Clock(Protocol):
    """Measures a block."""

    def read(self) -> tuple[int, int, int]:
        """(wall ns, CPU ns, involuntary context switches) of the process, since some start."""

    def steal(self) -> int:
        """Ticks that a hypervisor took from the process's cores, since some start; slow."""


class SystemClock:
    """The machine's clocks. Switches and stolen ticks are 0 if the system does not count them."""

    def __init__(self) -> None:
        self._cores = usable_cores()

    def read(self) -> tuple[int, int, int]:
        return time.perf_counter_ns(), time.process_time_ns(), _involuntary_switches()

    def steal(self) -> int:
        return steal_ticks(self._cores)


class CellTimes(NamedTuple):
    """One cell in one launch: seconds and steps of the first call, then the timed blocks."""

    first_call_s: float
    first_call_steps: int
    blocks: Blocks


class Turn(NamedTuple):
    """The content of a block: steps of a cell, or a part of these steps."""

    cell: TimedCell
    part: Literal["step"] | Part


def time_cells(
    sessions: Sequence[Session],
    timing: TimingSpec,
    looped: Sequence[bool] = (),
    clock: Clock | None = None,
) -> list[CellTimes | Exception]:
    """Times all sessions against each other in rotated blocks; the times, or the error, of each.

    looped: whether each session compiles all steps of a `train` call into one program; none by
    default. The sessions' inputs reach over timing.total_steps. A session that raises, did not
    train, or compiled among the timed steps does not affect the others."""
    clock = clock or SystemClock()
    loops = looped or [False] * len(sessions)
    cells = [
        TimedCell(session, timing, loop, clock)
        for session, loop in zip(sessions, loops, strict=True)
    ]
    for cell in cells:
        cell.attempt(cell.warm_up)
    turns = [Turn(cell, part) for cell in cells for part in cell.turns]
    for block in range(timing.blocks):
        for turn in range(len(turns)):
            cell, part = turns[(turn + block) % len(turns)]
            cell.attempt(partial(cell.block, block, part))
    for cell in cells:
        cell.attempt(cell.check)
    return [cell.error or cell.timed() for cell in cells]


class TimedCell:
    """One session on its way through a launch: `warm_up`, then `block` after block, then `check`.

    Takes its steps in order, each once. error: caught by `attempt`, which then does no more."""

    def __init__(self, session: Session, timing: TimingSpec, looped: bool, clock: Clock) -> None:
        self.error: Exception | None = None
        self.parts: tuple[Part, ...] = ()
        self.block_steps = timing.block_steps
        self._session, self._timing, self._looped, self._clock = session, timing, looped, clock
        self._next = self._first_timed = self._compiled = 0
        self._first_call_s = math.nan
        self._weights: Weights = {}
        self._samples: list[tuple[str, int, int, int, int, int]] = []

    def attempt(self, work: Callable[[], None]) -> None:
        """Does it unless the session is broken; an error breaks the session."""
        if self.error is None:
            try:
                work()
            except Exception as error:
                self.error = error

    def warm_up(self) -> None:
        """The first call; then the warm-up, which also finds the length of blocks."""
        self._first_call_s = first_call(self._session, self._clock, self._first_steps)
        self._next = self._first_steps
        self._warm()
        if self._looped and self.block_steps < self._timing.block_steps:
            # Another length is another program: compile it, then run it as it will be timed.
            self._take(self.block_steps)
            self._take(self.block_steps)
        self.parts = self._session.parts() if self._timing.breakdown else ()
        self._first_timed = self._next
        for part in self.parts:
            self._warm_part(part)
        self._weights, self._compiled = self._session.weights(), self._session.compilations()

    @property
    def turns(self) -> tuple[Literal["step"] | Part, ...]:
        """The contents of its blocks, in turn."""
        return ("step", *self.parts)

    def block(self, number: int, part: Literal["step"] | Part = "step") -> None:
        """Times block `number`, or a part of its steps."""
        start = self._first_timed + number * self.block_steps
        steps = range(start, start + self.block_steps)
        if part == "step":
            self._samples.append((part, *self._measured(lambda: self._session.train(steps))))
            # To keep the losses is part of a step; to fetch them is not.
            self._session.losses()
        else:
            self._samples.append((part, *self._measured(lambda: self._session.probe(part, steps))))

    def check(self) -> None:
        """RuntimeError if nothing was trained, or a program was compiled, in the timed steps."""
        after = self._session.weights()
        if all(np.array_equal(after[name], self._weights[name]) for name in after):
            raise RuntimeError(
                "the weights did not change during the timed steps: nothing was trained"
            )
        compiled = self._session.compilations() - self._compiled
        if compiled > 0:
            programs = "a program was" if compiled == 1 else f"{compiled} programs were"
            raise RuntimeError(
                f"{programs} compiled during the timed steps: the times hold compilation"
            )

    def timed(self) -> CellTimes:
        """What was measured."""
        part, *columns = zip(*self._samples, strict=True)
        steps, wall, cpu, switches, stolen = (np.array(each, dtype=np.int64) for each in columns)
        blocks = Blocks(steps, wall, cpu, switches, stolen, np.array(part))
        return CellTimes(self._first_call_s, self._first_steps, blocks)

    @property
    def _first_steps(self) -> int:
        return self._timing.block_steps if self._looped else 1

    def _warm(self) -> None:
        """Chunks of steps until the warm-up is over; the fastest sets how many fit into a block.

        A compiled loop keeps the length of its chunks, and may warm up longer by part of one."""
        timing, began = self._timing, self._clock.read()[0]
        fastest, size, taken = math.inf, self._first_steps, 0
        while taken < timing.warmup_steps and self._since(began) < timing.longest_warmup_s:
            count = size if self._looped else min(size, timing.warmup_steps - taken)
            fastest = min(fastest, self._take(count) / count)
            taken += count
            self.block_steps = _fitting(timing, fastest)
            size = size if self._looped else self.block_steps

    def _take(self, count: int) -> float:
        """Trains the next `count` steps; seconds."""
        steps = range(self._next, self._next + count)
        self._next = steps.stop
        seconds = self._measured(lambda: self._session.train(steps))[1] * 1e-9
        self._session.losses()
        return seconds

    def _warm_part(self, part: Part) -> None:
        """Probes the steps of the first block over and over, as long as the steps' own warm-up."""
        steps = range(self._first_timed, self._first_timed + self.block_steps)
        began = self._clock.read()[0]
        for _ in range(max(2, self._timing.warmup_steps // self.block_steps)):
            self._measured(lambda: self._session.probe(part, steps))
            if self._since(began) >= self._timing.longest_warmup_s:
                return

    def _since(self, began_ns: int) -> float:
        """Seconds."""
        return (self._clock.read()[0] - began_ns) * 1e-9

    def _measured(self, work: Callable[[], None]) -> tuple[int, int, int, int, int]:
        """Steps, wall and CPU ns, involuntary switches, and stolen ticks, until the work ends."""
        stolen = self._clock.steal()
        before = self._clock.read()
        work()
        self._session.sync()
        after = self._clock.read()
        wall, cpu, switches = (b - a for a, b in zip(before, after, strict=True))
        return self.block_steps, wall, cpu, switches, self._clock.steal() - stolen


def first_call(session: Session, clock: Clock | None = None, steps: int = 1) -> float:
    """Seconds of the first `steps` steps, taken in one call, compilation included."""
    clock = clock or SystemClock()
    start = clock.read()[0]
    session.train(range(steps))
    session.sync()
    seconds = (clock.read()[0] - start) * 1e-9
    session.losses()
    return seconds


def _fitting(timing: TimingSpec, seconds_per_step: float) -> int:
    """How many steps a block takes."""
    fitting = timing.longest_block_s / seconds_per_step if seconds_per_step > 0 else math.inf
    return max(1, int(min(timing.block_steps, fitting)))


def _involuntary_switches() -> int:
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw

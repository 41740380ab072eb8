"""The timer: launches of one or more cells in one process, in blocks of steps whose order over the cells rotates.

The device is synchronised at block edges and never inside of a block, so that what a framework enqueues ahead stays
enqueued. The first step, which compiles, is timed apart; warm-up steps are not timed at all.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from .adapter import Session
from .record import Blocks
from .spec import TimingSpec


class Clock(Protocol):
    """What a block is measured with."""

    def read(self) -> tuple[int, int, int]:
        """(wall ns, CPU ns of the process, involuntary context switches of the process), all since some start."""


class SystemClock:
    """The machine's clocks. Involuntary switches read 0 where the system does not count them."""

    def read(self) -> tuple[int, int, int]:
        return time.perf_counter_ns(), time.process_time_ns(), _involuntary_switches()


class Timed(NamedTuple):
    """One cell in one launch: the first step in seconds, then the timed blocks."""

    first_call_s: float
    blocks: Blocks


def time_cells(sessions: Sequence[Session], timing: TimingSpec, clock: Clock | None = None) -> list[Timed]:
    """Times all sessions against each other in rotated blocks.

    RuntimeError where a session's weights did not change during the timed steps: then nothing was trained.
    """
    clock = clock or SystemClock()
    first_calls = [first_call(session, clock) for session in sessions]
    for session in sessions:
        _take(session, range(1, 1 + timing.warmup_steps))
    before = [session.weights() for session in sessions]
    samples: list[list[tuple[int, int, int]]] = [[] for _ in sessions]
    for block in range(timing.blocks):
        start = 1 + timing.warmup_steps + block * timing.block_steps
        for turn in range(len(sessions)):
            index = (turn + block) % len(sessions)
            samples[index].append(_block(sessions[index], range(start, start + timing.block_steps), clock))
    for session, old in zip(sessions, before, strict=True):
        _check_trained(session, old)
    return [
        Timed(first, _blocks(taken, timing.block_steps)) for first, taken in zip(first_calls, samples, strict=True)
    ]


def first_call(session: Session, clock: Clock | None = None) -> float:
    """Seconds of step 0, compilation included."""
    clock = clock or SystemClock()
    start = clock.read()[0]
    session.train(range(0, 1))
    session.sync()
    seconds = (clock.read()[0] - start) * 1e-9
    session.losses()
    return seconds


def _take(session: Session, steps: range) -> None:
    if steps:
        session.train(steps)
        session.sync()
        session.losses()


def _block(session: Session, steps: range, clock: Clock) -> tuple[int, int, int]:
    before = clock.read()
    session.train(steps)
    session.sync()
    after = clock.read()
    # Fetching the losses is left out; keeping them, step by step, is part of the step.
    session.losses()
    wall, cpu, switches = (b - a for a, b in zip(before, after, strict=True))
    return wall, cpu, switches


def _blocks(samples: list[tuple[int, int, int]], block_steps: int) -> Blocks:
    wall, cpu, switches = (np.array(column, dtype=np.int64) for column in zip(*samples, strict=True))
    steps, steal = np.full(len(wall), block_steps, dtype=np.int64), np.zeros(len(wall), dtype=np.int64)
    return Blocks(steps, wall, cpu, switches, steal, np.full(len(wall), "step"))


def _check_trained(session: Session, before: object) -> None:
    after = session.weights()
    if all(np.array_equal(after[name], before[name]) for name in after):  # type: ignore[index]
        raise RuntimeError("the weights did not change during the timed steps: nothing was trained")


def _involuntary_switches() -> int:
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw

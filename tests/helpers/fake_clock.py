"""A clock, and sessions of declared durations, so that all that is timed is exact."""

from __future__ import annotations

from typing import Any

import numpy as np

MS = 1_000_000


class FakeClock:
    """Time passes when a fake session says so, and 50 us for each reading of the stolen ticks."""

    def __init__(self) -> None:
        self.wall = self.cpu = self.switches = self.ticks = 0

    def read(self) -> tuple[int, int, int]:
        return self.wall, self.cpu, self.switches

    def steal(self) -> int:
        self.wall += 50_000
        return self.ticks


class FakeSession:
    """A step takes `step_ns`, the first use of a program `compile_ns` more, waiting `sync_ns`.

    A looped session needs a program for each length of `train`, others one. part_ns: time of each
    part of a step. fails_at, compiles_at: the step whose training raises, or compiles anew. Every
    call is logged: (name, what, steps)."""

    def __init__(
        self,
        clock: FakeClock,
        step_ns: int = 100,
        compile_ns: int = 0,
        sync_ns: int = 0,
        looped: bool = False,
        part_ns: dict[str, int] | None = None,
        frozen: bool = False,
        fails_at: int = -1,
        compiles_at: int = -1,
        log: list[Any] | None = None,
        name: str = "one",
    ) -> None:
        self.clock, self.looped, self.name = clock, looped, name
        self.log = [] if log is None else log
        self._step_ns, self._compile_ns, self._sync_ns = step_ns, compile_ns, sync_ns
        self._part_ns = part_ns or {}
        self._frozen, self._fails_at, self._compiles_at = frozen, fails_at, compiles_at
        self._programs: set[Any] = set()
        self.taken = self.waiting = 0

    def train(self, steps: range) -> None:
        assert steps.start == self.taken, "steps are taken in order, each once"
        if self._fails_at in steps:
            raise ValueError("cannot go on")
        self.log.append((self.name, "step", steps))
        self.taken, self.waiting = steps.stop, self.waiting + len(steps)
        self._need(("step", len(steps) if self.looped else 0, self._compiles_at in steps))
        self._pass(self._step_ns * len(steps))

    def probe(self, part: str, steps: range) -> None:
        self.log.append((self.name, part, steps))
        self._need((part, len(steps) if self.looped else 0))
        self._pass(self._part_ns[part] * len(steps))

    def _need(self, program: Any) -> None:
        if program not in self._programs:
            self._programs.add(program)
            self._pass(self._compile_ns)

    def _pass(self, ns: int) -> None:
        self.clock.wall += ns
        self.clock.cpu += ns // 2
        self.clock.switches += 1
        self.clock.ticks += 3

    def sync(self) -> None:
        self.clock.wall += self._sync_ns

    def losses(self) -> np.ndarray:
        self.clock.wall += 9 * MS
        taken, self.waiting = np.zeros(self.waiting), 0
        return taken

    def weights(self) -> dict[str, np.ndarray]:
        return {"w": np.array([0.0 if self._frozen else float(self.taken)])}

    def compilations(self) -> int:
        return len(self._programs)

    def parts(self) -> tuple[str, ...]:
        return tuple(self._part_ns)

"""One launch: a fresh process per side on the same core, and paired blocks in ABBA order.

A block of one side stands against the block of the other taken right beside it, so a disturbance
longer than two blocks cancels. The process that is not at work waits for its next request and uses
no CPU. From launch to launch the sides change places (who starts, opens, warms up and begins
first), so that no place always favours the same side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from ..errors import ExitCode, UserError
from ..executor.environment import environment
from ..machine import usable_cores
from ..process import Child, ChildDied
from ..spec import RunSpec
from ..statistics import step_times
from . import Pair, Side
from .worker import SLOWDOWN_BLOCKS, TRY_STEPS

# Seconds of a block of the slower side: 10^4 times the cost of the clock and of a message.
BLOCK_S = 0.02
# The table of batches is drawn ahead; its rows and its size in entries are bounded.
_MOST_STEPS, _MOST_ENTRIES = 20_000, 2**21
# Importing a framework from a cold disk has taken 16 s, compiling a step 21 s; ten times is a hang.
START_TIMEOUT_S, REQUEST_TIMEOUT_S = 160.0, 300.0
# Timed blocks of each part of a step, a launch and side, after one that may compile.
PART_BLOCKS = 6

_WORKER = Path(__file__).parent / "worker.py"


class Launch(NamedTuple):
    """A pair in one launch.

    Log ratios log(b / a) of wall and of CPU time: the mean of two medians, over the blocks that a
    began and over those that b began (who begins finds the caches as the other left them).
    a_value, b_value: medians over blocks, seconds per step. Parts: first quartiles over blocks of
    the parts that could be timed alone."""

    log_ratio: float
    cpu_log_ratio: float
    a_value: float
    b_value: float
    contended: bool = False
    a_parts_s: Mapping[str, float] = {}
    b_parts_s: Mapping[str, float] = {}


class Failure(NamedTuple):
    """Why a pair gives no figures; `skipped` if a side cannot do it, rather than broke."""

    reason: str
    skipped: bool = False


Outcome = Launch | Failure


class Lengths(NamedTuple):
    """Steps a block, and untimed steps before the first block."""

    block_steps: int
    warmup_steps: int


class Launcher:
    """Takes launches of the pairs. The first launch of a pair fixes the lengths of its blocks.

    UserError if a pair wants more threads than there are cores.
    """

    def __init__(
        self, pairs: Sequence[Pair], a: Side, b: Side, blocks: int, breakdown: bool = False
    ) -> None:
        self.versions: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self._pairs, self._sides, self._blocks, self._breakdown = pairs, (a, b), blocks, breakdown
        self._lengths: dict[int, Lengths] = {}
        self._first = 0
        _check_cores(pairs)

    def __call__(self, cells: Sequence[int]) -> dict[int, Outcome]:
        """One launch of these pairs, by index; pairs of one environment share processes, but for
        those that are alone."""
        groups: dict[Any, list[int]] = {}
        for cell in cells:
            groups.setdefault(_group(self._pairs[cell]), []).append(cell)
        outcomes: dict[int, Outcome] = {}
        for group in groups.values():
            outcomes |= self._launch(group)
        self._first = 1 - self._first
        return outcomes

    def _launch(self, group: Sequence[int]) -> dict[int, Outcome]:
        """If a process dies at one pair, the others are taken again in new processes."""
        outcomes: dict[int, Outcome] = {}
        while left := [cell for cell in group if cell not in outcomes]:
            try:
                with _Processes(self._pairs[left[0]], self._sides, self._first) as processes:
                    self._note_versions(processes)
                    self._measure(processes, left, outcomes)
            except _Lost as lost:
                dead = left if lost.cell is None else [lost.cell]
                outcomes |= dict.fromkeys(dead, lost.failure)
        return outcomes

    def _measure(
        self, processes: _Processes, cells: Sequence[int], outcomes: dict[int, Outcome]
    ) -> None:
        """Adds the outcomes. A refusal by one side costs the pair, not the launch."""
        live = list(cells)

        def each(do: Callable[[int], object], order: Iterable[int]) -> None:
            for cell in [cell for cell in order if cell in live]:
                try:
                    do(cell)
                except _Refused as refused:
                    outcomes[cell] = refused.failure
                    live.remove(cell)

        taken = {cell: _Taken() for cell in cells}
        each(lambda cell: self._open(processes, cell, taken[cell]), cells)
        each(lambda cell: self._warm(processes, cell), cells)
        for turn in range(self._blocks):
            rotated = [*cells[turn % len(cells) :], *cells[: turn % len(cells)]]
            block = turn + self._first

            def pair(cell: int, block: int = block) -> None:
                _pair(processes, cell, block, taken[cell])

            each(pair, rotated)
        each(lambda cell: processes.ask_both({"do": "check", "cell": cell}), cells)
        if self._breakdown:
            each(lambda cell: _take_parts(processes, cell, taken[cell]), cells)
        outcomes |= {cell: taken[cell].launch(self._lengths[cell].block_steps) for cell in live}

    def _open(self, processes: _Processes, cell: int, taken: _Taken) -> None:
        pair = self._pairs[cell]
        steps = table_steps(pair, self._blocks)
        for side in _in_turn(self._first):
            request = {"do": "open", "cell": cell, "spec": portable((pair.a, pair.b)[side], steps)}
            taken.parts[side] = tuple(processes.ask(side, request, pair.a != pair.b)["parts"])

    def _warm(self, processes: _Processes, cell: int) -> None:
        if cell not in self._lengths:
            tried = processes.ask_both({"do": "try", "cell": cell})
            self._lengths[cell] = lengths(
                self._pairs[cell], self._blocks, max(answer["step_s"] for answer in tried)
            )
        block_steps, steps = self._lengths[cell]
        processes.ask_both({"do": "warm", "cell": cell, "block_steps": block_steps, "steps": steps})

    def _note_versions(self, processes: _Processes) -> None:
        for known, about in zip(self.versions, processes.about, strict=True):
            known |= about["versions"]


@dataclass
class _Taken:
    """Blocks of one pair in one launch, by part and side: (wall ns, CPU ns, forced switches)."""

    blocks: dict[tuple[str, int], list[tuple[int, int, int]]] = field(default_factory=dict)
    parts: list[tuple[str, ...]] = field(default_factory=lambda: [(), ()])

    def add(self, part: str, side: int, block: Mapping[str, int]) -> None:
        self.blocks.setdefault((part, side), []).append(
            (block["wall_ns"], block["cpu_ns"], block["switches"])
        )

    def launch(self, block_steps: int) -> Launch:
        """The figures of these blocks."""
        a, b = (np.array(self.blocks["step", side], dtype=np.float64) for side in (0, 1))
        # A coarse clock may show no CPU time at all; one nanosecond spares the logarithm.
        by_pair = np.log(np.maximum(b[:, :2], 1.0) / np.maximum(a[:, :2], 1.0))
        ratios = np.mean(
            [np.median(begun, axis=0) for begun in (by_pair[::2], by_pair[1::2]) if len(begun)],
            axis=0,
        )
        a_value, b_value = (
            float(np.median(np.maximum(blocks[:, 0], 1.0))) * 1e-9 / block_steps
            for blocks in (a, b)
        )
        a_parts, b_parts = (self._parts_s(side, block_steps) for side in (0, 1))
        contended = any(step_times.contended(*blocks.T) for blocks in (a, b))
        wall, cpu = map(float, ratios)
        return Launch(wall, cpu, a_value, b_value, contended, a_parts, b_parts)

    def _step_s(self, part: str, side: int, block_steps: int) -> float:
        wall = np.array([block[0] for block in self.blocks[part, side]])
        return step_times.step_time(np.full(len(wall), block_steps), wall).p25

    def _parts_s(self, side: int, block_steps: int) -> dict[str, float]:
        """The parts as `gradrace time` has them, but `covered` (see step_times.parts)."""
        timed = [part for part in self.parts[side] if (part, side) in self.blocks]
        taken = {part: self._step_s(part, side, block_steps) for part in ("step", *timed)}
        return {name: value for name, value in step_times.parts(taken).items() if name != "covered"}


def table_steps(pair: Pair, blocks: int) -> int:
    """Steps of a launch planned ahead: as many as the table may hold, at least blocks of one."""
    least = TRY_STEPS + _warmup(pair) + blocks + SLOWDOWN_BLOCKS + 1
    largest = max(pair.a.task.batch_size, pair.b.task.batch_size)
    return max(least, min(_MOST_STEPS, _MOST_ENTRIES // largest))


def lengths(pair: Pair, blocks: int, step_s: float) -> Lengths:
    """Blocks of at least BLOCK_S, from the slower side's seconds per step, if the table allows."""
    timing, warmup = pair.a.timing, _warmup(pair)
    assert timing is not None, "pairs are of timing runs"
    # Warm-up fills whole blocks: at most one block more than it asks for.
    most = (table_steps(pair, blocks) - TRY_STEPS - warmup) // (blocks + SLOWDOWN_BLOCKS + 1)
    block_steps = max(1, min(most, int(np.ceil(BLOCK_S / step_s))))
    return Lengths(block_steps, max(1, min(warmup, int(timing.longest_warmup_s / step_s))))


def portable(run: RunSpec, steps: int) -> dict[str, Any]:
    """The run with a table of so many steps, as an older gradrace reads it: without defaults."""
    assert run.timing is not None, "pairs are of timing runs"
    # Every version counts warm-up in steps; the number of whole blocks a launch needs has changed.
    planned = {"warmup_steps": steps, "blocks": 1, "block_steps": 1}
    longer = run.model_copy(update={"timing": run.timing.model_copy(update=planned)})
    lean = longer.model_dump(mode="json", exclude_defaults=True)
    spec: dict[str, Any] = _with_kinds(longer.to_json(), lean)
    spec["timing"] = planned  # these had other defaults once
    return spec


def _with_kinds(full: Any, lean: Any) -> Any:
    """`lean` with every `kind` of `full`: a default of its class, but it names the class."""
    if isinstance(lean, dict):
        kind = {"kind": full["kind"]} if "kind" in full else {}
        return kind | {key: _with_kinds(full[key], value) for key, value in lean.items()}
    if isinstance(lean, list):
        return [_with_kinds(one, other) for one, other in zip(full, lean, strict=True)]
    return lean


class _Refused(Exception):
    """A side answered that it cannot."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class _Lost(Exception):
    """A process died or fell silent, at this pair or before it had any."""

    def __init__(self, failure: Failure, cell: int | None) -> None:
        super().__init__(failure.reason)
        self.failure, self.cell = failure, cell


class _Processes:
    """Both sides' processes of one launch, as a context manager: nothing outlives it."""

    def __init__(self, pair: Pair, sides: tuple[Side, Side], first: int) -> None:
        self._labels = [side.label for side in sides]
        self._children: dict[int, Child] = {}
        self._order = _in_turn(first)
        self._runs, self._sides = (pair.a, pair.b), sides
        self.about: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        try:
            for number in self._order:
                self._children[number] = _start(self._sides[number], self._runs[number])
            # Imports run side by side on all cores; afterwards both are pinned to the same ones.
            differ = self._runs[0] != self._runs[1]
            self.about = [self._receive(side, None, START_TIMEOUT_S, differ) for side in (0, 1)]
            for side, about in zip(self._sides, self.about, strict=True):
                _check_source(side, about["gradrace"])
            self.ask_both({"do": "pin", "cores": _cores(self._runs)})
        except _Refused as refused:
            self._kill()
            raise _Lost(refused.failure, None) from None
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kill()

    def ask(self, side: int, request: Mapping[str, Any], differ: bool = True) -> dict[str, Any]:
        """The answer of one side. Raises _Refused or _Lost if there is none.

        differ: the two sides run different things. If they do not, a run that only a can do was
        lost on the way: a failure, not skipped.
        """
        self._children[side].send(request)
        return self._receive(side, request.get("cell"), REQUEST_TIMEOUT_S, differ)

    def ask_both(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The answers of a and b, one after the other, because they share a core."""
        answers = {side: self.ask(side, request) for side in self._order}
        return [answers[side] for side in (0, 1)]

    def _receive(
        self, side: int, cell: int | None, timeout_s: float, differ: bool
    ) -> dict[str, Any]:
        label = self._labels[side]
        try:
            answer = self._children[side].receive(timeout_s)
        except ChildDied as died:
            raise _Lost(Failure(f"{label}: the process died: {died}"), cell) from None
        if answer is None:
            raise _Lost(Failure(f"{label}: no answer in {timeout_s:g} s"), cell)
        if answer.get("event") != "done":
            skipped = answer.get("event") == "skipped" and (differ or side == 0)
            reason = answer.get("reason", "it answers nothing that was asked")
            raise _Refused(Failure(f"{label}: {reason}", skipped))
        return answer

    def _kill(self) -> None:
        for child in self._children.values():
            child.kill()


def side_path(side: Side, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the side's own source first on the interpreter's path."""
    if not side.root:
        return dict(environ)
    own = [str(folder) for folder in (side.root, side.root / "src") if folder.is_dir()]
    path = [*own, *filter(None, [environ.get("PYTHONPATH")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(path)}


def _start(side: Side, run: RunSpec) -> Child:
    # Threads that spin while they wait take the shared core from the other side.
    env = side_path(side, environment(run) | {"OMP_WAIT_POLICY": "PASSIVE"})
    try:
        # -P: nobody must import the modules beside worker.py by accident.
        child = Child([side.python, "-P", str(_WORKER)], env)
    except OSError as error:
        reason = f"{side.label}: {side.python} cannot be started: {error.strerror}"
        raise UserError(reason, ExitCode.NOTHING_MEASURED) from None
    plugins = [str(file.resolve()) for file in side.plugins]
    child.send({"framework": run.framework, "plugins": plugins, "slowdown": side.slowdown})
    return child


def _check_source(side: Side, imported: str) -> None:
    """UserError for a side that imports another gradrace: it would time the wrong thing."""
    own = side.root / "gradrace" if side.root else None
    expected = own.resolve() if own and own.is_dir() else _WORKER.parents[1].resolve()
    if Path(imported).resolve() != expected:
        raise UserError(
            f"{side.label}: its gradrace should come from {expected}, and comes from {imported}",
            ExitCode.NOTHING_MEASURED,
        )


def _pair(processes: _Processes, cell: int, turn: int, taken: _Taken) -> None:
    """ABBA: who begins changes with every turn."""
    for side in _in_turn(turn % 2):
        taken.add("step", side, processes.ask(side, {"do": "block", "cell": cell, "part": "step"}))


def _in_turn(first: int) -> tuple[int, int]:
    return (first, 1 - first)


def _take_parts(processes: _Processes, cell: int, taken: _Taken) -> None:
    """Blocks of every part that a side offers."""
    for part in dict.fromkeys([*taken.parts[0], *taken.parts[1]]):
        sides = [side for side in (0, 1) if part in taken.parts[side]]
        request = {"do": "block", "cell": cell, "part": part}
        for side in sides:
            processes.ask(side, request)
        for turn in range(PART_BLOCKS):
            for side in sides if turn % 2 == 0 else reversed(sides):
                taken.add(part, side, processes.ask(side, request))


def _group(pair: Pair) -> tuple[Any, ...]:
    shared = ((run.framework, run.device, run.dtype, run.threads) for run in (pair.a, pair.b))
    return (*shared, pair.name if pair.alone else "")


def _cores(runs: Iterable[RunSpec]) -> list[int]:
    """The last cores: the system prefers the first."""
    return list(usable_cores()[-max(run.threads for run in runs) :])


def _check_cores(pairs: Sequence[Pair]) -> None:
    usable = len(usable_cores())
    for pair in pairs:
        threads = max(pair.a.threads, pair.b.threads)
        if threads > usable:
            raise UserError(
                f"{pair.name}: {threads} threads on {usable} usable cores; choose fewer threads"
            )


def _warmup(pair: Pair) -> int:
    assert pair.a.timing is not None, "pairs are of timing runs"
    return pair.a.timing.warmup_steps

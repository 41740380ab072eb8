"""One launch: a fresh process per side on the same core, and paired blocks in ABBA order.

A block of one side stands against the block of the other taken right beside it, so a disturbance
longer than two blocks cancels. The process that is not at work waits for its next request and uses
no CPU. From launch to launch the sides change places (who starts, opens, warms up and begins
first), so that no place always favours the same side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from ..machine import usable_cores
from ..machine.energy import Meter
from ..spec import Device, RunSpec
from ..statistics import step_times
from . import Pair, Side
from .processes import Failure, Lost, Processes, Refused, in_turn
from .worker import SLOWDOWN_BLOCKS, TRY_STEPS

# Begins to count the joules that a device draws.
Joules = Callable[[Device], Meter]

# Seconds of a block of the slower side: 10^4 times the cost of the clock and of a message.
BLOCK_S = 0.02
# Timed blocks of each part of a step, a launch and side, after one that may compile.
PART_BLOCKS = 6


class Launch(NamedTuple):
    """A pair in one launch.

    Log ratios log(b / a) of the quantity and of CPU time: the mean of two medians, over the blocks
    that a began and over those that b began (who begins finds the caches as the other left them).
    a_value, b_value: medians over blocks, in the quantity's unit. Parts: first quartiles over
    blocks of the parts that could be timed alone."""

    log_ratio: float
    cpu_log_ratio: float
    a_value: float
    b_value: float
    contended: bool = False
    a_parts_s: Mapping[str, float] = {}
    b_parts_s: Mapping[str, float] = {}


Outcome = Launch | Failure


class BlockRule(NamedTuple):
    """How long blocks are: seconds of a block of the slower side. The table of batches is drawn
    ahead; its rows and its size in entries are bounded."""

    block_s: float = BLOCK_S
    most_steps: int = 20_000
    most_entries: int = 2**21


FOR_TIME = BlockRule()


class Lengths(NamedTuple):
    """Steps a block, and untimed steps before the first block."""

    block_steps: int
    warmup_steps: int


class Launcher:
    """Takes launches of the pairs. The first launch of a pair fixes the lengths of its blocks.

    joules: blocks are judged by the energy that they draw, not by their time. UserError if a pair
    wants more threads than there are cores.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        a: Side,
        b: Side,
        blocks: int,
        breakdown: bool = False,
        rule: BlockRule = FOR_TIME,
        joules: Joules | None = None,
    ) -> None:
        self.versions: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self._pairs, self._sides, self._blocks, self._breakdown = pairs, (a, b), blocks, breakdown
        self._lengths: dict[int, Lengths] = {}
        self._rule, self._joules = rule, joules
        self._first = 0
        check_cores(pairs)

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
                with Processes(self._pairs[left[0]], self._sides, self._first) as processes:
                    self._note_versions(processes)
                    self._measure(processes, left, outcomes)
            except Lost as lost:
                dead = left if lost.cell is None else [lost.cell]
                outcomes |= dict.fromkeys(dead, lost.failure)
        return outcomes

    def _measure(
        self, processes: Processes, cells: Sequence[int], outcomes: dict[int, Outcome]
    ) -> None:
        """Adds the outcomes. A refusal by one side costs the pair, not the launch."""
        live = list(cells)

        def each(do: Callable[[int], object], order: Iterable[int]) -> None:
            for cell in [cell for cell in order if cell in live]:
                try:
                    do(cell)
                except Refused as refused:
                    outcomes[cell] = refused.failure
                    live.remove(cell)

        taken = {cell: _Taken() for cell in cells}
        each(lambda cell: self._open(processes, cell, taken[cell]), cells)
        each(lambda cell: self._warm(processes, cell), cells)
        for turn in range(self._blocks):
            rotated = [*cells[turn % len(cells) :], *cells[: turn % len(cells)]]
            block = turn + self._first

            def pair(cell: int, block: int = block) -> None:
                self._pair(processes, cell, block, taken[cell])

            each(pair, rotated)
        each(lambda cell: processes.ask_both({"do": "check", "cell": cell}), cells)
        if self._breakdown:
            each(lambda cell: _take_parts(processes, cell, taken[cell]), cells)
        outcomes |= {cell: taken[cell].launch(self._lengths[cell].block_steps) for cell in live}

    def _open(self, processes: Processes, cell: int, taken: _Taken) -> None:
        pair = self._pairs[cell]
        steps = table_steps(pair, self._blocks, self._rule)
        for side in in_turn(self._first):
            request = {"do": "open", "cell": cell, "spec": portable((pair.a, pair.b)[side], steps)}
            taken.parts[side] = tuple(processes.ask(side, request, pair.a != pair.b)["parts"])

    def _warm(self, processes: Processes, cell: int) -> None:
        if cell not in self._lengths:
            tried = processes.ask_both({"do": "try", "cell": cell})
            step_s = max(answer["step_s"] for answer in tried)
            self._lengths[cell] = lengths(self._pairs[cell], self._blocks, step_s, self._rule)
        block_steps, steps = self._lengths[cell]
        processes.ask_both({"do": "warm", "cell": cell, "block_steps": block_steps, "steps": steps})

    def _pair(self, processes: Processes, cell: int, turn: int, taken: _Taken) -> None:
        """ABBA: who begins changes with every turn."""
        pair, request = self._pairs[cell], {"do": "block", "cell": cell, "part": "step"}
        for side in in_turn(turn % 2):
            meter = self._joules((pair.a, pair.b)[side].device) if self._joules else None
            taken.add("step", side, processes.ask(side, request))
            if meter:
                taken.drew(side, meter)

    def _note_versions(self, processes: Processes) -> None:
        for known, about in zip(self.versions, processes.about, strict=True):
            known |= about["versions"]


@dataclass
class _Taken:
    """Blocks of one pair in one launch, by part and side: (wall ns, CPU ns, forced switches).

    joules: of the blocks of whole steps, by side, if energy is measured."""

    blocks: dict[tuple[str, int], list[tuple[int, int, int]]] = field(default_factory=dict)
    joules: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    parts: list[tuple[str, ...]] = field(default_factory=lambda: [(), ()])

    def add(self, part: str, side: int, block: Mapping[str, int]) -> None:
        self.blocks.setdefault((part, side), []).append(
            (block["wall_ns"], block["cpu_ns"], block["switches"])
        )

    def drew(self, side: int, meter: Meter) -> None:
        """The energy of the block that has just ended. Refused if it cannot be told."""
        energy = meter.energy()
        if energy.joules is None:
            raise Refused(Failure(f"the energy of a block is unknown: {energy.reason}"))
        self.joules[side].append(energy.joules)

    def launch(self, block_steps: int) -> Launch:
        """The figures of these blocks."""
        a, b = (np.array(self.blocks["step", side], dtype=np.float64) for side in (0, 1))
        # A coarse clock may show no time at all; one nanosecond spares the logarithm.
        cost_a, cost_b = (np.maximum(self._costs(side), 1e-9) for side in (0, 1))
        cpu_a, cpu_b = (np.maximum(blocks[:, 1], 1.0) for blocks in (a, b))
        a_parts, b_parts = (self._parts_s(side, block_steps) for side in (0, 1))
        return Launch(
            _log_ratio(cost_a, cost_b),
            _log_ratio(cpu_a, cpu_b),
            float(np.median(cost_a)) / block_steps,
            float(np.median(cost_b)) / block_steps,
            any(step_times.contended(*blocks.T) for blocks in (a, b)),
            a_parts,
            b_parts,
        )

    def _costs(self, side: int) -> np.ndarray:
        """float64[blocks]: joules of each block if they were measured, else seconds."""
        if self.joules[side]:
            return np.array(self.joules[side])
        return np.array([wall_ns for wall_ns, _, _ in self.blocks["step", side]]) * 1e-9

    def _step_s(self, part: str, side: int, block_steps: int) -> float:
        wall = np.array([block[0] for block in self.blocks[part, side]])
        return step_times.step_time(np.full(len(wall), block_steps), wall).p25

    def _parts_s(self, side: int, block_steps: int) -> dict[str, float]:
        """The parts as `gradrace time` has them, but `covered` (see step_times.parts)."""
        timed = [part for part in self.parts[side] if (part, side) in self.blocks]
        taken = {part: self._step_s(part, side, block_steps) for part in ("step", *timed)}
        return {name: value for name, value in step_times.parts(taken).items() if name != "covered"}


def _log_ratio(a: np.ndarray, b: np.ndarray) -> float:
    """The mean of two medians of log(b / a), over blocks that a began and those that b began."""
    ratios = np.log(b / a)
    return float(np.mean([np.median(begun) for begun in (ratios[::2], ratios[1::2]) if len(begun)]))


def table_steps(pair: Pair, blocks: int, rule: BlockRule = FOR_TIME) -> int:
    """Steps of a launch planned ahead: as many as the table may hold, at least blocks of one."""
    least = TRY_STEPS + _warmup(pair) + blocks + SLOWDOWN_BLOCKS + 1
    largest = max(pair.a.task.batch_size, pair.b.task.batch_size)
    return max(least, min(rule.most_steps, rule.most_entries // largest))


def lengths(pair: Pair, blocks: int, step_s: float, rule: BlockRule = FOR_TIME) -> Lengths:
    """Blocks as long as the rule says, from the slower side's seconds per step, if the table
    allows."""
    timing, warmup = pair.a.timing, _warmup(pair)
    assert timing is not None, "pairs are of timing runs"
    # Warm-up fills whole blocks: at most one block more than it asks for.
    most = (table_steps(pair, blocks, rule) - TRY_STEPS - warmup) // (blocks + SLOWDOWN_BLOCKS + 1)
    block_steps = max(1, min(most, int(np.ceil(rule.block_s / step_s))))
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


def _take_parts(processes: Processes, cell: int, taken: _Taken) -> None:
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


def check_cores(pairs: Sequence[Pair]) -> None:
    """UserError if a pair wants more threads than there are cores."""
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

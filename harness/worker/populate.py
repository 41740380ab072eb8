"""Trains the runs of a job many at once, a lane each, and by themselves those that cannot share."""

from __future__ import annotations

import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from ..adapter import Adapter, LanesImpossible, Population, PopulationAdapter
from ..machine.energy import meter
from ..plan import RunInputs, initial_weights
from ..schedules import SCHEDULES
from .draft import Draft, reason_of
from .memory import available_bytes, lane_bytes
from .train import LaneTask, Training, train_lanes


@dataclass(frozen=True)
class Member:
    """A run of the job, by its place there, with its inputs."""

    index: int
    draft: Draft
    inputs: RunInputs


@dataclass(frozen=True)
class Company:
    """Runs that share a program of so many lanes. note: why it has fewer than they ask for."""

    members: Sequence[Member]
    lanes: int
    note: str = ""

    def halves(self) -> list[Company]:
        """The same runs in programs of half as many lanes."""
        lanes = self.lanes // 2
        note = f"{self.lanes} lanes did not fit into memory"
        print(f"{note}; going on with {lanes}", file=sys.stderr, flush=True)
        return [Company(part, lanes, note) for part in _pieces(self.members, lanes)]


@dataclass(frozen=True)
class Outcome:
    """Runs that were trained together, each with its outcome; or one that cannot be, and why."""

    members: Sequence[Member]
    trainings: Sequence[Training] = ()
    reason: str = ""


def train_together(
    adapter: Adapter,
    members: Sequence[Member],
    lanes: int,
    tell: Callable[[int], None],
    beside: bool = False,
) -> Iterator[Outcome]:
    """Every run once. tell: hears the steps done after every chunk. beside: see `energy.meter`.

    If the device cannot hold so many lanes, half as many are tried. If a program cannot be made or
    fails, its runs are left to be trained by themselves: then it shows whose fault it is."""
    if not hasattr(adapter, "open_population"):
        for member in members:
            framework = member.draft.spec.framework
            yield Outcome([member], reason=f"the adapter of {framework} trains no populations")
        return
    able = cast(PopulationAdapter, adapter)
    waiting, alone = _companies(able, members, lanes)
    while waiting:
        company = waiting.pop(0)
        try:
            trainings = _trained(able, company, tell, beside)
        except MemoryError:
            trainings, reason = None, ""
        except Exception as error:
            traceback.print_exception(error)
            sys.stderr.flush()
            trainings, reason = None, f"its program failed: {reason_of(error)}"
        # Only here, as the error held the program and its memory.
        if trainings is not None:
            yield Outcome(company.members, trainings)
        elif not reason and company.lanes > 1:
            waiting = company.halves() + waiting
        else:
            reason = reason or "not even one lane fits into memory"
            alone += [(member, reason) for member in company.members]
    for member, reason in alone:
        yield Outcome([member], reason=reason)


def _companies(
    adapter: PopulationAdapter, members: Sequence[Member], lanes: int
) -> tuple[list[Company], list[tuple[Member, str]]]:
    """The runs that can share programs, and the others, each with the reason."""
    groups = defaultdict[Hashable, list[Member]](list)
    alone: list[tuple[Member, str]] = []
    for member in members:
        try:
            groups[_key(adapter, member)].append(member)
        except LanesImpossible as reason:
            alone.append((member, str(reason)))
    asked = members[0].draft.spec.lanes if members else lanes
    note = f"{asked} lanes were tried, and the system ended the process" if lanes < asked else ""
    pieces = [part for group in groups.values() for part in _pieces(group, lanes)]
    return [Company(part, lanes, note) for part in pieces], alone


def _trained(
    adapter: PopulationAdapter, company: Company, tell: Callable[[int], None], beside: bool
) -> list[Training]:
    began = time.perf_counter()
    _check_memory(company)
    members = company.members
    specs = [member.draft.spec for member in members]
    starts = [initial_weights(spec.task, spec.seed) for spec in specs]
    policy = adapter.policy(specs[0])
    inputs = [member.inputs for member in members]
    population: Population | None = None
    counted = meter(specs[0].device, beside, len(members))
    try:
        population = adapter.open_population(specs, starts, inputs, company.lanes)
        setup_s = time.perf_counter() - began
        found = train_lanes(population, [_lane_task(member) for member in members], tell)
        state_bytes = population.state_bytes()
    finally:
        if population is not None:
            # What it was doing may have broken it.
            with suppress(Exception):
                population.close()
        counted.energy()
    wall_s = time.perf_counter() - began
    for member in members:
        draft = member.draft
        draft.policy, draft.state_bytes, draft.meter = policy, state_bytes, counted
        draft.setup_s, draft.share_s = setup_s / len(members), wall_s / len(members)
        draft.lanes, draft.note = company.lanes, company.note
    return found


def _check_memory(company: Company) -> None:
    """MemoryError if the lanes would not fit into a CPU's memory: the system gives out more than it
    has, and then ends processes, which may be others."""
    spec = company.members[0].draft.spec
    if spec.device == "cpu" and company.lanes * lane_bytes(spec) > available_bytes():
        raise MemoryError


def _lane_task(member: Member) -> LaneTask:
    spec = member.draft.spec
    # A report may be made without the user's file.
    rates = None if spec.schedule.kind in SCHEDULES else member.inputs.learning_rates
    return LaneTask(spec.task, spec.schedule, rates)


def _key(adapter: PopulationAdapter, member: Member) -> Hashable:
    spec = member.draft.spec
    if spec.diagnose:
        raise LanesImpossible("norms of gradients are taken of runs by themselves")
    if spec.input != "resident":
        raise LanesImpossible("batches of an input pipeline come for one run at a time")
    return adapter.lane_key(spec, member.inputs)


def _pieces(members: Sequence[Member], size: int) -> list[Sequence[Member]]:
    return [members[first : first + size] for first in range(0, len(members), size)]

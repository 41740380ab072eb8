"""Which of several results of one run is kept. The order of the folders does not matter.

1. A finished result (ok, diverged) before a failed one or one out of time, and that before a
   skipped one.
2. The target's own before any other, so that a merge replaces nothing that is finished.
3. Timing and memory runs: those of the machine that finished most of them in this suite, so that
   frameworks stay comparable on one machine.
4. The one that started first; of two that started at once, the one whose record comes first as
   text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..machine.identity import identity
from ..record import Status
from ..spec import canonical_json
from .difference import Tables, difference
from .outcome import Conflict, Sample
from .source import Found, Source

_GRAVITY: Mapping[Status, int] = {"ok": 0, "diverged": 0, "failed": 1, "timeout": 1, "skipped": 2}


@dataclass(frozen=True)
class Chosen:
    """runs: digest -> the result that is kept. The rest: see outcome.SuiteMerged."""

    runs: Mapping[str, Found]
    equal: int
    unfinished: int
    conflicts: tuple[Conflict, ...]
    samples: tuple[Sample, ...]


def choose(sources: Sequence[Source]) -> Chosen:
    """Of every run in any of the folders, by the rule above."""
    found: dict[str, list[Found]] = {}
    for source in sources:
        for digest, run in source.runs.items():
            found.setdefault(digest, []).append(run)
    several = [of for of in found.values() if len(of) > 1]
    rank = _ranking([run for of in found.values() for run in of if run.is_clocked])
    runs = {digest: min(of, key=rank) if len(of) > 1 else of[0] for digest, of in found.items()}
    told = _Told(runs, Tables())
    for of in several:
        for run in of:
            told.hear(run)
    return Chosen(runs, told.equal, told.unfinished, tuple(told.conflicts), tuple(told.samples))


def _ranking(clocked: Sequence[Found]) -> Callable[[Found], tuple[Any, ...]]:
    """The key that sorts results of one run, the one to be kept first. clocked: all timing and
    memory runs of the suite."""
    places = {machine: place for place, machine in enumerate(_machines(clocked))}

    def rank(run: Found) -> tuple[Any, ...]:
        record = run.record
        place = places[_machine(run)] if run.is_clocked else 0
        return (_GRAVITY[record.status], not run.is_own, place, _began(run), _Text(run))

    return rank


def _machines(clocked: Sequence[Found]) -> list[tuple[str, ...]]:
    """Those that finished the most runs first; of equal ones the one that began first."""
    finished: dict[tuple[str, ...], int] = {}
    began: dict[tuple[str, ...], datetime] = {}
    for run in clocked:
        machine = _machine(run)
        finished[machine] = finished.get(machine, 0) + run.is_finished
        began[machine] = min(began.get(machine, _began(run)), _began(run))
    return sorted(finished, key=lambda machine: (-finished[machine], began[machine], machine))


def _machine(run: Found) -> tuple[str, ...]:
    """Records of earlier versions do not name their host; their folder stands for it."""
    host, *rest = identity(run.record).whole
    return (host or f"folder {run.output}", canonical_json(rest))


def _began(run: Found) -> datetime:
    moment = datetime.fromisoformat(run.record.started_at)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True)
class _Text:
    """A record as text, written only if two results began at once."""

    run: Found

    def __lt__(self, other: _Text) -> bool:
        texts = [canonical_json(each.run.record.to_json()) for each in (self, other)]
        return texts[0] < texts[1]


class _Told:
    """What is said of results that are not kept."""

    def __init__(self, kept: Mapping[str, Found], tables: Tables) -> None:
        self._kept, self._tables = kept, tables
        self.equal = self.unfinished = 0
        self.conflicts: list[Conflict] = []
        self.samples: list[Sample] = []

    def hear(self, run: Found) -> None:
        """Compares a result with the one that is kept in its place."""
        kept = self._kept[run.record.digest]
        if run is kept:
            return
        if not run.is_finished:
            self.unfinished += 1
        elif run.is_clocked:
            self._clocked(kept, run)
        elif found := difference(kept, run, self._tables):
            self.conflicts.append(
                Conflict(**_named(kept, run), what=found.what, relative=found.relative)
            )
        else:
            self.equal += 1

    def _clocked(self, kept: Found, run: Found) -> None:
        if _same_measurement(kept, run):
            self.equal += 1
        else:
            self.samples.append(Sample(**_named(kept, run)))


def _same_measurement(one: Found, other: Found) -> bool:
    """Whether these are copies of one record; two measurements never begin and last alike."""
    return one.record == other.record


def _named(kept: Found, other: Found) -> dict[str, str]:
    record = kept.record
    return {
        "digest": record.digest,
        "run": record.spec.id,
        "kept": str(kept.output),
        "kept_host": record.machine.host,
        "other": str(other.output),
        "other_host": other.record.machine.host,
    }

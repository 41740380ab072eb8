"""The whole answer: verdicts of paired blocks first, then profiles in turns, then their causes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ..machine import this_machine
from ..paired import Pair, PairVerdict, Side, StopRule
from ..paired.run import compare_pairs
from ..registry import Framework
from . import CellChange, WhyResult
from .align import aligned, counts
from .causes import causes
from .measure import Profiles, folder_name, profiler_file, take_profiles

Watch = Callable[[str], None]
# Changes that are kept, the largest first.
_MOST_CHANGES = 200


@dataclass(frozen=True)
class WhyRequest:
    """launches: profiles of each side. folder: for traces, one folder a cell inside of it."""

    rule: StopRule
    launches: int
    folder: Path


def explain(
    pairs: Sequence[Pair],
    a: Side,
    b: Side,
    frameworks: Mapping[str, Framework],
    asked: WhyRequest,
    watch: Watch = lambda line: None,
) -> WhyResult:
    """Times, profiles and explains every pair. UserError if nothing can be started."""
    started, began = datetime.now(UTC), time.monotonic()
    timed = compare_pairs(pairs, a, b, asked.rule, watch, breakdown=True)
    cells = []
    for pair, verdict in zip(pairs, timed.cells, strict=True):
        files = tuple(profiler_file(frameworks[run.framework]) for run in (pair.a, pair.b))
        folder = asked.folder / folder_name(pair.name)
        found = Profiles()
        if verdict.decision != "skipped":
            found = take_profiles(pair, (a, b), (files[0], files[1]), asked.launches, folder, watch)
        cells.append(explained(verdict, found, folder))
    return WhyResult(
        started_at=started.isoformat(timespec="milliseconds"),
        seconds=time.monotonic() - began,
        machine=this_machine(),
        a=timed.a,
        b=timed.b,
        cells=tuple(cells),
    )


def explained(verdict: PairVerdict, found: Profiles, folder: Path) -> CellChange:
    """A pair's profiles, aligned; pure, apart from the names of the traces."""
    launches = min(len(found.a), len(found.b))
    if not launches:
        reason = str(found.failure or verdict.reason or "nothing was profiled")
        return CellChange(verdict=verdict, notes=(reason[:2000],))
    a, b = found.a[:launches], found.b[:launches]
    changes, pairs = aligned(a, b), counts(a, b)
    plain = [float(np.median([each.step_s for each in side])) for side in (a, b)]
    profiled = [float(np.median([each.wall_s for each in side])) for side in (a, b)]
    notes = [*(note for each in (a[-1], b[-1]) for note in each.notes)]
    if found.failure:
        notes.append(f"profiling ended early: {found.failure}")
    traces = [
        tuple(str(folder / letter / name) for name in side[-1].traces)
        for letter, side in (("A", a), ("B", b))
    ]
    cell = CellChange(
        verdict=verdict,
        launches=launches,
        steps=a[-1].steps,
        a_step_s=plain[0],
        b_step_s=plain[1],
        a_profiled_s=profiled[0],
        b_profiled_s=profiled[1],
        changes=changes[:_MOST_CHANGES],
        counts=pairs,
        notes=tuple(dict.fromkeys(notes)),
        a_traces=traces[0],
        b_traces=traces[1],
    )
    found_causes = causes(aligned(a, b, grouped=False), pairs, cell.total_s)
    return cell.model_copy(update={"causes": found_causes})

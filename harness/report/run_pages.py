"""What the page of a run shows, a small script a run: run.html loads the one that its address
names.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from .. import schedules
from ..output.escaping import for_script
from ..record import RunRecord
from ..results.frame import Frames
from ..spec import ScheduleSpec
from ..sweep.store import read_log
from . import diagnosed
from .record_text import described, finding_pair, step_pairs

# Points of a curve at most; more are averaged over bins of equal length.
POINTS = 400
LOG_BYTES = 8000
# Steps of a run whose planned rates are worked out.
_LONGEST = 10_000_000

Series = dict[str, tuple[np.ndarray, np.ndarray]]


def files(frames: Frames, suite: str) -> Iterator[tuple[str, str]]:
    """Digest and script of every run of the suite: a call with an object of

    suite, title (of the suite), digest, status, reason, facts (pairs), spec (JSON), metric, target,
    curves, log (its end).
    curves: name -> {steps of the first point and between points, or of all; values, null where not
    finite; bin: how many steps a point is the mean of; lost: how many values were not finite,
    first: the step of the first of these}."""
    curves, amiss = _by_run(frames.curves), diagnosed.per_run(frames, suite)
    findings: dict[str, list[tuple[str, str]]] = {}
    for digest, *finding in amiss.itertuples(index=False):
        findings.setdefault(digest, []).append(finding_pair(*finding))
    title = frames.plans[suite].title
    rows = frames.runs[frames.runs["suite"] == suite].drop_duplicates("digest")
    times = rows[["digest", "step_p25_s", "step_median_s", "step_p99_s", "step_mean_s"]].itertuples(
        index=False
    )
    for digest, *timed in times:
        record = frames.records[digest]
        measured = [
            *findings.get(digest, ()),
            *([] if pd.isna(timed[0]) else step_pairs(record, *timed)),
        ]
        series = curves.get(digest, {}) | _planned(record, curves.get(digest, {}))
        log = (
            read_log(frames.output, suite, digest, LOG_BYTES)
            if frames.output and "log.txt" in record.artefacts
            else ""
        )
        yield digest, _script(record, suite, title, measured, log, series)


def _script(
    record: RunRecord,
    suite: str,
    title: str,
    measured: list[tuple[str, str]],
    log: str,
    series: Series,
) -> str:
    said = {
        "suite": suite,
        "title": title,
        "digest": record.digest,
        "status": record.status,
        "reason": record.reason,
        "facts": described(record, measured),
        "spec": record.spec.to_json(),
        "log": log,
        "metric": record.spec.task.metric,
        "target": record.spec.task.target,
    }
    drawn = ",".join(
        f"{for_script(name)}:{_points(*points)}"
        for name, points in series.items()
        if len(points[0])
    )
    return f'gradrace.run({for_script(said)[:-1]},"curves":{{{drawn}}}}});\n'


def _by_run(curves: pd.DataFrame) -> dict[str, Series]:
    """The curves of every run, cut where run or series change: the rows of a run lie together."""
    if curves.empty:
        return {}
    runs, digests = pd.factorize(curves["digest"])
    kinds, names = pd.factorize(curves["series"])
    edges = np.flatnonzero(np.diff(runs) | np.diff(kinds)) + 1
    begins, ends = [0, *edges.tolist()], [*edges.tolist(), len(curves)]
    steps, values = curves["step"].to_numpy(), curves["value"].to_numpy()
    found: dict[str, Series] = {}
    for begin, end in zip(begins, ends, strict=True):
        series = found.setdefault(digests[runs[begin]], {})
        # A run that stands in two suites has the same curve in both.
        series.setdefault(names[kinds[begin]], (steps[begin:end], values[begin:end]))
    return found


def _planned(record: RunRecord, known: Series) -> Series:
    """The learning rates of a run whose curve does not hold them: those of its schedule, as far as
    it went.
    """
    if (
        "learning_rate" in known
        or "train_loss" not in known
        or record.spec.schedule.kind not in schedules.SCHEDULES
    ):
        return {}
    if record.spec.steps > _LONGEST:
        return {}
    rates = _rates(record.spec.schedule.model_dump_json(), record.spec.steps)[
        : len(known["train_loss"][0])
    ]
    if len(rates) and (rates == rates[0]).all():
        return {"learning_rate": (np.array([0, len(rates)]), rates[[0, 0]])}
    return {"learning_rate": (np.arange(len(rates)), rates)}


@functools.lru_cache(maxsize=256)
def _rates(schedule: str, steps: int) -> np.ndarray:
    return schedules.table(ScheduleSpec.model_validate_json(schedule), steps)


def _points(steps: np.ndarray, values: np.ndarray) -> str:
    """JSON of at most POINTS points."""
    finite = np.isfinite(values)
    said: dict[str, Any] = {"bin": 1}
    if not finite.all():
        said |= {"lost": int((~finite).sum()), "first": int(steps[~finite][0])}
    width = -(-len(values) // POINTS)
    if width > 1:
        begins = np.arange(0, len(values), width)
        counts = np.diff(np.append(begins, len(values)))
        # What is not finite makes its bin so, and leaves a gap there.
        with np.errstate(invalid="ignore"):
            steps, values = (
                np.add.reduceat(each.astype(np.float64), begins) / counts
                for each in (steps, values)
            )
        said["bin"] = width
    gaps = np.diff(steps)
    if len(gaps) and (gaps == gaps[0]).all():
        said |= {"from": float(steps[0]), "every": float(gaps[0])}
    else:
        said["steps"] = steps.tolist()
    shown = [f"{value:.5g}" for value in values.tolist()]
    if not np.isfinite(values).all():
        shown = [
            text if good else "null" for text, good in zip(shown, np.isfinite(values), strict=True)
        ]
    return f'{for_script(said)[:-1]},"values":[{",".join(shown)}]}}'

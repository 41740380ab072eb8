"""The data of the page of each run: run.html loads the file that its address names."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ... import schedules
from ...output.escaping import for_script
from ...record import RunRecord
from ...results.frame import Frames
from ...spec import ScheduleSpec
from ...sweep.store import stored
from ..names import page_names
from ..record_text import described, finding_pair, step_pairs
from ..tables.diagnosed import per_run
from .neighbours import neighbours
from .points import points_json

LOG_BYTES = 8000
# Steps of the longest run whose planned rates are worked out.
_LONGEST = 10_000_000
_TIMES = ["step_p25_s", "step_median_s", "step_p99_s", "step_mean_s"]

Series = dict[str, tuple[np.ndarray, np.ndarray]]


def files(frames: Frames, suite: str) -> Iterator[tuple[str, str]]:
    """Digest and script of every run of the suite: a call with an object of suite, title and page
    (of the suite), digest, status, reason, facts (pairs), spec (JSON), metric, target, curves (name
    -> points), log (its end), near (the kinds of its neighbours)."""
    curves, findings = _by_run(frames.curves), _findings(frames, suite)
    of_suite = {"title": frames.plans[suite].title, "page": page_names(frames.plans)[suite]}
    place = None if frames.output is None else stored(frames.output, suite)
    rows = frames.runs[frames.runs["suite"] == suite].drop_duplicates("digest")
    near = neighbours(rows)
    for digest, *times in rows[["digest", *_TIMES]].itertuples(index=False):
        record, known = frames.records[digest], curves.get(digest, {})
        measured = [*findings.get(digest, ())]
        measured += [] if pd.isna(times[0]) else step_pairs(record, *times)
        of_run = {"suite": suite, **of_suite, "near": near[digest]}
        log = place.log(digest, LOG_BYTES) if place and "log.txt" in record.artefacts else ""
        yield (
            digest,
            _script(record, of_run, measured, log, known | _planned(record, known)),
        )


def _findings(frames: Frames, suite: str) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for digest, *finding in per_run(frames, suite).itertuples(index=False):
        found.setdefault(digest, []).append(finding_pair(*finding))
    return found


def _script(
    record: RunRecord,
    of_run: dict[str, Any],
    measured: list[tuple[str, str]],
    log: str,
    series: Series,
) -> str:
    said = {
        **of_run,
        "digest": record.digest,
        "status": record.status,
        "reason": record.reason,
        "facts": described(record, measured),
        "spec": record.spec.to_json(),
        "log": log,
        "metric": record.spec.task.metric,
        "target": record.spec.task.target,
    }
    curves = ",".join(
        f"{for_script(name)}:{points_json(*curve)}"
        for name, curve in series.items()
        if len(curve[0])
    )
    return f'gradrace.run({for_script(said)[:-1]},"curves":{{{curves}}}}});\n'


def _by_run(curves: pd.DataFrame) -> dict[str, Series]:
    """The curves of every run; the rows of a run, and of a series in it, lie together."""
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
    it went."""
    spec = record.spec
    if "learning_rate" in known or "train_loss" not in known or spec.steps > _LONGEST:
        return {}
    if spec.schedule.kind not in schedules.SCHEDULES:
        return {}
    done = len(known["train_loss"][0])
    rates = _rates(spec.schedule.model_dump_json(), spec.steps)[:done]
    if len(rates) and (rates == rates[0]).all():
        return {"learning_rate": (np.array([0, len(rates)]), rates[[0, 0]])}
    return {"learning_rate": (np.arange(len(rates)), rates)}


@functools.lru_cache(maxsize=256)
def _rates(schedule: str, steps: int) -> np.ndarray:
    return schedules.table(ScheduleSpec.model_validate_json(schedule), steps)

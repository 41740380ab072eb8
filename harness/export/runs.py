"""What other tools are told of a run: curves, hyperparameters, final figures and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from .. import schedules
from ..errors import ExitCode, UserError
from ..record import RunRecord
from ..results.columns import NUMBERS
from ..results.frame import Frames
from ..spec import RunSpec, hyper_text
from ..sweep import matches

Value = str | float | int | bool
# Steps int64[n] and values float64[n].
Series = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ToldRun:
    """One run.

    digest: its name for ever. name: `RunSpec.id`. suites: those it stands in; the first is its
    home. began: seconds since the epoch. settings: everything that tells it from other runs.
    figures: final ones that it has. curves: by series; a diverged run's may end in NaN or inf."""

    digest: str
    name: str
    suites: tuple[str, ...]
    status: str
    reason: str
    began: float
    seconds: float
    settings: Mapping[str, Value]
    figures: Mapping[str, float]
    curves: Mapping[str, Series]
    libraries: Mapping[str, str]

    @property
    def suite(self) -> str:
        """The suite that it is filed under."""
        return self.suites[0]

    @property
    def ended_well(self) -> bool:
        """Whether it ran to its end; a run that diverged did."""
        return self.status in ("ok", "diverged")

    @property
    def last_step(self) -> int:
        """The last step of its curves; 0 if it has none."""
        return max((int(steps[-1]) for steps, _ in self.curves.values() if len(steps)), default=0)


def told(frames: Frames, keyword: str = "") -> Iterator[ToldRun]:
    """The runs that were begun, once each, in the order of the plans.

    keyword: see `sweep.matches`. UserError if no run is left."""
    chosen = [row for row in _rows(frames) if matches(str(row["id"]), keyword)]
    if not chosen:
        raise UserError(
            f"no run that was begun matches {keyword!r}; gradrace report shows the ids"
            if keyword
            else "every run was skipped; nothing to export",
            ExitCode.NOTHING_MATCHED if keyword else ExitCode.NOTHING_MEASURED,
        )
    curves = {digest: of for digest, of in frames.curves.groupby("digest", sort=False)}
    none = frames.curves.iloc[:0]
    for row in chosen:
        digest = str(row["digest"])
        yield _told(frames.records[digest], row, curves.get(digest, none))


def _rows(frames: Frames) -> list[dict[str, object]]:
    """One row a run, with the suites that it stands in."""
    begun = frames.runs[frames.runs["status"] != "skipped"]
    suites: dict[str, list[str]] = {}
    for digest, suite in zip(begun["digest"], begun["suite"], strict=True):
        suites.setdefault(digest, []).append(suite)
    rows = begun.drop_duplicates("digest").to_dict("records")
    return [{**row, "suites": tuple(suites[row["digest"]])} for row in rows]


def _told(record: RunRecord, row: Mapping[str, object], curves: pd.DataFrame) -> ToldRun:
    spec = record.spec
    series = {str(name): _series(of) for name, of in curves.groupby("series", sort=False)}
    if rates := _rates(spec, series):
        series["learning_rate"] = rates
    figures = {name: float(row[name]) for name in NUMBERS if row[name] == row[name]}  # type: ignore[arg-type]
    return ToldRun(
        digest=record.digest,
        name=spec.id,
        suites=row["suites"],  # type: ignore[arg-type]
        status=record.status,
        reason=record.reason,
        began=datetime.fromisoformat(record.started_at).timestamp(),
        seconds=record.wall_s,
        settings=settings(spec),
        figures=figures,
        curves=series,
        libraries=record.libraries,
    )


def _series(points: pd.DataFrame) -> Series:
    return points["step"].to_numpy(np.int64), points["value"].to_numpy(np.float64)


def _rates(spec: RunSpec, series: Mapping[str, Series]) -> Series | None:
    """The learning rate of each step that was taken, if the run has losses but no such series."""
    taken = series.get("train_loss")
    if taken is None or "learning_rate" in series or spec.schedule.kind not in schedules.SCHEDULES:
        return None
    # A schedule that another version knew with other parameters is not worth a whole export.
    try:
        rates = schedules.table(spec.schedule, spec.steps)
    except (UserError, ValueError):
        return None
    steps = taken[0]
    return steps, rates[: len(steps)]


def settings(spec: RunSpec) -> dict[str, Value]:
    """The run's specification, flat: 'hyper.beta1', 'schedule.every', 'variation.batch_size'."""
    task, optimizer = spec.task, spec.optimizer
    count = "seed" if spec.measure == "convergence" else "launch"
    return {
        **{"measure": spec.measure, "task": task.name, "data": task.data, "metric": task.metric},
        **{"framework": spec.framework, "mode": spec.mode, "device": spec.device},
        **{"dtype": spec.dtype, "threads": spec.threads, "input": spec.input},
        **{"optimizer": optimizer.name, "rule": optimizer.rule},
        **{"schedule": spec.schedule.kind, "learning_rate": spec.schedule.base_lr},
        **{"batch_size": task.batch_size, "steps": spec.steps, "target": task.target},
        count: getattr(spec, count),
        **_flat("hyper", optimizer.hyper),
        **_flat("schedule", spec.schedule.params),
        **_flat("variation", spec.variations),
        **{f"group.{'+'.join(g.roles)}": g.name for g in optimizer.groups},
    }


def _flat(prefix: str, values: Mapping[str, object]) -> dict[str, Value]:
    return {
        f"{prefix}.{name}": hyper_text(value) if isinstance(value, Sequence) else value  # type: ignore[arg-type,misc]
        for name, value in values.items()
    }

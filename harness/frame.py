"""Records to tidy pandas frames; the only way that reports, comparisons and notebooks read results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from . import stats
from .errors import UserError
from .record import RunRecord
from .spec import number_text
from .store import PlanFile, read_arrays, read_plan, read_records, suites_in
from .verify import kept
from .verify.verdict import VerifyFile

# What makes two runs the same cell: everything but the seed and the launch.
CELL = (
    "measure", "task", "framework", "mode", "optimizer", "rule", "schedule", "learning_rate", "variation",
    "device", "dtype", "threads", "batch_size",
)  # fmt: skip


@dataclass(frozen=True)
class Frames:
    """Tidy results.

    runs: one row a run, whatever its status. Columns: suite, digest, id, measure, task, framework, mode, optimizer,
        rule, schedule, schedule_params, learning_rate, hyper, variation, device, dtype, threads, batch_size, steps,
        eval_every, target, seed, launch, status, reason; of convergence runs steps_done, final_train_loss,
        final_validation_loss, final_validation_metric, best_validation_loss, best_validation_metric, test_loss,
        test_metric, steps_to_target, stopped_at; of timing runs step_p25_s, step_median_s, step_p99_s, contended; of both
        setup_s, first_call_s, state_bytes, started_at, wall_s. Missing numbers are NaN.
    curves: one row a point: digest, step, series (train_loss, validation_loss, validation_metric; learning_rate where
        the validation loss drove it; point_0 and point_1 where the task is a function of two numbers), value.
    steps: one row a timed block: digest, block, part, steps, wall_ns, cpu_ns, involuntary_switches, steal_ticks.
    plans: suite -> its title, question and digests. records: digest -> the whole record.
    verified: what `gradrace verify` kept beside the results; None where it was not run.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    steps: pd.DataFrame
    plans: dict[str, PlanFile]
    records: dict[str, RunRecord]
    verified: VerifyFile | None = None


def load(folder: str | Path = "results", *suites: str) -> Frames:
    """The results under a folder (that of `gradrace run --output`), of all suites or of those named.

    UserError where there is nothing to read, or where a file is truncated, newer than this version or not ours.
    """
    output = Path(folder)
    names = suites or suites_in(output)
    plans = {suite: read_plan(output, suite) for suite in names}
    rows: list[dict[str, Any]] = []
    curves, blocks, records = [], [], {}
    for suite in names:
        for record in read_records(output, suite):
            records[record.digest] = record
            row = _row(suite, record)
            curve = _arrays(output, suite, record, "curve")
            if curve is not None:
                curves.append(curve)
            timed = _arrays(output, suite, record, "steps")
            if timed is not None:
                blocks.append(timed.rename_axis("block").reset_index())
                row |= _timing(timed)
            rows.append(row)
    if not rows:
        raise UserError(f"{output}: no finished run of {', '.join(names)} there yet")
    return Frames(_runs(rows), _concat(curves, _CURVE), _concat(blocks, _BLOCKS), plans, records, kept.read(output))


_CURVE = ("digest", "step", "series", "value")
_BLOCKS = ("digest", "block", "part", "steps", "wall_ns", "cpu_ns", "involuntary_switches", "steal_ticks")
_NUMBERS = (
    "steps_done", "final_train_loss", "final_validation_loss", "final_validation_metric", "best_validation_loss",
    "best_validation_metric", "test_loss", "test_metric", "steps_to_target", "stopped_at", "setup_s", "first_call_s",
    "state_bytes", "step_p25_s", "step_median_s", "step_p99_s",
)  # fmt: skip


def _row(suite: str, record: RunRecord) -> dict[str, Any]:
    spec = record.spec
    return {
        "suite": suite, "digest": record.digest, "id": spec.id, "measure": spec.measure, "task": spec.task.name,
        "framework": spec.framework, "mode": spec.mode, "optimizer": spec.optimizer.name, "rule": spec.optimizer.rule,
        "schedule": spec.schedule.kind, "schedule_params": _pairs(spec.schedule.params),
        "learning_rate": spec.schedule.base_lr, "hyper": _pairs(spec.optimizer.hyper),
        "variation": _pairs(spec.variations), "device": spec.device, "dtype": spec.dtype, "threads": spec.threads,
        "batch_size": spec.task.batch_size, "steps": spec.steps, "eval_every": spec.task.eval_every,
        "target": spec.task.target, "seed": spec.seed, "launch": spec.launch, "status": record.status,
        "reason": record.reason, **(record.summary.to_json() if record.summary else {}), "setup_s": record.setup_s,
        "first_call_s": record.first_call_s, "state_bytes": record.state_bytes, "started_at": record.started_at,
        "wall_s": record.wall_s,
    }  # fmt: skip


def _timing(blocks: pd.DataFrame) -> dict[str, Any]:
    time = stats.step_time(blocks["steps"].to_numpy(), blocks["wall_ns"].to_numpy())
    disturbed = stats.contended(*(blocks[c].to_numpy() for c in ("wall_ns", "cpu_ns", "involuntary_switches")))
    return {
        "step_p25_s": time.p25, "step_median_s": time.median, "step_p99_s": time.p99, "contended": disturbed,
    }  # fmt: skip


def _runs(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    frame = frame.reindex(columns=[*frame.columns, *(c for c in (*_NUMBERS, "contended") if c not in frame)])
    frame[list(_NUMBERS)] = frame[list(_NUMBERS)].astype("float64")
    frame["contended"] = frame["contended"].astype("boolean")
    return frame


def _arrays(output: Path, suite: str, record: RunRecord, name: str) -> pd.DataFrame | None:
    columns = read_arrays(output, suite, record.digest, name) if f"{name}.parquet" in record.artefacts else None
    return None if columns is None else pd.DataFrame({"digest": record.digest, **columns})


def _concat(frames: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)[list(columns)] if frames else pd.DataFrame(columns=list(columns))


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={number_text(v) if isinstance(v, float | tuple) else v}" for key, v in values.items())

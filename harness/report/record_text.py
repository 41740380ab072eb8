"""One run in full, for people: what it was, how it went, where its files are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ExitCode, UserError
from ..record import RunRecord
from ..spec import number_text
from ..sweep.store import read_arrays, read_records, suite_folder, suites_in

_BARS = "▁▂▃▄▅▆▇█"


class Found(NamedTuple):
    """A record and where it lies."""

    output: Path
    suite: str
    record: RunRecord

    @property
    def folder(self) -> Path:
        """The run's own folder."""
        return suite_folder(self.output, self.suite) / self.record.digest


def find(output: Path, wanted: str) -> Found:
    """The run whose digest starts with `wanted`, or whose id contains it. UserError unless there is
    exactly one.
    """
    everything = [
        Found(output, suite, record)
        for suite in suites_in(output)
        for record in read_records(output, suite)
    ]
    matching = [f for f in everything if f.record.digest.startswith(wanted)] or [
        f for f in everything if wanted.lower() in f.record.spec.id.lower()
    ]
    if not matching:
        raise UserError(
            f"{output}: no run whose digest begins with or whose id contains {wanted!r}",
            ExitCode.NOTHING_MATCHED,
        )
    if len({f.record.digest for f in matching}) > 1:
        some = "\n".join(f"  {f.record.digest[:10]}  {f.record.spec.id}" for f in matching[:10])
        more = f"\n  ... and {len(matching) - 10} more" if len(matching) > 10 else ""
        raise UserError(f"{len(matching)} runs match {wanted!r}; say more of one of\n{some}{more}")
    return matching[0]


def lines(found: Found) -> list[tuple[str, str]]:
    """(what, value) pairs in reading order."""
    files = f"{found.folder} ({', '.join((*found.record.artefacts, 'run.json'))})"
    return [*described(found.record, _measured(found)), ("files", files)]


def described(record: RunRecord, measured: Iterable[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    """What a record says, as (what, value) pairs in reading order; what was `measured` beside it
    stands with the outcome.
    """
    spec, machine = record.spec, record.machine
    return [
        ("run", spec.id),
        ("digest", record.digest),
        ("status", record.status + (f": {record.reason}" if record.reason else "")),
        ("task", f"{spec.task.title}; batch size {spec.task.batch_size}, {spec.steps} steps"),
        (
            "optimizer",
            f"{spec.optimizer.name} ({spec.optimizer.rule}) {_pairs(spec.optimizer.hyper)}".rstrip(),
        ),
        (
            "learning rate",
            f"{spec.schedule.kind} from {number_text(spec.schedule.base_lr)}"
            f" {_pairs(spec.schedule.params)}".rstrip(),
        ),
        (
            "framework",
            (
                f"{spec.framework}, mode {spec.mode}, {spec.dtype} on {spec.device}, {spec.threads}"
                " thread(s)"
            ),
        ),
        *_outcome(record),
        *measured,
        *_state(record),
        ("versions", _pairs(record.versions)),
        (
            "machine",
            (
                f"{machine.processor}, {machine.logical_cores} cores, {machine.system}, Python"
                f" {machine.python}"
            ),
        ),
        ("started", f"{record.started_at}, took {record.wall_s:.2f} s"),
    ]


def sparkline(values: np.ndarray, width: int = 60) -> str:
    """The values as a line of block characters, on a log scale, not finite ones as '?'."""
    parts = np.array_split(values, min(width, len(values)))
    with np.errstate(divide="ignore", invalid="ignore"):
        heights = np.log(np.array([part.mean() for part in parts]))
    good = np.isfinite(heights)
    if not good.any():
        return "?" * len(heights)
    low, high = heights[good].min(), heights[good].max()
    scaled = np.where(good, (heights - low) / (high - low or 1.0) * (len(_BARS) - 1), 0.0).astype(
        int
    )
    return "".join(_BARS[h] if fine else "?" for h, fine in zip(scaled, good, strict=True))


def _outcome(record: RunRecord) -> list[tuple[str, str]]:
    summary = record.summary.to_json() if record.summary else {}
    known = {key: value for key, value in summary.items() if value is not None}
    return [("outcome", _pairs(known))] if record.summary else []


def _measured(found: Found) -> list[tuple[str, str]]:
    record, pairs = found.record, []
    curve = (
        read_arrays(found.output, found.suite, record.digest, "curve") if record.summary else None
    )
    if curve is not None:
        pairs.append(("training loss", sparkline(curve["value"][curve["series"] == "train_loss"])))
    pairs += _findings(found, curve)
    steps = read_arrays(found.output, found.suite, record.digest, "steps")
    if steps is not None:
        from ..statistics.step_times import step_time

        whole = steps["part"] == "step" if "part" in steps else slice(None)
        pairs += step_pairs(record, *step_time(steps["steps"][whole], steps["wall_ns"][whole]))
    return pairs


def _findings(found: Found, curve: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    from ..diagnosis import diagnose_run

    norms = read_arrays(found.output, found.suite, found.record.digest, "norms")
    return [finding_pair(*finding) for finding in diagnose_run(found.record, curve, norms)]


def finding_pair(rule: str, severity: str, step: int, reason: str) -> tuple[str, str]:
    """A finding, for people."""
    return "diagnosis", f"{rule}{'' if severity == 'none' else f' since step {step}'}: {reason}"


def step_pairs(
    record: RunRecord, p25: float, median: float, p99: float, mean: float
) -> list[tuple[str, str]]:
    """Of a timing run, its step times in seconds, for people."""
    p25, median, p99, mean = (value * 1e6 for value in (p25, median, p99, mean))
    return [
        (
            "step time",
            f"p25 {p25:.1f} us, median {median:.1f} us, p99 {p99:.1f} us, mean {mean:.1f} us",
        ),
        ("first call", f"{record.first_call_s or 0:.3f} s"),
    ]


def _state(record: RunRecord) -> list[tuple[str, str]]:
    if record.state_bytes is None:
        # A run that did not end has not been asked.
        return [("optimizer state", "unknown")] if record.status == "ok" else []
    return [("optimizer state", f"{record.state_bytes} bytes")]


def _pairs(values: object) -> str:
    items = dict(values).items()  # type: ignore[call-overload]
    return ", ".join(
        f"{key}={number_text(v) if isinstance(v, float | tuple) else v}" for key, v in items
    )

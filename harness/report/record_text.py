"""One run in full, for people: its settings, its outcome, its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import data
from ..errors import ExitCode, UserError
from ..record import DataFacts, RunRecord
from ..spec import POPULATION, ParameterGroup, hyper_text, number_text
from ..sweep.store import read_plan, stored, suites_in
from ..sweep.stored import Stored
from . import text

_BARS = "▁▂▃▄▅▆▇█"


class Found(NamedTuple):
    """A record, the file that holds it, the runs among which it lies, and their suite."""

    record: RunRecord
    file: Path
    among: Stored
    suite: str


def find(output: Path, wanted: str) -> Found:
    """The run whose digest starts with `wanted`, or whose id contains it. UserError unless there is
    exactly one."""
    places = {suite: stored(output, suite) for suite in suites_in(output)}
    everything = [
        Found(kept.record, kept.file, place, suite)
        for suite, place in places.items()
        for kept in place.sound(read_plan(output, suite).digests)
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
    data.recall(matching[0].record.spec.task.data, matching[0].record.data)
    return matching[0]


def lines(found: Found) -> list[tuple[str, str]]:
    """(what, value) pairs in reading order."""
    files = f"{found.file.parent} ({', '.join((*found.record.artefacts, found.file.name))})"
    return [*described(found.record, _measured(found)), ("files", files)]


def _group(group: ParameterGroup) -> str:
    rate = f", learning rate times {number_text(group.rate_factor)}"
    own = f"{', '.join(group.roles)}: {group.name} {_pairs(group.hyper)}".rstrip()
    return own + (rate if group.rate_factor != 1.0 else "")


def described(record: RunRecord, measured: Iterable[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    """A record as (what, value) pairs in reading order; `measured` pairs stand with the outcome."""
    spec, machine = record.spec, record.machine
    optimizer, schedule = spec.optimizer, spec.schedule
    computed = f"{spec.dtype} on {spec.device}, {spec.threads} thread(s)"
    rates = f"{schedule.kind} from {number_text(schedule.base_lr)} {_pairs(schedule.params)}"
    system = f"{machine.logical_cores} cores, {machine.system}, Python {machine.python}"
    return [
        ("run", spec.id),
        ("digest", record.digest),
        ("status", record.status + (f": {record.reason}" if record.reason else "")),
        ("task", f"{spec.task.title}; batch size {spec.task.batch_size}, {spec.steps} steps"),
        *_data(record),
        ("optimizer", f"{optimizer.name} ({optimizer.rule}) {_pairs(optimizer.hyper)}".rstrip()),
        *[("parameter group", _group(group)) for group in optimizer.groups],
        ("learning rate", rates.rstrip()),
        ("framework", f"{spec.framework}, mode {spec.mode}, {computed}"),
        *_lanes(record),
        *_outcome(record),
        *measured,
        *_state(record),
        ("versions", _pairs(record.libraries)),
        ("machine", f"{f'{machine.host}: ' if machine.host else ''}{machine.processor}, {system}"),
        *([("driver", record.driver)] if record.driver else []),
        ("started", f"{record.started_at}, took {record.wall_s:.2f} s"),
        *_energy(record),
    ]


def sparkline(values: np.ndarray, width: int = 60) -> str:
    """The values as a line of block characters, on a log scale; '?' if they are not finite."""
    parts = np.array_split(values, min(width, len(values)))
    with np.errstate(divide="ignore", invalid="ignore"):
        heights = np.log(np.array([part.mean() for part in parts]))
    good = np.isfinite(heights)
    if not good.any():
        return "?" * len(heights)
    low, high = heights[good].min(), heights[good].max()
    shares = np.where(good, (heights - low) / (high - low or 1.0), 0.0)
    bars = (shares * (len(_BARS) - 1)).astype(int)
    return "".join(_BARS[bar] if fine else "?" for bar, fine in zip(bars, good, strict=True))


def _data(record: RunRecord) -> list[tuple[str, str]]:
    if record.data is None:
        return []
    said = [record.spec.task.data, data_size(record.data), record.data.source]
    said += [f"licence: {record.data.licence}" if record.data.licence else ""]
    said += [f"content {record.data.content}" if record.data.content else ""]
    return [("data", "; ".join(filter(None, said)))]


def data_size(facts: DataFacts) -> str:
    """'1,152 + 320 + 325 rows of 64, 10 classes': training, validation and test."""
    rows = " + ".join(f"{count:,}" for _, count in facts.rows)
    shape = " x ".join(map(str, facts.shape)) or "1"
    return f"{rows} rows of {shape}" + (f", {facts.classes} classes" if facts.classes else "")


def _lanes(record: RunRecord) -> list[tuple[str, str]]:
    """How a run of a population was trained, and on which card any run was."""
    pairs = [("GPU", record.gpu)] if record.gpu else []
    if record.spec.mode != POPULATION:
        return pairs
    by_itself = record.lanes == 1 and record.note
    said = [] if by_itself else [f"in a program with {text.plural(record.lanes, 'lane')}"]
    return [("population", "; ".join([*said, *([record.note] if record.note else [])])), *pairs]


def _outcome(record: RunRecord) -> list[tuple[str, str]]:
    if not record.summary:
        return []
    summary = record.summary.to_json()
    return [("outcome", _pairs({key: of for key, of in summary.items() if of is not None}))]


def _measured(found: Found) -> list[tuple[str, str]]:
    record, pairs = found.record, []
    curve = _arrays(found, "curve") if record.summary else None
    if curve is not None:
        pairs.append(("training loss", sparkline(curve["value"][curve["series"] == "train_loss"])))
    pairs += _findings(found, curve)
    steps = _arrays(found, "steps")
    if steps is not None:
        from ..statistics.step_times import step_time

        whole = steps["part"] == "step" if "part" in steps else slice(None)
        pairs += step_pairs(record, *step_time(steps["steps"][whole], steps["wall_ns"][whole]))
    return pairs


def _findings(found: Found, curve: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    from ..diagnosis import diagnose_run

    findings = diagnose_run(found.record, curve, _arrays(found, "norms"))
    return [finding_pair(*finding) for finding in findings]


def _arrays(found: Found, name: str) -> Mapping[str, Any] | None:
    return found.among.arrays(found.record.digest, name)


def finding_pair(rule: str, severity: str, step: int, reason: str) -> tuple[str, str]:
    """A finding, for people."""
    return "diagnosis", f"{rule}{'' if severity == 'none' else f' since step {step}'}: {reason}"


def step_pairs(
    record: RunRecord, p25: float, median: float, p99: float, mean: float
) -> list[tuple[str, str]]:
    """The step times of a timing run, given in seconds, for people."""
    times = {"p25": p25, "median": median, "p99": p99, "mean": mean}
    said = ", ".join(f"{name} {seconds * 1e6:.1f} us" for name, seconds in times.items())
    return [("step time", said), ("first call", f"{record.first_call_s or 0:.3f} s")]


def _energy(record: RunRecord) -> list[tuple[str, str]]:
    found = record.energy
    if found is None:
        return []
    if found.joules is None:
        return [("energy", f"unknown: {found.reason}")]
    steps = record.summary.steps_done if record.summary else 0
    each = f", {1000 * found.joules / steps:.3g} J per 1000 steps" if steps else ""
    shared = f"; an equal share of {found.runs} runs" if found.runs > 1 else ""
    return [("energy", f"{found.joules:.4g} J{each} ({found.source}{shared})")]


def _state(record: RunRecord) -> list[tuple[str, str]]:
    if record.state_bytes is None:
        # Only runs that ended were asked.
        return [("optimizer state", "unknown")] if record.status == "ok" else []
    return [("optimizer state", f"{record.state_bytes} bytes")]


def _pairs(values: object) -> str:
    items = dict(values).items()  # type: ignore[call-overload]
    return ", ".join(
        f"{key}={hyper_text(v) if isinstance(v, float | tuple) else v}" for key, v in items
    )

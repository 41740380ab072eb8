"""Today's traces against a baseline's: pure functions."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from ..record import RunRecord
from ..statistics.arrivals import median_time
from . import Check, Comparability, Mode
from .baseline import Origin
from .trace import Trace, first_beyond, first_unequal, recorded, relative_distances


def comparability(
    framework: str, origin: Origin, versions: Mapping[str, str], machine_type: str
) -> Comparability:
    """Exact if the same versions computed both on the same type of machine; else the band."""
    moved = [
        f"{n} {versions.get(n, 'none')} (was {origin.versions.get(n, 'none')})"
        for n in sorted(origin.versions.keys() | versions.keys())
        if versions.get(n) != origin.versions.get(n)
    ]
    if not moved and origin.machine_type != machine_type:
        moved = [f"another machine ({machine_type}; was {origin.machine_type})"]
    mode: Mode = "band" if moved else "exact"
    same = "same versions, same type of machine: bit for bit"
    reason = f"{', '.join(moved)}: within the rounding band" if moved else same
    return Comparability(framework=framework, mode=mode, reason=reason, versions=dict(versions))


def check_run(before: Trace, after: Trace, how: Comparability) -> Check:
    """One run: its losses, and in exact mode all else that the baseline keeps of it."""
    check = Check(
        id=after.id, what="losses", framework=after.framework, mode=how.mode, verdict="same"
    )
    if before.spec != after.spec:
        return _with(check, verdict="changed", reason=_CHANGED)
    exact = how.mode == "exact"
    if not exact and not before.band:
        reason = "the baseline has no band: float64 was not possible"
        return _with(check, verdict="unchecked", reason=reason)
    entry = first_unequal(before, after) if exact else first_beyond(before, after)
    if entry is not None:
        return _differing(check, before, after, entry)
    if (before.status, before.steps) != (after.status, after.steps):
        was, now = (f"{trace.status} after {trace.steps} steps" for trace in (before, after))
        return _with(check, verdict="differs", reason=f"{now}, was {was}")
    if before.hyper != after.hyper:
        return _with(check, verdict="changed", reason=f"{_hyper(before, after)}; {_CHANGED}")
    return _summary_checked(check, before, after) if exact else _with(check, verdict="within")


def _with(check: Check, **fields: Any) -> Check:
    return check.model_copy(update=fields)


def check_seeds(
    before: Iterable[Trace], after: Mapping[str, Trace], every: Mapping[str, int]
) -> list[Check]:
    """In band mode: medians over seeds, which may move as far as the baseline's seeds lie apart.

    A target that no seed reaches counts as infinitely many steps. every: id -> steps between
    evaluations, the grain of steps to target. The final validation loss may also move by its widest
    band."""
    groups: dict[str, list[Trace]] = defaultdict(list)
    for trace in before:
        if trace.band and trace.id in after and after[trace.id].spec == trace.spec:
            groups[trace.seedless].append(trace)
    checks = []
    for name, was in sorted(groups.items()):
        now = [after[trace.id] for trace in was]
        checks.append(_steps_to_target(name, was, now, max(every[trace.id] for trace in was)))
        checks += _final_loss(name, was, now)
    return checks


def unchecked(id: str, framework: str, reason: str) -> Check:
    """A run that could not be compared."""
    return Check(id=id, what="losses", framework=framework, verdict="unchecked", reason=reason)


def unfinished(record: RunRecord) -> Check:
    """A run without losses: not checked if it was skipped, else failed."""
    skipped = record.status == "skipped"
    reason = record.reason if skipped else f"{record.status}: {record.reason}"
    check = unchecked(record.spec.id, record.spec.framework, reason)
    return check if skipped else _with(check, verdict="failed")


_CHANGED = (
    "the run is no longer the one of the baseline; on purpose? `gradrace baseline update` takes it"
    " over"
)


def _differing(check: Check, before: Trace, after: Trace, entry: int) -> Check:
    """With step, both values, their distance, and possible explanations."""
    relative, allowed = relative_distances(before, after), before.allowed
    notes = [_hyper(before, after)] if before.hyper != after.hyper else []
    if check.mode == "exact" and (relative <= allowed[: len(relative)]).all():
        notes.append("all within the rounding band: another order of operations could do this, too")
    elif check.mode == "exact":
        notes.append(f"up to {relative.max():.2g} apart later on")
    return _with(
        check,
        verdict="differs",
        reason="; ".join(notes),
        step=int(recorded(before.steps)[entry]),
        before=before.losses[entry],
        after=after.losses[entry],
        relative=float(relative[entry]),
        allowed=float(allowed[entry]) if check.mode == "band" else 0.0,
    )


def _summary_checked(check: Check, before: Trace, after: Trace) -> Check:
    """Equal losses can still be evaluated differently."""
    for what in ("steps to target", "final validation loss"):
        was, now = (getattr(trace, what.replace(" ", "_")) for trace in (before, after))
        if was != now:
            found = {"before": was, "after": now, "relative": _relative(was, now), "allowed": 0.0}
            reason = "the losses are equal"
            return _with(check, verdict="differs", reason=reason, what=what, **found)
    return check


def _steps_to_target(name: str, was: list[Trace], now: list[Trace], every: int) -> Check:
    before, after = ([_steps(trace) for trace in traces] for traces in (was, now))
    reached = [steps for steps in before if steps != _NEVER]
    allowed = max(max(reached, default=0.0) - min(reached, default=0.0), float(every))
    a, b = (median_time(steps, [value != _NEVER for value in steps]) for steps in (before, after))
    differs = a != b and not abs(b - a) <= allowed
    return Check(
        id=name,
        what="steps to target",
        framework=was[0].framework,
        mode="band",
        verdict="differs" if differs else "within",
        before=_finite(a),
        after=_finite(b),
        reason=f"{_median(was)}, {allowed:g} steps allowed",
    )


def _final_loss(name: str, was: list[Trace], now: list[Trace]) -> list[Check]:
    before, after = (
        [t.final_validation_loss for t in traces if t.final_validation_loss is not None]
        for traces in (was, now)
    )
    if not before or not after:
        return []
    a, b = statistics.median(before), statistics.median(after)
    # A file may say anything; float64 ends at this power.
    bands = (min(trace.final_band, 1023) for trace in was if trace.final_band is not None)
    widest = max((2.0**band for band in bands), default=0.0)
    allowed = max(max(before) - min(before), widest * abs(a))
    return [
        Check(
            id=name,
            what="final validation loss",
            framework=was[0].framework,
            mode="band",
            verdict="within" if abs(b - a) <= allowed else "differs",
            before=a,
            after=b,
            relative=_relative(a, b),
            allowed=allowed / abs(a) if a else None,
            reason=_median(was),
        )
    ]


_NEVER = float("inf")


def _median(seeds: list[Trace]) -> str:
    return f"median of {len(seeds)} seeds" if len(seeds) > 1 else "one seed"


def _steps(trace: Trace) -> float:
    return _NEVER if trace.steps_to_target is None else float(trace.steps_to_target)


def _finite(value: float) -> float | None:
    return None if value == _NEVER else value


def _relative(was: float | None, now: float | None) -> float | None:
    return abs(now - was) / abs(was) if was and now is not None else None


def _hyper(before: Trace, after: Trace) -> str:
    moved = [
        f"{n} is {after.hyper.get(n, 'none')}, was {before.hyper.get(n, 'none')}"
        for n in sorted(before.hyper.keys() | after.hyper.keys())
        if before.hyper.get(n) != after.hyper.get(n)
    ]
    return f"hyperparameters: {', '.join(moved)}"

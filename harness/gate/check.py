"""Today's traces against a baseline's: pure functions from values to values."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping

from ..record import RunRecord
from ..statistics.arrivals import median_time
from . import Check, Comparability, Mode
from .baseline import Origin
from .trace import Trace, first_beyond, first_unequal, recorded, relative_distances


def comparability(
    framework: str, origin: Origin, versions: Mapping[str, str], machine_type: str
) -> Comparability:
    """Exact where the same versions computed both on the same type of machine; else the band, and
    what differs.
    """
    shared = sorted(origin.versions.keys() | versions.keys())
    moved = [
        f"{n} {versions.get(n, 'none')} (was {origin.versions.get(n, 'none')})"
        for n in shared
        if versions.get(n) != origin.versions.get(n)
    ]
    mode: Mode = "band"
    if moved:
        reason = f"{', '.join(moved)}: within the rounding band"
    elif origin.machine_type != machine_type:
        reason = (
            f"another machine ({machine_type}; was {origin.machine_type}): within the rounding band"
        )
    else:
        mode, reason = "exact", "same versions, same type of machine: bit for bit"
    return Comparability(framework=framework, mode=mode, reason=reason, versions=dict(versions))


def check_run(before: Trace, after: Trace, how: Comparability) -> Check:
    """One run: its losses, and in exact mode all else that the baseline keeps of it."""
    check = Check(
        id=after.id, what="losses", framework=after.framework, mode=how.mode, verdict="same"
    )
    if before.spec != after.spec:
        return check.model_copy(update={"verdict": "changed", "reason": _ASKED_ANEW})
    exact = how.mode == "exact"
    if not exact and not before.band:
        return check.model_copy(
            update={
                "verdict": "unchecked",
                "reason": "the baseline has no band: float64 was not possible",
            }
        )
    entry = first_unequal(before, after) if exact else first_beyond(before, after)
    if entry is not None:
        return _differing(check, before, after, entry)
    if (before.status, before.steps) != (after.status, after.steps):
        ends = [f"{trace.status} after {trace.steps} steps" for trace in (before, after)]
        return check.model_copy(
            update={"verdict": "differs", "reason": f"{ends[1]}, was {ends[0]}"}
        )
    if before.hyper != after.hyper:
        return check.model_copy(
            update={"verdict": "changed", "reason": f"{_hyper(before, after)}; {_ASKED_ANEW}"}
        )
    return (
        _summary_checked(check, before, after)
        if exact
        else check.model_copy(update={"verdict": "within"})
    )


def check_seeds(
    before: Iterable[Trace], after: Mapping[str, Trace], every: Mapping[str, int]
) -> list[Check]:
    """In band mode: per cell the medians over seeds, which may move by as much as the baseline's
    seeds lie apart.

    A target that no seed reaches counts as infinitely many steps. every: id -> steps between
    evaluations, the grain of steps to target. The final validation loss may also move by its widest
    band."""
    cells: dict[str, list[Trace]] = defaultdict(list)
    for trace in before:
        if trace.band and trace.id in after and after[trace.id].spec == trace.spec:
            cells[trace.cell].append(trace)
    checks = []
    for cell, was in sorted(cells.items()):
        now = [after[trace.id] for trace in was]
        checks.append(_steps_to_target(cell, was, now, max(every[trace.id] for trace in was)))
        checks += _final_loss(cell, was, now)
    return checks


def unchecked(id: str, framework: str, reason: str) -> Check:
    """A run that could not be compared."""
    return Check(id=id, what="losses", framework=framework, verdict="unchecked", reason=reason)


def unfinished(record: RunRecord) -> Check:
    """A run that has no losses: skipped ones are not checked, the others failed."""
    skipped = record.status == "skipped"
    reason = record.reason if skipped else f"{record.status}: {record.reason}"
    check = unchecked(record.spec.id, record.spec.framework, reason)
    return check if skipped else check.model_copy(update={"verdict": "failed"})


_ASKED_ANEW = (
    "the run is no longer the one of the baseline; on purpose? `gradrace baseline update` takes it"
    " over"
)


def _differing(check: Check, before: Trace, after: Trace, entry: int) -> Check:
    """With the place, both values, how far apart, and what may explain it."""
    relative, allowed = relative_distances(before, after), before.allowed
    notes = [_hyper(before, after)] if before.hyper != after.hyper else []
    if check.mode == "exact" and (relative <= allowed[: len(relative)]).all():
        notes.append("all within the rounding band: another order of operations could do this, too")
    elif check.mode == "exact":
        notes.append(f"up to {relative.max():.2g} apart later on")
    return check.model_copy(
        update={
            "verdict": "differs",
            "reason": "; ".join(notes),
            "step": int(recorded(before.steps)[entry]),
            "before": before.losses[entry],
            "after": after.losses[entry],
            "relative": float(relative[entry]),
            "allowed": float(allowed[entry]) if check.mode == "band" else 0.0,
        }
    )


def _summary_checked(check: Check, before: Trace, after: Trace) -> Check:
    """Equal losses can still be evaluated differently."""
    for what, name in (
        ("steps to target", "steps_to_target"),
        ("final validation loss", "final_validation_loss"),
    ):
        was, now = getattr(before, name), getattr(after, name)
        if was != now:
            found = {
                "what": what,
                "before": was,
                "after": now,
                "relative": _relative(was, now),
                "allowed": 0.0,
            }
            return check.model_copy(
                update={"verdict": "differs", "reason": "the losses are equal", **found}
            )
    return check


def _steps_to_target(cell: str, was: list[Trace], now: list[Trace], every: int) -> Check:
    before, after = ([_steps(trace) for trace in traces] for traces in (was, now))
    reached = [steps for steps in before if steps != _NEVER]
    spread = (
        max(before) - min(before)
        if len(reached) == len(before)
        else max(reached, default=0.0) - min(reached, default=0.0)
    )
    allowed = max(spread, float(every))
    a, b = (median_time(steps, [value != _NEVER for value in steps]) for steps in (before, after))
    differs = a != b and not abs(b - a) <= allowed
    return Check(
        id=cell,
        what="steps to target",
        framework=was[0].framework,
        mode="band",
        verdict="differs" if differs else "within",
        before=_finite(a),
        after=_finite(b),
        reason=f"{_median(was)}, {allowed:g} steps allowed",
    )


def _final_loss(cell: str, was: list[Trace], now: list[Trace]) -> list[Check]:
    before = [t.final_validation_loss for t in was if t.final_validation_loss is not None]
    after = [t.final_validation_loss for t in now if t.final_validation_loss is not None]
    if not before or not after:
        return []
    a, b = statistics.median(before), statistics.median(after)
    # A file may say anything; beyond this power there is no float64.
    bands = (min(trace.final_band, 1023) for trace in was if trace.final_band is not None)
    widest = max((2.0**band for band in bands), default=0.0)
    allowed = max(max(before) - min(before), widest * abs(a))
    return [
        Check(
            id=cell,
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
    names = sorted(before.hyper.keys() | after.hyper.keys())
    moved = [
        f"{n} is {after.hyper.get(n, 'none')}, was {before.hyper.get(n, 'none')}"
        for n in names
        if before.hyper.get(n) != after.hyper.get(n)
    ]
    return f"hyperparameters: {', '.join(moved)}"

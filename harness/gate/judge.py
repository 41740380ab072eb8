"""Both parts of the gate, one outcome. A part that was asked for and could not be measured is never
a pass.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ..errors import ExitCode, UserError
from ..machine import this_machine
from ..paired import CellVerdict, PairedResult, Side, StopRule
from ..sweep import Sweep
from ..version import __version__
from . import Check, Convergence, GateResult
from .calibrate import quoted
from .converge import converge
from .timing import blames_base, measure
from .traces import Watching

Sides = AbstractContextManager[tuple[Side, Side]]


@dataclass(frozen=True)
class Asked:
    """What of a gate is wanted. sides: base and working tree, or two interpreters; None where there
    is only today.
    """

    sides: Sides | None = None
    interpreters: bool = False
    convergence: bool = True
    timing: bool = True
    rule: StopRule = field(default_factory=StopRule)
    strict: bool = False


def gate(sweep: Sweep, asked: Asked, runs: Watching, launches: Callable[[str], None]) -> GateResult:
    """Measures what was asked for, and judges. UserError for what the user must mend first; what
    cannot be measured is in the result with its reason. `runs` is told of convergence runs,
    `launches` gets a line for each launch."""
    started, began = datetime.now(UTC), time.monotonic()
    left_out = _left_out(sweep, asked)
    asked = replace(
        asked, convergence="convergence" not in left_out, timing="timing" not in left_out
    )
    found: dict[str, Any] = {f"{name}_reason": reason for name, reason in left_out.items()}
    with _entered(asked) as (sides, broken):
        if asked.convergence:
            # Losses of the working tree need no base where there is a baseline; those of another
            # interpreter do.
            lost = broken if asked.interpreters else ""
            found |= _part("convergence", lost, lambda: _converged(sweep, asked, sides, runs))
        if asked.timing:
            found |= _part(
                "timing", broken, lambda: measure(sweep, *_both(sides), asked.rule, launches)
            )
    code, outcome = judge(found.get("convergence"), found.get("timing"), asked)
    return GateResult(
        suite=sweep.suite.name,
        started_at=started.isoformat(timespec="milliseconds"),
        seconds=time.monotonic() - began,
        gradrace=__version__,
        machine=this_machine(),
        outcome=outcome,
        exit_code=int(code),
        unmeasured=tuple(unmeasured(found.get("convergence"), found.get("timing"), asked)),
        calibration=quoted(sweep.options.output, asked.rule.threshold),
        **found,
    )


def judge(
    convergence: Convergence | None, timing: PairedResult | None, asked: Asked
) -> tuple[ExitCode, str]:
    """The exit code and the outcome in a few words, by precedence: regression, failure, another run
    than the baseline's, a part that was asked for and measured nothing, inconclusive under
    `strict`."""
    found, timed = _by_verdict(convergence), _by_decision(timing)
    slower = [
        f"{cell.cell} is slower by {(cell.ratio or 1) - 1:.1%}" for cell in timed["regression"]
    ]
    moved = [
        f"{subject} computes something else"
        for subject in dict.fromkeys(check.subject for check in found["differs"])
    ]
    nothing, open_ = (
        unmeasured(convergence, timing, asked),
        [cell.cell for cell in timed["inconclusive"]],
    )
    broken = [
        cell.cell
        for cell in timed["failed"]
        if not nothing or not (timing and blames_base(cell, timing))
    ]
    failed = [*(check.id for check in found["failed"]), *broken]
    changed = [check.id for check in found["changed"]]
    if moved or slower:
        return ExitCode.REGRESSION, f"regression: {_few([*moved, *slower])}"
    if failed:
        return ExitCode.RUNS_FAILED, f"failed: {_few(failed)}"
    if changed:
        return ExitCode.USAGE, f"{len(changed)} runs are not those of the baseline: {_few(changed)}"
    if nothing:
        return ExitCode.NOTHING_MEASURED, f"nothing could be measured of: {', '.join(nothing)}"
    if open_ and asked.strict:
        return ExitCode.INCONCLUSIVE, f"inconclusive: {_few(open_)}"
    return ExitCode.OK, f"ok, {len(open_)} inconclusive" if open_ else "ok"


def _by_verdict(convergence: Convergence | None) -> dict[str, list[Check]]:
    found: dict[str, list[Check]] = defaultdict(list)
    for check in convergence.checks if convergence else ():
        found[check.verdict].append(check)
    return found


def _by_decision(timing: PairedResult | None) -> dict[str, list[CellVerdict]]:
    found: dict[str, list[CellVerdict]] = defaultdict(list)
    for cell in timing.cells if timing else ():
        found[cell.decision].append(cell)
    return found


def unmeasured(
    convergence: Convergence | None, timing: PairedResult | None, asked: Asked
) -> list[str]:
    """Which parts were asked for and gave no figure at all."""
    nothing = []
    if asked.convergence and not (convergence and convergence.of("same", "within", "differs")):
        nothing.append("convergence")
    if asked.timing and not (timing and any(cell.ratio is not None for cell in timing.cells)):
        nothing.append("timing")
    return nothing if asked.convergence or asked.timing else ["anything"]


def _converged(
    sweep: Sweep, asked: Asked, sides: tuple[Side, Side] | None, runs: Watching
) -> Convergence:
    base, today = sides or (None, None)
    return converge(sweep, runs, base, today if asked.interpreters else None)


def _left_out(sweep: Sweep, asked: Asked) -> dict[str, str]:
    """The parts that are not measured, and why not."""
    selected = {run.spec.measure for run in sweep.selected}
    reasons = {} if asked.sides else {"timing": "not gated: no base to time against (--base)"}
    for name, wanted in (("convergence", asked.convergence), ("timing", asked.timing)):
        if not wanted:
            reasons[name] = f"not asked for (--no-{name})"
        elif name not in selected:
            reasons[name] = f"no {name} run of the suite is selected"
    return reasons


def _part(name: str, broken: str, do: Callable[[], Any]) -> dict[str, Any]:
    """What a part gives, or the reason why nothing could be measured; other mistakes are the user's
    to mend.
    """
    if broken:
        return {f"{name}_reason": broken}
    try:
        return {name: do()}
    except UserError as error:
        if error.exit_code != ExitCode.NOTHING_MEASURED:
            raise
        return {f"{name}_reason": str(error)}


@contextmanager
def _entered(asked: Asked) -> Iterator[tuple[tuple[Side, Side] | None, str]]:
    """The sides, and why they cannot be had: a base that is not usable leaves the convergence part
    standing.
    """
    with ExitStack() as stack:
        try:
            sides = stack.enter_context(asked.sides) if asked.sides else None
        except UserError as error:
            if error.exit_code != ExitCode.NOTHING_MEASURED:
                raise
            sides, broken = None, str(error)
        else:
            broken = ""
        yield sides, broken


def _both(sides: tuple[Side, Side] | None) -> tuple[Side, Side]:
    assert sides is not None, "a part with a base is measured only where the sides are ready"
    return sides


def _few(names: Iterable[str]) -> str:
    """The first three and how many more."""
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")

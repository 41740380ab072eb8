"""Both parts of the gate, one outcome. A requested part that could not be measured is no pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ..errors import ExitCode, UserError
from ..machine import this_machine
from ..paired import PairedResult, Quantity, Side, StopRule
from ..paired.words import WORDS
from ..sweep import Sweep
from ..version import __version__
from . import Convergence, GateResult
from .calibrate import quoted
from .converge import converge
from .timing import blames_base, measure
from .traces import Watching

Sides = AbstractContextManager[tuple[Side, Side]]


@dataclass(frozen=True)
class GateRequest:
    """sides: base and working tree, two commits, or two interpreters; None without a base.

    elsewhere: b is not the working tree: losses of both sides are computed afresh, and compared
    with each other. quantity: compared in pairs as step times are."""

    sides: Sides | None = None
    elsewhere: bool = False
    quantity: Quantity = "step"
    convergence: bool = True
    timing: bool = True
    rule: StopRule = field(default_factory=StopRule)
    strict: bool = False


def gate(
    sweep: Sweep, request: GateRequest, runs: Watching, launches: Callable[[str], None]
) -> GateResult:
    """Measures the requested parts, and judges. `runs` hears of runs, `launches` of launches.

    A part that cannot be measured is in the result with its reason. UserError for anything that the
    user must mend first."""
    started, began = datetime.now(UTC), time.monotonic()
    left_out = _left_out(sweep, request)
    wanted = {name: name not in left_out for name in ("convergence", "timing")}
    request = replace(request, **wanted)  # type: ignore[arg-type]
    found: dict[str, Any] = {f"{name}_reason": reason for name, reason in left_out.items()}
    with _entered(request) as (sides, broken):
        if request.convergence:
            # With a baseline, the working tree's losses need no base; those of another side do.
            lost = broken if request.elsewhere else ""
            found |= _part("convergence", lost, lambda: _converged(sweep, request, sides, runs))
        if request.timing:
            found |= _part(
                "timing",
                broken,
                lambda: measure(sweep, *_both(sides), request.rule, launches, request.quantity),
            )
    code, outcome = judge(found.get("convergence"), found.get("timing"), request)
    return GateResult(
        suite=sweep.suite.name,
        started_at=started.isoformat(timespec="milliseconds"),
        seconds=time.monotonic() - began,
        gradrace=__version__,
        machine=this_machine(),
        outcome=outcome,
        exit_code=int(code),
        unmeasured=tuple(unmeasured(found.get("convergence"), found.get("timing"), request)),
        calibration=_reliability(sweep, request),
        **found,
    )


def judge(
    convergence: Convergence | None, timing: PairedResult | None, request: GateRequest
) -> tuple[ExitCode, str]:
    """The exit code and the outcome in a few words.

    By precedence: regression, failure, another run than the baseline's, a requested part without a
    figure, suspected, inconclusive; the last two have an exit code of their own under `strict`."""
    nothing = unmeasured(convergence, timing, request)
    changed = [check.id for check in convergence.of("changed")] if convergence else []
    open_ = [cell.cell for cell in timing.of("inconclusive")] if timing else []
    suspected = (
        [WORDS[timing.quantity].suspected(cell) for cell in timing.of("suspected")]
        if timing
        else []
    )
    unsettled = ExitCode.INCONCLUSIVE if request.strict else ExitCode.OK
    if worse := _worse(convergence, timing):
        return ExitCode.REGRESSION, f"regression: {_few(worse)}"
    if failed := _failed(convergence, timing, bool(nothing)):
        return ExitCode.RUNS_FAILED, f"failed: {_few(failed)}"
    if changed:
        return ExitCode.USAGE, f"{len(changed)} runs are not those of the baseline: {_few(changed)}"
    if nothing:
        return ExitCode.NOTHING_MEASURED, f"nothing could be measured of: {', '.join(nothing)}"
    if suspected:
        return unsettled, f"suspected: {_few(suspected)}"
    if open_ and request.strict:
        return unsettled, f"inconclusive: {_few(open_)}"
    return ExitCode.OK, f"ok, {len(open_)} inconclusive" if open_ else "ok"


def _reliability(sweep: Sweep, request: GateRequest) -> str:
    if request.quantity != "step":
        return "not known: `gradrace calibrate` measures that of step times alone"
    return quoted(sweep.options.output, request.rule.threshold)


def _worse(convergence: Convergence | None, timing: PairedResult | None) -> list[str]:
    """Each subject that computes something else, each cell that is slower, in words."""
    checks = convergence.of("differs") if convergence else ()
    subjects = dict.fromkeys(check.subject for check in checks)
    computed = [f"{subject} computes something else" for subject in subjects]
    if timing is None:
        return computed
    words = WORDS[timing.quantity]
    return [*computed, *(words.regressed(cell) for cell in timing.of("regression"))]


def _failed(
    convergence: Convergence | None, timing: PairedResult | None, nothing: bool
) -> list[str]:
    """Runs and cells that failed; not cells that the base alone failed, if a part has no figure."""
    runs = [check.id for check in convergence.of("failed")] if convergence else []
    if timing is None:
        return runs
    cells = timing.of("failed")
    return [*runs, *(c.cell for c in cells if not (nothing and blames_base(c, timing)))]


def unmeasured(
    convergence: Convergence | None, timing: PairedResult | None, request: GateRequest
) -> list[str]:
    """The requested parts that gave no figure at all."""
    nothing = []
    if request.convergence and not (convergence and convergence.of("same", "within", "differs")):
        nothing.append("convergence")
    if request.timing and not (timing and any(cell.ratio is not None for cell in timing.cells)):
        nothing.append("timing")
    return nothing if request.convergence or request.timing else ["anything"]


def _converged(
    sweep: Sweep, request: GateRequest, sides: tuple[Side, Side] | None, runs: Watching
) -> Convergence:
    base, today = sides or (None, None)
    return converge(sweep, runs, base, today if request.elsewhere else None)


def _left_out(sweep: Sweep, request: GateRequest) -> dict[str, str]:
    """The parts not to measure, and why."""
    selected = {run.spec.measure for run in sweep.selected}
    reasons = {} if request.sides else {"timing": "not gated: no base to time against (--base)"}
    for name, wanted in (("convergence", request.convergence), ("timing", request.timing)):
        if not wanted:
            reasons[name] = f"not asked for (--no-{name})"
        elif name not in selected:
            reasons[name] = f"no {name} run of the suite is selected"
    return reasons


def _part(name: str, broken: str, do: Callable[[], Any]) -> dict[str, Any]:
    """A part's result, or the reason why nothing could be measured; other errors pass."""
    if broken:
        return {f"{name}_reason": broken}
    try:
        return {name: do()}
    except UserError as error:
        if error.exit_code != ExitCode.NOTHING_MEASURED:
            raise
        return {f"{name}_reason": str(error)}


@contextmanager
def _entered(request: GateRequest) -> Iterator[tuple[tuple[Side, Side] | None, str]]:
    """The sides, or why there are none: an unusable base leaves the convergence part standing."""
    with ExitStack() as stack:
        sides, broken = None, ""
        try:
            sides = stack.enter_context(request.sides) if request.sides else None
        except UserError as error:
            if error.exit_code != ExitCode.NOTHING_MEASURED:
                raise
            broken = str(error)
        yield sides, broken


def _both(sides: tuple[Side, Side] | None) -> tuple[Side, Side]:
    assert sides is not None, "a part with a base is measured only if the sides are ready"
    return sides


def _few(names: Iterable[str]) -> str:
    """The first three and how many more."""
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")

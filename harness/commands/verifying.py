"""The verification at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..output.terminal import say, teller
from .failures import resumable

if TYPE_CHECKING:
    from ..sweep import Sweep


def verify_cells(sweep: Sweep, quiet: bool) -> int:
    """Verifies the suite's cells, unless that is done; says on standard error what came of it, and
    returns how many verdicts are FAILED."""
    from ..verify.suite import verify_suite

    with resumable("runs"):
        found = verify_suite(sweep, teller(quiet))
    if not quiet:
        for sentence in found.says:
            say(f"verify: {sentence}", err=True)
    if found.computed and not quiet and not found.failures:
        say(f"verified: {found.computed} cases, no verdict is FAILED", err=True)
    for failure in found.failures:
        say(f"FAILED  {failure}", err=True)
    if found.failures:
        say("The comparison is NOT fair: the report's first section says where.", err=True)
    return len(found.failures)


def print_plan(sweep: Sweep) -> None:
    """Whether the suite's cells would be verified, and how long that would take."""
    from ..verify import estimate
    from ..verify.suite import BUDGET_S, expected_s

    if expected := expected_s(sweep):
        sentence = f"then its cells are verified: about {estimate.text(expected)}, at most"
        say(f"{sentence} {BUDGET_S:.0f} s (--no-verify turns this off)", err=True)

"""The gate's step times: the suite's timing cells, the working tree against a base."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ExitCode, UserError
from ..paired import Pair, PairedResult, PairVerdict, Quantity, Side, StopRule
from ..paired.choose import pair_of
from ..paired.run import compare_pairs
from ..sweep import Sweep


def pairs(sweep: Sweep) -> tuple[Pair, ...]:
    """The selected timing cells, each against itself. UserError (exit code 3) if there are none."""
    runs = [run.spec for run in sweep.selected if run.spec.measure == "timing"]
    if not runs:
        raise UserError(
            f"{sweep.suite.name}: no timing cells are selected", ExitCode.NOTHING_MEASURED
        )
    return tuple(
        pair_of(sweep.registry, run.id.removeprefix("timing/").rpartition("/")[0], run, run)
        for run in runs
    )


def measure(
    sweep: Sweep,
    a: Side,
    b: Side,
    rule: StopRule,
    watch: Callable[[str], None],
    quantity: Quantity = "step",
) -> PairedResult:
    """Verdicts on every cell; the budget is for all of them together."""
    return compare_pairs(pairs(sweep), a, b, rule, watch, quantity=quantity)


def blames_base(cell: PairVerdict, result: PairedResult) -> bool:
    """Whether the base alone failed: nothing is then known of the working tree."""
    return cell.reason.startswith(f"{result.a['label']}:")

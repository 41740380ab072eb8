"""`gradrace compare`: stored results, or two sides run against each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer import Argument, Option

from ..errors import ExitCode, UserError
from ..output.terminal import plain, progress_console, say
from . import documents, options
from .numbers import number
from .printing import print_result, print_stored

if TYPE_CHECKING:
    from ..paired import Pair, PairedResult, Side, StopRule

STORED_THRESHOLD = 0.25
_MOST_CELLS_BROKEN_DOWN = 6

_A = (
    "KEY=VALUE of the cells of A: framework, mode, optimizer, rule, dtype, threads, device,"
    " batch_size, task or input; may be repeated."
)
_SUITE = "The suite whose timing cells are run: its name or the path of a TOML file."
_THRESHOLD = (
    "The change that must not go unnoticed: 0.05 is 5%, the default; 0.1 for first calls. Of stored"
    " results, by how much a figure may be worse, 0.25 by default."
)
_BREAKDOWN = "Also time the parts of a step; on for one to six cells."
_PAGE = "Write OUTPUT/html/compared.html."
_ALL = "Of stored results, also figures that are the same or within the threshold."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """first, second: folders of stored results. a to b_load: two sides to run."""

    first: Annotated[
        Path | None,
        Argument(None, metavar="[A]", help="Folder of stored results taken as the base."),
    ]
    second: Annotated[
        Path | None,
        Argument(None, metavar="[B]", help="Folder of stored results to be judged."),
    ]
    suite: Annotated[str, Option("quick", help=_SUITE)]
    keyword: options.Keyword
    a: Annotated[tuple[str, ...], Option((), help=_A)]
    b: Annotated[tuple[str, ...], Option((), help="The same for B.")]
    a_python: options.APython
    b_python: options.BPython
    base: options.Base
    head: options.Head
    a_load: Annotated[
        Path | None, Option(None, help="File with an optimizer of A, against that of --b-load.")
    ]
    b_load: Annotated[Path | None, Option(None, help="File with an optimizer of B.")]
    load: options.Load
    measure: options.Measure = "step"
    threshold: Annotated[float | None, Option(None, parser=number(0.0, 1000.0), help=_THRESHOLD)]
    budget_s: options.Budget
    alpha: Annotated[
        float, Option(0.05, parser=number(), help="Error rate of the whole comparison.")
    ]
    launches: options.Launches
    breakdown: Annotated[bool | None, Option(None, "--breakdown/--no-breakdown", help=_BREAKDOWN)]
    allow_dirty: options.AllowDirty
    strict: options.Strict
    output: options.Output = Path("results")
    report: Annotated[bool, Option(True, "--report/--no-report", help=_PAGE)] = True
    show_all: Annotated[bool, Option(False, "--all", help=_ALL)]
    quiet: options.Quiet
    as_json: options.AsJson

    def sides(self) -> list[str]:
        """The options given that name sides to run, a pair of options as one."""
        asked = {
            "--a/--b": self.a or self.b,
            "--a-python/--b-python": self.a_python or self.b_python,
            "--base": self.base is not None,
            "--a-load/--b-load": self.a_load or self.b_load,
        }
        return [names for names, given in asked.items() if given]


def main(args: Arguments) -> None:
    """Judge the difference of two sides, run in turns on one core, or of stored results.

    Two sides: two cells (--a framework=torch --b framework=jax), a commit and the working tree
    (--base HEAD~1), two commits (--base v1.0 --head v1.1), two interpreters (--a-python X
    --b-python Y), or two optimizer files (--a-load X --b-load Y). Each cell gets a ratio b / a with
    an interval and a verdict; launches are added while it is inconclusive, up to the budget. "ok"
    or "about equal" means: shown to differ by less than the threshold, either way. If the sides are
    swapped, every verdict is mirrored. --measure compares first calls, memory or energy instead of
    step times.

    Two folders A and B: stored results, unpaired, because they were made at different times: for
    each cell the change of step time, final loss and steps to target, over the seeds that both
    have. A figure is better, worse, the same, within the threshold, `contended` (timed while others
    held the core) or `not comparable` (no seed on both sides, or timed on different types of
    machine); a note gives the number of seeds or launches, and names two machines of one type.

    Exit code 4 for a regression (between versions of one thing, or stored results), 6 for
    inconclusive or not comparable under --strict, 1 if a cell failed, 3 if nothing could be
    measured or compared, 5 if no cell is in both folders."""
    if args.first or args.second:
        _compare_stored(args)
    result, versions = judged(args)
    if args.as_json:
        say(json.dumps(result.to_json(), indent=1))
    else:
        print_result(result, versions)
    if args.report:
        from ..report.documents.compared import of_sides

        documents.leave(args.output, partial(of_sides, result, versions), args.quiet)
    raise typer.Exit(exit_code(result, versions, args.strict))


def judged(args: Arguments) -> tuple[PairedResult, bool]:
    """Runs the two sides that are asked for; with whether they are versions of one thing."""
    from ..paired.quantities import quantity_of

    # Before anything is prepared.
    quantity_of(args.measure)
    found = contest(args)
    return _run(found, args), found.versions


def exit_code(result: PairedResult, versions: bool, strict: bool) -> ExitCode:
    """The comparison's answer to the shell; versions: the sides are versions of one thing."""
    if all(cell.decision in ("failed", "skipped") for cell in result.cells):
        return ExitCode.NOTHING_MEASURED
    if versions and result.of("regression"):
        return ExitCode.REGRESSION
    if result.of("failed"):
        return ExitCode.RUNS_FAILED
    unsettled = result.of("suspected") or result.of("inconclusive")
    return ExitCode.INCONCLUSIVE if strict and unsettled else ExitCode.OK


@dataclass(frozen=True)
class Contest:
    """The pairs, and the sides, still to be made ready; versions: are they of one thing?"""

    pairs: Sequence[Pair]
    sides: AbstractContextManager[tuple[Side, Side]]
    versions: bool


def contest(args: Arguments) -> Contest:
    """The one kind of sides that is asked for. UserError unless it is exactly one."""
    from ..paired import choose, sides

    _check_head(args)
    if len(args.sides()) != 1:
        which = " and ".join(args.sides()) or "nothing to compare"
        raise UserError(
            f"{which}: give one of two folders of results, --a/--b, --base, --a-python/--b-python,"
            " --a-load/--b-load"
        )
    selection = choose.SuiteFilter(args.suite, args.keyword)
    a, b = choose.parse_choice("--a", args.a), choose.parse_choice("--b", args.b)
    registry = choose.registry_of(args.load, selection, a, b)
    load = registry.plugins
    if args.a or args.b:
        pairs = choose.against_each_other(registry, selection, a, b)
        return Contest(pairs, sides.of_cells(_label(a), _label(b), load), versions=False)
    if args.a_load or args.b_load:
        if not (args.a_load and args.b_load):
            raise UserError("--a-load and --b-load belong together: a file on each side")
        pairs = choose.of_two_files(registry, selection, args.a_load, args.b_load)
        return Contest(pairs, sides.of_files(args.a_load, args.b_load, load), versions=True)
    pairs = choose.same_cells(registry, selection)
    if args.base is not None and args.head is not None:
        found = sides.of_commits(args.base, args.head, load)
    elif args.base is not None:
        found = sides.against_base(args.base, load, args.allow_dirty)
    else:
        found = sides.of_interpreters(args.a_python, args.b_python, load)
    return Contest(pairs, found, versions=True)


def _check_head(args: Arguments) -> None:
    if args.head is not None and args.base is None:
        raise UserError(f"--head {args.head}: --base must name the commit that it is compared with")


def _label(choice: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in choice.items()) or "the suite's own"


def _rule(args: Arguments, versions: bool, threshold: float) -> StopRule:
    """A regression is confirmed by a second run, but only between versions: that different things
    differ is no alarm."""
    from pydantic import ValidationError

    from ..paired import StopRule
    from ..strict import explained

    try:
        return StopRule(
            threshold=threshold if args.threshold is None else args.threshold,
            alpha=args.alpha,
            budget_s=args.budget_s,
            first_look=args.launches,
            confirm=versions,
        )
    except ValidationError as error:
        problem = error.errors()[0]
        option = {"budget_s": "budget", "first_look": "launches"}
        field = str(problem["loc"][0])
        raise UserError(f"--{option.get(field, field)}: {explained(problem)}") from None


def _run(contest: Contest, args: Arguments) -> PairedResult:
    from ..paired import quantities
    from ..paired.run import compare_pairs

    quantity = quantities.quantity_of(args.measure)
    # Before minutes are spent on making the sides ready.
    quantities.check(quantity, contest.pairs)
    rule, parts = _rule(args, contest.versions, quantities.THRESHOLDS[quantity]), args.breakdown
    if parts is None:
        parts = len(contest.pairs) <= _MOST_CELLS_BROKEN_DOWN
    console = progress_console(args.quiet or args.as_json)
    with contest.sides as (a, b), console.status("starting") as status:
        tell: Callable[[Any], None] = status.update if console.is_terminal else console.print
        return compare_pairs(
            contest.pairs, a, b, rule, lambda line: tell(plain(line)), parts, quantity
        )


# -- stored results


def _compare_stored(args: Arguments) -> NoReturn:
    from ..results import frame
    from ..results.compare import compare

    _check_head(args)
    if args.measure != "step":
        raise UserError(
            f"--measure {args.measure}: of two sides that are run, not of stored results"
        )
    if not (args.first and args.second) or args.sides():
        kinds = " or ".join(args.sides()) or "two sides to run (--help)"
        raise UserError(f"two folders of results, or none and {kinds}; not both")
    threshold = STORED_THRESHOLD if args.threshold is None else args.threshold
    result = compare(frame.load(args.first), frame.load(args.second), threshold)
    if args.as_json:
        say(result.rows.to_json(orient="records"))
    else:
        print_stored(result, threshold, args.show_all)
    if args.report:
        from ..report.documents.compared import of_folders

        make = partial(of_folders, result, args.first, args.second, threshold)
        documents.leave(args.output, make, args.quiet)
    code = result.exit_code(args.strict)
    if code == ExitCode.NOTHING_MEASURED:
        say("nothing could be compared: the notes (--json) say why", err=True)
    raise typer.Exit(code)

"""`gradrace why`: what grew from A to B."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from .. import limits
from ..errors import ExitCode, UserError
from ..output.terminal import plain, print_table, progress_console, say
from . import documents, options
from .arguments import fill
from .numbers import count

if TYPE_CHECKING:
    from ..paired import StopRule
    from ..why import CellChange, WhyResult
    from .compare import Contest

_MOST_CELLS = 4
_OPTIONS = ("A", "B")
# Fields of compare's arguments that are not asked for here.
_UNASKED: dict[str, Any] = {
    **dict.fromkeys(("base", "head", "threshold")),
    **{"measure": "step", "alpha": 0.05, "breakdown": True},
    **{"allow_dirty": True, "strict": False, "show_all": False},
}

_FIRST = "The commit that is the base: HEAD~1, origin/main, a tag."
_SECOND = "The commit to be explained; the working tree by default."
_PROFILES = "Profiles of each side, each in a fresh process; three or more give intervals."
_SUITE = "The suite whose timing cells are explained: its name or the path of a TOML file."
_A = "KEY=VALUE of the cells of A, as `gradrace compare` has it; may be repeated."
_PAGE = "Write OUTPUT/html/why.html."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """first, second: commits. a to b_load: other sides, as `gradrace compare` has them."""

    first: Annotated[str | None, Argument(None, metavar="[A]", help=_FIRST)]
    second: Annotated[str | None, Argument(None, metavar="[B]", help=_SECOND)]
    suite: Annotated[str, Option("quick", help=_SUITE)]
    keyword: options.Keyword
    a: Annotated[tuple[str, ...], Option((), help=_A)]
    b: Annotated[tuple[str, ...], Option((), help="The same for B.")]
    a_python: options.APython
    b_python: options.BPython
    a_load: Annotated[Path | None, Option(None, help="File with an optimizer of A.")]
    b_load: Annotated[Path | None, Option(None, help="File with an optimizer of B.")]
    load: options.Load
    profiles: Annotated[int, Option(4, parser=count(1, limits.LAUNCHES), help=_PROFILES)]
    budget_s: options.Budget = 60.0
    launches: options.Launches
    output: options.Output
    report: Annotated[bool, Option(True, "--report/--no-report", help=_PAGE)] = True
    quiet: options.Quiet
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """Say what grew from A to B: parts of a step, operations, and what causes it.

    A and B are commits of this repository (B by default the working tree), or the sides that
    `gradrace compare` takes: --a/--b, --a-python/--b-python, --a-load/--b-load. A step is first
    timed in paired blocks, without a profiler. Then both sides are profiled in turns, by the
    framework's own profiler, and matched operation by operation. The answer names causes first
    (a synchronisation, a program compiled anew, an update that is not fused, a copy), then the ten
    largest changes, and keeps the traces in OUTPUT/profiles for Perfetto or TensorBoard.

    Exit code 0 if there is an answer, 3 if no cell could be profiled, 5 if none matches."""
    from ..paired import choose
    from ..why.measure import only_few
    from ..why.run import WhyRequest, explain

    contest = _contest(args)
    only_few(contest.pairs, _MOST_CELLS, "gradrace why")
    selection = choose.SuiteFilter(args.suite, args.keyword)
    frameworks = choose.registry_of(args.load, selection).frameworks
    asked = WhyRequest(_rule(args), args.profiles, args.output / "profiles")
    console = progress_console(args.quiet or args.as_json)
    with contest.sides as (a, b), console.status("starting") as status:
        tell: Any = status.update if console.is_terminal else console.print
        result = explain(contest.pairs, a, b, frameworks, asked, lambda line: tell(plain(line)))
    if args.as_json:
        say(json.dumps(result.to_json(), indent=1))
    else:
        _print(result)
    if args.report:
        from ..report.documents.why import document

        documents.leave(args.output, partial(document, result), args.quiet)
    measured = any(cell.launches for cell in result.cells)
    raise typer.Exit(ExitCode.OK if measured else ExitCode.NOTHING_MEASURED)


def _contest(args: Arguments) -> Contest:
    """The pairs and sides that are asked for. UserError unless they are of one kind."""
    from ..paired import choose, sides
    from . import compare

    others = fill(compare.Arguments, args, first=None, second=None, **_UNASKED)
    asked = others.sides()
    if args.first is None:
        if not asked:
            raise UserError("nothing to explain: give a commit A, or the sides of `compare`")
        return compare.contest(others)
    if asked:
        raise UserError(f"A and {' and '.join(asked)}: give commits or other sides, not both")
    selection = choose.SuiteFilter(args.suite, args.keyword)
    registry = choose.registry_of(args.load, selection)
    pairs = choose.same_cells(registry, selection)
    both = sides.of_commits(args.first, args.second, registry.plugins, _OPTIONS)
    return compare.Contest(pairs, both, versions=True)


def _rule(args: Arguments) -> StopRule:
    from ..paired import StopRule

    return StopRule(budget_s=args.budget_s, first_look=args.launches, confirm=False)


def _print(result: WhyResult) -> None:
    from ..paired.text import described

    for letter, side in (("A", result.a), ("B", result.b)):
        say(f"{letter}  {described(side)}")
    for cell in result.cells:
        _print_cell(cell)


def _print_cell(cell: CellChange) -> None:
    from ..paired.text import part_rows
    from ..why import text

    say(f"\n{text.headline(cell)}")
    tables = {
        "Causes": [text.cause_row(n, cause) for n, cause in enumerate(cell.causes, 1)],
        "Where a step goes": [{**row, "cell": ""} for row in part_rows(cell.verdict)],
        "The largest changes, a step": text.change_rows(cell),
        "Counts": [text.count_row(pair) for pair in cell.counts],
    }
    for title, rows in tables.items():
        if rows:
            shown = [name for name in rows[0] if any(row[name] for row in rows)]
            print_table(title, [{name: row[name] for name in shown} for row in rows])
    for note in text.cautions(cell):
        say(f"note: {note}")
    for file in (*cell.a_traces, *cell.b_traces):
        say(f"trace: {file}")

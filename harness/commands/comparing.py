"""`gradrace compare`: stored results, or two sides run against each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import limits
from ..errors import ExitCode, UserError
from ..output.terminal import plain, print_table, progress_console, say
from ..strict import explained
from . import AsJson, Load, Quiet, command
from .numbers import BUDGET_S, count, number

if TYPE_CHECKING:
    from ..paired import CellVerdict, Pair, PairedResult, Side, StopRule

# What verdicts are called where the sides are not versions of one thing: neither is then the one to
# be kept.
_WORDS = {"regression": "slower", "improvement": "faster", "ok": "about equal"}
_PAIRED_THRESHOLD, _UNPAIRED_THRESHOLD = 0.05, 0.25
_MOST_CELLS_BROKEN_DOWN = 6


@command
def compare(
    first: Annotated[
        Path | None,
        typer.Argument(metavar="[A]", help="Folder of stored results taken as the base."),
    ] = None,
    second: Annotated[
        Path | None, typer.Argument(metavar="[B]", help="Folder of stored results to be judged.")
    ] = None,
    suite: Annotated[
        str,
        typer.Option(help="Whose timing cells are run: a suite's name or the path of a TOML file."),
    ] = "quick",
    keyword: Annotated[
        str,
        typer.Option(
            "-k", help="Only cells that hold all these words, and none after a '!': 'adam !lstm'."
        ),
    ] = "",
    a: Annotated[
        list[str] | None,
        typer.Option(
            "--a",
            help=(
                "KEY=VALUE of the cells of A: framework, mode, optimizer, rule, dtype, threads,"
                " device, "
                "batch_size, task or input; may be repeated."
            ),
        ),
    ] = None,
    b: Annotated[list[str] | None, typer.Option("--b", help="The same for B.")] = None,
    a_python: Annotated[
        str | None, typer.Option(help="Interpreter of A: two versions of a framework.")
    ] = None,
    b_python: Annotated[str | None, typer.Option(help="Interpreter of B.")] = None,
    base: Annotated[
        str | None,
        typer.Option(help="A commit of the repository here: A is that commit, B the working tree."),
    ] = None,
    a_load: Annotated[
        Path | None, typer.Option(help="File with an optimizer of A, against that of --b-load.")
    ] = None,
    b_load: Annotated[Path | None, typer.Option(help="File with an optimizer of B.")] = None,
    load: Load = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            parser=number(0.0, 1000.0),
            help=(
                "The slowdown that must not go unnoticed: 0.05 is 5%, the default; of stored"
                " results, by how much a figure "
                "may be worse, 0.25 by default."
            ),
        ),
    ] = None,
    budget: Annotated[
        float, typer.Option(parser=BUDGET_S, help="Seconds after which no further launch is begun.")
    ] = 180.0,
    alpha: Annotated[
        float, typer.Option(parser=number(), help="Error rate of the whole comparison.")
    ] = 0.05,
    launches: Annotated[
        int,
        typer.Option(parser=count(high=limits.LAUNCHES), help="Launches before the first look."),
    ] = 6,
    breakdown: Annotated[
        bool | None,
        typer.Option(
            "--breakdown/--no-breakdown", help="Where a step goes; on for one to six cells."
        ),
    ] = None,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="--base also with changes that are not committed.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit code 6 if a cell stays inconclusive or, of stored results, not comparable.",
        ),
    ] = False,
    show_all: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Of stored results, also figures that are the same or within the threshold.",
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run two sides against each other, in turns on the same core, and judge the difference; or
    compare stored results.

    Two sides: two cells (--a framework=torch --b framework=jax), a commit and the working tree
    (--base HEAD~1), two interpreters (--a-python X --b-python Y), or two optimizer files (--a-load
    X --b-load Y). Each cell gets a ratio b / a with an interval and a verdict, and launches are
    added while it is inconclusive, up to the budget. "ok" or "about equal" is shown to differ by
    less than the threshold, either way; with the sides swapped every verdict is the mirror image.

    Two folders A and B: stored results, unpaired, because the two were made at different times: per
    cell the change of step time, final loss and steps to target, over the seeds that both have. A
    figure is better, worse, the same, within the threshold, `contended` (timed while others held
    the core) or `not comparable` (no seed on both sides, say), and a note says over how many seeds
    or launches.

    Exit code 4 for a regression (between versions of one thing, or stored results), 6 for
    inconclusive or not comparable under --strict, 1 where a cell failed, 3 if nothing could be
    measured or compared, 5 if no cell is in both folders."""
    asked = _Asked(tuple(a or ()), tuple(b or ()), a_python, b_python, base, a_load, b_load)
    if first or second:
        if not (first and second) or asked.kinds():
            kinds = " or ".join(asked.kinds()) or "two sides to run (--help)"
            raise UserError(f"two folders of results, or none and {kinds}; not both")
        _compare_stored(
            first,
            second,
            _UNPAIRED_THRESHOLD if threshold is None else threshold,
            show_all,
            as_json,
            strict,
        )
        return
    contest = _contest(asked, suite, keyword, load or [], allow_dirty)
    # Of different things neither is the base: that they differ is no alarm that a second run should
    # confirm.
    wanted = _PAIRED_THRESHOLD if threshold is None else threshold
    rule = _rule(wanted, budget, alpha, launches, confirm=contest.versions)
    result = _run(contest, rule, breakdown, quiet or as_json)
    if as_json:
        say(json.dumps(result.to_json(), indent=1))
    else:
        _print_result(result, contest.versions)
    raise typer.Exit(exit_code(result, contest.versions, strict))


def exit_code(result: PairedResult, versions: bool, strict: bool) -> ExitCode:
    """What a comparison answers to the shell; `versions`: whether the sides are versions of one
    thing.
    """
    if all(cell.decision in ("failed", "skipped") for cell in result.cells):
        return ExitCode.NOTHING_MEASURED
    if versions and result.of("regression"):
        return ExitCode.REGRESSION
    if result.of("failed"):
        return ExitCode.RUNS_FAILED
    return ExitCode.INCONCLUSIVE if strict and result.of("inconclusive") else ExitCode.OK


# -- two sides run against each other


@dataclass(frozen=True)
class _Contest:
    """What is run: the pairs, and the sides, still to be made ready. versions: whether they are
    versions of one thing.
    """

    pairs: Sequence[Pair]
    sides: AbstractContextManager[tuple[Side, Side]]
    versions: bool


@dataclass(frozen=True)
class _Asked:
    """The options that say what the sides are."""

    a: tuple[str, ...]
    b: tuple[str, ...]
    a_python: str | None
    b_python: str | None
    base: str | None
    a_load: Path | None
    b_load: Path | None

    def kinds(self) -> list[str]:
        """Which kinds of sides are asked for."""
        kinds = {
            "--a/--b": self.a or self.b,
            "--a-python/--b-python": self.a_python or self.b_python,
            "--base": self.base is not None,
            "--a-load/--b-load": self.a_load or self.b_load,
        }
        return [kind for kind, given in kinds.items() if given]


def _contest(
    asked: _Asked, suite: str, keyword: str, load: list[Path], allow_dirty: bool
) -> _Contest:
    """The one kind of sides that is asked for. UserError unless it is exactly one."""
    from ..paired import choose, sides
    from ..registry import load_registry

    if len(asked.kinds()) != 1:
        which = " and ".join(asked.kinds()) or "nothing to compare"
        raise UserError(
            f"{which}: give one of two folders of results, --a/--b, --base, --a-python/--b-python,"
            " --a-load/--b-load"
        )
    registry, selection = load_registry(load), choose.Selection(suite, keyword)
    if asked.a or asked.b:
        a, b = choose.parse_choice("--a", asked.a), choose.parse_choice("--b", asked.b)
        pairs = choose.against_each_other(registry, selection, a, b)
        return _Contest(pairs, sides.of_cells(_label(a), _label(b), load), versions=False)
    if asked.a_load or asked.b_load:
        if not (asked.a_load and asked.b_load):
            raise UserError("--a-load and --b-load belong together: a file on each side")
        pairs = choose.of_two_files(registry, selection, asked.a_load, asked.b_load)
        return _Contest(pairs, sides.of_files(asked.a_load, asked.b_load, load), versions=True)
    pairs = choose.same_cells(registry, selection)
    if asked.base is not None:
        return _Contest(pairs, sides.against_base(asked.base, load, allow_dirty), versions=True)
    return _Contest(
        pairs, sides.of_interpreters(asked.a_python, asked.b_python, load), versions=True
    )


def _label(choice: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in choice.items()) or "the suite's own"


def _rule(threshold: float, budget: float, alpha: float, launches: int, confirm: bool) -> StopRule:
    from pydantic import ValidationError

    from ..paired import StopRule

    options = {
        "threshold": "--threshold",
        "alpha": "--alpha",
        "budget_s": "--budget",
        "first_look": "--launches",
    }
    try:
        return StopRule(
            threshold=threshold, alpha=alpha, budget_s=budget, first_look=launches, confirm=confirm
        )
    except ValidationError as error:
        problem = error.errors()[0]
        raise UserError(f"{options[str(problem['loc'][0])]}: {explained(problem)}") from None


def _run(contest: _Contest, rule: StopRule, breakdown: bool | None, quiet: bool) -> PairedResult:
    from ..paired.run import compare_pairs
    from ..paired.sides import ended_like_interrupt

    parts = len(contest.pairs) <= _MOST_CELLS_BROKEN_DOWN if breakdown is None else breakdown
    console = progress_console(quiet)
    with ended_like_interrupt(), contest.sides as (a, b), console.status("starting") as status:
        tell: Callable[[Any], None] = status.update if console.is_terminal else console.print
        return compare_pairs(contest.pairs, a, b, rule, lambda line: tell(plain(line)), parts)


def _print_result(result: PairedResult, versions: bool) -> None:
    for letter, side in (("A", result.a), ("B", result.b)):
        say(f"{letter}  {_described(side)}")
    title = f"B against A, paired, threshold {result.rule.threshold:.3g}, {result.seconds:.0f} s"
    print_table(title, [_row(cell, versions) for cell in result.cells])
    parts = [row for cell in result.cells for row in _part_rows(cell)]
    if parts:
        print_table("Where a step goes", parts)
    for cell in result.cells:
        if cell.reason:
            say(f"{cell.cell}: {_word(cell, versions)}: {cell.reason}")
    for warning in _warnings(result):
        say(f"warning: {warning}")


def _described(side: dict[str, Any]) -> str:
    details = [f"{key} {value}" for key, value in side.items() if key not in ("label", "versions")]
    versions = [f"{name} {version}" for name, version in side["versions"].items()]
    return f"{side['label']}  ({', '.join([*details, *versions])})"


def _row(cell: CellVerdict, versions: bool) -> dict[str, str]:
    from ..paired.text import figures

    word = _word(cell, versions) + (" (found twice)" if cell.confirmed else "")
    return {"cell": cell.cell, "verdict": word, **figures(cell)}


def _word(cell: CellVerdict, versions: bool) -> str:
    return cell.decision if versions else _WORDS.get(cell.decision, cell.decision)


def _part_rows(cell: CellVerdict) -> list[dict[str, str]]:
    from ..paired.text import micros

    rows = []
    for part in dict.fromkeys([*cell.a_parts_s, *cell.b_parts_s]):
        a, b = cell.a_parts_s.get(part), cell.b_parts_s.get(part)
        ratio = f"{b / a:.3f}" if a and b and a > 0 and part != "remainder" else ""
        rows.append(
            {
                "cell": cell.cell,
                "part": part,
                "a, µs/step": micros(a),
                "b, µs/step": micros(b),
                "b / a": ratio,
            }
        )
    return rows


def _warnings(result: PairedResult) -> list[str]:
    weak = [
        cell
        for cell in result.cells
        if cell.detectable is not None and cell.detectable > result.rule.threshold
    ]
    contended = [cell for cell in result.cells if cell.contended]
    found = []
    if weak:
        worst = max(cell.detectable or 0.0 for cell in weak)
        found.append(
            f"in {len(weak)} of {len(result.cells)} cells this many launches, so far apart, find"
            f" only slowdowns above the threshold with power 0.8 (up to {worst:.1%}): a quieter"
            " machine or a larger --budget finds smaller ones"
        )
    if contended:
        found.append(
            f"other processes held the core while {len(contended)} of {len(result.cells)} cells"
            " were timed"
        )
    return found


# -- stored results


def _compare_stored(
    a: Path, b: Path, threshold: float, show_all: bool, as_json: bool, strict: bool
) -> None:
    from ..results import frame
    from ..results.compare import compare as compare_frames

    result = compare_frames(frame.load(a), frame.load(b), threshold)
    if as_json:
        say(result.rows.to_json(orient="records"))
    else:
        _print_comparison(result, threshold, show_all)
    code = result.exit_code(strict)
    if code == ExitCode.NOTHING_MEASURED:
        say("nothing could be compared: the notes (--json) say why", err=True)
    raise typer.Exit(code)


def _print_comparison(result: Any, threshold: float, show_all: bool) -> None:
    unchanged = result.rows["verdict"].isin(("same", "within the threshold"))
    rows = result.rows if show_all else result.rows[~unchanged]
    formatted = [
        {
            **row,
            **{side: _figure(row["figure"], row[side]) for side in ("a", "b")},
            "change": _change(row["change"]),
        }
        for row in rows.to_dict("records")
    ]
    counts = result.rows["verdict"].value_counts().to_dict()
    print_table(f"B against A, threshold {threshold:.0%}, unpaired", formatted)
    if len(result.alone):
        print_table("On one side only", result.alone.to_dict("records"))
    say(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


def _figure(figure: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value != value:
        return "–"
    return (
        "not reached" if figure == "steps_to_target" and value == float("inf") else f"{value:.4g}"
    )


def _change(value: float) -> str:
    return "" if value != value else f"{value:+.1%}"

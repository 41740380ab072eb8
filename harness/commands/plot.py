"""`gradrace plot`: one figure, or the summary as a table, in a file for a paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ..errors import UserError, nearest
from ..output.terminal import say

if TYPE_CHECKING:
    from ..results.frame import Frames

# Each is a function of gradrace.plot, but the table.
NAMES = (
    *("convergence", "learning_rate_sensitivity", "step_times", "time_to_target"),
    *("performance_profile", "tuning", "schedules", "gradients", "paths", "compare"),
)
TABLE = "table"
FIGURES, TABLES = (".pdf", ".svg", ".png"), (".tex", ".csv", ".md")

_NAME = f"What is drawn: {', '.join(NAMES)}; or table, the summary."
_RUNS = "compare: the first digits of each run's digest; by default all that are left, at most 12."
_TO = "The file: .pdf, .svg or .png; of the table .tex, .csv or .md."
_FROM = "Folder of results."
_SUITE = "Which suite or study, if RESULTS hold several."
_TASK = "Which task, if the suite has several."
_OPTIMIZER = "Only these optimizers; may be repeated."
_FRAMEWORK = "Only these frameworks; may be repeated."
_METRIC = "Another view of the same, or one curve of several; `help(gradrace.plot.NAME)` has them."
_WIDTH = (
    "one or two (columns of a page, 3.5 and 7.2 inches), or inches; as in the report by default."
)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """`-o` is the file here, so the results have an option of their own."""

    name: Annotated[str, Argument(help=_NAME)]
    runs: Annotated[tuple[str, ...], Argument((), metavar="[RUN]...", help=_RUNS)]
    to: Annotated[Path, Option(..., "--to", "-o", help=_TO)]
    results: Annotated[Path, Option(Path("results"), "--results", "--output", help=_FROM)]
    suite: Annotated[str | None, Option(None, help=_SUITE)]
    task: Annotated[str | None, Option(None, help=_TASK)]
    optimizers: Annotated[tuple[str, ...], Option((), "--optimizer", help=_OPTIMIZER)]
    frameworks: Annotated[tuple[str, ...], Option((), "--framework", help=_FRAMEWORK)]
    metric: Annotated[str | None, Option(None, help=_METRIC)]
    width: Annotated[str | None, Option(None, metavar="one|two|INCHES", help=_WIDTH)]


def main(args: Arguments) -> None:
    """Write one figure of stored results to a file for a paper, or the summary as a table.

    `gradrace plot convergence --suite quick --task digits_mlp --width one -o fig.pdf`. Fonts are
    embedded, and the same results give the same file. What the report says below the figure is
    printed, for the caption. `gradrace plot table --suite quick -o table.tex` writes LaTeX with the
    rules of booktabs. `-o` is the file; the folder of results is --results."""
    if args.name not in (*NAMES, TABLE):
        raise UserError(
            f"plot: nothing is called {args.name!r}{nearest(args.name, (*NAMES, TABLE))}"
        )
    _check_suffix(args)
    frames = _frames(args)
    if args.name == TABLE:
        _write_table(frames, args)
    else:
        _draw(frames, args)


def _check_suffix(args: Arguments) -> None:
    known = TABLES if args.name == TABLE else FIGURES
    if args.to.suffix.lower() not in known:
        raise UserError(f"--to {args.to}: expected a file that ends in {', '.join(known)}")
    if args.runs and args.name != "compare":
        raise UserError(f"plot {args.name}: only compare takes runs; choose by --task and the like")


def _frames(args: Arguments) -> Frames:
    from ..results import frame

    found = frame.load(args.results, *([args.suite] if args.suite else []))
    if args.optimizers:
        found = found.filter(optimizer=args.optimizers)
    return found.filter(framework=args.frameworks) if args.frameworks else found


def _write_table(frames: Frames, args: Arguments) -> None:
    from ..jsonfile import replace_text
    from ..plot import latex
    from ..plot.sections import narrowed

    chosen, suite = narrowed(frames, args.suite, args.task)
    replace_text(args.to, latex.text(chosen, suite, args.to.suffix.lower()))
    say(args.to)


def _draw(frames: Frames, args: Arguments) -> None:
    from inspect import signature

    from .. import plot
    from ..plot.saving import save

    draw = getattr(plot, args.name)
    given = {"suite": args.suite, "task": args.task, "metric": args.metric, "width": args.width}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given.keys() - signature(draw).parameters.keys():
        if (name, args.name) == ("suite", "compare"):
            # The results were read of this suite alone.
            del given[name]
        else:
            raise UserError(f"--{name}: {args.name} has no such choice; leave it out")
    figure = draw(frames, *args.runs, **given)
    save(figure, args.to, figure.title)
    say(args.to)
    say(figure.caption, err=True)

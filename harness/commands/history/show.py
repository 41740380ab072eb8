"""`gradrace history show`: steps and drift, and the page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from ...errors import ExitCode, UserError
from ...output.terminal import say
from .. import options
from . import places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...history import Point
    from ...history.detect import Change
    from ...history.foreign import Value
    from ...history.together import History

_ASV = "A results folder of asv's, of any project, to show as well; may be repeated."
_REPO_URL = "The repository's address for links to commits; by default that of the remote origin."
_STRICT = "Exit code 4 if a slowdown was found that still stands."
_PAGE = "Write OUTPUT/html/history.html."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace history show` takes."""

    folder: places.Folder
    branch: places.ReadBranch
    asv: Annotated[tuple[Path, ...], Option((), "--asv", metavar="DIR", help=_ASV)]
    keyword: options.Keyword
    repo_url: Annotated[str | None, Option(None, help=_REPO_URL)]
    output: options.Output
    report: Annotated[bool, Option(True, "--report/--no-report", help=_PAGE)]
    strict: Annotated[bool, Option(False, "--strict", help=_STRICT)]
    quiet: options.Quiet
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """Find steps and drift in a history, and write its page.

    Every cell has a series for each machine and anchor: ratios of HEAD to the anchor, in the order
    of commits. Steps and drift are found in all of them with one false-alarm rate for the page
    (docs/statistics.md). Points whose commits a rebase took away stay, by the time of their
    recording.

    --asv shows asv's own results beside them, of any project. They are not paired: a slower machine
    looks like a slower commit.

    Exit code 0; 4 with --strict, if a slowdown still stands: the level before it was not reached
    again, and its anchor is the newest."""
    from ...history import detect, links, order, standing

    repo_url = None if args.repo_url is None else links.checked(args.repo_url)
    history = _history(args)
    changes = standing.changes_of(history)
    stands = standing.standing(history.lines, changes)
    if args.as_json:
        say(json.dumps(_told(history, changes, stands), indent=1))
    else:
        _print(history, changes, stands, detect.FEWEST_NIGHTS)
    if args.report:
        url = links.of_repository(order.repository_here(Path())) if repo_url is None else repo_url
        _page(args, history, changes, url)
    raise typer.Exit(ExitCode.REGRESSION if args.strict and stands else ExitCode.OK)


def _history(args: Arguments) -> History:
    """UserError (exit code 5) if no cell matches."""
    from ...history import order, together
    from ...sweep import matches

    values = _foreign(args.asv)
    only_asv = args.asv and args.folder is None and args.branch is None
    points: Sequence[Point] = ()
    if not only_asv or places.DEFAULT.is_dir():
        points = places.read(args.folder, args.branch).points
    chosen = [point for point in points if matches(f"{point.cell} {point.quantity}", args.keyword)]
    shown = [value for value in values if matches(value.benchmark, args.keyword)]
    if not chosen and not shown:
        raise UserError(
            f"no cell of the history matches {args.keyword!r}"
            if args.keyword
            else "the history has no points yet; `gradrace history record` adds some",
            ExitCode.NOTHING_MATCHED,
        )
    return together.of(chosen, order.ranks(order.repository_here(Path())), shown)


def _foreign(folders: Sequence[Path]) -> list[Value]:
    from ...history import foreign

    values: list[Value] = []
    for folder in folders:
        found = foreign.read(folder)
        values += found.values
        for note in found.notes:
            say(f"gradrace: {note}", err=True)
    return values


def _told(history: History, changes: Sequence[Change], stands: Sequence[Change]) -> dict[str, Any]:
    """The outcome as plain JSON."""
    from ...history import text

    return {
        "schema": 1,
        "nights": len(history.nights),
        "series": len(history.lines),
        "changes": [
            text.change_fields(history, change) | {"stands": change in stands} for change in changes
        ],
        "points": [point.to_json() for line in history.lines for point in line.points]
        + [point.to_json() for point in history.lost],
    }


def _print(
    history: History, changes: Sequence[Change], stands: Sequence[Change], fewest: int
) -> None:
    from ...history import text

    series = history.lines
    short = sum(len(line.positions) < fewest for line in series)
    for change in sorted(changes, key=lambda change: (change not in stands, -change.ratio)):
        say(text.change_line(history, change))
    if not changes:
        say("no step and no drift found")
    judged = f"{len(series) - short} of {len(series)} series judged"
    why = f"; the others have fewer than {fewest} nights" if short else ""
    say(f"{len(history.nights)} recordings, {judged}{why}")


def _page(args: Arguments, history: History, changes: Sequence[Change], repo_url: str) -> None:
    """Writes it. One that cannot be written costs the command nothing else."""
    from ...report.history import page
    from ..documents import leave_html

    leave_html(args.output, page.FILE, page.html(history, changes, repo_url), args.quiet)

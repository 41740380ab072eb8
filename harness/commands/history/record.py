"""`gradrace history record`: HEAD against an anchor, into a folder and onto a branch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from ... import limits
from ...errors import ExitCode, UserError, nearest
from ...output.terminal import plain, print_table, progress_console, say
from .. import options
from ..numbers import BUDGET_S, count, number
from . import places

if TYPE_CHECKING:
    from ...history import Point

_ANCHOR = (
    "A release, commit or interpreter to measure HEAD against: v1.2, 1.2, HEAD~30, old/bin/python;"
    " may be repeated. By default the newest tag before HEAD, else the first commit recorded."
)
QUANTITIES = ("step", "first_call", "memory", "energy")
_MEASURE = "The quantity to record; may be repeated. The step time by default."
_LAUNCHES = "Launches of every cell and anchor; no cell ends early."
_BUDGET = "Seconds after which no further round of launches is begun, for all cells at once."
_THRESHOLD = "The slowdown that counts as a finding of this night: 0.05 is 5%."
_BRANCH = "Also commit the new file on this branch, made if need be; nothing is checked out."
_PUSH = "With --branch: push it to this remote, on top of what others have pushed."
_MACHINE = "The machine's name in the history; by default the host's, or the runner's image."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace history record` takes."""

    suite: options.Suite = "gate"
    keyword: options.Keyword
    anchors: Annotated[tuple[str, ...], Option((), "--anchor", help=_ANCHOR)]
    quantities: Annotated[
        tuple[str, ...], Option((), "--measure", metavar="|".join(QUANTITIES), help=_MEASURE)
    ]
    folder: places.Folder
    branch: Annotated[str | None, Option(None, help=_BRANCH)]
    push: Annotated[str | None, Option(None, metavar="REMOTE", help=_PUSH)]
    machine: Annotated[str | None, Option(None, help=_MACHINE)]
    launches: Annotated[int, Option(8, parser=count(3, limits.LAUNCHES), help=_LAUNCHES)]
    budget_s: Annotated[float, Option(1800.0, "--budget", parser=BUDGET_S, help=_BUDGET)]
    threshold: Annotated[float, Option(0.05, parser=number(0.001, 0.999), help=_THRESHOLD)]
    load: options.Load
    quiet: options.Quiet
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """Measure HEAD against an anchor in one job, and keep the ratios.

    The timing cells of the suite run at the commit HEAD and at the anchor in turns on one core, so
    that a slow machine slows both. A history of such ratios does not move when the machine changes.
    Changes that are not committed are not measured. Every recording is a new file of JSON lines,
    FOLDER/MACHINE/DATE-COMMIT-CHANCE.jsonl, so that recordings never conflict.

    With --branch the file is committed on that branch, and with --push pushed; two runners may push
    at once. `gradrace history show` finds steps and drift.

    Exit code 0; 1 a cell failed; 3 nothing could be measured (what failed is recorded, too); 2 bad
    input. A slowdown is no error here: `show --strict` and `gradrace gate` judge."""
    _check(args)
    points = _measured(args)
    folder = args.folder or places.DEFAULT
    name, file = _written(folder, points)
    if args.as_json:
        say(json.dumps([each.model_dump(mode="json", by_alias=True) for each in points], indent=1))
    else:
        _print(points)
    if args.branch is not None:
        _commit(args, points, name, file)
    raise typer.Exit(_exit_code(points))


def _check(args: Arguments) -> None:
    """UserError for what would be known only after minutes of measuring."""
    from ...history.lines import check_machine, check_writable

    for quantity in args.quantities:
        if quantity not in QUANTITIES:
            raise UserError(f"--measure {quantity}: unknown{nearest(quantity, QUANTITIES)}")
    if args.push is not None and args.branch is None:
        raise UserError("--push: needs --branch, the branch to push")
    if args.machine is not None:
        check_machine(args.machine)
    check_writable(args.folder or places.DEFAULT)
    if args.branch is not None:
        from ... import git
        from ...history import branch

        branch.check(git.repository("--branch"), args.branch, args.push or "")


def _measured(args: Arguments) -> Sequence[Point]:
    from ...history.recording import Request, record
    from ...paired.choose import SuiteFilter

    request = Request(
        part=SuiteFilter(args.suite, args.keyword),
        load=args.load,
        anchors=args.anchors,
        launches=args.launches,
        budget_s=args.budget_s,
        threshold=args.threshold,
        machine=args.machine or "",
        quantities=tuple(dict.fromkeys(args.quantities)) or ("step",),  # type: ignore[arg-type]
    )
    console = progress_console(args.quiet or args.as_json)
    with console.status("starting") as status:
        tell: Callable[[Any], None] = status.update if console.is_terminal else console.print
        recording = record(request, _known(args), lambda line: tell(plain(line)))
    say(
        f"{len(recording.points)} cells, {recording.launches} launches each,"
        f" {recording.seconds:.0f} s",
        err=True,
    )
    return recording.points


def _known(args: Arguments) -> Sequence[Point]:
    """What is recorded so far, if an anchor must be found in it."""
    folder = args.folder or places.DEFAULT
    if args.anchors:
        return ()
    from ... import git
    from ...history import branch, lines
    from ...history.anchors import COMMAND

    found = [lines.read(folder)] if folder.is_dir() else []
    repository = git.repository(COMMAND)
    if args.branch is not None and args.push is not None:
        branch.fetch(repository, args.branch, args.push)
    if args.branch is not None and branch.is_there(repository, args.branch):
        found.append(branch.read(repository, args.branch))
    return lines.joined(found).points


def _written(folder: Path, points: Sequence[Point]) -> tuple[str, Path]:
    from ...history import lines

    name = lines.name_of(points)
    file = lines.write(folder, points, name)
    say(f"recorded: {file}", err=True)
    return name, file


def _commit(args: Arguments, points: Sequence[Point], name: str, file: Path) -> None:
    from ... import git
    from ...history import branch

    assert args.branch is not None, "asked by the caller"
    first = points[0]
    message = f"{first.machine}: {first.commit[:12]} against {first.anchor}\n"
    added = branch.add(
        git.repository("--branch"),
        args.branch,
        {name: file.read_bytes()},
        message,
        args.push or "",
    )
    where = f"{added.remote}/{args.branch}" if added.remote else args.branch
    say(f"committed: {where} {added.commit[:12]}", err=True)


def _print(points: Sequence[Point]) -> None:
    from ...history import text

    print_table("HEAD against its anchors", [text.row(point) for point in points])
    for point in points:
        if point.reason:
            say(f"{point.cell}: {point.decision}: {point.reason}")


def _exit_code(points: Sequence[Point]) -> ExitCode:
    if not any(point.measured for point in points):
        return ExitCode.NOTHING_MEASURED
    failed = any(point.decision == "failed" for point in points)
    return ExitCode.RUNS_FAILED if failed else ExitCode.OK

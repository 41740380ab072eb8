"""`gradrace gate`: may this change be merged?"""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from ..errors import UserError
from ..output.terminal import print_table, say, teller
from . import documents, options
from .numbers import number

if TYPE_CHECKING:
    from ..gate import GateResult
    from ..gate.judge import Sides

_THRESHOLD = "The change that must not go unnoticed: 0.05 is 5%, the default; 0.1 for first calls."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """json_file, junit, markdown: files to write, if any."""

    suite: options.Suite = "gate"
    keyword: options.Keyword
    base: options.Base
    head: options.Head
    a_python: options.APython
    b_python: options.BPython
    measure: options.Measure = "step"
    threshold: Annotated[float | None, Option(None, parser=number(0.001, 0.999), help=_THRESHOLD)]
    budget_s: options.Budget = 600.0
    launches: options.Launches
    strict: options.Strict
    timing: Annotated[
        bool, Option(True, "--timing/--no-timing", help="Compare step times (needs a base).")
    ]
    convergence: Annotated[
        bool, Option(True, "--convergence/--no-convergence", help="Compare losses.")
    ]
    load: options.Load
    output: options.Output
    json_file: Annotated[
        Path | None, Option(None, "--json", help="Write everything that was found here.")
    ]
    junit: Annotated[Path | None, Option(None, help="Write JUnit XML here.")]
    markdown: Annotated[Path | None, Option(None, help="Write a Markdown summary here.")]
    allow_dirty: options.AllowDirty
    timeout_s: options.Timeout
    quiet: options.Quiet


def main(args: Arguments) -> None:
    """Say if a change alters what optimizers compute, or slows steps; for pull requests.

    Losses are compared with OUTPUT/baselines/SUITE.json: bit for bit if the same versions made them
    on the same type of machine, else within the band of rounding. Without that file they are
    compared with the base's own losses, if a base is given. Step times are compared only with
    --base (or two interpreters), in paired blocks; --measure compares first calls, memory or energy
    instead. With --head two commits are compared with each other, their losses too.

    Exit code 0 ok; 4 regression; 1 a run failed; 2 runs are not the baseline's; 3 a part could not
    be measured: never a pass, never a regression; 6 suspected or inconclusive, with --strict. A
    difference that was found once and not confirmed is *suspected*, never ok. Writes the page
    OUTPUT/html/gate.html, and appends its summary to $GITHUB_STEP_SUMMARY."""
    from ..gate.judge import GateRequest, gate
    from ..gate.traces import select
    from ..paired import StopRule
    from ..paired.quantities import THRESHOLDS, quantity_of
    from ..report.documents.gate import document
    from ..sweep import Options
    from ..sweep.progress import Watch

    if not args.timing and not args.convergence:
        raise UserError("--no-timing and --no-convergence leave nothing to gate")
    quantity = quantity_of(args.measure)
    threshold = THRESHOLDS[quantity] if args.threshold is None else args.threshold
    _check_files(args.json_file, args.junit, args.markdown)
    wanted = Options(output=args.output, keyword=args.keyword, timeout_s=args.timeout_s)
    sweep = select(args.suite, args.load, wanted)
    asked = GateRequest(
        sides=_sides(args),
        elsewhere=bool(args.a_python) or args.head is not None,
        convergence=args.convergence,
        timing=args.timing,
        quantity=quantity,
        rule=StopRule(threshold=threshold, budget_s=args.budget_s, first_look=args.launches),
        strict=args.strict,
    )
    with Watch(args.quiet) as watch:
        result = gate(sweep, asked, watch, teller(args.quiet))
    _write(result, args)
    _print(result)
    documents.leave(args.output, lambda: document(result), args.quiet)
    raise typer.Exit(result.exit_code)


def _sides(args: Arguments) -> Sides | None:
    """The two things compared, not yet prepared; None if there is only the working tree."""
    if bool(args.a_python) != bool(args.b_python):
        raise UserError(
            "--a-python and --b-python go together: two interpreters are compared with each other"
        )
    if args.head is not None and not args.base:
        raise UserError(f"--head {args.head}: --base must name the commit that it is compared with")
    if args.base and args.a_python:
        raise UserError(
            "--base and --a-python/--b-python: compare either two commits or two interpreters"
        )
    from ..paired import sides

    if args.a_python:
        return sides.of_interpreters(args.a_python, args.b_python, args.load)
    if args.base and args.head is not None:
        return sides.of_commits(args.base, args.head, args.load)
    return sides.against_base(args.base, args.load, args.allow_dirty) if args.base else None


def _check_files(*files: Path | None) -> None:
    """UserError for a file that cannot be written: known before minutes are spent, not after."""
    from ..jsonfile import writing

    for file in filter(None, files):
        with writing(file):
            if file.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            file.parent.mkdir(parents=True, exist_ok=True)
            if not os.access(file if file.exists() else file.parent, os.W_OK):
                raise PermissionError(errno.EACCES, "Permission denied")


def _write(result: GateResult, args: Arguments) -> None:
    """The files that were asked for, and the summary of a GitHub job, if this is one."""
    from ..gate import text
    from ..jsonfile import write_text, writing

    texts = {
        args.json_file: lambda: json.dumps(result.to_json(), indent=1) + "\n",
        args.junit: lambda: text.junit(result),
        args.markdown: lambda: text.markdown(result),
    }
    for file, content in texts.items():
        if file:
            with writing(file):
                write_text(file, content())
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with writing(Path(summary)), Path(summary).open("a", encoding="utf-8") as opened:
            opened.write(text.markdown(result))


def _print(result: GateResult) -> None:
    """What changed as tables, all else in a line each; the page has every figure."""
    from ..gate import text
    from ..paired.text import skipped
    from ..paired.words import WORDS

    losses, times = result.convergence, result.timing
    if losses:
        _print_rows("Losses", [text.check_row(each) for each in text.changed_checks(losses)])
        for how in losses.frameworks:
            say(f"{how.framework}: {how.reason}")
        for line in text.unchecked(losses):
            say(f"not checked: {line}")
        for check in losses.of("differs"):
            say(f"differs: {text.explained(check)}")
    say(f"losses: {text.sentence_on_losses(losses) if losses else result.convergence_reason}")
    if times:
        changed = [text.cell_row(cell, times.quantity) for cell in text.changed_cells(times)]
        _print_rows(WORDS[times.quantity].title, changed)
        for line in skipped(times):
            say(f"skipped: {line}")
        say(f"reliability: {result.calibration}")
    named = WORDS[times.quantity].title.lower() if times else "step times"
    say(f"{named}: {text.sentence_on_times(times) if times else result.timing_reason}")
    say(f"gate {result.suite}: {result.outcome}")


def _print_rows(title: str, rows: list[dict[str, Any]]) -> None:
    """Columns that are empty throughout are left out."""
    if rows:
        shown = [name for name in rows[0] if any(row[name] for row in rows)]
        print_table(title, [{name: row[name] for name in shown} for row in rows])

"""`gradrace gate`, `baseline` and `calibrate`: what may block a pull request."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import limits
from ..errors import ExitCode, UserError, nearest
from ..output.terminal import print_table, say
from . import AsJson, Keyword, Load, Output, Quiet, Suite, Timeout, command
from .numbers import BUDGET_S, count, number

if TYPE_CHECKING:
    from ..gate import GateResult
    from ..gate.judge import Sides

Threshold = Annotated[
    float,
    typer.Option(
        parser=number(0.001, 0.999), help="The slowdown that must not go unnoticed: 0.05 is 5%."
    ),
]
Launches = Annotated[
    int,
    typer.Option(
        parser=count(3, limits.LAUNCHES),
        help="Launches of every cell before it is judged for the first time.",
    ),
]


@command
def gate(
    suite: Suite = "gate",
    keyword: Keyword = "",
    base: Annotated[
        str, typer.Option(help="A commit to time against: HEAD~1, origin/main, a tag.")
    ] = "",
    a_python: Annotated[
        str, typer.Option("--a-python", help="Compare two interpreters: the one taken as the base.")
    ] = "",
    b_python: Annotated[str, typer.Option("--b-python", help="The interpreter to be judged.")] = "",
    threshold: Threshold = 0.05,
    budget: Annotated[
        float, typer.Option(parser=BUDGET_S, help="Seconds for all timing cells together.")
    ] = 600.0,
    launches: Launches = 6,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 6 where a timing stays inconclusive.")
    ] = False,
    timing: Annotated[
        bool, typer.Option("--timing/--no-timing", help="Compare step times (needs a base).")
    ] = True,
    convergence: Annotated[
        bool, typer.Option("--convergence/--no-convergence", help="Compare losses.")
    ] = True,
    load: Load = None,
    output: Output = Path("results"),
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything that was found here.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a Markdown summary here.")] = None,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Judge changes that are not committed, too.")
    ] = False,
    timeout: Timeout = 600.0,
    quiet: Quiet = False,
) -> None:
    """Say whether a change alters what optimizers compute, or makes steps slower: made to block a
    pull request.

    Losses are held against OUTPUT/baselines/SUITE.json: bit for bit where the same versions made
    them on the same type of machine, else within the band of rounding. Without that file, and with
    a base, against the base's own losses. Step times are compared with --base (or two interpreters)
    in paired blocks, and only then.

    Exit code 0 ok; 4 regression; 1 a run failed; 2 runs are not the baseline's; 3 a part could not
    be measured: never a pass, never a regression; 6 inconclusive, with --strict. Appends its
    summary to $GITHUB_STEP_SUMMARY."""
    from ..gate.judge import Asked
    from ..gate.judge import gate as measure
    from ..gate.traces import select
    from ..paired import StopRule
    from ..paired.sides import ended_like_interrupt
    from ..sweep import Options
    from ..sweep.progress import Watch

    if not timing and not convergence:
        raise UserError("--no-timing and --no-convergence leave nothing to gate")
    _check_files(json_file, junit, markdown)
    sweep = select(suite, load or [], Options(output, keyword, timeout_s=timeout))
    sides = _sides(base, a_python, b_python, load or [], allow_dirty)
    rule = StopRule(threshold=threshold, budget_s=budget, first_look=launches)
    asked = Asked(sides, bool(a_python), convergence, timing, rule, strict)
    with ended_like_interrupt(), Watch(quiet) as watch:
        result = measure(sweep, asked, watch, lambda line: None if quiet else say(line, err=True))
    _write(result, json_file, junit, markdown)
    _print_gate(result)
    raise typer.Exit(result.exit_code)


@command
def baseline(
    action: Annotated[
        str, typer.Argument(help="update: compute the suite's losses and write the baseline.")
    ],
    suite: Suite = "gate",
    keyword: Keyword = "",
    load: Load = None,
    output: Output = Path("results"),
    timeout: Timeout = 600.0,
    quiet: Quiet = False,
) -> None:
    """Write the losses that `gradrace gate` compares with: OUTPUT/baselines/SUITE.json, small text
    to be committed.

    All convergence runs are computed afresh, and once more in float64, which shows how far rounding
    alone carries each. With -k the other runs keep their lines. Exit code 1 when runs failed; those
    that finished are written."""
    from ..gate.converge import update
    from ..gate.traces import select
    from ..sweep import Options
    from ..sweep.progress import Watch

    if action != "update":
        raise UserError(
            f"nothing called {action!r} to do with a baseline{nearest(action, ['update'])}"
        )
    sweep = select(suite, load or [], Options(output, keyword, timeout_s=timeout))
    with Watch(quiet) as watch:
        file, written, computed = update(sweep, watch)
    say(f"{file}: {len(written.runs)} runs, {len(computed.finished)} of them computed now")
    failed = [
        record for record in computed.records.values() if record.status in ("failed", "timeout")
    ]
    for record in failed:
        say(f"failed: {record.spec.id}: {record.reason}", err=True)
    if failed:
        raise typer.Exit(ExitCode.RUNS_FAILED)


@command
def calibrate(
    suite: Suite = "gate",
    keyword: Keyword = "",
    gates: Annotated[
        int,
        typer.Option(
            parser=count(1, limits.LAUNCHES),
            help="How many gates of equal sides, and of each slowdown.",
        ),
    ] = 20,
    slowdowns: Annotated[
        str,
        typer.Option(help="Shares of a step's time by which one side is made slower; '' for none."),
    ] = "0.05 0.1",
    thresholds: Annotated[
        str, typer.Option(help="Thresholds under which the same launches are judged.")
    ] = "0.03 0.05 0.1",
    budget: Annotated[float, typer.Option(parser=BUDGET_S, help="Seconds for one gate.")] = 180.0,
    launches: Launches = 6,
    load: Load = None,
    output: Output = Path("results"),
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure on this machine how often the timing gate raises a false alarm, and how often it
    finds a real slowdown.

    Gates of one cell each, in turn over the suite's timing cells, of the same code on both sides;
    then with every step of one side made longer. Kept in OUTPUT/calibration.json gate by gate:
    Ctrl-C loses nothing, and a second call adds."""
    from ..gate import calibrate as calibration
    from ..gate.traces import select
    from ..paired import StopRule
    from ..paired.sides import ended_like_interrupt
    from ..sweep import Options

    shares = _fractions("--slowdowns", slowdowns)
    judged = _fractions("--thresholds", thresholds)
    if not judged:
        raise UserError("--thresholds: at least one is needed, such as 0.05")
    sweep = select(suite, load or [], Options(output, keyword))
    tell = (lambda line: None) if quiet else (lambda line: say(line, err=True))
    calibration.read(output)
    try:
        with ended_like_interrupt():
            calibration.calibrate(
                sweep,
                gates,
                [0.0, *shares],
                judged,
                StopRule(budget_s=budget, first_look=launches),
                tell,
            )
    except KeyboardInterrupt:
        say(
            "gradrace: interrupted; finished gates are kept, the same command adds to them",
            err=True,
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    found = calibration.rates(calibration.here(output))
    if as_json:
        say(json.dumps([rate._asdict() for rate in found]))
    else:
        print_table(
            "Gates of one cell on this type of machine, all that were measured",
            calibration.rows(found),
        )
    if not found:
        raise UserError("no gate gave figures; see the reasons above", ExitCode.NOTHING_MEASURED)


# -- helpers


def _sides(
    base: str, a_python: str, b_python: str, load: list[Path], allow_dirty: bool
) -> Sides | None:
    """The two things compared, not yet prepared; None where there is only the working tree."""
    if bool(a_python) != bool(b_python):
        raise UserError(
            "--a-python and --b-python go together: two interpreters are compared with each other"
        )
    if base and a_python:
        raise UserError(
            "--base and --a-python/--b-python: compare either two commits or two interpreters"
        )
    from ..paired import sides

    if a_python:
        return sides.of_interpreters(a_python, b_python, load)
    return sides.against_base(base, load, allow_dirty) if base else None


def _fractions(option: str, text: str) -> list[float]:
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = [0.0]
    if all(0 < value < 1 for value in values):
        return values
    raise UserError(f"{option} {text!r}: expected fractions between 0 and 1, such as '0.05 0.1'")


def _check_files(*files: Path | None) -> None:
    """UserError for a file that cannot be written: known before minutes are spent, not after."""
    from ..jsonfile import writing

    for file in files:
        if file:
            with writing(file):
                if file.is_dir():
                    raise IsADirectoryError(errno.EISDIR, "it is a folder")
                file.parent.mkdir(parents=True, exist_ok=True)
                if not os.access(file if file.exists() else file.parent, os.W_OK):
                    raise PermissionError(errno.EACCES, "Permission denied")


def _write(
    result: GateResult, json_file: Path | None, junit: Path | None, markdown: Path | None
) -> None:
    """Whatever was asked for, and the summary of a GitHub job where there is one."""
    from ..gate import text as gate_text
    from ..jsonfile import write_text, writing

    texts = {
        json_file: lambda: json.dumps(result.to_json(), indent=1) + "\n",
        junit: lambda: gate_text.junit(result),
        markdown: lambda: gate_text.markdown(result),
    }
    for file, text in texts.items():
        if file:
            with writing(file):
                write_text(file, text())
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with writing(Path(summary)), Path(summary).open("a", encoding="utf-8") as opened:
            opened.write(gate_text.markdown(result))


def _print_gate(result: GateResult) -> None:
    """What is to be looked at in tables, the rest in a line each."""
    from ..gate import text as gate_text

    if result.convergence:
        _print_rows(
            "Losses",
            [gate_text.check_row(check) for check in gate_text.notable_checks(result.convergence)],
        )
        for how in result.convergence.frameworks:
            say(f"{how.framework}: {how.reason}")
        for check in result.convergence.of("differs"):
            say(f"differs: {gate_text.explained(check)}")
    say(
        "losses:"
        f" {gate_text.sentence_on_losses(result.convergence) if result.convergence else result.convergence_reason}"
    )
    if result.timing:
        _print_rows("Step times", [gate_text.cell_row(cell) for cell in result.timing.cells])
        say(f"reliability: {result.calibration}")
    say(
        "times:"
        f" {gate_text.sentence_on_times(result.timing) if result.timing else result.timing_reason}"
    )
    say(f"gate {result.suite}: {result.outcome}")


def _print_rows(title: str, rows: list[dict[str, Any]]) -> None:
    """Columns that are empty throughout are left out."""
    shown = [name for name in rows[0] if any(row[name] for row in rows)] if rows else []
    if rows:
        print_table(title, [{name: row[name] for name in shown} for row in rows])

"""What a sweep says on standard error: quiet ones name each reason of a failure once."""

from __future__ import annotations

from pathlib import Path

import pytest
from gradrace.executor import Finished, PlannedRun
from gradrace.spec import digest
from gradrace.sweep.progress import MOST_REASONS, Watch
from records import VERSIONS, make_curve, make_result, make_specs


def finished(endings):
    """Events of runs that ended so: (status, reason) each."""
    specs = make_specs(["mlp"], ["torch"], ["sgd"], range(len(endings)), launches=0)
    for spec, (status, reason) in zip(specs, endings, strict=True):
        key = digest(spec, VERSIONS["torch"], {})
        run = PlannedRun(spec, key, VERSIONS["torch"], {}, Path("log"))
        yield Finished(run, make_result(spec, key, status, reason, make_curve(spec)))


def said(capsys, endings, quiet):
    events = list(finished(endings))
    with Watch(quiet) as watch:
        for done, event in enumerate(events, 1):
            watch(event, done, len(events))
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines(), [event.run.spec.id for event in events]


ENDINGS = [
    ("ok", ""),
    ("failed", "it [/b] broke"),
    ("diverged", "NaN"),
    ("failed", "it [/b] broke"),
    ("timeout", "300 s"),
    ("skipped", "not installed"),
]


def test_a_quiet_sweep_says_each_reason_of_a_failure_once(capsys):
    lines, ids = said(capsys, ENDINGS, quiet=True)
    assert lines == [
        f"2 runs failed: it [/b] broke (first {ids[1]})",
        f"1 run ran out of time: 300 s ({ids[4]})",
    ]


def test_a_sweep_that_is_not_quiet_has_a_line_a_run(capsys):
    lines, _ = said(capsys, ENDINGS, quiet=False)
    assert len(lines) == len(ENDINGS) and sum("it [/b] broke" in line for line in lines) == 2


def test_a_quiet_sweep_in_which_nothing_failed_says_nothing(capsys):
    assert said(capsys, [("ok", ""), ("diverged", "NaN"), ("skipped", "no")], quiet=True)[0] == []


def test_more_reasons_than_a_screen_holds_are_counted(capsys):
    lines, _ = said(
        capsys, [("failed", f"reason {n}") for n in range(MOST_REASONS + 3)], quiet=True
    )
    assert len(lines) == MOST_REASONS + 1 and lines[-1].startswith("and 3 more reasons")


@pytest.mark.parametrize("command", ["run", "time", "tune", "gate", "baseline"])
def test_every_command_that_runs_sweeps_says_so_in_its_help(command):
    from gradrace.cli import app
    from typer.testing import CliRunner

    shown = " ".join(
        CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output.split()
    )
    assert "each reason once" in shown

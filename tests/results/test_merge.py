"""`gradrace merge`: what is kept, and that the target is as if made in one place."""

from __future__ import annotations

import errno
import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from foreign import edit
from gradrace.cli import app
from gradrace.errors import UserError
from gradrace.merge import copying, difference, merge
from gradrace.record import Norms, RunResult
from gradrace.results import frame
from gradrace.sweep import Options, execute
from gradrace.sweep.store import PlanFile, Store, read_plan, stored
from merging import (
    DIVERGED,
    EARLIER,
    FAILED,
    HOUR,
    LATER,
    OK,
    SKIPPED,
    call,
    kept,
    run,
    timed,
    trained,
    tree,
    write,
)
from tiny import TINY, planned, swept
from typer.testing import CliRunner

# -- the whole


def told(frames: frame.Frames) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs and curves but for what differs from one execution to the next."""
    moments = [
        *(
            "host",
            "driver",
            "import_s",
            "start_s",
            "setup_s",
            "started_at",
            "wall_s",
            "energy_source",
        ),
        "joules",
    ]
    moments += ["joules_per_1000_steps", *(c for c in frames.runs if c.startswith("step_"))]
    runs = frames.runs.drop(columns=[*moments, "contended", "first_call_s"], errors="ignore")
    curves = frames.curves.sort_values(["digest", "series", "step"]).reset_index(drop=True)
    return runs.reset_index(drop=True), curves


@pytest.mark.parametrize(
    ("population", "content"),
    [("off", {"seeds": 3, "timing": TINY["timing"]}), (2, {"seeds": 4}), (3, {"seeds": 4})],
)
def test_three_shards_become_what_one_machine_makes(
    tmp_path: Path, population: Any, content: dict[str, Any]
) -> None:
    def options(output: str, shard: tuple[int, int] = (1, 1)) -> Options:
        return Options(output=tmp_path / output, shard=shard, population=population, workers=1)

    _, whole = swept(tmp_path / "whole", options=options("whole"), **content)
    parts = [f"part{number}" for number in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        execute(planned(tmp_path / part, options=options(part, (number, 3)), **content))
    before = tree(tmp_path / "part1")
    sources = [tmp_path / part for part in parts]
    found = merge(sources, tmp_path / "merged").suites[0]
    assert found.missing == found.unfinished == 0 and not found.conflicts
    assert sum(found.taken.values()) == len(whole.runs) and min(found.taken.values()) > 0
    assert tree(tmp_path / "part1") == before, "a source is only read"
    for ours, theirs in zip(told(frame.load(tmp_path / "merged")), told(whole), strict=True):
        pd.testing.assert_frame_equal(ours, theirs)
    again = execute(planned(tmp_path / "merged", options=options("merged"), **content))
    assert again.cached == len(whole.runs) and not again.unsound
    for other in itertools.permutations(sources):
        merge(other, tmp_path / "other")
        assert kept(tmp_path / "other") == kept(tmp_path / "merged"), "in any order"
        shutil.rmtree(tmp_path / "other")


def test_what_reads_results_reads_merged_ones(two: tuple[Path, Path, Path]) -> None:
    a, b, c = two
    assert call(a, b, "--output", c).exit_code == 0
    for command in (["report"], ["show", run(2).record.digest], ["export", "csv"]):
        done = CliRunner().invoke(app, [*command, "-o", str(c)])
        assert done.exit_code == 0, done.output
    assert len(frame.load(c).runs) == 3
    done = CliRunner().invoke(app, ["compare", str(a), str(c)])
    assert done.exit_code == 0, done.output


def test_suites_that_only_one_has_go_in_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "a", [run(0)])
    write(tmp_path / "b", [run(1)], suite="t", together=True)
    found = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert [each.suite for each in found.suites] == ["s", "t"]
    for folder, suite in (("a", "s"), ("b", "t")):
        assert kept(tmp_path / "c", suite) == kept(tmp_path / folder, suite)
        plans = [read_plan(tmp_path / each, suite) for each in (folder, "c")]
        assert plans[0] == plans[1]


def test_a_run_is_copied_byte_for_byte_with_its_log(two: tuple[Path, Path, Path]) -> None:
    a, b, c = two
    name = run(2).record.digest
    (b / "runs/s" / name / "log.txt").write_text("printed\n")
    edit(b / "runs/s" / name / "run.json", artefacts=["curve.parquet", "log.txt"])
    merge([a, b], c)
    ours, theirs = tree(c / "runs/s" / name), tree(b / "runs/s" / name)
    assert set(ours) == {"run.json", "curve.parquet", "log.txt"}
    records = [json.loads(each.pop("run.json")) for each in (ours, theirs)]
    assert ours == theirs and records[0] == records[1]


def test_the_same_command_changes_nothing_and_a_dry_run_writes_nothing(
    two: tuple[Path, Path, Path],
) -> None:
    a, b, c = two
    done = call(a, b, "--output", c, "--dry-run", "--json")
    assert done.exit_code == 0 and not c.exists()
    planned_ = json.loads(done.stdout)
    done = call(a, b, "--output", c, "--json", "-q")
    assert json.loads(done.stdout) == planned_ and not done.stderr
    (suite,) = planned_["suites"]
    assert suite["taken"] == {str(a): 2, str(b): 1} and suite["equal"] == 1
    before = tree(c)
    done = call(a, b, "--output", c)
    assert done.exit_code == 0 and tree(c) == before
    assert "3 results (3 from" in done.stdout and "4 more are copies" in done.stdout


# -- which result is kept


# What lies in each folder, and the host whose result is kept.
RULES = [
    ([FAILED, OK], "ok"),
    ([SKIPPED, DIVERGED, FAILED], "diverged"),
    ([OK, DIVERGED], "ok"),
    ([OK, EARLIER, FAILED], "earlier"),
    ([LATER, FAILED], "failed"),
    ([SKIPPED, LATER], "later"),
]


@pytest.mark.parametrize(("results", "host"), RULES)
@pytest.mark.parametrize("together", [False, True])
def test_the_rule_does_not_depend_on_the_order(
    tmp_path: Path, results: list[RunResult], host: str, together: bool
) -> None:
    folders = [tmp_path / str(number) for number in range(len(results))]
    for folder, result in zip(folders, results, strict=True):
        write(folder, [result], together=together)
    for number, order in enumerate(itertools.permutations(folders)):
        found = merge(order, tmp_path / f"c{number}").suites[0]
        (record,) = kept(tmp_path / f"c{number}").values()
        assert record.machine.host == host
        assert found.unfinished == sum(
            each.record.status not in ("ok", "diverged") and each.record.machine.host != host
            for each in results
        )


@pytest.mark.parametrize("together", list(itertools.product([False, True], repeat=2)))
def test_what_is_finished_in_the_target_stays(tmp_path: Path, together: tuple[bool, bool]) -> None:
    write(tmp_path / "a", [EARLIER, run(8, host="a")], together=together[0])
    write(tmp_path / "c", [OK, run(9)], together=together[1], title="Mine")
    merge([tmp_path / "a"], tmp_path / "c")
    hosts = [record.machine.host for record in kept(tmp_path / "c").values()]
    assert sorted(hosts) == ["a", "ok", "one"]
    plan = read_plan(tmp_path / "c", "s")
    assert plan.title == "Mine" and len(plan.digests) == 3


@pytest.mark.parametrize("together", list(itertools.product([False, True], repeat=2)))
def test_what_failed_in_the_target_is_replaced(tmp_path: Path, together: tuple[bool, bool]) -> None:
    write(tmp_path / "a", [OK, run(8, host="ok")], together=together[0])
    write(tmp_path / "c", [FAILED, run(9, host="ok")], together=together[1])
    merge([tmp_path / "a"], tmp_path / "c")
    assert {each.machine.host for each in kept(tmp_path / "c").values()} == {"ok"}
    assert len(frame.load(tmp_path / "c").curves.groupby("digest")) == 3


def test_part_of_a_population_is_taken_out_of_it(tmp_path: Path) -> None:
    both = [run(number, hour=3) for number in range(4)]
    write(tmp_path / "a", both, together=True)
    write(tmp_path / "b", [run(0, hour=1), run(1, hour=5)], together=True)
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    found = kept(tmp_path / "c")
    begun = [found[each.record.digest].started_at for each in both]
    assert begun == [HOUR.format(hour) for hour in (1, 3, 3, 3)]
    place = stored(tmp_path / "c", "s")
    for each in both:
        arrays = place.arrays(each.record.digest, "curve")
        losses = arrays["value"][arrays["series"] == "train_loss"]
        np.testing.assert_array_equal(losses, each.curve.train_losses)


def test_newer_populations_count_before_older_ones_as_in_the_source(tmp_path: Path) -> None:
    with Store(tmp_path / "a", "s") as store:
        store.write_many([FAILED, run(1)])
        store.write_many([OK, run(2)])
        digests = tuple(each.record.digest for each in (OK, run(1), run(2)))
        store.write_plan(PlanFile(suite="s", title="S", question="", digests=digests))
    merge([tmp_path / "a"], tmp_path / "c")
    assert kept(tmp_path / "c") == kept(tmp_path / "a") and len(kept(tmp_path / "c")) == 3


# -- conflicts and samples

NAN = float("nan")
CONFLICTS = [
    (trained(1.0), trained(1.0, host="b"), None),
    (trained(NAN), trained(NAN, host="b"), None),
    (trained(1.0), trained(1.25, host="b"), ("numbers of curve", 0.2)),
    (trained(1.0), trained(NAN, host="b"), ("finite in one alone", None)),
    (trained(1.0), trained(1.0, host="b", test_loss=1.0), ("numbers of summary", 0.5)),
    (trained(1.0), trained(1.0, host="b", status="diverged"), ("one ended ok, one", None)),
    (
        trained(1.0),
        replace(
            trained(host="b", hour=1),
            norms=Norms(np.array([0]), np.array(["w"]), *[np.ones(1)] * 4),
        ),
        ("no norms", None),
    ),
]


@pytest.mark.parametrize(("one", "other", "expected"), CONFLICTS)
def test_results_that_differ_are_conflicts(
    tmp_path: Path, one: RunResult, other: RunResult, expected: tuple[str, float | None] | None
) -> None:
    write(tmp_path / "a", [one, run(1)], together=True)
    write(
        tmp_path / "b",
        [replace(other, record=other.record.model_copy(update={"started_at": HOUR.format(9)}))],
    )
    done = call(tmp_path / "b", tmp_path / "a", "-o", tmp_path / "c", "--json")
    assert done.exit_code == 0, done.output
    (suite,) = json.loads(done.stdout)["suites"]
    if expected is None:
        assert suite["equal"] == 1 and not suite["conflicts"]
        return
    (conflict,) = suite["conflicts"]
    assert suite["equal"] == 0 and expected[0] in conflict["what"]
    assert conflict["relative"] == (expected[1] and pytest.approx(expected[1]))
    assert (conflict["kept_host"], conflict["other_host"]) == ("one", "b")
    assert (conflict["kept"], conflict["other"]) == (str(tmp_path / "a"), str(tmp_path / "b"))
    shown = call(tmp_path / "b", tmp_path / "a", "-o", tmp_path / "d").stdout
    assert "1 conflicts" in shown and conflict["digest"] in shown and "(host b)" in shown


def test_timing_is_kept_of_the_machine_that_did_most(tmp_path: Path) -> None:
    write(tmp_path / "a", [timed(n, host="a", hour=n) for n in range(3)])
    write(tmp_path / "b", [timed(n, host="b", hour=n + 1) for n in range(5)])
    for order in (["a", "b"], ["b", "a"]):
        output = tmp_path / "".join(order)
        (suite,) = merge([tmp_path / each for each in order], output).suites
        assert {each.machine.host for each in kept(output).values()} == {"b"}
        assert [(each.kept_host, each.other_host) for each in suite.samples] == [("b", "a")] * 3
        assert len(read_plan(output, "s").clocked) == 5
    (again,) = merge([tmp_path / "ab"], tmp_path / "ba").suites
    assert again.equal == 5 and not again.samples, "a copy is no second measurement"
    shown = call(tmp_path / "a", tmp_path / "b", "-o", tmp_path / "d").stdout
    assert "3 of" in shown and "(host a)" in shown


def test_launches_of_two_designs_do_not_stand_in_one_cell(tmp_path: Path) -> None:
    write(tmp_path / "a", [timed(0), timed(1)], clock_only=True)
    write(tmp_path / "b", [run(0), timed(0, blocks=9), timed(1, blocks=9)])
    (suite,) = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c").suites
    plan = read_plan(tmp_path / "c", "s")
    assert len(suite.other_designs) == 2 and len(plan.digests) == 3 and not plan.clock_only
    assert {len(kept(tmp_path / "c")), len(plan.clocked)} == {5, 2}, "they are there, unplanned"


def test_a_target_that_cannot_be_written(two: tuple[Path, Path, Path]) -> None:
    a, b, c = two
    c.mkdir()
    (c / "runs").write_text("a file")
    done = call(a, b, "-o", c)
    assert done.exit_code == 2 and "cannot be written" in done.output


def test_nobody_else_writes_into_the_target_meanwhile(two: tuple[Path, Path, Path]) -> None:
    a, b, c = two
    with Store(c, "s"):
        done = call(a, b, "-o", c)
    assert done.exit_code == 2 and "another gradrace" in done.output, done.output
    assert call(a, b, "-o", c).exit_code == 0 and len(kept(c)) == 3


def test_a_full_disk_loses_nothing(
    two: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = two
    copies: list[Path] = []
    honest = copying.shutil.copyfileobj

    def full(*given: Any) -> None:
        copies.append(given[1])
        if len(copies) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        honest(*given)

    monkeypatch.setattr(copying.shutil, "copyfileobj", full)
    with pytest.raises(UserError, match="No space left"):
        merge([a, b], c)
    left = [each.name for each in (c / "runs/s").iterdir()]
    assert not [name for name in left if "merge" in name] and "plan.json" not in left
    monkeypatch.undo()
    merge([a, b], c)
    assert len(kept(c)) == 3 and len(read_plan(c, "s").digests) == 3


KILLED = """
import os, sys
from pathlib import Path
from gradrace.merge import copying, merge
replace, left = os.replace, [int(sys.argv[1])]
def killed(source, target):
    left[0] -= 1
    if left[0] < 0:
        os._exit(9)
    replace(source, target)
os.replace = killed
merge([Path("a"), Path("b")], Path("c"))
"""


def test_a_kill_at_any_moment_is_made_good_by_the_same_command(tmp_path: Path) -> None:
    write(tmp_path / "a", [run(0), FAILED])
    write(tmp_path / "b", [run(1), run(2), OK], together=True)
    write(tmp_path / "d", [FAILED])
    ended = False
    for moment in range(20):
        if ended:
            break
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        shutil.copytree(tmp_path / "d", tmp_path / "c")
        before = tree(tmp_path / "a") | tree(tmp_path / "b")
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(moment)], cwd=tmp_path, timeout=300
        )
        ended = done.returncode == 0
        assert ended or done.returncode == 9
        assert tree(tmp_path / "a") | tree(tmp_path / "b") == before
        if len(read_plan(tmp_path / "c", "s").digests) > 1:
            assert len(kept(tmp_path / "c")) == 4, "the plan comes last"
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
        found = kept(tmp_path / "c")
        assert len(found) == 4 and found[OK.record.digest].machine.host == "ok"
        assert len(read_plan(tmp_path / "c", "s").digests) == 4
        assert not [each for each in (tmp_path / "c/runs/s").iterdir() if "merge" in each.name]
    assert ended and moment > 4


def test_populations_are_not_read_again_for_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, hour in (("a", 1), ("b", 2)):
        write(tmp_path / folder, [run(number, hour=hour) for number in range(30)], together=True)
    read: list[Path] = []
    honest = difference.Tables.of

    def counted(self: Any, found: Any, name: str) -> Any:
        before = len(self._last)
        table = honest(self, found, name)
        read.extend([found.kept.folder] * (len(self._last) - before))
        return table

    monkeypatch.setattr(difference.Tables, "of", counted)
    (suite,) = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c").suites
    assert suite.equal == 30 and len(read) == 2
    assert len(stored(tmp_path / "c", "s").populations()) == 1

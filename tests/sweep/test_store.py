"""Results on disk: whole or absent, refused if they are not ours, never outside their folder."""

from __future__ import annotations

import errno
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gradrace.errors import UserError
from gradrace.executor import PlannedRun
from gradrace.machine import this_machine
from gradrace.record import Blocks, Curve, RunRecord, RunResult
from gradrace.results import frame
from gradrace.suite import make_suite
from gradrace.sweep import Options, execute, prepare
from gradrace.sweep.estimate import estimate
from gradrace.sweep.store import (
    PlanFile,
    Store,
    read_arrays,
    read_plan,
    read_records,
    suite_folder,
)
from gradrace.sweep.stored import read_record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import make_results, make_specs
from tiny import TINY

DIGEST = "0123456789abcdef01234567"
VALUES = st.floats(allow_nan=True, allow_infinity=True)


A_CURVE = Curve(np.ones(3), np.array([0]), np.ones(1), np.ones(1))


def planned(run, digest=DIGEST):
    return PlannedRun(run, digest, {}, {}, Path())


def result_of(run, status="ok", digest=DIGEST, curve=A_CURVE, blocks=None):
    record = RunRecord(
        digest=digest,
        spec=run,
        status=status,
        started_at="2026-01-01T00:00:00+00:00",
        machine=this_machine(),
    )
    return RunResult(record, curve, blocks)


def write(output, *results):
    digests = tuple(result.record.digest for result in results)
    with Store(output, "tiny") as store:
        store.write_plan(PlanFile(suite="tiny", title="Tiny", question="", digests=digests))
        for result in results:
            store.write(result)
    return output / "runs" / "tiny"


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25
)
@given(values=st.lists(VALUES, min_size=1, max_size=30), data=st.data())
def test_a_curve_comes_back_bit_for_bit(tmp_path, make_run, values, data):
    metrics = data.draw(st.lists(VALUES, min_size=2, max_size=2))
    curve = Curve(
        np.array(values), np.array([0, len(values)]), np.array(metrics), np.array(metrics[::-1])
    )
    again = Curve.from_lists(json.loads(json.dumps(curve.to_lists())))
    assert np.array_equal(again.train_losses, curve.train_losses, equal_nan=True)
    write(tmp_path, result_of(make_run(), curve=curve))
    columns = read_arrays(tmp_path, "tiny", DIGEST, "curve")
    stored = {
        name: columns["value"][columns["series"] == name] for name in np.unique(columns["series"])
    }
    assert np.array_equal(stored["train_loss"], curve.train_losses, equal_nan=True)
    assert np.array_equal(stored["validation_metric"], curve.validation_metrics, equal_nan=True)


def test_blocks_come_back(tmp_path, make_run):
    blocks = Blocks(
        *(np.arange(1, 4, dtype=np.int64) + 2**40 * i for i in range(5)),
        np.array(["step", "forward", "step"]),
    )
    write(tmp_path, result_of(make_run(), blocks=blocks))
    columns = read_arrays(tmp_path, "tiny", DIGEST, "steps")
    assert np.array_equal(columns["wall_ns"], blocks.wall_ns)
    frames = frame.load(tmp_path)
    assert frames.steps["block"].tolist() == [0, 1, 2] and len(frames.runs) == 1


@pytest.mark.parametrize(
    ("status", "finished"),
    [("ok", True), ("diverged", True), ("failed", False), ("timeout", False), ("skipped", False)],
)
def test_only_ok_and_diverged_runs_are_not_done_again(tmp_path, make_run, status, finished):
    write(tmp_path, result_of(make_run(), status))
    with Store(tmp_path, "tiny") as store:
        assert bool(store.finished([planned(make_run())])) is finished


def test_a_run_is_there_only_when_its_record_is(tmp_path, make_run):
    folder = write(tmp_path, result_of(make_run()))
    (folder / ("f" * 24)).mkdir()
    (folder / ("f" * 24) / "curve.parquet").write_bytes(b"half a file")
    (folder / "notes").mkdir()
    with Store(tmp_path, "tiny") as store:
        assert not store.finished([planned(make_run(), "f" * 24)])
        store.discard_unfinished()
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == [
        DIGEST,
        "notes",
    ], "what is not ours stays"


def test_one_writer_at_a_time_and_a_killed_one_does_not_block(tmp_path):
    hold = (
        "import os, sys; from pathlib import Path; from gradrace.sweep.store import Store\nstore ="
        f" Store(Path({str(tmp_path)!r}), 'tiny'); store.__enter__(); print('held', flush=True);"
        " sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="another gradrace is writing"), Store(tmp_path, "tiny"):
        pass
    other.kill()
    other.wait()
    with Store(tmp_path, "tiny"):
        pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 1, "digest"', "truncated or not JSON"),
        ("", "truncated or not JSON"),
        ('{"schema": 99}', "schema 99 is newer"),
        ('{"schema": 1, "surprise": true}', "not a gradrace record"),
        ('{"anything": 1}', "states no schema"),
        ("[1, 2]", "states no schema"),
        (pickle.dumps({"schema": 1}), "truncated or not JSON"),
    ],
    ids=["cut off", "empty", "newer", "foreign keys", "no schema", "a list", "a pickle"],
)
def test_a_file_that_is_no_record_is_refused_by_name(tmp_path, make_run, text, message):
    file = write(tmp_path, result_of(make_run())) / DIGEST / "run.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    for read in (lambda: read_record(file), lambda: frame.load(tmp_path)):
        with pytest.raises(UserError, match=message) as caught:
            read()
        assert str(file) in str(caught.value)
    assert file.exists()


def test_a_truncated_parquet_file_is_refused_by_name(tmp_path, make_run):
    file = write(tmp_path, result_of(make_run())) / DIGEST / "curve.parquet"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(UserError, match="curve.parquet is cut off; run the suite again"):
        frame.load(tmp_path)


def swap(folder, other):
    """The two records change places; their arrays stay."""
    files = [each / "run.json" for each in (folder, other)]
    texts = [file.read_text() for file in files]
    for file, text in zip(files, reversed(texts), strict=True):
        file.write_text(text)


def edited(folder, old, new):
    text = (folder / "run.json").read_text()
    assert old in text
    (folder / "run.json").write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda folder, other: (folder / "curve.parquet").unlink(), "curve.parquet is missing"),
        (
            lambda folder, other: (folder / "curve.parquet").write_bytes(b""),
            "curve.parquet is cut off",
        ),
        (
            lambda folder, other: (folder / "curve.parquet").write_bytes(b"PAR1 and no more"),
            "curve.parquet is cut off",
        ),
        (swap, "it is the record of another run"),
        (
            lambda folder, other: edited(folder, '"seed": 0', '"seed": 7'),
            "another specification or source",
        ),
    ],
    ids=["lost", "empty", "cut off", "swapped", "edited"],
)
def test_a_run_that_is_not_whole_or_not_its_own_is_done_again(tmp_path, harm, problem):
    """And nothing else: 'cached' for ever was the answer."""
    suite = make_suite("tiny", {**TINY, "timing": False, "optimizers": ["sgd"]})
    ready = prepare(suite, options=Options(output=tmp_path))
    assert execute(ready).cached == 0
    before = frame.load(tmp_path)
    first, second = (tmp_path / "runs" / "tiny" / run.digest for run in ready.selected)
    harm(first, second)
    assert sum(not row["cached"] for row in estimate(ready).runs) == (2 if harm is swap else 1)
    again = execute(ready)
    assert problem in again.unsound[first.name] and again.counts == {"ok": 2}
    assert again.cached == (0 if harm is swap else 1)
    assert frame.load(tmp_path).curves.equals(before.curves)
    assert execute(ready).cached == 2


def test_a_report_does_not_take_one_run_for_another(tmp_path, make_run):
    folder = write(tmp_path, result_of(make_run()), result_of(make_run(seed=1), digest="a" * 24))
    swap(folder / DIGEST, folder / ("a" * 24))
    with pytest.raises(UserError, match="it is the record of another run, aaaa"):
        frame.load(tmp_path)


def test_nothing_of_an_earlier_try_is_taken_for_the_results(tmp_path, make_run):
    blocks = Blocks(*(np.arange(1, 4, dtype=np.int64) for _ in range(5)), np.array(["step"] * 3))
    folder = write(tmp_path, result_of(make_run(), "failed", blocks=blocks)) / DIGEST
    write(tmp_path, result_of(make_run()))
    assert sorted(file.name for file in folder.iterdir()) == ["curve.parquet", "run.json"]


def test_files_of_several_versions_are_one_table(tmp_path, make_run):
    """The first has no parts and pandas' text in the others; an incompatible type is refused."""
    blocks = Blocks(
        *(np.arange(1, 4, dtype=np.int64) for _ in range(5)), np.array(["step", "forward", "step"])
    )
    digests = [letter * 24 for letter in "abc"]
    folder = write(
        tmp_path, *(result_of(make_run(), digest=digest, blocks=blocks) for digest in digests)
    )
    files = [folder / digest / "steps.parquet" for digest in digests]
    pd.read_parquet(files[0]).drop(columns=["part", "steal_ticks"]).to_parquet(files[0])
    pd.read_parquet(files[1]).to_parquet(files[1])
    found = frame.load(tmp_path).steps
    assert found["digest"].tolist() == [digest for digest in digests for _ in range(3)]
    assert found["block"].tolist() == [0, 1, 2] * 3
    assert found["part"].tolist() == ["step"] * 3 + ["step", "forward", "step"] * 2
    assert found["steal_ticks"].tolist() == [0, 0, 0] + [1, 2, 3] * 2
    pd.read_parquet(files[1]).assign(part=1.5).to_parquet(files[1])
    with pytest.raises(UserError, match="steps.parquet files do not fit each other"):
        frame.load(tmp_path)


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "a b", "x" * 81, "<script>"])
def test_names_never_leave_the_results_folder(tmp_path, name):
    with pytest.raises(UserError, match="cannot name a suite"):
        suite_folder(tmp_path, name)


def test_a_plan_names_what_belongs_to_the_report(tmp_path, make_run):
    old, new = result_of(make_run(), digest="a" * 24), result_of(make_run(), digest="b" * 24)
    write(tmp_path, old)
    write(tmp_path, new)
    assert [record.digest for record in read_records(tmp_path, "tiny")] == ["b" * 24], (
        "results of an old plan stay out"
    )
    assert read_plan(tmp_path, "tiny").digests == ("b" * 24,)
    assert (tmp_path / "runs" / "tiny" / ("a" * 24) / "run.json").exists(), "but are kept"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(UserError, match="cannot be written"), Store(blocked, "tiny"):
        pass


def test_a_full_disk_leaves_no_half_record(tmp_path, make_run, monkeypatch):
    def full(file, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = write(tmp_path, result_of(make_run(), digest="a" * 24))
    (folder / DIGEST).mkdir()
    monkeypatch.setattr("gradrace.sweep.store.replace_text", full)
    with pytest.raises(UserError, match="No space left"), Store(tmp_path, "tiny") as store:
        store.write(result_of(make_run()))
    assert not (folder / DIGEST / "run.json").exists()
    assert read_record(folder / ("a" * 24) / "run.json").status == "ok"


def test_frames_from_python_are_tidy(tmp_path):
    import gradrace

    frames = gradrace.run(TINY, output=tmp_path, name="tiny", verify=False)
    assert len(frames.runs) == 2 * 2 + 2 and set(frames.runs["status"]) == {"ok"}
    training = frames.curves[frames.curves["series"] == "train_loss"]
    assert training.groupby("digest").size().tolist() == [20] * 4
    timed = frames.runs[frames.runs["measure"] == "timing"]
    assert (timed["step_p25_s"] > 0).all() and timed["final_train_loss"].isna().all()
    assert math.isclose(
        timed["step_median_s"].iloc[0],
        float(
            (
                frames.steps[frames.steps["digest"] == timed["digest"].iloc[0]].eval(
                    "wall_ns / steps * 1e-9"
                )
            ).median()
        ),
    )
    assert set(frames.records) == set(frames.runs["digest"])


def test_a_suite_without_results_is_named_with_those_that_have_some(tmp_path):
    with pytest.raises(UserError, match=r"no results of suite 'demo' \(expected .*runs/demo/\)"):
        read_plan(tmp_path, "demo")
    make_results(tmp_path, "demo", make_specs(["mlp"], ["jax"], seeds=[0], launches=0))
    for wrong, said in (
        ("dem", r"no results of suite 'dem' \(did you mean 'demo'\?\)"),
        ("x", r"no results of suite 'x' \(known: demo\)"),
    ):
        with pytest.raises(UserError, match=said):
            read_plan(tmp_path, wrong)

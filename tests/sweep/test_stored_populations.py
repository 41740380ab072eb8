"""Runs that were trained together, on disk: as in folders of their own, and whole or absent."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import many
import numpy as np
import pytest
import tiny
from gradrace.cli import app
from gradrace.errors import UserError
from gradrace.executor import PlannedRun
from gradrace.record import RunResult
from gradrace.results import frame
from gradrace.sweep import Options, population
from gradrace.sweep.estimate import estimate
from gradrace.sweep.store import PlanFile, Store, stored
from gradrace.sweep.stored import Stored
from hypothesis import HealthCheck, given, settings
from many import result_of, spec_of
from typer.testing import CliRunner

ARRAYS = {"curve": "curve", "steps": "blocks", "norms": "norms"}


def planned(result: RunResult) -> PlannedRun:
    record = result.record
    return PlannedRun(record.spec, record.digest, {}, dict(record.sources), Path())


def made(count: int, first: int = 0, **fields: Any) -> list[RunResult]:
    return [result_of(spec_of(number), **fields) for number in range(first, first + count)]


def write(output: Path, *groups: Sequence[RunResult]) -> Path:
    """A plan of all these runs, and a population of each group."""
    digests = tuple(dict.fromkeys(result.record.digest for of in groups for result in of))
    with Store(output, "many") as store:
        store.write_plan(PlanFile(suite="many", title="Many", question="", digests=digests))
        for group in groups:
            store.write_many(group)
    return output / "runs" / "many"


def folders(suite: Path) -> list[Path]:
    return Stored(suite).populations()


def bare(result: RunResult) -> Any:
    """Its record without the list of its files and the driver that kept it."""
    return result.record.model_copy(update={"artefacts": (), "driver": ""})


# -- both forms are read alike


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(results=many.results())
def test_a_population_comes_back_as_single_runs_do(
    tmp_path_factory: pytest.TempPathFactory, results: list[RunResult]
) -> None:
    together, alone = (tmp_path_factory.mktemp(name) for name in ("together", "alone"))
    write(together, results)
    with Store(alone, "many") as store:
        for result in results:
            store.write(result)
    one, other = (stored(output, "many") for output in (together, alone))
    digests = [result.record.digest for result in results]
    for result, digest in zip(results, digests, strict=True):
        found, single = one.find(digest), other.find(digest)
        assert found and single and found.record.driver and single.record.driver
        written, apart = (bare(RunResult(each.record)) for each in (found, single))
        assert written == apart == result.record
        assert written.to_json() == apart.to_json()
        for name in ARRAYS:
            assert same_columns(one.arrays(digest, name), other.arrays(digest, name))
    for name in ARRAYS:
        assert same_tables(one.tables(digests[::-1], name), other.tables(digests[::-1], name))


def same_columns(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return list(one) == list(other) and all(same_values(one[key], other[key]) for key in one)


def same_values(one: np.ndarray, other: np.ndarray) -> bool:
    """Bit by bit, NaN and all."""
    if one.dtype.kind in "if":
        return one.dtype == other.dtype and one.tobytes() == other.tobytes()
    return one.tolist() == other.tolist()


def same_tables(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return same_columns(*({key: t[key].to_numpy() for key in t.column_names} for t in (one, other)))


def test_frames_show_and_export_know_no_difference(tmp_path: Path) -> None:
    results = [*made(3), *made(2, 3, status="failed", reason="it broke", summary=None)]
    results[3:] = [replace(result, curve=None) for result in results[3:]]
    write(tmp_path / "together", results[:2], results[2:])
    with Store(tmp_path / "alone", "many") as store:
        digests = tuple(result.record.digest for result in results)
        store.write_plan(PlanFile(suite="many", title="Many", question="", digests=digests))
        for result in results:
            store.write(result)
    one, other = (frame.load(tmp_path / name) for name in ("together", "alone"))
    assert one.runs.drop(columns="driver").equals(other.runs.drop(columns="driver"))
    records = [[bare(RunResult(each)) for each in of.records.values()] for of in (one, other)]
    assert records[0] == records[1]
    assert one.curves.equals(other.curves) and len(one.runs) == 5
    shown = [
        said(["show", digests[1], "-o", str(tmp_path / name)]) for name in ("together", "alone")
    ]
    assert "training loss" in shown[0] and "records.json" in shown[0]
    driver = re.compile(r"-[0-9]+-[0-9a-f]{8}\b")
    cut = [driver.sub("", text[: text.index("files")]) for text in shown]
    assert cut[0] == cut[1]


def said(arguments: list[str]) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output


# -- which of several counts


def test_of_several_records_of_a_run_the_newest_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [*made(1), *made(1, 1, status="failed", reason="it broke")]
    again = made(1, 1)
    suite = write(tmp_path, first)
    with Store(tmp_path, "many") as store:
        assert list(store.finished(map(planned, first))) == [first[0].record.digest]
        # Even if the clock was set back.
        monkeypatch.setattr(population, "datetime", Epoch)
        store.write_many(again)
        assert set(store.finished(map(planned, first))) == {of.record.digest for of in first}
        store.write(made(1, 1, status="failed", reason="it broke again")[0])
        assert list(store.finished(map(planned, first))) == [first[0].record.digest]
        assert len(stored(tmp_path, "many").digests()) == 2
        store.write_many(again)
    assert sorted(each.name for each in suite.iterdir() if each.is_dir()) == sorted(
        each.name for each in folders(suite)
    ), "the folder of the single run is gone"
    assert [record.status for record in frame.load(tmp_path).records.values()] == ["ok", "ok"]


class Epoch(population.datetime):
    """A clock that was set back to 1970."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.fromtimestamp(0, tz)


def test_runs_that_the_plan_does_not_name_stay_out(tmp_path: Path) -> None:
    write(tmp_path, made(3))
    write(tmp_path, made(1, 7))
    assert [record.spec.seed for record in frame.load(tmp_path).records.values()] == [7]
    assert len(stored(tmp_path, "many").digests()) == 4


# -- whole or absent


def test_logs_of_a_population_become_one(tmp_path: Path) -> None:
    results = made(5)
    digests = [result.record.digest for result in results]
    with Store(tmp_path, "many") as store:
        store.log_file(digests[1]).write_text("an earlier try\n")
        log = store.shared_log(digests)
        log.write_text("begun\n")
        store.write_many(results[:2])
        log.open("a").write("the rest\n")
        store.write_many(results[2:4])
        store.write(results[4])
        assert log.exists() and not (log.parent / digests[1]).exists()
    assert not log.exists()
    place = stored(tmp_path, "many")
    said = ["an earlier try\nbegun\n"] * 2 + ["the rest\n"] * 2 + [""]
    assert [place.log(digest, 100) for digest in digests] == said
    files = [kept.record.artefacts for kept in place.sound(digests)]
    assert files == [("curve.parquet", "log.txt")] * 4 + [("curve.parquet",)]


def test_a_run_by_itself_takes_its_part_of_a_shared_log(tmp_path: Path) -> None:
    results = made(2)
    digests = [result.record.digest for result in results]
    with Store(tmp_path, "many") as store:
        log = store.shared_log(digests)
        log.write_text("it cannot share\n")
        store.write(results[0])
        store.write_many(results[1:])
        stale = store.shared_log(["f" * 24])
        stale.write_text("killed")
        store._logs.clear()
    assert [stored(tmp_path, "many").log(of, 100) for of in digests] == ["it cannot share\n", ""]
    with Store(tmp_path, "many"):
        assert not stale.exists(), "of a driver that was killed"


@pytest.mark.parametrize("last", ["curve.parquet", "records.json"])
def test_a_full_disk_leaves_no_part_of_a_population(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    suite = write(tmp_path, made(2))
    replace_file = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name == last:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", full)
    with Store(tmp_path, "many") as store:
        with pytest.raises(UserError, match="No space left"):
            store.write_many(made(2, 2))
        assert not store.finished(map(planned, made(2, 2)))
        assert len(store.finished(map(planned, made(2)))) == 2
        assert len(folders(suite)) == 2
        store.discard_unfinished()
    assert len(folders(suite)) == 1


def test_old_folders_of_its_runs_never_count_before_a_population(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the writer ends before it has removed them."""
    with Store(tmp_path, "many") as store:
        store.write(made(1, status="failed", reason="it broke")[0])
        monkeypatch.setattr("shutil.rmtree", lambda folder: (_ for _ in ()).throw(OSError("ended")))
        with pytest.raises(UserError, match="ended"):
            store.write_many(made(3))
    monkeypatch.undo()
    with Store(tmp_path, "many") as store:
        assert len(store.finished(map(planned, made(3)))) == 3
        store.discard_unfinished()
        of_drivers = [store.folder / name for name in ("claims", "drivers")]
        left = [each for each in store.folder.iterdir() if each.is_dir()]
        assert sorted(left) == sorted([*of_drivers, *folders(store.folder)])


WRITER = """
import sys
from pathlib import Path
import many
from gradrace.sweep.store import Store
with Store(Path(sys.argv[1]), "many") as store:
    store.discard_unfinished()
    for begin in range(0, 4000, 40):
        specs = map(many.spec_of, range(begin, begin + 40))
        store.write_many([many.result_of(spec) for spec in specs])
        print("kept", flush=True)
"""


def test_a_writer_that_is_killed_leaves_whole_populations(tmp_path: Path) -> None:
    paths = {"PYTHONPATH": str(Path(many.__file__).parent)}
    said = 0
    for pause in (0.0, 0.004, 0.011):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **paths})
        assert writer.stdout is not None
        for _ in range(3):
            said += writer.stdout.readline() == b"kept\n"
        time.sleep(pause)
        writer.kill()
        said += writer.stdout.read().count(b"kept")
        writer.wait()
    place = stored(tmp_path, "many")
    digests = place.digests()
    assert len(place.sound(digests)) == len(digests) and len(digests) % 40 == 0
    whole = [each for each in place.populations() if (each / "records.json").exists()]
    assert len(whole) >= said >= 9, "all that it said were kept"
    tables = place.tables(digests, "curve")
    assert tables is not None and len(set(tables["digest"].to_pylist())) == len(digests)


def test_estimates_and_plans_count_runs_of_populations(tmp_path: Path) -> None:
    options = Options(output=tmp_path, population=4)
    tiny.swept(tmp_path, options=options, seeds=6)
    for place in stored(tmp_path, "tiny").populations()[:1]:
        (place / "curve.parquet").unlink()
    guess = estimate(tiny.planned(tmp_path, options=options, seeds=7))
    assert Counter(row["cached"] for row in guess.runs) == {True: 8, False: 6}
    assert guess.unknown == 0 and guess.seconds > 0


SWEEP = """
import sys
from pathlib import Path
import tiny
from gradrace.sweep import Options, execute
options = Options(output=Path(sys.argv[1]), population=4)
execute(tiny.planned(options.output, options=options, seeds=12))
"""


@pytest.mark.slow
def test_a_killed_sweep_of_populations_goes_on_with_the_same_results(tmp_path: Path) -> None:
    """Killed with -9 after its second population; nothing that was kept is done again."""
    command = [sys.executable, "-c", SWEEP, str(tmp_path / "killed")]
    helpers = {**os.environ, "PYTHONPATH": str(Path(many.__file__).parent)}
    sweep = subprocess.Popen(command, env=helpers, stderr=subprocess.DEVNULL)
    suite, deadline = tmp_path / "killed" / "runs" / "tiny", time.monotonic() + 120
    while len(list(suite.glob("*/records.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    sweep.kill()
    sweep.wait()
    kept = {file: file.stat().st_mtime_ns for file in suite.glob("*/records.json")}
    assert len(kept) >= 2
    both = {}
    for name in ("killed", "whole"):
        options = Options(output=tmp_path / name, population=4)
        outcome, both[name] = tiny.swept(options.output, options=options, seeds=12)
        assert sum(outcome.counts.values()) == 24
        assert outcome.cached == (4 * len(kept) if name == "killed" else 0)
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert both["killed"].curves.equals(both["whole"].curves)
    scores = ["id", "digest", "status", "final_validation_loss", "test_metric", "steps_to_target"]
    assert both["killed"].runs[scores].equals(both["whole"].runs[scores])


def test_a_folder_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = made(20)
    write(tmp_path, results[:10], results[10:])
    read: list[Path] = []
    of_file = population.read_json
    monkeypatch.setattr(
        population, "read_json", lambda file, *rest: read.append(file) or of_file(file, *rest)
    )
    place = stored(tmp_path, "many")
    for result in results:
        assert place.find(result.record.digest) and place.arrays(result.record.digest, "curve")
    assert len(read) == 2
    with Store(tmp_path, "many") as store:
        for begin in range(20, 26, 2):
            assert len(store.finished(map(planned, results))) == len(results)
            results += made(2, begin)
            store.write_many(results[-2:])
        assert len(store.finished(map(planned, results))) == 26
    assert len(read) == 4, "what it wrote itself it knows"


def test_results_of_one_run_are_not_kept_twice(tmp_path: Path) -> None:
    with Store(tmp_path, "many") as store:
        with pytest.raises(ValueError, match="two results"):
            store.write_many([*made(2), *made(1)])
        store.write_many([])
    assert not stored(tmp_path, "many").digests()


def test_what_all_records_share_is_written_once(tmp_path: Path) -> None:
    (folder,) = folders(write(tmp_path, made(100)))
    content = json.loads((folder / "records.json").read_text())
    assert set(content["head"]) > {"machine", "versions", "status"}
    assert content["head"]["spec"]["task"]["name"] == "made_up"
    assert all(set(own) == {"digest", "spec", "summary"} for own in content["records"])
    assert all(set(own["spec"]) == {"seed", "schedule"} for own in content["records"])

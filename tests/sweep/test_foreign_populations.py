"""Somebody else's populations: the same as test_foreign_folders of runs in folders of their own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import many
import pyarrow
import pyarrow.parquet
import pytest
from foreign import edit, set_columns, set_series, to_device, to_fifo, to_link, to_secret
from gradrace.cli import app
from gradrace.errors import UserError
from gradrace.executor import PlannedRun
from gradrace.sweep.store import PlanFile, Store, stored
from runner import FOREIGN, limited
from typer.testing import CliRunner

ELSEWHERE = "a" * 24
RESULTS = [many.result_of(many.spec_of(number)) for number in range(3)]
DIGESTS = [result.record.digest for result in RESULTS]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three runs in one population of results/runs/many, with a log; and secret.txt outside."""
    with Store(tmp_path / "results", "many") as store:
        store.write_plan(PlanFile(suite="many", title="Many", question="", digests=tuple(DIGESTS)))
        store.shared_log(DIGESTS).write_text("printed\n")
        store.write_many(RESULTS)
    (tmp_path / "secret.txt").write_text("a secret")
    return tmp_path / "results"


def folder_of(results: Path) -> Path:
    (folder,) = stored(results, "many").populations()
    return folder


Change = Callable[[Path], Any]


def changed(change: Callable[[dict[str, Any]], Any]) -> Change:
    """A change of what records.json holds."""

    def make(folder: Path) -> None:
        content = json.loads((folder / "records.json").read_text())
        change(content)
        (folder / "records.json").write_text(json.dumps(content))

    return make


def put(*path: Any, value: Any) -> Change:
    """Changes one place of records.json."""

    def change(content: dict[str, Any]) -> None:
        node: Any = content
        for key in path[:-1]:
            node = node.setdefault(key, {}) if isinstance(node, dict) else node[key]
        node[path[-1]] = value

    return changed(change)


def swap_rows(folder: Path) -> None:
    """The rows of the first two runs change places."""
    table = pyarrow.parquet.read_table(folder / "curve.parquet")
    own = [table.filter(pyarrow.compute.equal(table["digest"], digest)) for digest in DIGESTS]
    pyarrow.parquet.write_table(
        pyarrow.concat_tables([own[1], own[0], own[2]]), folder / "curve.parquet"
    )


def cut_rows(folder: Path) -> None:
    table = pyarrow.parquet.read_table(folder / "curve.parquet")
    pyarrow.parquet.write_table(table.slice(1), folder / "curve.parquet")


def to_linked_folder(folder: Path) -> None:
    moved = folder.rename(folder.with_name("moved"))
    folder.symlink_to(moved)


DIGITS = "digest: expected 24 hexadecimal digits"
# Of a record: a field, its value, why, and words of the message.
FIELDS = [
    (("digest",), "../../../../x", "the digest leads out", DIGITS),
    (("digest",), "/tmp/x", "the digest is a path", DIGITS),
    (("digest",), f"{DIGESTS[0]}\n", "the digest ends a line", DIGITS),
    (("digest",), ELSEWHERE, "the digest is another's", "its rows are not those of its records"),
    (("digest",), DIGESTS[1], "two runs have one digest", "two records of one run"),
    (("artefacts",), ["../../x.parquet"], "artefacts lead out", "artefacts"),
    (("artefacts",), ["log.txt"], "a curve that no record states", "rows and artefacts"),
    (("artefacts",), ["curve.parquet", "steps.parquet"], "steps of no rows", "rows and artefacts"),
    (("started_at",), "<now>", "the moment is none", "started_at"),
    (("first_call_s",), float("inf"), "an endless call", "first_call_s: expected a finite"),
    (("surprise",), 1, "an unknown field", "surprise: unknown key"),
    (("spec",), 7, "the spec is a number", "a spec is no table"),
    (("spec", "task"), 7, "the task is a number", "spec.task: expected a table"),
    (("spec", "task", "steps"), 10**15, "more steps than memory", "steps: expected a number of"),
    (("spec", "task", "steps"), "7", "a count of texts", "expected a whole number, not '7'"),
    (("spec", "task", "batch_size"), 10**30, "a size beyond all arrays", "at most 64 bits"),
    (("spec", "schedule", "params"), {"x": 1.0}, "a schedule of nobody", "has no parameter 'x'"),
]
LOSS = "train_loss"
CURVES = [
    ({"step": [0], "series": [LOSS], "value": ["x"]}, "a curve of texts", "is not all numbers"),
    (
        {"step": [None, 1], "series": [LOSS] * 2, "value": [1.0, 2.0]},
        "a curve with gaps",
        "is not all whole numbers",
    ),
    ({"step": [0]}, "a curve of other columns", "no column 'series'"),
    ({"step": [0], "series": [LOSS], "value": [1.0]}, "a curve of nobody", "no column 'digest'"),
    (
        {"step": [0], "series": [LOSS], "value": [1.0], "digest": [None]},
        "a run without a name",
        "'digest' is not all text",
    ),
]
ROWS = [
    ({"curve": [26, 26]}, "rows of two runs of three", "rows of 2 runs for 3 records"),
    ({"curve": [-1, 26, 53]}, "fewer than no rows", "curve.0: expected a number of at least 0"),
    ({"curve": [26, 26, 2**62]}, "more rows than memory", "its records state"),
    ({"curve": [26, 25, 27]}, "rows of the neighbour", "not those of its records"),
    ({"curve": [26, 26, True]}, "truth is a number", "expected a whole number"),
    ({"weights": [1, 1, 1]}, "rows of other arrays", "weights: unknown key"),
    ([], "rows are a list", "expected a table"),
]
WHOLE = [
    (put("head", value=[]), "no head", "no head"),
    (put("records", value={}), "records are no list", "no list"),
    (put("records", 0, value="x"), "a record is a text", "no table"),
    (put("surprise", value=1), "an unknown part", "expected the keys"),
    (changed(lambda content: content.pop("rows")), "no rows", "expected the keys"),
    (put("schema", value=99), "a later schema", "is newer than this gradrace reads"),
    (put("head", "started_at", value="<now>"), "the moment of all is none", "started_at"),
    (
        put("head", "spec", "task", "steps", value=10**15),
        "all have more steps than memory",
        "spec.task.steps: expected a number of at most",
    ),
    (put("head", "machine", value=3), "no machine", "machine: expected a table"),
    (
        lambda folder: (folder / "records.json").write_text('{"schema": 1, "hea'),
        "the records are cut off",
        "truncated or not JSON",
    ),
    (lambda folder: (folder / "curve.parquet").unlink(), "no curves", "curve.parquet is missing"),
    (
        lambda folder: (folder / "curve.parquet").write_bytes(b"PAR1 and no more"),
        "the curves are cut off",
        "curve.parquet is cut off",
    ),
    (swap_rows, "rows in another order", "not those of its records, in their order"),
    (cut_rows, "a row is missing", "its records state"),
    (to_linked_folder, "the folder is a link", "its folder is a link"),
    (
        lambda folder: set_series(folder / "curve.parquet", 'a":0}});owned();({"b'),
        "a series is a script",
        "it has a series",
    ),
]
FILES = ("records.json", "curve.parquet", "log.txt")
KINDS = (("link", to_secret), ("pipe", to_fifo), ("device", to_device))


def cases() -> Iterator[tuple[str, str, Change]]:
    """Why, words of the message, and the change of the population's folder."""
    for path, value, why, words in FIELDS:
        yield why, words, put("records", 0, *path, value=value)
    for columns, why, words in CURVES:
        yield why, words, lambda folder, c=columns: set_columns(folder / "curve.parquet", **c)
    for rows, why, words in ROWS:
        yield why, words, put("rows", value=rows)
    for change, why, words in WHOLE:
        yield why, words, change
    for name, (kind, make) in itertools.product(FILES, KINDS):
        words = "not a file|cannot be read"
        yield f"{name} is a {kind}", words, lambda folder, n=name, make=make: make(folder / n)


CASES = list(cases())


@pytest.mark.parametrize(("why", "words", "change"), CASES, ids=[why for why, *_ in CASES])
def test_what_is_not_ours_is_refused(results: Path, why: str, words: str, change: Change) -> None:
    change(folder_of(results))
    before = {file for file in results.parent.rglob("*") if "html" not in file.parts}
    with limited(20):
        done = CliRunner().invoke(app, ["report", "-o", str(results)])
    assert done.exit_code == 2 and any(word in done.output for word in words.split("|")), (
        done.output
    )
    assert "secret" not in done.output.replace("secret.txt", "") and not any(
        word in done.output for word in FOREIGN
    )
    assert {file for file in results.parent.rglob("*") if "html" not in file.parts} == before


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (to_linked_folder, "its folder is a link"),
        (lambda folder: (folder / "curve.parquet").unlink(), "curve.parquet is missing"),
        (put("records", 0, "spec", "seed", value=9), "another specification or source"),
        (put("records", 0, "sources", value={"x.py": "0"}), "another specification or source"),
    ],
)
def test_an_unsound_population_is_done_anew(results: Path, change: Change, problem: str) -> None:
    change(folder_of(results))
    runs = [PlannedRun(of.record.spec, of.record.digest, {}, {}, Path()) for of in RESULTS]
    with Store(results, "many") as store:
        missing = [run for run in runs if run.digest not in store.finished(runs)]
        assert missing[0] is runs[0] and problem in store.unsound[runs[0].digest]
        store.write_many(RESULTS[: len(missing)])
        assert len(store.finished(runs)) == 3


def test_a_population_is_written_through_no_link(results: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("run.json", "log.txt"):
        (outside / name).write_text("theirs")
    suite = results / "runs" / "many"
    with Store(results, "many") as store:
        (suite / DIGESTS[0]).symlink_to(outside)
        to_link(suite / f".log-{DIGESTS[1]}.txt", tmp_path / "secret.txt")
        assert not store.shared_log(DIGESTS[1:2]).is_symlink()
        to_link(suite / f".log-{DIGESTS[1]}.txt", tmp_path / "secret.txt")
        store.write_many(RESULTS)
        assert store._stored.log(DIGESTS[0], 100) == "", "what a link leads to is not copied"
    assert sorted(file.read_text() for file in outside.iterdir()) == ["theirs"] * 2
    assert (tmp_path / "secret.txt").read_text() == "a secret"
    assert not (suite / DIGESTS[0]).exists()


def test_unfinished_populations_are_removed_and_nobody_elses_folders(
    results: Path, tmp_path: Path
) -> None:
    suite = results / "runs" / "many"
    name = f"population-{'1' * 20}-{'b' * 8}"
    kept = [f"{name}x", "population-1", "populations", f"population-{'1' * 19}-{'b' * 8}"]
    for each in (name, *kept):
        (suite / each).mkdir()
    (suite / f"population-{'2' * 20}-{'b' * 8}").symlink_to(tmp_path)
    with Store(results, "many") as store:
        store.discard_unfinished()
    left = {each.name for each in suite.iterdir() if each.name.startswith("population")}
    assert left == {folder_of(results).name, *kept} and tmp_path.exists()


def test_no_population_comes_after_the_last_name(results: Path) -> None:
    folder = folder_of(results)
    last = folder.rename(folder.with_name(f"population-{'9' * 20}-{'f' * 8}"))
    with Store(results, "many") as store, pytest.raises(UserError, match="no later population"):
        store.write_many(RESULTS)
    assert len(stored(results, "many").sound(DIGESTS)) == 3
    edit(last / "records.json", schema=2)
    with pytest.raises(UserError, match="is newer than this gradrace reads"):
        stored(results, "many").digests()

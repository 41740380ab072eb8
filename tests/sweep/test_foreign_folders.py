"""Somebody else's results: nothing outside is read or written, nothing in them waited for."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from foreign import edit, set_columns, set_series, to_device, to_fifo, to_link, to_secret
from gradrace.cli import app
from gradrace.data.folds import parse
from gradrace.errors import UserError
from gradrace.gate import baseline, calibrate
from gradrace.jsonfile import discard_partials, read_json, replacing, write_text
from gradrace.report import writer
from gradrace.results import frame
from gradrace.sweep.store import Store, read_log, read_plan, suite_folder
from gradrace.tune.study import Journal, read_study
from gradrace.verify import file as verify_file
from records import make_results, make_specs
from runner import FOREIGN, limited
from typer.testing import CliRunner

ELSEWHERE = "a" * 24


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """One run in results/runs/demo, with a log; and secret.txt outside."""
    make_results(tmp_path / "results", specs=make_specs(["mlp"], ["jax"], ["adam"], [0]))
    (tmp_path / "secret.txt").write_text("a secret")
    return tmp_path / "results"


def run_folder(results: Path) -> Path:
    return next(
        folder
        for folder in sorted((results / "runs" / "demo").iterdir())
        if (folder / "curve.parquet").exists()
    )


def edit_spec(file: Path, part: str, **changes: Any) -> None:
    spec = json.loads(file.read_text())["spec"]
    edit(file, spec={**spec, part: {**spec[part], **changes}})


DIGITS = "expected 24 hexadecimal digits"
# Field of run.json -> what stands there, why, and words of the message.
FIELDS = [
    ("digest", "../../../../x", "the digest leads out", f"digest: {DIGITS}"),
    ("digest", "/tmp/x", "the digest is a path", f"digest: {DIGITS}"),
    ("digest", ELSEWHERE, "the digest is another's", "the record of another run"),
    ("artefacts", ["../../x.parquet"], "artefacts lead out", "artefacts"),
    ("started_at", "<now>", "the moment is none", "started_at"),
    ("first_call_s", float("inf"), "an endless call", "first_call_s: expected a finite number"),
]
STEPS = "spec.task.steps: expected a"
# Part of the spec, and its field -> the same.
SPECS = [
    ("task", "steps", 10**15, "more steps than memory", f"{STEPS} number of at most"),
    ("task", "batch_size", 10**30, "a size beyond all arrays", "at most 64 bits"),
    (
        "schedule",
        "params",
        {"x": 1.0},
        "a schedule of nobody",
        "schedule constant has no parameter 'x'",
    ),
    ("task", "steps", "7", "a count of texts", f"{STEPS} whole number, not '7'"),
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
]
FILES = ("run.json", "curve.parquet", "log.txt")
FILES += ("../plan.json", "../study.json", "../../../verify.json")
KINDS = (("link", to_secret), ("pipe", to_fifo), ("device", to_device))


def cases() -> Iterator[tuple[str, str, Callable[[Path, Path], Any]]]:
    """Why, words of the message, and the change of (run's folder, suite's folder)."""
    for field, value, why, words in FIELDS:
        yield why, words, lambda run, _, f=field, v=value: edit(run / "run.json", **{f: v})
    for part, field, value, why, words in SPECS:
        change = {field: value}
        yield why, words, lambda run, _, p=part, c=change: edit_spec(run / "run.json", p, **c)
    for columns, why, words in CURVES:
        yield why, words, lambda run, _, c=columns: set_columns(run / "curve.parquet", **c)
    for name, (kind, make) in itertools.product(FILES, KINDS):
        words = "not a file|cannot be read"
        yield f"{name} is a {kind}", words, lambda run, _, n=name, make=make: make(run / n)
    for field, outside, why in (
        ("digests", "../../../x", "the plan leads out"),
        ("clocked", "/x", "the plan times elsewhere"),
    ):
        change = {field: [outside]}
        yield why, f"{field}.0: {DIGITS}", lambda _, suite, c=change: edit(suite / "plan.json", **c)
    yield (
        "the digest ends a line",
        f"digest: {DIGITS}",
        lambda run, _: edit(run / "run.json", digest=run.name + "\n"),
    )
    yield (
        "a series is a script",
        "it has a series",
        lambda run, _: set_series(run / "curve.parquet", 'a":0}});owned();({"b'),
    )
    yield (
        "the run's folder is a link",
        "its folder is a link",
        lambda run, suite: (run.rename(suite / ELSEWHERE), run.symlink_to(ELSEWHERE)),
    )


CASES = list(cases())


@pytest.mark.parametrize(("why", "words", "change"), CASES, ids=[why for why, *_ in CASES])
def test_what_is_not_ours_is_refused(
    results: Path, why: str, words: str, change: Callable[[Path, Path], Any]
) -> None:
    run = run_folder(results)
    (run / "log.txt").write_text("printed\n")
    edit(run / "run.json", artefacts=["curve.parquet", "log.txt"])
    change(run, run.parent)
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


def test_a_log_that_is_a_link_is_never_read(results: Path) -> None:
    run = run_folder(results)
    to_secret(run / "log.txt")
    with pytest.raises(UserError, match="log.txt: cannot be read: a folder, link"):
        read_log(results, "demo", run.name, 100)
    (run / "log.txt").unlink()
    assert read_log(results, "demo", run.name, 100) == ""
    (run / "log.txt").write_bytes(b"\x1b[2Jfine\xff\n")
    assert read_log(results, "demo", run.name, 100) == "\\x1b[2Jfine\ufffd\n"


def test_a_run_writes_through_no_link(results: Path, tmp_path: Path) -> None:
    run, secret = run_folder(results), tmp_path / "secret.txt"
    to_link(run / "log.txt", secret)
    (run.parent / ELSEWHERE).symlink_to(tmp_path)
    with Store(results, "demo") as store:
        assert not store.log_file(run.name).is_symlink()
        assert not store.log_file(ELSEWHERE).parent.is_symlink()
        (run.parent / ("b" * 24)).symlink_to(tmp_path)
        store.discard_unfinished()
        assert not (run.parent / ("b" * 24)).is_symlink()
    for name in ("drivers", "claims"):
        to_link(run.parent / name, tmp_path)
        with (
            pytest.raises(UserError, match="a link, which no gradrace makes"),
            Store(results, "demo"),
        ):
            pass
        (run.parent / name).unlink()
    assert secret.read_text() == "a secret"


@pytest.mark.parametrize("name", ["k2\n", "../k", "/k", "", "a" * 81, "é", ".k"])
def test_a_name_of_a_suite_is_no_path(tmp_path: Path, name: str) -> None:
    for asked in (lambda: suite_folder(tmp_path, name), lambda: baseline.file_of(tmp_path, name)):
        with pytest.raises(UserError, match="cannot name a"):
            asked()


def test_a_name_of_folds_has_no_end_of_line() -> None:
    assert parse("wine.cv3-1") is not None
    assert (
        parse("wine.cv3-1\n") is None
        and parse("wine.cv٣-1") is None
        and parse(f"wine.cv{'9' * 5000}-1") is None
    )


@pytest.mark.parametrize(
    "make",
    [to_fifo, lambda file: to_link(file, "secret.txt"), Path.mkdir],
    ids=["pipe", "link", "folder"],
)
def test_every_reader_refuses_what_is_no_file(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    (tmp_path / "secret.txt").write_text('{"schema": 1}')
    readers: dict[str, Callable[[], Any]] = {
        "verify.json": lambda: verify_file.read(tmp_path),
        "study.json": lambda: read_study(tmp_path),
        "trials.jsonl": lambda: Journal(tmp_path),
        "calibration.json": lambda: calibrate.read(tmp_path),
        "b.json": lambda: baseline.read(tmp_path / "b.json"),
        "any.json": lambda: read_json(tmp_path / "any.json", 1, ""),
    }
    for name, read in readers.items():
        make(tmp_path / name)
        with limited(10), pytest.raises(UserError, match=f"{name}: cannot be "):
            read()


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"schema": true}', '{"schema": 1, "a": ' + "9" * 5000 + "}"]
)
def test_json_that_python_cannot_hold_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "kept.json").write_text(content)
    with pytest.raises(UserError, match="kept.json: "):
        read_json(tmp_path / "kept.json", 1, "make it again")


# -- what is written


@pytest.mark.parametrize("name", ["index.html", "suite-demo.html", "compare.html", "data"])
def test_a_report_replaces_nobody_elses_page(results: Path, tmp_path: Path, name: str) -> None:
    frames, folder = frame.load(results), tmp_path / "site"
    folder.mkdir()
    if name == "data":
        (folder / name).mkdir()
    else:
        (folder / name).write_text("<!doctype html><title>Mine</title>")
    with pytest.raises(
        UserError, match=f"{name}: not .*of an earlier report; move it away, or .* --html"
    ):
        writer.write(frames, folder)
    assert [file.name for file in folder.iterdir()] == [name]
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(UserError, match=f"{name}: not .*of an earlier report"):
        writer.write(frames, folder)


def test_a_page_of_an_earlier_version_is_replaced(results: Path, tmp_path: Path) -> None:
    frames = frame.load(results)
    page = writer.write(frames, tmp_path / "html")
    text = page.read_text()
    assert '<meta name="generator" content="gradrace' in text
    page.write_text(
        "".join(line for line in text.splitlines(keepends=True) if 'name="generator"' not in line)
    )
    assert writer.write(frames, tmp_path / "html").read_text() == text


def test_two_reports_at_once_wait_for_each_other(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, folder = frame.load(results), tmp_path / "html"
    built = writer.build(frames)
    monkeypatch.setattr(writer, "build", lambda frames, kept: built)
    failed: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(3):
                writer.write(frames, folder)
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert not failed
    pages = {name for name in built[0] if "/" not in name}
    assert {file.name for file in folder.iterdir()} == {"data", ".figures", *pages}


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    target, link, dangling, pipe = (
        tmp_path / name for name in ("target", "link", "dangling", "pipe")
    )
    target.write_text("before, and longer")
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "new")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for file in (link, dangling, pipe, Path(os.devnull), tmp_path / "made" / "file"):
        write_text(file, "text")
    assert link.is_symlink() and target.read_text() == (tmp_path / "new").read_text() == "text"
    assert os.read(reader, 100) == b"text" and pipe.is_fifo() and Path(os.devnull).is_char_device()
    assert (tmp_path / "made" / "file").read_text() == "text"
    os.close(reader)


def test_two_that_replace_a_file_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    with replacing(file) as one, replacing(file) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert file.read_text() == "one" and list(tmp_path.iterdir()) == [file]
    with pytest.raises(ZeroDivisionError), replacing(file) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert file.read_text() == "one" and list(tmp_path.iterdir()) == [file]
    (tmp_path / ".kept.7-ab.partial").touch()
    (tmp_path / ".other.7-ab.partial").touch()
    discard_partials(file)
    assert sorted(each.name for each in tmp_path.iterdir()) == [".other.7-ab.partial", "kept"]


def test_the_plan_is_read_as_it_was_written(results: Path) -> None:
    assert read_plan(results, "demo").title == "A made-up suite"

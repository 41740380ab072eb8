"""Output reaches any standard output: a closed pipe, a full disk, ASCII, nothing at all."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
from gradrace.errors import UserError
from gradrace.jsonfile import write_text
from gradrace.output.terminal import plain, prepare_streams, print_table, progress_console, say
from gradrace.sweep.progress import Watch
from gradrace.verify.text import show
from gradrace.verify.verdict import Side, Verdict, VerifyFile
from nasty import ALL, UNFIT
from records import MACHINE


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, str], TextIO]]:
    """Makes a descriptor standard output or error, with the settings of `prepare_streams`."""
    made: list[TextIO] = []

    def replace(descriptor: int, name: str = "stdout", encoding: str = "utf-8") -> TextIO:
        made.append(os.fdopen(descriptor, "w", encoding=encoding))
        monkeypatch.setattr(sys, name, made[-1])
        prepare_streams()
        return made[-1]

    yield replace
    for stream in made:
        stream.close()


def closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_a_reader_that_has_gone_changes_nothing(replaced: Any) -> None:
    replaced(closed_pipe())
    for _ in range(3):
        say("x" * 100_000)
    print_table("title", [{"a": 1}])


def test_progress_goes_on_when_its_reader_has_gone(replaced: Any) -> None:
    replaced(closed_pipe(), "stderr")
    console = progress_console(quiet=False)
    for _ in range(3):
        console.print(plain("[red]x" * 100_000))
    with Watch():
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_in_a_line(replaced: Any) -> None:
    replaced(os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(UserError, match="standard output: cannot be written: No space left"):
        say("text")


def test_ascii_takes_everything(replaced: Any, tmp_path: Path) -> None:
    file = tmp_path / "out"
    stream = replaced(os.open(file, os.O_WRONLY | os.O_CREAT), encoding="ascii")
    say("5 µs [/b] \ud800\x1b[2J")
    print_table("a – b [/b]", [{"[i]µ": "[/x] é"}])
    stream.flush()
    lines = [line.strip("| ") for line in file.read_bytes().decode("ascii").splitlines()]
    assert lines[:2] == ["5 \\xb5s [/b] \\ud800\\x1b[2J", "a \\u2013 b [/b]"]
    assert "[i]\\xb5" in lines and "[/x] \\xe9" in lines


def test_streams_that_are_not_ours_take_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    say("é")
    sys.stdout.flush()
    assert raw.getvalue() == b"\\xe9\n"
    monkeypatch.setattr(sys, "stdout", None)
    say("nothing")
    print_table("nothing", [{"a": 1}])


@pytest.mark.parametrize("columns", ["1", "80"])
@pytest.mark.parametrize("rows", [[], [{}], [{"a": ""}], [{"long name": "x" * 300, "b": 1}]])
def test_a_table_of_any_rows_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, rows: Any, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    print_table("t", rows)
    assert capsys.readouterr().out.startswith("t")


def test_a_file_that_is_standard_output_follows_what_was_printed(
    replaced: Any, tmp_path: Path
) -> None:
    file = tmp_path / "out"
    stream = replaced(os.open(file, os.O_WRONLY | os.O_CREAT))
    link = tmp_path / "stdout"
    link.symlink_to(file)
    say("first")
    write_text(link, "second\n")
    say("third")
    stream.flush()
    assert file.read_text() == "first\nsecond\nthird\n"


CLOSED = (
    "import os, sys; os.close({}); os.execv(sys.executable, [sys.executable, '-m', 'gradrace',"
    " *{!r}.split()])"
)


@pytest.mark.parametrize(
    ("descriptor", "arguments", "code"), [(1, "list tasks", 0), (2, "list nothing", 2)]
)
def test_a_stream_that_was_closed_before_leads_nowhere(
    tmp_path: Path, descriptor: int, arguments: str, code: int
) -> None:
    script = CLOSED.format(descriptor, arguments)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


def test_a_reader_that_takes_one_line_is_no_error(tmp_path: Path) -> None:
    """The exit code is the command's own."""
    program = [sys.executable, "-m", "gradrace", "list"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(program, cwd=tmp_path, **pipes) as started:
        assert started.stdout and started.stderr
        started.stdout.close()
        assert started.stderr.read() == b"" and started.wait() == 0


@pytest.mark.parametrize("text", [ALL, "x [/b]", "[bold]"])
def test_markup_is_printed_as_it_stands(capsys: pytest.CaptureFixture[str], text: str) -> None:
    verdicts = tuple(
        Verdict(
            **{"level": "updates", "case": text, "optimizer": text, "rule": "canonical"},
            **{"a": Side(framework=text), "b": Side(framework="x"), "verdict": verdict},
            **{"tolerance": 0.0, "reason": text},
        )
        for verdict in ("equal", "differs by definition", "unavailable", "FAILED")
    )
    found = VerifyFile(
        **{"schema": 1, "gradrace": "0", "started_at": text, "seconds": 1.0},
        **{"options": {}, "versions": {}, "sources": {}, "machine": MACHINE},
        **{"left_out": (text,), "verdicts": verdicts},
    )
    show(found)
    print_table(text, [{text: text}])
    out = capsys.readouterr().out
    assert not UNFIT.search(out.replace("\n", "")) and out.count("[") >= 4 * text.count("[")


def test_a_status_line_takes_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    progress_console(quiet=False).print("[/b] :boom:")
    assert "[/b] :boom:" in capsys.readouterr().err

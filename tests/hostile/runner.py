"""Runs the command line in this process, with a limit on its time, and says what came of it."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gradrace.cli import app
from typer.testing import CliRunner

LIMIT_S = 60
# What no message for a person holds.
FOREIGN = (
    "Traceback",
    "pydantic",
    "Input should be",
    "errors.pydantic.dev",
    "validation error",
    "internal error",
)


class Came(NamedTuple):
    """The exit code, everything that was printed, and the traceback of what was raised."""

    code: int
    text: str
    trace: str


@contextlib.contextmanager
def limited(seconds: int = LIMIT_S) -> Iterator[None]:
    """TimeoutError in what takes longer."""

    def late(*_: object) -> None:
        raise TimeoutError(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(arguments: list[str], folder: Path) -> Came:
    """`gradrace ARGUMENTS` in this folder."""
    with contextlib.chdir(folder), limited():
        done = CliRunner().invoke(app, arguments, terminal_width=500)
    raised = done.exception if not isinstance(done.exception, SystemExit) else None
    trace = "".join(traceback.format_exception(raised)) if raised else ""
    # Typer draws a box around its own messages, and breaks lines in it.
    words = " ".join(done.output.replace("│", " ").split())
    return Came(done.exit_code, words, trace)

"""Runs the tutorials as they are written: every command of every block, in an empty folder, and the
files that they show.

    python tests/helpers/tutorials.py                     all of them
    python tests/helpers/tutorials.py your_optimizer      one

A block that starts with ```console holds commands (lines that begin with `$ `) and what they print,
which is not compared. A line `[exit 4]` below a command says how it ends; nothing said is 0. A
comment `<!-- file: NAME -->` right above a block of code writes that block to a file first. Ends
with 1 at the first command that ends otherwise."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from paths import ROOT

FOLDER = ROOT / "docs" / "tutorials"
_BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>[\w./-]+) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)```", re.DOTALL
)


class Step(NamedTuple):
    """A command and its expected exit code; or a file to be written, with its content."""

    command: str = ""
    code: int = 0
    file: str = ""
    content: str = ""


def steps(text: str) -> Iterator[Step]:
    """What a tutorial tells its reader to do, in order."""
    for block in _BLOCK.finditer(text):
        if block["file"]:
            yield Step(file=block["file"], content=block["body"])
        elif block["kind"] == "console":
            yield from _commands(block["body"])


def _commands(body: str) -> Iterator[Step]:
    command = ""
    code = 0
    for line in body.replace("\\\n", " ").splitlines():
        ended = re.fullmatch(r"\[exit (\d+)\]", line.strip())
        if ended:
            code = int(ended[1])
        if line.startswith("$ "):
            if command:
                yield Step(command, code)
            command, code = line[2:], 0
    if command:
        yield Step(command, code)


def follow(name: str) -> bool:
    """Does a tutorial in a new folder; False at the first command that ends otherwise."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        for step in steps(text):
            if step.file:
                (Path(folder) / step.file).write_text(step.content, encoding="utf-8")
                continue
            began = time.perf_counter()
            ended = subprocess.run(
                ["bash", "-c", step.command],
                cwd=folder,
                env={**os.environ, "PATH": path},
                check=False,
                capture_output=True,
                text=True,
            )
            print(
                f"{name}: {time.perf_counter() - began:6.1f} s  exit {ended.returncode} "
                f" {step.command}",
                flush=True,
            )
            if ended.returncode != step.code:
                print(
                    "expected exit"
                    f" {step.code}\n{ended.stdout}\n{ended.stderr}\n{shlex.quote(step.command)}"
                )
                return False
    return True


def main() -> None:
    """All tutorials, or those named."""
    names = sys.argv[1:] or sorted(
        file.stem for file in FOLDER.glob("*.md") if file.stem != "README"
    )
    if not all([follow(name) for name in names]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

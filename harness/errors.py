"""Errors meant for a person, and the exit codes of the command line."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """The command line's answer to the shell."""

    OK = 0
    RUNS_FAILED = 1
    USAGE = 2
    NOTHING_MEASURED = 3
    REGRESSION = 4
    NOTHING_MATCHED = 5
    INCONCLUSIVE = 6
    INTERRUPTED = 130


class UserError(Exception):
    """The user can mend it: says the problem, its place, and how. Shown without a traceback."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def located(place: str) -> Iterator[None]:
    """A ValueError that is raised inside becomes a UserError that begins with this place."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{place}: {error}") from None


def is_file(path: str, file: Path) -> bool:
    """Whether Python's path of a module is this file: Python makes it absolute."""
    return Path(path).absolute() == file.absolute()


def line_in(error: BaseException, file: Path) -> int | None:
    """The line of the file that raised, in the deepest frame; None if no line of it did."""
    line, trace = None, error.__traceback__
    while trace:
        if is_file(trace.tb_frame.f_code.co_filename, file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def nearest(name: str, known: Iterable[str]) -> str:
    """' (did you mean 'adam'?)' for a near miss, else ' (known: ...)': the end of a message."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (known: {', '.join(choices)})" if choices else ""


def near_miss(name: str, known: Iterable[str]) -> str:
    """`nearest`, but nothing if no name is near: all names of a module are too many for a line."""
    text = nearest(name, known)
    return text if "did you mean" in text else ""


def refused(error: OSError) -> str:
    """The system's reason, and how to mend it if that is known: 'No space left; free some'."""
    mend = {
        errno.EMFILE: "; raise the limit of open files (ulimit -n)",
        errno.ENFILE: "; close other programs",
        errno.EAGAIN: "; close other programs or raise the limit of processes (ulimit -u)",
        errno.ENOSPC: "; free some space, or choose another folder with --output",
        errno.ENOMEM: "; close other programs, or take fewer workers (-j)",
    }
    return f"{error.strerror or error}{mend.get(error.errno or 0, '')}"

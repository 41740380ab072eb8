"""Errors meant for a person, and the exit codes of the command line."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """What the command line answers to the shell."""

    OK = 0
    RUNS_FAILED = 1
    USAGE = 2
    NOTHING_MEASURED = 3
    REGRESSION = 4
    NOTHING_MATCHED = 5
    INCONCLUSIVE = 6
    INTERRUPTED = 130


class UserError(Exception):
    """The user can mend it: says what is wrong, where, and how. Shown without a traceback."""

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


def nearest(name: str, known: Iterable[str]) -> str:
    """' (did you mean 'adam'?)' for a near miss, else ' (known: ...)': the end of a message."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (known: {', '.join(choices)})" if choices else ""


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

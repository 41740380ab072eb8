"""Errors of a command become one line on standard error and an exit code."""

from __future__ import annotations

import errno
import functools
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer

from ..errors import ExitCode, UserError, refused
from ..output.terminal import say

# The system's errors for a path that the user gave wrongly.
_MISTAKES = (
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC),
)


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The command; no error leaves it but typer's own."""

    @functools.wraps(command)
    def call(*args: Any, **kwargs: Any) -> None:
        try:
            with _ended_like_interrupt():
                command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except UserError as error:
            fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            fail("interrupted", ExitCode.INTERRUPTED)
        except Exception as error:
            if isinstance(error, OSError):
                _explain(error)
            say(traceback.format_exc(), err=True, nl=False)
            reason = f"internal error: {error!r}; please report it with the lines above"
            fail(reason, ExitCode.NOTHING_MEASURED)

    return call


def fail(reason: str, code: ExitCode) -> NoReturn:
    """Says why on standard error and ends the command."""
    say(f"gradrace: {reason}", err=True)
    raise typer.Exit(code) from None


@contextmanager
def resumable(kept: str) -> Iterator[None]:
    """Inside, Ctrl-C ends the command and says that what is `kept` need not be done again."""
    try:
        yield
    except KeyboardInterrupt:
        reason = f"interrupted; finished {kept} are kept, the same command goes on from there"
        fail(reason, ExitCode.INTERRUPTED)


@contextmanager
def _ended_like_interrupt() -> Iterator[None]:
    """SIGTERM (a scheduler or a CI cancels the job) is taken like Ctrl-C, so that workers end and
    everything is cleaned up. A second one does not disturb that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ending = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal ending
        if not ending:
            ending = True
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _explain(error: OSError) -> None:
    """Ends the command if the user can mend the error; else returns."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        fail(f"{refused(error)}; what was finished is kept", ExitCode.NOTHING_MEASURED)
    if error.errno in _MISTAKES and error.filename:
        from ..jsonfile import shown

        fail(f"{shown(Path(str(error.filename)))}: {refused(error)}", ExitCode.USAGE)

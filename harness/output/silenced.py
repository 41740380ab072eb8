"""Keeps a user's prints off standard output, which belongs to the command's own answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress


@contextmanager
def off_stdout() -> Iterator[None]:
    """Inside, standard output goes to standard error, also from native code and child processes."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with _descriptor_redirected(), redirect_stdout(sys.stderr):
        yield


@contextmanager
def _descriptor_redirected() -> Iterator[None]:
    """Descriptor 1 is a copy of 2; nothing happens if either is closed."""
    try:
        kept = os.dup(1)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):
            os.dup2(2, 1)
        yield
    finally:
        with suppress(OSError):
            os.dup2(kept, 1)
        os.close(kept)

"""Timing needs the machine for itself: drivers of one results folder take turns on a machine.

Those that train hold a shared lock of the system, the one that times an exclusive one. The file is
the machine's own, in its folder for temporary files, since other machines may train meanwhile."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_WAIT_S = 0.1


class Quiet:
    """This driver's lock on this machine. Without locks of files (Windows) nobody waits."""

    def __init__(self, output: Path) -> None:
        place = hashlib.sha256(str(output.resolve()).encode()).hexdigest()[:16]
        self._file = Path(tempfile.gettempdir()) / f"gradrace-{place}.lock"
        self._descriptor = -1
        self._mode = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def hold(self, alone: bool) -> None:
        """Waits until no other driver times here; if alone, until none trains either."""
        mode = "alone" if alone else "shared"
        if self._mode == mode:
            return
        self.release()
        try:
            import fcntl

            self._descriptor = self._opened()
        except (ImportError, OSError):
            return
        how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        # Not one long wait: Ctrl-C must end it.
        while True:
            try:
                fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_WAIT_S)
        self._mode = mode

    def release(self) -> None:
        """Lets others time; the system does so too if this process dies."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._mode = -1, ""

    def _opened(self) -> int:
        """Another user's file as well: to lock it, it need not be written."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(OSError):
            return os.open(self._file, flags)
        return os.open(self._file, flags | os.O_CREAT, 0o644)

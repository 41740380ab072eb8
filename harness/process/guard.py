"""Kills the processes of a dead driver: `python guard.py DRIVER`, one small process a driver.

A worker ends with its pipe, but not while C code holds its interpreter; and processes of a user's
code have no such pipe. So all children of a driver inherit a mark in their environment. The guard
waits at a pipe whose other end only the driver holds, then kills every process with that mark. It
needs /proc: elsewhere only the pipes end workers."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

VARIABLE = "GRADRACE_CHILD"
_PROC = Path("/proc")
_lock = threading.Lock()
_numbers = itertools.count()
# The driver's process id and mark, and its guard with the pipe to it. A fork starts its own.
_owner = 0
_driver = ""
_guard: tuple[subprocess.Popen[bytes], int] | None = None


def mark() -> str:
    """The value of `VARIABLE` for a new child. The first call starts this driver's guard."""
    global _owner, _driver, _guard
    with _lock:
        if _owner != os.getpid():
            _owner, _driver = os.getpid(), os.urandom(8).hex()
            _guard = _start(_driver) if (_PROC / "self" / "environ").exists() else None
        return f"{_driver}-{next(_numbers)}"


def kill_marked(found: str, whole: bool = True) -> bool:
    """SIGKILL to all processes with this mark, and to their children; whether there were any.

    whole: `found` is the mark, not just its beginning. A process that is just starting shows no
    environment yet, but its parent."""
    doomed = _family(found, whole)
    for pid in doomed:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return bool(doomed)


def _family(found: str, whole: bool) -> set[int]:
    wanted = f"{VARIABLE}={found}{chr(0) if whole else '-'}".encode()
    parents: dict[int, int] = {}
    family: set[int] = set()
    for folder in _PROC.glob("[0-9]*"):
        pid = int(folder.name)
        with suppress(OSError, ValueError, IndexError):
            parents[pid] = int(
                (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            )
            if wanted in (folder / "environ").read_bytes() + b"\0":
                family.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family - {os.getpid()}


def _start(driver: str) -> tuple[subprocess.Popen[bytes], int] | None:
    """The guard, in its own session: a signal to the driver's group leaves it alive."""
    import subprocess

    waits, held = os.pipe()
    own = {name: value for name, value in os.environ.items() if name != VARIABLE}
    try:
        # -I and -S: it imports nothing of the user's, and starts in 10 ms.
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, driver],
            stdin=waits,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=own,
            start_new_session=True,
            cwd="/",
        )
    except OSError:
        os.close(held)
        raise
    finally:
        os.close(waits)
    return process, held


def main() -> None:
    """Waits for the driver's end, then kills until none is left: some may start others."""
    driver = sys.argv[1]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Whoever ends all processes of a job ends the driver as well: then it is needed.
        signal.signal(number, signal.SIG_IGN)
    os.read(0, 1)
    for _ in range(100):
        if not kill_marked(driver, whole=False):
            return


if __name__ == "__main__":
    main()

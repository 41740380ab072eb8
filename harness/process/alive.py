"""Whether another process of this machine still lives, told from a note that it left in a file."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A process. began: the moment of its start, in seconds of Unix time. boot, processes: the
    start of its machine and the set of processes (a container's, say) within which its number
    counts; "" if the system tells neither."""

    host: str
    pid: int
    began: float
    boot: str = ""
    processes: str = ""


def here() -> Place:
    """This process."""
    return _place_of(os.getpid())


# A fork has another number.
@cache
def _place_of(pid: int) -> Place:
    import psutil

    boot, processes = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    found = {}
    with suppress(OSError):
        found = {"boot": boot.read_text().strip(), "processes": str(processes.readlink())}
    return Place(platform.node(), pid, psutil.Process(pid).create_time(), **found)


def is_gone(place: Place) -> bool:
    """Whether the process has ended; False on another machine, where this cannot be told."""
    import psutil

    own = here()
    if (place.host, place.boot, place.processes) != (own.host, own.boot, own.processes):
        return False
    try:
        process = psutil.Process(place.pid)
        # Another process may have been given the number; moments of a start are in 10 ms.
        same = abs(process.create_time() - place.began) < 1.0
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, ValueError, OverflowError):
        return False

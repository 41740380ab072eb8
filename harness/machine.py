"""What machine this is."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

from .record import Machine


@cache
def this_machine() -> Machine:
    """The machine of this process."""
    import psutil

    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        logical_cores=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        python=platform.python_version(),
    )


def usable_cores() -> tuple[int, ...]:
    """Logical cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

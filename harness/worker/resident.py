"""The resident set of this process now, and its peak since a reset.

Self-contained: paired/worker.py loads this file from the driver's source into a process whose
gradrace may be another, so that both sides of a comparison are measured by one method."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_during(work: Callable[[], None]) -> tuple[int, int, str]:
    """Bytes before the work, the peak until its end (never less), and the method in words.

    Linux counts the highest resident set since a reset (VmHWM, proc_pid_status(5); reset by
    proc_pid_clear_refs(5)). Without a reset the peak is that of the process's whole life: too high
    if the import took more than training does."""
    reset = _reset_peak()
    before = resident_bytes()
    work()
    peak, method = _highest_bytes(), "ru_maxrss, over the life of the process"
    if reset:
        peak, method = _status_bytes("VmHWM"), "VmHWM since a reset after the import"
    return before, max(peak, before), method


def resident_bytes() -> int:
    """The resident set of this process now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def _reset_peak() -> bool:
    """Whether the system let the peak start anew from the present resident set."""
    with suppress(OSError, StopIteration):
        _CLEAR_REFS.write_text("5")
        # Some sandboxes take the write and do nothing: the peak stays above the resident set.
        return _status_bytes("VmHWM") <= 1.02 * _status_bytes("VmRSS")
    return False


def _status_bytes(name: str) -> int:
    """A size from /proc/self/status, as in 'VmHWM:   1234 kB'."""
    lines = _STATUS.read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def _highest_bytes() -> int:
    """ru_maxrss, in KiB on Linux, in bytes on macOS (getrusage(2) of each); 0 without one."""
    try:
        import resource
    except ImportError:
        return 0
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else 1024 * highest

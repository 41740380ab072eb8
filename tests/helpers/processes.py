"""Whether processes still run. A zombie does not: it only waits for its parent to ask."""

from __future__ import annotations

import time

import psutil


def running(pid: int) -> bool:
    """Whether the process is there and not a zombie."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def until_gone(*pids: int, seconds: float = 60) -> None:
    """Returns once none of them runs; a busy machine takes its time."""
    end = time.monotonic() + seconds
    while left := [pid for pid in pids if running(pid)]:
        assert time.monotonic() < end, f"still running: {left}"
        time.sleep(0.02)

"""Sweeps that are watched from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def finished(folder: Path) -> list[Path]:
    """The records of the sweep "long" in this folder."""
    return list((folder / "out" / "runs" / "long").glob("*/run.json"))


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)

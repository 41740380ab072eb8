"""Loads what a report needs while workers train."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..sweep import Sweep


def load(sweep: Sweep) -> None:
    """pandas, matplotlib and what they draw with take seconds to import: do it while workers train,
    never while something is timed."""
    from ..sweep.store import stored

    place = stored(sweep.options.output, sweep.suite.name)
    todo = [run for run in sweep.selected if not place.has(run.digest)]
    if todo and all(run.spec.measure == "convergence" for run in todo):
        threading.Thread(target=_load, daemon=True).start()


def _load() -> None:
    importlib.import_module("gradrace.report.writer")
    draw = importlib.import_module("gradrace.report.draw")
    for module in pkgutil.iter_modules(draw.__path__, f"{draw.__name__}."):
        importlib.import_module(module.name)

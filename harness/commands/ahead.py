"""Loads what a report needs while workers train."""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..sweep import Sweep


def load(sweep: Sweep) -> None:
    """matplotlib takes seconds to import: do it while workers train, never while something is
    timed."""
    from ..sweep.store import stored

    place = stored(sweep.options.output, sweep.suite.name)
    todo = [run for run in sweep.selected if not place.has(run.digest)]
    if todo and all(run.spec.measure == "convergence" for run in todo):
        load = threading.Thread(
            target=importlib.import_module, args=("gradrace.report.writer",), daemon=True
        )
        load.start()

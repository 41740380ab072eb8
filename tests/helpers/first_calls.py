"""`python first_calls.py OPTIMIZER ...`: the first calls of these cells of one torch process, on an
LSTM, as its worker takes them, in seconds of CPU time (whatever else the machine does), as JSON."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from gradrace.registry import import_adapter, load_registry
from gradrace.suite import expand, make_suite, with_classes
from gradrace.worker import clock
from gradrace.worker.__main__ import Worker
from gradrace.worker.draft import Draft

TIMING = {"rule": "native", "launches": 1, "warmup_steps": 1, "blocks": 4, "block_steps": 1}
SUITE = {"title": "First calls", "tasks": ["digits_lstm"], "frameworks": ["torch"], "seeds": 1}
SUITE |= {"convergence": False, "timing": TIMING}


class CpuClock(clock.SystemClock):
    """CPU time for wall time."""

    def read(self) -> tuple[int, int, int]:
        _, cpu, switches = super().read()
        return cpu, cpu, switches


def first_calls(optimizers: list[str], log: Path) -> dict[str, float]:
    """Seconds by optimizer."""
    registry = load_registry()
    suite = make_suite("first", {**SUITE, "optimizers": optimizers})
    clock.SystemClock = CpuClock  # type: ignore[misc]
    worker = Worker(registry, import_adapter(registry.frameworks["torch"]), io.BytesIO())
    found: dict[str, float] = {}

    def keep(index: int, result: Any) -> None:
        assert result.record.status == "ok", result.record.reason
        assert result.record.start_s > 0
        found[result.record.spec.optimizer.name] = result.record.first_call_s

    worker._result = keep  # type: ignore[method-assign]
    runs = expand(suite, with_classes(suite, registry))
    assert [run.optimizer.name for run in runs] == optimizers
    fixed = {"digest": "0" * 24, "versions": {}, "sources": {}, "log": str(log)}
    worker.time([Draft({"spec": run.model_dump(), **fixed}, {}, 0.0) for run in runs])
    return found


if __name__ == "__main__":
    # The worker sends its own standard output to the run's log.
    answer = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryDirectory() as folder:
        found = first_calls(sys.argv[1:], Path(folder) / "log")
    print(json.dumps(found), file=answer, flush=True)

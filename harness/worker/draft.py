"""A record in the making."""

from __future__ import annotations

import os
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..adapter import Unsupported
from ..data import Data, DataMissing
from ..machine import gpu_label, this_machine, usable_cores
from ..machine.energy import Meter
from ..plugins.absent import missing_package
from ..plugins.places import said
from ..record import DataFacts, Memory, RunRecord, RunResult, SplitRows
from ..spec import RunSpec
from . import clock
from .train import Training


class Skip(Exception):
    """The framework cannot do this run; the message says why."""


class Draft:
    """A planned run and its findings so far. Each method below `begin` makes its result.

    share_s: its seconds, if they are its share of a process or a population. lanes, note: as of
    RunRecord."""

    def __init__(self, planned: dict[str, Any], versions: dict[str, str], import_s: float) -> None:
        self.spec = spec = RunSpec.model_validate(planned["spec"])
        self.sources: dict[str, str] = planned["sources"]
        self.log = Path(planned["log"])
        self.start_s: float | None = None
        self.setup_s: float | None = None
        self.state_bytes: int | None = None
        self.share_s: float | None = None
        self.lanes, self.note = 1, ""
        self.policy: dict[str, str] = {}
        self.gauges: dict[str, float] = {}
        self.meter: Meter | None = None
        self.data: Data | None = None
        self._fixed = {
            "digest": planned["digest"],
            "spec": spec,
            "import_s": import_s,
            "versions": planned["versions"],
            "reported": dict(versions.items() - planned["versions"].items()),
            "sources": planned["sources"],
            "machine": this_machine(),
            "cores": usable_cores(),
            "gpu": gpu_label() if spec.device == "gpu" else "",
        }
        self.begin()

    def begin(self) -> None:
        """The run's own time starts now."""
        self._began = time.perf_counter()
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")

    def trained(self, training: Training) -> RunResult:
        status, reason, curve, summary, norms = training
        record = self._record(status=status, reason=reason, summary=summary)
        return RunResult(record, curve=curve, norms=norms)

    def timed(self, cell: clock.CellTimes) -> RunResult:
        first = {"first_call_s": cell.first_call_s, "first_call_steps": cell.first_call_steps}
        return RunResult(self._record(status="ok", **first), blocks=cell.blocks)

    def measured(self, found: Memory) -> RunResult:
        return RunResult(self._record(status="ok", memory=found))

    def unfinished(self, error: Exception) -> RunResult:
        """Skipped for a stated reason, or failed; the whole traceback goes to the log."""
        if isinstance(error, Skip | Unsupported | DataMissing):
            return RunResult(self._record(status="skipped", reason=str(error)))
        if package := missing_package(error):
            return RunResult(self._record(status="skipped", reason=f"not installed: {package}"))
        # Cells that are timed together have a log each.
        redirect_output(self.log)
        traceback.print_exception(error)
        sys.stderr.flush()
        return RunResult(self._record(status="failed", reason=reason_of(error)))

    def _record(self, **outcome: Any) -> RunRecord:
        wall = self.share_s if self.share_s is not None else time.perf_counter() - self._began
        found = {
            "started_at": self._started_at,
            "start_s": self.start_s,
            "setup_s": self.setup_s,
            "state_bytes": self.state_bytes,
            "wall_s": wall,
            "lanes": self.lanes,
            "note": self.note,
            "policy": self.policy,
            "gauges": self.gauges,
            "data": _facts(self.data) if self.data else None,
            "energy": self.meter.energy() if self.meter else None,
        }
        return RunRecord(**{**self._fixed, **found, **outcome})


def _facts(of: Data) -> DataFacts:
    return DataFacts(
        content=of.content,
        rows=SplitRows(**{name: len(split.y) for name, split in of.splits.items()}),
        shape=of.shape or of.train.x.shape[1:],
        classes=of.classes,
        source=of.source,
        licence=of.licence,
    )


def reason_of(error: BaseException) -> str:
    """The text of an error that a user can mend; of others also the kind, and the line of the
    user's file that it came from."""
    return said(error, whole=True)


def redirect_output(log: Path) -> None:
    """Sends file descriptors 1 and 2, which native code writes to as well, to this file."""
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
    os.close(target)

"""Progress of a sweep on standard error: on a terminal a bar with the time left, else plain lines.

A quiet sweep says nothing until its end, and then only why runs failed: each reason once."""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..executor import Elsewhere, Finished, PlannedRun, Single, Started, Waiting
from ..executor import Progress as Advanced
from ..output.terminal import plain, progress_console
from ..record import RunRecord

_BAD = {"failed": "failed", "timeout": "ran out of time"}
# Further reasons are only counted, so that a quiet terminal is not flooded.
MOST_REASONS = 20


class Watch:
    """A context manager whose `__call__` takes every event of a sweep."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._failed: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], str] = {}
        self._awaited: tuple[str, ...] = ()
        self._console = progress_console(quiet)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._live = self._console.is_terminal and not quiet
        self._task = self._bar.add_task("runs", total=None)

    def __enter__(self) -> Self:
        if self._live:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._bar.stop()
        if self._quiet:
            self._say_why()

    def _say_why(self) -> None:
        """Each distinct reason of failed runs, their number, and the first of them."""
        console = progress_console(quiet=False)
        for (status, reason), count in self._failed.most_common(MOST_REASONS):
            runs, first = ("1 run", "") if count == 1 else (f"{count} runs", "first ")
            first += self._first[status, reason]
            line = f"{runs} {_BAD[status]}: {reason or 'no reason given'} ({first})"
            console.print(plain(line, "red"))
        if (more := len(self._failed) - MOST_REASONS) > 0:
            console.print(f"and {more} more reasons; gradrace show names them")

    def __call__(self, event: Single, done: int, total: int) -> None:
        match event:
            case Finished() | Elsewhere():
                self._finished(event.record, f"[{done:>4}/{total}]")
            case Waiting():
                self._waits(event)
        if self._live:
            first = event.runs[0] if isinstance(event, Waiting) else _first_of(event)
            text = f"{first.spec.measure} {first.spec.task.name}"
            self._bar.update(self._task, completed=done, total=total, description=text)

    def _waits(self, event: Waiting) -> None:
        """Says so once for each set of drivers."""
        if event.drivers != self._awaited:
            self._awaited = event.drivers
            runs = "1 run" if len(event.runs) == 1 else f"{len(event.runs)} runs"
            text = f"waiting for {runs} of {', '.join(event.drivers)}; Ctrl-C leaves them there"
            self._console.print(plain(text))

    def _finished(self, record: RunRecord, done: str) -> None:
        failed = record.status in _BAD
        if failed:
            self._failed[record.status, record.reason] += 1
            self._first.setdefault((record.status, record.reason), record.spec.id)
        if not self._live or failed:
            reason = f": {record.reason}" if record.reason else ""
            took = f"{record.status:8} {record.wall_s:6.2f} s"
            self._console.print(
                plain(f"{done} {took}  {record.spec.id}{reason}", "red" if failed else "")
            )


def _first_of(event: Started | Advanced | Finished | Elsewhere) -> PlannedRun:
    return event.job.runs[0] if isinstance(event, Started) else event.run

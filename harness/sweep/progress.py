"""Progress of a sweep on standard error: on a terminal a bar with the time left, else plain lines.

A quiet sweep says nothing until its end, and then only why runs failed: each reason once."""

from __future__ import annotations

import re
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
_SAID = {**_BAD, "skipped": "skipped"}
# 'mine.py, line 3: ValueError: ...': the rest may name a node of a graph, a step or a seed.
_AT_A_LINE = re.compile(r"[^:]+, line \d+: \w+:")
# Further reasons are only counted, so that a quiet terminal is not flooded.
MOST_REASONS = 20


class Watch:
    """A context manager whose `__call__` takes every event of a sweep."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        # By status and kind of reason: how many, and the first's reason and name.
        self._counted: Counter[tuple[str, str]] = Counter()
        self._said: dict[tuple[str, str], tuple[str, str]] = {}
        self._measured = False
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
        """Each distinct reason of failed runs, their number, and the first of them; of skipped runs
        if nothing was measured."""
        console = progress_console(quiet=False)
        shown = [
            (key, count)
            for key, count in self._counted.most_common()
            if key[0] in _BAD or not self._measured
        ]
        for key, count in shown[:MOST_REASONS]:
            runs, first = ("1 run", "") if count == 1 else (f"{count} runs", "first ")
            reason, name = self._said[key]
            reason = reason.partition("\n")[0]
            line = f"{runs} {_SAID[key[0]]}: {reason or 'no reason given'} ({first}{name})"
            console.print(plain(line, "red" if key[0] in _BAD else ""))
        if (more := len(shown) - MOST_REASONS) > 0:
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
        self._measured |= record.status in ("ok", "diverged")
        if record.status in _SAID:
            key = record.status, _kind(record.reason)
            self._said.setdefault(key, (record.reason, record.spec.id))
            self._counted[key] += 1
        if not self._live or failed:
            reason = f": {record.reason}" if record.reason else ""
            took = f"{record.status:8} {record.wall_s:6.2f} s"
            self._console.print(
                plain(f"{done} {took}  {record.spec.id}{reason}", "red" if failed else "")
            )


def _first_of(event: Started | Advanced | Finished | Elsewhere) -> PlannedRun:
    return event.job.runs[0] if isinstance(event, Started) else event.run


def _kind(reason: str) -> str:
    """Equal for errors of one line of a user's file."""
    found = _AT_A_LINE.match(reason)
    return found[0] if found else reason

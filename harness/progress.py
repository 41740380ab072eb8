"""Progress of a sweep on standard error: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .executor import Event, Finished, Started


class Watch:
    """A context manager whose `__call__` takes every event of a sweep."""

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), console=self._console, transient=True,
        )  # fmt: skip
        self._live = self._console.is_terminal and not quiet
        self._task = self._bar.add_task("runs", total=None)

    def __enter__(self) -> Self:
        if self._live:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bar.stop()

    def __call__(self, event: Event, done: int, total: int) -> None:
        if isinstance(event, Finished):
            record = event.result.record
            failed = record.status in ("failed", "timeout")
            if not self._live or failed:
                reason = f": {record.reason}" if record.reason else ""
                line = f"[{done:>4}/{total}] {record.status:8} {record.wall_s:6.2f} s  {record.spec.id}{reason}"
                self._console.print(line, style="red" if failed else None, markup=False)
        if self._live:
            first = event.job.runs[0].spec if isinstance(event, Started) else event.run.spec
            self._bar.update(self._task, completed=done, total=total, description=f"{first.measure} {first.task.name}")

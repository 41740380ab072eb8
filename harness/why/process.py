"""The process of one side, asked for other things than timed blocks in turns."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from ..paired import Side
from ..paired.processes import (
    REQUEST_TIMEOUT_S,
    START_TIMEOUT_S,
    Lost,
    Refused,
    check_source,
    cores_of,
    received,
    start,
)
from ..spec import RunSpec


class NoProfile(Exception):
    """A side cannot do the run (skipped), or broke at it; the message says why."""

    def __init__(self, reason: str, skipped: bool = False) -> None:
        super().__init__(reason)
        self.skipped = skipped


class SideProcess:
    """A context manager: the process ends with it. UserError if it cannot be started."""

    def __init__(self, side: Side, run: RunSpec) -> None:
        self._side, self._run = side, run
        self._child = start(side, run)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.kill()

    def ready(self) -> dict[str, str]:
        """Waits until the framework is loaded, and pins the process. -> versions"""
        about = self._receive(START_TIMEOUT_S)
        check_source(self._side, about["gradrace"])
        self.ask({"do": "pin", "cores": cores_of([self._run])})
        return dict(about["versions"])

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer. NoProfile if there is none."""
        self._child.send(request)
        return self._receive(REQUEST_TIMEOUT_S)

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        try:
            return received(self._child, self._side.label, timeout_s)
        except (Lost, Refused) as error:
            raise NoProfile(*error.failure) from None

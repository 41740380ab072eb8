"""What a check says, before it is a Finding."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from ...stepping.scenario import Scenario
from ..finding import Outcome


@dataclass(frozen=True)
class Said:
    """A verdict. text: one sentence for users. size: the figure that decided. shown: the scenario
    that reproduces a failure; hint: what its reader must know. check: a name other than the
    check's own."""

    outcome: Outcome
    text: str
    size: float | None = None
    shown: Scenario | None = None
    hint: str = ""
    check: str = ""


@dataclass
class Deadline:
    """time.monotonic() at which the time is up; each check has its own."""

    end: float = math.inf

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.end


class Raised(Exception):
    """The library raised `error` in this scenario."""

    def __init__(self, error: Exception, scenario: Scenario) -> None:
        super().__init__(str(error))
        self.error, self.scenario = error, scenario


def passed(text: str, size: float | None = None) -> Said:
    """As it should be; also for a fact that is no failure."""
    return Said("passed", text, size)


def failed(text: str, shown: Scenario, size: float | None = None, hint: str = "") -> Said:
    """What can never be right, or what the known rule does not do."""
    return Said("failed", text, size, shown, hint)


def not_applicable(reason: str) -> Said:
    """The check has no meaning here."""
    return Said("not applicable", reason)


def told(error: Exception) -> str:
    """An error in a line: "ValueError: no such thing"."""
    first = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {first[:200]}"

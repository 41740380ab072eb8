"""Some checks of one implementation, in a process that is replaced if it dies."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from ..errors import refused
from ..process import Child, ChildDied
from .certificate import Subject
from .finding import Finding
from .request import Begin, CheckName, Found, Message, Ready, Refused, Request

MODULE = ("-m", "gradrace.certify.worker")
# How often a worker's memory is looked at, and how much it may take.
_POLL_S = 0.2
MEMORY_BYTES = 6 << 30
# A worker ends by itself so long before it is ended.
_RESERVE_S = 1.5
# A process that takes a smaller share of a processor stands still.
_AT_WORK = 0.01
NO_TIME = "no time left"
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


@dataclass(frozen=True)
class Means:
    """How a worker is started and bounded.

    python: its interpreter. arguments: after the interpreter; tests put another module there.
    start_s: the most seconds of importing and making the class. check_s: of one check."""

    environment: Mapping[str, str]
    start_s: float
    check_s: float
    python: str = sys.executable
    arguments: tuple[str, ...] = MODULE
    memory_bytes: int = MEMORY_BYTES


@dataclass
class LaneResult:
    """What the checks found, in order. refused: why there are none. left: checks that did not
    begin."""

    subject: Subject | None = None
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    refused: Refused | None = None
    left: list[CheckName] = field(default_factory=list)


class _Ended(Exception):
    """The worker died or had to be ended; the text says how.

    silent: it gave no answer in time. slow: and it was at work."""

    def __init__(self, how: str, silent: bool = False, slow: bool = False) -> None:
        super().__init__(how)
        self.silent, self.slow = silent, slow


class Lane:
    """Does a request's checks until all are done or the time is over."""

    def __init__(
        self, request: Request, means: Means, deadline: float, tell: Callable[[str], None]
    ) -> None:
        """deadline: by time.monotonic. tell: hears the name of each check that begins."""
        self._request, self._means = request, means
        self._deadline, self._tell = deadline, tell
        self._result = LaneResult()
        self._done: list[CheckName] = []
        self._child: Child | None = None
        self._stopped = False

    def run(self) -> LaneResult:
        """All that was found."""
        while not self._stopped and self._one_process():
            pass
        self._result.findings += [
            _not_done(each, f"{NO_TIME}: it did not begin") for each in self._result.left
        ]
        return self._result

    def stop(self) -> None:
        """Ends the process, from any thread; `run` then returns."""
        self._stopped = True
        if self._child:
            self._child.abort()

    def _one_process(self) -> bool:
        """Whether another process shall go on where this one ended."""
        at: CheckName | None = None
        ready = False
        try:
            for message in self._messages():
                match message:
                    case Refused():
                        self._refuse(message)
                        return False
                    case Ready():
                        ready = True
                        self._take(message)
                    case Begin():
                        at = self._begin(message.about)
                    case Found():
                        self._result.findings.append(message.finding)
        except _Ended as end:
            return self._ended(end, at, ready)
        self._result.left.clear()
        return False

    def _ended(self, end: _Ended, at: CheckName | None, ready: bool) -> bool:
        """Notes how the process ended; whether another one is worth its time."""
        if self._stopped:
            return False
        if at is None:
            when = "before the first check" if ready else "while it was imported and made"
            self._refuse(Refused(reason=f"{when}, {end}"))
            return False
        over = time.monotonic() >= self._deadline
        if end.slow or (over and end.silent):
            # Whether it is slow or works for ever depends on the machine, and is no verdict.
            self._result.findings.append(_not_done(at, f"{NO_TIME}: {end}"))
        else:
            text = f"the optimizer's process did not survive this check: {end}"
            self._result.findings.append(_failed(at, text))
        return bool(self._result.left) and not over

    def _refuse(self, why: Refused) -> None:
        """A second process that cannot even begin costs the checks that are left, not the rest."""
        if not self._result.subject:
            self._result.refused = why
        self._result.findings += [_not_done(each, why.reason) for each in self._result.left]
        self._result.left.clear()

    def _take(self, ready: Ready) -> None:
        result = self._result
        result.subject, result.versions = ready.subject, ready.versions
        result.notes = result.notes or ready.notes
        result.left = [each for each in ready.checks if each not in self._done]

    def _begin(self, about: CheckName) -> CheckName:
        self._tell(about.check)
        self._done.append(about)
        with suppress(ValueError):
            self._result.left.remove(about)
        return about

    def _messages(self) -> Iterator[Message]:
        """The worker's messages up to its end. _Ended if it dies, falls silent or talks nonsense"""
        child = self._child = self._start()
        try:
            left = self._deadline - time.monotonic() - _RESERVE_S
            request = self._request.model_copy(
                update={"skip": tuple(self._done), "budget_s": max(left, 0.0)}
            )
            child.send(request.model_dump(mode="json"))
            until = self._until(self._means.start_s)
            while True:
                message = self._next(child, until)
                if isinstance(message, Begin):
                    until = self._until(self._limit(message.about))
                if message.event == "end":
                    return
                yield message
        finally:
            child.kill()

    def _start(self) -> Child:
        means = self._means
        try:
            return Child([means.python, *means.arguments], means.environment)
        except OSError as error:
            raise _Ended(f"{means.python} cannot be started: {refused(error)}") from None

    def _limit(self, about: CheckName) -> float:
        """The most seconds of a check; training itself ends in time."""
        return math.inf if about.part == "training" else self._means.check_s

    def _until(self, most_s: float) -> float:
        return min(self._deadline, time.monotonic() + most_s)

    def _next(self, child: Child, until: float) -> Message:
        began, worked = time.monotonic(), _cpu_s(child.pid)
        try:
            while (left := until - time.monotonic()) > 0:
                message = child.receive(min(left, _POLL_S))
                if message is not None:
                    return _MESSAGE.validate_python(message)
                if (taken := _memory(child.pid)) > self._means.memory_bytes:
                    raise _Ended(f"it took {taken / 2**30:.1f} GiB of memory, and was ended")
        except ChildDied as death:
            raise _Ended(f"it died ({death})") from None
        except ValidationError:
            raise _Ended("it wrote to the pipe that only gradrace's messages go through") from None
        waited = time.monotonic() - began
        slow = _cpu_s(child.pid) - worked > _AT_WORK * waited
        how = "it gave no answer" if slow else "it stood still, without an answer,"
        raise _Ended(f"{how} within {waited:.0f} s, and was ended", True, slow)


def _cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has taken; 0 if it is gone."""
    import psutil

    with suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


def _memory(pid: int) -> int:
    """Bytes of memory that a process and its children hold; 0 if it is gone."""
    import psutil

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(each.memory_info().rss for each in family)
    return 0


def _failed(about: CheckName, text: str) -> Finding:
    return Finding(part=about.part, check=about.check, outcome="failed", text=text)


def _not_done(about: CheckName, text: str) -> Finding:
    return Finding(part=about.part, check=about.check, outcome="not applicable", text=text)


def in_order(findings: Sequence[Finding], parts: Sequence[str]) -> tuple[Finding, ...]:
    """Part by part, otherwise as they were found."""
    return tuple(sorted(findings, key=lambda each: parts.index(each.part)))

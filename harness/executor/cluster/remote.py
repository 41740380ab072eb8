"""The driver's end of one actor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...jsonfile import writing
from .. import Event, Finished, FinishedTogether, Job, Started, one_by_one
from ..workers import Key, Paced
from .messages import events_in, job_out
from .nodes import Node, on
from .supervisor import Setup, Supervisor


class Nonsense(Exception):
    """What an actor said is no message of ours; the text shows it."""


class Refused(Exception):
    """The actor met an error that the user can mend."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


class Remote(Paced):
    """An actor on a node, and its job. cpus, gpus: what it holds there. ready: it lives; until then
    it may wait for what others hold. call: Ray's reference to what it was asked last, if anything.
    """

    def __init__(self, key: Key, node: Node, cpus: int, setup: Setup, bag: Any) -> None:
        """bag: Ray's reference to the users' files."""
        import ray

        super().__init__()
        self.key, self.node, self.cpus = key, node, cpus
        self.gpus = int(key.device == "gpu")
        self.ready = False
        self.job: Job | None = None
        self._waiting: list[int] = []
        actor: Any = ray.remote(Supervisor).options(
            num_cpus=cpus,
            num_gpus=self.gpus,
            max_concurrency=4,
            scheduling_strategy=on(node.id),
        )
        self.actor = actor.remote(setup, bag)
        self.call: Any = self.actor.hello.remote()

    def begin(self, job: Job) -> None:
        """Hands over a job, whose events come with `hear`."""
        self.job, self._waiting = job, list(range(len(job.runs)))
        self.actor.begin.remote(job_out(job))
        self.call = self.actor.news.remote()

    def waiting(self) -> Job | None:
        """The part of its job that has not ended."""
        return self.job.of([self.job.runs[i] for i in self._waiting]) if self.job else None

    def hear(self, answer: Any) -> Iterator[Event]:
        """The events in the answer to `call`; asks for the next, or has no job any more.

        Logs are written. Nonsense, Refused: as they say; the actor is of no use then."""
        self.call = None
        if not self.ready:
            self.ready = True
            return
        try:
            for message in json.loads(answer):
                yield from self._heard(message)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            why = str(error).partition("\n")[0][:200]
            raise Nonsense(f"its message is none: {type(error).__name__}: {why}") from None
        if self.job:
            self.call = self.actor.news.remote()

    def _heard(self, message: Any) -> Iterator[Event]:
        match message["event"]:
            case "refused":
                raise Refused(str(message["reason"]), int(message["code"]))
            case "broken":
                raise Nonsense(str(message["reason"])[:500])
            case "done":
                if self._waiting:
                    raise ValueError("it is done, but runs have not ended")
                self.job = None
                return
        if self.job is None:
            raise ValueError("it has no job")
        for event, logs in events_in(message, self.job, self._waiting):
            self._note(event, logs, message["indices"])
            yield event

    def _note(self, event: Event, logs: list[bytes], indices: list[int]) -> None:
        if isinstance(event, Started):
            self.started()
        if isinstance(event, Finished | FinishedTogether):
            self.count(len(indices))
            self._waiting = [index for index in self._waiting if index not in indices]
            ends = [each for each in one_by_one(event) if isinstance(each, Finished)]
            for end, text in zip(ends, logs, strict=True):
                _append(end.run.log, text)


def _append(log: Path, text: bytes) -> None:
    if text:
        with writing(log), log.open("ab") as opened:
            opened.write(text)

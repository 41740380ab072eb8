"""The actor: on its node it has a local executor with one worker, as a driver there would."""

from __future__ import annotations

import json
import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...importpath import plugin_of
from ...process import guard
from .. import Job
from ..local import LocalExecutor
from .messages import NewText, event_out, job_in
from .travel import Luggage, moved, moved_plugin, unpack

# A call for news ends after so long without any: the driver then knows that the actor lives.
_NEWS_S = 5.0
_STOP_S = 20.0


@dataclass(frozen=True)
class Setup:
    """As of LocalExecutor. sharers: how many such actors the node may have at once. variables: of
    the environment. carried: whether the files of users came with the actor."""

    plugins: tuple[str, ...] = ()
    interpreters: dict[str, str] = field(default_factory=dict)
    timeout_s: float = 600.0
    sharers: int = 1
    variables: dict[str, str] = field(default_factory=dict)
    carried: bool = False


class Supervisor:
    """Does jobs one after another in a thread; other calls come in beside it.

    If its process dies, its guard kills the worker. Ray ends the process with its driver."""

    def __init__(self, setup: Setup, bag: Luggage) -> None:
        os.environ.update(setup.variables)
        self._folder = Path(tempfile.mkdtemp(prefix="gradrace-"))
        plugins = [plugin_of(text) for text in setup.plugins]
        if setup.carried:
            files = self._folder / "files"
            unpack(bag, files)
            plugins = [moved_plugin(text, files) for text in setup.plugins]
            search = [str(moved(entry, files)) for entry in bag.search]
            os.environ["PYTHONPATH"] = os.pathsep.join(
                [*search, *filter(None, [os.environ.get("PYTHONPATH")])]
            )
        with suppress(OSError):
            os.chdir(moved(bag.here, self._folder / "files") if setup.carried else bag.here or ".")
        self._executor = LocalExecutor(
            tuple(plugins),
            setup.interpreters,
            setup.timeout_s,
            workers=1,
            claim=self._unless_stopped,
            sharers=setup.sharers,
        )
        self._jobs: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def hello(self) -> int:
        """Its process id, once it is there."""
        return os.getpid()

    def begin(self, job: bytes) -> None:
        """Takes a job; `news` tells of it."""
        self._jobs.put(job)

    def news(self) -> bytes:
        """JSON messages since the last call; waits some seconds for the first."""
        messages: list[dict[str, Any]] = []
        with suppress(queue.Empty):
            messages.append(self._said.get(timeout=_NEWS_S))
            while True:
                messages.append(self._said.get_nowait())
        return json.dumps(messages).encode()

    def stop(self) -> None:
        """Kills the worker, and waits for its end."""
        self._stopped.set()
        self._jobs.put(None)
        guard.kill_marked(guard.mark().rpartition("-")[0], whole=False)
        self._thread.join(_STOP_S)

    def _unless_stopped(self, job: Job) -> Job:
        return job.of(()) if self._stopped.is_set() else job

    def _work(self) -> None:
        try:
            while (data := self._jobs.get()) is not None and not self._stopped.is_set():
                for message in self._done(data):
                    self._said.put(message)
        finally:
            self._executor.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _done(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Does a job. What goes wrong here is told, since nobody reads this process's output."""
        logs = Path(tempfile.mkdtemp(prefix="logs-", dir=self._folder))
        try:
            job, new = job_in(data, logs), NewText()
            self._executor.submit(job)
            for event in self._executor.events():
                if self._stopped.is_set():
                    return
                yield event_out(event, job, lambda run: new.of(run.log))
            yield {"event": "done"}
        except UserError as error:
            yield {"event": "refused", "reason": str(error), "code": int(error.exit_code)}
        except Exception as error:
            yield {"event": "broken", "reason": f"{type(error).__name__}: {error}"}
        finally:
            shutil.rmtree(logs, ignore_errors=True)

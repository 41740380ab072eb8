"""Child processes that speak JSON lines, and short questions to another Python (`ask`).

A child's output is untrusted: a user's code runs in it, and can write to the pipe, close it, or
start processes. Garbage ends the child. `kill` also kills every process that it started; guard does
so if the driver itself dies; alive tells if a process that left a note still lives."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import UserError, refused
from . import guard

# Frameworks take seconds to tidy up after the pipe is closed; longer is a hang.
_EXIT_TIMEOUT_S = 4.0
# Our messages have a few hundred kilobytes at most: a child that reads no more is stuck.
_SEND_TIMEOUT_S = 60.0
# One message of a child, in bytes. The curve of a million steps takes a twentieth of it.
_LONGEST_MESSAGE = 1 << 29
# How many bytes of garbage a reason shows.
_SHOWN = 60
_CLOSED = "it closed its pipe without ending"


def check_system() -> None:
    """UserError on Windows: there processes inherit no pipes by number and form no groups."""
    if sys.platform == "win32":
        raise UserError(
            "Windows: no worker can be started there; run gradrace in WSL"
            " (https://learn.microsoft.com/windows/wsl). `list`, `show`, `report`, `export` and"
            " `compare` of stored results work"
        )


class ChildDied(Exception):
    """The child ended and no message of it is left; the text says how it ended."""


class Child:
    """The driver's end of one process that speaks JSON lines over two private pipes.

    Read it with `read`, if a selector says that `descriptor` is readable, or with `receive`. End it
    with `kill`, which frees the pipes. ended: the pipe is at its end."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path | None = None
    ) -> None:
        """Starts `command IN OUT`, the descriptors that it reads and writes.

        OSError if it cannot be started, UserError on Windows."""
        check_system()
        self.ended = False
        self._messages: deque[dict[str, Any]] = deque()
        self._buffer = bytearray()
        self._garbage = ""
        self._lived_on = False
        self._killed = False
        self._printed = ""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by kill()
        self._mark = guard.mark()
        child_in, self._to_child = os.pipe()
        os.set_blocking(self._to_child, False)
        self.descriptor, child_out = os.pipe()
        env = {**env, guard.VARIABLE: self._mark}
        try:
            # In its own session: Ctrl-C reaches the driver alone, and kill() finds its children.
            self._process = subprocess.Popen(
                [*command, str(child_in), str(child_out)],
                env=env,
                cwd=cwd,
                pass_fds=(child_in, child_out),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
        except BaseException:
            self._release()
            raise
        finally:
            os.close(child_in)
            os.close(child_out)

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its session."""
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Waits until the pipe takes the message. Kills a child that does not read for a minute.

        A dead child takes no message; `read` comes to its end."""
        data = memoryview(json.dumps(message).encode() + b"\n")
        with suppress(BrokenPipeError):
            while data and not self._killed:
                try:
                    data = data[os.write(self._to_child, data) :]
                except BlockingIOError:
                    if not self._writable(_SEND_TIMEOUT_S):
                        self.abort()
                        return

    def read(self) -> list[dict[str, Any]]:
        """Whole messages; waits if there are none yet. Sets `ended` at the end of the pipe."""
        if not self._messages:
            self._fill()
        messages = list(self._messages)
        self._messages.clear()
        return messages

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message; None if none comes in time; ChildDied after the last one."""
        deadline = time.monotonic() + timeout_s
        while not self._messages:
            if self.ended:
                raise ChildDied(self.how_it_ended())
            if not self._readable(max(0.0, deadline - time.monotonic())):
                return None
            self._fill()
        return self._messages.popleft()

    def how_it_ended(self, printed: bool = True) -> str:
        """Signal or exit code, and if `printed`, its last line; or the garbage that it sent."""
        if self._garbage:
            return self._garbage
        status = self.exit_status()
        if not printed:
            return status
        lines = self.output().strip().splitlines()
        return f"{status}; {lines[-1]}" if lines else status

    @property
    def signalled(self) -> bool:
        """Whether a signal ended it that was not ours. Waits as `exit_status` does."""
        return not self._garbage and self.exit_status() != _CLOSED and self._process.wait() < 0

    def exit_status(self) -> str:
        """'SIGSEGV' or 'exit code 3'. Waits for the end; kills a child without a pipe."""
        if self._lived_on:
            return _CLOSED
        try:
            code = self._process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._lived_on = True
            self.abort()
            self._process.wait()
            return _CLOSED
        return _exit_text(code)

    def output(self) -> str:
        """Its standard output and error so far, together."""
        if self._killed:
            return self._printed
        # pread leaves the offset alone, at which the child goes on writing.
        descriptor = self._log.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def abort(self) -> None:
        """Kills the process and all it started, from any thread; a reader finds the pipe's end."""
        if not self._killed:
            # Before the parents are gone: processes that left the session are found by their mark.
            guard.kill_marked(self._mark)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """`abort`, and closes the pipes; its output stays readable. Safe to call twice."""
        if self._killed:
            return
        self.abort()
        self._process.wait()
        self._printed, self._killed = self.output(), True
        self._release()

    def _readable(self, timeout_s: float) -> bool:
        return _ready(self.descriptor, selectors.EVENT_READ, timeout_s)

    def _writable(self, timeout_s: float) -> bool:
        return _ready(self._to_child, selectors.EVENT_WRITE, timeout_s)

    def _fill(self) -> None:
        """One read from the pipe. A line without an end is dropped. Garbage ends the child."""
        data = os.read(self.descriptor, 1 << 20)
        self.ended = not data
        self._buffer += data
        if b"\n" in data:
            *lines, self._buffer = self._buffer.split(b"\n")
            for line in lines:
                self._take(bytes(line))
        if len(self._buffer) > _LONGEST_MESSAGE:
            self._give_up(bytes(self._buffer[:_SHOWN]))

    def _take(self, line: bytes) -> None:
        """A line as a message, unless an earlier one was garbage."""
        if self._garbage:
            return
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if isinstance(message, dict) and isinstance(message.get("event", ""), str):
            self._messages.append(message)
        else:
            self._give_up(line[:_SHOWN])

    def _give_up(self, data: bytes) -> None:
        self._garbage = f"it wrote {data!r} to the pipe that only gradrace's messages go through"
        self.ended = True
        self._buffer.clear()
        self.abort()

    def _release(self) -> None:
        os.close(self._to_child)
        os.close(self.descriptor)
        self._log.close()


class NoAnswer(Exception):
    """Another Python could not be asked; the text says why, for people."""


def ask(
    command: Sequence[str], env: Mapping[str, str], timeout_s: float | None, given: str = ""
) -> dict[str, Any]:
    """The JSON object that a Python prints as its last line. `given` is its standard input.

    NoAnswer if it cannot be started, takes longer, fails, or prints something else."""
    mark = guard.mark()
    try:
        asked = subprocess.run(
            command,
            env={**env, guard.VARIABLE: mark},
            input=given,
            capture_output=True,
            timeout=timeout_s,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = refused(error) if isinstance(error, OSError) else str(error)
        raise NoAnswer(f"{command[0]} cannot be started: {why}") from None
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"{command[0]} gave no answer within {timeout_s:g} s") from None
    finally:
        # Processes that it started may live on and hold its output open.
        guard.kill_marked(mark)
    if asked.returncode:
        last = (asked.stderr.strip().splitlines() or [_exit_text(asked.returncode)])[-1]
        raise NoAnswer(last.removeprefix("gradrace.errors.UserError: ")[:500])
    try:
        answer = json.loads((asked.stdout.strip().splitlines() or [""])[-1])
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise NoAnswer(
            f"{command[0]} is no Python that can be asked: it printed {asked.stdout[-60:]!r}"
        )
    return answer


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return next((known.name for known in signal.Signals if known == -code), f"signal {-code}")


def _ready(descriptor: int, event: int, timeout_s: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, event)
        return bool(selector.select(timeout_s))

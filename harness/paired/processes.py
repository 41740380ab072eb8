"""Both sides' processes of one launch: started, pinned, asked in turn, and killed at the end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from ..errors import ExitCode, UserError
from ..executor.environment import environment
from ..machine import usable_cores
from ..process import Child, ChildDied
from ..spec import RunSpec
from . import Pair, Side

# Importing a framework from a cold disk has taken 16 s, compiling a step 21 s; ten times is a hang.
START_TIMEOUT_S, REQUEST_TIMEOUT_S = 160.0, 300.0

_WORKER = Path(__file__).parent / "worker.py"


class Failure(NamedTuple):
    """Why a pair gives no figures; `skipped` if a side cannot do it, rather than broke."""

    reason: str
    skipped: bool = False


class Refused(Exception):
    """A side answered that it cannot."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class Lost(Exception):
    """A process died or fell silent, at this pair or before it had any."""

    def __init__(self, failure: Failure, cell: int | None) -> None:
        super().__init__(failure.reason)
        self.failure, self.cell = failure, cell


class Processes:
    """Both sides' processes of one launch, as a context manager: nothing outlives it."""

    def __init__(
        self, pair: Pair, sides: tuple[Side, Side], first: int, caches: Path | None = None
    ) -> None:
        """caches: an empty folder; each side's compilers then begin with empty caches in it."""
        self._labels = [side.label for side in sides]
        self._children: dict[int, Child] = {}
        self._order = in_turn(first)
        self._runs, self._sides = (pair.a, pair.b), sides
        self._caches = caches
        self.about: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        try:
            for number in self._order:
                env = _empty_caches(self._caches / str(number)) if self._caches else {}
                self._children[number] = start(self._sides[number], self._runs[number], env)
            # Imports run side by side on all cores; afterwards both are pinned to the same ones.
            differ = self._runs[0] != self._runs[1]
            self.about = [self._receive(side, None, START_TIMEOUT_S, differ) for side in (0, 1)]
            for side, about in zip(self._sides, self.about, strict=True):
                check_source(side, about["gradrace"])
            self.ask_both({"do": "pin", "cores": cores_of(self._runs)})
        except Refused as refused:
            self._kill()
            raise Lost(refused.failure, None) from None
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kill()

    def ask(self, side: int, request: Mapping[str, Any], differ: bool = True) -> dict[str, Any]:
        """The answer of one side. Raises Refused or Lost if there is none.

        differ: the two sides run different things. If they do not, a run that only a can do was
        lost on the way: a failure, not skipped.
        """
        self._children[side].send(request)
        return self._receive(side, request.get("cell"), REQUEST_TIMEOUT_S, differ)

    def ask_both(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The answers of a and b, one after the other, because they share a core."""
        answers = {side: self.ask(side, request) for side in self._order}
        return [answers[side] for side in (0, 1)]

    def _receive(
        self, side: int, cell: int | None, timeout_s: float, differ: bool
    ) -> dict[str, Any]:
        try:
            return received(self._children[side], self._labels[side], timeout_s)
        except Lost as lost:
            raise Lost(lost.failure, cell) from None
        except Refused as refused:
            skipped = refused.failure.skipped and (differ or side == 0)
            raise Refused(refused.failure._replace(skipped=skipped)) from None

    def _kill(self) -> None:
        for child in self._children.values():
            child.kill()


def side_path(side: Side, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the side's own source first on the interpreter's path."""
    if not side.root:
        return dict(environ)
    own = [str(folder) for folder in (side.root, side.root / "src") if folder.is_dir()]
    path = [*own, *filter(None, [environ.get("PYTHONPATH")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(path)}


def _empty_caches(folder: Path) -> dict[str, str]:
    """Variables that send compilers' files into this folder: the programs of Inductor, of Triton,
    and of a GPU's driver. JAX's cache is off, see executor.environment."""
    names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH")
    return {name: str(folder / name.lower()) for name in names}


def start(side: Side, run: RunSpec, more: Mapping[str, str] | None = None) -> Child:
    """The side's process for such runs; it has been sent its hello. more: further variables of its
    environment. UserError (exit code 3) if the interpreter cannot be started."""
    # Threads that spin while they wait take the shared core from the other side.
    env = side_path(side, environment(run) | {"OMP_WAIT_POLICY": "PASSIVE", **(more or {})})
    try:
        # -P: nobody must import the modules beside worker.py by accident.
        child = Child([side.python, "-P", str(_WORKER)], env)
    except OSError as error:
        reason = f"{side.label}: {side.python} cannot be started: {error.strerror}"
        raise UserError(reason, ExitCode.NOTHING_MEASURED) from None
    plugins = [str(file.resolve()) for file in side.plugins]
    child.send({"framework": run.framework, "plugins": plugins, "slowdown": side.slowdown})
    return child


def received(child: Child, label: str, timeout_s: float) -> dict[str, Any]:
    """The next answer of a side's process. Lost if it died or fell silent, Refused if it cannot."""
    try:
        answer = child.receive(timeout_s)
    except ChildDied as died:
        raise Lost(Failure(f"{label}: the process died: {died}"), None) from None
    if answer is None:
        raise Lost(Failure(f"{label}: no answer in {timeout_s:g} s"), None)
    if answer.get("event") != "done":
        reason = answer.get("reason", "it answers nothing that was asked")
        raise Refused(Failure(f"{label}: {reason}", answer.get("event") == "skipped"))
    return answer


def check_source(side: Side, imported: str) -> None:
    """UserError for a side that imports another gradrace: it would time the wrong thing."""
    own = side.root / "gradrace" if side.root else None
    expected = own.resolve() if own and own.is_dir() else _WORKER.parents[1].resolve()
    if Path(imported).resolve() != expected:
        raise UserError(
            f"{side.label}: its gradrace should come from {expected}, and comes from {imported}",
            ExitCode.NOTHING_MEASURED,
        )


def cores_of(runs: Iterable[RunSpec]) -> list[int]:
    """The last cores: the system prefers the first."""
    return list(usable_cores()[-max(run.threads for run in runs) :])


def in_turn(first: int) -> tuple[int, int]:
    """Both sides, this one first."""
    return (first, 1 - first)

"""Asks every framework in a process of its own, two at a time, and judges the answers."""

from __future__ import annotations

import math
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ExitCode, UserError, nearest
from ..executor.environment import environment
from ..machine import this_machine
from ..process import Child, ChildDied
from ..registry import Framework, Registry
from ..sources import hashes, is_own
from ..spec import Device, OptimizerSpec, RunSpec, ScheduleSpec
from ..sweep.installed import versions_of
from ..sweep.reached import reach_of
from ..version import __version__
from . import cases as tables
from .cases import Case, Selection
from .compute import GPU, Setting, any_task, modes, settings
from .judge import Answer, Answered, judge
from .verdict import REFEREE, START, Side, VerifyFile

# Importing TensorFlow on a busy machine takes half a minute; one case takes at most seconds.
START_TIMEOUT_S, CASE_TIMEOUT_S = 180.0, 300.0
_MOST_DEATHS = 3
_SIDE_BY_SIDE = 2
# From more answers on, a second process is worth the import of a framework.
_ONE_PROCESS = 100

# (case id, mode) -> the framework's answer
Answers = dict[tuple[str, str], Answer]
# A framework, and where it computes: a process of its own.
Asked = tuple[str, Setting]
Tell = Callable[[str, int, int], None]
# START or a level -> how often, and seconds in all.
Took = dict[str, tuple[int, float]]


@dataclass(frozen=True)
class VerifyOptions:
    """The cases and the means of a verification. worker: the command of a worker, for tests.

    interpreters: framework -> Python, if it is not this one. deadline: when (by time.monotonic)
    nothing more is computed; cases without an answer then have no verdict."""

    selection: Selection = field(default_factory=Selection)
    worker: tuple[str, ...] = (sys.executable, "-m", "gradrace.verify.worker")
    case_timeout_s: float = CASE_TIMEOUT_S
    interpreters: Mapping[str, str] = field(default_factory=dict)
    deadline: float = math.inf

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def command(self, framework: str) -> tuple[str, ...]:
        """The command of a framework's worker."""
        return (self.interpreters.get(framework, self.worker[0]), *self.worker[1:])


@dataclass(frozen=True)
class FrameworkAnswers:
    """The answers of one framework, with its versions, and the seconds that they took: of START or
    a level, how often and how long in all."""

    answers: Answers
    versions: dict[str, str]
    took: Took = field(default_factory=dict)

    @classmethod
    def refused(cls, keys: Iterable[tuple[str, str]], reason: str) -> FrameworkAnswers:
        """Every case unavailable."""
        return cls(dict.fromkeys(keys, Answer(unavailable=reason)), {})

    @classmethod
    def joined(cls, parts: Sequence[FrameworkAnswers]) -> FrameworkAnswers:
        """The answers of several processes of one framework."""
        answers = {key: answer for part in parts for key, answer in part.answers.items()}
        versions = next((part.versions for part in parts if part.versions), {})
        took: Took = {}
        for part in parts:
            for about, (count, seconds) in part.took.items():
                known = took.get(about, (0, 0.0))
                took[about] = (known[0] + count, known[1] + seconds)
        return cls(answers, versions, took)


def verify(
    registry: Registry, options: VerifyOptions, tell: Tell = lambda what, done, total: None
) -> VerifyFile:
    """Computes the selected cases everywhere and judges them.

    `tell` is called with a framework's name and its cases done and to be done. UserError if
    nothing is selected."""
    began, start, device = datetime.now(UTC), time.monotonic(), options.selection.device
    frameworks = _frameworks(registry, options.selection)
    cases = tables.table(registry, options.selection)
    if not cases:
        brought = " that the loaded files bring" * any(registry.loaded.values())
        message = f"nothing to verify{brought} is called {options.selection.keyword!r}"
        raise UserError(message, ExitCode.NOTHING_MATCHED)
    for case in cases:
        if isinstance(case, tables.RatesCase):
            # A user's schedule may give none: said before anything is computed.
            case.rates()
    answered = _ask_all(registry, frameworks, cases, options, tell)
    late = options.left_s <= 0
    found = [(case, _sides(case, frameworks, answered, device, late)) for case in cases]
    verdicts = tuple(v for case, of in found for v in judge(case, of, registry.optimizers))
    return VerifyFile(
        gradrace=__version__,
        started_at=began.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - start, 1),
        options=_kept(options.selection) | {"loaded": [*map(str, registry.plugins)]},
        # One that had not even started at the deadline has no versions: nothing follows from that.
        versions={n: f.versions for (n, _), f in answered.items() if f.versions or not late},
        sources=sources(registry),
        machine=this_machine(),
        left_out=_left_out(registry, options.selection),
        costs=_costs(answered),
        verdicts=verdicts,
    )


def _costs(answered: Mapping[Asked, FrameworkAnswers]) -> dict[str, dict[str, float]]:
    """Framework -> START or level -> mean seconds."""
    found = {name: each.took for (name, _), each in answered.items() if each.took}
    return {
        name: {about: round(seconds / count, 3) for about, (count, seconds) in took.items()}
        for name, took in found.items()
    }


def _kept(selection: Selection) -> dict[str, Any]:
    kept = {**asdict(selection), "frameworks": list(selection.frameworks)}
    cells = kept.pop("cells")
    return {**kept, "cells": len(cells) > 0}


def sources(registry: Registry) -> dict[str, str]:
    """Hashes of gradrace's and the user's files that compute the verified numbers."""
    files = [framework.file for framework in registry.frameworks.values()]
    for of in (registry.optimizer_files, registry.schedule_files, registry.task_files):
        files += of.values()
    files.append(Path(__file__).with_name("worker.py"))
    found = hashes(file for file in files if is_own(file))
    if foreign := [file.resolve() for file in dict.fromkeys(files) if not is_own(file)]:
        places = {name: file.resolve() for name, file in registry.optimizer_files.items()}
        theirs = [o for name, o in registry.optimizers.items() if places[name] in foreign]
        for framework in registry.frameworks:
            found |= reach_of(registry, foreign, theirs, framework).sources
    return dict(sorted(found.items()))


def _frameworks(registry: Registry, selection: Selection) -> tuple[Framework, ...]:
    """The selected ones, and always the NumPy referee."""
    for name in selection.frameworks:
        if name not in registry.frameworks:
            hint = nearest(name, registry.frameworks)
            raise UserError(f"--framework: no framework {name!r}{hint}")
    wanted = {*(selection.frameworks or registry.frameworks), REFEREE}
    return tuple(framework for name, framework in registry.frameworks.items() if name in wanted)


def _left_out(registry: Registry, selection: Selection) -> tuple[str, ...]:
    if selection.cells:
        return (tables.CELLS_LEFT_OUT,)
    found = [tables.QUICK_LEFT_OUT] if selection.quick else [tables.FULL_LEFT_OUT]
    if not (selection.quick or selection.keyword):
        found.append(tables.POPULATIONS_LEFT_OUT)
    if selection.keyword:
        found.append(f"-k {selection.keyword!r} chose a part")
    if any(registry.loaded.values()):
        names = ", ".join(name for names in registry.loaded.values() for name in names)
        found.append(f"only --load's own was verified ({names})")
    if selection.device == "gpu":
        found.append("--device gpu looks only at pairs with a side on the GPU")
    if selection.frameworks:
        found.append(f"only {', '.join(selection.frameworks)} and the NumPy referee were asked")
    return tuple(found)


def _sides(
    case: Case,
    frameworks: Sequence[Framework],
    answered: Mapping[Asked, FrameworkAnswers],
    device: Device,
    late: bool,
) -> list[Answered]:
    """What every framework answers in every mode, wherever it computes; late: the deadline has
    passed, so that some were not asked."""
    missing = Answer(failed="the process died before it came to this case, too often to try again")
    found: list[Answered] = []
    for framework in frameworks:
        for setting in settings(case, framework, device):
            for mode in modes(case, framework):
                side = Side(framework=framework.name, mode=mode, **setting._asdict())
                answer = answered[framework.name, setting].answers.get((case.id, mode))
                if answer or not late:
                    found.append((side, answer or missing))
    return found


def _ask_all(
    registry: Registry,
    frameworks: Sequence[Framework],
    cases: Sequence[Case],
    options: VerifyOptions,
    tell: Tell,
) -> dict[Asked, FrameworkAnswers]:
    """All frameworks, wherever they compute; a device that is not there is not waited for."""
    device = options.selection.device
    asked: dict[Asked, list[Case]] = {}
    for framework in frameworks:
        for case in cases:
            for setting in settings(case, framework, device) if modes(case, framework) else ():
                asked.setdefault((framework.name, setting), []).append(case)
    absent = _without_gpu(registry, frameworks, options) if device == "gpu" else {}
    answered = {
        (name, setting): FrameworkAnswers.refused(_keys(own, registry.frameworks[name]), reason)
        for (name, setting), own in asked.items()
        for reason in [absent.get(name)]
        if reason
    }
    able = {about: own for about, own in asked.items() if about not in answered}
    return answered | _ask_side_by_side(registry, able, options, tell)


def _without_gpu(
    registry: Registry, frameworks: Sequence[Framework], options: VerifyOptions
) -> dict[str, str]:
    """The frameworks that see no GPU, with the reason for people; the referee too if none sees one.

    One that cannot be loaded is not among them: its cases say why."""

    def reason(framework: Framework) -> str:
        if framework.versions() is None:
            return "not installed"
        with tempfile.TemporaryDirectory(prefix="gradrace-verify-") as folder:
            process = _Process(registry, framework, GPU, [], options, Path(folder), [])
            ready = [m for m in process.messages() if m.get("event") == "ready"]
        if ready and "gpu" not in ready[0]["devices"]:
            return f"this machine has no GPU that {framework.title} can use"
        return ""

    others = [framework for framework in frameworks if framework.name != REFEREE]
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        found = dict(zip((f.name for f in others), pool.map(reason, others), strict=True))
    absent = {name: why for name, why in found.items() if why}
    if len(absent) == len(others):
        absent[REFEREE] = "this machine has no GPU that a framework here can use"
    return absent


def _keys(cases: Sequence[Case], framework: Framework) -> list[tuple[str, str]]:
    return [(case.id, mode) for case in cases for mode in modes(case, framework)]


def _ask_side_by_side(
    registry: Registry, asked: Mapping[Asked, Sequence[Case]], options: VerifyOptions, tell: Tell
) -> dict[Asked, FrameworkAnswers]:
    """Those with most work first and in two processes, so that no core idles."""
    work = {
        about: len(_keys(cases, registry.frameworks[about[0]])) for about, cases in asked.items()
    }
    jobs = [
        (about, asked[about][part::parts])
        for about in sorted(asked, key=lambda about: -work[about])
        for parts in (2 if work[about] > _ONE_PROCESS else 1,)
        for part in range(parts)
    ]
    done: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for (name, _), answers in work.items():
        total[name] += answers

    def count(name: str) -> None:
        done[name] += 1
        tell(name, done[name], total[name])

    stop = threading.Event()
    # Before a deadline all go on at once, so that each comes equally far.
    side_by_side = len(jobs) if math.isfinite(options.deadline) else _SIDE_BY_SIDE
    with ThreadPoolExecutor(max(side_by_side, 1)) as pool:
        ask = partial(_ask, registry, options=options, count=count, stop=stop)
        futures = [(about, pool.submit(ask, about, part)) for about, part in jobs]
        try:
            answered = [(about, future.result()) for about, future in futures]
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            _Process.end_all()
            raise
    return {
        about: FrameworkAnswers.joined([found for other, found in answered if other == about])
        for about in work
    }


def _ask(
    registry: Registry,
    about: Asked,
    cases: Sequence[Case],
    options: VerifyOptions,
    count: Callable[[str], None],
    stop: threading.Event,
) -> FrameworkAnswers:
    """One framework's answers to some cases.

    A process that dies or hangs costs the case in work; a new one is asked for the rest."""
    framework, setting = registry.frameworks[about[0]], about[1]
    every = _keys(cases, framework)
    if versions_of(framework, options.interpreters) is None:
        return FrameworkAnswers.refused(every, "not installed")
    answers: Answers = {}
    versions: dict[str, str] = {}
    took: Took = {}
    for _ in range(_MOST_DEATHS):
        if stop.is_set() or options.left_s <= 0:
            break
        with tempfile.TemporaryDirectory(prefix="gradrace-verify-") as folder:
            given = (registry, framework, setting, cases, options, Path(folder))
            process = _Process(*given, skip=list(answers))
            for message in process.messages():
                if message.get("event") == "ready":
                    versions = message["versions"]
                elif message.get("event") == "broken":
                    reason = f"{framework.name} cannot be loaded: {message.get('reason')}"
                    return FrameworkAnswers(dict.fromkeys(every, Answer(failed=reason)), versions)
                else:
                    answers[str(message.get("case")), str(message.get("mode"))] = _answer(message)
                    count(framework.name)
                level = str(message.get("case", START)).partition("/")[0]
                known = took.get(level, (0, 0.0))
                took[level] = (known[0] + 1, known[1] + process.seconds)
        if len(answers) == len(every):
            break
    return FrameworkAnswers(answers, versions, took)


def _answer(message: Mapping[str, Any]) -> Answer:
    try:
        if message["event"] == "done":
            with np.load(message["file"], allow_pickle=False) as stored:
                return Answer(arrays=dict(stored))
        reason = str(message["reason"])
    # A user's code in that process may have written the message or the file.
    except (KeyError, TypeError, ValueError, OSError) as error:
        return Answer(failed=f"its answer cannot be read: {type(error).__name__}: {error}")
    unavailable = message["event"] == "unavailable"
    return Answer(unavailable=reason) if unavailable else Answer(failed=reason)


class _Process:
    """One worker process and its answers. seconds: that the last message took."""

    _living: set[_Process] = set()

    def __init__(
        self,
        registry: Registry,
        framework: Framework,
        setting: Setting,
        cases: Sequence[Case],
        options: VerifyOptions,
        folder: Path,
        skip: list[tuple[str, str]],
    ) -> None:
        self._options = options
        self.seconds = 0.0
        variables = environment(some_run(framework, setting.device)) | setting.variables()
        self._child = Child(options.command(framework.name), variables)
        self._living.add(self)
        request = {
            "framework": framework.name,
            "plugins": [str(file.resolve()) for file in registry.plugins],
            "selection": asdict(options.selection),
            "device": setting.device,
            "cases": [case.id for case in cases],
            "folder": str(folder),
            "skip": skip,
        }
        self._child.send(request)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Its messages without `begin`; `failed` for the case at which it died or fell silent. At
        the deadline they just end."""
        at: dict[str, Any] | None = None
        ready, timeout_s, options = False, START_TIMEOUT_S, self._options
        since = time.monotonic()
        try:
            while (message := self._child.receive(min(timeout_s, options.left_s))) is not None:
                timeout_s = options.case_timeout_s
                if message.get("event") == "begin":
                    at = message
                else:
                    at, ready = None, True
                    self.seconds, since = time.monotonic() - since, time.monotonic()
                    yield message
            how = f"no answer in {timeout_s:g} s"
        except ChildDied as death:
            how = f"the process died ({death})"
        finally:
            self._living.discard(self)
            self._child.kill()
        if options.left_s <= 0:
            return
        if at:
            yield {"event": "failed", "case": at["case"], "mode": at["mode"], "reason": how}
        elif not ready:
            yield {"event": "broken", "reason": how}

    @classmethod
    def end_all(cls) -> None:
        """Ends every process that still runs; their readers then see the end of the pipe."""
        for process in list(cls._living):
            process._child.abort()


def some_run(framework: Framework, device: Device = "cpu") -> RunSpec:
    """A run whose environment fits the process: one thread, the device, float64 possible."""
    return RunSpec(
        task=any_task(),
        optimizer=OptimizerSpec(name="sgd"),
        schedule=ScheduleSpec(kind="constant", base_lr=1.0),
        framework=framework.name,
        mode=framework.convergence_mode,
        device=device,
        dtype="float64",
    )

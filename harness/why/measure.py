"""Profiles of both sides in turns: fresh processes on one core in every launch, as `paired` has
them. Blocks without the profiler come first, so that its cost shows."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..errors import UserError
from ..jsonfile import writing
from ..paired import Pair, Side
from ..paired.measure import portable
from ..paired.worker import TRY_STEPS
from ..registry import Framework
from ..strict import explained
from . import Profile
from .process import NoProfile, SideProcess

# Steps that are profiled: whole tens, because what happens every ten steps must be seen; so many
# seconds of them, if they are fast.
_FEWEST, _MOST, _SECONDS = 20, 100, 1.0
# Blocks of each side before the profiler begins, each as long as the profile.
_BLOCKS = 4
# Steps of a launch, planned ahead: those of `try`, blocks, one more to warm up, and the profile.
TABLE_STEPS = TRY_STEPS + (_BLOCKS + 3) * _MOST


@dataclass
class Profiles:
    """Of one pair: a profile a launch, of each side; the traces are those of the last launch.

    failure: why there are no more, or None."""

    a: list[Profile] = field(default_factory=list)
    b: list[Profile] = field(default_factory=list)
    failure: NoProfile | None = None


def take_profiles(
    pair: Pair,
    sides: tuple[Side, Side],
    files: tuple[Path | None, Path | None],
    launches: int,
    folder: Path,
    watch: Callable[[str], None] = lambda line: None,
) -> Profiles:
    """Profiles of a pair. files: the sides' profilers, None for none. folder: gets A/ and B/ with
    the traces. UserError if it cannot be written, or if nothing can be started."""
    found = Profiles()
    for side in "AB":
        with writing(folder / side):
            (folder / side).mkdir(parents=True, exist_ok=True)
    steps = 0
    for launch in range(launches):
        watch(f"{pair.name}: profile {launch + 1} of {launches}")
        with tempfile.TemporaryDirectory(prefix="gradrace-profile-") as unused:
            at = folder if launch == launches - 1 else Path(unused)
            try:
                steps = _launch(pair, sides, files, at, launch % 2, steps, found)
            except NoProfile as failure:
                found.failure = failure
                break
    return found


def _launch(
    pair: Pair,
    sides: tuple[Side, Side],
    files: tuple[Path | None, Path | None],
    folder: Path,
    first: int,
    steps: int,
    found: Profiles,
) -> int:
    """Adds a profile of each side. steps: to profile, 0 if not known yet; returns them."""
    runs, order = (pair.a, pair.b), (first, 1 - first)
    with ExitStack() as stack:
        both: dict[int, SideProcess] = {}
        for number in order:
            both[number] = stack.enter_context(SideProcess(sides[number], runs[number]))
        for number in order:
            both[number].ready()
        tried = 0.0
        for number in order:
            both[number].ask({"do": "open", "cell": 0, "spec": portable(runs[number], TABLE_STEPS)})
            tried = max(tried, both[number].ask({"do": "try", "cell": 0})["step_s"])
        steps = steps or profiled_steps(tried)
        for number in order:
            both[number].ask({"do": "warm", "cell": 0, "block_steps": steps, "steps": steps})
        taken: dict[int, list[float]] = {0: [], 1: []}
        for turn in range(_BLOCKS):
            for number in order if turn % 2 == 0 else reversed(order):
                block = both[number].ask({"do": "block", "cell": 0, "part": "step"})
                taken[number].append(block["wall_ns"] * 1e-9 / steps)
        answers = {}
        for number in order:
            at = folder / "AB"[number]
            at.mkdir(parents=True, exist_ok=True)
            answers[number] = profile_of(both[number], files[number], steps, at)
    for number, profiles in enumerate((found.a, found.b)):
        step_s = float(np.median(taken[number]))
        profiles.append(answers[number].model_copy(update={"step_s": step_s}))
    return steps


def profile_of(process: SideProcess, file: Path | None, steps: int, folder: Path) -> Profile:
    """Of the next steps of a process's first cell. NoProfile if its answer is none."""
    request = {"do": "profile", "cell": 0, "file": str(file or ""), "steps": steps}
    answer: Any = process.ask({**request, "folder": str(folder)}).get("profile")
    try:
        profile = Profile.model_validate(answer)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise NoProfile(f"the profiler's answer: {place}: {explained(problem)}") from None
    whole = [name for name in profile.traces if Path(name).name == name]
    notes = profile.notes if file else (*profile.notes, NO_PROFILER)
    return profile.model_copy(update={"traces": tuple(whole), "notes": notes})


NO_PROFILER = (
    "this framework has no profiler here (no profiling.py beside its adapter): only times, parts"
    " and compilations are known"
)


def profiler_file(framework: Framework) -> Path | None:
    """The file profiling.py of an adapter that is a folder, or None."""
    file = framework.file.parent / "profiling.py"
    return file if framework.file.name == "__init__.py" and file.is_file() else None


def profiled_steps(step_s: float) -> int:
    """How many, from the seconds that one takes."""
    fitting = int(_SECONDS / step_s / 10) * 10 if step_s > 0 else _MOST
    return max(_FEWEST, min(_MOST, fitting))


def folder_name(name: str) -> str:
    """Of a pair's traces."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:100] or "cell"


def only_few(pairs: Sequence[Pair], most: int, command: str) -> None:
    """UserError if there are more pairs than anybody would wait for."""
    if len(pairs) > most:
        names = "\n".join(f"  {pair.name}" for pair in pairs[:12])
        raise UserError(
            f"{command} explains {most} cells at most, and {len(pairs)} match; name one with -k:\n"
            f"{names}"
        )

"""Finds the timed cell that stands beside a trained run: the one of the very same setting, timed on
the one machine of the task, or none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ...machine.identity import Identity, identities
from ...results.columns import words
from ...results.frame import Frames
from ...spec import OptimizerSpec, RunSpec, step_setting
from .grouping import groups
from .planned import runs

Row = dict[Any, Any]
# What is shown of a timed cell. p25 compares cells, the mean adds up to durations.
TIMES = words(
    "step_p25_s step_p25_s_low step_p25_s_high step_median_s step_p99_s step_mean_s"
    " step_p25_min_s step_p25_max_s first_call_s"
)
_SHOWN = (*TIMES, "launches", "contended")
_BLANK: Row = {**dict.fromkeys(TIMES, math.nan), "launches": 0, "contended": 0}


class Timings:
    """The timed cells of a suite (`tables.step_times`), looked up by the setting of a trained run.

    A cell is found by `spec.step_setting`, and on one machine for a whole task, so that its rows
    can be compared: of those that trained some of its runs, the one that timed most of the settings
    that were trained. Seeds may have been trained anywhere: steps do not depend on the machine.
    Cells of the same *work* (model, batch size, device and so on) under another rule, in another
    mode or with other hyperparameters are only named."""

    def __init__(self, frames: Frames, suite: str, times: pd.DataFrame) -> None:
        self._frames = frames
        known = times["step_p25_s"].notna()
        self._cells: list[Row] = times[known].to_dict("records")
        self._lost: list[Row] = times[~known].to_dict("records")
        self._by_setting: dict[str, list[int]] = {}
        self._work: dict[str, list[int]] = {}
        self._used: set[int] = set()
        self._trained: set[str] = set()
        self._setting = dict(zip(frames.runs["digest"], frames.runs["setting"], strict=True))
        self._machines = identities(list(frames.records.values()))
        for place, cell in enumerate(self._cells):
            self._by_setting.setdefault(cell["setting"], []).append(place)
            self._work.setdefault(_work(self._timed(cell)), []).append(place)
        self._trained_on: dict[str, set[Identity]] = {}
        self._of_task: dict[str, Identity] = {}
        self._choose(runs(frames, suite, "convergence"))

    def seconds(self, digest: str) -> float:
        """The mean seconds of a step of this trained run; NaN if its setting was not timed on the
        task's machine."""
        place = self._find(digest)
        return math.nan if place is None else float(self._cells[place]["step_mean_s"])

    def timed_on(self, digest: str) -> str:
        """The name of the machine of those seconds; "" if there are none."""
        place = self._find(digest)
        return "" if place is None else str(self._cells[place]["machine"])

    def elsewhere(self, digest: str) -> bool:
        """Whether the setting of this trained run was timed, but on other machines alone."""
        return self._find(digest) is None and self._setting[digest] in self._by_setting

    def beside(self, digests: Sequence[str]) -> Row:
        """What stands beside the runs of a cell of the summary: TIMES, timed_mode, timed_rule,
        timed_on, timed_instead, launches, contended, native_p25_s, native_mode."""
        place, spec = self._find(digests[0]), self._frames.records[digests[0]].spec
        work = _work(spec)
        self._trained.add(work)
        alike = self._work.get(work, [])
        native = self._native(spec, alike)
        if place is None:
            others = dict.fromkeys(self._said(other, spec) for other in alike)
            said = f"only {'; '.join(others)}" if others else ""
            untimed = dict.fromkeys(("timed_mode", "timed_rule", "timed_on"), "")
            return {**_BLANK, **native, **untimed, "timed_instead": said}
        self._used.add(place)
        cell = self._cells[place]
        named = {"timed_mode": cell["mode"], "timed_rule": cell["rule"], "timed_instead": ""}
        shown = {name: cell[name] for name in _SHOWN}
        return {**shown, **native, **named, "timed_on": cell["machine"]}

    def alone(self) -> Iterator[Row]:
        """The cells of each task's machine that stood beside no trained run so far; those of which
        no launch ended ok only if the same work was not trained."""
        for place, cell in enumerate(self._cells):
            if place not in self._used and self._is_of_task(cell):
                yield cell
        for cell in self._lost:
            if _work(self._timed(cell)) not in self._trained and self._is_of_task(cell):
                yield cell

    def _choose(self, trained: pd.DataFrame) -> None:
        """Which machines trained a task, and the one whose times stand beside its runs."""
        settings: dict[str, set[str]] = {}
        for key, rows in groups(trained, ["task"]):
            settings[key["task"]] = set(rows["setting"])
            self._trained_on[key["task"]] = {self._machines[d].near for d in rows["digest"]}
        scores: dict[str, dict[Identity, list[float]]] = {}
        for cell in (*self._cells, *self._lost):
            task, machine = cell["task"], self._machine(cell)
            of_task = scores.setdefault(task, {}).setdefault(machine.whole, [0, 0, 0])
            beside = machine.near in self._trained_on.get(task, ())
            timed = cell["launches"] > 0
            of_task[0] += timed and beside and cell["setting"] in settings[task]
            of_task[1] += timed
            of_task[2] += cell["launches"]
        for task, by_machine in scores.items():
            self._of_task[task] = max(by_machine, key=lambda each: by_machine[each])

    def _find(self, digest: str) -> int | None:
        places = self._by_setting.get(self._setting[digest], [])
        return self._first(places, self._frames.records[digest].spec.task.name)

    def _first(self, places: Sequence[int], task: str) -> int | None:
        """The first of these cells that the task's machine timed, on a card that trained it."""
        trained, wanted = self._trained_on.get(task, ()), self._of_task.get(task)
        for place in places:
            machine = self._machine(self._cells[place])
            if machine.near in trained and machine.whole == wanted:
                return place
        return None

    def _native(self, spec: RunSpec, alike: Sequence[int]) -> Row:
        """The library's own class at its own defaults, if possible in the mode that trains."""
        cells, task = self._cells, spec.task.name
        found = [place for place in alike if cells[place]["rule"] == "native"]
        same_mode = [place for place in found if cells[place]["mode"] == spec.mode]
        place = self._first([*same_mode, *found], task)
        if place is None:
            return {"native_p25_s": math.nan, "native_mode": ""}
        self._used.add(place)
        return {"native_p25_s": cells[place]["step_p25_s"], "native_mode": cells[place]["mode"]}

    def _said(self, place: int, spec: RunSpec) -> str:
        """'jit, native' or 'scan, canonical, beta1=0.9, on another machine (…)'."""
        cell = self._cells[place]
        same_rule = cell["rule"] == spec.optimizer.rule
        other = same_rule and self._timed(cell).optimizer != spec.optimizer
        far = self._first([place], spec.task.name) is None
        said = [
            cell["mode"],
            cell["rule"],
            cell["hyper"] if other else "",
            f"on {cell['machine']}" if far else "",
        ]
        return ", ".join(filter(None, said))

    def _is_of_task(self, cell: Row) -> bool:
        return self._machine(cell).whole == self._of_task[cell["task"]]

    def _machine(self, cell: Row) -> Identity:
        return self._machines[str(cell["digests"]).split()[0]]

    def _timed(self, cell: Row) -> RunSpec:
        return self._frames.records[str(cell["digests"]).split()[0]].spec


def _work(run: RunSpec) -> str:
    """`step_setting` without mode, rule and hyperparameters."""
    optimizer = OptimizerSpec(name=run.optimizer.name, groups=run.optimizer.groups)
    return step_setting(run.model_copy(update={"mode": "any", "optimizer": optimizer}))

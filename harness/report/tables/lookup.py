"""Finds the timed cell that stands beside a trained run: the one of the very same setting, timed on
the same machine, or none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ...results.columns import words
from ...results.frame import Frames
from ...spec import OptimizerSpec, RunSpec, step_setting

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

    A cell is found by `spec.step_setting` and by machine. Cells of the same *work* (model, batch
    size, device and so on) under another rule, in another mode or with other hyperparameters are
    only named."""

    def __init__(self, frames: Frames, times: pd.DataFrame) -> None:
        self._frames = frames
        known = times["step_p25_s"].notna()
        self._cells: list[Row] = times[known].to_dict("records")
        self._lost: list[Row] = times[~known].to_dict("records")
        self._exact: dict[tuple[str, str], int] = {}
        self._work: dict[str, list[int]] = {}
        self._machine: list[str] = []
        self._used: set[int] = set()
        self._trained: set[str] = set()
        self._setting = dict(zip(frames.runs["digest"], frames.runs["setting"], strict=True))
        for place, cell in enumerate(self._cells):
            self._machine.append(machines(frames, str(cell["digests"]).split()))
            self._exact[cell["setting"], self._machine[place]] = place
            self._work.setdefault(_work(self._timed(cell)), []).append(place)
        self._settings = {cell["setting"] for cell in self._cells}

    def seconds(self, digest: str) -> float:
        """The mean seconds of a step of this trained run; NaN if its setting was not timed on its
        machine."""
        place = self._find([digest])
        return math.nan if place is None else float(self._cells[place]["step_mean_s"])

    def elsewhere(self, digest: str) -> bool:
        """Whether the setting of this trained run was timed, but on other machines alone."""
        return self._find([digest]) is None and self._setting[digest] in self._settings

    def beside(self, digests: Sequence[str]) -> Row:
        """What stands beside the runs of a cell of the summary: TIMES, timed_mode, timed_rule,
        timed_instead, launches, contended, native_p25_s, native_mode."""
        place, spec = self._find(digests), self._frames.records[digests[0]].spec
        work = _work(spec)
        self._trained.add(work)
        alike = self._work.get(work, [])
        native = self._native(spec, digests, alike)
        if place is None:
            others = dict.fromkeys(self._said(other, spec, digests) for other in alike)
            said = f"only {'; '.join(others)}" if others else ""
            return {**_BLANK, **native, "timed_mode": "", "timed_rule": "", "timed_instead": said}
        self._used.add(place)
        cell = self._cells[place]
        named = {"timed_mode": cell["mode"], "timed_rule": cell["rule"], "timed_instead": ""}
        return {**{name: cell[name] for name in _SHOWN}, **native, **named}

    def alone(self) -> Iterator[Row]:
        """The cells that stood beside no trained run so far; those of which no launch ended ok only
        if the same work was not trained."""
        yield from (cell for place, cell in enumerate(self._cells) if place not in self._used)
        yield from (cell for cell in self._lost if _work(self._timed(cell)) not in self._trained)

    def _find(self, digests: Sequence[str]) -> int | None:
        return self._exact.get((self._setting[digests[0]], machines(self._frames, digests)))

    def _native(self, spec: RunSpec, digests: Sequence[str], alike: Sequence[int]) -> Row:
        """The library's own class at its own defaults, if possible in the mode that trains."""
        here = machines(self._frames, digests)
        cells = self._cells
        found = [p for p in alike if cells[p]["rule"] == "native" and self._machine[p] == here]
        if not found:
            return {"native_p25_s": math.nan, "native_mode": ""}
        place = next((p for p in found if cells[p]["mode"] == spec.mode), found[0])
        self._used.add(place)
        return {"native_p25_s": cells[place]["step_p25_s"], "native_mode": cells[place]["mode"]}

    def _said(self, place: int, spec: RunSpec, digests: Sequence[str]) -> str:
        """'jit, native' or 'scan, canonical, beta1=0.9, on another machine (…)'."""
        cell, machine = self._cells[place], self._machine[place]
        same_rule = cell["rule"] == spec.optimizer.rule
        other = same_rule and self._timed(cell).optimizer != spec.optimizer
        far = machine != machines(self._frames, digests)
        said = [
            cell["mode"],
            cell["rule"],
            cell["hyper"] if other else "",
            f"on {machine}" if far else "",
        ]
        return ", ".join(filter(None, said))

    def _timed(self, cell: Row) -> RunSpec:
        return self._frames.records[str(cell["digests"]).split()[0]].spec


def machines(frames: Frames, digests: Sequence[str]) -> str:
    """The machines of these runs, as text; interpreters may differ on one machine."""
    found = (frames.records[digest].machine for digest in digests)
    named = (f"{m.processor}, {m.logical_cores} cores, {m.system}" for m in found)
    return " / ".join(dict.fromkeys(named))


def _work(run: RunSpec) -> str:
    """`step_setting` without mode, rule and hyperparameters."""
    optimizer = OptimizerSpec(name=run.optimizer.name)
    return step_setting(run.model_copy(update={"mode": "any", "optimizer": optimizer}))

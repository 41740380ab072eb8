"""Which timed cell stands beside a trained run: the one of the very same setting, timed on the same
machine, or none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ..results.frame import Frames
from ..spec import OptimizerSpec, RunSpec, step_setting

Row = dict[Any, Any]
# What is shown of a timed cell. p25 compares cells, the mean adds up to durations.
TIMES = [
    "step_p25_s",
    "step_p25_s_low",
    "step_p25_s_high",
    "step_median_s",
    "step_p99_s",
    "step_mean_s",
    "step_p25_min_s",
    "step_p25_max_s",
    "first_call_s",
]
_NATIVE = {"native_p25_s": math.nan, "native_mode": ""}


class Timings:
    """The timed cells of a suite (`tables.step_times`), looked up by what a trained run computes.

    A cell is found by `spec.step_setting` and by machine. Cells of the same *work* (model, batch
    size, device and so on) under another rule, in another mode or with other hyperparameters are
    only named."""

    def __init__(self, frames: Frames, times: pd.DataFrame) -> None:
        self._frames = frames
        self._cells: list[Row] = [
            dict(cell) for cell in times.dropna(subset=["step_p25_s"]).to_dict("records")
        ]
        self._lost: list[Row] = [
            dict(cell) for cell in times[times["step_p25_s"].isna()].to_dict("records")
        ]
        self._exact: dict[tuple[str, str], int] = {}
        self._settings: set[str] = set()
        self._work: dict[str, list[int]] = {}
        self._machine: list[str] = []
        self._used: set[int] = set()
        self._trained: set[str] = set()
        self._setting = dict(zip(frames.runs["digest"], frames.runs["setting"], strict=True))
        for place, cell in enumerate(self._cells):
            digests = str(cell["digests"]).split()
            self._machine.append(machines(frames, digests))
            self._exact[cell["setting"], self._machine[place]] = place
            self._settings.add(cell["setting"])
            self._work.setdefault(_work(self._spec(digests[0])), []).append(place)

    def seconds(self, digest: str) -> float:
        """The mean seconds of a step of this trained run; NaN if its setting was not timed on its
        machine.
        """
        place = self._find([digest])
        return math.nan if place is None else float(self._cells[place]["step_mean_s"])

    def elsewhere(self, digest: str) -> bool:
        """Whether the setting of this trained run was timed, but on other machines alone."""
        return self._find([digest]) is None and self._setting[digest] in self._settings

    def beside(self, digests: Sequence[str]) -> Row:
        """What stands beside the runs of a cell of the summary: TIMES, timed_mode, timed_rule,
        timed_instead, launches, contended, native_p25_s, native_mode."""
        place, spec = self._find(digests), self._spec(digests[0])
        work = _work(spec)
        self._trained.add(work)
        alike = self._work.get(work, [])
        native = self._native(spec, digests, alike)
        if place is None:
            others = dict.fromkeys(self._said(other, spec, digests) for other in alike)
            said = f"only {'; '.join(others)}" if others else ""
            blank = {
                **dict.fromkeys(TIMES, math.nan),
                "timed_mode": "",
                "timed_rule": "",
                "launches": 0,
                "contended": 0,
            }
            return {**blank, "timed_instead": said, **native}
        self._used.add(place)
        cell = self._cells[place]
        shown = {name: cell[name] for name in (*TIMES, "launches", "contended")}
        return {
            **shown,
            "timed_mode": cell["mode"],
            "timed_rule": cell["rule"],
            "timed_instead": "",
            **native,
        }

    def alone(self) -> Iterator[Row]:
        """The cells that stood beside no trained run so far; those of which no launch ended ok only
        if the same work was not trained."""
        yield from (cell for place, cell in enumerate(self._cells) if place not in self._used)
        for cell in self._lost:
            if _work(self._spec(str(cell["digests"]).split()[0])) not in self._trained:
                yield cell

    def _find(self, digests: Sequence[str]) -> int | None:
        return self._exact.get((self._setting[digests[0]], machines(self._frames, digests)))

    def _native(self, spec: RunSpec, digests: Sequence[str], alike: Sequence[int]) -> Row:
        """The library's own class at its own defaults, in the mode that trains if it was timed so."""
        here = machines(self._frames, digests)
        found = [
            p for p in alike if self._cells[p]["rule"] == "native" and self._machine[p] == here
        ]
        if not found:
            return _NATIVE
        place = next((p for p in found if self._cells[p]["mode"] == spec.mode), found[0])
        self._used.add(place)
        return {
            "native_p25_s": self._cells[place]["step_p25_s"],
            "native_mode": self._cells[place]["mode"],
        }

    def _said(self, place: int, spec: RunSpec, digests: Sequence[str]) -> str:
        """'jit, native' or 'scan, canonical, beta1=0.9, on another machine (…)'."""
        cell = self._cells[place]
        same_rule = cell["rule"] == spec.optimizer.rule
        timed = self._spec(str(cell["digests"]).split()[0])
        hyper = cell["hyper"] if same_rule and timed.optimizer != spec.optimizer else ""
        far = (
            ""
            if self._machine[place] == machines(self._frames, digests)
            else f"on {self._machine[place]}"
        )
        return ", ".join(filter(None, [cell["mode"], cell["rule"], hyper, far]))

    def _spec(self, digest: str) -> RunSpec:
        return self._frames.records[digest].spec


def machines(frames: Frames, digests: Sequence[str]) -> str:
    """The machines of these runs, as text; interpreters may differ on one machine."""
    found = (frames.records[digest].machine for digest in digests)
    return " / ".join(
        dict.fromkeys(f"{m.processor}, {m.logical_cores} cores, {m.system}" for m in found)
    )


def _work(run: RunSpec) -> str:
    """`step_setting` without mode, rule and hyperparameters."""
    return step_setting(
        run.model_copy(update={"mode": "any", "optimizer": OptimizerSpec(name=run.optimizer.name)})
    )

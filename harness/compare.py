"""Two stored results side by side: per cell the change of step time, final loss and steps to target.

The two were made at different times, so the step times are unpaired: machine noise between the two is in the ratio.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from .errors import UserError
from .frame import CELL, Frames
from .spec import number_text

# What is compared, per measure; all are better when lower.
_FIGURES = {
    "timing": ("step_p25_s",), "memory": ("peak_bytes",), "convergence": ("final_validation_loss", "steps_to_target"),
}  # fmt: skip


class Comparison(NamedTuple):
    """rows: one per cell and figure with a, b, change (b / a - 1) and verdict; alone: cells that only one side has."""

    rows: pd.DataFrame
    alone: pd.DataFrame

    @property
    def worse(self) -> int:
        """How many figures are worse than the threshold allows."""
        return int((self.rows["verdict"] == "worse").sum())


def compare(a: Frames, b: Frames, threshold: float) -> Comparison:
    """Compares cells with equal CELL columns; `threshold` 0.25 allows b to be 25% above a.

    Convergence cells are compared over the seeds that both sides have. UserError where no cell is on both sides.
    """
    rows, alone = [], []
    cells_a, cells_b = _cells(a), _cells(b)
    for cell in dict.fromkeys([*cells_a, *cells_b]):
        if cell not in cells_a or cell not in cells_b:
            alone.append({"cell": _name(cell), "only in": "A" if cell in cells_a else "B"})
            continue
        rows += [{"cell": _name(cell), **row} for row in _rows(cell[0], cells_a[cell], cells_b[cell], threshold)]
    if not rows:
        raise UserError("nothing is comparable: no cell (task, framework, mode, optimizer, ...) is in both results")
    return Comparison(pd.DataFrame(rows), pd.DataFrame(alone, columns=["cell", "only in"]))


def _cells(frames: Frames) -> dict[tuple[object, ...], pd.DataFrame]:
    finished = frames.runs[frames.runs["status"] != "skipped"]
    return {tuple(key): group for key, group in finished.groupby(list(CELL), sort=False)}


def _rows(measure: object, a: pd.DataFrame, b: pd.DataFrame, threshold: float) -> list[dict[str, object]]:
    repeat = "launch" if measure == "timing" else "seed"
    shared = sorted(set(a[repeat]) & set(b[repeat]))
    a, b = (side[side[repeat].isin(shared)].sort_values(repeat) for side in (a, b))
    broken = _broken(a, b)
    if broken:
        return [{"figure": "status", "a": _statuses(a), "b": _statuses(b), "change": np.nan, "verdict": broken}]
    rows = []
    for figure in _FIGURES[str(measure)]:
        before, after = _figure(a, figure), _figure(b, figure)
        change = after / before - 1 if np.isfinite(before) and before > 0 else np.nan
        noisy = figure == "step_p25_s" and bool(a["contended"].any() or b["contended"].any())
        verdict = _verdict(before, after, change, threshold, noisy)
        rows.append({"figure": figure, "a": before, "b": after, "change": change, "verdict": verdict})
    return rows


def _figure(side: pd.DataFrame, figure: str) -> float:
    """Median over seeds or launches. A run that misses its target needs more steps than any: infinity, not missing."""
    values = side[figure]
    return float(values.fillna(np.inf).median()) if figure == "steps_to_target" else float(values.median())


def _broken(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """'worse' where B lost runs that A had, 'better' the other way round, '' where both are whole."""
    whole_a, whole_b = ((side["status"] == "ok").sum() for side in (a, b))
    if whole_a == whole_b == len(a):
        return ""
    return "worse" if whole_b < whole_a else "better" if whole_b > whole_a else "same"


def _statuses(side: pd.DataFrame) -> str:
    return ", ".join(f"{count} {status}" for status, count in side["status"].value_counts().items())


def _verdict(a: float, b: float, change: float, threshold: float, noisy: bool) -> str:
    if a == b:
        return "same"
    if np.isinf(b) or change > threshold:
        return "contended" if noisy else "worse"
    return "better" if np.isinf(a) or change < -threshold else "same"


def _name(cell: tuple[object, ...]) -> str:
    named = dict(zip(CELL, cell, strict=True))
    if named["measure"] == "timing":
        rate = ""
    else:
        params = f" ({named['schedule_params']})" if named["schedule_params"] else ""
        rate = f" {named['schedule']}{params} lr={number_text(named['learning_rate'])}"  # type: ignore[arg-type]
    varied = f" {named['variation']}" if named["variation"] else ""
    return f"{named['task']} {named['framework']}-{named['mode']} {named['optimizer']}-{named['rule']}{rate}{varied}"

"""Curves as JSON of few points."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...output.escaping import for_script

# Points of a curve at most; more are averaged over bins of equal length.
POINTS = 400


def points_json(steps: np.ndarray, values: np.ndarray) -> str:
    """An object with the steps (from, every: evenly spaced; or steps: all), values (null if not
    finite), bin (how many steps a point is the mean of) and, of values that are not finite, lost
    (their number) and first (the step of the first)."""
    finite = np.isfinite(values)
    said: dict[str, Any] = {"bin": 1}
    if not finite.all():
        said |= {"lost": int((~finite).sum()), "first": int(steps[~finite][0])}
    width = -(-len(values) // POINTS)
    if width > 1:
        steps, values = _means(steps, width), _means(values, width)
        said["bin"] = width
    gaps = np.diff(steps)
    if len(gaps) and (gaps == gaps[0]).all():
        said |= {"from": float(steps[0]), "every": float(gaps[0])}
    else:
        said["steps"] = steps.tolist()
    shown = (f"{value:.5g}" if np.isfinite(value) else "null" for value in values.tolist())
    return f'{for_script(said)[:-1]},"values":[{",".join(shown)}]}}'


def _means(values: np.ndarray, width: int) -> np.ndarray:
    """Over bins of this width. A value that is not finite makes its bin so, which leaves a gap."""
    begins = np.arange(0, len(values), width)
    counts = np.diff(np.append(begins, len(values)))
    with np.errstate(invalid="ignore"):
        return np.add.reduceat(values.astype(np.float64), begins) / counts

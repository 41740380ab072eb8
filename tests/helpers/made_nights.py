"""Made-up histories: pages of log ratios with the noise of paired launches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gradrace.history.detect import Series

Array = np.ndarray
# A cell's log ratios and their standard errors, float64[nights] each.
Nights = tuple[Array, Array]


def noise(rng: np.random.Generator, nights: int, rho: float = 0.0) -> Nights:
    """One cell in which nothing changes. Launches of a night are 1 to 3% apart (a cell's own;
    Student's t with 4 degrees of freedom), on one night in twenty four times as far; 6 to 12 of
    them. Beyond that nights differ by 0.2 to 0.8% (t with 5), with this autocorrelation."""
    spread, between = np.exp(rng.uniform(np.log(0.01), np.log(0.03))), rng.uniform(0.002, 0.008)
    counts = rng.choice([6, 6, 6, 9, 12], nights)
    apart = spread * np.where(rng.random(nights) < 0.05, 4.0, 1.0) / np.sqrt(2)
    launches = [scale * rng.standard_t(4, n) for scale, n in zip(apart, counts, strict=True)]
    wander = rng.standard_t(5, nights) * between / np.sqrt(5 / 3)
    for night in range(1, nights):
        wander[night] = rho * wander[night - 1] + np.sqrt(1 - rho**2) * wander[night]
    values = np.array([of.mean() for of in launches]) + wander
    return values, np.array([of.std(ddof=1) / np.sqrt(len(of)) for of in launches])


def level(nights: int, kind: str, size: float, begin: int = 0, end: int = 0) -> Array:
    """The log ratios that a change adds. step: from `begin` on; bump: only until `end`; ramp:
    evenly from one to the other; stairs: ten steps from the third night to the third last."""
    t, whole = np.arange(nights), np.log1p(size)
    if kind == "stairs":
        places = np.linspace(3, nights - 3, 10).astype(int)
        added: Array = (t[:, None] >= places).sum(axis=1) * whole / 10
        return added
    shapes = {
        "clean": np.zeros(nights),
        "step": t >= begin,
        "bump": (t >= begin) & (t < end),
        "ramp": np.clip((t - begin) / max(end - begin, 1), 0.0, 1.0),
    }
    return shapes[kind] * whole


def page(cells: Sequence[Nights]) -> list[Series]:
    """The series of a page, the nights counted from 0."""
    return [
        Series(f"cell{i}", "step", "runner", "v1", np.arange(len(values)), values, errors)
        for i, (values, errors) in enumerate(cells)
    ]

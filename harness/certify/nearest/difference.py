"""Two courses -> the first place at which they part, and how far apart they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...plan import Weights


class Place(NamedTuple):
    """step: counted from 1. element: its index. one, other: both values there. size: scaled."""

    step: int
    tensor: str
    element: tuple[int, ...]
    one: float
    other: float
    size: float


class Difference(NamedTuple):
    """worst: max |a - b| / max |a - start| of a tensor after a step, the worst of all; inf if one
    moves and the other does not, or if only one is finite. first: the first place at which it is
    above the tolerance; None if it never is."""

    worst: float
    first: Place | None


def difference(
    one: Sequence[Weights], other: Sequence[Weights], start: Weights, tolerance: float
) -> Difference:
    """Of two courses, the tensors after each step. They are compared on the tensors of `start`."""
    worst, first = 0.0, None
    for step, (a, b) in enumerate(zip(one, other, strict=False), start=1):
        for tensor in start:
            size = scaled(a[tensor], b[tensor], start[tensor])
            worst = max(worst, size)
            if first is None and size > tolerance:
                first = _place(step, tensor, a[tensor], b[tensor], size)
    return Difference(worst, first)


def scaled(a: np.ndarray, b: np.ndarray, start: np.ndarray) -> float:
    """max |a - b| / max |a - start|. NaN in both, or the same infinity, is equal."""
    with np.errstate(all="ignore"):
        apart, moved = np.abs(a - b), np.abs(a - start)
    if not np.isfinite(apart.sum()):
        apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, apart)
        apart = np.where(np.isfinite(apart), apart, np.inf)
        moved = moved[np.isfinite(moved)]
    largest = float(apart.max(initial=0.0))
    distance = float(moved.max(initial=0.0))
    return largest / distance if distance else (np.inf if largest else 0.0)


def _place(step: int, tensor: str, a: np.ndarray, b: np.ndarray, size: float) -> Place:
    with np.errstate(all="ignore"):
        apart = np.where(np.isnan(a) & np.isnan(b), 0.0, np.abs(a - b))
    apart = np.where(np.isnan(apart), np.inf, apart)
    index = np.unravel_index(int(np.argmax(apart)), a.shape)
    element = tuple(int(i) for i in index)
    return Place(step, tensor, element, float(a[element]), float(b[element]), size)


def told(place: Place, one: str, other: str, start: Mapping[str, np.ndarray]) -> str:
    """'from step 1, tensor "vector"[3]: 0.4 (A) and 0.5 (B), 0.18 of the distance moved'."""
    index = ", ".join(map(str, place.element))
    apart = f"{place.size:.2g} of the distance moved"
    if not np.isfinite(place.size):
        at = float(start[place.tensor][place.element])
        still = place.one == at or place.other == at
        apart = "only one of them moves" if still else "only one of them is finite"
    return (
        f"from step {place.step}, tensor {place.tensor!r}[{index}]: {place.one:.10g} ({one}),"
        f" {place.other:.10g} ({other}), {apart}"
    )

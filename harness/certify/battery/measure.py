"""Differences between courses, in NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...plan import Weights

Array = np.ndarray


class Parting(NamedTuple):
    """The first step, counted from 1, at which two courses differ, the tensor there, and the
    largest difference of all steps by the largest distance from the start."""

    step: int
    tensor: str
    size: float

    def __str__(self) -> str:
        return f"from step {self.step} on, in {self.tensor}, by {amount(self.size)} of the way"


def parting(
    a: Sequence[Weights], b: Sequence[Weights], start: Weights, names: Iterable[str] = ()
) -> Parting | None:
    """None if every bit is the same. names: of the tensors that are compared; else all of `a`."""
    size, first = 0.0, None
    for name in tuple(names) or tuple(start):
        way = max((_largest(one[name] - start[name]) for one in a), default=0.0)
        for number, (one, other) in enumerate(zip(a, b, strict=True), 1):
            if same(one[name], other[name]):
                continue
            if first is None or number < first[0]:
                first = number, name
            size = max(size, _over(_gap(one[name], other[name]), way))
    return first and Parting(*first, size)


def same(a: Array, b: Array) -> bool:
    """Equal numbers; NaN equals NaN."""
    return np.array_equal(a, b, equal_nan=True)


def moves(start: Weights, steps: Sequence[Weights]) -> list[dict[str, Array]]:
    """The change of every tensor in every step."""
    before = [start, *steps[:-1]]
    return [
        {name: now[name] - then[name] for name in now}
        for then, now in zip(before, steps, strict=True)
    ]


def length(named: Mapping[str, Array]) -> float:
    """The norm of all tensors as one vector."""
    return float(np.sqrt(sum(float(np.sum(np.square(value))) for value in named.values())))


def finite(named: Mapping[str, Array]) -> bool:
    """Whether no entry is NaN or infinite."""
    return all(bool(np.isfinite(value).all()) for value in named.values())


def amount(size: float) -> str:
    """A figure with two digits."""
    return f"{size:.2g}"


def _largest(array: Array) -> float:
    return float(np.max(np.abs(array), initial=0.0))


def _gap(a: Array, b: Array) -> float:
    gap = _largest(a - b)
    # NaN beside a number is as far as can be.
    return gap if np.isfinite(gap) else float("inf")


def _over(gap: float, way: float) -> float:
    return gap / way if way > 0.0 else float("inf")

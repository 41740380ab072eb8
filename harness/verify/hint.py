"""Common causes of a difference between two update rules, from the numbers of its first step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from .. import schedules
from ..optimizer import Optimizer
from .cases import UpdateCase

Array = np.ndarray
# A step is a multiple of another one if most of its entries are, up to this difference: an epsilon
# shows in the smallest gradients.
_MOST, _LEFT_OVER = 0.6, 1e-3


class Factor(NamedTuple):
    """By how much steps would be longer or shorter, and why."""

    value: float
    cause: str


def hint(
    case: UpdateCase, found: Mapping[str, Array], right: Mapping[str, Array], optimizer: Optimizer
) -> str:
    """What the first step out of tolerance of `found` is of that of `right`, and the cause if it is
    a common one; "" if it is no multiple of it."""
    step = _first(case, found, right)
    of, other = _moved(case, found, step), _moved(case, right, step)
    moved = (other != 0.0) & np.isfinite(of) & np.isfinite(other)
    if not moved.any() or not np.isfinite(of).all() or not of[moved].all():
        return ""
    ratios = of[moved] / other[moved]
    ratio = float(np.median(ratios))
    left_over = float(np.quantile(np.abs(ratios / ratio - 1.0), _MOST))
    allowed = max(10.0 * left_over, 1e-9)
    if left_over > _LEFT_OVER or abs(ratio - 1.0) <= allowed:
        return ""
    apart = [(abs(f.value / ratio - 1.0), f.cause) for f in _known(case, step, optimizer)]
    least, nearest = min(apart)
    cause = f": {nearest}?" if least <= allowed else ""
    return f"its step {step} is {ratio:.6g} times the right one{cause}"


def _known(case: UpdateCase, step: int, optimizer: Optimizer) -> Iterator[Factor]:
    yield Factor(-1.0, "the sign")
    yield from (Factor(2.0, "a factor of 2"), Factor(0.5, "a factor of 2"))
    rates = schedules.table(case.schedule, case.steps)
    for name, at in (("next", step + 1), ("last", step - 1)):
        if 0 <= at < case.steps and rates[step] and rates[at] != rates[step]:
            yield Factor(float(rates[at] / rates[step]), f"the rate of the {name} step")
    yield from _bias_corrections(optimizer, step + 1)


def _bias_corrections(optimizer: Optimizer, count: int) -> Iterator[Factor]:
    """What Adam and its kin do in update `count`, from 1, without a correction or with another
    count."""
    numbers = {name: v for name, v in optimizer.hypers({}).items() if isinstance(v, float)}
    betas = {name: beta for name, beta in numbers.items() if "beta" in name and 0.0 < beta < 1.0}
    for name, beta in betas.items():
        one = 1.0 - beta**count
        for power in (1.0, -1.0, 0.5, -0.5):
            yield Factor(one**power, f"the bias correction of {name}")
    if len(betas) < 2:
        return
    first, second = list(betas.values())[:2]

    def factor(at: int) -> float:
        return math.sqrt(1.0 - second**at) / (1.0 - first**at)

    yield Factor(1.0 / factor(count), "the bias corrections")
    for other in (count - 1, count + 1):
        if other > 0:
            cause = "the bias corrections are off by one step"
            yield Factor(factor(other) / factor(count), cause)


def _first(case: UpdateCase, a: Mapping[str, Array], b: Mapping[str, Array]) -> int:
    """The first step at which the sides differ beyond rounding."""
    apart = np.zeros(case.steps, bool)
    for name in a:
        size = np.maximum(np.abs(a[name]), np.abs(b[name])) + 1e-300
        off = ~(np.abs(a[name] - b[name]) <= 1e-11 * size)
        apart |= off.reshape(case.steps, -1).any(axis=1)
    return int(np.argmax(apart))


def _moved(case: UpdateCase, after: Mapping[str, Array], step: int) -> Array:
    """By how much all parameters change in this step, as one vector."""
    start = case.draw()[0]
    before = {name: after[name][step - 1] if step else start[name] for name in after}
    with np.errstate(all="ignore"):
        return np.concatenate([(after[name][step] - before[name]).ravel() for name in after])

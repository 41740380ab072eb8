"""A search space, checked against its optimizer."""

from __future__ import annotations

import math

from pydantic import FiniteFloat

from ..errors import UserError, nearest
from ..optimizer import Hyper, Optimizer, Range, SearchSpace
from ..spec import Frozen

RATE = "learning_rate"


class RangeFile(Frozen):
    """optimizer.Range as a file holds it."""

    low: FiniteFloat
    high: FiniteFloat
    log: bool = False
    below_one: bool = False

    @property
    def range(self) -> Range:
        """The value itself."""
        return Range(self.low, self.high, self.log, self.below_one)


def published(optimizer: Optimizer) -> SearchSpace:
    """The optimizer's own space, or its learning rate within two decades of the default."""
    if optimizer.space is not None:
        return optimizer.space
    rates = Range(optimizer.learning_rate / 100, optimizer.learning_rate * 100, log=True)
    source = "none is published: the learning rate within two decades of its default"
    return SearchSpace({RATE: rates}, source)


def check(space: SearchSpace, optimizer: Optimizer) -> None:
    """UserError: nothing to search, or a range reversed, not finite, or beyond the optimizer's."""
    place = f"search space of {optimizer.name}"
    for name, given in space.ranges.items():
        if name != RATE and name not in optimizer.hyper:
            raise UserError(
                f"{place}: no hyperparameter {name!r}{nearest(name, [RATE, *optimizer.hyper])}"
            )
        _check_range(f"{place}: {name}", given)
        _check_values(f"{place}: {name}", given, None if name == RATE else optimizer.hyper[name])
    if not free(space):
        why = "every value is fixed" if space.ranges else "it is empty"
        raise UserError(f"{place}: nothing to search: {why}")


def _check_range(place: str, given: Range) -> None:
    text = f"{place}: {given.low:g}..{given.high:g}"
    if not (math.isfinite(given.low) and math.isfinite(given.high)):
        raise UserError(f"{text} is not finite")
    if given.low > given.high:
        raise UserError(f"{text} is reversed; the lower limit comes first")
    if given.log and given.low <= 0:
        raise UserError(f"{text} cannot be logarithmic: the lower limit must be above 0")
    if given.below_one and not 0 <= given.low <= given.high <= 1:
        raise UserError(f"{text} is a range of 1 - value and must lie within [0, 1]")


def _check_values(place: str, given: Range, hyper: Hyper | None) -> None:
    """hyper: None for a learning rate."""
    low, high = limits_of(given)
    if (hyper.low <= low <= high <= hyper.high) if hyper else low > 0:
        return
    takes = f"[{hyper.low:g}, {hyper.high:g}]" if hyper else "numbers above 0"
    raise UserError(f"{place} from {low:g} to {high:g} leaves what it takes, {takes}")


def limits_of(given: Range) -> tuple[float, float]:
    """The least and the greatest value of the hyperparameter itself."""
    return (turned(given.high), turned(given.low)) if given.below_one else (given.low, given.high)


def at(given: Range, share: float) -> float:
    """The number at this share, 0 to 1, of the range, evenly in it or in its logarithm.

    If the range is below one, this is 1 - value.
    """
    low, high = given.low, given.high
    if not given.log:
        return low + share * (high - low)
    ratio = high / low
    span = math.log(ratio) if ratio < math.inf else math.log(high) - math.log(low)
    value = math.exp(math.log(low) + share * span)
    return min(max(value, low), high)


def turned(value: float) -> float:
    """1 - value, without the rounding that makes 1 - 0.9 less than 0.1."""
    return round(1.0 - value, 15)


def free(space: SearchSpace) -> dict[str, Range]:
    """The ranges that are searched, in order; the others hold a single value."""
    return {name: given for name, given in space.ranges.items() if given.low < given.high}

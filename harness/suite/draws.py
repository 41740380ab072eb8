"""Random search in a suite: settings drawn once and shared by everything that the suite crosses.

Bergstra & Bengio (2012), Random Search for Hyper-Parameter Optimization, JMLR 13."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from typing import Annotated, Self

import numpy as np
from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, model_validator

from .. import limits
from ..optimizer import Range, SearchSpace
from ..plugins.space import RATE, RangeFile, at
from ..spec import Frozen

_DIGITS = 4
_MOST_TRIES = 20_000


class RangeEntry(RangeFile):
    """The range [low, high] of a drawn number, in four significant digits."""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.low < self.high:
            raise ValueError(
                f"the range is empty: low = {self.low:g} is not below high = {self.high:g}"
            )
        if self.log and self.low <= 0:
            raise ValueError(f"a range in the logarithm starts above 0, not at low = {self.low:g}")
        if not math.isfinite(self.high - self.low):
            raise ValueError(
                f"the range from {self.low:g} to {self.high:g} is too wide to draw from"
            )
        return self

    def values(self) -> float:
        """About how many values of four digits lie in the range; infinity if there are plenty."""
        least, most = sorted((abs(self.low), abs(self.high)))
        if self.low <= 0.0 <= self.high or most > 1000.0 * least:
            return math.inf
        decades = range(math.floor(math.log10(least)), math.floor(math.log10(most)) + 1)
        ends = [
            (max(least, 10.0**e), min(most, 10.0 ** (e + 1)), 10.0 ** (e + 1 - _DIGITS))
            for e in decades
        ]
        # Both ends may be drawn, whatever their digits.
        return 2 + sum(math.floor(high / step) - math.floor(low / step) for low, high, step in ends)

    def at(self, share: float) -> float:
        """The value at this share, in [0, 1], of the range."""
        return _place(self.range, share)


def _place(given: Range, share: float) -> float:
    """The value at this share of a range, in four significant digits."""
    rounded = float(f"{at(given, share):.{_DIGITS}g}") if given.low < given.high else given.low
    value = min(max(rounded, given.low), given.high)
    return 1.0 - value if given.below_one else value


Choices = Annotated[list[FiniteFloat], Field(min_length=1)]


class SearchEntry(Frozen):
    """A suite's `search`: `draws` combinations of the settings that it names.

    Each setting is a range, or a list of values to choose from (a batch size always is). A draw
    depends on `seed`, its number and the setting's name alone: more draws begin with the same ones,
    and a further setting leaves the others as they are.

    published: every optimizer draws learning rate and hyperparameters from its own space, the one
    that `gradrace tune` searches; what its entry gives is not drawn. Equal ranges of two optimizers
    give equal values."""

    draws: Annotated[int, Field(gt=0, le=limits.DRAWS)]
    seed: NonNegativeInt = 0
    learning_rate: RangeEntry | Choices | None = None
    batch_size: Annotated[list[PositiveInt], Field(min_length=1)] | None = None
    hyper: dict[str, RangeEntry | Choices] = {}
    published: bool = False

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        spaces = self.spaces
        if self.published and (self.learning_rate is not None or self.hyper):
            raise ValueError("published draws learning_rate and hyper: leave these two out")
        if not spaces and not self.published:
            raise ValueError("nothing to draw: give learning_rate, batch_size, hyper or published")
        for rate in _ends(self.learning_rate):
            if rate <= 0:
                raise ValueError(f"learning_rate: {rate:g} is not greater than 0")
        for name, space in spaces.items():
            if isinstance(space, list) and len(set(space)) < len(space):
                raise ValueError(f"{name}: a value is listed twice")
        combinations = math.prod(
            len(s) if isinstance(s, list) else s.values() for s in spaces.values()
        )
        if self.draws > combinations and not self.published:
            raise ValueError(
                f"draws: there are only {combinations:g} combinations to draw {self.draws} from"
            )
        return self

    @property
    def rates(self) -> str:
        """The key that draws learning rates, "" if none does."""
        if self.published:
            return "search.published"
        return "" if self.learning_rate is None else "search.learning_rate"

    @property
    def spaces(self) -> dict[str, RangeEntry | list[float]]:
        """The searched settings by name."""
        own: dict[str, RangeEntry | list[float]] = {}
        if self.learning_rate is not None:
            own["learning_rate"] = self.learning_rate
        if self.batch_size is not None:
            own["batch_size"] = [*self.batch_size]
        return {**own, **{f"hyper.{name}": space for name, space in self.hyper.items()}}


@dataclass(frozen=True)
class Draw:
    """One combination; None and {} leave the suite's own values. number: None without a search."""

    number: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    hyper: dict[str, float] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, int]:
        """For `RunSpec.variations`."""
        return {} if self.number is None else {"draw": self.number}


def draws(search: SearchEntry | None) -> Iterator[Draw]:
    """The combinations of a search, no two alike; an empty one without a search."""
    if search is None:
        yield Draw()
        return
    seen = set[tuple[float, ...]]()
    for number in range(search.draws):
        # A combination that was drawn before is drawn anew: likely with lists of choices.
        tries = (_values(search, number, attempt) for attempt in range(_MOST_TRIES))
        new = (each for each in tries if search.published or tuple(each.values()) not in seen)
        found = next(new, None)
        if found is None:
            raise ValueError(
                f"search: after {number} draws no other combination was found in {_MOST_TRIES}"
                " tries; widen a range"
            )
        seen.add(tuple(found.values()))
        batch_size = found.get("batch_size")
        yield Draw(
            number,
            found.get("learning_rate"),
            None if batch_size is None else int(batch_size),
            {name: found[f"hyper.{name}"] for name in search.hyper},
        )


def own(search: SearchEntry | None, draw: Draw, space: SearchSpace, given: Set[str]) -> Draw:
    """The draw with an optimizer's learning rate and hyperparameters from its space, if `search` is
    of published spaces. given: the names that are not drawn."""
    if search is None or not search.published or draw.number is None:
        return draw
    values = {
        name: _place(of, _share(search, draw.number, 0, name))
        for name, of in space.ranges.items()
        if name not in given
    }
    return replace(draw, learning_rate=values.pop(RATE, None), hyper=values)


def _share(search: SearchEntry, number: int, attempt: int, name: str) -> float:
    """In [0, 1)."""
    key = [search.seed, number, attempt, zlib.crc32(name.encode())]
    return np.random.default_rng(key).random()


def _values(search: SearchEntry, number: int, attempt: int) -> dict[str, float]:
    found = {}
    for name, space in search.spaces.items():
        share = _share(search, number, attempt, name)
        found[name] = space[int(share * len(space))] if isinstance(space, list) else space.at(share)
    return found


def _ends(space: RangeEntry | list[float] | None) -> list[float]:
    if space is None:
        return []
    return space if isinstance(space, list) else [space.at(0.0), space.at(1.0)]

"""The inclusion check: an optimizer that contains another need not be worse. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..optimizer import SearchSpace
from ..statistics.intervals import Interval
from .results import Row, fold_interval, mean_interval
from .space import contains
from .study import StudyFile

# No difference found does not mean equal.
NOT_SHOWN = "not shown to be worse"
Claim = Literal["contained", "approximated", "not contained"]


@dataclass(frozen=True)
class Inclusion:
    """Whether the more general of two optimizers is shown to be worse than the other.

    If tuned enough, it need not be (Choi et al. 2019, arXiv:1910.05446, section 3). claim: how far
    its space holds the other's. difference: general minus special on validation data, over the same
    fresh seeds or folds, turned so that more is better; None if either has no score."""

    task: str
    framework: str
    general: str
    special: str
    claim: Claim
    difference: Interval | None

    @property
    def verdict(self) -> str:
        """In words."""
        if self.difference is None or not math.isfinite(self.difference.low):
            return "cannot be told"
        return "under-tuned" if self.difference.high < 0 else NOT_SHOWN


# general, special, and the hyperparameters at which the general one is the special one; None if it
# only comes near as its epsilon grows.
_ORDER: tuple[tuple[str, str, Mapping[str, float] | None], ...] = (
    ("momentum", "sgd", {"momentum": 0.0}),
    ("adam", "sgd", None),
    ("adam", "momentum", None),
    ("adamw", "adam", {"weight_decay": 0.0}),
    ("adamw", "momentum", None),
    ("mars_adamw", "adamw", {"gamma": 0.0}),
    ("grokfast_adamw", "adamw", {"amplification": 0.0}),
    ("ademamix", "adam", {"alpha": 0.0}),
)
_LARGE_EPSILON = 0.1


def inclusions(study: StudyFile, table: Sequence[Row]) -> list[Inclusion]:
    """The check for every task and framework whose study has both of a pair."""
    by_key = {(row.task, row.framework, row.optimizer): row for row in table}
    checks = []
    for task, framework in dict.fromkeys((row.task, row.framework) for row in table):
        spaces = {name: each.space for name, each in study.spaces.items()}
        for general, special, claim in claims(spaces):
            a, b = (by_key.get((task, framework, name)) for name in (general, special))
            if a and b:
                found = _difference(a, b)
                checks.append(Inclusion(task, framework, general, special, claim, found))
    return checks


def claims(spaces: Mapping[str, SearchSpace]) -> Iterator[tuple[str, str, Claim]]:
    """(general, special, claim) of every known pair among the optimizers of these spaces."""
    for general, special, at_values in _ORDER:
        if general in spaces and special in spaces:
            yield general, special, _claim(spaces[general], spaces[special], at_values)


def _claim(
    general: SearchSpace, special: SearchSpace, at_values: Mapping[str, float] | None
) -> Claim:
    if at_values is not None:
        return "contained" if contains(general, special, at_values) else "not contained"
    epsilon = general.ranges.get("epsilon")
    near = epsilon is not None and epsilon.high >= _LARGE_EPSILON
    return "approximated" if near else "not contained"


def _difference(general: Row, special: Row) -> Interval | None:
    a, b = general.tuned_checked, special.tuned_checked
    if a is None or b is None or len(a.values) != len(b.values):
        return None
    sign = 1.0 if general.higher else -1.0
    differences = [sign * (x - y) for x, y in zip(a.values, b.values, strict=True)]
    return fold_interval(differences) if general.nested else mean_interval(differences)

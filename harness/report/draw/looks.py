"""Looks: the colour, dash and marker of a series or a setup, equal wherever it appears."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ...results.columns import words

# At least 3:1 against white and against the page's dark ground. The first eight also differ for
# people without red or green cones (CIE76 of 16 and more); dashes and markers tell the rest apart.
PALETTE = words("#2474c9 #cc8400 #1d8a66 #d0589f #4699bd #b5482a #7a5cf0 #7d858d #8d8a12 #c46a5a")
DASHES: tuple[Any, ...] = (
    *("", (4, 1.5), (1.6, 1.2), (5, 1.5, 1, 1.5)),
    *((8, 2), (3, 1, 1, 1, 1, 1), (2, 2), (6, 1, 2, 1)),
)
MARKERS = "osD^vPXphd"
# With more lines than these in a panel, their bands would hide each other.
BANDS, STEPPED_BANDS = 5, 2
# Variants that dashes alone tell apart.
_VARIANTS = 4
# The metrics that are not the validation loss once more.
METRIC_TITLES = {"accuracy": "validation accuracy", "r2": "validation R²"}


# Keywords of a drawing function.
Style = dict[str, Any]


@dataclass(frozen=True)
class Look:
    """The colour, and dash and marker as the second cue."""

    color: str
    dash: Any
    marker: Any

    @property
    def linestyle(self) -> Any:
        """As matplotlib takes it."""
        return (0, self.dash) if self.dash else "-"


Looks = dict[str, Look]


def looks(names: Iterable[str]) -> Looks:
    """One look a name, by order."""
    return _distinct({name: (i, i) for i, name in enumerate(dict.fromkeys(names))})


def dashed(styles: Looks, dash: Any = "") -> Looks:
    """The same looks with this dash, by default none."""
    return {name: replace(look, dash=dash) for name, look in styles.items()}


def setup_looks(runs: pd.DataFrame, frameworks: Sequence[str]) -> Looks:
    """Looks of a suite's setups: the colour tells the framework, dash and marker the rest. A suite
    of a single framework colours its setups instead."""
    pairs = runs[["setup", "framework"]].drop_duplicates()
    if pairs["framework"].nunique() == 1 and len(pairs) > 1:
        return looks(pairs["setup"])
    places = [frameworks.index(name) for name in pairs["framework"]]
    ranks = pairs.groupby("framework").cumcount()
    cues = [place + 3 * int(rank) for place, rank in zip(places, ranks, strict=True)]
    return _distinct(dict(zip(pairs["setup"], zip(places, cues, strict=True), strict=True)))


def series_looks(runs: pd.DataFrame, optimizers: Sequence[str]) -> Looks:
    """Looks of a suite's series: the colour tells the optimizer, dash and marker the variant. A
    suite of a single optimizer, or of many variants, colours its series instead."""
    variants = list(dict.fromkeys(runs["variant"]))
    if len(variants) > 1 and (runs["optimizer"].nunique() == 1 or len(variants) > _VARIANTS):
        return looks(runs["series"])
    found = {}
    for row in runs.drop_duplicates("series").itertuples():
        place = optimizers.index(row.optimizer)
        cue = variants.index(row.variant) if len(variants) > 1 else place
        found[row.series] = (place, cue)
    return _distinct(found)


def layer_looks(bands: pd.DataFrame) -> Looks:
    """Looks of layers `<position>_<kind>`, by position."""
    names = set(bands["layer"])
    return looks(sorted(names, key=lambda name: (int(name.partition("_")[0]), name)))


def _distinct(wanted: Mapping[str, tuple[int, int]]) -> Looks:
    """A look for each name from its colour and its cue; if both are taken the next cue is: no two
    looks have one colour and one dash, or one colour and one marker."""
    taken: set[tuple[int, int]] = set()
    found = {}
    for name, (place, cue) in wanted.items():
        color, cue = place % len(PALETTE), cue % len(DASHES)
        while (color, cue) in taken:
            cue += 1
        taken.add((color, cue))
        found[name] = Look(PALETTE[color], _dash(cue), _marker(cue))
    return found


def _dash(cue: int) -> Any:
    """Beyond DASHES, a long dash and then a short or a shorter one for each binary digit."""
    if cue < len(DASHES):
        return DASHES[cue]
    return (9, 1.2, *(part for digit in f"{cue:b}" for part in (3 if digit == "1" else 1, 1.2)))


def _marker(cue: int) -> Any:
    """Beyond MARKERS, stars of ever more rays."""
    return MARKERS[cue] if cue < len(MARKERS) else (cue - len(MARKERS) + 4, 1, 0)

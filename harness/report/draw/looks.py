"""Looks: the colour, dash and marker of a series or a setup, equal wherever it appears."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
# The metrics that are not the validation loss once more.
METRIC_TITLES = {"accuracy": "validation accuracy", "r2": "validation R²"}


# Keywords of a drawing function.
Style = dict[str, Any]


@dataclass(frozen=True)
class Look:
    """The colour, and dash and marker as the second cue."""

    color: str
    dash: Any
    marker: str

    @property
    def linestyle(self) -> Any:
        """As matplotlib takes it."""
        return (0, self.dash) if self.dash else "-"


Looks = dict[str, Look]


def looks(names: Iterable[str]) -> Looks:
    """One look a name, by order."""
    return {name: _look(i, i, i) for i, name in enumerate(dict.fromkeys(names))}


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
    named = zip(pairs["setup"], places, cues, strict=True)
    return {setup: _look(place, cue, cue) for setup, place, cue in named}


def series_looks(runs: pd.DataFrame, optimizers: Sequence[str]) -> Looks:
    """Looks of a suite's series: the colour tells the optimizer, dash and marker the variant. A
    suite of a single optimizer colours its variants instead."""
    variants = list(dict.fromkeys(runs["variant"]))
    if runs["optimizer"].nunique() == 1 and len(variants) > 1:
        return looks(runs["series"])
    found = {}
    for row in runs.drop_duplicates("series").itertuples():
        place = optimizers.index(row.optimizer)
        cue = variants.index(row.variant) if len(variants) > 1 else place
        found[row.series] = _look(place, cue, cue)
    return found


def layer_looks(bands: pd.DataFrame) -> Looks:
    """Looks of layers `<position>_<kind>`, by position."""
    names = set(bands["layer"])
    return looks(sorted(names, key=lambda name: (int(name.partition("_")[0]), name)))


def _look(color: int, dash: int, marker: int) -> Look:
    return Look(
        PALETTE[color % len(PALETTE)], DASHES[dash % len(DASHES)], MARKERS[marker % len(MARKERS)]
    )

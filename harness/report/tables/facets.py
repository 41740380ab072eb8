"""Series to panels: at most about ten lines a panel, and a name in the legend for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

# Lines of one panel: in general, and if they are all variants of one optimizer, or all optimizers
# of one variant.
TOGETHER, WHOLE = 10, 12
# Series of one task that are drawn; the data of a figure have all.
DRAWN = 48


@dataclass(frozen=True)
class Facets:
    """Where series are drawn. Each has its panel ("" if there is one only) and its name in the
    legend: the series itself, or what tells it from others of its panel."""

    panel: dict[str, str]
    hue: dict[str, str]

    def applied(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with columns `facet` and `hue`, panels in order."""
        order = list(dict.fromkeys(self.panel.values()))
        table = table.assign(
            facet=table["series"].map(self.panel), hue=table["series"].map(self.hue)
        )
        return table.iloc[table["facet"].map(order.index).argsort(kind="stable")]


def facets(runs: pd.DataFrame) -> Facets:
    """Facets of the series of these runs (task, series, optimizer, variant): one panel for few, a
    panel for each optimizer with its variants, for each variant with its optimizers, or about ten
    series each in their order."""
    known = runs.drop_duplicates("series").set_index("series")
    series = list(known.index)
    together = runs.groupby("task")["series"].nunique().max() if len(runs) else 0
    if together <= TOGETHER:
        return Facets(dict.fromkeys(series, ""), {name: name for name in series})
    for panel, hue in (("optimizer", "variant"), ("variant", "optimizer")):
        if 1 < known[panel].nunique() <= WHOLE and 1 < known[hue].nunique() <= WHOLE:
            panels = {name: of or "plain" for name, of in known[panel].items()}
            return Facets(panels, {name: of or "plain" for name, of in known[hue].items()})
    return Facets(_in_order(series), {name: name for name in series})


def _in_order(series: Sequence[str]) -> dict[str, str]:
    count = math.ceil(len(series) / TOGETHER)
    each = math.ceil(len(series) / count)
    return {
        name: f"series {i // each * each + 1} to {min(len(series), (i // each + 1) * each)}"
        for i, name in enumerate(series)
    }


def drawn(runs: pd.DataFrame, most: int = DRAWN) -> pd.DataFrame:
    """task, series: the series of each task that figures show, so many at most. Those whose runs
    ended with the lowest mean validation loss go first; those without a run that ended ok last."""
    ended = runs["final_validation_loss"].where(runs["status"] == "ok")
    means = ended.groupby([runs["task"], runs["series"]], sort=False).mean().rename("loss")
    table = means.reset_index()
    best = table.sort_values("loss", kind="stable").groupby("task", sort=False).head(most)
    return table.loc[best.index.sort_values(), ["task", "series"]].reset_index(drop=True)

"""Which series of a suite its figures show, in which panels, with which looks."""

from __future__ import annotations

import pandas as pd

from .draw.looks import Looks, looks
from .tables.facets import DRAWN, drawn, facets


class ShownSeries:
    """Where the series of trained runs are drawn. styles: the looks of the names in legends.

    trained: the convergence runs of a suite; series: the looks of its series."""

    def __init__(self, trained: pd.DataFrame, series: Looks) -> None:
        self._trained, self._facets = trained, facets(trained)
        self._drawn: dict[int, dict[str, set[str]]] = {}
        hues = list(dict.fromkeys(self._facets.hue.values()))
        self.styles = series if set(hues) <= set(series) else looks(hues)

    def of(self, table: pd.DataFrame, task: str, most: int = DRAWN) -> pd.DataFrame:
        """The rows of the series that are shown of a task, with the columns `facet` and `hue`."""
        return self._facets.applied(table[table["series"].isin(self._names(task, most))])

    def note(self, task: str, most: int = DRAWN) -> str:
        """Says which series are left out; empty if none is."""
        every = self._trained.loc[self._trained["task"] == task, "series"].nunique()
        if every <= most:
            return ""
        return (
            f"Of {every} series the {most} with the lowest mean final validation loss are drawn;"
            " the data have all."
        )

    def _names(self, task: str, most: int) -> set[str]:
        if most not in self._drawn:
            found = drawn(self._trained, most)
            self._drawn[most] = {
                str(task): set(rows["series"]) for task, rows in found.groupby("task")
            }
        return self._drawn[most].get(task, set())

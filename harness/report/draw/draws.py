"""Draws of a random search: score against learning rate, and the best to expect."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import lines
from .axes import Axis, level, scale, wrapped
from .legend import legend
from .lines import Lines
from .looks import Looks, Style, looks
from .touch import tag
from .tuning import crosses


def draws(table: pd.DataFrame, label: str, percent: bool) -> Figure:
    """A panel for each series of each setup, a colour for each batch size; crosses at the bottom
    are draws of which a run did not end ok."""
    panels = table[["setup", "series"]].drop_duplicates().itertuples(index=False, name=None)
    panels = list(panels)
    sizes = sorted(set(table["batch_size"]))
    styles = looks(f"batch {size}" for size in sizes)
    figure, axes = wrapped(len(panels), 3, (4.3, 2.6), room=0.5, least=5.2)
    for axis, (setup, series) in zip(axes.flat, panels, strict=False):
        _marks(axis, table[(table["setup"] == setup) & (table["series"] == series)], styles)
        axis.set_title(f"{setup} · {series}")
        scale(axis, "x", Axis("learning rate", log=True), table["learning_rate"])
    for axis in axes[:, 0]:
        scale(axis, "y", Axis(label, percent=percent), table["score"])
    legend(figure, styles, styles, "marker")
    return figure


def _marks(axis: Axes, draws: pd.DataFrame, styles: Looks) -> None:
    for size, of_size in draws.groupby("batch_size"):
        name, whole = f"batch {size}", of_size["ok"] == of_size["runs"]
        look, fine, lost = styles[name], of_size[whole], of_size.loc[~whole, "learning_rate"]
        style: Style = {"color": look.color, "markersize": 4.5, "mew": 0, "alpha": 0.85}
        rates, scores = fine["learning_rate"], fine["score"]
        (marks,) = axis.plot(rates, scores, look.marker, **style)
        said = [f"draw {draw}, {name}" for draw in fine["draw"]]
        tag(marks, name, "marks", rates, scores, labels=said, runs=list(fine["digests"]))
        crosses(axis, lost, 0.03, look, name, markersize=4.5)


def best_of_draws(curves: pd.DataFrame, styles: Looks, label: str, percent: bool) -> Figure:
    """The best score to expect of so many draws. Columns: setups. Rows: series, some to a panel.
    The table is that of tables.random_search.expected."""
    trusted = partial(_trusted, end=float(curves["reliable_up_to"].min()))
    points = lines.placed(curves, "series", {"x": "draws", "y": "expected"})
    x, y = Axis("draws", log=True), Axis(f"best {label}", percent=percent)
    return lines.draw(Lines(points, styles, x, y, decorate=trusted))


def _trusted(axis: Axes, _: pd.DataFrame, end: float) -> None:
    level(axis, end, vertical=True)

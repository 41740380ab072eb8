"""Draws of a random search: score against learning rate."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .axes import Axis, scale, wrapped
from .legend import legend
from .looks import Looks, Style, looks
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
        look, whole = styles[f"batch {size}"], of_size["ok"] == of_size["runs"]
        fine, lost = of_size[whole], of_size.loc[~whole, "learning_rate"]
        marks: Style = {"color": look.color, "markersize": 4.5, "mew": 0, "alpha": 0.85}
        axis.plot(fine["learning_rate"], fine["score"], look.marker, **marks)
        crosses(axis, lost, 0.03, look, markersize=4.5)

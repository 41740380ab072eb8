"""Losses against the share of the training split, and norms of gradients."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from .axes import grid, logarithmic, width
from .bands import banded
from .legend import legend
from .looks import METRIC_TITLES, Looks, Style, dashed, layer_looks
from .svg import INK
from .values import value_axis

# The training loss beside the validation loss of the same colour.
_TRAINED = (4, 2)


def by_fraction(bands: pd.DataFrame, styles: Looks, kind: str) -> Figure:
    """Columns: setups. Above, loss against the share of the training split, validation solid and
    training dashed; below, the validation metric of this `kind`, if it is not a loss. Bands are
    the range over runs."""
    setups = list(dict.fromkeys(bands["setup"]))
    metrics = ["validation_loss", *(["validation_metric"] if kind in METRIC_TITLES else [])]
    size = (width(len(setups), 5.2, 2.6), 2.2)
    figure, axes = grid(len(metrics), len(setups), size, sharex=True, sharey="row")
    solid = dashed(styles)
    looks = {name: solid for name in metrics} | {"train_loss": dashed(styles, _TRAINED)}
    for row, metric in zip(axes, metrics, strict=True):
        drawn = ["train_loss", metric] if metric == "validation_loss" else [metric]
        shown = bands[bands["metric"].isin(drawn)]
        for axis, setup in zip(row, setups, strict=True):
            panel = shown[shown["setup"] == setup]
            for name in drawn:
                of = panel[panel["metric"] == name]
                banded(axis, of, "series", looks[name], x="fraction", marked=True)
        # Every share counts: value_axis takes `step` for how far a run has come.
        value_axis(list(row), metric, shown.assign(step=1.0), shown.iloc[:0], kind=kind)
    for axis, setup in zip(axes[0], setups, strict=True):
        axis.set_title(setup)
    for axis in axes[-1]:
        axis.set_xlabel("share of the training split")
    axes[0, 0].set_ylabel("final loss")
    _fractions(axes[0, 0], sorted(set(bands["fraction"])))
    legend(figure, solid, bands["series"], "both")
    kinds: Style = {"validation": "-", "training": (0, _TRAINED)}
    handles = [Line2D([], [], color=INK, linestyle=d, label=name) for name, d in kinds.items()]
    axes[0, 0].legend(handles=handles, loc="best", handlelength=2.4)
    return figure


def _fractions(axis: Axes, fractions: list[float]) -> None:
    axis.set_xscale("log")
    axis.set_xticks(fractions, [f"{100 * fraction:g}%" for fraction in fractions])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())


def gradient_norms(bands: pd.DataFrame) -> Figure:
    """Rows: series. Columns: setups. Lines: the norm of every layer's gradient over steps, the mean
    over runs with their range as a band; logarithmic."""
    setups, names = (list(dict.fromkeys(bands[column])) for column in ("setup", "series"))
    styles = layer_looks(bands)
    size = (width(len(setups), 5.2, 2.6), 2.2)
    figure, axes = grid(len(names), len(setups), size, sharex=True, sharey=True)
    for row, name in zip(axes, names, strict=True):
        for axis, setup in zip(row, setups, strict=True):
            shown = bands[(bands["series"] == name) & (bands["setup"] == setup)]
            banded(axis, shown, "layer", styles)
            axis.set_title(f"{setup} · {name}" if len(names) > 1 else setup)
        row[0].set_ylabel("norm of gradient")
    logarithmic(axes[0, 0], "y", bands["mean"])
    for axis in axes[-1]:
        axis.set_xlabel("step")
    legend(figure, styles, bands["layer"], "line")
    return figure

"""The figures of the diagnosis section, in the manner of figures.py: everything is computed before
it is drawn.
"""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from .figures import METRIC_TITLES, Look, Looks, _grid, _legend, _lines, _log, _value_axis, looks
from .svg import INK

# The training loss beside the validation loss of the same colour.
_TRAINED = (4, 2)


def by_fraction(bands: pd.DataFrame, styles: Looks, kind: str) -> Figure:
    """Columns: setups. Above, loss against the share of the training split, validation solid and
    training dashed; below, the validation metric of this `kind`, where it is not a loss. Bands are
    the range over runs."""
    setups = list(dict.fromkeys(bands["setup"]))
    metrics = ["validation_loss", *(["validation_metric"] if kind in METRIC_TITLES else [])]
    figure, axes = _grid(
        len(metrics),
        len(setups),
        (min(5.2, max(2.6, 12.8 / len(setups))), 2.2),
        sharex=True,
        sharey="row",
    )
    solid = {name: Look(look.color, "", look.marker) for name, look in styles.items()}
    dashed = {name: Look(look.color, _TRAINED, look.marker) for name, look in styles.items()}
    for row, metric in zip(axes, metrics, strict=True):
        together = ("train_loss", "validation_loss") if metric == "validation_loss" else (metric,)
        shown = bands[bands["metric"].isin(together)]
        for axis, setup in zip(row, setups, strict=True):
            panel = shown[shown["setup"] == setup]
            _lines(
                axis,
                panel[panel["metric"] == "train_loss"],
                "series",
                dashed,
                x="fraction",
                marked=True,
            )
            _lines(
                axis, panel[panel["metric"] == metric], "series", solid, x="fraction", marked=True
            )
        # Every share counts here: `step` is what _value_axis takes for how far a run has come.
        _value_axis(list(row), metric, shown.assign(step=1.0), shown.iloc[:0], math.nan, kind)
    axes[0, 0].set_ylabel("final loss")
    for axis, setup in zip(axes[0], setups, strict=True):
        axis.set_title(setup)
    fractions = sorted(set(bands["fraction"]))
    axes[0, 0].set_xscale("log")
    axes[0, 0].set_xticks(fractions, [f"{100 * fraction:g}%" for fraction in fractions])
    axes[0, 0].xaxis.set_minor_locator(NullLocator())
    axes[0, 0].xaxis.set_minor_formatter(NullFormatter())
    for axis in axes[-1]:
        axis.set_xlabel("share of the training split")
    _legend(figure, solid, bands["series"], "both")
    kinds = [
        Line2D([], [], color=INK, linestyle="-", label="validation"),
        Line2D([], [], color=INK, linestyle=(0, _TRAINED), label="training"),
    ]
    axes[0, 0].legend(handles=kinds, loc="best", handlelength=2.4)
    return figure


def gradient_norms(bands: pd.DataFrame) -> Figure:
    """Rows: series. Columns: setups. Lines: the norm of every layer's gradient over steps, the mean
    over runs with their range as a band; logarithmic."""
    setups, names = (list(dict.fromkeys(bands[column])) for column in ("setup", "series"))
    styles = layer_looks(bands)
    width = min(5.2, max(2.6, 12.8 / len(setups)))
    figure, axes = _grid(len(names), len(setups), (width, 2.2), sharex=True, sharey=True)
    for row, name in zip(axes, names, strict=True):
        for axis, setup in zip(row, setups, strict=True):
            _lines(
                axis, bands[(bands["series"] == name) & (bands["setup"] == setup)], "layer", styles
            )
            axis.set_title(f"{setup} · {name}" if len(names) > 1 else setup)
        row[0].set_ylabel("norm of gradient")
    _log(axes[0, 0], "y", bands["mean"])
    for axis in axes[-1]:
        axis.set_xlabel("step")
    _legend(figure, styles, bands["layer"], "line")
    return figure


def layer_looks(bands: pd.DataFrame) -> Looks:
    """Of layers `<position>_<kind>`, by position."""
    return looks(
        sorted(set(bands["layer"]), key=lambda layer: (int(layer.partition("_")[0]), layer))
    )

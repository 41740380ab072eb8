"""The y axes of losses and metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .axes import level, logarithmic, percent
from .looks import METRIC_TITLES

LOSSES = {"train_loss": "training loss", "validation_loss": "validation loss"}


def value_axis(
    axes: Sequence[Axes],
    metric: str,
    bands: pd.DataFrame,
    lost: pd.DataFrame,
    target: float = math.nan,
    kind: str = "accuracy",
) -> None:
    """Label, scale and limits of a shared y axis; by runs that ended ok, so that a diverged one
    cannot flatten them."""
    axes[0].set_ylabel(METRIC_TITLES[kind] if metric == "validation_metric" else LOSSES[metric])
    low, high = (bands["min"], bands["max"]) if len(bands) else (lost["value"], lost["value"])
    if low.empty:
        return
    if metric == "validation_metric":
        late = low[bands["step"] >= bands["step"].max() / 4] if len(bands) else low
        _metric_axis(axes, float(late.min()), target, kind == "accuracy")
    elif low.min() > 0:
        bottom, top = max(float(low.min()), 1e-7), min(float(high.max()), 1e7)
        if len(lost):
            top = max(top, min(4 * top, float(lost["value"].max())))
        limits = (bottom / 1.15, max(top, bottom * 1.5) * 1.15)
        axes[0].set_ylim(limits)
        logarithmic(axes[0], "y", pd.Series(limits))
    for axis in axes:
        axis.yaxis.label.set_visible(axis is axes[0] or len(axes) == 1)


def _metric_axis(axes: Sequence[Axes], low: float, target: float, in_percent: bool) -> None:
    """From `low` and the target up to 1, the best there is; the rise of the first steps may start
    below."""
    known = math.isfinite(target)
    axes[0].set_ylim(min(low, target if known else low) - 0.02, 1.005)
    score_ticks(axes[0], in_percent)
    for axis in axes if known else ():
        level(axis, target)


def score_ticks(axes: Axes, in_percent: bool) -> None:
    """Few round ticks."""
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if in_percent:
        percent(axes.yaxis)

"""The y axes of losses and metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .axes import level, logarithmic, percent
from .limits import loss_limits, metric_limits
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
    """Label of the first, scale and limits of a shared y axis; by runs that ended ok, so that a
    diverged one cannot flatten them."""
    axes[0].set_ylabel(METRIC_TITLES[kind] if metric == "validation_metric" else LOSSES[metric])
    if bands.empty and lost.empty:
        return
    if metric == "validation_metric":
        axes[0].set_ylim(metric_limits(bands, lost, target))
        score_ticks(axes[0], kind == "accuracy")
        for axis in axes if math.isfinite(target) else ():
            level(axis, target)
    elif limits := loss_limits(bands, lost):
        axes[0].set_ylim(limits)
        logarithmic(axes[0], "y", pd.Series(limits))


def score_ticks(axes: Axes, in_percent: bool) -> None:
    """Few round ticks."""
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if in_percent:
        percent(axes.yaxis)

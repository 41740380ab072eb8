"""Where a step goes: bars of its parts beside the whole."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..content import Row
from .looks import Looks, looks
from .svg import INK
from .touch import tag

PARTS = {"forward_s": "forward", "backward_s": "backward", "optimizer_s": "optimizer"}
_REMAINDER: dict[str, Any] = dict(facecolor="none", edgecolor=INK, hatch="////", linewidth=0.6)


def breakdown(times: pd.DataFrame) -> Figure:
    """Per cell two bars: above, forward, backward and optimizer in a row, each measured apart, and
    hatched, what is missing from the whole step or goes beyond it; below, the whole step, with its
    95% interval over launches."""
    names = [f"{row.setup} · {row.series}" for row in times.itertuples()]
    styles = looks([*PARTS.values(), "whole step"])
    figure = Figure(figsize=(8.2, 1.0 + 0.42 * len(names)), layout="constrained")
    axis = figure.subplots()
    longest = max(_bars(axis, y, row, styles) for y, row in enumerate(times.to_dict("records")))
    axis.set_yticks(range(len(names)), names)
    # A wide interval may leave the picture: the bars must be seen.
    axis.set(ylim=(len(names) - 0.4, -0.6), xlim=(0, 1.15 * longest), xlabel="microseconds a step")
    axis.grid(visible=False, axis="y")
    handles = [Patch(color=look.color, label=name) for name, look in styles.items()]
    if times["remainder_s"].notna().any():
        handles.append(Patch(label="remainder", **_REMAINDER))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), borderaxespad=0.2)
    return figure


def _bars(axis: Axes, y: int, row: Row, styles: Looks) -> float:
    """Draws the bars of a cell; the microseconds at which the longer one ends."""
    left, whole = 0.0, 1e6 * row["step_p25_s"]
    name = f"{row['setup']} · {row['series']}"
    for part, label in PARTS.items():
        width = 0.0 if math.isnan(row[part]) else max(0.0, 1e6 * row[part])
        bars = axis.barh(y - 0.2, width, 0.36, left=left, color=styles[label].color)
        left += width
        said = [f"{name}: {label} {width:.4g} µs"]
        tag(bars[0], label, "bars", [left], [y - 0.2], labels=said, runs=[row["digests"]])
    if not math.isnan(row["remainder_s"]):
        rest = axis.barh(y - 0.2, abs(whole - left), 0.36, left=min(left, whole), **_REMAINDER)
        tag(rest[0], "remainder", "bars")
    bars = axis.barh(y + 0.17, whole, 0.22, color=styles["whole step"].color)
    tag(bars[0], "whole step", "bars", [whole], [y + 0.17], labels=[name], runs=[row["digests"]])
    low, high = 1e6 * row["step_p25_s_low"], 1e6 * row["step_p25_s_high"]
    if not math.isnan(low):
        axis.hlines(y + 0.17, low, high, color=INK, linewidth=1.0)
    return max(left, whole)

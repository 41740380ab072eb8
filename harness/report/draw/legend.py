"""The legend above the panels of a figure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .looks import Look, Looks
from .names import shortened
from .touch import tag

Kind = Literal["line", "marker", "both"]
# Inches of a line of a legend.
_LINE = 0.19


def legend(figure: Figure, styles: Looks, used: Iterable[str], kind: Kind) -> None:
    """Names the looks that are used; a name that was shortened is whole in its tag. The figure
    grows by the lines beyond the first, so that they are not taken from the panels."""
    wanted = set(used)
    shown = shortened(name for name in styles if name in wanted)
    names = list(shown)
    longest = max((len(name) for name in shown.values()), default=1)
    across = max(1, int(figure.get_figwidth() * 15 // (longest + 7)))
    figure.set_figheight(figure.get_figheight() + _LINE * (math.ceil(len(names) / across) - 1))
    drawn = figure.legend(
        handles=[_handle(styles[name], shown[name], kind) for name in names],
        loc="outside upper left",
        ncols=min(across, len(names) or 1),
        borderaxespad=0.2,
    )
    for text, name in zip(drawn.get_texts(), names, strict=True):
        tag(text, name, "marks")


def _handle(look: Look, name: str, kind: Kind) -> Line2D:
    dash: Any = "none" if kind == "marker" else look.linestyle
    marker = "" if kind == "line" else look.marker
    return Line2D([], [], color=look.color, label=name, markersize=5, linestyle=dash, marker=marker)

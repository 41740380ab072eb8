"""A drawn figure for the script of the page: its panels, and the data of its series.

`mark` gives groups of the SVG a name before it is written; `described` says afterwards where the
panels lie and what the marked artists show. A list of numbers or of runs that several artists have
in common stands there once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.spines import Spine
from matplotlib.ticker import FixedFormatter, FormatStrFormatter, FuncFormatter, NullFormatter

from .touch import Tag, tag_of

# Begins the name of a group that the script must find.
MARK = "touch:"
_POINTS = 72


def mark(figure: Figure) -> None:
    """Names what the script must find: panels, their axes, tagged artists, entries of the legend,
    and artists that do not move, or move one way only, if the panel is zoomed."""
    number = 0
    for i, axes in enumerate(_shown(figure)):
        axes.set_gid(f"{MARK}panel{i}")
        axes.xaxis.set_gid(f"{MARK}x")
        axes.yaxis.set_gid(f"{MARK}y")
        for artist in _children(axes):
            if tag_of(artist):
                artist.set_gid(f"{MARK}item{number}")
                number += 1
            elif moves := _moves(artist, axes):
                artist.set_gid(f"{MARK}{moves}")
    for legend in figure.legends:
        legend.set_gid(f"{MARK}legend")
        for i, handle in enumerate(legend.legend_handles):
            if handle is not None:
                handle.set_gid(f"{MARK}handle{i}")
        for i, text in enumerate(legend.get_texts()):
            text.set_gid(f"{MARK}name{i}")


def described(figure: Figure) -> dict[str, Any]:
    """The panels, the series of the legend, and the items (tagged artists, in the order of `mark`);
    empty if nothing is tagged. Numbers have 7 significant digits."""
    numbers, texts = _Once(), _Once()
    shown = _shown(figure)
    items = [
        {"panel": i, **_item(artist, found, numbers, texts)}
        for i, axes in enumerate(shown)
        for artist in _children(axes)
        if (found := tag_of(artist))
    ]
    if not items:
        return {}
    texts_of = [text for legend in figure.legends for text in legend.get_texts()]
    names = [found.series if (found := tag_of(text)) else text.get_text() for text in texts_of]
    return {
        "panels": [_panel(axes, shown) for axes in shown],
        "legend": names,
        "items": items,
        "numbers": [[_number(value) for value in values] for values in numbers.kept],
        "texts": texts.kept,
    }


class _Once:
    """Sequences, each kept once."""

    def __init__(self) -> None:
        self._places: dict[tuple[Any, ...], int] = {}

    def place(self, values: Iterable[Any]) -> int:
        """The number of this sequence."""
        return self._places.setdefault(tuple(values), len(self._places))

    @property
    def kept(self) -> list[tuple[Any, ...]]:
        """By their numbers."""
        return list(self._places)


def _shown(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible()]


def _children(axes: Axes) -> list[Artist]:
    return [artist for artist in axes.get_children() if not isinstance(artist, Axis)]


def _moves(artist: Artist, axes: Axes) -> str:
    """`still`, `x-only` or `y-only` if it does not follow both axes."""
    if isinstance(artist, Spine):
        return "still"
    transforms = [artist.get_transform()]
    if hasattr(artist, "get_offset_transform"):
        transforms.append(artist.get_offset_transform())
    found = [each.contains_branch_seperately(axes.transData) for each in transforms]
    x, y = (any(both) for both in zip(*found, strict=True))
    return "" if x and y else "x-only" if x else "y-only" if y else "still"


def _item(artist: Artist, tag: Tag, numbers: _Once, texts: _Once) -> dict[str, Any]:
    item: dict[str, Any] = {"series": tag.series, "kind": tag.kind}
    for name in ("x", "y", "low", "high"):
        if values := getattr(tag, name):
            item[name] = numbers.place(values)
    for name in ("labels", "runs"):
        if values := getattr(tag, name):
            item[name] = texts.place(values)
    if step := _step(artist):
        item["step"] = step
    return item


def _step(artist: Artist) -> str:
    """How a line or a band goes from point to point: "" is straight, else pre, mid or post."""
    style = getattr(artist, "get_drawstyle", lambda: "")().removeprefix("steps").lstrip("-")
    return str(getattr(artist, "_step", None) or style).replace("default", "")


def _panel(axes: Axes, shown: Sequence[Axes]) -> dict[str, Any]:
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = figure.get_size_inches() * _POINTS
    place = axes.get_position()
    box = (place.x0 * width, (1 - place.y1) * height, place.width * width, place.height * height)
    above = (each.get_title() for each in shown if each.get_position().x0 == place.x0)
    return {
        "box": [round(value, 2) for value in box],
        "title": axes.get_title() or next((title for title in above if title), ""),
        "x": _scale(axes.xaxis, [each.xaxis for each in _sharing(axes, shown, "x")], shown),
        "y": _scale(axes.yaxis, [each.yaxis for each in _sharing(axes, shown, "y")], shown),
    }


def _sharing(axes: Axes, shown: Sequence[Axes], which: str) -> list[Axes]:
    shared = axes.get_shared_x_axes() if which == "x" else axes.get_shared_y_axes()
    return [each for each in shown if each is axes or shared.joined(axes, each)]


def _scale(axis: Axis, sharing: Sequence[Axis], shown: Sequence[Axes]) -> dict[str, Any]:
    """share: the number of the first panel that has this scale. ticks: who knows their labels: the
    script (`number`, `percent`) or only matplotlib (`own`, and if it is a scale that the script
    does not know)."""
    name = axis.get_scale()
    labels = (each.get_label_text() for each in sharing)
    ticks = _ticks(axis) if name in ("linear", "log") else "own"
    return {
        "limits": [_number(float(limit)) for limit in axis.get_view_interval()],
        "log": name == "log",
        "known": name in ("linear", "log"),
        "share": shown.index(sharing[0].axes),
        "label": next((label for label in labels if label), ""),
        "ticks": ticks,
    }


def _ticks(axis: Axis) -> str:
    formatter = axis.get_major_formatter()
    if isinstance(formatter, FuncFormatter):
        shown = formatter(0.5, 0)
        return {"50%": "percent", "0.5": "number"}.get(shown, "own")
    own = (FixedFormatter, FormatStrFormatter, NullFormatter)
    return "own" if isinstance(formatter, own) or hasattr(axis.units, "_mapping") else "number"


def _number(value: float) -> float | int | str | None:
    """Seven digits; what JSON has no number for as a text."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    short = float(f"{value:.7g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short

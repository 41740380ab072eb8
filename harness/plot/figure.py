"""A drawing as a matplotlib Figure: in the report's style on white, of a wanted width."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from textwrap import wrap
from typing import Any, Literal

import matplotlib
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from ..errors import UserError
from ..report.draw.svg import styled
from ..strict import given

Width = float | Literal["one", "two"] | None
# Inches of a column, and of two with the gap between them: 89 and 183 mm.
COLUMNS = {"one": 3.5, "two": 7.2}
# Inches; less leaves no room for two panels, more fits on no page.
_LEAST, _MOST = 2.0, 40.0
# Of the size of the report's text, and of its ticks' labels: 7 points for 8.5, as journals ask.
_PRINTED, _TICKS = 0.82, 8.0
# Of the height, at least, if a figure becomes narrow.
_LOWEST = 0.72
# The mean width of a letter in sizes of its font, and the letters that a handle and the gaps take.
_LETTER, _HANDLE = 0.57, 9
# Of the width of ticks' labels, so that they stand apart.
_SPACED = 1.2
_DPI = 144


class Plot(Figure):
    """A matplotlib Figure that a notebook shows although pyplot does not know it.

    title, caption: what the report says above and below it."""

    title: str
    caption: str

    def _repr_png_(self) -> tuple[bytes, dict[str, float]]:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_DPI)
        width, height = (inches * 72 * 4 / 3 for inches in self.get_size_inches())
        return buffer.getvalue(), {"width": width, "height": height}


def made(draw: Callable[[], Figure], title: str, caption: str, width: Width) -> Plot:
    """Draws it in the report's style, seaborn's "ticks" beneath, in this width: that of the report
    if None."""
    inches = inches_of(width)
    with matplotlib.rc_context(seaborn.axes_style("ticks")), styled():
        figure: Any = draw()
        if inches is not None:
            _fit(figure, inches)
        # Ticks are made when they are drawn, in the style of that moment.
        figure.draw_without_rendering()
    figure.__class__ = Plot
    figure.title, figure.caption = title, caption
    plot: Plot = figure
    return plot


def inches_of(width: Width | str) -> float | None:
    """The width in inches; None for that of the report. UserError unless it is one."""
    if width is None or width in COLUMNS:
        return None if width is None else COLUMNS[str(width)]
    try:
        inches = float(width)
    except (TypeError, ValueError):
        inches = math.nan
    if not _LEAST <= inches <= _MOST:
        raise UserError(
            f"width {given(width)}: expected one or two (columns of a page), or inches from"
            f" {_LEAST:g} to {_MOST:g}"
        )
    return inches


def _fit(figure: Figure, inches: float) -> None:
    """Text takes the size of a printed page, panels the rest; what becomes narrow becomes lower."""
    share = inches / figure.get_figwidth()
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_fontsize(float(text.get_fontsize()) * _PRINTED)
    for axes in figure.axes:
        axes.tick_params(labelsize=_TICKS * _PRINTED)
    figure.set_size_inches(inches, figure.get_figheight() * min(1.0, max(_LOWEST, share)))
    for legend in list(figure.legends):
        _wrap(figure, legend)
    figure.draw_without_rendering()
    for axes in figure.axes:
        _wrap_words(axes)
        _thin_ticks(axes)


def _wrap(figure: Figure, legend: Legend) -> None:
    """As many entries side by side as the width has room for, long ones shortened."""
    texts, before = legend.get_texts(), legend.get_window_extent().height
    if not texts:
        return
    size = float(texts[0].get_fontsize())
    room = int(figure.get_figwidth() * 72 / (size * _LETTER))
    names = [_shortened(text.get_text(), room - _HANDLE) for text in texts]
    columns = max(1, min(room // (max(map(len, names)) + _HANDLE), len(names)))
    handles = legend.legend_handles
    legend.remove()
    place: Any = {"loc": "outside upper left", "ncols": columns, "borderaxespad": 0.2}
    wrapped = figure.legend(handles=handles, labels=names, fontsize=size, **place)
    taller = wrapped.get_window_extent().height - before
    figure.set_figheight(figure.get_figheight() + taller / figure.dpi)


def _shortened(name: str, letters: int) -> str:
    if len(name) <= letters:
        return name
    half = (letters - 1) // 2
    return f"{name[: letters - 1 - half]}…{name[-half:]}"


def _wrap_words(axes: Axes) -> None:
    """A title or a label that is wider than its panel goes on in the next line."""
    room = axes.get_window_extent().width
    for text in (axes.title, axes.xaxis.label):
        said = text.get_text()
        if said and (wide := text.get_window_extent().width) > room:
            letters = max(4, int(len(said) * room / wide))
            whole: Any = {"break_long_words": False, "break_on_hyphens": False}
            text.set_text("\n".join(wrap(said, letters, **whole)))


def _thin_ticks(axes: Axes) -> None:
    """Fewer ticks where their labels would run into each other."""
    low, high = sorted(axes.get_xlim())
    places = [tick for tick in axes.get_xticks() if low <= tick <= high]
    labels = [text for text in axes.get_xticklabels() if text.get_visible() and text.get_text()]
    needed = _SPACED * sum(label.get_window_extent().width for label in labels)
    room = axes.get_window_extent().width
    if needed > room:
        axes.set_xticks(places[:: math.ceil(needed / room)])

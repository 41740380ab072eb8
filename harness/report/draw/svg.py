"""A matplotlib figure as an inline SVG in the page's colours, the same to the byte every time."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from ...output.escaping import for_script
from ...results.columns import words
from .compact import compact
from .panels import MARK, described, mark

# Whatever is drawn in this colour takes the text colour of the page, light or dark.
INK = "#010203"
_COLORED = words(
    "text.color axes.labelcolor axes.edgecolor axes.titlecolor xtick.color ytick.color grid.color"
)
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "gradrace", "text.parse_math": False,
    "font.size": 8.5, "axes.titlesize": 9, "axes.titleweight": "bold", "axes.labelsize": 8.5,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8.5, "legend.frameon": False,
    "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "xtick.major.size": 3, "ytick.major.size": 3, "xtick.minor.size": 0, "ytick.minor.size": 0,
    "axes.grid": True, "grid.alpha": 0.13, "grid.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "lines.linewidth": 1.4, "axes.formatter.useoffset": False,
    **dict.fromkeys(_COLORED, INK),
}  # fmt: skip
_TAG = re.compile(r"<[^>]+>")
_PATH = re.compile(r' d="([^"]*)"')
_TICK = re.compile(r"[xy]tick_\d+$")
_FONT = re.compile(r"(font(?:-family)?:[^;\"]*?)('[^;\"]*|sans-serif)")
_REFERENCE = re.compile(r"""(?:url\(#|xlink:href="#)([^")]+)""")


def styled() -> AbstractContextManager[None]:
    """Inside, matplotlib draws in the style of the reports, dark on white."""
    style: Any = {**_ticks(), **_STYLE}
    return matplotlib.rc_context(style)


def _laid_out(figure: Figure) -> None:
    """Lays it out now: while it has a layout engine, it would be drawn once more to be measured."""
    FigureCanvasSVG(figure)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")


@cache
def _ticks() -> dict[str, Any]:
    """The style "ticks" of seaborn, of which matplotlib has a copy: seaborn takes as long to import
    as matplotlib and pandas together."""
    file = Path(matplotlib.get_data_path(), "stylelib", "seaborn-v0_8-ticks.mplstyle")
    found: Any = matplotlib.rc_params_from_file(file, use_default_template=False)
    # What seaborn adds.
    return {**found, "patch.edgecolor": "w", "patch.force_edgecolor": True}


def inline(draw: Callable[[], Figure], name: str, title: str, description: str) -> Markup:
    """Draws and returns an <svg> element of which every id starts with `name`.

    It needs no font file and no stylesheet, refers to nothing outside itself, and has its title and
    description. If artists are tagged, a <script type="application/json"> with what they show
    follows it."""
    with styled():
        buffer = io.StringIO()
        figure = draw()
        mark(figure)
        _laid_out(figure)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        shown = described(figure)
    data = f'\n<script type="application/json" class="touch">{for_script(shown)}</script>'
    drawn = _labelled(_embedded(buffer.getvalue(), name), name, title, description)
    return Markup(drawn + (data if shown else ""))


def _embedded(text: str, name: str) -> str:
    """Without prolog, doctype, comments and metadata; ids are the figure's own, or dropped if
    nothing refers to them."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    referred = set(_REFERENCE.findall(text))

    def tag(match: re.Match[str]) -> str:
        return _retagged(match[0], name, referred)

    return re.sub(r"\n\s+", "\n", _TAG.sub(tag, text)).replace(INK, "currentColor")


def _retagged(tag: str, name: str, referred: set[str]) -> str:
    def own(match: re.Match[str]) -> str:
        id = match[1]
        if id.startswith(MARK):
            return f' data-part="{id.removeprefix(MARK)}"'
        if _TICK.match(id):
            return ' data-part="tick"'
        return f' id="{name}-{id}"' if id in referred else ""

    tag = re.sub(r' id="([^"]*)"', own, tag)
    tag = tag.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    tag = re.sub(r' xmlns(:xlink)?="[^"]*"', "", tag)
    tag = _PATH.sub(lambda match: f' d="{compact(match[1])}"', tag)
    # Two decimals of a point are finer than any screen; the rest is a third of the page's size.
    tag = re.sub(r"(\d+\.\d{2})\d+", r"\1", tag)
    return _FONT.sub(r"\1var(--sans, sans-serif)", tag)


def _labelled(text: str, name: str, title: str, description: str) -> str:
    box = re.findall(r"viewBox=\"0 0 ([\d.]+) ([\d.]+)\"", text)[0]
    width, height = (float(points) * 4 / 3 for points in box)
    opening = (
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" width="{width:.0f}"'
        f' height="{height:.0f}" viewBox="0 0 {width * 0.75:g} {height * 0.75:g}"'
        f' style="min-width:min({width:.0f}px,36rem)">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n'
        f'<desc id="{name}-desc">{escape(description)}</desc>'
    )
    return re.sub(r"^<svg[^>]*>", lambda _: opening, text).strip()

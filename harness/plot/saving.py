"""Figures as files for papers: fonts embedded, the same to the byte every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from ..jsonfile import replacing, writing

# Of a pixel image in print.
_DPI = 300
# TrueType in PDF, which journals ask for; outlines in SVG, which need no font of the reader's.
_FONTS: Any = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "gradrace"}
_UNDATED: dict[str, dict[str, Any]] = {
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
    ".png": {},
}


def save(figure: Figure, file: Path, title: str = "") -> None:
    """Writes the figure in the form of the file's suffix: .pdf, .svg or .png."""
    suffix = file.suffix.lower()
    about = {"Title": title or None, **dict.fromkeys(_UNDATED[suffix])}
    with writing(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(_FONTS), replacing(file) as partial, writing(file):
        figure.savefig(partial, format=suffix[1:], dpi=_DPI, metadata=about)

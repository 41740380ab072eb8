"""The page of `gradrace time`: the cost of a step of each cell."""

from __future__ import annotations

import pandas as pd

from .. import timing_text
from .document import Chapter, Document, grid


def document(title: str, cells: pd.DataFrame) -> Document:
    """cells: of `frame.timing_cells`; title: the suite's."""
    rows, parts = timing_text.cells(cells), timing_text.parts(cells)
    chapters = (
        Chapter("cells", "Step times", (), grid("p25 over blocks, median over launches", rows)),
        Chapter("parts", "Where a step goes", (), grid("µs [95% interval over launches]", parts)),
    )
    says = (_fastest(cells), *(f"Caution: {note}." for note in timing_text.notes(cells)))
    shown = tuple(chapter for chapter in chapters if chapter.grids)
    counts = cells["status"].value_counts().items()
    chips = tuple((str(status), f"{count} {status}") for status, count in counts)
    return Document("time.html", "gradrace time", title, tuple(filter(None, says)), chips, shown)


def _fastest(cells: pd.DataFrame) -> str:
    """The shortest and the longest step time; they are not tested against each other."""
    names = pd.Series(timing_text.names(cells), index=cells.index)
    timed = cells["step_p25_s"].dropna()
    if len(timed) < 2:
        return ""
    low, high = timed.idxmin(), timed.idxmax()
    least, most = f"{timed[low] * 1e6:.4g}", f"{timed[high] * 1e6:.4g}"
    return f"A step takes from {least} µs ({names[low]}) to {most} µs ({names[high]})."

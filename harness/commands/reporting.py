"""The report that a command leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..output.terminal import say

Rows = list[dict[str, str]]


def refresh(output: Path, suite: str) -> Rows:
    """Writes the report of a results folder, unless the one there shows the same results.

    Returns the rows of the suite's summary."""
    from ..report.fresh import fresh, made_of

    now = made_of(output)
    summaries = fresh(output / "html", now)
    if summaries is None or suite not in summaries:
        summaries = _write(output, now)
    return summaries[suite]


def tell_page(output: Path, as_json: bool) -> None:
    """Says where the report of a results folder is; beside JSON on standard error."""
    say(f"report: {output / 'html' / 'index.html'}", err=as_json)


def _write(output: Path, made: str) -> Mapping[str, Rows]:
    from ..report.fresh import keep
    from ..report.tables import summary_compact
    from ..report.writer import write
    from ..results import frame

    frames = frame.load(output)
    write(frames, output / "html")
    summaries = {name: summary_compact(frames, name).to_dict("records") for name in frames.plans}
    keep(output / "html", made, summaries)
    return summaries

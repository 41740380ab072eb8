"""The report that a command leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..output.terminal import say

Rows = list[dict[str, str]]


def refresh(output: Path, suite: str) -> Rows:
    """Writes the report of a results folder, unless the one there shows the same results.

    Of several processes that end at once one writes; the others wait, and find its report. Returns
    the rows of the suite's summary."""
    from ..report.fresh import fresh, made_of

    kept = fresh(output / "html", made_of(output))
    if kept is None or suite not in kept:
        from ..report.writer import alone

        with alone(output / "html"):
            now = made_of(output)
            kept = fresh(output / "html", now)
            if kept is None or suite not in kept:
                kept = _write(output, now)
    return kept[suite]


def tell_page(output: Path, as_json: bool) -> None:
    """Says where the report of a results folder is; beside JSON on standard error."""
    say(f"report: {output / 'html' / 'index.html'}", err=as_json)


def _write(output: Path, made: str) -> Mapping[str, Rows]:
    from ..report.fresh import keep
    from ..report.tables import summary_compact
    from ..report.writer import replace
    from ..results import frame

    frames = frame.load(output)
    replace(frames, output / "html")
    summaries = {name: summary_compact(frames, name).to_dict("records") for name in frames.plans}
    keep(output / "html", made, summaries)
    return summaries

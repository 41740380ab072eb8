"""Writes the page of `gradrace history show`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from ...history import Point
from ...history import text as point_text
from ...history.detect import ALPHA, FEWEST_NIGHTS, Change
from ...history.foreign import Value
from ...history.together import History, Line, Night
from ...version import __version__
from ..documents.pages import write
from ..jinja import environment
from . import changes, links
from .changes import Found
from .panels import Panel, chart_of, line_names, panels_of

FILE = "history.html"
# Panels that are drawn, those with changes first; more make a page slow.
MOST_FIGURES = 60
# Rows of all tables of points together, and the least of a panel: the newest.
MOST_ROWS, LEAST_ROWS = 2_000, 20


class Link(NamedTuple):
    """A text that may lead somewhere."""

    text: str
    href: str = ""


@dataclass(frozen=True)
class Table:
    """rows: newest first. left_out: rows that are not shown."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Link, ...], ...]
    left_out: int = 0


@dataclass(frozen=True)
class Shown:
    """A panel as the template draws it."""

    anchor: str
    title: str
    says: tuple[str, ...]
    flag: str
    svg: Markup
    caption: str
    points: Table


def page(history: History, found_changes: Sequence[Change], repo_url: str, output: Path) -> Path:
    """Writes OUTPUT/html/history.html, links it from a report there, and returns its path.
    UserError if it cannot be written. See `html`."""
    return write(output, FILE, html(history, found_changes, repo_url))


def html(history: History, found_changes: Sequence[Change], repo_url: str) -> str:
    """The page's HTML.

    found_changes: of `standing.changes_of`. repo_url: of the repository's web pages, "" if unknown:
    commits then lead nowhere."""
    found = changes.found_in(history, found_changes)
    panels = panels_of(history, found)
    drawn, rest = panels[:MOST_FIGURES], panels[MOST_FIGURES:]
    rows = max(LEAST_ROWS, MOST_ROWS // max(len(drawn), 1))
    return (
        environment()
        .get_template("history.html")
        .render(
            title=_title(history, found),
            says=_sentences(history, panels),
            chips=_chips(found, history),
            changes=_changes_table(found, panels, repo_url),
            panels=[_shown(panel, history.nights, repo_url, rows) for panel in drawn],
            rest=_rest_table(rest),
            lost=_lost_table(history.lost, repo_url),
            version=__version__,
        )
    )


def _title(history: History, found: Sequence[Found]) -> str:
    if not history.lines:
        return "No night was recorded"
    if len(changes.too_short(history.lines)) == len(history.lines):
        return "Too few nights to see a change"
    if not found:
        return "Nothing changed"
    worst = found[0]
    told = f"{len(found)} changes, the worst" if len(found) > 1 else "1 change"
    return f"{told}: {worst.line.cell} {changes.size(worst.change)} ({changes.kind(worst)})"


def _sentences(history: History, panels: Sequence[Panel]) -> list[str]:
    if not history.lines:
        return ["`gradrace history record` adds a night."]
    lines, nights = history.lines, history.nights
    machines = len({line.machine for line in lines})
    commits = len({night.commit for night in nights})
    found = [
        f"{_count(len(panels), 'cell')}, {_count(commits, 'commit')},"
        f" {_count(machines, 'machine')}, from {_first_day(nights)} to {_last_day(nights)}."
    ]
    if any(not line.unpaired for line in lines):
        found.append(
            "Steps and drift are looked for in every line. If nothing ever changes, the probability"
            f" that this page flags anything, at any night so far, is at most {ALPHA:.0%}."
        )
    if short := changes.too_short(lines):
        found.append(
            f"{_count(len(short), 'line')} with fewer than {FEWEST_NIGHTS} nights: not judged yet."
        )
    if gone := len({night.commit for night in nights if night.gone}):
        found.append(f"{_count(gone, 'commit')} not in the history of HEAD any more: marked *.")
    if any(line.unpaired for line in lines):
        found.append(
            "Values of asv are unpaired: there a slower machine looks like a slower commit, and the"
            " probability above does not hold."
        )
    return found


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _first_day(nights: Sequence[Night]) -> str:
    return min(night.at for night in nights)[:10]


def _last_day(nights: Sequence[Night]) -> str:
    return max(night.at for night in nights)[:10]


def _chips(found: Sequence[Found], history: History) -> list[tuple[str, str]]:
    counts: dict[tuple[str, str], int] = {}
    for each in found:
        key = ("failed" if each.is_worse else "ok", changes.verdict(each))
        counts[key] = counts.get(key, 0) + 1
    chips = [(flag, f"{number} {word}") for (flag, word), number in counts.items()]
    if short := len(changes.too_short(history.lines)):
        chips.append(("missing", f"{short} too short"))
    if history.lost:
        chips.append(("skipped", f"{len(history.lost)} without a figure"))
    return chips


def _commit(night: Night, repo_url: str) -> Link:
    mark = "*" if night.gone else ""
    return Link(f"{night.commit[:8]}{mark}", links.commit_url(repo_url, night.commit))


def _changes_table(found: Sequence[Found], panels: Sequence[Panel], repo_url: str) -> Table | None:
    if not found:
        return None
    anchors = {id(line): panel.anchor for panel in panels[:MOST_FIGURES] for line in panel.lines}
    heads = ("cell", "change", "size", "95% limits", "last before", "first after", "line", "in all")
    rows = []
    for each in found:
        place = anchors.get(id(each.line), "")
        quantity = "" if each.line.quantity == "step" else f" ({changes.quantity(each.line)})"
        rows.append(
            (
                Link(each.line.cell + quantity, f"#{place}" if place else ""),
                Link(f"{changes.verdict(each)}: {changes.kind(each)}"),
                Link(changes.size(each.change)),
                Link(changes.limits(each.change)),
                _commit(each.first, repo_url),
                _commit(each.last, repo_url),
                Link(line_names([each.line])[0]),
                Link(changes.together(found, each.line)),
            )
        )
    return Table("Changes, the worst first", heads, tuple(rows))


def _shown(panel: Panel, nights: Sequence[Night], repo_url: str, most_rows: int) -> Shown:
    from ..draw.lazy import Drawn
    from ..draw.svg import inline

    draw = Drawn("gradrace.report.draw.history", "over_nights")
    says = _told(panel, nights)
    described = " ".join(says)
    chart = chart_of(panel, nights)
    svg = inline(partial(draw, chart), f"{panel.anchor}-figure", panel.title, described)
    each = f"; each point is the mean of {panel.each} nights" if panel.each > 1 else ""
    caption = f"{chart.y}, night by night{each}"
    flag = "failed" if any(found.is_worse for found in panel.found) else ""
    points = _points_table(panel, nights, repo_url, most_rows)
    return Shown(panel.anchor, _panel_title(panel), tuple(says), flag, svg, caption, points)


def _panel_title(panel: Panel) -> str:
    quantity = "" if panel.lines[0].quantity == "step" else f": {panel.quantity}"
    return f"{panel.title}{quantity}{' (unpaired: asv)' if panel.unpaired else ''}"


def _told(panel: Panel, nights: Sequence[Night]) -> list[str]:
    told = []
    for found in sorted(panel.found, key=lambda each: each.change.first):
        name = f" ({line_names([found.line])[0]})" if len(panel.lines) > 1 else ""
        told.append(
            f"{changes.verdict(found).capitalize()}: {changes.size(found.change)}"
            f" ({changes.limits(found.change)}), {changes.kind(found)}, between"
            f" {found.first.at[:10]} and {found.last.at[:10]}{name}."
        )
    for line, name in zip(panel.lines, line_names(panel.lines), strict=True):
        if whole := changes.together(panel.found, line):
            told.append(f"In all {whole}{f' ({name})' if len(panel.lines) > 1 else ''}.")
    short = changes.too_short(panel.lines)
    if not told:
        told = ["Too few nights to judge."] if len(short) == len(panel.lines) else ["No change."]
    moved = dict.fromkeys(f"{nights[each.at].at[:10]} {each.text}" for each in panel.moved)
    return [*told, *([f"Versions: {'; '.join(moved)}."] if moved else [])]


def _points_table(panel: Panel, nights: Sequence[Night], repo_url: str, most_rows: int) -> Table:
    heads = ["night", "commit", "message", "line", "HEAD / anchor", "at the anchor", "at HEAD"]
    heads = [*heads, "verdict"] if not panel.unpaired else [*heads[:4], "value", "99% limits"]
    rows = []
    for line, name in zip(panel.lines, line_names(panel.lines), strict=True):
        for place, row in zip(line.positions, _figures(line), strict=True):
            night = nights[place]
            at = Link(night.at[:16].replace("T", " "))
            first = (at, _commit(night, repo_url), Link(night.subject), Link(name))
            rows.append((int(place), (*first, *map(Link, row))))
    rows.sort(key=lambda each: -each[0])
    shown = tuple(row for _, row in rows[:most_rows])
    return Table(f"Nights ({len(rows):,})", tuple(heads), shown, len(rows) - len(shown))


def _figures(line: Line) -> list[tuple[str, ...]]:
    if line.points:
        return [_paired(point) for point in line.points]
    return [_unpaired(value) for value in line.values]


def _paired(point: Point) -> tuple[str, ...]:
    values = (point_text.value(each, point.quantity) for each in (point.a_value, point.b_value))
    note = ", contended" if point.contended else ""
    ratio = point_text.ratio(point.ratio, point.low, point.high)
    return (ratio, *values, f"{point.decision}{note}")


def _unpaired(value: Value) -> tuple[str, ...]:
    limits = f"{value.low:.4g} to {value.high:.4g}" if value.low and value.high else ""
    return (f"{value.value:.4g} {value.unit}".rstrip(), limits)


def _rest_table(panels: Sequence[Panel]) -> Table | None:
    if not panels:
        return None
    rows = tuple(
        (
            Link(_panel_title(panel)),
            Link(str(sum(len(line.positions) for line in panel.lines))),
            Link(f"{len(panel.found)}" if panel.found else "no change"),
        )
        for panel in panels
    )
    return Table(f"Cells without a figure ({len(panels):,})", ("cell", "nights", "changes"), rows)


def _lost_table(lost: Sequence[Point], repo_url: str) -> Table | None:
    if not lost:
        return None
    rows = tuple(
        (
            Link(point.at[:16].replace("T", " ")),
            Link(point.commit[:8], links.commit_url(repo_url, point.commit)),
            Link(point.cell),
            Link(point.machine),
            Link(point.decision),
            Link(point.reason),
        )
        for point in reversed(lost)
    )
    heads = ("night", "commit", "cell", "machine", "outcome", "reason")
    caption, left_out = f"Recordings without a figure ({len(rows):,})", len(rows) - MOST_ROWS
    return Table(caption, heads, rows[:MOST_ROWS], max(left_out, 0))

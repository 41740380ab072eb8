"""Lines of a history to panels of the page: one each cell and quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...history.together import History, Line, Night
from ...output.escaping import one_line
from . import changes, versions
from .changes import Found
from .chart import Array, Chart, Flag, Moved, Track

# More points of a line are drawn as means of neighbours.
MOST_POINTS = 1000
# With more nights, labels at the pointer leave out the commits' messages.
_TOLD = 200


@dataclass(frozen=True, eq=False)
class Panel:
    """anchor: its id in the page. lines: of one cell and quantity. found: their changes, the worst
    first. each: nights that a drawn point is the mean of."""

    anchor: str
    title: str
    quantity: str
    lines: tuple[Line, ...]
    found: tuple[Found, ...]
    moved: tuple[Moved, ...]
    each: int = 1

    @property
    def unpaired(self) -> bool:
        return self.lines[0].unpaired


def panels_of(history: History, found: Sequence[Found]) -> list[Panel]:
    """Those with changes first, the worst of all before them; asv's last."""
    groups: dict[tuple[bool, str, str], list[Line]] = {}
    for line in history.lines:
        groups.setdefault((line.unpaired, line.cell, line.quantity), []).append(line)
    made = [
        _panel(f"cell-{number}", lines, [each for each in found if each.line in lines])
        for number, lines in enumerate(groups.values(), start=1)
    ]
    return sorted(made, key=_order)


def _order(panel: Panel) -> tuple[bool, bool, float]:
    worst = max((each.change.ratio for each in panel.found), default=0.0)
    return panel.unpaired, not panel.found, -worst


def _panel(anchor: str, lines: Sequence[Line], found: Sequence[Found]) -> Panel:
    moved = dict.fromkeys(each for line in lines for each in versions.moved(line))
    longest = max(len(line.positions) for line in lines)
    return Panel(
        anchor=anchor,
        title=lines[0].cell,
        quantity=changes.quantity(lines[0]),
        lines=tuple(lines),
        found=tuple(found),
        moved=tuple(sorted(moved)),
        each=-(-longest // MOST_POINTS),
    )


def chart_of(panel: Panel, nights: Sequence[Night]) -> Chart:
    """What is drawn."""
    names = line_names(panel.lines)
    tracks = tuple(
        _track(name, line, [f for f in panel.found if f.line is line], nights, panel.each)
        for name, line in zip(names, panel.lines, strict=True)
    )
    flags = tuple(
        Flag(
            names[panel.lines.index(found.line)],
            found.change.first,
            found.change.last,
            f"{changes.size(found.change)} {found.change.kind}",
        )
        for found in panel.found
    )
    y = "value / first value" if panel.unpaired else f"{panel.quantity}, HEAD / anchor"
    return Chart(tracks, flags, panel.moved, tuple(night.at[:10] for night in nights), y)


def line_names(lines: Sequence[Line]) -> list[str]:
    """By machine and anchor; an anchor's commit too if two have one name."""
    found: list[str] = []
    for line in lines:
        name = f"{line.machine}, against {line.anchor}"
        name = f"{line.machine} ({line.anchor})" if line.unpaired else name
        found.append(name)
    twice = {name for name in found if found.count(name) > 1}
    return [
        f"{name} {line.anchor_commit[:8] or number}" if name in twice else name
        for number, (name, line) in enumerate(zip(found, lines, strict=True), start=1)
    ]


def _track(
    name: str, line: Line, found: Sequence[Found], nights: Sequence[Night], each: int
) -> Track:
    x = line.positions.astype(np.float64)
    low, high = _limits(line)
    parts = [x, line.log_ratios, low, high, _fitted(line, found)]
    x, *logs = (_means(part, each) for part in parts)
    ratio, low, high, fitted = (np.exp(part) for part in logs)
    told = [_label(nights[place], len(line.positions)) for place in line.positions]
    return Track(name, x, ratio, low, high, fitted, tuple(told[::each]))


def _limits(line: Line) -> tuple[Array, Array]:
    """95% limits of the log ratios: those recorded, else from the standard errors."""
    if line.points:
        ends = [(point.low or np.nan, point.high or np.nan) for point in line.points]
        low, high = np.log(np.array(ends, dtype=np.float64)).T
        return low, high
    return line.log_ratios - 1.96 * line.errors, line.log_ratios + 1.96 * line.errors


def _fitted(line: Line, found: Sequence[Found]) -> Array:
    x = line.positions.astype(np.float64)
    shape = np.zeros_like(x)
    for each in found:
        first, last = each.change.first, each.change.last
        # Nights of other machines lie between: a drift goes evenly over the line's own.
        own = np.searchsorted(line.positions, [first, last])
        places = np.arange(len(x), dtype=np.float64)
        part = np.clip((places - own[0]) / max(own[1] - own[0], 1), 0.0, 1.0)
        shape = shape + part * np.log(each.change.ratio)
    level: Array = shape + np.median(line.log_ratios - shape)
    return level


def _means(values: Array, each: int) -> Array:
    if each == 1:
        return values
    starts = np.arange(0, len(values), each)
    counts = np.diff(np.append(starts, len(values)))
    return np.asarray(np.add.reduceat(values, starts) / counts)


def _label(night: Night, nights: int) -> str:
    text = f"{night.at[:10]} {night.commit[:8]}"
    return f"{text} {one_line(night.subject)[:60]}".rstrip() if nights <= _TOLD else text

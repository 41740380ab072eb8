"""Answers for people: the same words in the terminal and on the page."""

from __future__ import annotations

from ..paired import PairVerdict
from ..paired.text import micros
from . import Cause, CellChange, Change, CountPair
from .causes import size_text

# Changes that are shown; the JSON has more.
MOST_SHOWN = 10
_MOST_NAMES = 3
# An operation is the main thing if it has such a share of all that grew, and so many times the
# seconds that the first cause explains.
_MOST, _FAR_MORE = 0.5, 4.0


def headline(cell: CellChange) -> str:
    """The cell, how its step changed, and the first cause, or the one operation that is most of
    it."""
    mainly = _mainly(cell)
    return f"{cell.verdict.cell}: {change_text(cell)}" + (f"; {mainly}" if mainly else "")


def _mainly(cell: CellChange) -> str:
    if change := main_operation(cell):
        part = f" of the {change.part}" if change.part else ""
        place = f" (at {change.source})" if change.source else ""
        return f"mostly {_names(change)}{part}{place}: {_signed(change.change_s)} µs a step"
    return cell.causes[0].says if cell.causes else ""


def main_operation(cell: CellChange) -> Change | None:
    """The one operation that is most of the change, if it is far more than the first cause
    explains: a count that changed is else the better evidence, however small its time."""
    change = cell.changes[0] if cell.changes else None
    if change is None or not change.clear or (change.change_s < 0.0) == (cell.total_s >= 0.0):
        return None
    explained = cell.causes[0].seconds if cell.causes else 0.0
    alone = abs(change.change_s) >= _FAR_MORE * explained
    return change if alone and (change.share or 0.0) >= _MOST else None


def change_text(cell: CellChange) -> str:
    """How a step changed: 'a step takes 12.3% longer in B (between +10.1% and +14.5%)'."""
    verdict = cell.verdict
    if verdict.ratio is not None and verdict.low is not None and verdict.high is not None:
        limits = f"between {verdict.low - 1:+.1%} and {verdict.high - 1:+.1%}"
        return f"a step takes {_percent(verdict.ratio)} in B ({limits})"
    if cell.a_step_s and cell.b_step_s:
        ratio = cell.b_step_s / cell.a_step_s
        return f"a step takes {_percent(ratio)} in B, in {_launches(cell)} without an interval"
    return verdict.reason or "nothing could be measured"


def _percent(ratio: float) -> str:
    return f"{abs(ratio - 1):.1%} {'longer' if ratio >= 1 else 'less time'}"


def _launches(cell: CellChange) -> str:
    return f"{cell.launches} launch{'' if cell.launches == 1 else 'es'}"


def cause_row(number: int, cause: Cause) -> dict[str, str]:
    """A cause as a row of a table."""
    return {
        "": str(number),
        "cause": cause.says,
        "kind": cause.kind,
        "µs/step": micros(cause.seconds),
        "of what grew": _share(cause.share),
    }


def change_rows(cell: CellChange) -> list[dict[str, str]]:
    """The largest changes. Only those in the direction of the whole change show their share."""
    grows = cell.total_s >= 0.0
    return [_change_row(change, grows) for change in cell.changes[:MOST_SHOWN]]


def sentence(cell: CellChange) -> str:
    """`change_text` as a sentence of its own."""
    said = change_text(cell)
    return f"{said[:1].upper()}{said[1:]}."


def _change_row(change: Change, grows: bool) -> dict[str, str]:
    interval = ""
    if change.low_s is not None:
        interval = f" [{_signed(change.low_s)}, {_signed(change.high_s)}]"
    return {
        "part": change.part,
        "operation": _names(change),
        "calls a": f"{change.a_calls:.3g}",
        "calls b": f"{change.b_calls:.3g}",
        "a, µs": micros(change.a_s),
        "b, µs": micros(change.b_s),
        "b - a, µs": _signed(change.change_s) + interval,
        "share": _share(change.share) if (change.change_s >= 0.0) == grows else "",
        "on": change.on,
        "from": change.source,
        "": "" if change.clear else "noise",
    }


def _names(change: Change) -> str:
    if change.a == change.b:
        return _listed(change.a)
    if not change.a:
        return f"only B: {_listed(change.b)}"
    if not change.b:
        return f"only A: {_listed(change.a)}"
    return f"{_listed(change.a)} -> {_listed(change.b)}"


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _MOST_NAMES
    shown = ", ".join(name[:60] for name in names[:_MOST_NAMES])
    return shown + (f" and {more} more" if more > 0 else "")


def _signed(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e6:+.1f}"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def count_row(pair: CountPair) -> dict[str, str]:
    """A count of both sides."""
    unit = "" if pair.name == "graph_breaks" else " a step"
    return {
        "count": pair.name.replace("_", " ") + unit,
        "a": _number(pair.name, pair.a),
        "b": _number(pair.name, pair.b),
    }


def _number(name: str, value: float | None) -> str:
    if value is None:
        return "not known"
    return size_text(value) if name.endswith("bytes") else f"{value:.4g}"


def cautions(cell: CellChange) -> list[str]:
    """For readers of the figures."""
    found = [note for note in cell.notes if note != cell.verdict.reason]
    plain, profiled = (cell.a_step_s, cell.b_step_s), (cell.a_profiled_s, cell.b_profiled_s)
    if all(plain) and all(profiled) and cell.changes:
        times = [micros(value) for value in (*profiled, *plain)]
        found.append(
            f"under the profiler a step takes {times[0]} and {times[1]} µs, without it {times[2]}"
            f" and {times[3]} µs: times of operations include the profiler's own"
        )
    if _inconclusive(cell.verdict):
        found.append(f"the change itself is {cell.verdict.decision}: {cell.verdict.reason}")
    return found


def _inconclusive(verdict: PairVerdict) -> bool:
    return verdict.decision in ("inconclusive", "suspected", "failed") and bool(verdict.reason)

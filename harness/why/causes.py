"""From changed counts to named causes: pure rules, the same in both directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from . import Cause, CauseKind, Change, CountPair

# A count that grew by less a step happened by chance: less than once in 50 steps.
_RARE = 0.02
# An update falls apart if it takes so many times as many calls, and at least so many more.
_MANY_TIMES, _MANY_MORE = 1.5, 4.0
# Causes that explain less of the change come after those that explain more.
_MINOR = 0.02
# Operations that belong to a count, by what their names hold.
_NAMES: Mapping[CauseKind, tuple[str, ...]] = {
    "compilation": ("compil", "lowering", "tracing"),
    "synchronisation": (
        *("::item", "local_scalar", "nonzero", "synchronize", "block_until", "callback", "await"),
        *("device_get", "__array__", "numpy()"),
    ),
    "copy": ("copy", "clone", "memcpy", "device_put", "transfer", "::to", "contiguous"),
    "graph break": ("graph break", "compiled region", "cache lookup"),
    "allocation": ("empty", "alloc"),
}


class Grown(NamedTuple):
    """A count, and the operations, of the side that has less, and of the one that has more."""

    fewer: float
    more: float


def causes(
    changes: Sequence[Change], counts: Sequence[CountPair], total_s: float
) -> tuple[Cause, ...]:
    """Those of the side that became slower first, by the seconds that they explain.

    changes: ungrouped. total_s: the change of a step, b - a."""
    found = []
    for side in ("A", "B"):
        seen, grown = _seen_from(side, changes), _grown(side, counts)
        whole = sum(change.seconds for change in seen if change.seconds > 0.0)
        causes_ = [cause for rule in _RULES if (cause := rule(seen, grown, side))]
        found += [_with_share(cause, whole) for cause in causes_]
    slower = "A" if total_s < 0.0 else "B"
    return tuple(sorted(found, key=lambda cause: (cause.side != slower, *_rank(cause))))


def _rank(cause: Cause) -> tuple[bool, bool, float, int]:
    """More memory mostly follows from something else, so allocations come last."""
    minor = cause.share is not None and cause.share < _MINOR
    last = cause.kind == "allocation"
    return (last, minor, -cause.seconds, _ORDER.index(cause.kind))


def _with_share(cause: Cause, whole_s: float) -> Cause:
    share = min(max(cause.seconds / whole_s, 0.0), 1.0) if whole_s else None
    return cause.model_copy(update={"share": share})


class Seen(NamedTuple):
    """A change as it grew: `new` are the names on the side with the cause, `old` the others."""

    part: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    calls: float
    more_calls: float
    seconds: float
    source: str


def _seen_from(side: str, changes: Sequence[Change]) -> list[Seen]:
    """The changes with this side as the one that has more."""
    if side == "B":
        return [Seen(c.part, c.a, c.b, c.a_calls, c.b_calls, c.change_s, c.source) for c in changes]
    return [Seen(c.part, c.b, c.a, c.b_calls, c.a_calls, -c.change_s, c.source) for c in changes]


def _grown(side: str, counts: Sequence[CountPair]) -> dict[str, Grown]:
    """Counts that this side has clearly more of. One that the other does not know is none there."""
    pairs = {
        c.name: Grown(*((c.a or 0.0, c.b or 0.0)[:: 1 if side == "B" else -1])) for c in counts
    }
    return {name: pair for name, pair in pairs.items() if pair.more - pair.fewer > _RARE}


# -- rules


def _compilation(changes: Sequence[Seen], counts: Mapping[str, Grown], side: str) -> Cause | None:
    grown = counts.get("compilations")
    if grown is None:
        return None
    every = (
        f"every {1 / grown.more:.3g} steps" if grown.more < 1 else f"{grown.more:.3g} times a step"
    )
    had = (
        f", instead of {grown.fewer:.3g} a step"
        if grown.fewer > _RARE
        else ", the other never does"
    )
    seconds = _explained(changes, "compilation")
    outside = sum(max(c.seconds, 0.0) for c in changes if "(outside" in "".join(c.new))
    says = f"{side} compiles a program {every} while it trains{had}"
    return _cause("compilation", side, says, seconds or outside)


def _synchronisation(
    changes: Sequence[Seen], counts: Mapping[str, Grown], side: str
) -> Cause | None:
    grown = counts.get("synchronisations")
    if grown is None:
        return None
    more = grown.more - grown.fewer
    # New operations that occur as often as the waits make the value that is waited for.
    feeding = [c for c in changes if not c.old and _close(c.more_calls, more)]
    belong = [*_belonging(changes, "synchronisation"), *feeding]
    seconds = sum(max(c.seconds, 0.0) for c in {id(c): c for c in belong}.values())
    where = _at(belong)
    says = (
        f"{side} waits for a value of the device {grown.more:.3g} times a step{where}, instead of"
        f" {grown.fewer:.3g}"
    )
    return _cause("synchronisation", side, says, seconds)


def _unfused(changes: Sequence[Seen], counts: Mapping[str, Grown], side: str) -> Cause | None:
    update = [c for c in changes if c.part == "optimizer"]
    calls, before = sum(c.more_calls for c in update), sum(c.calls for c in update)
    kernels = counts.get("kernels")
    if not update and kernels:
        # A profiler that does not know parts: all kernels of a step.
        update, calls, before = list(changes), kernels.more, kernels.fewer
    programs = counts.get("programs")
    if programs and programs.more - programs.fewer >= _MANY_MORE and _called_one_by_one(update):
        says = (
            f"{side} updates the weights by {programs.more:.3g} calls from Python a step, instead"
            f" of {programs.fewer:.3g}: it is not fused"
        )
        return _cause("unfused update", side, says, sum(c.seconds for c in update))
    if calls < before * _MANY_TIMES or calls - before < _MANY_MORE:
        return None
    gone = [c.old[0] for c in sorted(update, key=lambda c: c.seconds) if c.old and not c.new]
    if not before or not (gone or _spread(update)):
        # Nothing was replaced: work was added, which its own operations name.
        return None
    instead = f", instead of {before:.3g}" + (f" ({gone[0]})" if gone else "")
    says = f"{side} updates the weights by {calls:.3g} operations a step{instead}: it is not fused"
    return _cause("unfused update", side, says, sum(max(c.seconds, 0.0) for c in update))


def _called_one_by_one(update: Sequence[Seen]) -> bool:
    """Whether operations of the update are new calls from Python, outside of a program."""
    new = (name for c in update for name in c.new if name not in c.old)
    return any(name.startswith("dispatch ") for name in new)


def _spread(update: Sequence[Seen]) -> bool:
    """Whether most operations of the update are called more often than before."""
    more = [c for c in update if c.old and c.more_calls > c.calls]
    return 2 * len(more) > len([c for c in update if c.old])


def _copy(changes: Sequence[Seen], counts: Mapping[str, Grown], side: str) -> Cause | None:
    grown = counts.get("copies")
    if grown is None:
        return None
    moved = counts.get("copied_bytes")
    size = f" ({size_text(moved.more - moved.fewer)} more)" if moved else ""
    where = _at(_belonging(changes, "copy"))
    says = (
        f"{side} copies {grown.more:.3g} arrays a step{size}{where}, instead of {grown.fewer:.3g}"
    )
    return _cause("copy", side, says, _explained(changes, "copy"))


def _graph_break(changes: Sequence[Seen], counts: Mapping[str, Grown], side: str) -> Cause | None:
    grown = counts.get("graph_breaks")
    if grown is None:
        return None
    says = (
        f"{side}'s compiled program has {grown.more:.0f} graph breaks, instead of {grown.fewer:.0f}"
    )
    return _cause("graph break", side, says, _explained(changes, "graph break"))


def _allocation(changes: Sequence[Seen], counts: Mapping[str, Grown], side: str) -> Cause | None:
    grown = counts.get("allocations")
    if grown is None:
        return None
    taken = counts.get("allocated_bytes")
    size = f" ({size_text(taken.more - taken.fewer)} more)" if taken else ""
    says = f"{side} allocates {grown.more:.3g} times a step{size}, instead of {grown.fewer:.3g}"
    return _cause("allocation", side, says, _explained(changes, "allocation"))


Rule = Callable[[Sequence[Seen], Mapping[str, Grown], str], Cause | None]
_RULES: Sequence[Rule] = (
    *(_compilation, _synchronisation, _unfused, _copy, _graph_break, _allocation),
)
# Of causes that explain equally much, the first.
_ORDER: Sequence[CauseKind] = (
    *("compilation", "unfused update", "synchronisation", "graph break", "copy", "allocation"),
)


# -- operations that belong to a cause


def _belonging(changes: Sequence[Seen], kind: CauseKind) -> list[Seen]:
    parts = _NAMES[kind]
    return [
        c
        for c in changes
        if c.more_calls >= c.calls and any(part in name.lower() for name in c.new for part in parts)
    ]


def _explained(changes: Sequence[Seen], kind: CauseKind) -> float:
    return sum(max(c.seconds, 0.0) for c in _belonging(changes, kind))


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 0.05 * max(one, other)


def _at(changes: Sequence[Seen]) -> str:
    named = [c for c in changes if c.source and c.more_calls > c.calls]
    largest = max(named, key=lambda c: c.more_calls - c.calls, default=None)
    return f" (at {largest.source})" if largest else ""


def _cause(kind: CauseKind, side: str, says: str, seconds: float) -> Cause:
    return Cause(kind=kind, side="A" if side == "A" else "B", says=says, seconds=seconds)


def size_text(count: float) -> str:
    """Bytes for people: '12.5 kB'."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"

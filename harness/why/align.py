"""Two sides' profiles, matched operation by operation: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..statistics.intervals import FEWEST_LAUNCHES
from . import COUNTS, Change, CountPair, Op, Part, Profile

# Time of a step that no operation accounts for: Python between them, mostly.
OUTSIDE = "(outside of all operations)"

# A change that is so small beside the largest one explains nothing.
_SMALL = 0.02

Key = tuple[Part, str]


class Figures(NamedTuple):
    """Of an operation on one side, an entry a launch: float64[launches] each; a step's.

    device_s: 0 in launches that do not know it."""

    calls: np.ndarray
    host_s: np.ndarray
    device_s: np.ndarray


def aligned(a: Sequence[Profile], b: Sequence[Profile], grouped: bool = True) -> tuple[Change, ...]:
    """What changed from a to b, the largest change first; a[i] and b[i] are of one launch.

    Operations are matched by part and name. grouped: those of a part that only one side has are one
    change, if the other side has some too: renamed, or fused into fewer. Without a profile on
    either side there are no changes. Changes that may be noise, or are small beside the largest
    one, come last."""
    launches = min(len(a), len(b))
    sides = [_table(profiles[:launches]) for profiles in (a, b)]
    if not launches or not (sides[0] or sides[1]):
        return ()
    sources = _sources([*a, *b])
    groups = [([key], [key]) for key in sides[0] if key in sides[1]]
    for part in dict.fromkeys(key[0] for side in sides for key in side):
        only_a, only_b = (
            [key for key in one if key[0] == part and key not in other]
            for one, other in (sides, sides[::-1])
        )
        if grouped and only_a and only_b:
            groups.append((only_a, only_b))
        else:
            groups += [([key], []) for key in only_a] + [([], [key]) for key in only_b]
    return _in_order(_with_shares([_change(*group, sides, sources) for group in groups]))


def _in_order(changes: Sequence[Change]) -> tuple[Change, ...]:
    largest = max(abs(change.change_s) for change in changes)

    def rank(change: Change) -> tuple[bool, float]:
        size = abs(change.change_s)
        return (not change.clear or size < _SMALL * largest, -size)

    return tuple(sorted(changes, key=rank))


def _with_shares(changes: Sequence[Change]) -> list[Change]:
    """The same with the share of each in the sum of all changes of its sign."""
    sums = {
        up: sum(abs(c.change_s) for c in changes if (c.change_s > 0.0) == up)
        for up in (True, False)
    }
    shares = [(change, sums[change.change_s > 0.0]) for change in changes]
    return [
        change.model_copy(update={"share": abs(change.change_s) / whole if whole else None})
        for change, whole in shares
    ]


def counts(a: Sequence[Profile], b: Sequence[Profile]) -> tuple[CountPair, ...]:
    """Every count that a side knows: medians over launches, a step."""
    names = dict.fromkeys([*COUNTS, *(name for each in (*a, *b) for name in each.counts)])
    pairs = [CountPair(name=name, a=_count(a, name), b=_count(b, name)) for name in names]
    return tuple(pair for pair in pairs if pair.a is not None or pair.b is not None)


def _count(profiles: Sequence[Profile], name: str) -> float | None:
    known = [value for each in profiles if (value := each.counts.get(name)) is not None]
    return float(np.median(known)) if known else None


def _table(profiles: Sequence[Profile]) -> dict[Key, Figures]:
    """Every operation of one side, in all launches; 0 in those that lack it."""
    sums: dict[Key, np.ndarray] = {}
    for launch, profile in enumerate(profiles):
        for op in [*profile.ops, *_outside(profile)]:
            figures = sums.setdefault((op.part, op.name), np.zeros((3, len(profiles))))
            figures[:, launch] += (op.calls, op.host_s, op.device_s or 0.0)
    return {key: Figures(*figures) for key, figures in sums.items()}


def _outside(profile: Profile) -> Iterable[Op]:
    rest = profile.wall_s - sum(op.host_s for op in profile.ops if op.calls)
    if profile.ops and rest > 0.0:
        yield Op(name=OUTSIDE, host_s=rest)


def _sources(profiles: Iterable[Profile]) -> Mapping[Key, str]:
    return {(op.part, op.name): op.source for p in profiles for op in p.ops if op.source}


def _change(
    a: Sequence[Key],
    b: Sequence[Key],
    sides: Sequence[Mapping[Key, Figures]],
    sources: Mapping[Key, str],
) -> Change:
    """Of these operations of each side together."""
    launches = len(next(iter(next(side for side in sides if side).values())).calls)
    sums = []
    for keys, side in ((a, sides[0]), (b, sides[1])):
        figures = [np.array(side[key]) for key in keys]
        sums.append(np.sum(figures, axis=0) if figures else np.zeros((3, launches)))
    change = np.median(sums[1] - sums[0], axis=1)
    row = 2 if abs(change[2]) > abs(change[1]) else 1
    calls, seconds = (np.median([side[each] for side in sums], axis=1) for each in (0, row))
    low, high = _limits(sums[1][row] - sums[0][row])
    largest = [
        sorted(keys, key=lambda key: -float(np.median(side[key][row])))
        for keys, side in zip((a, b), sides, strict=True)
    ]
    names = [[name for _, name in keys] for keys in largest]
    found = [sources[key] for key in (*largest[1], *largest[0]) if key in sources]
    return Change(
        part=[*a, *b][0][0],
        a=tuple(names[0]),
        b=tuple(names[1]),
        on="device" if row == 2 else "host",
        a_calls=float(calls[0]),
        b_calls=float(calls[1]),
        a_s=float(seconds[0]),
        b_s=float(seconds[1]),
        change_s=float(change[row]),
        low_s=low,
        high_s=high,
        source=next(iter(found), ""),
    )


def _limits(differences: np.ndarray) -> tuple[float | None, float | None]:
    """The least and the greatest: one disturbed launch must not hide what all launches show."""
    if len(differences) < FEWEST_LAUNCHES:
        return None, None
    return float(differences.min()), float(differences.max())

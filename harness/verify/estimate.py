"""How long a verification takes, by the costs of an earlier one, else by those of our machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..registry import Registry
from .cases import Case
from .cells import sides
from .verdict import START, Level

# Processes that go on at once, see driver.
SIDE_BY_SIDE = 2
Costs = Mapping[str, Mapping[str, float]]
# Mean seconds of an answer on two cores of an AMD EPYC: of any framework but the referee.
_USUAL: dict[Level, float] = {
    **dict.fromkeys(("weights", "losses"), 0.1),
    **dict.fromkeys(("layers", "rates"), 0.2),
    **{"updates": 0.6, "trajectories": 1.0, "float32": 0.6, "populations": 4.0},
}
_USUAL_START = 4.0


def seconds(cases: Sequence[Case], registry: Registry, names: Sequence[str], costs: Costs) -> float:
    """Of these frameworks, two side by side on CPUs; those that are not installed take none."""
    able = [name for name in names if registry.frameworks[name].versions() is not None]
    of = defaultdict[str, float](float)
    for case in cases:
        for side in sides(case, registry, able):
            known = costs.get(side.framework, {})
            if side.framework not in of:
                of[side.framework] = known.get(START, _USUAL_START)
            of[side.framework] += known.get(case.level, _USUAL[case.level])
    return max([sum(of.values()) / SIDE_BY_SIDE, *of.values()])


def text(expected: float) -> str:
    """'20 s', '3 min', rounded."""
    if expected >= 100:
        return f"{expected / 60:.0f} min"
    return f"{max(5 * round(expected / 5), 5)} s"

"""Whether every step moves, and whether the state does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ....plan import Weights
from ....stepping.instance import Gradients
from ..bench import PATIENCE, Bench
from ..inquiry import Inquiry
from ..measure import moves, same
from ..said import Said, failed, not_applicable, passed

Array = np.ndarray
# Steps between two looks at the state: a rule may touch some of it every fifth step only.
_APART = 12
# Steps that the script of a failure takes.
_SHOWN = 6
_LOOK = "Look at the optimizer's state after each step."


def _steps(bench: Bench) -> Iterator[Said]:
    scenario = bench.scenario(bench.many)
    if not bench.first.steps or bench.idle == PATIENCE:
        still = [n for n in bench.start if same(bench.first.steps[-1][n], bench.start[n])]
        where = ", ".join(still) or "Some tensor"
        shown = bench.scenario(_few(bench))
        yield failed(f"In {PATIENCE} steps with gradients it never moves: {where}.", shown)
        return
    idle = _idle(bench.start, bench.first.steps)
    expected = bench.expected(scenario)
    fine = _idle(bench.start, expected.steps) if expected else range(1, bench.idle + 1)
    if (wrong := [number for number in idle if number not in fine]) and bench.own_gradients:
        yield passed(f"{_numbered(wrong)} nothing: the loss is linear here.", len(wrong))
    elif wrong:
        shown = bench.scenario(bench.many[: wrong[0] + 1])
        yield failed(f"{_numbered(wrong)} nothing, with gradients.", shown, len(wrong))
    elif idle:
        yield passed(f"{_numbered(idle)} nothing; all others move.", len(idle))
    else:
        yield passed(f"All {PATIENCE} steps move.", 0)


def _idle(start: Weights, steps: Sequence[Weights]) -> list[int]:
    """Numbers of the steps that change no bit."""
    return [
        number
        for number, move in enumerate(moves(start, steps), 1)
        if not any(np.any(value) for value in move.values())
    ]


def _numbered(steps: Sequence[int]) -> str:
    if len(steps) == 1:
        return f"Step {steps[0]} does"
    if list(steps) == list(range(steps[0], steps[-1] + 1)):
        return f"Steps {steps[0]} to {steps[-1]} do"
    return f"Steps {', '.join(map(str, steps[:8]))}{', ...' if len(steps) > 8 else ''} do"


def _state(bench: Bench) -> Iterator[Said]:
    now = _arrays(bench.first.state)
    if not now:
        yield not_applicable("It keeps no arrays.")
        return
    before = bench.run(bench.scenario(bench.many[: PATIENCE - _APART])).state
    rigid = _rigid(before, now)
    blank = [path for path in rigid if not np.any(now[path])]
    expected, shown = bench.expected(bench.scenario(bench.many)), bench.scenario(_few(bench))
    if expected and _blank(bench, now) > (zeros := _blank(bench, _arrays(expected.state))):
        text = f"{_listed(blank)} stays zero; of the rule's state {zeros} numbers do."
        yield failed(text, shown, len(blank), _LOOK)
    elif expected is None and len(blank) == len(now) and not bench.own_gradients:
        text = f"All arrays that it keeps stay zero: {_listed(blank)}."
        yield failed(text, shown, len(blank), _LOOK)
    elif rigid:
        yield passed(f"{_listed(rigid)} stays as it is; the rest of the state moves.", len(rigid))
    else:
        yield passed(f"All {len(now)} arrays of the state move.", 0)


def _few(bench: Bench) -> tuple[Gradients, ...]:
    return bench.many[:_SHOWN]


def _blank(bench: Bench, state: Mapping[str, Array]) -> int:
    """How many zeros there are in arrays of nothing else that look like the tensors."""
    shapes = {value.shape for value in bench.start.values()}
    return sum(a.size for a in state.values() if a.shape in shapes and not np.any(a))


def _arrays(state: Mapping[str, Array]) -> dict[str, Array]:
    return {path: value for path, value in state.items() if value.size > 1}


def _rigid(before: Mapping[str, Array], now: Mapping[str, Array]) -> list[str]:
    return [path for path, value in now.items() if path in before and same(before[path], value)]


def _listed(paths: Sequence[str]) -> str:
    return (
        ", ".join(paths[:4]) + (f" and {len(paths) - 4} more" if len(paths) > 4 else "") or "none"
    )


CHECKS = (
    Inquiry("steps that do nothing", _steps, compares=False),
    Inquiry("state that never moves", _state, compares=False),
)

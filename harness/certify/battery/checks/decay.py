"""Weight decay shrinks weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....plan import Weights
from ....stepping.scenario import Scenario
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import amount, same
from ..said import Said, failed, passed

# Rounding may let a weight grow by an ulp.
_ROUNDING = 1e-6
# The decay that is tried, and the share within which the answer is the rule's.
_DECAY, _SHARE = 0.1, 0.05


def _shrinks(bench: Bench) -> Iterator[Said]:
    """With zero gradients, of the start and of its mirror image: subtracting a constant shrinks one
    of the two."""
    grown = {}
    for sign in (1.0, -1.0):
        start = {name: sign * value for name, value in bench.start.items()}
        scenario = _scenario(bench, start)
        last = bench.run(scenario).steps[-1]
        size = max(_length(last[name]) / _length(start[name]) for name in start) - 1.0
        grown[size if np.isfinite(size) else np.inf] = scenario
    most = max(grown)
    rule = _of_the_rule(bench, scenario)
    if most > _ROUNDING:
        text = "Weight decay makes weights grow: with zero gradients a tensor gets longer by"
        yield failed(f"{text} {amount(most)} of its length.", grown[most], most)
    elif rule is not None and abs(most - rule) > _SHARE * abs(rule):
        text = f"Weight decay shrinks weights by {amount(-most)} of their length, the rule's by"
        yield failed(f"{text} {amount(-rule)}.", grown[most], -most)
    elif all(same(last[name], start[name]) for name in last):
        yield passed("With zero gradients weight decay does nothing.", 0.0)
    else:
        yield passed("With zero gradients weight decay shrinks weights.", -most)


def _scenario(bench: Bench, start: Weights) -> Scenario:
    zeros = {name: np.zeros_like(value) for name, value in start.items()}
    making = bench.making(hyper=bench.weight_decay(_DECAY))
    return bench.scenario([zeros] * len(bench.gradients), start, making)


def _of_the_rule(bench: Bench, scenario: Scenario) -> float | None:
    """By how much of their length the known rule's weights grow."""
    if bench.known is None or "weight_decay" not in bench.known.hyper:
        return None
    expected = bench.expected(scenario, {"weight_decay": _DECAY})
    if expected is None:
        return None
    last, start = expected.steps[-1], scenario.start
    return max(_length(last[name]) / _length(start[name]) for name in start) - 1.0


def _length(array: np.ndarray) -> float:
    return float(np.linalg.norm(array))


def _counts(bench: Bench) -> Iterator[Said]:
    with_decay = bench.scenario(making=bench.making(hyper=bench.weight_decay(0.5)))
    without = bench.scenario(making=bench.making(hyper=bench.weight_decay(0.0)))
    one, other = bench.run(with_decay).steps, bench.run(without).steps
    if all(same(one[-1][name], other[-1][name]) for name in bench.start):
        yield failed("Weight decay has no effect: 0.5 and 0 give the same bits.", with_decay, 0.0)
    else:
        yield passed("Weight decay counts.")


CHECKS = (
    Inquiry("weight decay shrinks", _shrinks, compares=False),
    Inquiry("weight decay counts", _counts),
)

"""Whether it goes downhill, from where it was put."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ....plan import Weights
from ....stepping.scenario import Scenario
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import amount, finite, length
from ..said import Said, failed, not_applicable, passed

Array = np.ndarray
# The share of a tensor that a step with a tiny learning rate may change.
_MOST = 0.3


def _downhill(bench: Bench) -> Iterator[Said]:
    """Weights have the signs of their gradients, so that decay too goes downhill."""
    slope = {name: np.asarray(g) for name, g in bench.gradients[0].items()}
    start = {name: np.abs(bench.start[name]) * np.sign(slope[name]) for name in slope}
    scenario = bench.scenario([slope] * len(bench.gradients), start)
    risen = _risen(start, slope, bench.run(scenario).steps)
    least = 1e-12 * length(start)
    worst = int(np.nanargmax(risen))
    if not np.isfinite(risen).all():
        yield failed("Under a constant gradient the weights become NaN or infinite.", scenario)
    elif risen[worst] <= least or _rises(bench, scenario, start, slope):
        yield passed("Under a constant gradient the loss falls from the first move on.")
    else:
        yield failed(
            f"It climbs: under a constant gradient the loss is higher after step {worst + 1} than"
            f" at the start, by {amount(float(risen[worst]))}.",
            scenario,
            float(risen[worst]),
        )


def _risen(start: Weights, slope: Weights, steps: Sequence[Weights]) -> Array:
    """The linear loss after each step, less that of the start."""
    return np.array(
        [sum(float(np.sum(slope[n] * (now[n] - start[n]))) for n in start) for now in steps]
    )


def _rises(bench: Bench, scenario: Scenario, start: Weights, slope: Weights) -> bool:
    expected = bench.expected(scenario)
    return expected is not None and bool(np.any(_risen(start, slope, expected.steps) > 0.0))


def _start_kept(bench: Bench) -> Iterator[Said]:
    """With a tiny learning rate the weights stay about where they are."""
    if bench.facts.rate_argument is None:
        yield not_applicable("It takes no learning rate.")
        return
    making = bench.making(rate=1e-6 * bench.rate)
    scenario = bench.scenario(making=making)
    steps = bench.run(scenario).steps
    changed, name = max((_changed(steps, bench.start[name], name), name) for name in bench.start)
    expected = bench.expected(scenario)
    if not all(map(finite, steps)):
        yield failed("With a tiny learning rate the weights are NaN or infinite.", scenario)
    elif changed <= _MOST:
        yield passed("With a tiny learning rate the weights stay near their start.", changed)
    elif expected and _changed(expected.steps, bench.start[name], name) > _MOST:
        yield passed("The first steps replace the weights, as the rule says.", changed)
    else:
        yield failed(
            f"The start is lost: with the learning rate {making.rate:g}, {name} changes by"
            f" {changed:.0%} of its size.",
            scenario,
            changed,
        )


def _changed(steps: Sequence[Weights], start: Array, name: str) -> float:
    way = max(float(np.linalg.norm(step[name] - start)) for step in steps)
    return way / float(np.linalg.norm(start))


CHECKS = (
    Inquiry("downhill", _downhill, compares=False),
    Inquiry("start kept", _start_kept, compares=False),
)

"""NaN and infinite gradients: how far the damage goes."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ....plan import Weights
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import parting
from ..said import Raised, Said, failed, passed, told


def _of(bench: Bench, value: float, name: str) -> Iterator[Said]:
    """In one element of the vector's gradient, in the second step that moves."""
    step = min(bench.idle + 1, len(bench.gradients) - 2)
    given = [dict(g) for g in bench.gradients]
    spoiled = np.array(given[step]["bias"])
    spoiled.flat[1] = value
    given[step]["bias"] = spoiled
    scenario = bench.scenario(given)
    try:
        steps = bench.run(scenario).steps
    except Raised as raised:
        # To stop is an answer, whatever the error.
        yield passed(f"{name} in one element's gradient makes it stop ({told(raised.error)}).")
        return
    others = parting(bench.plain.steps, steps, bench.start, ["kernel"])
    expected = bench.expected(scenario)
    if not bench.close(others) and not bench.coupled:
        text = f"{name} in one tensor's gradient changes another tensor, from step {step + 1} on."
        yield failed(text, scenario)
        return
    lost, rule = _lost(steps[-1]), _lost(expected.steps[-1]) if expected else None
    if rule is not None and lost > rule and not bench.per_tensor:
        text = f"{name} in one element's gradient spoils {lost} elements; by the rule {rule}."
        yield failed(text, scenario, lost)
        return
    whole = sum(value.size for value in bench.start.values())
    spread = others is not None and lost > bench.start["bias"].size
    coupling = ", as its tensors are coupled by the rule" if spread else ""
    yield passed(
        f"{name} in one of {whole} elements leaves {lost} NaN or infinite{coupling}.", lost
    )


def _lost(weights: Weights) -> int:
    return sum(int(np.sum(~np.isfinite(value))) for value in weights.values())


def _nan(bench: Bench) -> Iterator[Said]:
    yield from _of(bench, math.nan, "A NaN")


def _infinite(bench: Bench) -> Iterator[Said]:
    yield from _of(bench, math.inf, "An infinite number")


CHECKS = (
    Inquiry("NaN gradients", _nan),
    Inquiry("infinite gradients", _infinite),
)

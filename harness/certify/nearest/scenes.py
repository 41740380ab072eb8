"""Fixed tensors, gradients and learning rates, on which courses are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ...plan import Weights
from ...spec import Dtype
from ...stepping.instance import Making
from ...stepping.scenario import Action, Scenario, SetRate, Step

STEPS = 50
# Sums of few powers of two: float32 holds them exactly, so a library that rounds its numbers to
# float32 rounds nothing here.
RATE, LARGE_RATE = 2.0**-7, 1.0
_SHAPES: Mapping[str, tuple[int, ...]] = {"matrix": (32, 24), "vector": (24,)}
_SMALL: Mapping[str, tuple[int, ...]] = {"matrix": (8, 4), "vector": (5,)}
_SMALL_STEPS = 6


class Scene(NamedTuple):
    """Tensors, the gradients of each step, and its learning rate."""

    start: Weights
    gradients: tuple[Weights, ...]
    rates: tuple[float, ...]

    def scenario(self, hyper: Mapping[str, Any], dtype: Dtype = "float64") -> Scenario:
        """As a library takes it: made with the first rate, set anew if the next one differs."""
        actions: list[Action] = []
        now = self.rates[0]
        for gradients, rate in zip(self.gradients, self.rates, strict=True):
            if rate != now:
                actions.append(SetRate(rate))
                now = rate
            actions.append(Step(gradients))
        return Scenario(self.start, Making(self.rates[0], hyper, dtype), tuple(actions))

    def first(self, steps: int) -> Scene:
        """Its first steps alone."""
        return Scene(self.start, self.gradients[:steps], self.rates[:steps])

    def only(self, tensor: str) -> Scene:
        """One of its tensors alone."""
        gradients = tuple({tensor: gradients[tensor]} for gradients in self.gradients)
        return Scene({tensor: self.start[tensor]}, gradients, self.rates)


def large(rate: float, falling: bool, matrices_only: bool = False) -> Scene:
    """50 steps of a 32x24 matrix and a vector, both float64.

    Gradients of normal direction, their scales over four decades up to 1. Of the matrix the first
    four rows have none, and the two after them tiny ones, 1e-8 times as large. falling: the rate
    is halved after each third of the steps; else it stays. Few rates, as JAX compiles for each."""
    return _drawn(_SHAPES, STEPS, rate, falling, matrices_only)


def small(rate: float, falling: bool, matrices_only: bool = False) -> Scene:
    """6 steps of an 8x4 matrix and a vector, drawn alike."""
    return _drawn(_SMALL, _SMALL_STEPS, rate, falling, matrices_only)


def _drawn(
    shapes: Mapping[str, tuple[int, ...]],
    steps: int,
    rate: float,
    falling: bool,
    matrices_only: bool,
) -> Scene:
    rng = np.random.default_rng(20_261_127)
    start = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    scales = {name: 10.0 ** rng.uniform(-4.0, 0.0, shape) for name, shape in shapes.items()}
    none = len(scales["matrix"]) // 8
    scales["matrix"][:none] = 0.0
    scales["matrix"][none : none + (none + 1) // 2] *= 1e-8
    gradients = tuple(
        {name: scale * rng.normal(size=scale.shape) for name, scale in scales.items()}
        for _ in range(steps)
    )
    rates = tuple(rate * 0.5 ** (3 * step // steps) if falling else rate for step in range(steps))
    whole = Scene(start, gradients, rates)
    # The matrix is the same beside a vector and without one.
    return whole.only("matrix") if matrices_only else whole

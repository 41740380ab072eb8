"""Scores from known distributions, and how often an interval holds the true value."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from gradrace.statistics.intervals import Interval

Array = np.ndarray
Draw = Callable[[np.random.Generator, int], Array]
Method = Callable[[Array], Interval]

# Accuracies of six tasks, some far apart and some near each other.
LEVELS = np.array([0.55, 0.65, 0.75, 0.80, 0.88, 0.93])[:, None]
UNEQUAL = np.array([0.08, 0.01, 0.04, 0.02, 0.005, 0.03])[:, None]
SEEDS = (3, 5, 10)


def _normal(spread: Array | float, levels: Array = LEVELS) -> Draw:
    return lambda rng, seeds: levels + spread * rng.standard_normal((len(LEVELS), seeds))


def _log_normal(sigma: float) -> Draw:
    """Losses, as accuracies: a long tail towards the worse."""
    return lambda rng, seeds: (
        LEVELS - 0.02 * np.exp(sigma * rng.standard_normal((len(LEVELS), seeds)))
    )


def _diverging(share: float) -> Draw:
    """Normal scores of which a share is at chance level."""

    def draw(rng: np.random.Generator, seeds: int) -> Array:
        scores = _normal(0.02)(rng, seeds)
        return np.where(rng.random(scores.shape) < share, 0.1, scores)

    return draw


SHAPES: dict[str, Draw] = {
    "normal": _normal(0.02),
    "normal, tasks alike": _normal(0.02, np.full((len(LEVELS), 1), 0.8)),
    "normal, unequal spread": _normal(UNEQUAL),
    "log-normal, sigma 0.5": _log_normal(0.5),
    "log-normal, sigma 1": _log_normal(1.0),
    "normal, 5% diverged": _diverging(0.05),
}


def first_task(draw: Draw) -> Draw:
    """The same scores of a single task."""
    return lambda rng, seeds: draw(rng, seeds)[:1]


def true_value(
    draw: Draw, statistic: Callable[[Sequence[Array]], Array], seeds: int = 400_000
) -> float:
    """The statistic of so many seeds that its error is far below any interval's width."""
    return float(statistic(list(draw(np.random.default_rng(2), seeds))))


def coverage(
    draw: Draw, truth: float, seeds: int, repetitions: int, methods: dict[str, Method]
) -> dict[str, float]:
    """Share of repetitions in which each method's interval holds the truth, on the same scores."""
    rng = np.random.default_rng([seeds, repetitions])
    held = dict.fromkeys(methods, 0)
    for _ in range(repetitions):
        scores = draw(rng, seeds)
        for name, method in methods.items():
            held[name] += not method(scores).excludes(truth)
    return {name: count / repetitions for name, count in held.items()}

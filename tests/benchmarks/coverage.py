"""How often 95% intervals hold the true value of made-up scores: the tables of docs/statistics.md.

    python tests/benchmarks/coverage.py [--repetitions 2000] [--table TABLE]

TABLE is aggregates, improvement, best or all.
A perfect interval scores 0.95 give or take the simulation's own error, printed above each table.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from gradrace.statistics.aggregates import (
    interquartile_mean,
    mean,
    median_of_means,
    median_of_medians,
)
from gradrace.statistics.bootstrap import Statistic, bootstrap_interval
from gradrace.statistics.comparisons import probability_of_improvement
from gradrace.statistics.intervals import Interval
from gradrace.statistics.tuning import expected_best_curve
from scipy import stats
from simulated_scores import SEEDS, SHAPES, coverage, first_task, true_value

Array = np.ndarray
Row = tuple[str, ...]
STATISTICS: dict[str, tuple[Statistic, bool]] = {
    "interquartile mean": (interquartile_mean, False),
    "median of means": (median_of_means, False),
    "median of medians": (median_of_medians, False),
    "mean, one task": (mean, True),
    "median, one task": (median_of_medians, True),
}


def percentile(statistic: Statistic, rescale: bool, scores: Array) -> Interval:
    """The usual way: percentile limits of a stratified bootstrap of 500 draws, maybe rescaled."""
    seeds = scores.shape[1]
    centre = scores.mean(axis=1, keepdims=True)
    drawn_from = centre + (scores - centre) * np.sqrt(seeds / (seeds - 1)) if rescale else scores
    rng = np.random.default_rng(np.abs(scores.view(np.int64)).ravel())
    values = statistic([task[rng.integers(0, seeds, (500, seeds))] for task in drawn_from])
    return Interval(float(statistic(list(scores))), *np.quantile(values, [0.025, 0.975]))


def aggregates(repetitions: int) -> Iterator[Row]:
    """Aggregates over six tasks, and one task alone, at 3, 5 and 10 seeds: percentile limits, these
    from rescaled residuals, and gradrace's."""
    yield ("Scores", "Statistic", "percentile", "rescaled percentile", "gradrace")
    for shape, draw in SHAPES.items():
        for name, (statistic, single) in STATISTICS.items():
            drawn = first_task(draw) if single else draw
            truth = true_value(drawn, statistic)
            methods = {
                "plain": partial(percentile, statistic, False),
                "rescaled": partial(percentile, statistic, True),
                "ours": partial(bootstrap_interval, statistic=statistic),
            }
            found = [coverage(drawn, truth, seeds, repetitions, methods) for seeds in SEEDS]
            rates = (", ".join(f"{held[method]:.3f}" for held in found) for method in methods)
            yield (shape, name, *rates)


def improvement(repetitions: int) -> Iterator[Row]:
    """Probability of improvement, normal scores, the other side's mean and spread as named."""
    heads = ("Tasks", "Shift in standard deviations", "Their spread", "True probability")
    yield (*heads, *(f"{seeds} seeds" for seeds in SEEDS))
    shifts = [np.full(1, shift) for shift in (0.0, 0.5, 1.5, 4.0)]
    for tasks in (1, 6):
        for shift in shifts if tasks == 1 else [*shifts, np.linspace(-1, 3, 6)]:
            for spread in (1.0, 4.0):
                truth = float(stats.norm.cdf(shift / np.hypot(1, spread)).mean())
                drawn = partial(_improvement, tasks, shift, spread, truth)
                held = [f"{drawn(seeds, repetitions):.3f}" for seeds in SEEDS]
                moved = ", ".join(f"{d:g}" for d in shift)
                yield (str(tasks), moved, f"{spread:g}", f"{truth:.3f}", *held)


def _improvement(
    tasks: int, shift: Array, spread: float, truth: float, seeds: int, repetitions: int
) -> float:
    def draw(rng: np.random.Generator, seeds: int) -> Array:
        ours, theirs = rng.standard_normal((2, tasks, seeds))
        return np.stack([ours + shift[:, None], spread * theirs])

    def method(scores: Array) -> Interval:
        return probability_of_improvement(scores[0], scores[1], higher_is_better=True)

    return coverage(draw, truth, seeds, repetitions, {"ours": method})["ours"]


def best(repetitions: int) -> Iterator[Row]:
    """Expected best accuracy of k out of n random trials."""
    yield ("Trials run", "k", "coverage")
    rng = np.random.default_rng(3)
    for count in (16, 32, 64):
        for k in (1, count // 8, count // 4, count // 2, count - 1):
            truth = float(np.mean(_trials(rng, (40_000, k)).max(axis=1)))

            def method(scores: Array, k: int = k) -> Interval:
                found = expected_best_curve(scores, True, [k])
                return Interval(float(found.expected[0]), float(found.low[0]), float(found.high[0]))

            held = coverage(_trials, truth, count, repetitions, {"ours": method})["ours"]
            yield (str(count), str(k), f"{held:.3f}")


def _trials(rng: np.random.Generator, shape: int | tuple[int, ...]) -> Array:
    """Accuracies of a random search: one in five at chance, the others up to just below 1."""
    return np.where(rng.random(shape) < 0.2, 0.1, rng.beta(4, 1, shape))


TABLES = {"aggregates": aggregates, "improvement": improvement, "best": best}


def show(rows: Iterator[Row]) -> None:
    """A Markdown table, each row printed as soon as it is known."""
    for number, row in enumerate(rows):
        print("| " + " | ".join(row) + " |", flush=True)
        if number == 0:
            print("|" + "---|" * len(row))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--table", choices=[*TABLES, "all"], default="all")
    chosen = parser.parse_args(arguments)
    for name in TABLES if chosen.table == "all" else [chosen.table]:
        error = np.sqrt(0.95 * 0.05 / chosen.repetitions)
        said = f"{chosen.repetitions} repetitions: give or take {1.96 * error:.3f}."
        print(f"\n{TABLES[name].__doc__} {said}\n")
        show(TABLES[name](chosen.repetitions))


if __name__ == "__main__":
    main()

"""How often equal sides are called different if launches depend on each other, unlike alpha says.

    python tests/benchmarks/dependence.py [--searches 2000]

Launches of equal sides are drawn with the autocorrelation rho from one to the next (AR(1)), as a
machine whose speed wanders would have it, and judged by the rule of `gradrace compare` and `gate`:
one cell, five looks, alpha 5%. A confirming search goes on where the first one ended. Prints a
table of false verdicts in percent."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from gradrace.paired import StopRule
from gradrace.paired.measure import Launch
from gradrace.paired.run import search

RHOS, SPREADS = (0.0, 0.3, 0.6, 0.9), (0.03, 0.06)


def main() -> None:
    """Prints the table."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=2000)
    searches = parser.parse_args().searches
    print("| rho | launches apart by | regression, improvement: found once | found twice |")
    print("|---|---|---|---|")
    for rho in RHOS:
        for spread in SPREADS:
            once, twice = (false_rates(rho, spread, confirm, searches) for confirm in (False, True))
            cells = (
                f"{100 * found['regression']:.1f}%, {100 * found['improvement']:.1f}%"
                for found in (once, twice)
            )
            print(f"| {rho:g} | {spread:.0%} | {' | '.join(cells)} |", flush=True)


def false_rates(
    rho: float, spread: float, confirm: bool, searches: int, seed: int = 0
) -> dict[str, float]:
    """The share of searches with each verdict; the truth is that the sides are equal."""
    rng, counts = np.random.default_rng(seed), Counter[str]()
    # Five looks, and as many in the confirmation.
    rule = StopRule(confirm=confirm, budget_s=36.5 if confirm else 18.5)
    for _ in range(searches):
        counts[_verdict(_launches(rng, rho, spread), rule)] += 1
    names = ("regression", "improvement", "ok", "inconclusive")
    return {name: counts[name] / searches for name in names}


def _launches(rng: np.random.Generator, rho: float, spread: float) -> Iterator[float]:
    """Log ratios of mean 0 and this standard deviation: rho times the last one, and fresh noise."""
    value = rng.normal(0.0, spread)
    while True:
        yield float(value)
        value = rho * value + rng.normal(0.0, spread * np.sqrt(1.0 - rho**2))


def _verdict(values: Iterator[float], rule: StopRule) -> str:
    now = [0.0]

    def measure(cells: Sequence[int]) -> dict[int, Launch]:
        now[0] += 1.0
        return {cell: Launch(next(values), 0.0, 1e-3, 1e-3) for cell in cells}

    return search(1, measure, rule, clock=lambda: now[0])[0].decision


if __name__ == "__main__":
    main()

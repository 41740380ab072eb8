"""How often the search of `gradrace bisect` ends at the planted commit, on simulated launches.

    python tests/benchmarks/simulated_bisections.py

Histories of 32 commits with one slowdown of 5%; the comparison of GOOD and BAD (twelve launches) is
taken as given, and nothing is confirmed. One launch of 20 has ten times the spread of the others.
Takes a minute; prints a line a spread. Nothing is asserted.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from gradrace.bisect import Place, levels
from gradrace.bisect.search import Found, Span, search

COMMITS, HISTORIES, STEP, HEAVY = 32, 150, float(np.log(1.05)), 0.05


class Simulated:
    """One history. culprit: the first slow commit."""

    def __init__(self, culprit: int, spread: float, random: np.random.Generator) -> None:
        self.culprit, self.spread, self.random = culprit, spread, random
        self.samples = {COMMITS: list(self.launches(COMMITS, 12))}
        self.level_of, self.launched = {0: 0, COMMITS: 1}, 0

    def launches(self, index: int, count: int) -> np.ndarray:
        """float64[count]: log ratios of a commit to GOOD."""
        wide = np.where(self.random.random(count) < HEAVY, 10.0, 1.0)
        noise = self.spread * wide * self.random.standard_normal(count)
        return STEP * (index >= self.culprit) + noise

    def level(self, index: int, spread: float) -> levels.Level:
        """Of a commit that was placed."""
        number = self.level_of[index]
        shared = [np.array(x) for i, x in self.samples.items() if self.level_of.get(i) == number]
        return levels.level(shared, spread) if number else levels.Level(0.0)

    def place(self, index: int, span: Span) -> Place:
        """Launches until the commit is placed."""
        x, delta = self.samples.setdefault(index, []), levels.share_of(0.05, COMMITS)
        while True:
            known = [np.array(each) for each in self.samples.values() if len(each) > 1]
            spread = levels.pooled_spread(known)
            ends = [self.level(each, spread) for each in span]
            found = levels.decide(np.array(x), ends[0], ends[1], spread, delta)
            if found:
                break
            if len(x) >= levels.MOST:
                del self.samples[index]
                return "skipped"
            x.append(float(self.launches(index, 1)[0]))
            self.launched += 1
        same = {"older": self.level_of[span.older], "newer": self.level_of[span.newer]}
        self.level_of[index] = same.get(found, max(self.level_of.values()) + 1)
        return found

    def size(self, span: Span) -> float:
        """The change in a span."""
        return abs(self.level(span.newer, 1e-3).centre - self.level(span.older, 1e-3).centre)

    def search(self) -> Found:
        """As `bisect.timed` does it, with a threshold of 5%."""
        return search(COMMITS, self.place, self.size, lambda span: self.size(span) > STEP / 4)


def main() -> None:
    """All spreads."""
    random = np.random.default_rng(0)
    for spread in (0.003, 0.01, 0.02):
        counts, launches = Counter[str](), []
        for _ in range(HISTORIES):
            made = Simulated(int(random.integers(1, COMMITS + 1)), spread, random)
            ends = made.search().ends
            right = Span(made.culprit - 1, made.culprit)
            others = "others beside it" if right in ends else "another"
            counts["exactly that commit" if ends == [right] else others] += 1
            launches.append(made.launched)
        told = ", ".join(f"{count} {what}" for what, count in counts.items())
        print(f"spread {spread:.1%}: {told}; {np.mean(launches):.1f} launches", flush=True)


if __name__ == "__main__":
    main()

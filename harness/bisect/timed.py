"""Places versions by the clock: every version is timed in turns with GOOD, in one job."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np

from ..errors import UserError
from ..paired import Pair, Quantity, StopRule
from ..paired.decide import line
from ..paired.measure import Launch, Outcome
from ..paired.processes import Failure
from ..paired.quantities import Launches, launcher
from ..paired.run import Measure, MeasuredPair, search
from . import Place, Question, Tested, levels
from .line import Row
from .log import DecisionLine, LaunchLine, Log, line_of, outcomes_of
from .search import Span, Spent

Watch = Callable[[str], None]
# A process that dies once may have met a full memory; twice, it is the version.
_TRIES = 2
ENDS = "ends"


class Clock:
    """Seconds spent on a bisection, those of the launches in its log included."""

    def __init__(self, budget_s: float) -> None:
        self._start, self._logged, self.launches = time.monotonic(), 0.0, 0
        self._budget_s = budget_s

    def __call__(self) -> float:
        return time.monotonic() - self._start + self._logged

    def add(self, seconds: float) -> None:
        """Seconds that an earlier process spent."""
        self._logged += seconds

    @property
    def over(self) -> bool:
        """Whether nothing may begin any more."""
        return self() >= self._budget_s


@dataclass
class Timed:
    """State of a bisection by the clock. samples: log ratios to GOOD by index of the version."""

    row: Row
    pairs: Sequence[Pair]
    rule: StopRule
    log: Log
    clock: Clock
    watch: Watch
    quantity: Quantity = "step"
    samples: dict[int, list[float]] = field(default_factory=dict)
    tested: dict[int, Tested] = field(default_factory=dict)
    # Index of a version -> its level; versions that are equally fast share one. GOOD has level 0.
    level_of: dict[int, int] = field(default_factory=lambda: {0: 0})
    followed: int = 0

    @property
    def last(self) -> int:
        """The index of BAD."""
        return len(self.row.ids) - 1

    def ends(self) -> list[MeasuredPair]:
        """GOOD against BAD in all pairs; follows the pair with the largest difference that was
        shown twice. Its launches are BAD's level."""
        kept: list[list[float]] = [[] for _ in self.pairs]
        with self.launches(ENDS, 0, self.last, self.pairs) as measure:

            def noted(cells: Sequence[int]) -> Mapping[int, Outcome]:
                outcomes = measure(cells)
                for cell, outcome in outcomes.items():
                    if isinstance(outcome, Launch):
                        kept[cell].append(outcome.log_ratio)
                return outcomes

            found = search(len(self.pairs), noted, self.rule, self.watch, self.clock)
        changed = [i for i, each in enumerate(found) if each.confirmed]
        if changed:
            self.followed = max(changed, key=lambda i: abs(float(np.mean(found[i].log_ratios))))
            self.samples[self.last], self.level_of[self.last] = kept[self.followed], 1
        return found

    def place(self, index: int, span: Span) -> Place:
        """Times this version against GOOD until it belongs to one end of the span, or to neither.

        Raises Spent if the budget ends before that."""
        version = self.row.ids[index]
        delta = levels.share_of(self.rule.alpha, self.last)
        x = self.samples.setdefault(index, [])
        decided: Place | None = None
        failures: list[Failure] = []
        with self.launches(f"at:{version}", 0, index, [self.pairs[self.followed]]) as measure:
            while decided is None:
                older, newer, spread = self._ends_of(span)
                decided = levels.decide(np.array(x), older, newer, spread, delta)
                if decided or len(x) >= levels.MOST or len(failures) == _TRIES:
                    break
                self.watch(f"{self.row.label(index)}: launch {len(x) + 1}")
                outcome = measure([0])[0]
                if isinstance(outcome, Launch):
                    x.append(outcome.log_ratio)
                    continue
                failures.append(outcome)
                if outcome.skipped:
                    break
        reason = failures[-1].reason if failures else f"{len(x)} launches do not place it"
        return self._noted(index, span, decided, "" if decided else reason)

    def _noted(self, index: int, span: Span, decided: Place | None, reason: str) -> Place:
        place, x = decided or "skipped", self.samples[index]
        known = {"older": self.level_of[span.older], "newer": self.level_of[span.newer]}
        if place == "skipped":
            del self.samples[index]
        else:
            self.level_of[index] = known.get(place, max(self.level_of.values()) + 1)
        ratio = math.exp(float(np.median(x))) if x else None
        version = self.row.label(index)
        self.tested[index] = Tested(
            version=version, place=place, ratio=ratio, launches=len(x), reason=reason
        )
        self.log.add(DecisionLine(version=self.row.ids[index], place=place, reason=reason))
        told = "" if ratio is None else f", {ratio:.3f} times GOOD's figure"
        self.watch(f"{version}: {place}{told}{f' ({reason})' if reason else ''}")
        return place

    def _ends_of(self, span: Span) -> tuple[levels.Level, levels.Level, float]:
        spread = levels.pooled_spread([np.array(x) for x in self.samples.values() if len(x) > 1])
        older, newer = (self.level(index, spread) for index in span)
        return older, newer, spread

    def level(self, index: int, spread: float | None = None) -> levels.Level:
        """Of a version that was placed."""
        number = self.level_of[index]
        if number == 0:
            return levels.Level(0.0)
        shared = [np.array(x) for i, x in self.samples.items() if self.level_of.get(i) == number]
        if spread is None:
            spread = levels.pooled_spread([np.array(x) for x in self.samples.values()])
        return levels.level(shared, spread)

    def size(self, span: Span) -> float:
        """The change in a span, as a log ratio without its sign."""
        return abs(self.step(span))

    def step(self, span: Span) -> float:
        """The change in a span as a log ratio."""
        return self.level(span.newer).centre - self.level(span.older).centre

    def worth(self, span: Span) -> bool:
        """Changes below a quarter of the threshold are not followed."""
        return self.size(span) > line(self.rule.threshold) / 2

    def against(self, span: Span) -> MeasuredPair:
        """The two ends of a span, timed afresh against each other."""
        older, newer = (self.row.ids[index] for index in span)
        # As large as the change is expected to be: half of it is the line that it must pass.
        expected = min(max(math.expm1(self.size(span)), 0.002), 0.9)
        rule = self.rule.model_copy(
            update={"confirm": False, "threshold": min(self.rule.threshold, expected)}
        )
        phase = f"confirm:{older}:{newer}"
        pairs = [self.pairs[self.followed]]
        with self.launches(phase, span.older, span.newer, pairs) as measure:
            return search(1, measure, rule, self.watch, self.clock)[0]

    @contextmanager
    def launches(
        self, phase: str, older: int, newer: int, pairs: Sequence[Pair]
    ) -> Iterator[Measure]:
        """Launches of two versions: first those of the log, then new ones, which the log gets.

        The versions are made ready when the first new launch needs them. One that cannot be is a
        failure of all pairs; of GOOD and BAD it is a UserError. Raises Spent if the budget is over
        before a new launch."""
        with ExitStack() as stack:
            made: list[Launches] = []

            def measure(cells: Sequence[int]) -> Mapping[int, Outcome]:
                known = self.log.next(phase)
                if isinstance(known, LaunchLine):
                    self.clock.add(known.seconds)
                    self.clock.launches += 1
                    return outcomes_of(known)
                if self.clock.over:
                    raise Spent
                began = time.monotonic()
                try:
                    if not made:
                        a, b = stack.enter_context(self.row.sides(older, newer))
                        made.append(launcher(self.quantity, pairs, (a, b), self.rule))
                    outcomes = made[0](cells)
                except UserError as error:
                    if phase == ENDS:
                        raise
                    outcomes = dict.fromkeys(cells, Failure(str(error), skipped=True))
                self.log.add(line_of(phase, time.monotonic() - began, outcomes))
                self.clock.launches += 1
                return outcomes

            yield measure


def rule_of(question: Question, budget_s: float) -> StopRule:
    """The rule of the comparison of GOOD and BAD, and of confirmations."""
    given = question.rule
    return StopRule(
        threshold=given["threshold"],
        alpha=given["alpha"],
        first_look=int(given["launches"]),
        budget_s=budget_s,
    )

"""The words for each quantity: its name, its unit for people, and those for more and less of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import Decision, PairVerdict, Quantity


@dataclass(frozen=True)
class Words:
    """title: of a table or chapter. unit: for people, and `scale` how many of it one of ours is
    (see paired.UNITS). more, less: a change, with `a` before it. larger, smaller: of B against A.
    worse: a regression as a sentence on a cell and a share."""

    title: str
    unit: str
    scale: float
    more: str
    less: str
    larger: str
    smaller: str
    worse: str

    def change(self, decision: Decision) -> str:
        """The word for a regression or an improvement of this quantity."""
        return self.more if decision == "regression" else self.less

    def suspected(self, cell: PairVerdict) -> str:
        """A difference that was found once; the figures are those of all that was measured last."""
        apart = (cell.ratio or 1.0) - 1.0
        direction = self.larger if apart > 0 else self.smaller
        return f"{cell.cell} may be {direction} ({apart:+.1%}, not confirmed)"

    def regressed(self, cell: PairVerdict) -> str:
        """A regression, in words."""
        return self.worse.format(cell=cell.cell, share=f"{(cell.ratio or 1.0) - 1.0:.1%}")


_TIME = ("slowdown", "speed-up", "slower", "faster")
_AMOUNT = ("rise", "fall", "larger", "smaller")
WORDS: Mapping[Quantity, Words] = {
    "step": Words("Step times", "µs/step", 1e6, *_TIME, "{cell} is slower by {share}"),
    "first_call": Words(
        "First calls", "ms", 1e3, *_TIME, "the first call of {cell} is slower by {share}"
    ),
    "memory": Words("Memory", "MiB", 2.0**-20, *_AMOUNT, "{cell} takes {share} more memory"),
    "energy": Words("Energy", "mJ/step", 1e3, *_AMOUNT, "{cell} draws {share} more energy a step"),
}

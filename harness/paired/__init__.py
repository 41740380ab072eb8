"""Two sides timed against each other in one job; read first the values below, then run.py.

choose.py makes pairs of a suite's cells. sides.py prepares commits (dependencies.py: do they want
other packages?), interpreters and files. worker.py is the process of one side, processes.py starts
and asks two of them. measure.py takes launches in paired blocks, fresh.py those of first calls and
memory, quantities.py chooses between them. decide.py turns launches into verdicts, run.py adds
launches until every verdict stands, text.py formats figures in the words of words.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, PositiveInt

from ..importpath import Plugin
from ..record import Machine
from ..spec import Frozen, RunSpec

SCHEMA = 2
# suspected: a difference was found once, and no second search confirmed it.
Decision = Literal[
    "regression", "improvement", "ok", "suspected", "inconclusive", "failed", "skipped"
]
# The quantities that can be compared in pairs, and the unit of each.
Quantity = Literal["step", "first_call", "memory", "energy"]
UNITS: Mapping[Quantity, str] = {
    "step": "s/step",
    "first_call": "s",
    "memory": "bytes",
    "energy": "J/step",
}


@dataclass(frozen=True)
class Side:
    """One of the two things compared: which interpreter runs which source.

    label: for people ("HEAD~1", "torch 2.12"). root: a folder with a package `gradrace`, put first
    on the interpreter's path; None for the installed one. plugins: the user's files, as --load
    takes them. slowdown: every step is made longer by this share of its time, for calibration."""

    label: str
    python: str
    root: Path | None = None
    plugins: tuple[Plugin, ...] = ()
    slowdown: float = 0.0
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """Two runs (of measure "timing") that stand against each other, under a name of their own.

    alone: a process may be able to hold one session of such a run only, by its framework's version.
    """

    name: str
    a: RunSpec
    b: RunSpec
    alone: bool = False


class StopRule(Frozen):
    """The rule for verdicts and further launches. Ratios are b / a of the quantity.

    threshold: the slowdown or speed-up that must not go unnoticed: 0.05 is 5%; ok means shown to
    differ by less. alpha: error rate of the whole comparison, over all cells and looks, two-sided.
    first_look: launches before the first look. more: launches between looks. pairs: paired blocks
    a launch. budget_s: wall seconds after which no launch begins. confirm: a regression or
    improvement must be found a second time, in launches of its own."""

    threshold: Annotated[FiniteFloat, Field(gt=0, lt=1)] = 0.05
    alpha: Annotated[FiniteFloat, Field(gt=0, lt=0.5)] = 0.05
    first_look: Annotated[int, Field(ge=3)] = 6
    more: PositiveInt = 3
    pairs: Annotated[int, Field(ge=4)] = 24
    budget_s: Annotated[FiniteFloat, Field(gt=0)] = 180.0
    confirm: bool = True


class PairVerdict(Frozen):
    """The result of one pair. Ratios b / a.

    a_value, b_value: what the ratio is made of, in the unit of the comparison's quantity: the
    geometric means over launches of each launch's figure, a median over blocks if it has any.

    decision: skipped if neither side can do it, or one of two that differ.
    reason: why the pair failed, was skipped, or stays suspected or inconclusive.
    low, high: confidence limits of the ratio at level 1 - alpha of the look; they hold at all looks
    at once, for this pair alone.
    detectable: the smallest slowdown that the rule finds four times out of five in so many launches
    of this spread, looks and confirmation included.
    launches: how many the figures rest on. looks: how often the rule was applied.
    settle_s: of a suspected pair: about the seconds of a comparison of this pair alone that finds a
    difference of the threshold, or as large as was seen, four times out of five.
    confirmed: found in both searches. contended: other processes held the core.
    cpu_ratio: of CPU seconds, a secondary figure: it does not see waiting for a device.
    """

    cell: str
    a: str
    b: str
    decision: Decision
    reason: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    detectable: float | None = None
    a_value: float | None = None
    b_value: float | None = None
    cpu_ratio: float | None = None
    launches: int = 0
    looks: int = 0
    settle_s: float | None = None
    confirmed: bool = False
    contended: bool = False
    log_ratios: tuple[float, ...] = ()
    a_parts_s: dict[str, float] = {}
    b_parts_s: dict[str, float] = {}


class PairedResult(Frozen):
    """A whole comparison, as `--json` prints it. a, b: label, details and versions of the sides."""

    schema_version: Literal[2] = Field(default=2, alias="schema")
    quantity: Quantity = "step"
    started_at: str
    seconds: float
    machine: Machine
    rule: StopRule
    a: dict[str, Any]
    b: dict[str, Any]
    cells: tuple[PairVerdict, ...]

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)

    def of(self, decision: Decision) -> tuple[PairVerdict, ...]:
        """The cells with this verdict."""
        return tuple(cell for cell in self.cells if cell.decision == decision)

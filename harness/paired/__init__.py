"""Two sides measured against each other in one job: persistent workers, ABBA blocks, the launch as
the unit.

Read here: the values that go in and come out. `sides.py` prepares sides (commits, interpreters,
files), `worker.py` is the process that holds one side's cells, `measure.py` takes paired blocks,
`decide.py` turns them into verdicts, and `run.py` adds launches until every verdict stands or the
budget is spent. `choose.py` makes pairs of a suite's cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, PositiveInt

from ..record import Machine
from ..spec import Frozen, RunSpec

SCHEMA = 1
Decision = Literal["regression", "improvement", "ok", "inconclusive", "failed", "skipped"]


@dataclass(frozen=True)
class Side:
    """One of the two things compared: which interpreter runs which source.

    label: for people ("HEAD~1", "torch 2.12"). root: a folder put before everything else on the
    interpreter's path (it holds a package `gradrace`), None for the installed one. plugins: the
    user's files, as --load takes them.
    slowdown: a fraction of a step's time that every step is made to last longer, for calibration; 0
    is none."""

    label: str
    python: str
    root: Path | None = None
    plugins: tuple[Path, ...] = ()
    slowdown: float = 0.0
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A cell: the runs (of measure "timing") that stand against each other. `name` tells it apart
    from the others.
    """

    name: str
    a: RunSpec
    b: RunSpec


class StopRule(Frozen):
    """When a verdict is given. Ratios are b / a of seconds per step.

    threshold: the slowdown, or speed-up, that must not go unnoticed: 0.05 is 5%; ok means shown to
    differ by less. alpha: error rate of the whole comparison, over all
    cells and looks, two-sided. first_look: launches before the first look; `more` launches between
    looks.
    pairs: paired blocks a launch. budget_s: wall seconds after which no further launch is begun.
    confirm: whether a regression or improvement must be found a second time, in launches of its
    own, before it is called one."""

    threshold: Annotated[FiniteFloat, Field(gt=0, lt=1)] = 0.05
    alpha: Annotated[FiniteFloat, Field(gt=0, lt=0.5)] = 0.05
    first_look: Annotated[int, Field(ge=3)] = 6
    more: PositiveInt = 3
    pairs: Annotated[int, Field(ge=4)] = 24
    budget_s: Annotated[FiniteFloat, Field(gt=0)] = 180.0
    confirm: bool = True


class CellVerdict(Frozen):
    """What was found for one cell. Ratios b / a; seconds per step are medians over launches of p25.

    decision: skipped where neither side can do it, or one of two that differ; reason says why.
    low, high: confidence limits of the ratio at level 1 - alpha of the look: they hold at all looks
    at once, for this cell.
    p_slower: of "b is no slower", corrected over cells by Holm; at most half the alpha of the look
    for a regression.
    detectable: the smallest slowdown that the rule finds four times out of five in so many launches
    of this spread, looks and confirmation included.
    launches: how many the figures rest on. looks: how often the rule was applied. confirmed: found
    in both runs.
    cpu_ratio: of CPU seconds, blind to waiting for a device; a secondary figure. contended: other
    processes held the core.
    reason: why the cell failed or was skipped, or why it stays inconclusive.
    """

    cell: str
    a: str
    b: str
    decision: Decision
    reason: str = ""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p_slower: float | None = None
    detectable: float | None = None
    a_step_s: float | None = None
    b_step_s: float | None = None
    cpu_ratio: float | None = None
    launches: int = 0
    looks: int = 0
    confirmed: bool = False
    contended: bool = False
    log_ratios: tuple[float, ...] = ()
    a_parts_s: dict[str, float] = {}
    b_parts_s: dict[str, float] = {}


class PairedResult(Frozen):
    """A whole comparison, as `--json` prints it. a, b: label and details of the sides, versions
    among them.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    started_at: str
    seconds: float
    machine: Machine
    rule: StopRule
    a: dict[str, Any]
    b: dict[str, Any]
    cells: tuple[CellVerdict, ...]

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)

    def of(self, decision: Decision) -> tuple[CellVerdict, ...]:
        """The cells with this verdict."""
        return tuple(cell for cell in self.cells if cell.decision == decision)

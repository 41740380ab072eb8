"""What grew from side A to side B: `gradrace why`; read first the values below, then run.py.

process.py holds one side's process, measure.py takes profiles of both in turns, align.py matches
operations, causes.py turns counts into causes, text.py words them, run.py does all of it,
kept.py keeps the traces of one launch for `gradrace time --profile`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt

from ..paired import PairVerdict
from ..record import Machine
from ..spec import Frozen

SCHEMA = 1
Part = Literal["forward", "backward", "optimizer", ""]
Seconds = FiniteFloat
Count = Annotated[FiniteFloat, Field(ge=0.0)]
Text = Annotated[str, Field(max_length=2000)]
# Counts that a profiler may know, a step; graph_breaks: in all programs of the process.
COUNTS = (
    *("synchronisations", "compilations", "graph_breaks", "copies", "copied_bytes", "kernels"),
    *("allocations", "allocated_bytes"),
)


class Op(Frozen):
    """An operation, a step: its calls, and its own time without that of operations inside it.

    device_s, bytes: None if the profiler does not know. source: "file:line" of the caller."""

    name: Annotated[str, Field(max_length=300)]
    part: Part = ""
    calls: Count = 0.0
    host_s: Count = 0.0
    device_s: Count | None = None
    bytes: Count | None = None
    source: Text = ""


class Profile(Frozen):
    """One side in one launch, as a profiler gives it (docs/why.md), with what the clock adds.

    counts: a step. wall_s: seconds of a profiled step, without operations of 0 calls (compiling,
    say). step_s: of a step before, unprofiled."""

    steps: NonNegativeInt
    ops: tuple[Op, ...] = ()
    counts: dict[Annotated[str, Field(max_length=80)], Count | None] = {}
    traces: tuple[Text, ...] = ()
    notes: tuple[Text, ...] = ()
    wall_s: Count = 0.0
    step_s: Count = 0.0


class Change(Frozen):
    """An operation on both sides, or those of a part that only one side has, as one.

    a, b: names on each side; empty if the side has none. Seconds and calls are a step's, medians
    over launches: of the host, or of the device if that has changed more. change_s: b - a, with the
    least and the greatest over launches, low_s and high_s, None below three. share: of the sum of
    all changes of its sign."""

    part: Part
    a: tuple[str, ...]
    b: tuple[str, ...]
    on: Literal["host", "device"] = "host"
    a_calls: Count = 0.0
    b_calls: Count = 0.0
    a_s: Seconds = 0.0
    b_s: Seconds = 0.0
    change_s: Seconds = 0.0
    low_s: Seconds | None = None
    high_s: Seconds | None = None
    share: FiniteFloat | None = None
    source: Text = ""

    @property
    def clear(self) -> bool:
        """Whether all launches agree on the direction; unknown limits count as clear."""
        if self.low_s is None or self.high_s is None:
            return True
        return self.low_s > 0.0 or self.high_s < 0.0


class CountPair(Frozen):
    """A count of both sides, a step, the median over launches; None: not known."""

    name: str
    a: Count | None
    b: Count | None


CauseKind = Literal[
    "compilation", "synchronisation", "unfused update", "copy", "graph break", "allocation"
]


class Cause(Frozen):
    """A change of a count that explains time. side: which side has more of it.

    seconds: a step, of the operations that belong to it. share: of all in which this
    side is slower."""

    kind: CauseKind
    side: Literal["A", "B"]
    says: Text
    seconds: Seconds
    share: FiniteFloat | None = None


class CellChange(Frozen):
    """One pair. verdict: of paired blocks without a profiler. a_step_s, b_step_s: seconds of a step
    in the profiled launches, before the profiler began. changes: the largest first."""

    verdict: PairVerdict
    launches: NonNegativeInt = 0
    steps: NonNegativeInt = 0
    a_step_s: Seconds | None = None
    b_step_s: Seconds | None = None
    a_profiled_s: Seconds | None = None
    b_profiled_s: Seconds | None = None
    causes: tuple[Cause, ...] = ()
    changes: tuple[Change, ...] = ()
    counts: tuple[CountPair, ...] = ()
    notes: tuple[Text, ...] = ()
    a_traces: tuple[str, ...] = ()
    b_traces: tuple[str, ...] = ()

    @property
    def total_s(self) -> float:
        """The change of a step, b - a, in seconds: of the paired blocks; else, if those failed
        because one side compiles all the time, of the blocks before the profiles; else 0."""
        a, b = self.verdict.a_value, self.verdict.b_value
        if a is None or b is None:
            a, b = self.a_step_s, self.b_step_s
        return 0.0 if a is None or b is None else b - a


class WhyResult(Frozen):
    """The whole answer, as `--json` prints it. a, b: label, details and versions of the sides."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    started_at: str
    seconds: float
    machine: Machine
    a: dict[str, Any]
    b: dict[str, Any]
    cells: tuple[CellChange, ...]

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)

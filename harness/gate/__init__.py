"""Losses against a baseline, step times against a base; read first the values below, then judge.py.

trace.py: a run as a baseline keeps it, and equality. baseline.py: the file. traces.py: traces of
today. check.py and converge.py: losses. timing.py: step times. judge.py: both, and the exit code.
calibrate.py: how often timing errs. text.py: JUnit and Markdown. schema.py: the JSON Schema."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ..paired import PairedResult
from ..record import Machine
from ..spec import Frozen

SCHEMA = 1
Mode = Literal["exact", "band"]
What = Literal["losses", "steps to target", "final validation loss"]

# same: equal bits. within: inside the rounding band. differs: a regression. changed: not the
# baseline's run. unchecked: nothing to compare, or nothing to compute it with. failed: it failed.
Verdict = Literal["same", "within", "differs", "changed", "unchecked", "failed"]


class Check(Frozen):
    """One comparison with the baseline: a run's losses, or a figure over seeds.

    id: the run's, without its seed if it is over seeds. step: the first beyond `allowed`, from 0:
    the loss after so many updates. before, after: the baseline's value and today's. relative:
    |after - before| / |before|. allowed: the largest `relative` there."""

    id: str
    what: What
    framework: str
    verdict: Verdict
    mode: Mode | None = None
    reason: str = ""
    step: int | None = None
    before: float | None = None
    after: float | None = None
    relative: float | None = None
    allowed: float | None = None

    @property
    def subject(self) -> str:
        """Task, framework with mode, optimizer with rule."""
        return "/".join(self.id.split("/")[1:4])

    @property
    def task(self) -> str:
        """The task's name."""
        return self._part(1)

    @property
    def optimizer(self) -> str:
        """The optimizer's name and rule."""
        return self._part(3)

    def _part(self, place: int) -> str:
        """'' if the id, which may come from a file, has no such part."""
        return "".join(self.id.split("/")[place : place + 1])


class Comparability(Frozen):
    """A framework's comparison, bit for bit or within the rounding band, and the reason."""

    framework: str
    mode: Mode
    reason: str
    versions: dict[str, str]


class Convergence(Frozen):
    """The losses' part. against: the baseline's file, or the commit that was computed, too."""

    against: str
    frameworks: tuple[Comparability, ...]
    checks: tuple[Check, ...]
    machine_type: str

    def of(self, *verdicts: Verdict) -> tuple[Check, ...]:
        """The checks with one of these verdicts."""
        return tuple(check for check in self.checks if check.verdict in verdicts)


class GateResult(Frozen):
    """A whole gate, as `gate --json` writes it.

    A part that was not measured is None, and its `_reason` says why. unmeasured: requested parts
    without a figure. calibration: the error rates on this type of machine, in a sentence.
    exit_code: see errors.ExitCode.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    suite: str
    started_at: str
    seconds: float
    gradrace: str
    machine: Machine
    outcome: str
    exit_code: int
    convergence: Convergence | None = None
    convergence_reason: str = ""
    timing: PairedResult | None = None
    timing_reason: str = ""
    unmeasured: tuple[str, ...] = ()
    calibration: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return self.model_dump(mode="json", by_alias=True)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `gate --json`."""
    return GateResult.model_json_schema(by_alias=True, mode="serialization")

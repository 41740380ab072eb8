"""Ratios of HEAD to an anchor, recorded night after night; read first `Point` below.

recording.py measures them (anchors: against which releases, commits or interpreters), lines.py
keeps them in files of JSON lines, branch.py on a branch that is never checked out (plumbing: git's
commands for it). order.py brings them into the order of commits, together.py puts them over one
axis of nights, beside the values of asv's own folders (foreign), text.py turns them into words,
links.py into addresses. detect finds steps and drift, standing.py those that still stand.
asv_files.py writes a history as asv's files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from ..paired import Decision, Quantity
from ..spec import Frozen

SCHEMA = 1
# A full hash, of SHA-1 or SHA-256.
Hash = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
# A name of a machine: it is a folder's.
MACHINE, LONGEST_MACHINE = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", 100
MachineName = Annotated[str, Field(pattern=MACHINE, max_length=LONGEST_MACHINE)]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", max_length=40)]
Positive = Annotated[FiniteFloat, Field(gt=0)]


class Point(Frozen):
    """One cell of one recording: HEAD against an anchor, paired, in one job on one machine.

    cell: the pair's name. at: when it was recorded, ISO 8601 in UTC. commit, commit_at, subject:
    of HEAD: full hash, ISO date of the commit, first line of its message. anchor, anchor_commit:
    label and hash of the other side; the hash is empty if an interpreter is the anchor.
    machine: its name for people. machine_type: processor and instructions.
    decision, reason: of the recording by itself; failed and skipped have no figures.
    ratio, low, high: HEAD / anchor with its 95% t interval over launches. log_ratios: one a launch.
    a_value, b_value: of the anchor and of HEAD, in paired.UNITS of the quantity.
    versions, anchor_versions: of the frameworks of the cell. gradrace: its version.
    contended: other processes held the core."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    cell: Annotated[str, Field(min_length=1)]
    quantity: Quantity = "step"
    at: Moment
    commit: Hash
    commit_at: Moment
    subject: str = ""
    anchor: Annotated[str, Field(min_length=1)]
    anchor_commit: Hash | Literal[""] = ""
    machine: MachineName
    machine_type: str
    decision: Decision
    reason: str = ""
    ratio: Positive | None = None
    low: Positive | None = None
    high: Positive | None = None
    log_ratios: tuple[FiniteFloat, ...] = ()
    a_value: FiniteFloat | None = None
    b_value: FiniteFloat | None = None
    versions: dict[str, str] = {}
    anchor_versions: dict[str, str] = {}
    gradrace: str = ""
    contended: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """What tells two points apart."""
        whole = (self.cell, self.quantity, self.at, self.commit, self.anchor, self.machine)
        return (*whole, repr(self.log_ratios))

    @property
    def measured(self) -> bool:
        """Whether there is a ratio; failed and skipped cells have none."""
        return self.ratio is not None and len(self.log_ratios) > 1

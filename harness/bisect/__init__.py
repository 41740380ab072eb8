"""`gradrace bisect`: which commit, or release, changed a cell; read first the values below, then
run.py. search.py chooses what is tested next, levels.py decides by timed launches (sequentially),
line.py is the row of commits, releases.py that of versions with their environments, log.py keeps
every launch, timed.py and traced.py ask clocks and losses, text.py is for people."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat

from ..paired import Quantity
from ..record import Machine
from ..spec import Frozen

SCHEMA = 1
# Where a version belongs: with the older end of the span being searched, with the newer end, with
# neither (several changes), or it cannot be run.
Place = Literal["older", "newer", "neither", "skipped"]
# none: the two ends do not differ. unconfirmed: a change was found, and not found again.
Outcome = Literal["found", "none", "unconfirmed", "stopped", "failed"]


class Question(Frozen):
    """The question that a log answers; a log is only resumed for an equal one.

    good, bad: full hashes, or versions of the distribution `releases`. cells: names of all that -k
    chooses. versions: of what runs here. rule: threshold, error rate and blocks of a launch."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    good: str
    bad: str
    releases: str = ""
    losses: bool = False
    measure: Quantity = "step"
    suite: str
    cells: tuple[str, ...]
    load: tuple[str, ...] = ()
    rule: dict[str, FiniteFloat] = {}
    versions: dict[str, str] = {}
    machine: str = ""


class Tested(Frozen):
    """A version that was tested: ratio of its time to GOOD's, over so many launches; reason: why it
    was skipped, or the first step whose loss differs from GOOD's."""

    version: str
    place: Place
    ratio: FiniteFloat | None = None
    launches: int = 0
    reason: str = ""


class Change(Frozen):
    """A change between two neighbours that could be run.

    before: the last version without it. version: the one that has it. among: versions of which any
    may be the one, because those between could not be run (`version` is the last of them).
    ratio, low, high: `version` / `before`, measured afresh, with the interval of its last look.
    share: of the whole change, on the logarithmic scale. confirmed: found by that measurement.
    step, before_loss, loss: of losses: the first step that differs (from 0), and both values."""

    version: str
    before: str
    about: str = ""
    among: tuple[str, ...] = ()
    ratio: FiniteFloat | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    share: FiniteFloat | None = None
    launches: int = 0
    confirmed: bool = False
    reason: str = ""
    step: int | None = None
    before_loss: float | None = None
    loss: float | None = None


class Rest(Frozen):
    """Versions between which a further change lies that was not followed. ratio: its size."""

    older: str
    newer: str
    ratio: FiniteFloat | None = None
    reason: str = ""


class Bisection(Frozen):
    """A whole bisection, as `--json` prints it.

    cell: the one followed. ratio, low, high: BAD / GOOD. detectable: the slowdown that comparison
    finds four times out of five. total: versions after GOOD, BAD included."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    outcome: Outcome
    reason: str = ""
    question: Question
    cell: str = ""
    total: int
    ratio: FiniteFloat | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    detectable: FiniteFloat | None = None
    changes: tuple[Change, ...] = ()
    rest: tuple[Rest, ...] = ()
    tested: tuple[Tested, ...] = ()
    launches: Annotated[int, Field(ge=0)] = 0
    seconds: float
    log: str
    machine: Machine
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)

"""What the driver and its workers say to each other, as frozen values.

Messages of a worker are untrusted: the code that is checked runs in its process."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import FiniteFloat

from ..spec import Frozen
from .certificate import Subject
from .finding import Finding, Part


class CheckName(Frozen):
    """One entry of a worker's list of checks. It may find several things, or nothing."""

    part: Part
    check: str


class Request(Frozen):
    """What a worker shall check.

    path: the import path. known: the optimizer of ours whose class it is, or "". rule: the rule
    that it claims to be, or "". hyper: arguments of the class; of a known one, our hyperparameters.
    like: the other implementation's import path, whose steps are in the file like_probes; or a
    known name; or "". probes_to: write the steps there, and check nothing. parts: whose checks.
    skip: checks that are done. budget_s: seconds that are left for all."""

    path: str
    plugins: tuple[str, ...] = ()
    known: str = ""
    rule: str = ""
    hyper: dict[str, Any] = {}
    like: str = ""
    like_probes: str = ""
    probes_to: str = ""
    parts: tuple[Part, ...] = ()
    skip: tuple[CheckName, ...] = ()
    budget_s: FiniteFloat


class Refused(Frozen):
    """Nothing can be checked. absent: a package is not installed; else the input is wrong."""

    event: Literal["refused"] = "refused"
    reason: str
    absent: bool = False


class Ready(Frozen):
    """The class is imported and made. checks: those that will be done, in order."""

    event: Literal["ready"] = "ready"
    subject: Subject
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    checks: tuple[CheckName, ...]


class Begin(Frozen):
    """This check begins; what it finds follows."""

    event: Literal["begin"] = "begin"
    about: CheckName


class Found(Frozen):
    """One thing that the present check found."""

    event: Literal["found"] = "found"
    finding: Finding


class End(Frozen):
    """All checks are done."""

    event: Literal["end"] = "end"


Message = Refused | Ready | Begin | Found | End

"""The result of `gradrace certify`, as frozen values: JSON and back."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, NonNegativeFloat

from ..record import Machine
from ..spec import Frozen
from .finding import Finding, Outcome, Part

SCHEMA = 1
Result = Literal["passed", "failed", "nothing checked"]

PARTS: dict[Part, str] = {
    "rule": "What it computes",
    "battery": "How it behaves",
    "training": "Whether it trains",
}


class Subject(Frozen):
    """The class or factory that was checked, as its worker found it; see stepping.MakerFacts.

    arguments: those it was given, beside the learning rate. defaults: of its other arguments."""

    label: str
    distribution: str = ""
    rate_argument: str | None = None
    arguments: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    drive: str = ""
    inner: str = ""


class Certificate(Frozen):
    """One implementation, check by check.

    asked: an import path; of a known name, the path of the framework's own class. rule: the rule
    that it claims to be, "" if nobody said one. like: the other implementation, or "". versions:
    distribution -> version of all that computed, Python included. notes: what it did while it was
    imported and made, for people. reason: why nothing could be checked, or "". seconds: wall clock.
    """

    asked: str
    framework: str
    rule: str = ""
    like: str = ""
    subject: Subject | None = None
    versions: dict[str, str] = {}
    seconds: NonNegativeFloat = 0.0
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    reason: str = ""

    def counts(self) -> dict[Outcome, int]:
        """Outcome -> number of checks, for all outcomes."""
        kinds: tuple[Outcome, ...] = get_args(Outcome)
        return {kind: sum(each.outcome == kind for each in self.findings) for kind in kinds}

    @property
    def result(self) -> Result:
        """Failed if one check failed; passed if some passed and none failed."""
        counts = self.counts()
        if counts["failed"]:
            return "failed"
        return "passed" if counts["passed"] else "nothing checked"


class CertificateFile(Frozen):
    """What `--json` prints. started_at: UTC, ISO 8601. command: the words of the command line."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    gradrace: str
    started_at: str
    command: tuple[str, ...]
    machine: Machine
    certificates: tuple[Certificate, ...]

    def to_json(self) -> dict[str, Any]:
        """With what follows from the findings: each certificate's counts and result."""
        content = self.model_dump(mode="json", by_alias=True)
        for shown, each in zip(content["certificates"], self.certificates, strict=True):
            shown |= {"counts": each.counts(), "result": each.result}
        return content

    @property
    def command_text(self) -> str:
        """The command as it can be typed again."""
        import shlex

        return shlex.join(self.command)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `gradrace certify --json`; kept in docs/certify.schema.json."""
    schema = CertificateFile.model_json_schema(mode="serialization", by_alias=True)
    certificate = schema["$defs"]["Certificate"]
    count = {"type": "integer", "minimum": 0}
    outcomes = get_args(Outcome)
    certificate["properties"] |= {
        "counts": {
            "type": "object",
            "properties": dict.fromkeys(outcomes, count),
            "required": list(outcomes),
            "additionalProperties": False,
        },
        "result": {"type": "string", "enum": list(get_args(Result))},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

"""What `gradrace verify` finds, as frozen values that are JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt

from ..record import Machine
from ..spec import Frozen

SCHEMA = 1
# The framework whose code is the formulas themselves; under a library's native rule it still
# computes the canonical one.
REFEREE = "numpy"
Level = Literal["weights", "layers", "losses", "updates", "trajectories", "rates", "float32"]
Outcome = Literal["equal", "differs by definition", "unavailable", "FAILED"]

LEVELS: dict[Level, str] = {
    "weights": "Weights: canonical, into the framework and back, bit for bit",
    "layers": "Layers: output, gradients by the input and by the parameters, state",
    "losses": "Losses with their gradients, and metrics",
    "updates": "Update rules: the same gradients through every library's own optimizer, each step",
    "trajectories": "Trajectories: whole training runs in float64, the loss of each step",
    "rates": "Learning rates: what an update really used, bit for bit",
    "float32": "float32: the first 10 losses of training runs",
}
FLOAT32_NOTE = (
    "In float32 the first 10 losses agree to 1e-5. After that trajectories part by rounding alone,"
    " as two seeds do, and nothing follows from comparing single curves: only distributions over"
    " seeds are compared."
)


class Side(Frozen):
    """Who computed: a framework in a mode ('' where the mode plays no part), or the `harness` that
    gave the numbers.
    """

    framework: str
    mode: str = ""

    @property
    def label(self) -> str:
        """'jax scan', 'torch'."""
        return f"{self.framework} {self.mode}".strip()


class FirstDifference(Frozen):
    """Where two sides first part: the step (None where there are none), the tensor, and the largest
    entry of it there.

    `a` and `b` are the two values at that entry, as text, because they may be infinite or no number
    at all."""

    step: NonNegativeInt | None = None
    tensor: str
    entry: tuple[int, ...] = ()
    a: str
    b: str


class Verdict(Frozen):
    """One cell: one case on two sides.

    case: its name within the level. task, optimizer and rule: what it is about, '' where it is
    about none.
    worst: the largest scaled difference over steps and tensors; judge.py says how each level
    scales. None where nothing
        was compared, or where a difference is not finite.
    tolerance: up to which `worst` counts as equal; 0 is bit for bit.
    """

    level: Level
    case: str
    task: str = ""
    optimizer: str = ""
    rule: Literal["canonical", "native", ""] = ""
    a: Side
    b: Side
    verdict: Outcome
    worst: FiniteFloat | None = None
    tolerance: float
    place: FirstDifference | None = None
    reason: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it the same cell in another run."""
        return (self.level, self.case, self.a.label, self.b.label)


class VerifyFile(Frozen):
    """results/verify.json: verdicts with what they were computed by. Times in UTC (ISO 8601),
    seconds of wall clock.

    versions: framework -> library -> version. sources: hashes of gradrace's own files that compute
    the verdicts.
    left_out: what a partial run (--quick, -k, --framework) did not look at, in words.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    gradrace: str
    started_at: str
    seconds: float
    options: dict[str, bool | str | list[str]]
    versions: dict[str, dict[str, str]]
    sources: dict[str, str]
    machine: Machine
    left_out: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...]

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)

    def counts(self) -> dict[Outcome, int]:
        """How many verdicts of each kind, all kinds named."""
        kinds: tuple[Outcome, ...] = ("equal", "differs by definition", "unavailable", "FAILED")
        return {kind: sum(v.verdict == kind for v in self.verdicts) for kind in kinds}


def list_versions(versions: Mapping[str, Mapping[str, str]]) -> str:
    """'torch 2.10.0, keras 3.12.0, ...' of framework -> library -> version; without NumPy, which
    all of them have.
    """
    found = (item for libraries in versions.values() for item in libraries.items())
    return ", ".join(f"{library} {version}" for library, version in found if library != "numpy")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `gradrace verify --json`; kept in docs/verify.schema.json."""
    schema = VerifyFile.model_json_schema(mode="serialization", by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

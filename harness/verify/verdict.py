"""The result of `gradrace verify`, as frozen values: JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt

from ..record import Machine
from ..spec import Device, Frozen

SCHEMA = 1
# Its code is the formulas themselves, and it computes the canonical rule even against native ones.
REFEREE = "numpy"
# In the costs of a framework: its process, until it can be asked.
START = "start"
Level = Literal[
    "weights", "layers", "losses", "updates", "trajectories", "rates", "float32", "populations"
]
Outcome = Literal["equal", "differs by definition", "unavailable", "FAILED"]

LEVELS: dict[Level, str] = {
    "weights": "Weights: canonical, into the framework and back, bit for bit",
    "layers": "Layers: output, gradients by the input and by the parameters, state",
    "losses": "Losses with their gradients, and metrics",
    "updates": "Update rules: the same gradients through every library's own optimizer, each step",
    "trajectories": "Trajectories: whole training runs in float64, the loss of each step",
    "rates": "Learning rates: what an update really used, bit for bit",
    "float32": "float32: the first 10 losses of training runs",
    "populations": "Populations: every lane against the same run by itself, the loss of each step",
}
FLOAT32_NOTE = (
    "In float32 the first 10 losses agree to 1e-5. After that trajectories part by rounding alone,"
    " as two seeds do, and nothing follows from comparing single curves: only distributions over"
    " seeds are compared."
)

TF32_NOTE = "TF32 rounds factors of products to 10 bits; measured, not judged"


class Side(Frozen):
    """A framework in a mode ('' if the mode plays no part), or the `harness` itself.

    tf32: float32 products on a GPU keep 10 bits of each factor's mantissa."""

    framework: str
    mode: str = ""
    device: Device = "cpu"
    tf32: bool = False

    @property
    def label(self) -> str:
        """'jax scan', 'torch', 'torch eager on gpu', 'torch eager on gpu with TF32'."""
        where = " on gpu" if self.device == "gpu" else ""
        return f"{self.framework} {self.mode}".strip() + where + " with TF32" * self.tf32


class FirstDifference(Frozen):
    """The step (None without steps) and tensor at which two sides first part, and its worst entry.

    a, b: the values there, as text, because they may be infinite or no number."""

    step: NonNegativeInt | None = None
    tensor: str
    entry: tuple[int, ...] = ()
    a: str
    b: str


class Verdict(Frozen):
    """One case on two sides.

    case: its name within the level. task, optimizer, rule: its subject, or ''.
    worst: the largest scaled difference over steps and tensors; judge.py says how each level
    scales. None if nothing was compared or a difference is not finite.
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
        """Equal for the same case and sides in another run."""
        return (self.level, self.case, self.a.label, self.b.label)


class VerifyFile(Frozen):
    """results/verify.json. Times in UTC (ISO 8601), seconds of wall clock.

    versions: framework -> library -> version. sources: hashes of the files that computed the
    verdicts. left_out: the parts that a partial run (--quick, -k, --framework) skipped, in words.
    costs: framework -> START or level -> mean seconds of an answer.
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
    costs: dict[str, dict[str, float]] = {}
    verdicts: tuple[Verdict, ...]

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)

    def counts(self) -> dict[Outcome, int]:
        """Kind -> number of verdicts, for all kinds."""
        kinds: tuple[Outcome, ...] = ("equal", "differs by definition", "unavailable", "FAILED")
        return {kind: sum(v.verdict == kind for v in self.verdicts) for kind in kinds}


def list_versions(versions: Mapping[str, Mapping[str, str]]) -> str:
    """'torch 2.10.0, keras 3.12.0, ...'; without NumPy, which all frameworks have."""
    found = (item for libraries in versions.values() for item in libraries.items())
    named = (f"{library} {version}" for library, version in found if library != "numpy")
    return ", ".join(dict.fromkeys(named))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `gradrace verify --json`; kept in docs/verify.schema.json."""
    schema = VerifyFile.model_json_schema(mode="serialization", by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

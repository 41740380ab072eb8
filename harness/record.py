"""The outcome of one run: its record (JSON), and its curve, norms or timed blocks (arrays)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, FiniteFloat, NonNegativeInt, PositiveInt

from .spec import Digest, Frozen, RunSpec

SCHEMA = 1
Status = Literal["ok", "diverged", "failed", "timeout", "skipped"]

# A run that ended so is not run again under the same digest; the others are tried anew.
FINAL: frozenset[Status] = frozenset({"ok", "diverged"})


# Files that a run may have beside its record.
Artefact = Literal["curve.parquet", "norms.parquet", "steps.parquet", "log.txt"]


def _moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


# Of wall clock; a run of a million years is none.
Seconds = Annotated[FiniteFloat, Field(ge=0.0, le=3e13)]
# ISO 8601.
Moment = Annotated[str, AfterValidator(_moment)]


class Machine(Frozen):
    """Where a run was computed. host: its name in the network, "" in records of earlier versions.

    Two machines of one type have different hosts, and their times are never pooled."""

    host: str = ""
    system: str
    processor: str
    logical_cores: PositiveInt
    memory_bytes: NonNegativeInt
    python: str


class Memory(Frozen):
    """Of a memory run, in bytes: the resident set after the framework and the data were loaded, its
    peak during set-up and steps, and the device's peak as the framework counts it, if it does.

    `method` says how the peak of the resident set was read."""

    imported_bytes: NonNegativeInt
    peak_bytes: NonNegativeInt
    device_peak_bytes: NonNegativeInt | None = None
    method: str

    @property
    def grown_bytes(self) -> int:
        """Added to the process by set-up and training."""
        return self.peak_bytes - self.imported_bytes


class Energy(Frozen):
    """Joules that a device drew while a run was computed; None if unknown, `reason` says why.

    source: the counter. It counts everything on its device, and what that draws at rest. runs: of a
    population, which share the program's joules equally."""

    joules: Annotated[FiniteFloat, Field(ge=0.0, le=1e15)] | None = None
    source: str = ""
    runs: PositiveInt = 1
    reason: str = ""


class SplitRows(Frozen):
    """How many samples each split has."""

    train: NonNegativeInt
    validation: NonNegativeInt
    test: NonNegativeInt


class DataFacts(Frozen):
    """What a run was trained on. content: the hash of a user's data, "" of ours.

    shape: of a sample. classes: 0 if the targets are numbers. licence: "" if it is not stated."""

    content: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")] = ""
    rows: SplitRows
    shape: tuple[NonNegativeInt, ...]
    classes: NonNegativeInt
    source: str = ""
    licence: str = ""


class Summary(Frozen):
    """Scalars of a convergence run; None if it did not get so far, or the value is not finite.

    `steps_to_target` is the first evaluated step whose validation metric reached the task's target;
    None with status ok: not reached within the run's budget (censored, not missing). `stopped_at`
    is the step after which early stopping ended the run, else None."""

    steps_done: NonNegativeInt
    final_train_loss: FiniteFloat | None = None
    final_validation_loss: FiniteFloat | None = None
    final_validation_metric: FiniteFloat | None = None
    best_validation_loss: FiniteFloat | None = None
    best_validation_metric: FiniteFloat | None = None
    test_loss: FiniteFloat | None = None
    test_metric: FiniteFloat | None = None
    steps_to_target: NonNegativeInt | None = None
    stopped_at: NonNegativeInt | None = None


class RunRecord(Frozen):
    """A run as it is kept on disk. Times in seconds of wall clock, `started_at` in UTC (ISO 8601).

    reason: why the run did not take all its steps; with status ok it was stopped early.
    lanes: of the program that trained it, free ones included; 1 for a run by itself. note: why a
        run of mode `population` was trained by itself, or in fewer lanes than it asks for.
    import_s loads the adapter and its framework; start_s is the first session of a timing run's
        process, which no cell pays: see worker.start; None in records of earlier versions; setup_s
        builds the session; first_call_s is the first call that trains, and compiles if the
        framework does: one step, or one block of first_call_steps in a compiled loop.
    policy: settings for determinism and precision. gauges: readings of the machine before and after
        a launch (a GPU's temperature and clocks, if they can be read).
    energy: of a convergence run, from the beginning of its set-up to its end.
    versions: those that the digest stands for. reported: of these and further libraries, versions
        that the framework states and the plan does not: another Python (--python) may have others.
    wall_s of a timing run is its share of the launch, import included: the cells take turns. In a
        population, wall_s and setup_s are shares: the whole by the number of runs.
    data: what it was trained on; None if it was not loaded, and in records of earlier versions.
    cores: logical cores that the worker was pinned to, empty if the system cannot pin.
    gpu: name and index of the card that computed it, if `nvidia-smi` tells.
    driver: the process that kept it, see sweep.drivers; "" in records of earlier versions."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    digest: Digest
    spec: RunSpec
    status: Status
    reason: str = ""
    lanes: PositiveInt = 1
    note: str = ""
    summary: Summary | None = None
    import_s: Seconds | None = None
    start_s: Seconds | None = None
    setup_s: Seconds | None = None
    first_call_s: Seconds | None = None
    first_call_steps: PositiveInt = 1
    memory: Memory | None = None
    energy: Energy | None = None
    data: DataFacts | None = None
    policy: dict[str, str] = {}
    gauges: dict[str, FiniteFloat] = {}
    state_bytes: NonNegativeInt | None = None
    started_at: Moment
    wall_s: Seconds = 0.0
    versions: dict[str, str] = {}
    reported: dict[str, str] = {}
    sources: dict[str, str] = {}
    machine: Machine
    cores: tuple[int, ...] = ()
    gpu: str = ""
    driver: str = ""
    artefacts: tuple[Artefact, ...] = ()

    @property
    def libraries(self) -> dict[str, str]:
        """The versions that computed it, as the worker found them."""
        return {**self.versions, **self.reported}

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class _Columns:
    """Named arrays that travel as JSON lists."""

    def to_lists(self) -> dict[str, list[Any]]:
        """Plain lists; Python's JSON writes and reads NaN and infinities exactly."""
        return {name: array.tolist() for name, array in asdict(self).items()}

    @classmethod
    def from_lists(cls, lists: dict[str, list[Any]]) -> Self:
        """Back from `to_lists`."""
        return cls(
            **{f.name: np.asarray(lists[f.name], dtype=cls.DTYPES[f.name]) for f in fields(cls)}
        )

    DTYPES: ClassVar[dict[str, Any]] = {}


@dataclass(frozen=True)
class Curve(_Columns):
    """train_losses float64[n]: loss of each step's batch, before its update. Evaluations after
    `eval_steps` int64[k] updates: validation_losses and validation_metrics, float64[k].

    learning_rates float64[n]: of each step, if the schedule followed the validation loss or is a
    user's, else empty. points float64[k, d]: the parameters at each evaluation, if the task is a
    function of d = 2 numbers, else empty."""

    train_losses: np.ndarray
    eval_steps: np.ndarray
    validation_losses: np.ndarray
    validation_metrics: np.ndarray
    learning_rates: np.ndarray = field(default_factory=lambda: np.empty(0))
    points: np.ndarray = field(default_factory=lambda: np.empty(0))

    DTYPES: ClassVar[dict[str, Any]] = {
        "train_losses": np.float64,
        "eval_steps": np.int64,
        "validation_losses": np.float64,
        "validation_metrics": np.float64,
        "learning_rates": np.float64,
        "points": np.float64,
    }


@dataclass(frozen=True)
class Norms(_Columns):
    """Recorded with `RunSpec.diagnose`, one entry a trainable parameter and evaluated step but the
    last: step int64[n], parameter str[n], and Euclidean norms float64[n] of the parameter (weight),
    of the gradient of that step's batch (gradient, with penalties, before clipping) and of the
    parameter's change in that step (update). zeros float64[n]: the share of the gradient's entries
    that are exactly 0."""

    step: np.ndarray
    parameter: np.ndarray
    weight: np.ndarray
    gradient: np.ndarray
    update: np.ndarray
    zeros: np.ndarray

    DTYPES: ClassVar[dict[str, Any]] = {
        "step": np.int64,
        "parameter": np.str_,
        **dict.fromkeys(("weight", "gradient", "update", "zeros"), np.float64),
    }


@dataclass(frozen=True)
class Blocks(_Columns):
    """Timed blocks, one entry each, int64[n]: steps, wall and CPU nanoseconds, involuntary context
    switches, and ticks (of 10 ms as a rule) that a hypervisor took from the process's cores.

    part, str[n]: "step", or the part of it that the block consists of (adapter.Part)."""

    steps: np.ndarray
    wall_ns: np.ndarray
    cpu_ns: np.ndarray
    involuntary_switches: np.ndarray
    steal_ticks: np.ndarray
    part: np.ndarray

    DTYPES: ClassVar[dict[str, Any]] = {
        **dict.fromkeys(
            ("steps", "wall_ns", "cpu_ns", "involuntary_switches", "steal_ticks"), np.int64
        ),
        "part": np.str_,
    }

    def of(self, part: str = "step") -> Blocks:
        """Those of one part."""
        return Blocks(*(getattr(self, f.name)[self.part == part] for f in fields(self)))


@dataclass(frozen=True)
class RunResult:
    """A record with its arrays: `curve` and `norms` of convergence, `blocks` of timing, if any."""

    record: RunRecord
    curve: Curve | None = None
    blocks: Blocks | None = None
    norms: Norms | None = None

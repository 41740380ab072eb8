"""The content of a suite's TOML file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, PositiveInt, model_validator

from .. import limits
from ..spec import Device, Dtype, Frozen, HyperScalar, Input, TimingSpec, UpdateRule
from .draws import SearchEntry
from .groups import GroupEntry
from .origin import Origin
from .variations import TaskVariations

Fraction = Annotated[FiniteFloat, Field(gt=0.0, le=1.0)]
PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]
Seeds = Annotated[int, Field(gt=0, le=limits.SEEDS)]
# The seeds that NumPy and all frameworks take.
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Steps = Annotated[int, Field(gt=0, le=limits.STEPS)]
Threads = Annotated[int, Field(gt=0, le=limits.THREADS)]


_Swept = HyperScalar | Annotated[list[HyperScalar], Field(min_length=1)]


class OptimizerEntry(Frozen):
    """An optimizer of a suite: a name, or an import path, which always has the native rule.

    Lists are swept. By default the learning rate is its own. hyper: of an import path, arguments of
    its class; there a list is one value if the argument's default is a list, and swept otherwise,
    and a list of lists is always swept. groups: parameters that optimizers of their own train, in
    every run of the entry."""

    name: str
    learning_rate: PositiveFloat | Annotated[list[PositiveFloat], Field(min_length=1)] | None = None
    hyper: dict[str, HyperScalar | Annotated[list[_Swept], Field(min_length=1)]] = {}
    groups: list[GroupEntry] = []


class GridEntry(Frozen):
    """Learning rates around each optimizer's own, which is the middle one, in two digits.

    points: how many in all, odd. per_decade: how many in each factor of 10."""

    points: Annotated[int, Field(ge=3, le=limits.GRID_POINTS)]
    per_decade: Annotated[int, Field(gt=0, le=limits.GRID_POINTS)]

    @model_validator(mode="after")
    def _has_a_middle(self) -> Self:
        if self.points % 2 == 0:
            raise ValueError(
                f"points: {self.points} is even, so that no rate is in the middle; take"
                f" {self.points + 1}"
            )
        if (decades := self.points / self.per_decade) > limits.DECADES:
            raise ValueError(
                f"{decades:g} decades of learning rates; the limit is {limits.DECADES}"
            )
        return self

    def around(self, rate: float) -> list[float]:
        """The rates, growing; `rate` itself in the middle."""
        wide = self.points // 2
        return [
            rate if k == 0 else float(f"{rate * 10 ** (k / self.per_decade):.2g}")
            for k in range(-wide, wide + 1)
        ]


class ScheduleEntry(Frozen):
    """A schedule of a suite with its own parameters."""

    kind: str
    params: dict[str, FiniteFloat | tuple[FiniteFloat, ...]] = {}


class TimingEntry(Frozen):
    """How a suite times its cells: every setting that it trains, and each optimizer under `rule`.

    trained: time every trained setting, in its mode, under its rule and hyperparameters; these step
    times stand beside trained runs.
    rule: also time each optimizer under this rule, in the framework's default mode. `native`: the
    cost of a step to a user of that library.
    tasks, optimizers: which of the suite's are timed; all by default.
    launches: processes, each with its own start; an interval needs three. warmup_steps, blocks,
    block_steps, longest_block_s: see `spec.TimingSpec`. breakdown: also time forward, gradient and
    update apart. memory: also measure the memory of each cell. inputs: see `spec.RunSpec`."""

    trained: bool = True
    rule: UpdateRule = "native"
    tasks: Annotated[list[str], Field(min_length=1)] | None = None
    optimizers: Annotated[list[str], Field(min_length=1)] | None = None
    launches: Annotated[int, Field(gt=0, le=limits.LAUNCHES)] = 10
    warmup_steps: Annotated[int, Field(ge=0, le=limits.BLOCK_STEPS)] = 100
    blocks: Annotated[int, Field(ge=4, le=limits.BLOCKS)] = 30
    block_steps: Annotated[int, Field(gt=0, le=limits.BLOCK_STEPS)] = 25
    longest_block_s: Annotated[FiniteFloat, Field(gt=0, le=limits.SECONDS)] = 0.5
    breakdown: bool = False
    memory: bool = False
    inputs: Annotated[list[Input], Field(min_length=1)] = ["resident"]

    @property
    def spec(self) -> TimingSpec:
        """The timing of every run."""
        names = [name for name in TimingSpec.model_fields if hasattr(self, name)]
        return TimingSpec(**{name: getattr(self, name) for name in names})


class ConvergenceEntry(Frozen):
    """The rule, or rules, under which a suite trains its cells."""

    rule: UpdateRule | Annotated[list[UpdateRule], Field(min_length=1)] = "canonical"


class SuiteFile(TaskVariations):
    """The content of a suite's file: everything listed is crossed with everything else.

    Keys that vary the tasks (activation, initializer, …): see variations.py. seeds: how many,
    counted from 0, or which. modes: by framework, instead of its defaults; or "all".
    train_fractions: see TaskSpec.train_fraction. diagnose: see RunSpec; trained runs only. steps
    and eval_every replace the tasks' own; batch_sizes are swept, and so are lists of device, dtype
    and threads. learning_rate_grid: rates around each optimizer's own. search: settings drawn
    instead of crossed, see draws.py. scales: by name, keys that replace the suite's own.
    instead: task -> its substitute if its data are not on this machine, or several, of which the
    first whose data are here replaces it."""

    title: str
    question: str = ""
    tasks: Annotated[list[str], Field(min_length=1)]
    frameworks: Annotated[list[str], Field(min_length=1)]
    optimizers: Annotated[list[str | OptimizerEntry], Field(min_length=1)]
    learning_rate_grid: GridEntry | None = None
    search: SearchEntry | None = None
    schedules: Annotated[list[str | ScheduleEntry], Field(min_length=1)] = ["constant"]
    seeds: Seeds | Annotated[list[Seed], Field(min_length=1)] = 3
    batch_sizes: Annotated[list[PositiveInt], Field(min_length=1)] | None = None
    steps: Steps | None = None
    eval_every: Steps | None = None
    modes: Literal["all"] | dict[str, Annotated[list[str], Field(min_length=1)]] = {}
    dtype: Dtype | Annotated[list[Dtype], Field(min_length=1)] = "float32"
    device: Device | Annotated[list[Device], Field(min_length=1)] = "cpu"
    threads: Threads | Annotated[list[Threads], Field(min_length=1)] = 1
    train_fractions: Annotated[list[Fraction], Field(min_length=1)] = [1.0]
    diagnose: bool = False
    convergence: ConvergenceEntry | Literal[False] = ConvergenceEntry()
    timing: TimingEntry | Literal[False] = False
    instead: dict[str, str | Annotated[list[str], Field(min_length=1)]] = {}
    scales: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _nothing_is_said_twice(self) -> Self:
        for one, other in self._twice():
            raise ValueError(f"{one} and {other} say the same thing twice; leave one of them out")
        return self

    def _twice(self) -> Iterator[tuple[str, str]]:
        """Pairs of keys of which one gives what the other draws or lays out in a grid."""
        given = [
            (f"optimizers[{i}]", each)
            for i, each in enumerate(self.optimizers)
            if isinstance(each, OptimizerEntry)
        ]
        search, grid = self.search, self.learning_rate_grid
        if search and search.rates and grid:
            yield search.rates, "learning_rate_grid"
        if search and search.learning_rate is not None:
            for place, entry in given:
                if entry.learning_rate is not None:
                    yield "search.learning_rate", f"{place}.learning_rate"
        if search and search.batch_size is not None and self.batch_sizes:
            yield "search.batch_size", "batch_sizes"
        for place, entry in given:
            if grid and isinstance(entry.learning_rate, list):
                yield "learning_rate_grid", f"the list {place}.learning_rate"
            for name in entry.hyper:
                if search and name in search.hyper:
                    yield f"search.hyper.{name}", f"{place}.hyper.{name}"


class Suite(Frozen):
    """A valid suite: its name, the file for messages, and its origin before any change."""

    name: str
    file: str
    content: SuiteFile
    origin: Origin | None = None


def optimizer_entry(given: str | OptimizerEntry) -> OptimizerEntry:
    """An optimizer that a suite gives by its name alone, or as a table."""
    return OptimizerEntry(name=given) if isinstance(given, str) else given


def as_list(value: Any) -> list[Any]:
    """A key that takes one value or several, as a list."""
    return value if isinstance(value, list) else [value]

"""What a suite's TOML file may say, and in which words its mistakes are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationError, model_validator

from .draws import RangeEntry, SearchEntry
from .errors import nearest
from .origin import Origin
from .spec import Device, Dtype, Frozen, Input, Rule, TimingSpec
from .variations import RegularizationEntry, Sweep

Fraction = Annotated[FiniteFloat, Field(gt=0.0, le=1.0)]
PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]


class OptimizerEntry(Frozen):
    """An optimizer of a suite; lists are swept. Without `learning_rate` the optimizer's own default is taken."""

    name: str
    learning_rate: PositiveFloat | Annotated[list[PositiveFloat], Field(min_length=1)] | None = None
    hyper: dict[str, FiniteFloat | Annotated[list[FiniteFloat], Field(min_length=1)]] = {}


class GridEntry(Frozen):
    """Learning rates around each optimizer's own, in two significant digits: as many below it as above.

    points: how many in all, odd, so that the optimizer's own is the middle one. per_decade: how many in each factor of 10.
    """

    points: Annotated[int, Field(ge=3)]
    per_decade: PositiveInt

    @model_validator(mode="after")
    def _has_a_middle(self) -> Self:
        if self.points % 2 == 0:
            raise ValueError(f"points: {self.points} is even, so that no rate is in the middle; take {self.points + 1}")
        return self

    def around(self, rate: float) -> list[float]:
        """The rates, growing; `rate` itself in the middle."""
        wide = self.points // 2
        return [rate if k == 0 else float(f"{rate * 10 ** (k / self.per_decade):.2g}") for k in range(-wide, wide + 1)]


class ScheduleEntry(Frozen):
    """A schedule of a suite with its own parameters."""

    kind: str
    params: dict[str, FiniteFloat | tuple[FiniteFloat, ...]] = {}


class TimingEntry(Frozen):
    """How a suite times its cells: every setting that it trains, and each optimizer under a rule of its own.

    trained: time what is trained, under the rule, in the mode and at the hyperparameters at which it is trained; the
        step times that stand beside trained runs are these.
    rule: also time each optimizer under this rule, in the framework's default mode. `native` by default: the library's own
        class at its own defaults, what a step costs a user of that library.
    tasks, optimizers: which of the suite's are timed; all of them if nothing is said.
    launches: processes, each with its own start; an interval needs three. warmup_steps, blocks, block_steps and
    longest_block_s are those of `spec.TimingSpec`. breakdown: also forward, gradient and update apart. memory: also one
    run a cell that measures memory. inputs: where batches come from, see `spec.RunSpec`.
    """

    trained: bool = True
    rule: Rule = "native"
    tasks: Annotated[list[str], Field(min_length=1)] | None = None
    optimizers: Annotated[list[str], Field(min_length=1)] | None = None
    launches: PositiveInt = 10
    warmup_steps: NonNegativeInt = 100
    blocks: Annotated[int, Field(ge=4)] = 30
    block_steps: PositiveInt = 25
    longest_block_s: PositiveFloat = 0.5
    breakdown: bool = False
    memory: bool = False
    inputs: Annotated[list[Input], Field(min_length=1)] = ["resident"]

    @property
    def spec(self) -> TimingSpec:
        """What every run of it is told."""
        return TimingSpec(**{name: getattr(self, name) for name in TimingSpec.model_fields if hasattr(self, name)})


class ConvergenceEntry(Frozen):
    """How a suite trains its cells: under one rule, or all of them under each of several."""

    rule: Rule | Annotated[list[Rule], Field(min_length=1)] = "canonical"


class SuiteFile(Sweep):
    """The content of a suite's file: everything listed is crossed with everything else.

    What varies the tasks themselves (activation, initializer, …) is described in variations.py.
    `seeds`: how many, counted from 0, or which. `modes`: per framework, instead of its own defaults; or "all" of each.
    `train_fractions`: shares of the training split (TaskSpec.train_fraction). `diagnose`: see RunSpec; trained runs only.
    `steps` and `eval_every` replace the tasks' own; `batch_sizes` are swept, and so are lists of `device`, `dtype` and
    `threads`. `learning_rate_grid`: rates around each optimizer's own. `search`: settings drawn instead of crossed (draws.py).
    `scales`: by name, keys with other values, each of which replaces the suite's own as a whole.
    `instead`: task -> the one that takes its place where the task's data are not on this machine.
    """

    title: str
    question: str = ""
    tasks: Annotated[list[str], Field(min_length=1)]
    frameworks: Annotated[list[str], Field(min_length=1)]
    optimizers: Annotated[list[str | OptimizerEntry], Field(min_length=1)]
    learning_rate_grid: GridEntry | None = None
    search: SearchEntry | None = None
    schedules: Annotated[list[str | ScheduleEntry], Field(min_length=1)] = ["constant"]
    seeds: PositiveInt | Annotated[list[NonNegativeInt], Field(min_length=1)] = 3
    batch_sizes: Annotated[list[PositiveInt], Field(min_length=1)] | None = None
    steps: PositiveInt | None = None
    eval_every: PositiveInt | None = None
    modes: Literal["all"] | dict[str, Annotated[list[str], Field(min_length=1)]] = {}
    dtype: Dtype | Annotated[list[Dtype], Field(min_length=1)] = "float32"
    device: Device | Annotated[list[Device], Field(min_length=1)] = "cpu"
    threads: PositiveInt | Annotated[list[PositiveInt], Field(min_length=1)] = 1
    train_fractions: Annotated[list[Fraction], Field(min_length=1)] = [1.0]
    diagnose: bool = False
    convergence: ConvergenceEntry | Literal[False] = ConvergenceEntry()
    timing: TimingEntry | Literal[False] = False
    instead: dict[str, str] = {}
    scales: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _nothing_is_said_twice(self) -> Self:
        """What is drawn or laid out in a grid is not given as well."""
        entries = [(f"optimizers[{i}]", e) for i, e in enumerate(self.optimizers) if isinstance(e, OptimizerEntry)]
        search, grid = self.search, self.learning_rate_grid
        both: list[tuple[str, str]] = []
        if search and search.learning_rate is not None:
            both += [("search.learning_rate", "learning_rate_grid")] if grid else []
            both += [("search.learning_rate", f"{place}.learning_rate") for place, e in entries if e.learning_rate is not None]
        if search and search.batch_size is not None and self.batch_sizes:
            both.append(("search.batch_size", "batch_sizes"))
        for place, entry in entries:
            if grid and isinstance(entry.learning_rate, list):
                both.append(("learning_rate_grid", f"the list {place}.learning_rate"))
            drawn = search.hyper if search else {}
            both += [(f"search.hyper.{name}", f"{place}.hyper.{name}") for name in entry.hyper if name in drawn]
        if both:
            raise ValueError(f"{both[0][0]} and {both[0][1]} say the same thing twice; leave one of them out")
        return self


class Suite(Frozen):
    """A valid suite under its name, with the file that messages point to, and where it came from before any change."""

    name: str
    file: str
    content: SuiteFile
    origin: Origin | None = None


_MODELS = (
    SuiteFile, OptimizerEntry, GridEntry, SearchEntry, RangeEntry, ScheduleEntry, TimingEntry, ConvergenceEntry,
    RegularizationEntry,
)  # fmt: skip


def explain(error: ValidationError, within: str = "") -> str:
    """The most telling of pydantic's errors in our words: key, what is wrong, and the nearest valid key.

    within: what stands before the key, such as "scales.small.".
    """
    problems = error.errors()
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    # Of a union's members, one that wanted a table of its own says less than one that looked into what is there.
    problem = (unknown or sorted(problems, key=lambda p: (-len(p["loc"]), p["type"] == "model_type")))[0]
    # Names of the union's members stand in the location; they are ours, not the user's.
    place = [part for part in problem["loc"] if isinstance(part, int) or (part[:1].islower() and "[" not in part)]
    place = [part for part in place if part not in ("str", "int", "float", "constrained-float")]
    key = within + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    if problem["type"] == "extra_forbidden":
        last = str(problem["loc"][-1])
        named = " ".join(map(str, problem["loc"][:-1]))
        fields = next((m.model_fields for m in _MODELS if m.__name__ in named), _fields_at(place[:-1]))
        return f"unknown key {key!r}{nearest(last, fields)}"
    if problem["type"] == "value_error":
        said = problem["msg"].removeprefix("Value error, ")
        return f"{key.rstrip('.')}: {said}" if key else said
    return f"{key}: {problem['msg']} (given: {problem['input']!r})"


_BY_KEY: Mapping[str, type[Frozen]] = {
    "optimizers": OptimizerEntry,
    "schedules": ScheduleEntry,
    "timing": TimingEntry,
    "convergence": ConvergenceEntry,
    "regularization": RegularizationEntry,
    "learning_rate_grid": GridEntry,
    "search": SearchEntry,
}


def _fields_at(place: list[Any]) -> Any:
    return (_BY_KEY.get(str(place[0]), SuiteFile) if place else SuiteFile).model_fields

"""What a suite's TOML file may say, and in which words its mistakes are told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, PositiveInt, ValidationError, model_validator

from .. import limits
from ..errors import nearest
from ..spec import Device, Dtype, Frozen, Input, TimingSpec, UpdateRule
from ..strict import expected, explained, given, place_of
from .draws import RangeEntry, SearchEntry
from .origin import Origin
from .variations import RegularizationEntry, TaskVariations

Fraction = Annotated[FiniteFloat, Field(gt=0.0, le=1.0)]
PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]
Seeds = Annotated[int, Field(gt=0, le=limits.SEEDS)]
# What NumPy's generators and the frameworks' all take.
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Steps = Annotated[int, Field(gt=0, le=limits.STEPS)]
Threads = Annotated[int, Field(gt=0, le=limits.THREADS)]


class OptimizerEntry(Frozen):
    """An optimizer of a suite; lists are swept. Without `learning_rate` the optimizer's own default
    is taken.
    """

    name: str
    learning_rate: PositiveFloat | Annotated[list[PositiveFloat], Field(min_length=1)] | None = None
    hyper: dict[str, FiniteFloat | Annotated[list[FiniteFloat], Field(min_length=1)]] = {}


class GridEntry(Frozen):
    """Learning rates around each optimizer's own, in two significant digits: as many below it as
    above.

    points: how many in all, odd, so that the optimizer's own is the middle one. per_decade: how
    many in each factor of 10."""

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
    """How a suite times its cells: every setting that it trains, and each optimizer under a rule of
    its own.

    trained: time what is trained, under the rule, in the mode and at the hyperparameters at which
    it is trained; the
        step times that stand beside trained runs are these.
    rule: also time each optimizer under this rule, in the framework's default mode. `native` by
    default: the library's own
        class at its own defaults, what a step costs a user of that library.
    tasks, optimizers: which of the suite's are timed; all of them if nothing is said.
    launches: processes, each with its own start; an interval needs three. warmup_steps, blocks,
    block_steps and longest_block_s are those of `spec.TimingSpec`. breakdown: also forward,
    gradient and update apart. memory: also one run a cell that measures memory. inputs: where
    batches come from, see `spec.RunSpec`."""

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
        """What every run of it is told."""
        return TimingSpec(
            **{name: getattr(self, name) for name in TimingSpec.model_fields if hasattr(self, name)}
        )


class ConvergenceEntry(Frozen):
    """How a suite trains its cells: under one rule, or all of them under each of several."""

    rule: UpdateRule | Annotated[list[UpdateRule], Field(min_length=1)] = "canonical"


class SuiteFile(TaskVariations):
    """The content of a suite's file: everything listed is crossed with everything else.

    What varies the tasks themselves (activation, initializer, …) is described in variations.py.
    `seeds`: how many, counted from 0, or which. `modes`: per framework, instead of its own
    defaults; or "all" of each.
    `train_fractions`: shares of the training split (TaskSpec.train_fraction). `diagnose`: see
    RunSpec; trained runs only. `steps` and `eval_every` replace the tasks' own; `batch_sizes` are
    swept, and so are lists of `device`, `dtype` and `threads`. `learning_rate_grid`: rates around
    each optimizer's own. `search`: settings drawn instead of crossed (draws.py).
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
    instead: dict[str, str] = {}
    scales: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _nothing_is_said_twice(self) -> Self:
        """What is drawn or laid out in a grid is not given as well."""
        entries = [
            (f"optimizers[{i}]", e)
            for i, e in enumerate(self.optimizers)
            if isinstance(e, OptimizerEntry)
        ]
        search, grid = self.search, self.learning_rate_grid
        both: list[tuple[str, str]] = []
        if search and search.learning_rate is not None:
            both += [("search.learning_rate", "learning_rate_grid")] if grid else []
            both += [
                ("search.learning_rate", f"{place}.learning_rate")
                for place, e in entries
                if e.learning_rate is not None
            ]
        if search and search.batch_size is not None and self.batch_sizes:
            both.append(("search.batch_size", "batch_sizes"))
        for place, entry in entries:
            if grid and isinstance(entry.learning_rate, list):
                both.append(("learning_rate_grid", f"the list {place}.learning_rate"))
            drawn = search.hyper if search else {}
            both += [
                (f"search.hyper.{name}", f"{place}.hyper.{name}")
                for name in entry.hyper
                if name in drawn
            ]
        if both:
            raise ValueError(
                f"{both[0][0]} and {both[0][1]} say the same thing twice; leave one of them out"
            )
        return self


class Suite(Frozen):
    """A valid suite under its name, with the file that messages point to, and where it came from
    before any change.
    """

    name: str
    file: str
    content: SuiteFile
    origin: Origin | None = None


_MODELS = (
    SuiteFile,
    OptimizerEntry,
    GridEntry,
    SearchEntry,
    RangeEntry,
    ScheduleEntry,
    TimingEntry,
    ConvergenceEntry,
    RegularizationEntry,
)


def explain(error: ValidationError, within: str = "") -> str:
    """The most telling of pydantic's errors in our words: key, what is wrong, and the nearest valid
    key.

    within: what stands before the key, such as "scales.small.".
    """
    problems = error.errors()
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    # Of a union's members, one that wanted a table of its own says less than one that looked into
    # what is there.
    problem = (
        unknown or sorted(problems, key=lambda p: (-len(place_of(p)), p["type"] == "model_type"))
    )[0]
    place = place_of(problem)
    key = (
        within
        + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(
            "."
        )
    ).rstrip(".")
    if problem["type"] == "extra_forbidden":
        named = " ".join(map(str, problem["loc"][:-1]))
        fields = next(
            (m.model_fields for m in _MODELS if m.__name__ in named), _fields_at(place[:-1])
        )
        return f"unknown key {key!r}{nearest(str(problem['loc'][-1]), fields)}"
    wanted = [text for other in problems if place_of(other) == place and (text := expected(other))]
    if len(wanted) > 1:
        hint = _close(problem["input"], re.findall(r"'([^']*)'", " ".join(wanted)))
        return (
            f"{key}: expected {' or '.join(dict.fromkeys(wanted))}, not"
            f" {given(problem['input'])}{hint}"
        )
    if problem["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", wanted[0])
        return (
            f"{key}: {given(problem['input'])} is none of"
            f" {wanted[0]}{_close(problem['input'], choices)}"
        )
    return f"{key}: {explained(problem)}" if key else explained(problem)


def _close(value: Any, choices: list[str]) -> str:
    """A hint at the nearest choice; '' if there is none near."""
    hint = nearest(value, choices) if isinstance(value, str) else ""
    return hint if "did you mean" in hint else ""


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

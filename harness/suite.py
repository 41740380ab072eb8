"""Suites: TOML files that say what is swept, validated, and expanded to an ordered list of RunSpecs."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationError

from . import data, schedules
from .errors import UserError, nearest
from .optimizer import Optimizer
from .registry import Framework, Registry
from .spec import Device, Dtype, Frozen, Input, OptimizerSpec, Rule, RunSpec, ScheduleSpec, TaskSpec, TimingSpec
from .variations import RegularizationEntry, Sweep, Varied, vary

Fraction = Annotated[FiniteFloat, Field(gt=0.0, le=1.0)]
PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]


class OptimizerEntry(Frozen):
    """An optimizer of a suite; lists are swept. Without `learning_rate` the optimizer's own default is taken."""

    name: str
    learning_rate: PositiveFloat | Annotated[list[PositiveFloat], Field(min_length=1)] | None = None
    hyper: dict[str, FiniteFloat | Annotated[list[FiniteFloat], Field(min_length=1)]] = {}


class ScheduleEntry(Frozen):
    """A schedule of a suite with its own parameters."""

    kind: str
    params: dict[str, FiniteFloat | tuple[FiniteFloat, ...]] = {}


class TimingEntry(Frozen):
    """How a suite times its cells. `native` by default: the library's own class, with no correction to pay for.

    tasks, optimizers: which of the suite's are timed; all of them where nothing is said.
    launches: processes, each with its own start; an interval needs three. warmup_steps, blocks, block_steps and
    longest_block_s are those of `spec.TimingSpec`. breakdown: also forward, gradient and update apart. memory: also one
    run a cell that measures memory. inputs: where batches come from, see `spec.RunSpec`.
    """

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
    """How a suite trains its cells."""

    rule: Rule = "canonical"


class SuiteFile(Sweep):
    """The content of a suite's file: everything listed is crossed with everything else.

    What varies the tasks themselves (activation, initializer, …) is described in variations.py.
    `seeds`: how many, counted from 0, or which. `modes`: per framework, instead of its own defaults; or "all" of each.
    `train_fractions`: shares of the training split (TaskSpec.train_fraction). `diagnose`: see RunSpec; trained runs only.
    `steps` and `eval_every` replace the tasks' own; `batch_sizes` are swept, and so are lists of `device`, `dtype` and
    `threads`.
    """

    title: str
    question: str = ""
    tasks: Annotated[list[str], Field(min_length=1)]
    frameworks: Annotated[list[str], Field(min_length=1)]
    optimizers: Annotated[list[str | OptimizerEntry], Field(min_length=1)]
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


class Suite(Frozen):
    """A valid suite under its name, with the file that messages point to."""

    name: str
    file: str
    content: SuiteFile


def built_in() -> Mapping[str, Path]:
    """Name -> file of the suites that come with gradrace."""
    import gradrace.suites

    return {file.stem: file for file in sorted(Path(gradrace.suites.__file__).parent.glob("*.toml"))}


def read_suite(name_or_file: str) -> Suite:
    """A built-in suite by name, or any TOML file by path. UserError says what is wrong, in which file, at which key."""
    known = built_in()
    file = known.get(name_or_file, Path(name_or_file))
    if name_or_file not in known and not file.exists():
        raise UserError(f"no suite {name_or_file!r}{nearest(name_or_file, known)}; a file's path is fine too")
    try:
        with file.open("rb") as opened:
            content = tomllib.load(opened)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not valid TOML: {error}") from None
    return make_suite(file.stem, content, str(file))


def make_suite(name: str, content: Mapping[str, Any], file: str = "the suite") -> Suite:
    """A suite from plain values, with the same checks as from a file."""
    try:
        return Suite(name=name, file=file, content=SuiteFile.model_validate(content))
    except ValidationError as error:
        raise UserError(f"{file}: {_explain(error)}") from None


def expand(suite: Suite, registry: Registry) -> tuple[RunSpec, ...]:
    """Every run of the suite, in the order in which they are to be done, each once.

    UserError names file, key and nearest valid name of anything unknown or impossible.
    """
    content = suite.content
    _check_names(suite, registry)
    runs: list[RunSpec] = []
    if content.convergence:
        runs += _converging(suite, registry, content.convergence)
    if content.timing:
        runs += _timed(suite, registry, content.timing)
    unique = tuple({run.id: run for run in runs}.values())
    if not unique:
        raise UserError(f"{suite.file}: nothing to run: both `convergence` and `timing` are off")
    return unique


def _converging(suite: Suite, registry: Registry, entry: ConvergenceEntry) -> Iterator[RunSpec]:
    content = suite.content
    seeds = range(content.seeds) if isinstance(content.seeds, int) else content.seeds
    for place, (task, variations) in itertools.product(_places(content), list(_tasks(suite, registry))):
        for optimizer, schedule, swept in _updates(suite, registry, entry.rule):
            for framework, seed in itertools.product(content.frameworks, seeds):
                for mode in _modes(content, registry.frameworks[framework], convergence=True):
                    yield RunSpec(
                        task=task, optimizer=optimizer, schedule=schedule, framework=framework, mode=mode, seed=seed,
                        variations={**place.named, **variations, **swept}, **place.fields,
                    )  # fmt: skip


def _timed(suite: Suite, registry: Registry, entry: TimingEntry) -> Iterator[RunSpec]:
    """Launch after launch of every cell, then what measures their memory."""
    cells = list(_cells(suite, registry, entry))
    for launch in range(entry.launches):
        yield from (RunSpec(measure="timing", launch=launch, timing=entry.spec, **cell) for cell in cells)
    yield from (RunSpec(measure="memory", **cell) for cell in cells if entry.memory)


def _cells(suite: Suite, registry: Registry, entry: TimingEntry) -> Iterator[dict[str, Any]]:
    """Step time does not depend on seed, learning rate or schedule: one cell for each of the rest."""
    content = suite.content
    optimizers = [name for name in _names_in(content, "optimizers") if entry.optimizers is None or name in entry.optimizers]
    tasks = [each for each in _tasks(suite, registry) if entry.tasks is None or each[0].name in entry.tasks]
    for place, framework in itertools.product(_places(content), content.frameworks):
        modes = _modes(content, registry.frameworks[framework], convergence=False)
        for mode, (task, variations), name, source in itertools.product(modes, tasks, optimizers, entry.inputs):
            named = {} if source == "resident" else {"input": source}
            yield {
                "task": task, "framework": framework, "mode": mode, "input": source, **place.fields,
                "optimizer": OptimizerSpec(name=name, rule=entry.rule, hyper=_hyper(registry, name, entry.rule)),
                "schedule": ScheduleSpec(kind="constant", base_lr=registry.optimizers[name].learning_rate),
                "variations": {**place.named, **variations, **named},
            }  # fmt: skip


def _modes(content: SuiteFile, framework: Framework, convergence: bool) -> Sequence[str]:
    if content.modes == "all":
        return framework.modes
    return content.modes.get(framework.name, [framework.convergence_mode if convergence else framework.modes[0]])


class _Place(NamedTuple):
    """Where and how exactly a run is computed: device, dtype and threads, and those of them that the suite sweeps."""

    fields: dict[str, Any]
    named: dict[str, str | int]


def _places(content: SuiteFile) -> list[_Place]:
    swept = {name: list(dict.fromkeys(_as_list(getattr(content, name)))) for name in ("device", "dtype", "threads")}
    found = (dict(zip(swept, values, strict=True)) for values in itertools.product(*swept.values()))
    return [_Place(fields, {name: fields[name] for name in swept if len(swept[name]) > 1}) for fields in found]


def _tasks(suite: Suite, registry: Registry) -> Iterator[tuple[TaskSpec, dict[str, Any]]]:
    """Tasks with the suite's lengths, once for each batch size and each variation."""
    content = suite.content
    batch_sizes: list[int | None] = list(content.batch_sizes) if content.batch_sizes else [None]
    for name, batch_size in itertools.product(content.tasks, batch_sizes):
        task = registry.tasks[name]
        given = {"steps": content.steps, "eval_every": content.eval_every, "batch_size": batch_size}
        task = task.model_copy(update={key: value for key, value in given.items() if value is not None})
        try:
            largest = data.training_samples(task.data)
        except ValueError as error:
            raise UserError(f"{suite.file}: tasks: {name}: {error}") from None
        if task.batch_size > largest:
            raise UserError(
                f"{suite.file}: batch_sizes: {task.batch_size} is larger than the {largest} training samples of {name}"
            )
        named = {"batch_size": batch_size} if content.batch_sizes and len(content.batch_sizes) > 1 else {}
        for varied in _varied(suite, task):
            yield varied.task, {**named, **varied.variations}


def _varied(suite: Suite, task: TaskSpec) -> list[Varied]:
    try:
        return list(vary(task, suite.content))
    except ValueError as error:
        raise UserError(f"{suite.file}: {error}") from None


def _updates(
    suite: Suite, registry: Registry, rule: Rule
) -> Iterator[tuple[OptimizerSpec, ScheduleSpec, dict[str, float]]]:
    """Every optimizer x hyperparameters x learning rate x schedule, with the hyperparameters that vary."""
    for given in suite.content.optimizers:
        entry = _entry(given)
        optimizer = registry.optimizers[entry.name]
        rates = _as_list(optimizer.learning_rate if entry.learning_rate is None else entry.learning_rate)
        names, values = list(entry.hyper), [_as_list(value) for value in entry.hyper.values()]
        if names and rule == "native":
            raise UserError(f"{suite.file}: optimizers: {entry.name}: the native rule takes the library's own hyper")
        for combination in itertools.product(*values):
            chosen = dict(zip(names, combination, strict=True))
            swept = {name: value for name, value in chosen.items() if isinstance(entry.hyper[name], list)}
            spec = OptimizerSpec(name=entry.name, rule=rule, hyper=_checked_hyper(suite, optimizer, chosen, rule))
            for rate, schedule in itertools.product(rates, suite.content.schedules):
                yield spec, _schedule(suite, schedule, rate), swept


def _checked_hyper(suite: Suite, optimizer: Optimizer, chosen: dict[str, float], rule: Rule) -> dict[str, float]:
    try:
        return {} if rule == "native" else optimizer.hypers(chosen)
    except ValueError as error:
        raise UserError(f"{suite.file}: optimizers: {error}") from None


def _hyper(registry: Registry, name: str, rule: Rule) -> dict[str, float]:
    return {} if rule == "native" else registry.optimizers[name].hypers({})


def _schedule(suite: Suite, given: str | ScheduleEntry, rate: float) -> ScheduleSpec:
    entry = ScheduleEntry(kind=given) if isinstance(given, str) else given
    try:
        return schedules.complete(ScheduleSpec(kind=entry.kind, base_lr=rate, params=entry.params))
    except ValueError as error:
        raise UserError(f"{suite.file}: schedules: {error}") from None


def _check_names(suite: Suite, registry: Registry) -> None:
    content = suite.content
    by_framework = {} if content.modes == "all" else content.modes
    wanted: list[tuple[str, list[str], Mapping[str, object], str]] = [
        ("tasks", content.tasks, registry.tasks, "task"),
        ("frameworks", content.frameworks, registry.frameworks, "framework"),
        ("modes", list(by_framework), registry.frameworks, "framework"),
        ("optimizers", [_entry(entry).name for entry in content.optimizers], registry.optimizers, "optimizer"),
    ]
    if content.timing:
        for key, kind in (("tasks", "task"), ("optimizers", "optimizer")):
            wanted.append((f"timing.{key}", getattr(content.timing, key) or [], _names_in(content, key), f"{kind} of this suite"))
    for key, names, known, kind in wanted:
        for name in names:
            if name not in known:
                raise UserError(f"{suite.file}: {key}: no {kind} {name!r}{nearest(name, known)}")
    for framework, modes in by_framework.items():
        for mode in modes:
            offered = registry.frameworks[framework].modes
            if mode not in offered:
                raise UserError(f"{suite.file}: modes.{framework}: no mode {mode!r}{nearest(mode, offered)}")


def _names_in(content: SuiteFile, key: str) -> dict[str, None]:
    """The suite's own tasks or optimizers, by name."""
    return dict.fromkeys(entry if isinstance(entry, str) else entry.name for entry in getattr(content, key))


def _entry(given: str | OptimizerEntry) -> OptimizerEntry:
    return OptimizerEntry(name=given) if isinstance(given, str) else given


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


_MODELS = (SuiteFile, OptimizerEntry, ScheduleEntry, TimingEntry, ConvergenceEntry, RegularizationEntry)


def _explain(error: ValidationError) -> str:
    """The most telling of pydantic's errors in our words: key, what is wrong, and the nearest valid key."""
    problems = error.errors()
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    problem = (unknown or sorted(problems, key=lambda p: -len(p["loc"])))[0]
    # Names of the union's members stand in the location; they are ours, not the user's.
    place = [part for part in problem["loc"] if isinstance(part, int) or (part[:1].islower() and "[" not in part)]
    place = [part for part in place if part not in ("str", "int", "float", "constrained-float")]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    if problem["type"] == "extra_forbidden":
        last = str(problem["loc"][-1])
        fields = next((m.model_fields for m in _MODELS if m.__name__ in problem["loc"]), _fields_at(place[:-1]))
        return f"unknown key {key!r}{nearest(last, fields)}"
    return f"{key}: {problem['msg']} (given: {problem['input']!r})"


_BY_KEY: Mapping[str, type[Frozen]] = {
    "optimizers": OptimizerEntry,
    "schedules": ScheduleEntry,
    "timing": TimingEntry,
    "convergence": ConvergenceEntry,
    "regularization": RegularizationEntry,
}


def _fields_at(place: list[Any]) -> Any:
    return (_BY_KEY.get(str(place[0]), SuiteFile) if place else SuiteFile).model_fields

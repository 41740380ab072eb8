"""Suites: TOML files that say what is swept, validated, and expanded to an ordered list of
RunSpecs.
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from .. import data, limits, plan, schedules
from ..errors import UserError, nearest
from ..jsonfile import read_text, shown, there
from ..optimizer import Optimizer
from ..registry import Framework, Registry
from ..spec import OptimizerSpec, RunSpec, ScheduleSpec, TaskSpec, UpdateRule, step_setting
from .draws import Draw, draws
from .file import (
    ConvergenceEntry,
    OptimizerEntry,
    ScheduleEntry,
    Suite,
    SuiteFile,
    TimingEntry,
    explain,
)
from .names import told_apart
from .origin import BUILT_IN, Origin
from .variations import VariedTask, vary

__all__ = [
    "ConvergenceEntry",
    "OptimizerEntry",
    "ScheduleEntry",
    "Suite",
    "SuiteFile",
    "TimingEntry",
    "at_scale",
    "built_in",
    "expand",
    "make_suite",
    "read_suite",
    "with_content",
    "with_data_at_hand",
    "with_named_timing",
    "with_plugins",
]


def built_in() -> Mapping[str, Path]:
    """Name -> file of the suites that come with gradrace."""
    import gradrace.suites

    return {
        file.stem: file for file in sorted(Path(gradrace.suites.__file__).parent.glob("*.toml"))
    }


def read_suite(name_or_file: str) -> Suite:
    """A built-in suite by name, or any TOML file by path. UserError says what is wrong, in which
    file, at which key.
    """
    known = built_in()
    file = known.get(name_or_file, Path(name_or_file))
    if name_or_file not in known and not there(file):
        raise UserError(
            f"no suite {shown(file)!r}{nearest(name_or_file[:100], known)}; a file's path is"
            " fine too"
        )
    content = _toml(file)
    suite = make_suite(file.stem, content, str(file))
    assert suite.origin, "make_suite gives it one"
    place = file.resolve()
    is_built_in = file.stem in known and place == known[file.stem].resolve()
    source = BUILT_IN if is_built_in else str(place)
    return suite.model_copy(update={"origin": suite.origin.model_copy(update={"source": source})})


def _toml(file: Path) -> dict[str, Any]:
    """The content of a TOML file. UserError if it is none, cannot be read, or is larger than any
    suite.
    """
    try:
        text = read_text(file, limits.SUITE_BYTES)
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file}: not valid TOML: {error}") from None
    except RecursionError:
        raise UserError(
            f"{file}: not valid TOML: its tables or lists lie too deep within each other"
        ) from None
    # Python reads no whole number of more than 4300 digits.
    except ValueError as error:
        raise UserError(f"{file}: not valid TOML: {str(error).partition(';')[0]}") from None


def make_suite(name: str, content: Mapping[str, Any], file: str = "the suite") -> Suite:
    """A suite from plain values, with the same checks as from a file."""
    valid = _validated(content, file)
    origin = Origin.of("", valid.model_dump(mode="json", exclude_unset=True))
    suite = Suite(name=name, file=file, content=valid, origin=origin)
    for scale in suite.content.scales:
        at_scale(suite, scale)
    return suite


def at_scale(suite: Suite, name: str) -> Suite:
    """The suite with the keys of this scale in place of its own. UserError where it has no such
    scale.
    """
    content = suite.content.model_dump(exclude_unset=True)
    scales = content.pop("scales", {})
    if name not in scales:
        known = nearest(name, scales) if scales else " (it has none)"
        raise UserError(f"{suite.file}: no scale {name!r}{known}")
    for key in ("title", "question", "scales"):
        if key in scales[name]:
            raise UserError(
                f"{suite.file}: scales.{name}.{key}: a scale changes what is swept, not this"
            )
    return suite.model_copy(
        update={"content": _validated({**content, **scales[name]}, suite.file, f"scales.{name}.")}
    )


def with_named_timing(suite: Suite) -> Suite:
    """The suite without the timing of what it trains: only the rule that its timing part names is
    timed.
    """
    content = suite.content.model_dump(exclude_unset=True)
    if not isinstance(content.get("timing"), dict):
        return suite
    return with_content(suite, {**content, "timing": {**content["timing"], "trained": False}})


def with_content(suite: Suite, content: Mapping[str, Any]) -> Suite:
    """The same suite with other content, checked like the file."""
    return make_suite(suite.name, content, suite.file).model_copy(update={"origin": suite.origin})


def with_plugins(suite: Suite, registry: Registry, alone: bool = False) -> Suite:
    """The suite with what the user's own files brought, unless it names some of it by itself.

    Kind by kind: beside the suite's own tasks, optimizers and so on, or with `alone` instead
    of them. A timing part that names what it times gets the same names."""
    content = suite.content.model_dump(exclude_unset=True)
    timing = content["timing"] if isinstance(content.get("timing"), dict) else {}
    for kind, names in registry.loaded.items():
        own = content.get(kind, getattr(suite.content, kind))
        if not names or {entry_name(entry) for entry in own} & set(names):
            continue
        content[kind] = own
        for part in (content, timing):
            if part.get(kind) is not None:
                part[kind] = [*names] if alone else [*part[kind], *names]
    return with_content(suite, content)


def entry_name(entry: str | Mapping[str, Any]) -> str:
    """The name in an entry of a suite's tasks, optimizers, schedules or frameworks."""
    return entry if isinstance(entry, str) else str(entry.get("name") or entry.get("kind"))


def with_data_at_hand(suite: Suite, registry: Registry) -> Suite:
    """The suite with tasks replaced as its `instead` says where their data are not on this machine,
    and its title says so.
    """
    instead = suite.content.instead
    for key, task in (
        pair
        for known in instead.items()
        for pair in zip(("instead", f"instead.{known[0]}"), known, strict=True)
    ):
        if task not in registry.tasks:
            raise UserError(f"{suite.file}: {key}: no task {task!r}{nearest(task, registry.tasks)}")
    absent = [
        name
        for name in suite.content.tasks
        if name in instead and data.missing(registry.tasks[name].data)
    ]
    if not absent:
        return suite
    content = suite.content.model_dump(exclude_unset=True)
    content["tasks"] = list(
        dict.fromkeys(instead[name] if name in absent else name for name in content["tasks"])
    )
    said = [
        f"{instead[name]} for want of {name} (gradrace fetch {registry.tasks[name].data})"
        for name in absent
    ]
    content["title"] = f"{content['title']}: {', '.join(said)}"
    return with_content(suite, content)


def _validated(content: Mapping[str, Any], file: str, within: str = "") -> SuiteFile:
    try:
        return SuiteFile.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{file}: {explain(error, within)}") from None


def expand(
    suite: Suite, registry: Registry, tell: Callable[[int], None] = lambda count: None
) -> tuple[RunSpec, ...]:
    """Every run of the suite, in the order in which they are to be done, each once. `tell`: see
    `counted`.

    UserError names file, key and nearest valid name of anything unknown or impossible.
    """
    content = suite.content
    _check_names(suite, registry)
    _check_size(suite, registry)
    runs: list[RunSpec] = []
    if content.convergence:
        runs += counted(_converging(suite, registry, content.convergence), tell)
    if content.timing:
        runs += counted(_timed(suite, registry, content.timing), tell)
    if not runs:
        raise UserError(f"{suite.file}: nothing to run: both `convergence` and `timing` are off")
    return told_apart(runs, suite.file)


_T = TypeVar("_T")


def counted(things: Iterable[_T], tell: Callable[[int], None]) -> Iterator[_T]:
    """The things, with a word to `tell` of how many there were, every thousand."""
    for number, thing in enumerate(things):
        if number % 1000 == 999:
            tell(number + 1)
        yield thing


def _check_size(suite: Suite, registry: Registry) -> None:
    """UserError if there are more runs than limits.RUNS; they are counted without being made."""
    content = suite.content
    rates = content.learning_rate_grid.points if content.learning_rate_grid else 1
    updates = sum(
        (len(entry.learning_rate) if isinstance(entry.learning_rate, list) else rates)
        * math.prod(len(_as_list(value)) for value in entry.hyper.values())
        for entry in map(_entry, content.optimizers)
    )
    varied: list[Sequence[Any] | None] = [
        content.batch_sizes,
        content.activation,
        content.initializer,
        content.hidden,
    ]
    varied += [
        content.depth,
        content.normalization,
        content.regularization,
        content.train_fractions,
        content.schedules,
    ]
    settings = (
        updates
        * len(content.tasks)
        * len(_places(content))
        * math.prod(len(each) for each in varied if each)
    )
    settings *= content.search.draws if content.search else 1
    trained = [
        len(_modes(content, registry.frameworks[name], convergence=True))
        for name in content.frameworks
    ]
    rules = len(_as_list(content.convergence.rule)) if content.convergence else 1
    seeds = content.seeds if isinstance(content.seeds, int) else len(content.seeds)
    count = settings * rules * sum(trained) * seeds if content.convergence else 0
    if content.timing:
        count += settings * sum(trained) * content.timing.launches * len(content.timing.inputs)
    if count > limits.RUNS:
        raise UserError(
            f"{suite.file}: {count:,} runs are more than can be planned, {limits.RUNS:,}; take"
            " fewer seeds, launches, rates or variations, or split the suite"
        )


def _converging(suite: Suite, registry: Registry, entry: ConvergenceEntry) -> Iterator[RunSpec]:
    content = suite.content
    seeds = range(content.seeds) if isinstance(content.seeds, int) else content.seeds
    for place, (draw, task, variations) in itertools.product(
        _places(content), list(_trained(suite, registry))
    ):
        for optimizer, schedule in _updates(suite, registry, _as_list(entry.rule), draw):
            for framework, seed in itertools.product(content.frameworks, seeds):
                for mode in _modes(content, registry.frameworks[framework], convergence=True):
                    yield RunSpec(
                        task=task,
                        optimizer=optimizer,
                        schedule=schedule,
                        framework=framework,
                        mode=mode,
                        seed=seed,
                        diagnose=content.diagnose,
                        variations={**place.named, **variations, **draw.named},
                        **place.fields,
                    )


def _timed(suite: Suite, registry: Registry, entry: TimingEntry) -> Iterator[RunSpec]:
    """Launch after launch of every cell, then what measures their memory."""
    rules = (
        _as_list(suite.content.convergence.rule)
        if suite.content.convergence and entry.trained
        else []
    )
    found = itertools.chain(
        _cells(suite, registry, entry, [entry.rule], convergence=False),
        _cells(suite, registry, entry, rules, convergence=True),
    )
    cells = list({step_setting(cell): cell for cell in found}.values())
    timing = {"measure": "timing", "timing": entry.spec}
    for launch in range(entry.launches):
        yield from (cell.model_copy(update={**timing, "launch": launch}) for cell in cells)
    yield from (cell.model_copy(update={"measure": "memory"}) for cell in cells if entry.memory)


def _cells(
    suite: Suite,
    registry: Registry,
    entry: TimingEntry,
    rules: Sequence[UpdateRule],
    convergence: bool,
) -> Iterator[RunSpec]:
    """Every setting that is timed under these rules, in the modes that train or in those that are
    timed.

    Step time does not depend on seed, learning rate, schedule and share of the data: one cell for
    each of the rest."""
    content = suite.content
    drawn = [
        (draw, task, variations)
        for draw in _draws(suite)
        for task, variations in _tasks(suite, registry, draw)
        if entry.tasks is None or task.name in entry.tasks
    ]
    for place, framework in itertools.product(_places(content), content.frameworks):
        modes = _modes(content, registry.frameworks[framework], convergence)
        for mode, (draw, task, variations) in itertools.product(modes, drawn):
            optimizers = [
                each for each in _optimizers(suite, registry, rules, draw) if _is_timed(entry, each)
            ]
            for optimizer, source in itertools.product(optimizers, entry.inputs):
                rate = registry.optimizers[optimizer.name].learning_rate
                named = {} if source == "resident" else {"input": source}
                yield RunSpec(
                    task=task,
                    framework=framework,
                    mode=mode,
                    input=source,
                    optimizer=optimizer,
                    schedule=ScheduleSpec(kind="constant", base_lr=rate),
                    variations={**place.named, **variations, **named},
                    **place.fields,
                )


def _is_timed(entry: TimingEntry, optimizer: OptimizerSpec) -> bool:
    return entry.optimizers is None or optimizer.name in entry.optimizers


def _modes(content: SuiteFile, framework: Framework, convergence: bool) -> Sequence[str]:
    if content.modes == "all":
        return framework.modes
    return content.modes.get(
        framework.name, [framework.convergence_mode if convergence else framework.modes[0]]
    )


class _Place(NamedTuple):
    """Where and how exactly a run is computed: device, dtype and threads, and those of them that
    the suite sweeps.
    """

    fields: dict[str, Any]
    named: dict[str, str | int]


def _places(content: SuiteFile) -> list[_Place]:
    swept = {
        name: list(dict.fromkeys(_as_list(getattr(content, name))))
        for name in ("device", "dtype", "threads")
    }
    found = (dict(zip(swept, values, strict=True)) for values in itertools.product(*swept.values()))
    return [
        _Place(fields, {name: fields[name] for name in swept if len(swept[name]) > 1})
        for fields in found
    ]


def _trained(suite: Suite, registry: Registry) -> Iterator[tuple[Draw, TaskSpec, dict[str, Any]]]:
    """Tasks as they are trained: once for each draw and each share of their training split."""
    fractions = list(dict.fromkeys(suite.content.train_fractions))
    for draw in _draws(suite):
        for (task, variations), fraction in itertools.product(
            list(_tasks(suite, registry, draw)), fractions
        ):
            kept = plan.kept_samples(data.training_samples(task.data), fraction)
            if task.batch_size > kept:
                raise UserError(
                    f"{suite.file}: train_fractions: {fraction:g} leaves {kept} training samples of"
                    f" {task.name}, fewer than a batch of {task.batch_size}"
                )
            named = {"train_fraction": fraction} if len(fractions) > 1 else {}
            yield (
                draw,
                task.model_copy(update={"train_fraction": fraction}),
                {**variations, **named},
            )


def _draws(suite: Suite) -> Iterator[Draw]:
    try:
        yield from draws(suite.content.search)
    except ValueError as error:
        raise UserError(f"{suite.file}: {error}") from None


def _tasks(
    suite: Suite, registry: Registry, draw: Draw
) -> Iterator[tuple[TaskSpec, dict[str, Any]]]:
    """Tasks with the suite's lengths, once for each batch size and each variation."""
    content = suite.content
    batch_sizes: list[int | None] = (
        list(content.batch_sizes) if content.batch_sizes else [draw.batch_size]
    )
    for name, batch_size in itertools.product(content.tasks, batch_sizes):
        task = registry.tasks[name]
        given = {"steps": content.steps, "eval_every": content.eval_every, "batch_size": batch_size}
        task = task.model_copy(
            update={key: value for key, value in given.items() if value is not None}
        )
        try:
            largest = data.training_samples(task.data)
        except ValueError as error:
            raise UserError(f"{suite.file}: tasks: {name}: {error}") from None
        if task.batch_size > largest:
            key = "batch_sizes" if draw.batch_size is None else "search.batch_size"
            raise UserError(
                f"{suite.file}: {key}: {task.batch_size} is larger than the {largest} training"
                f" samples of {name}"
            )
        limits.check_indices(f"{suite.file}: {name}", task.steps, task.batch_size)
        named = (
            {"batch_size": batch_size}
            if content.batch_sizes and len(content.batch_sizes) > 1
            else {}
        )
        for varied in _varied(suite, task):
            yield varied.task, {**named, **varied.variations}


def _varied(suite: Suite, task: TaskSpec) -> list[VariedTask]:
    try:
        return list(vary(task, suite.content))
    except ValueError as error:
        raise UserError(f"{suite.file}: {error}") from None


def _updates(
    suite: Suite, registry: Registry, rules: Sequence[UpdateRule], draw: Draw
) -> Iterator[tuple[OptimizerSpec, ScheduleSpec]]:
    """Every optimizer x rule x hyperparameters x learning rate x schedule that is trained."""
    for given, rule in itertools.product(suite.content.optimizers, rules):
        entry = _entry(given)
        if rule == "native" and (entry.hyper or draw.hyper):
            raise UserError(
                f"{suite.file}: optimizers: {entry.name}: the native rule takes the library's own"
                " hyper"
            )
        rates = _rates(suite, entry, registry.optimizers[entry.name], draw)
        for spec in _hypers(suite, registry, entry, rule, draw):
            for rate, schedule in itertools.product(rates, suite.content.schedules):
                yield spec, _schedule(suite, registry, schedule, rate)


def _optimizers(
    suite: Suite, registry: Registry, rules: Sequence[UpdateRule], draw: Draw
) -> Iterator[OptimizerSpec]:
    """Every optimizer x rule x hyperparameters."""
    for given, rule in itertools.product(suite.content.optimizers, rules):
        yield from _hypers(suite, registry, _entry(given), rule, draw)


def _hypers(
    suite: Suite, registry: Registry, entry: OptimizerEntry, rule: UpdateRule, draw: Draw
) -> Iterator[OptimizerSpec]:
    """Every combination of an entry's hyperparameters; the library's own, unnamed, under the native
    rule.
    """
    if rule == "native":
        yield OptimizerSpec(name=entry.name, rule=rule)
        return
    hyper = {**entry.hyper, **draw.hyper}
    for combination in itertools.product(*(_as_list(value) for value in hyper.values())):
        try:
            chosen = registry.optimizers[entry.name].hypers(
                dict(zip(hyper, combination, strict=True))
            )
        except ValueError as error:
            raise UserError(f"{suite.file}: optimizers: {error}") from None
        yield OptimizerSpec(name=entry.name, rule=rule, hyper=chosen)


def _rates(suite: Suite, entry: OptimizerEntry, optimizer: Optimizer, draw: Draw) -> list[float]:
    """The drawn rate, else the entry's, else the optimizer's own; with the suite's grid around it."""
    if draw.learning_rate is not None:
        return [draw.learning_rate]
    own = optimizer.learning_rate if entry.learning_rate is None else entry.learning_rate
    grid = suite.content.learning_rate_grid
    return grid.around(own) if grid and not isinstance(own, list) else _as_list(own)


def _schedule(
    suite: Suite, registry: Registry, given: str | ScheduleEntry, rate: float
) -> ScheduleSpec:
    entry = ScheduleEntry(kind=given) if isinstance(given, str) else given
    spec = ScheduleSpec(kind=entry.kind, base_lr=rate, params=entry.params)
    try:
        return schedules.complete(spec, registry.schedules)
    except ValueError as error:
        raise UserError(f"{suite.file}: schedules: {error}") from None


def _check_names(suite: Suite, registry: Registry) -> None:
    content = suite.content
    by_framework = {} if content.modes == "all" else content.modes
    wanted: list[tuple[str, list[str], Mapping[str, object], str]] = [
        ("tasks", content.tasks, registry.tasks, "task"),
        ("frameworks", content.frameworks, registry.frameworks, "framework"),
        ("modes", list(by_framework), registry.frameworks, "framework"),
        (
            "optimizers",
            [_entry(entry).name for entry in content.optimizers],
            registry.optimizers,
            "optimizer",
        ),
    ]
    if content.timing:
        for key, kind in (("tasks", "task"), ("optimizers", "optimizer")):
            wanted.append(
                (
                    f"timing.{key}",
                    getattr(content.timing, key) or [],
                    _names_in(content, key),
                    f"{kind} of this suite",
                )
            )
    for key, names, known, kind in wanted:
        for name in names:
            if name not in known:
                raise UserError(f"{suite.file}: {key}: no {kind} {name!r}{nearest(name, known)}")
    for framework, modes in by_framework.items():
        for mode in modes:
            offered = registry.frameworks[framework].modes
            if mode not in offered:
                raise UserError(
                    f"{suite.file}: modes.{framework}: no mode {mode!r}{nearest(mode, offered)}"
                )


def _names_in(content: SuiteFile, key: str) -> dict[str, None]:
    """The suite's own tasks or optimizers, by name."""
    return dict.fromkeys(
        entry if isinstance(entry, str) else entry.name for entry in getattr(content, key)
    )


def _entry(given: str | OptimizerEntry) -> OptimizerEntry:
    return OptimizerEntry(name=given) if isinstance(given, str) else given


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

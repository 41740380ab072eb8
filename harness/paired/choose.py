"""From a suite's timing runs to pairs: which run stands against which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from ..describing import described
from ..errors import ExitCode, UserError, located, nearest
from ..imported.arguments import check_hyper
from ..importpath import ImportPath, Plugin, is_import_path
from ..jsonfile import first_problem
from ..registry import Registry, load_registry
from ..spec import Device, Dtype, Input, OptimizerSpec, RunSpec, ScheduleSpec, UpdateRule
from ..suite import (
    expand,
    read_suite,
    with_classes,
    with_named_timing,
    with_paths,
    with_plugins,
)
from ..suite.hyper import offered, rules_of
from ..sweep import matches
from . import Pair

Choice = Mapping[str, str]


@dataclass(frozen=True)
class SuiteFilter:
    """A suite and a keyword, which `sweep.matches` explains."""

    suite: str = "quick"
    keyword: str = ""


def registry_of(load: Sequence[Plugin], part: SuiteFilter, *choices: Choice) -> Registry:
    """Of the user's files, and the import paths of the suite and the choices, which are complete.

    UserError for a path that leads to no optimizer."""
    suite, paths = with_paths(read_suite(part.suite))
    texts = (choice.get("optimizer", "") for choice in choices)
    chosen = [ImportPath.parse(text) for text in texts if is_import_path(text)]
    return with_classes(suite, load_registry([*load, *paths, *chosen]))


def same_cells(registry: Registry, part: SuiteFilter) -> tuple[Pair, ...]:
    """Every run against itself, for two versions of gradrace. UserError (5) if nothing matches."""
    return _chosen(registry, ((run, run) for run in _runs(registry, part)), part)


def against_each_other(
    registry: Registry, part: SuiteFilter, a: Choice, b: Choice
) -> tuple[Pair, ...]:
    """Every run with the values of `a` against itself with those of `b`: {"framework": "torch"}.

    A framework's mode is its first, unless it is named too. Equal pairs are taken once, and a run
    does not stand against itself unless both choices are the same. UserError: an unknown key; exit
    code 5: unknown names, or no pair."""
    runs = _with_modes(registry, _runs(registry, part), (a, b))
    pairs = [(_with(registry, run, a), _with(registry, run, b)) for run in runs]
    pairs = [pair for pair in pairs if all(_can_run(registry, run) for run in pair)]
    if not pairs:
        _check_frameworks(a, b)
    return _chosen(registry, ((one, other) for one, other in pairs if one != other or a == b), part)


def _can_run(registry: Registry, run: RunSpec) -> bool:
    return bool(offered(registry.optimizers[run.optimizer.name], [run.framework]))


def _check_frameworks(*choices: Choice) -> None:
    """UserError: an import path stands beside another framework."""
    for option, choice in zip(("--a", "--b"), choices, strict=True):
        if is_import_path(text := choice.get("optimizer", "")):
            framework = ImportPath.parse(text).framework
            raise UserError(
                f"{option} optimizer={text}: only {framework} can run it; choose"
                f" {option} framework={framework}, or a suite that has this framework",
                ExitCode.NOTHING_MATCHED,
            )


def of_two_files(registry: Registry, part: SuiteFilter, a: Path, b: Path) -> tuple[Pair, ...]:
    """The optimizers of two files in the suite's runs: of one name, or the only one of each file.

    `registry` holds neither file. Frameworks that an optimizer does not name are left out.
    UserError (exit code 5) if no two optimizers belong together."""
    registries = [described(load_registry([*registry.plugins, file])) for file in (a, b)]
    brought = [
        [n for n in r.loaded["optimizers"] if n not in registry.optimizers] for r in registries
    ]
    if [len(names) for names in brought] == [1, 1]:
        couples = list(zip(*brought, strict=True))
    else:
        couples = [(name, name) for name in brought[0] if name in brought[1]]
    if not couples:
        lists = " and ".join(
            f"{file} has {', '.join(names) or 'none'}"
            for file, names in zip((a, b), brought, strict=True)
        )
        raise UserError(f"no optimizers to compare: {lists}", ExitCode.NOTHING_MATCHED)
    runs = [
        tuple(_set_optimizer(r, run, name) for r, name in zip(registries, couple, strict=True))
        for couple in couples
        for run in _runs(registry, part)
        if all(_offers(r, name, run.framework) for r, name in zip(registries, couple, strict=True))
    ]
    return _chosen(registry, runs, part)  # type: ignore[arg-type]


def _offers(registry: Registry, name: str, framework: str) -> bool:
    """The reference computes every optimizer with a rule; the others those that name them."""
    optimizer = registry.optimizers[name]
    bound = {f for known in registry.optimizers.values() for f in known.bindings}
    referee = framework not in bound and optimizer.rule is not None
    return framework in optimizer.bindings or referee


def parse_choice(option: str, given: Iterable[str]) -> dict[str, str]:
    """From 'framework=torch'. UserError names a key that is unknown or given twice."""
    choice: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not value:
            raise UserError(f"{option} {text}: expected KEY=VALUE, such as framework=torch")
        if key not in _SETTERS:
            hint = nearest(key, _SETTERS)
            raise UserError(f"{option} {text}: nothing called {key!r} can be chosen{hint}")
        if key in choice:
            raise UserError(f"{option} {text}: {key} is chosen twice")
        choice[key] = value
    return choice


def pair_name(a: RunSpec, b: RunSpec) -> str:
    """Task, framework, optimizer and all that is unusual; 'x|y' if the two differ."""
    parts = (
        one if one == other else f"{one}|{other}"
        for one, other in zip(_aspects(a), _aspects(b), strict=True)
    )
    return "/".join(part for part in parts if part)


def _aspects(run: RunSpec) -> list[str]:
    usual = RunSpec.model_fields
    rest = [
        str(getattr(run, name)) if getattr(run, name) != usual[name].default else ""
        for name in ("dtype", "device", "input")
    ]
    threads = f"threads{run.threads}" if run.threads != 1 else ""
    varied = ",".join(
        f"{key}={value}" for key, value in run.variations.items() if key != "batch_size"
    )
    return [
        run.task.name,
        f"{run.framework}-{run.mode}",
        f"{run.optimizer.name}-{run.optimizer.rule}",
        f"batch{run.task.batch_size}",
        *rest,
        threads,
        varied,
    ]


def _runs(registry: Registry, part: SuiteFilter) -> list[RunSpec]:
    """The suite's timing runs under the rule that its timing part names, each once.

    What the user's own files bring stands instead of the suite's. UserError if it times nothing."""
    suite, _ = with_paths(read_suite(part.suite))
    suite = with_named_timing(with_plugins(suite, registry, alone=True))
    runs = [run for run in expand(suite, registry) if run.measure == "timing" and run.launch == 0]
    if not runs:
        raise UserError(
            f"{suite.file}: it has no timing cells; add a [timing] table, or choose another suite"
            " with --suite"
        )
    own = registry.loaded.get("optimizers", ())
    return [
        run
        for run in runs
        if run.optimizer.name not in own or _offers(registry, run.optimizer.name, run.framework)
    ]


def _with_modes(
    registry: Registry, runs: Iterable[RunSpec], choices: Iterable[Choice]
) -> list[RunSpec]:
    """The runs whose framework has the chosen modes."""
    runs = list(runs)
    for choice in choices:
        if "mode" in choice and "framework" not in choice:
            modes = {run.framework: registry.frameworks[run.framework].modes for run in runs}
            _named("mode", choice["mode"], {mode for offered in modes.values() for mode in offered})
            runs = [run for run in runs if choice["mode"] in modes[run.framework]]
    return runs


def pair_of(registry: Registry, name: str, a: RunSpec, b: RunSpec) -> Pair:
    """The two runs under a name. The versions of the sides are not known here: a mode counts as
    alone if it is for some version."""
    alone = any(run.mode in registry.frameworks[run.framework].alone_modes for run in (a, b))
    return Pair(name, a, b, alone)


def _chosen(
    registry: Registry, pairs: Iterable[tuple[RunSpec, RunSpec]], part: SuiteFilter
) -> tuple[Pair, ...]:
    """Each pair once, named, and filtered by its name and its runs' ids."""
    unique = {
        (one.model_dump_json(), other.model_dump_json()): (one, other) for one, other in pairs
    }
    named: dict[str, Pair] = {}
    for a, b in unique.values():
        name = first = pair_name(a, b)
        number = 1
        while name in named:
            number += 1
            name = f"{first} #{number}"
        named[name] = pair_of(registry, name, a, b)
    chosen = tuple(
        p for p in named.values() if matches(f"{p.name} {p.a.id} {p.b.id}", part.keyword)
    )
    if not chosen:
        known = "\n".join(f"  {name}" for name in list(named)[:12]) or "  none"
        message = f"no cell of {part.suite} matches {part.keyword!r}; there are\n{known}"
        raise UserError(message, ExitCode.NOTHING_MATCHED)
    return chosen


def _with(registry: Registry, run: RunSpec, choice: Choice) -> RunSpec:
    """The run with these values instead of its own; variations that named the old ones go."""
    gone = {*choice}
    if {"optimizer", "rule"} & set(choice):
        gone |= {"groups", *run.optimizer.hyper}
    kept = {
        key: value
        for key, value in run.variations.items()
        if key.removeprefix("hyper.") not in gone
    }
    run = run.model_copy(update={"variations": kept})
    for key in (key for key in _SETTERS if key in choice):
        run = _SETTERS[key](registry, run, choice[key])
    try:
        return RunSpec.model_validate(run.to_json())
    except ValidationError as error:
        raise UserError(first_problem(error)) from None


def _named(kind: str, name: str, known: Iterable[str]) -> str:
    if name not in known:
        raise UserError(f"no {kind} {name!r}{nearest(name, known)}", ExitCode.NOTHING_MATCHED)
    return name


def _set_task(registry: Registry, run: RunSpec, name: str) -> RunSpec:
    return run.model_copy(
        update={"task": registry.tasks[_named("task", name, registry.tasks)], "variations": {}}
    )


def _set_batch_size(registry: Registry, run: RunSpec, text: str) -> RunSpec:
    return run.model_copy(
        update={"task": run.task.model_copy(update={"batch_size": _count("batch_size", text)})}
    )


def _set_framework(registry: Registry, run: RunSpec, name: str) -> RunSpec:
    framework = registry.frameworks[_named("framework", name, registry.frameworks)]
    return run.model_copy(update={"framework": name, "mode": framework.modes[0]})


def _set_mode(registry: Registry, run: RunSpec, name: str) -> RunSpec:
    modes = registry.frameworks[run.framework].modes
    return run.model_copy(update={"mode": _named(f"mode of {run.framework}", name, modes)})


def _set_optimizer(registry: Registry, run: RunSpec, name: str) -> RunSpec:
    name = ImportPath.parse(name).name if is_import_path(name) else name
    optimizer = registry.optimizers[_named("optimizer", name, registry.optimizers)]
    if optimizer.absent:
        raise UserError(f"optimizer={name}: {optimizer.absent}")
    (rule,) = rules_of(optimizer, [run.optimizer.rule])
    hyper = optimizer.hypers({}) if rule == "canonical" else {}
    with located("optimizer"):
        check_hyper(optimizer, run.framework, hyper)
    spec = OptimizerSpec(name=name, rule=rule, hyper=hyper)
    schedule = ScheduleSpec(kind="constant", base_lr=optimizer.learning_rate)
    return run.model_copy(update={"optimizer": spec, "schedule": schedule})


def _set_rule(registry: Registry, run: RunSpec, rule: str) -> RunSpec:
    _named("rule", rule, get_args(UpdateRule))
    optimizer = registry.optimizers[run.optimizer.name]
    if optimizer.imported and rule == "canonical":
        raise UserError(f"rule={rule}: {optimizer.name} is an import path, which is native alone")
    hyper = optimizer.hypers({}) if rule == "canonical" else {}
    spec = OptimizerSpec.model_validate({"name": optimizer.name, "rule": rule, "hyper": hyper})
    return run.model_copy(update={"optimizer": spec})


def _literal(key: str, values: Any) -> Callable[[Registry, RunSpec, str], RunSpec]:
    def set_(registry: Registry, run: RunSpec, text: str) -> RunSpec:
        return run.model_copy(update={key: _named(key, text, get_args(values))})

    return set_


def _set_threads(registry: Registry, run: RunSpec, text: str) -> RunSpec:
    return run.model_copy(update={"threads": _count("threads", text)})


def _count(key: str, text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"{key}={text}: expected a whole number from 1")
    return int(text)


# In the order in which they are set: a framework resets the mode, a rule needs its optimizer.
_SETTERS: Mapping[str, Callable[[Registry, RunSpec, str], RunSpec]] = {
    "task": _set_task,
    "batch_size": _set_batch_size,
    "framework": _set_framework,
    "mode": _set_mode,
    "optimizer": _set_optimizer,
    "rule": _set_rule,
    "dtype": _literal("dtype", Dtype),
    "device": _literal("device", Device),
    "threads": _set_threads,
    "input": _literal("input", Input),
}

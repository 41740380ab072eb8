"""From a suite to results: expand, leave out what is finished, execute, keep each result as it
arrives.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from .. import data, limits, plan, schedules
from ..errors import ExitCode, UserError, nearest
from ..executor import Event, Finished, Job, PlannedRun
from ..executor.local import LocalExecutor, unfinished
from ..executor.queue import side_by_side
from ..jsonfile import shown, there
from ..machine import lacks_gpu, usable_cores
from ..objective import alike
from ..optimizer import Optimizer
from ..process import NoAnswer, ask, check_system
from ..record import Status
from ..registry import Framework, Registry, load_registry
from ..sources import Reach, hashes, is_own, reach
from ..spec import NOT_IN_A_STEP, RunSpec, digest
from ..strict import given
from ..suite import (
    Suite,
    at_scale,
    counted,
    expand,
    read_suite,
    with_content,
    with_data_at_hand,
    with_plugins,
)
from ..suite.origin import check_same
from ..worker import clock, memory, train
from .store import PlanFile, Store, kept_plan

_CORE = ("numpy", "scikit-learn")
# The source that drives the session; it is part of a run's digest.
_LOOPS = {
    "convergence": str(train.__file__),
    "timing": str(clock.__file__),
    "memory": str(memory.__file__),
}


@dataclass(frozen=True)
class Options:
    """What the user asked of a sweep beside the suite; None and empty leave the suite as it is.

    clock_only: nothing is trained to convergence, what would be is timed; a suite that times
    nothing is timed as `suite.TimingEntry` has it by default. timing: keys of the suite's timing
    part with other values.
    workers: how many convergence runs go on side by side; 0: as many as cores and threads allow.
    scale: one of the suite's own (`suite.SuiteFile.scales`). train_fractions and diagnose replace
    the suite's keys."""

    output: Path = Path("results")
    keyword: str = ""
    frameworks: tuple[str, ...] = ()
    seeds: int | None = None
    threads: int | None = None
    device: str | None = None
    timeout_s: float = 600.0
    shard: tuple[int, int] = (1, 1)
    interpreters: Mapping[str, str] = field(default_factory=dict)
    dtype: str | None = None
    clock_only: bool = False
    timing: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 0
    scale: str | None = None
    train_fractions: tuple[float, ...] = ()
    diagnose: bool = False


@dataclass(frozen=True)
class Sweep:
    """A suite made ready: what its plan holds, what was asked for, what of that is finished
    already.
    """

    suite: Suite
    registry: Registry
    options: Options
    plan: tuple[PlannedRun, ...]
    selected: tuple[PlannedRun, ...]


@dataclass(frozen=True)
class Outcome:
    """How the selected runs stand after a sweep: counts by status, how many were cached.

    unsound: digest -> what was wrong with a stored run, which was therefore done anew.
    """

    counts: Mapping[Status, int]
    cached: int
    unsound: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        """1 where runs failed or timed out, 3 where nothing was measured at all."""
        if self.counts.get("failed", 0) or self.counts.get("timeout", 0):
            return ExitCode.RUNS_FAILED
        if not self.counts.get("ok", 0) and not self.counts.get("diverged", 0):
            return ExitCode.NOTHING_MEASURED
        return ExitCode.OK


Tell = Callable[[str, int], None]


def prepare(
    suite: str | Suite,
    plugins: Sequence[Path] = (),
    options: Options | None = None,
    tell: Tell = lambda what, count: None,
) -> Sweep:
    """Reads and expands the suite and selects from it. UserError (exit code 5) if nothing matches
    the filters.

    tell: hears now and then what is done and for how many runs, since large suites take a while.
    """
    check_system()
    options = options or Options()
    _check_workers(options.workers)
    registry = load_registry(plugins)
    _check_options(options, registry)
    read = _override(read_suite(suite) if isinstance(suite, str) else suite, registry, options)
    planner = Planner(registry, options.interpreters)
    expanded = expand(read, registry, partial(tell, "expanding the suite"))
    specs = [spec for spec in expanded if not options.clock_only or spec.measure != "convergence"]
    planned = tuple(
        planner.plan(spec)
        for spec in counted(specs, partial(tell, "looking up versions and sources"))
    )
    selected = _select(planned, options)
    if not selected:
        raise UserError(
            f"{read.name}: none of its {len(planned)} runs matches {given(options.keyword)} in"
            f" shard {options.shard[0]}/{options.shard[1]}; --dry-run lists them",
            ExitCode.NOTHING_MATCHED,
        )
    return Sweep(read, registry, options, planned, selected)


# Beyond this many workers a core, a slip of the keyboard is likelier than a plan, and memory ends
# before the cores do.
_WORKERS_A_CORE = 8


def _check_workers(workers: int) -> None:
    most = _WORKERS_A_CORE * len(usable_cores())
    if isinstance(workers, bool) or not isinstance(workers, int) or not 0 <= workers <= most:
        raise UserError(
            f"-j {workers}: expected a number of workers from 0 (as many as cores allow) to {most}"
            " on this machine"
        )


def _check_options(options: Options, registry: Registry) -> None:
    """UserError for what no run could use. The command line refuses most of it earlier; Python's
    users come here.
    """
    if not 0 < options.timeout_s <= limits.SECONDS:
        raise UserError(
            f"timeout {options.timeout_s:g} s: expected more than 0 and at most {limits.SECONDS:g}"
        )
    if there(options.output) and not options.output.is_dir():
        raise UserError(f"--output {shown(options.output)}: not a folder; choose another one")
    index, of = options.shard
    if not 1 <= index <= of:
        raise UserError(f"shard {index}/{of}: expected i/n with 1 <= i <= n")
    for name in options.interpreters:
        if name not in registry.frameworks:
            raise UserError(
                f"--python {given(name)}: no such"
                f" framework{nearest(name[:80], registry.frameworks)}"
            )


def shared_cores(sweep: Sweep) -> str:
    """A sentence where more workers were asked for than have cores of their own, else empty."""
    cores, wanted = len(usable_cores()), sweep.options.workers
    threads = max(
        (run.spec.threads for run in sweep.selected if run.spec.measure == "convergence"), default=1
    )
    if wanted <= side_by_side(cores, threads):
        return ""
    return (
        f"{wanted} workers of {threads} {'thread' if threads == 1 else 'threads'} share {cores}"
        " cores: each is slowed down"
    )


def execute(
    sweep: Sweep, watch: Callable[[Event, int, int], None] = lambda event, done, total: None
) -> Outcome:
    """Does what is not finished. `watch` gets every event with the number of runs done and to be
    done.

    KeyboardInterrupt passes through after the workers are stopped; everything finished is kept.
    """
    with Store(sweep.options.output, sweep.suite.name) as store:
        before = store.plan()
        if before is None or before.origin is None:
            _check_no_study(store.folder)
        check_same(store.folder, before.origin if before else None, sweep.suite.origin)
        finished = store.finished(sweep.selected)
        store.discard_unfinished()
        store.write_plan(kept_plan(_plan_file(sweep), before))
        counts = Counter(record.status for record in finished.values())
        todo = [run for run in sweep.selected if run.digest not in finished]
        done = 0
        for event in _events(sweep, todo, store):
            if isinstance(event, Finished):
                done += 1
                store.write(event.result)
                counts[event.result.record.status] += 1
            watch(event, done, len(todo))
    return Outcome(dict(counts), len(finished), dict(store.unsound))


def _events(sweep: Sweep, todo: Sequence[PlannedRun], store: Store) -> Iterable[Event]:
    """Skips what lacks its framework, device, cores or data without a process; gives the rest to an
    executor.
    """
    planner = Planner(sweep.registry, sweep.options.interpreters)
    missing = {run.digest: reason for run in todo if (reason := planner.missing(run.spec))}
    for run in todo:
        if run.digest in missing:
            yield Finished(run, unfinished(run, "skipped", missing[run.digest]))
    runnable = [with_log(run, store) for run in todo if run.digest not in missing]
    if not runnable:
        return
    executor = LocalExecutor(
        sweep.registry.plugins,
        sweep.options.interpreters,
        sweep.options.timeout_s,
        sweep.options.workers,
    )
    try:
        for job in _jobs(runnable):
            executor.submit(job)
        yield from executor.events()
    finally:
        executor.close()


def _jobs(runs: Sequence[PlannedRun]) -> Iterable[Job]:
    """Convergence runs of one shape together; then the timing runs of one framework and launch in
    one process, and each memory run in one of its own."""
    shapes: dict[tuple[object, ...], list[PlannedRun]] = {}
    for run in runs:
        if run.spec.measure == "convergence":
            shapes.setdefault(_shape(run.spec), []).append(run)
    for of_shape in shapes.values():
        yield Job(tuple(of_shape))
    launches: dict[tuple[object, ...], list[PlannedRun]] = {}
    for run in runs:
        if run.spec.measure == "timing":
            spec = run.spec
            key = (spec.framework, spec.launch, spec.device, spec.dtype, spec.threads, spec.timing)
            launches.setdefault(key, []).append(run)
    for together in launches.values():
        yield Job(tuple(together), alone=True)
    for run in runs:
        if run.spec.measure == "memory":
            yield Job((run,), alone=True)


# Task fields that do not affect a compiled program.
_SHAPELESS = {*NOT_IN_A_STEP, "name"}


def _shape(spec: RunSpec) -> tuple[object, ...]:
    """Equal for runs that one compiled program could serve; they differ in numbers alone."""
    task = alike(spec.task).model_dump_json(exclude=_SHAPELESS)
    optimizer = (spec.optimizer.name, spec.optimizer.rule)
    return (
        spec.framework,
        spec.mode,
        task,
        optimizer,
        spec.dtype,
        spec.device,
        spec.threads,
        spec.input,
    )


def with_log(run: PlannedRun, store: Store) -> PlannedRun:
    """The run with the place of its log, whose folder is made."""
    return replace(run, log=store.log_file(run.digest).resolve())


def _check_no_study(folder: Path) -> None:
    if (folder / "study.json").exists():
        raise UserError(
            f"{folder}: holds a study of `gradrace tune`; rename the suite, or keep it apart with"
            " --output"
        )


def _plan_file(sweep: Sweep) -> PlanFile:
    content = sweep.suite.content
    return PlanFile(
        suite=sweep.suite.name,
        title=content.title,
        question=content.question,
        digests=tuple(run.digest for run in sweep.plan),
        clocked=tuple(run.digest for run in sweep.plan if run.spec.measure != "convergence"),
        clock_only=sweep.options.clock_only,
        origin=sweep.suite.origin,
    )


def _override(suite: Suite, registry: Registry, options: Options) -> Suite:
    """The suite with the user's own files and what the command line says, checked like the file."""
    scaled = suite if options.scale is None else at_scale(suite, options.scale)
    suite = with_plugins(with_data_at_hand(scaled, registry), registry)
    content = suite.content.model_dump(exclude_unset=True)
    instead = {
        "seeds": options.seeds,
        "threads": options.threads,
        "device": options.device,
        "dtype": options.dtype,
    }
    content |= {key: value for key, value in instead.items() if value is not None}
    if options.train_fractions:
        content["train_fractions"] = list(options.train_fractions)
    if options.diagnose:
        content["diagnose"] = True
    if options.clock_only:
        # What would be trained stays in the suite: it is timed, too.
        content["timing"] = {**(content.get("timing") or {}), **options.timing}
    if options.frameworks:
        content["frameworks"] = list(options.frameworks)
    return with_content(suite, content)


def _select(planned: Sequence[PlannedRun], options: Options) -> tuple[PlannedRun, ...]:
    """By keyword, then every n-th for a shard."""
    matching = [run for run in planned if matches(run.spec.id, options.keyword)]
    if there(options.output) and not options.output.is_dir():
        raise UserError(f"--output {shown(options.output)}: not a folder; choose another one")
    index, of = options.shard
    return tuple(matching[index - 1 :: of])


def matches(name: str, keyword: str) -> bool:
    """Every word of `keyword` is in the name, and none of those that follow a '!'; upper and lower
    case are the same.
    """
    name = name.lower()
    return all(
        (word[1:] not in name) if word.startswith("!") else word in name
        for word in keyword.lower().split()
    )


class Planner:
    """Works out digests: the versions and sources that each run depends on, looked up once.
    interpreters: as of Options.
    """

    def __init__(self, registry: Registry, interpreters: Mapping[str, str]) -> None:
        self._registry = registry
        self._interpreters = interpreters
        self._common = {name: importlib.metadata.version(name) for name in _CORE}
        self._common["python"] = platform.python_version()
        self._sources: dict[tuple[str, ...], dict[str, str]] = {}
        self._reached: dict[tuple[str, ...], Reach] = {}
        self._rates: dict[tuple[str, int], dict[str, str]] = {}
        self._data: dict[str, str | None] = {}

    def plan(self, spec: RunSpec) -> PlannedRun:
        """The run with its digest; its log has no place yet. UserError if a user's schedule gives
        no rates."""
        own = _versions(self._registry.frameworks[spec.framework], self._interpreters)
        found = self._reach_of(spec)
        versions = {**self._common, **found.versions, **(own or {"not installed": spec.framework})}
        listed = {*self._common, *_distributions(self._registry)}
        brought = {
            imported(name): version
            for name, version in found.versions.items()
            if name not in listed
        }
        sources = {**self._sources_of(spec), **found.sources, **brought, **self._data_of(spec)}
        sources |= self._rates_of(spec)
        return PlannedRun(spec, digest(spec, versions, sources), versions, sources, Path())

    def missing(self, spec: RunSpec) -> str | None:
        """What this machine lacks for the run, framework, device, cores or data; None where
        nothing.
        """
        framework = self._registry.frameworks[spec.framework]
        if _versions(framework, self._interpreters) is None:
            return (
                f"not installed: {' and '.join(framework.requires)} (pip install"
                f" gradrace[{framework.name}])"
            )
        if spec.device == "gpu" and lacks_gpu():
            return "this machine has no GPU"
        usable = len(usable_cores())
        if spec.measure != "convergence" and spec.threads > usable:
            # Threads that share a core would be timed waiting for each other; training to
            # convergence does not care.
            return (
                f"{spec.threads} threads need as many cores to be pinned to; {usable} can be used"
                " here"
            )
        return data.missing(spec.task.data) or None

    def _sources_of(self, spec: RunSpec) -> dict[str, str]:
        """Of gradrace's own files."""
        key = (spec.measure, spec.framework, spec.optimizer.name, spec.schedule.kind)
        if key not in self._sources:
            files = [Path(_LOOPS[spec.measure]), Path(plan.__file__), *self._files_of(spec)]
            self._sources[key] = hashes(file for file in files if is_own(file))
        return self._sources[key]

    def _reach_of(self, spec: RunSpec) -> Reach:
        """Of the user's files, and of those of plug-ins."""
        key = (spec.framework, spec.optimizer.name, spec.schedule.kind)
        if key not in self._reached:
            files = [file for file in self._files_of(spec) if not is_own(file)]
            self._reached[key] = Reach()
            if files:
                optimizer = self._registry.optimizers[spec.optimizer.name]
                python = self._interpreters.get(spec.framework)
                self._reached[key] = reach_of(
                    self._registry, files, [optimizer], spec.framework, python
                )
        return self._reached[key]

    def _files_of(self, spec: RunSpec) -> list[Path]:
        files = (
            self._registry.frameworks[spec.framework].file,
            self._registry.optimizer_files[spec.optimizer.name],
            self._registry.schedule_files[spec.schedule.kind],
        )
        return [file if is_own(file) else file.resolve() for file in files]

    def _rates_of(self, spec: RunSpec) -> dict[str, str]:
        """Of a user's schedule: what it gives, so that a worker in which it gives something else
        is found out."""
        if is_own(self._registry.schedule_files[spec.schedule.kind]):
            return {}
        key = (spec.schedule.model_dump_json(), spec.steps)
        if key not in self._rates:
            rates = schedules.table(spec.schedule, spec.steps, self._registry.schedules)
            self._rates[key] = schedules.fingerprint(spec.schedule, rates)
        return self._rates[key]

    def _data_of(self, spec: RunSpec) -> dict[str, str]:
        name = spec.task.data
        if name not in self._data:
            self._data[name] = data.content(name)
        return {f"data {name}": found} if (found := self._data[name]) else {}


def imported(distribution: str) -> str:
    """The name under which a run's sources hold the version of a distribution that a plug-in
    imports.
    """
    return f"distribution {distribution}"


def reach_of(
    registry: Registry,
    files: Iterable[Path],
    optimizers: Iterable[Optimizer],
    framework: str,
    python: str | None = None,
) -> Reach:
    """What these files of users or plug-ins, and the optimizers' bindings to the framework, lead
    to.

    Functions that are the targets of other frameworks alone are not looked into.
    """
    optimizers = list(optimizers)
    bindings = [
        (name, binding) for optimizer in optimizers for name, binding in optimizer.bindings.items()
    ]
    mine = [binding for name, binding in bindings if name == framework]
    targets = [binding.target for binding in mine]
    paths = [
        path
        for b in mine
        for path in (b.target, b.native_target, b.evaluation)
        if isinstance(path, str)
    ]
    others = [b.target for name, b in bindings if name != framework and b.target not in targets]
    files = list(files)
    modules = [registry.modules[file] for file in files if file in registry.modules]
    return reach(
        [file for file in files if file not in registry.modules],
        [*paths, *modules],
        [place for target in others if (place := _place_of(target))],
        [*_distributions(registry), *_CORE],
        python,
    )


def _distributions(registry: Registry) -> set[str]:
    """Those that the frameworks are made of."""
    return {
        name
        for f in registry.frameworks.values()
        for requires in f.requires
        for name in requires.split("|")
    }


def _place_of(target: object) -> tuple[str, int] | None:
    """File and first line of a function, below functools.cache and the like; None for anything
    else.
    """
    try:
        code = getattr(inspect.unwrap(target), "__code__", None) if callable(target) else None
    except ValueError:
        # It says that it wraps itself.
        return None
    return (code.co_filename, code.co_firstlineno) if code else None


def _versions(framework: Framework, interpreters: Mapping[str, str]) -> dict[str, str] | None:
    """Distribution -> version in the interpreter that this framework runs in; None where it is not
    installed.
    """
    if framework.name not in interpreters:
        return framework.versions()
    return _versions_elsewhere(interpreters[framework.name], framework.requires)


_WHAT_IS_INSTALLED = """
import importlib.metadata, json, sys
installed = {}
for name in sys.argv[1:]:
    try: installed[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError: pass
print(json.dumps(installed))
"""


@cache
def _versions_elsewhere(python: str, requires: tuple[str, ...]) -> dict[str, str] | None:
    """Asks another interpreter; UserError where it cannot be asked or lacks gradrace itself."""
    names = [name for requirement in requires for name in requirement.split("|")]
    try:
        installed = ask(
            [python, "-c", _WHAT_IS_INSTALLED, "gradrace", *names], os.environ, timeout_s=60
        )
    except NoAnswer as error:
        raise UserError(f"--python: {python} cannot be used: {error}") from None
    if installed.pop("gradrace", None) is None:
        raise UserError(
            f"--python: {python} has no gradrace; install it there as well (pip install gradrace)"
        )
    complete = all(
        any(name in installed for name in requirement.split("|")) for requirement in requires
    )
    return {name: str(version) for name, version in installed.items()} if complete else None

"""From a suite to results. Read this file first: `prepare` plans the runs, `execute` does the rest.

`options`: the user's choices. `planner`: digests, from versions (`installed`) and plug-ins' sources
(`reached`). `jobs`: runs that share a process; `lanes`: a program; `paying`: if that pays here.
`store` writes results, `stored` reads them; `population`: the form of runs that were trained
together; `arrays`: numbers. `sharing`: several `drivers` in one folder. `estimate`: how long,
`needs`: how much memory. `progress`: the bar."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ..errors import ExitCode, UserError
from ..executor import (
    Elsewhere,
    Event,
    Finished,
    FinishedTogether,
    Job,
    PlannedRun,
    Single,
    Waiting,
    one_by_one,
)
from ..executor.local import unfinished
from ..executor.make import LOCAL, LateExecutor, Means, make_executor
from ..executor.queue import side_by_side
from ..importpath import ImportPath, Plugin, paths_of
from ..machine import usable_cores
from ..process import check_system
from ..record import FINAL, Status
from ..registry import Registry, load_registry
from ..strict import given
from ..suite import Suite, at_scale, counted, expand, read_suite, with_classes, with_paths
from ..suite.checks import check_paths
from ..suite.origin import check_same
from .drivers.quiet import Quiet
from .jobs import jobs
from .lanes import in_lanes
from .options import Options, check_options, overridden
from .planner import Planner
from .sharing import Sharing, check_agrees
from .store import PlanFile, Store, kept_plan

__all__ = [
    "Options",
    "Outcome",
    "Sweep",
    "execute",
    "keep",
    "matches",
    "prepare",
    "shared_cores",
    "with_logs",
]

Tell = Callable[[str, int], None]
# Seconds between looks at the runs of other drivers.
_LOOK_S = 1.0


@dataclass(frozen=True)
class Sweep:
    """A suite made ready: all its runs in order (plan), and those that the options select."""

    suite: Suite
    registry: Registry
    options: Options
    plan: tuple[PlannedRun, ...]
    selected: tuple[PlannedRun, ...]


@dataclass(frozen=True)
class Outcome:
    """The selected runs after a sweep: counts by status, how many were cached.

    unsound: digest -> the fault of a stored run, which was therefore done anew."""

    counts: Mapping[Status, int]
    cached: int
    unsound: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        """1 if runs failed or timed out, 3 if nothing was measured at all."""
        if self.counts.get("failed", 0) or self.counts.get("timeout", 0):
            return ExitCode.RUNS_FAILED
        if not self.counts.get("ok", 0) and not self.counts.get("diverged", 0):
            return ExitCode.NOTHING_MEASURED
        return ExitCode.OK


def prepare(
    suite: str | Suite,
    plugins: Sequence[Plugin] = (),
    options: Options | None = None,
    tell: Tell = lambda what, count: None,
) -> Sweep:
    """Reads and expands the suite, and selects from it.

    tell: hears now and then the present task and for how many runs it is done, since large suites
    take a while. UserError (exit code 5) if nothing matches the filters."""
    check_system()
    options = options or Options()
    read = read_suite(suite) if isinstance(suite, str) else suite
    read = read if options.scale is None else at_scale(read, options.scale)
    read, paths = with_paths(read)
    registry, own = load_registry([*plugins, *paths]), paths_of(plugins)
    registry = replace(registry, loaded=_with_own(registry.loaded, own))
    check_options(options, registry)
    check_paths(read, [*own, *paths], options.frameworks)
    read = overridden(read, registry, options)
    registry = with_classes(read, registry, options.interpreters)
    planner = Planner(registry, options.interpreters)
    expanded = expand(read, registry, partial(tell, "expanding the suite"))
    specs = [spec for spec in expanded if not options.clock_only or spec.measure != "convergence"]
    single_modes = {name: each.convergence_mode for name, each in registry.frameworks.items()}
    specs = list(in_lanes(specs, options.population, single_modes, options.output))
    told = counted(specs, partial(tell, "looking up versions and sources"))
    planned = tuple(planner.plan(spec) for spec in told)
    index, of = options.shard
    matching = [run for run in planned if matches(run.spec.id, options.keyword)]
    selected = tuple(matching[index - 1 :: of])
    if not selected:
        raise UserError(
            f"{read.name}: none of its {len(planned)} runs matches {given(options.keyword)} in"
            f" shard {index}/{of}; --dry-run lists them",
            ExitCode.NOTHING_MATCHED,
        )
    return Sweep(read, registry, options, planned, selected)


def _with_own(
    loaded: Mapping[str, tuple[str, ...]], own: Sequence[ImportPath]
) -> dict[str, tuple[str, ...]]:
    """What the user's files brought, and the import paths among them."""
    return {**loaded, "optimizers": (*loaded["optimizers"], *(path.name for path in own))}


def matches(name: str, keyword: str) -> bool:
    """Whether the name has every word of `keyword`, and none after a '!', in either case."""
    name = name.lower()
    return all(
        (word[1:] not in name) if word.startswith("!") else word in name
        for word in keyword.lower().split()
    )


def shared_cores(sweep: Sweep) -> str:
    """A sentence if more workers were asked for than have cores of their own, else ""."""
    cores, wanted = len(usable_cores()), sweep.options.workers
    trained = (run.spec for run in sweep.selected if run.spec.measure == "convergence")
    threads = max((spec.threads for spec in trained), default=1)
    if sweep.options.executor != LOCAL or wanted <= side_by_side(cores, threads):
        return ""
    return (
        f"{wanted} workers of {threads} {'thread' if threads == 1 else 'threads'} share {cores}"
        " cores: each is slowed down"
    )


def execute(
    sweep: Sweep, watch: Callable[[Single, int, int], None] = lambda event, done, total: None
) -> Outcome:
    """Does the unfinished runs that no other driver does, and waits for those. `watch` gets every
    event, the number of runs done and of all.

    KeyboardInterrupt passes through after the workers are stopped; finished runs are kept."""
    output, name = sweep.options.output, sweep.suite.name
    with Store(output, name, shared=True) as store, Quiet(output) as quiet:
        _agree(sweep, store)
        records = store.records(sweep.selected)
        finished = {digest: each for digest, each in records.items() if each.status in FINAL}
        counts = Counter(record.status for record in finished.values())
        todo = [run for run in sweep.selected if run.digest not in finished]
        sharing = Sharing(store, quiet, records, sharded=sweep.options.shard[1] > 1)
        done = 0
        for event in _events(sweep, todo, sharing):
            keep(store, event)
            sharing.kept()
            for each in one_by_one(event):
                if isinstance(each, Finished | Elsewhere):
                    done += 1
                    counts[each.record.status] += 1
                watch(each, done, len(todo))
    return Outcome(dict(counts), len(finished), dict(store.unsound))


def _agree(sweep: Sweep, store: Store) -> None:
    """Writes the plan. UserError if the folder is another suite's, or a driver at work has another
    plan."""
    versions, sources = _told(sweep.plan)
    with store.entering(versions, sources) as others:
        before = store.plan()
        if before is None or before.origin is None:
            _check_no_study(store.folder)
        check_same(store.folder, before.origin if before else None, sweep.suite.origin)
        plan = kept_plan(_plan_file(sweep), before)
        check_agrees(plan, before, others, versions, sources)
        if not others:
            store.discard_unfinished()
        store.write_plan(plan)


def _told(plan: Sequence[PlannedRun]) -> tuple[dict[str, str], dict[str, str]]:
    """Versions and sources of all runs, from one of each kind."""
    kinds = {
        (run.spec.framework, run.spec.measure, run.spec.task.data, *_own_names(run)): run
        for run in plan
    }
    versions = {name: of for run in kinds.values() for name, of in run.versions.items()}
    sources = {name: of for run in kinds.values() for name, of in run.sources.items()}
    return versions, sources


def _own_names(run: PlannedRun) -> tuple[str, str]:
    return run.spec.optimizer.name, run.spec.schedule.kind


def keep(store: Store, event: Event) -> None:
    """Writes the results that came with this event."""
    match event:
        case Finished():
            store.write(event.result)
        case FinishedTogether(runs):
            store.write_many([run.result for run in runs])


def _events(sweep: Sweep, todo: Sequence[PlannedRun], sharing: Sharing) -> Iterator[Event]:
    """Does runs that are free, and waits for those that other drivers have, until all are there."""
    means = _means(sweep)
    left = {run.digest: run for run in todo}
    with closing(LateExecutor(lambda: make_executor(means, sharing.claim))) as executor:
        while left:
            taken = sharing.others_have([*left.values()])
            free = [run for digest, run in left.items() if digest not in taken]
            for event in _free_runs(sweep, free, executor, sharing):
                yield event
                for each in one_by_one(event):
                    if isinstance(each, Finished):
                        del left[each.run.digest]
            for run, record in sharing.outcomes([*left.values()]):
                del left[run.digest]
                yield Elsewhere(run, record)
            if left:
                # None is taken if another driver was quicker with its claims just now.
                if taken:
                    yield Waiting(tuple(left.values()), tuple(sorted(set(taken.values()))))
                time.sleep(_LOOK_S)


def _free_runs(
    sweep: Sweep, free: Sequence[PlannedRun], executor: LateExecutor, sharing: Sharing
) -> Iterator[Event]:
    """Skips runs without framework, device, cores or data; gives the others to an executor."""
    here = sweep.options.executor == LOCAL
    planner = Planner(sweep.registry, sweep.options.interpreters, here)
    missing = {run.digest: reason for run in free if (reason := planner.missing(run.spec))}
    lost = tuple(run for run in free if run.digest in missing)
    for run in sharing.claim(Job(lost)).runs if lost else ():
        yield Finished(run, unfinished(run, "skipped", missing[run.digest]))
    runnable = [run for run in free if run.digest not in missing]
    if runnable:
        yield from executor.do(jobs(runnable, sweep.registry.frameworks))


def _means(sweep: Sweep) -> Means:
    options = sweep.options
    return Means(
        *(sweep.registry.plugins, options.interpreters, options.timeout_s, options.workers),
        *(options.executor, options.address),
    )


def with_logs(job: Job, store: Store) -> Job:
    """The job's runs with the paths of their logs: one for all if they are trained together, else
    each in a folder of its own, which is made."""
    if not job.lanes:
        logs = (store.log_file(run.digest).resolve() for run in job.runs)
        return job.of([replace(run, log=log) for run, log in zip(job.runs, logs, strict=True)])
    log = store.shared_log([run.digest for run in job.runs]).resolve()
    return job.of([replace(run, log=log) for run in job.runs])


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

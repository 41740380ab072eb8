"""Works out digests: the versions and sources that each run depends on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .. import data, plan, schedules
from ..executor import PlannedRun
from ..machine import lacks_gpu, usable_cores
from ..plugins.imports import NOT_INSTALLED
from ..registry import Registry
from ..sources import Reach, hashes, is_own
from ..spec import RunSpec, TaskSpec, digest
from ..suite.hyper import refusal
from ..worker import clock, memory, train
from .installed import core_of, packages_of, versions_of
from .reached import distributions, imported, reach_of

# The source that drives the session; it is part of a run's digest.
_LOOPS = {"convergence": train, "timing": clock, "memory": memory}


class Planner:
    """Looks everything up once. interpreters: as of Options. here: whether this machine does
    the runs."""

    def __init__(
        self, registry: Registry, interpreters: Mapping[str, str], here: bool = True
    ) -> None:
        self._registry = registry
        self._interpreters = interpreters
        self._here = here
        self._common: dict[str, dict[str, str]] = {}
        self._sources: dict[tuple[str, ...], dict[str, str]] = {}
        self._reached: dict[tuple[str, ...], Reach] = {}
        self._rates: dict[tuple[str, int], dict[str, str]] = {}
        self._packages: dict[tuple[str, str], dict[str, str]] = {}
        self._data: dict[str, str | None] = {}
        self._missing_data: dict[str, str] = {}
        self._fitting: set[TaskSpec] = set()

    def plan(self, spec: RunSpec) -> PlannedRun:
        """The run with its digest, without a log. UserError if a user's schedule or data fail."""
        own = versions_of(self._registry.frameworks[spec.framework], self._interpreters)
        found, common = self._reach_of(spec), self._core_of(spec)
        versions = {**common, **found.versions, **(own or {"not installed": spec.framework})}
        versions |= self._packages_of(spec)
        listed = {*common, *distributions(self._registry)}
        sources = {**self._sources_of(spec), **found.sources}
        sources |= {
            imported(n): version for n, version in found.versions.items() if n not in listed
        }
        sources |= {**self._data_of(spec), **self._rates_of(spec)}
        return PlannedRun(spec, digest(spec, versions, sources), versions, sources, Path())

    def missing(self, spec: RunSpec) -> str | None:
        """The framework, package, device, cores or data that the run needs and this machine lacks;
        if it is done elsewhere, only framework and packages, whose versions a digest needs."""
        framework = self._registry.frameworks[spec.framework]
        if versions_of(framework, self._interpreters) is None:
            return (
                f"not installed: {' and '.join(framework.requires)} (pip install"
                f" gradrace[{framework.name}])"
            )
        if reason := self._without_packages(spec) or self._refused(spec):
            return reason
        if not self._here:
            return None
        if spec.device == "gpu" and lacks_gpu():
            return "this machine has no GPU"
        usable = len(usable_cores())
        # Threads that share a core would be timed while they wait; training may share.
        if spec.measure != "convergence" and spec.threads > usable:
            return (
                f"{spec.threads} threads need as many cores to be pinned to; {usable} can be used"
                " here"
            )
        name = spec.task.data
        if name not in self._missing_data:
            self._missing_data[name] = data.missing(name)
        return self._missing_data[name] or None

    def _refused(self, spec: RunSpec) -> str:
        """Why the optimizer's class cannot be had, or cannot take the run's hyperparameters."""
        own = spec.optimizer
        given = [(own.name, own.hyper), *((group.name, group.hyper) for group in own.groups)]
        for name, hyper in given:
            optimizer = self._registry.optimizers[name]
            if optimizer.absent:
                return optimizer.absent
            if (
                own.rule == "native"
                and hyper
                and (why := refusal(optimizer, spec.framework, hyper))
            ):
                return why
        return ""

    def _without_packages(self, spec: RunSpec) -> str:
        """The packages that ship the optimizer's class and are not there."""
        absent = [n for n, found in self._packages_of(spec).items() if found == NOT_INSTALLED]
        own = is_own(self._registry.optimizer_files[spec.optimizer.name])
        wanted = "gradrace[optimizers]" if own else " ".join(absent)
        return f"not installed: {' and '.join(absent)} (pip install {wanted})" if absent else ""

    def _packages_of(self, spec: RunSpec) -> dict[str, str]:
        """Of the optimizer's class, if another package than the framework's ships it."""
        key = spec.framework, spec.optimizer.name
        if key not in self._packages:
            binding = self._registry.optimizers[spec.optimizer.name].bindings.get(spec.framework)
            python = self._interpreters.get(spec.framework)
            self._packages[key] = packages_of(binding, python) if binding else {}
        return self._packages[key]

    def _core_of(self, spec: RunSpec) -> dict[str, str]:
        name = spec.framework
        if name not in self._common:
            self._common[name] = core_of(self._registry.frameworks[name], self._interpreters)
        return self._common[name]

    def _sources_of(self, spec: RunSpec) -> dict[str, str]:
        """Of gradrace's own files."""
        key = (spec.measure, spec.framework, *spec.optimizer.names, spec.schedule.kind)
        if key not in self._sources:
            files = [Path(str(module.__file__)) for module in (_LOOPS[spec.measure], plan)]
            files += [file for file in self._files_of(spec) if is_own(file)]
            self._sources[key] = hashes(files)
        return self._sources[key]

    def _reach_of(self, spec: RunSpec) -> Reach:
        """Of the files of users and plug-ins."""
        key = (spec.framework, *spec.optimizer.names, spec.schedule.kind)
        if key not in self._reached:
            files = [file for file in self._files_of(spec) if not is_own(file)]
            optimizers = [self._registry.optimizers[name] for name in spec.optimizer.names]
            python = self._interpreters.get(spec.framework)
            self._reached[key] = (
                reach_of(self._registry, files, optimizers, spec.framework, python)
                if files or any(each.imported for each in optimizers)
                else Reach()
            )
        return self._reached[key]

    def _files_of(self, spec: RunSpec) -> list[Path]:
        files = (
            self._registry.frameworks[spec.framework].file,
            *(self._registry.optimizer_files[name] for name in spec.optimizer.names),
            self._registry.schedule_files[spec.schedule.kind],
        )
        return [file if is_own(file) else file.resolve() for file in files]

    def _rates_of(self, spec: RunSpec) -> dict[str, str]:
        """A fingerprint of a user's schedule: in a worker it must give the same rates."""
        if is_own(self._registry.schedule_files[spec.schedule.kind]):
            return {}
        key = (spec.schedule.model_dump_json(), spec.steps)
        if key not in self._rates:
            rates = schedules.table(spec.schedule, spec.steps, self._registry.schedules)
            self._rates[key] = schedules.fingerprint(spec.schedule, rates)
        return self._rates[key]

    def _data_of(self, spec: RunSpec) -> dict[str, str]:
        """The content of a user's data. UserError if the task cannot be trained on them."""
        name = spec.task.data
        if name not in self._data:
            self._data[name] = data.content(name)
        if self._data[name] and spec.task not in self._fitting:
            data.check_fit(spec.task)
            self._fitting.add(spec.task)
        return {f"data {name}": found} if (found := self._data[name]) else {}

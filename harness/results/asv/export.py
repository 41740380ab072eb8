"""Stored results as files of asv, without timing anything again: asv's `show`, `compare` and
`publish` then read them.

Everything is written by asv's own classes. A suite becomes the benchmarks
`gradrace.<suite>.<figure>`, which asv's own runs never write, so that the two live side by side. An
environment of asv's is one set of versions on one device with one number of threads: it gets a file
of its own, and an upgrade of one framework leaves the others' histories whole."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import ExitCode, UserError, nearest
from ...jsonfile import writing
from ...machine import this_machine
from ...record import Machine, RunRecord
from ...spec import Measure, RunSpec, number_text
from ...sweep.store import suites_in
from .. import frame
from ..frame import Frames
from .cells import FIGURES, Cell, cells, mode_of, version

_MACHINE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,99}")


class Exported(NamedTuple):
    """The files of results that were written, for which commit, and how many planned runs have no
    result yet.
    """

    files: tuple[Path, ...]
    commit: str
    unfinished: int


class _Environment(NamedTuple):
    """One set of versions, on one device, with one number of threads."""

    versions: tuple[tuple[str, str], ...]
    device: str
    threads: int


class _Commit(NamedTuple):
    hash: str
    date_ms: int


class _Axis(NamedTuple):
    """A parameter of asv's benchmarks."""

    name: str
    of: Callable[[RunSpec], str]


def export(
    output: Path,
    suites: Sequence[str],
    to: Path,
    commit: str = "HEAD",
    repo: Path = Path(),
    machine: str | None = None,
) -> Exported:
    """Writes the results of these suites, all by default, as those of `commit` into `to`, a results
    folder of asv's.

    What `to` holds is kept: other benchmarks, commits and environments. `machine` is asv's name for
    the machine, by default the one that asv gives to this machine. UserError where there is nothing
    to export, for results of several machines, for a repository or commit that is not there, and
    for a folder that is not asv's."""
    _need_asv()
    frames = frame.load(output, *_known(output, suites))
    done = [record for record in frames.records.values() if record.status != "skipped"]
    if not done:
        names = ", ".join(frames.plans)
        raise UserError(
            f"{output}: every run of {names} was skipped; nothing to export",
            ExitCode.NOTHING_MEASURED,
        )
    measured_on = _one_machine(output, done)
    at = _resolve(repo, commit)
    folder = _Folder(to)
    described = folder.machine(measured_on, machine)
    tables = [_Table(frames, suite) for suite in frames.plans]
    folder.describe(
        {name: benchmark for table in tables for name, benchmark in table.benchmarks.items()}
    )
    files = [
        folder.write(
            environment,
            at,
            described,
            itertools.chain.from_iterable(table.results(runs) for table in tables),
        )
        for environment, runs in _environments(done).items()
    ]
    planned = {digest for plan in frames.plans.values() for digest in plan.digests}
    return Exported(tuple(files), at.hash, len(planned - set(frames.records)))


def _need_asv() -> None:
    try:
        import asv.results  # noqa: F401
    except ImportError:
        raise UserError(
            "asv is not installed; its files are written by its own code: pip install gradrace[asv]"
        ) from None


def _known(output: Path, suites: Sequence[str]) -> tuple[str, ...]:
    there = suites_in(output)
    for suite in suites:
        if suite not in there:
            raise UserError(f"{output}: no results of a suite {suite!r}{nearest(suite, there)}")
    return tuple(dict.fromkeys(suites)) or there


def _one_machine(output: Path, records: Sequence[RunRecord]) -> Machine:
    """The machine of all these records; each worker's own Python aside."""
    found = {record.machine.model_copy(update={"python": ""}): None for record in records}
    if len(found) > 1:
        seen = "; ".join(f"{m.processor}, {m.logical_cores} cores, {m.system}" for m in found)
        raise UserError(
            f"{output}: results of {len(found)} machines ({seen}), and a file of asv's is of one;"
            " run the suites again on one machine, or name the suites that are of one"
        )
    return next(iter(found))


def _resolve(repo: Path, commit: str) -> _Commit:
    """Full hash, and the author's date as asv takes it."""
    command = [
        "git",
        "-C",
        str(repo),
        "show",
        "--no-patch",
        "--format=%H %at",
        "--end-of-options",
        f"{commit}^{{commit}}",
        "--",
    ]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except FileNotFoundError:
        raise UserError(
            "git is not installed; it looks up the commit that results are filed under"
        ) from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()
        raise UserError(
            f"--commit {commit}: no such commit in {repo.resolve()}"
            f" ({said[0] if said else 'git failed'}); --repo names the repository"
        ) from None
    return _Commit(found[0], int(found[1]) * 1000)


def _environments(records: Sequence[RunRecord]) -> dict[_Environment, set[str]]:
    """The digests of each environment. A failed run knows fewer versions than one that got to ask
    its framework: it belongs to the environment that agrees with what it knows."""
    found: dict[_Environment, set[str]] = {}
    for record in sorted(records, key=lambda r: -len(r.versions)):
        spec, known = record.spec, set(record.versions.items())
        own = _Environment(tuple(sorted(known)), spec.device, spec.threads)
        same = (e for e in found if e[1:] == own[1:] and known <= set(e.versions))
        found.setdefault(next(same, own), set()).add(record.digest)
    return found


class _Table:
    """A suite as benchmarks of asv's."""

    def __init__(self, frames: Frames, suite: str) -> None:
        self._frames = frames
        planned = [
            frames.records[digest]
            for digest in frames.plans[suite].digests
            if digest in frames.records
        ]
        self._specs = {record.digest: record.spec for record in planned}
        # Of no environment, yet what a cell of any lacks.
        self._skipped = {record.digest for record in planned if record.status == "skipped"}
        self._axes = {
            measure: self._axes_of(measure)
            for measure in {spec.measure for spec in self._specs.values()}
        }
        self._names = {
            f"gradrace.{suite}.{name}": name
            for name, f in FIGURES.items()
            if f.measure in self._axes
        }
        self.benchmarks = {
            full: self._description(full, name) for full, name in self._names.items()
        }

    def results(
        self, members: set[str]
    ) -> Iterator[tuple[Mapping[str, Any], Any, datetime, float]]:
        """(benchmark, asv's BenchmarkResult, when it began in UTC, seconds it took) of the runs
        with these digests.
        """
        for full, name in self._names.items():
            benchmark, measure = self.benchmarks[full], FIGURES[name].measure
            specs = {
                d: spec
                for d, spec in self._specs.items()
                if spec.measure == measure and d in members | self._skipped
            }
            records = [self._frames.records[digest] for digest in specs if digest in members]
            if records:
                found = cells(specs, self._frames, self._key(measure))[name]
                began = min(datetime.fromisoformat(record.started_at) for record in records)
                yield (
                    benchmark,
                    _result(benchmark["params"], found),
                    began,
                    sum(record.wall_s for record in records),
                )

    def _axes_of(self, measure: Measure) -> tuple[_Axis, ...]:
        """Task, framework with mode, and optimizer; schedules, variations and whatever else tells
        two cells apart.

        UserError if nothing that is known here does.
        """
        specs = [spec for spec in self._specs.values() if spec.measure == measure]
        always = (
            _Axis("task", lambda spec: spec.task.name),
            _Axis("mode", mode_of),
            _Axis("optimizer", lambda spec: spec.optimizer.name),
        )
        schedule = _Axis("schedule", _schedule)
        settled = len({(*_values(always, s), _schedule(s)) for s in specs}) == len(
            {_values(always, s) for s in specs}
        )
        varied = any(_variation(spec) for spec in specs)
        axes = (
            *always,
            *(() if settled else (schedule,)),
            *((_Axis("variation", _variation),) if varied else ()),
        )
        for axis in _FURTHER:
            if any(len({axis.of(spec) for spec in alike}) > 1 for alike in _sharing(axes, specs)):
                axes = (*axes, axis)
        for one, other in (alike[:2] for alike in _sharing(axes, specs)):
            raise UserError(
                f"asv would have one cell for two: {one.id} and {other.id}; export their suites"
                " apart"
            )
        return axes

    def _key(self, measure: Measure) -> Callable[[RunSpec], tuple[str, ...]]:
        return lambda spec: tuple(repr(value) for value in _values(self._axes[measure], spec))

    def _description(self, full: str, name: str) -> dict[str, Any]:
        figure = FIGURES[name]
        specs = [spec for spec in self._specs.values() if spec.measure == figure.measure]
        axes = self._axes[figure.measure]
        return {
            "name": full,
            "pretty_name": f"{full} ({figure.title})",
            "code": figure.text,
            "type": "track",
            "unit": figure.unit,
            "version": version(figure, specs),
            "param_names": [axis.name for axis in axes],
            "params": [list(dict.fromkeys(repr(axis.of(spec)) for spec in specs)) for axis in axes],
            "setup_cache_key": None,
            "timeout": None,
        }


# Looked at in this order if cells share their parameters otherwise.
_FURTHER = (
    _Axis("rule", lambda spec: spec.optimizer.rule),
    _Axis(
        "hyper",
        lambda spec: ",".join(f"{k}={number_text(v)}" for k, v in spec.optimizer.hyper.items()),
    ),
    _Axis("batch_size", lambda spec: str(spec.task.batch_size)),
    _Axis("dtype", lambda spec: spec.dtype),
    _Axis("input", lambda spec: spec.input),
)


def _sharing(axes: Sequence[_Axis], specs: Iterable[RunSpec]) -> list[list[RunSpec]]:
    """Cells that share all these parameters, and one environment: a spec of each, of those that are
    two or more.
    """
    found: dict[tuple[object, ...], dict[str, RunSpec]] = {}
    for spec in specs:
        cell = spec.model_copy(update={"seed": 0, "launch": 0, "variations": {}})
        alike = found.setdefault((*_values(axes, spec), spec.device, spec.threads), {})
        alike.setdefault(cell.model_dump_json(), spec)
    return [list(alike.values()) for alike in found.values() if len(alike) > 1]


def _values(axes: Iterable[_Axis], spec: RunSpec) -> tuple[str, ...]:
    return tuple(axis.of(spec) for axis in axes)


def _schedule(spec: RunSpec) -> str:
    return spec.schedule.label


def _variation(spec: RunSpec) -> str:
    """What the suite varies, without what is part of the environment."""
    return ",".join(
        f"{key}={value}"
        for key, value in spec.variations.items()
        if key not in ("device", "threads")
    )


def _result(params: Sequence[Sequence[str]], found: Mapping[tuple[str, ...], Cell]) -> Any:
    """One value a combination of parameters: a number, NaN for skipped, None for failed; samples
    where there are any.
    """
    from asv.runner import BenchmarkResult

    row = [found.get(key, Cell("skipped")) for key in itertools.product(*params)]
    samples = [list(cell.value) if isinstance(cell.value, tuple) else None for cell in row]
    # asv takes the median of the samples itself, in place of a value that must only not be missing.
    values = [
        None if cell.status == "failed" else 0.0 if isinstance(cell.value, tuple) else cell.value
        for cell in row
    ]
    return BenchmarkResult(
        values, samples, [1 if sample else None for sample in samples], 0, "", None
    )


class _Folder:
    """A results folder of asv's. UserError where it is something else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Any] = {}
        if path.exists() and not path.is_dir():
            raise UserError(f"{path}: not a folder; --to names asv's results_dir")
        if (path / "benchmarks.json").exists():
            self._known = self._read(path / "benchmarks.json", _benchmarks_version())
        elif path.exists() and any(path.iterdir()) and not any(path.glob("*/machine.json")):
            raise UserError(
                f"{path}: not a results folder of asv's (no benchmarks.json); --to names another"
            )

    def machine(self, measured_on: Machine, name: str | None) -> dict[str, str]:
        """What asv knows of the machine, from its file there or written anew. UserError for another
        machine's name.
        """
        from asv.machine import Machine as AsvMachine

        here = measured_on.model_copy(update={"python": this_machine().python}) == this_machine()
        if name is None and not here:
            raise UserError(
                f"these results are of another machine ({measured_on.processor}); --machine gives"
                " it a name in asv"
            )
        if name is not None and not _MACHINE.fullmatch(name):
            raise UserError(
                f"--machine {name!r}: the name becomes a folder's: letters, digits, spaces, '-',"
                " '_' and '.' only"
            )
        described = _as_asv(measured_on, here, name)
        file = self._no_link(self._path / described["machine"] / "machine.json")
        if file.exists():
            kept = self._read(file, AsvMachine.api_version)
            if kept.get("num_cpu") != described["num_cpu"]:
                raise UserError(
                    f"{file}: describes a machine of {kept.get('num_cpu')} cores, the results are"
                    f" of one with {described['num_cpu']} ({measured_on.processor}); --machine"
                    " gives it another name"
                )
            return kept
        new = AsvMachine()
        new.__dict__.update(described)
        with writing(file):
            new.save(str(self._path))
        return described

    def describe(self, benchmarks: Mapping[str, Mapping[str, Any]]) -> None:
        """Adds these to benchmarks.json, in place of those of their names."""
        from asv.util import write_json

        file = self._no_link(self._path / "benchmarks.json")
        with writing(file):
            write_json(str(file), {**self._known, **benchmarks}, _benchmarks_version())

    def write(
        self,
        environment: _Environment,
        at: _Commit,
        machine: Mapping[str, str],
        results: Iterable[tuple[Mapping[str, Any], Any, datetime, float]],
    ) -> Path:
        """The results of one environment at one commit, beside what its file holds of other suites."""
        from asv.environment import get_env_name
        from asv.results import Results
        from asv.util import UserError as AsvError

        libraries = dict(environment.versions)
        python = libraries.pop("python", "")
        params = {
            **machine,
            "python": python,
            **libraries,
            "device": environment.device,
            "threads": str(environment.threads),
        }
        name = (
            get_env_name("gradrace", python, libraries, {})
            + f"-{environment.device}-threads{environment.threads}"
        )
        kept = Results(params, libraries, at.hash, at.date_ms, python, name, {})
        file = self._no_link(self._path / kept._filename)
        try:
            kept.load_data(str(self._path))
        except (AsvError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{file}: not a result file of asv's ({error}); move it away") from None
        for benchmark, result, began, seconds in results:
            kept.add_result(benchmark, result, began, seconds, record_samples=True)
        with writing(file):
            kept.save(str(self._path))
        return file

    def _no_link(self, file: Path) -> Path:
        """The file; UserError if it, or the folder of its machine, is a link: asv would write to
        where that leads.
        """
        for each in (file, *({file.parent} - {self._path})):
            if each.is_symlink():
                raise UserError(
                    f"{each}: a link, through which nothing is written; remove it, or name another"
                    " folder with --to"
                )
        return file

    def _read(self, file: Path, api_version: int) -> dict[str, Any]:
        from asv.util import UserError as AsvError
        from asv.util import load_json

        try:
            content: dict[str, Any] = load_json(str(file), api_version)
        except (AsvError, OSError, TypeError) as error:
            raise UserError(
                f"{file}: not a file that this asv reads ({error}); --to names asv's results_dir"
            ) from None
        return content


def _benchmarks_version() -> int:
    from asv.benchmarks import Benchmarks

    number: int = Benchmarks.api_version
    return number


def _as_asv(measured_on: Machine, here: bool, name: str | None) -> dict[str, str]:
    """What asv writes of a machine; of this one in its own words, under its own name."""
    from asv.machine import Machine as AsvMachine
    from asv.machine import MachineCollection
    from asv.util import UserError as AsvError

    if not here:
        return {
            "machine": str(name),
            "os": measured_on.system,
            "arch": "",
            "cpu": measured_on.processor,
            "num_cpu": str(measured_on.logical_cores),
            "ram": str(measured_on.memory_bytes),
        }
    try:
        known: dict[str, str] = dict(MachineCollection.load(AsvMachine.get_unique_machine_name()))
    except (AsvError, OSError):
        known = AsvMachine.get_defaults()
    return {**known, "machine": name} if name else known

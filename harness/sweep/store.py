"""Results on disk: a folder per run or population, written once, resumable after a kill.

    <output>/runs/<suite>/plan.json          the suite's latest list of runs: title, question,
                                             digests in order
    <output>/runs/<suite>/<digest>/run.json  written last; a folder without it is unfinished
    <output>/runs/<suite>/<digest>/          curve.parquet (norms.parquet) or steps.parquet, log.txt
    <output>/runs/<suite>/population-.../    the same of many runs: see population.py
    <output>/runs/<suite>/{drivers,claims}/  of those that write now: see sweep.drivers

Files appear under their names by os.replace only, so what can be read is whole. Nothing is ever
unpickled. A run is finished only if its record is its own and all its arrays are there. Everybody
else reads through `stored.Stored`, or the functions below, and need not know where a run lies."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from ..errors import UserError, nearest
from ..jsonfile import (
    discard_partials,
    read_model,
    reading,
    replace_text,
    writing,
)
from ..record import FINAL, SCHEMA, RunRecord, RunResult
from ..spec import Digest, Frozen
from ..suite.origin import Origin
from ..turns import turn
from . import population
from .arrays import curve_columns, write_parquet
from .drivers.claims import Claims
from .drivers.heartbeat import Driver, DriverFile
from .stored import DIGEST, Stored

if TYPE_CHECKING:
    from ..executor import PlannedRun

_SHARED_LOG = re.compile(r"\.log-[0-9a-f]{24}(-[0-9a-f]{8})?\.txt")
SUITE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")


class PlanFile(Frozen):
    """The latest expansion of a suite, without filters: the digests of its report, in order.

    clocked: those of timing and memory runs; clock_only: whether these come from `gradrace time`.
    origin: None in plans of earlier versions and of studies."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    suite: str
    title: str
    question: str
    digests: tuple[Digest, ...]
    clocked: tuple[Digest, ...] = ()
    clock_only: bool = False
    origin: Origin | None = None


def kept_plan(new: PlanFile, old: PlanFile | None) -> PlanFile:
    """The new plan, plus the old plan's runs that it does not replace.

    `gradrace time` keeps the trained runs. `gradrace run` of a suite that times nothing keeps the
    runs of `gradrace time`. Timing anew replaces all earlier timing: launches of two designs are
    not launches of one cell."""
    if old is None:
        return new
    if new.clock_only:
        trained = tuple(digest for digest in old.digests if digest not in old.clocked)
        return new.model_copy(update={"digests": (*trained, *new.digests)})
    if old.clock_only and not new.clocked:
        kept = {"digests": (*new.digests, *old.clocked), "clocked": old.clocked, "clock_only": True}
        return new.model_copy(update=kept)
    return new


class Store:
    """The folder of one suite, open for writing.

    shared: other drivers may write there as well, each what it has claimed; else UserError if
    another one does. Who shares enters by `entering`."""

    def __init__(self, output: Path, suite: str, shared: bool = False) -> None:
        self.folder = suite_folder(output, suite)
        self._stored = Stored(self.folder)
        # Digest -> fault of the stored run, see Stored.problem_of; found by `kept`.
        self.unsound: dict[str, str] = {}
        self._logs: dict[str, _SharedLog] = {}
        self._shared = shared
        self.driver = Driver(self.folder, alone=not shared)
        self.claims = Claims(self.folder, self.driver)

    def __enter__(self) -> Self:
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.driver.register()
            try:
                if not self._shared:
                    with self.entering():
                        pass
            except BaseException:
                self._leave()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for log in self._logs.values():
            log.file.unlink(missing_ok=True)
        self._leave()

    def _leave(self) -> None:
        with suppress(OSError):
            self.claims.leave()
        with suppress(OSError):
            self.driver.leave()

    @contextmanager
    def entering(
        self, versions: Mapping[str, str] | None = None, sources: Mapping[str, str] | None = None
    ) -> Iterator[tuple[DriverFile, ...]]:
        """One driver at a time: inside, it agrees upon the plan with those that write already.

        Gives these; if there are none, what dead ones left is removed. versions, sources: see
        DriverFile. UserError if one of them, or this one, must be alone."""
        with writing(self.folder), turn(self.folder / "plan.json"):
            living = self.driver.living()
            others = tuple(other for other in living.values() if other.entered)
            if others and (not self._shared or any(other.alone for other in others)):
                raise UserError(
                    f"{self.folder}: another gradrace is writing there ({others[0].named}); wait,"
                    " or use --output"
                )
            if not others:
                self._sweep_up(living)
            yield others
            self.driver.enter(versions or {}, sources or {})

    def _sweep_up(self, living: Collection[str]) -> None:
        """Removes what dead drivers left, but for unfinished runs. living: not entered yet."""
        self.driver.sweep_up(living)
        self.claims.sweep_up()
        discard_partials(self.folder / "plan.json")
        for each in self.folder.iterdir():
            if _SHARED_LOG.fullmatch(each.name):
                each.unlink()

    def plan(self) -> PlanFile | None:
        """The plan that is there. UserError if it is not ours."""
        file = self.folder / "plan.json"
        return _read_plan(file) if file.exists() else None

    def write_plan(self, plan: PlanFile) -> None:
        """Replaces the suite's plan. An equal one stays untouched: a report may depend on it."""
        text = json.dumps(plan.model_dump(mode="json", by_alias=True), indent=1) + "\n"
        file = self.folder / "plan.json"
        with writing(self.folder):
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                replace_text(file, text)

    def log_file(self, digest: str) -> Path:
        """The file for the worker's standard output and error; makes its folder."""
        with writing(self.folder):
            log = self._own_folder(digest) / "log.txt"
            # A stranger's folder of results may hold a link to a file of ours, or a waiting pipe.
            if log.is_symlink() or (log.exists() and not log.is_file()):
                log.unlink()
        return log

    def shared_log(self, digests: Sequence[str]) -> Path:
        """The file for the output of a worker that trains all these runs together: `write` and
        `write_many` keep what was added since the last time. Removed at the end.

        A folder a run for its log would cost more than the rest of a run."""
        own = self.driver.name.rpartition("-")[2]
        log = _SharedLog(self.folder / f".log-{digests[0]}-{own}.txt")
        with writing(self.folder):
            log.file.unlink(missing_ok=True)
        self._logs.update(dict.fromkeys(digests, log))
        return log.file

    def _own_folder(self, digest: str) -> Path:
        """The folder of a run. Makes it, and replaces a link of that name."""
        folder = self._unlinked(digest)
        folder.mkdir(exist_ok=True)
        return folder

    def _unlinked(self, digest: str) -> Path:
        """The folder of a run, which may not exist. Removes a link of that name."""
        folder = self.folder / digest
        if folder.is_symlink():
            folder.unlink()
        return folder

    def write(self, result: RunResult) -> None:
        """Keeps one finished run: arrays first, run.json last. An earlier try leaves a log.

        Not if another driver has taken the run over, which took this one for dead."""
        folder = self.folder / result.record.digest
        if self.claims.lost(result.record.digest):
            return
        columns = {
            "curve": result.curve and curve_columns(result.curve),
            "steps": result.blocks and asdict(result.blocks),
            "norms": result.norms and asdict(result.norms),
        }
        with writing(folder):
            self._own_folder(result.record.digest)
            (folder / "run.json").unlink(missing_ok=True)
            for name, arrays in columns.items():
                file = folder / f"{name}.parquet"
                if arrays:
                    write_parquet(file, arrays)
                else:
                    file.unlink(missing_ok=True)
            log = folder / "log.txt"
            if result.record.digest in self._logs and (text := self._shared_text([result])):
                with self.log_file(result.record.digest).open("ab") as opened:
                    opened.write(text)
            if log.exists() and log.stat().st_size == 0:
                log.unlink()
            found = {"artefacts": tuple(sorted(_artefacts(folder))), "driver": self.driver.name}
            record = result.record.model_copy(update=found)
            replace_text(folder / "run.json", json.dumps(record.to_json(), indent=1) + "\n")
            self.claims.release([record.digest])

    def write_many(self, results: Sequence[RunResult]) -> None:
        """Keeps finished runs in one folder: all of them, or none if this is cut off.

        What there was of these runs in folders of their own goes; their logs become one. Runs that
        another driver has taken over are left out: see `write`. ValueError if two results are of
        one run."""
        results = [each for each in results if not self.claims.lost(each.record.digest)]
        digests = dict.fromkeys(result.record.digest for result in results)
        if len(digests) < len(results):
            raise ValueError("two results of one run")
        if not results:
            return
        folder = population.new_folder(self.folder, self._stored.populations())
        with writing(folder):
            own = [each for each in map(self._unlinked, digests) if each.is_dir()]
            folder.mkdir()
            log = b"".join([*map(_log_in, own), self._shared_text(results)])
            for each in own:
                # It would count before the population; a run with a sound one is not done again.
                (each / "run.json").unlink(missing_ok=True)
            stamped = [_stamped(result, self.driver.name) for result in results]
            self._stored.added(population.write(folder, stamped, log))
            for each in own:
                _remove(each)
            self.claims.release(digests)

    def _shared_text(self, results: Sequence[RunResult]) -> bytes:
        """What was added to the logs that these runs share with others."""
        found = (self._logs.get(result.record.digest) for result in results)
        return b"".join(log.taken() for log in dict.fromkeys(found) if log)

    def kept(self, run: PlannedRun) -> RunRecord | None:
        """The stored record of this run; None if there is none, or an unsound one.

        UserError on a file that is not a readable record."""
        found = self._stored.find(run.digest)
        if found is None:
            return None
        if problem := self._stored.problem_of(found, run):
            self.unsound[run.digest] = problem
            return None
        return found.record

    def records(self, runs: Iterable[PlannedRun]) -> dict[str, RunRecord]:
        """By digest, the sound records of those of these runs that are there."""
        found = ((run.digest, self.kept(run)) for run in runs)
        return {digest: record for digest, record in found if record}

    def finished(self, runs: Iterable[PlannedRun]) -> dict[str, RunRecord]:
        """By digest, the records of runs that need not be run again."""
        found = self.records(runs)
        return {digest: record for digest, record in found.items() if record.status in FINAL}

    def look_again(self, runs: Iterable[PlannedRun]) -> None:
        """Other drivers may have kept some of these runs since the last look."""
        self._stored.look_again([run.digest for run in runs])

    def discard_unfinished(self) -> None:
        """Removes folders of runs and populations that a kill cut off."""
        last = {DIGEST: "run.json", population.NAME: population.RECORDS}
        with writing(self.folder):
            for folder in self.folder.iterdir():
                for name, file in last.items():
                    if name.fullmatch(folder.name) and not (folder / file).exists():
                        _remove(folder)


class _SharedLog:
    """The output of a worker that trains runs together, and how much of it is kept already."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._kept = 0

    def taken(self) -> bytes:
        """What was added since the last call; nothing if there is no such file."""
        text = _content(self.file, self._kept)
        self._kept += len(text)
        return text


def _stamped(result: RunResult, driver: str) -> RunResult:
    return replace(result, record=result.record.model_copy(update={"driver": driver}))


def _remove(folder: Path) -> None:
    """A folder with all that is in it, or a link; a file stays."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        shutil.rmtree(folder)


def _log_in(folder: Path) -> bytes:
    return _content(folder / "log.txt")


def _content(file: Path, begin: int = 0) -> bytes:
    """The file from there on; nothing if there is none, or no regular file."""
    try:
        with reading(file) as opened:
            opened.seek(begin)
            return opened.read()
    except UserError:
        return b""


def suite_folder(output: Path, suite: str) -> Path:
    """The folder of a suite's results. UserError: a name that could leave the results folder."""
    if not SUITE_NAME.fullmatch(suite):
        raise UserError(
            f"{suite!r} cannot name a suite: letters, digits, '-' and '_' only, 80 at most"
        )
    return output / "runs" / suite


def suites_in(output: Path) -> tuple[str, ...]:
    """Names of the suites with results in this folder. UserError if there are none."""
    names = _suites_in(output)
    if not names:
        raise UserError(
            f"{output}: no results there (expected {output / 'runs'}/<suite>/);"
            " make some with `gradrace run`"
        )
    return names


def _suites_in(output: Path) -> tuple[str, ...]:
    runs = output / "runs"
    return tuple(sorted(p.parent.name for p in runs.glob("*/plan.json"))) if runs.is_dir() else ()


def read_plan(output: Path, suite: str) -> PlanFile:
    """The suite's latest expansion. UserError if it is missing or not ours."""
    file = suite_folder(output, suite) / "plan.json"
    if not (file.exists() or file.is_symlink()):
        known = _suites_in(output)
        hint = nearest(suite, known) if known else f" (expected {file.parent}/)"
        raise UserError(f"{output}: no results of suite {suite!r}{hint}")
    return _read_plan(file)


def _read_plan(file: Path) -> PlanFile:
    return read_model(PlanFile, file, SCHEMA, "a gradrace plan", "move it away")


def read_records(output: Path, suite: str) -> list[RunRecord]:
    """The records of the suite's plan that exist, in its order. UserError on an unsound one."""
    return [kept.record for kept in stored(output, suite).sound(read_plan(output, suite).digests)]


def read_arrays(output: Path, suite: str, digest: str, name: str) -> Mapping[str, Any] | None:
    """See Stored.arrays; who asks for many runs keeps a Stored."""
    return stored(output, suite).arrays(digest, name)


def read_log(output: Path, suite: str, digest: str, most: int) -> str:
    """See Stored.log; who asks for many runs keeps a Stored."""
    return stored(output, suite).log(digest, most)


def stored(output: Path, suite: str) -> Stored:
    """The runs that this folder of results holds of a suite. UserError: see `suite_folder`."""
    return Stored(suite_folder(output, suite))


def _artefacts(folder: Path) -> Iterator[str]:
    known = ("curve.parquet", "norms.parquet", "steps.parquet", "log.txt")
    return (p.name for p in folder.iterdir() if p.name in known)

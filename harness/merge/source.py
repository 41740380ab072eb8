"""One suite in one folder, read and verified whole: records, digests, arrays. Nothing is written.

As in `sweep.stored`, a run's own folder counts before all populations, and the newest population
before the others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..jsonfile import read_text, reading
from ..record import FINAL, RunRecord
from ..spec import is_digest_of
from ..sweep import population
from ..sweep.arrays import MEND, read_parquet
from ..sweep.population import ARRAYS, RECORDS, Population
from ..sweep.store import PlanFile, read_plan, suite_folder
from ..sweep.stored import DIGEST, Kept, Stored, read_record
from ..tune.study import StudyFile, read_journal, read_study

if TYPE_CHECKING:
    import pyarrow

_MOST_STUDY_BYTES = 2**26


@dataclass(frozen=True, eq=False)
class Found:
    """A stored run. output: the results folder, the `number`-th; 0 is the target. population: the
    one that it lies in, if it has no folder of its own."""

    output: Path
    number: int
    kept: Kept
    population: Population | None = None

    @property
    def record(self) -> RunRecord:
        return self.kept.record

    @property
    def is_own(self) -> bool:
        """Whether it is the target's own."""
        return self.number == 0

    @property
    def is_finished(self) -> bool:
        return self.record.status in FINAL

    @property
    def is_clocked(self) -> bool:
        """Whether it is a timing or memory run, whose numbers are those of its machine."""
        return self.record.spec.measure != "convergence"


@dataclass(frozen=True)
class Study:
    """What `gradrace tune` keeps beside its runs: study.json as text, and its journal."""

    request: StudyFile
    text: str
    journal: bytes


@dataclass(frozen=True, eq=False)
class Source:
    """All results of a suite in one results folder. plan: None in a target that a kill cut off.

    unsound: files that cannot be trusted, with the reasons; their runs are not among `runs`."""

    output: Path
    plan: PlanFile | None
    study: Study | None
    runs: Mapping[str, Found]
    unsound: tuple[str, ...]

    @property
    def planned(self) -> tuple[str, ...]:
        """The digests of the suite's table, in its order."""
        return self.plan.digests if self.plan else tuple(self.runs)


def read(output: Path, suite: str, number: int) -> Source:
    """The suite's results in the `number`-th folder. UserError: its plan or study is not ours."""
    return _Reader(output, suite, number).source(read_plan(output, suite))


def read_target(output: Path, suite: str) -> Source:
    """The results that the target has already."""
    has_plan = (suite_folder(output, suite) / "plan.json").exists()
    return _Reader(output, suite, 0).source(read_plan(output, suite) if has_plan else None)


class _Reader:
    def __init__(self, output: Path, suite: str, number: int) -> None:
        self._output, self._number = output, number
        self._folder = suite_folder(output, suite)
        self._place = Stored(self._folder)
        self._unsound: list[str] = []

    def source(self, plan: PlanFile | None) -> Source:
        """Everything that is there."""
        runs: dict[str, Found] = {}
        for folder in self._place.populations():
            with self._noting():
                runs |= self._population(folder)
        for folder in self._own_folders():
            with self._noting():
                runs[folder.name] = self._alone(folder)
        return Source(self._output, plan, self._study(), runs, tuple(self._unsound))

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except UserError as error:
            self._unsound.append(str(error))

    def _own_folders(self) -> Iterator[Path]:
        """Those of finished runs, and links that bear such a name."""
        with os.scandir(self._folder) as entries:
            names = sorted(entry.name for entry in entries if DIGEST.fullmatch(entry.name))
        for name in names:
            folder = self._folder / name
            if folder.is_symlink() or (folder / "run.json").exists():
                yield folder

    def _alone(self, folder: Path) -> Found:
        _check_no_link(folder)
        file = folder / "run.json"
        found = Found(self._output, self._number, Kept(read_record(file), file))
        self._check(found)
        for name in ARRAYS:
            if f"{name}.parquet" in found.record.artefacts:
                _check_length(found, name, read_parquet(folder / f"{name}.parquet"))
        _check_log(folder)
        return found

    def _population(self, folder: Path) -> dict[str, Found]:
        """Its sound runs; those with a false digest are noted one by one."""
        _check_no_link(folder)
        if not (folder / RECORDS).exists():
            return {}
        whole, file = population.read(folder), folder / RECORDS
        tables = {name: whole.tables(name) for name in ARRAYS}
        _check_log(folder)
        runs = {}
        for digest, record in whole.records.items():
            found = Found(self._output, self._number, Kept(record, file), whole)
            with self._noting():
                self._check(found)
                for name, of in tables.items():
                    if digest in of:
                        _check_length(found, name, of[digest])
                runs[digest] = found
        return runs

    def _check(self, found: Found) -> None:
        record, file = found.record, found.kept.file
        if problem := self._place.problem_of(found.kept):
            raise UserError(f"{file}: {problem}; {MEND}")
        if not is_digest_of(record.digest, record.spec, record.versions, record.sources):
            raise UserError(
                f"{file}: the digest {record.digest} is false: it does not stand for the"
                f" specification, versions and sources in the record; {MEND}"
            )

    def _study(self) -> Study | None:
        request = read_study(self._folder)
        if request is None:
            return None
        text = read_text(self._folder / "study.json", _MOST_STUDY_BYTES)
        return Study(request, text, read_journal(self._folder))


def _check_no_link(folder: Path) -> None:
    if folder.is_symlink():
        raise UserError(f"{folder}: its folder is a link, which is not followed; {MEND}")


def _check_log(folder: Path) -> None:
    """UserError unless the log, if there is one, is a file."""
    log = folder / "log.txt"
    if log.is_symlink() or log.exists():
        with reading(log):
            pass


def _check_length(found: Found, name: str, table: pyarrow.Table) -> None:
    """UserError unless a curve has a loss for every step that its record states."""
    from pyarrow import compute

    summary = found.record.summary
    if name != "curve" or summary is None:
        return
    losses = compute.sum(compute.equal(table["series"], "train_loss")).as_py() or 0
    if losses != summary.steps_done:
        raise UserError(
            f"{found.kept.folder / 'curve.parquet'}: {losses} losses of run {found.record.digest},"
            f" which took {summary.steps_done} steps; {MEND}"
        )

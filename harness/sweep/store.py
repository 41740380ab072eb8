"""Results on disk: one folder per run, written once, read by anyone, resumable after a kill.

    <output>/runs/<suite>/plan.json          the suite's latest list of runs: title, question,
                                             digests in order
    <output>/runs/<suite>/<digest>/run.json  written last; a folder without it is unfinished
    <output>/runs/<suite>/<digest>/          curve.parquet (norms.parquet) or steps.parquet, log.txt

Files appear under their names by os.replace only, so what can be read is whole. Nothing is ever
unpickled. A run is finished only if its record is its own and all its arrays are there: see
`unsound`."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import filelock
from pydantic import Field

from ..errors import UserError
from ..jsonfile import (
    discard_partials,
    read_model,
    reading,
    replace_text,
    writing,
)
from ..output.escaping import visible
from ..record import FINAL, SCHEMA, RunRecord, RunResult
from ..schedules import SCHEDULES, complete
from ..spec import Digest, Frozen
from ..suite.origin import Origin
from .arrays import MEND, curve_columns, problem_of, read_parquet, repeated, write_parquet

if TYPE_CHECKING:
    import pyarrow

    from ..executor import PlannedRun

DIGEST = re.compile(r"[0-9a-f]{24}")
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
    """The folder of one suite, open for writing by one process at a time."""

    def __init__(self, output: Path, suite: str) -> None:
        self.folder = suite_folder(output, suite)
        # Digest -> fault of the stored run; found by `kept`.
        self.unsound: dict[str, str] = {}
        self._lock: filelock.BaseFileLock | None = None

    def __enter__(self) -> Self:
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if (self.folder / ".lock").is_symlink():
                raise UserError(
                    f"{self.folder / '.lock'}: a link, which no gradrace makes; remove it"
                )
            # The system frees the lock of a killed process.
            self._lock = filelock.FileLock(self.folder / ".lock")
            try:
                self._lock.acquire(timeout=0)
            except filelock.Timeout:
                raise UserError(
                    f"{self.folder}: another gradrace is writing there; wait, or use --output"
                ) from None
            discard_partials(self.folder / "plan.json")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock:
            self._lock.release()

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

    def _own_folder(self, digest: str) -> Path:
        """The folder of a run. Makes it, and replaces a link of that name."""
        folder = self.folder / digest
        if folder.is_symlink():
            folder.unlink()
        folder.mkdir(exist_ok=True)
        return folder

    def write(self, result: RunResult) -> None:
        """Keeps one finished run: arrays first, run.json last. An earlier try leaves a log."""
        folder = self.folder / result.record.digest
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
            if log.exists() and log.stat().st_size == 0:
                log.unlink()
            record = result.record.model_copy(
                update={"artefacts": tuple(sorted(_artefacts(folder)))}
            )
            replace_text(folder / "run.json", json.dumps(record.to_json(), indent=1) + "\n")

    def kept(self, run: PlannedRun) -> RunRecord | None:
        """The stored record of this run; None if there is none, or an unsound one: see `unsound`.

        UserError on a file that is not a readable record."""
        file = self.folder / run.digest / "run.json"
        if not file.exists():
            return None
        record = read_record(file)
        if problem := unsound(file.parent, record, run):
            self.unsound[run.digest] = problem
            return None
        return record

    def finished(self, runs: Iterable[PlannedRun]) -> dict[str, RunRecord]:
        """By digest, the records of runs that need not be run again."""
        records = ((run.digest, self.kept(run)) for run in runs)
        return {digest: record for digest, record in records if record and record.status in FINAL}

    def discard_unfinished(self) -> None:
        """Removes folders of runs that a kill cut off."""
        with writing(self.folder):
            for folder in self.folder.iterdir():
                if DIGEST.fullmatch(folder.name) and not (folder / "run.json").exists():
                    if folder.is_symlink():
                        folder.unlink()
                    elif folder.is_dir():
                        shutil.rmtree(folder)


# The arrays of each measure, and the statuses with which a run has them.
_ARRAYS = {"convergence": ("curve.parquet", FINAL), "timing": ("steps.parquet", ("ok",))}


def unsound(folder: Path, record: RunRecord, run: PlannedRun | None = None) -> str:
    """The fault of a stored run with this record, or ''.

    The record must be that of the folder and, if a run is given, have its specification and
    sources; its arrays must be there and whole. Their content is not read."""
    if folder.is_symlink():
        return "its folder is a link"
    if record.digest != folder.name:
        return f"it is the record of another run, {record.digest}"
    if run and (record.spec, record.sources) != (run.spec, dict(run.sources)):
        return "its record has another specification or source than its digest stands for"
    name, ends = _ARRAYS.get(record.spec.measure, ("", ()))
    wanted = {name} if record.status in ends else set()
    for file in sorted(wanted | {each for each in record.artefacts if each.endswith(".parquet")}):
        if problem := problem_of(folder / file):
            return f"{file} {problem}"
    return ""


def suite_folder(output: Path, suite: str) -> Path:
    """The folder of a suite's results. UserError: a name that could leave the results folder."""
    if not SUITE_NAME.fullmatch(suite):
        raise UserError(
            f"{suite!r} cannot name a suite: letters, digits, '-' and '_' only, 80 at most"
        )
    return output / "runs" / suite


def suites_in(output: Path) -> tuple[str, ...]:
    """Names of the suites with results in this folder. UserError if there are none."""
    runs = output / "runs"
    names = tuple(sorted(p.parent.name for p in runs.glob("*/plan.json"))) if runs.is_dir() else ()
    if not names:
        raise UserError(
            f"{output}: no results there (expected {runs}/<suite>/); make some with `gradrace run`"
        )
    return names


def read_plan(output: Path, suite: str) -> PlanFile:
    """The suite's latest expansion. UserError if it is missing or not ours."""
    return _read_plan(suite_folder(output, suite) / "plan.json")


def _read_plan(file: Path) -> PlanFile:
    return read_model(PlanFile, file, SCHEMA, "a gradrace plan", "move it away")


def read_records(output: Path, suite: str) -> list[RunRecord]:
    """The records of the suite's plan that exist, in its order. UserError on an unsound one."""
    folder = suite_folder(output, suite)
    files = [folder / digest / "run.json" for digest in read_plan(output, suite).digests]
    return [_sound(file) for file in files if file.exists()]


def _sound(file: Path) -> RunRecord:
    record = read_record(file)
    if problem := unsound(file.parent, record):
        raise UserError(
            f"{file}: {problem}; run the suite again, which does this run anew, or remove its"
            " folder"
        )
    return record


def read_record(file: Path) -> RunRecord:
    """One run.json. UserError: it is truncated, of a newer schema, or no record."""
    record = read_model(RunRecord, file, SCHEMA, "a gradrace record", MEND)
    try:
        if record.spec.schedule.kind in SCHEDULES:
            complete(record.spec.schedule)
    except ValueError as error:
        raise UserError(f"{file}: not a gradrace record ({error}); {MEND}") from None
    return record


def read_arrays(output: Path, suite: str, digest: str, name: str) -> Mapping[str, Any] | None:
    """Columns of `curve`, `norms` or `steps` of a run as NumPy arrays; None if it has none."""
    file = suite_folder(output, suite) / digest / f"{name}.parquet"
    if not file.exists():
        return None
    table = read_parquet(file)
    return {column: table[column].to_numpy() for column in table.column_names}


def read_tables(
    output: Path, suite: str, digests: Iterable[str], name: str
) -> pyarrow.Table | None:
    """`curve` or `steps` of many runs, one after the other, after a column `digest`; None if none.

    Columns that files of an earlier version lack are null there."""
    import pyarrow

    folder = suite_folder(output, suite)
    files = {digest: folder / digest / f"{name}.parquet" for digest in digests}
    found = {digest: read_parquet(file) for digest, file in files.items() if file.exists()}
    if not found:
        return None
    try:
        # Permissive: pandas and earlier versions of Arrow wrote other types of text and integers.
        table = pyarrow.concat_tables(found.values(), promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise UserError(
            f"{folder}: its {name}.parquet files do not fit each other ({error}); {MEND}"
        ) from None
    names = pyarrow.array(list(found)).take(
        pyarrow.array(repeated([len(each) for each in found.values()]))
    )
    return table.add_column(0, "digest", names)


def read_log(output: Path, suite: str, digest: str, most: int) -> str:
    """The end of a run's log, at most so many bytes from the start of a line; "" without a log."""
    file = suite_folder(output, suite) / digest / "log.txt"
    try:
        with reading(file) as opened:
            begin = max(0, os.fstat(opened.fileno()).st_size - most)
            opened.seek(begin)
            text = visible(opened.read(most).decode(errors="replace"))
    except UserError:
        if file.is_symlink() or file.exists():
            raise
        return ""
    return text.partition("\n")[2] or text if begin else text


def _artefacts(folder: Path) -> Iterator[str]:
    known = ("curve.parquet", "norms.parquet", "steps.parquet", "log.txt")
    return (p.name for p in folder.iterdir() if p.name in known)

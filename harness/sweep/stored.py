"""The runs of one suite as they lie on disk: each in a folder of its own, or with a population.

A run may lie in several places: it was done again. Its own folder counts before all populations,
and the newest population before the others: whoever writes a population removes the folders of its
runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..jsonfile import read_model, reading
from ..output.escaping import visible
from ..record import FINAL, SCHEMA, RunRecord
from ..schedules import SCHEDULES, complete
from . import population
from .arrays import MEND, problem_of, read_parquet, repeated
from .population import NAME, RECORDS, Population

if TYPE_CHECKING:
    import pyarrow

    from ..executor import PlannedRun

DIGEST = re.compile(r"[0-9a-f]{24}")
# The arrays of each measure, and the statuses with which a run has them.
_ARRAYS = {"convergence": ("curve.parquet", FINAL), "timing": ("steps.parquet", ("ok",))}


@dataclass(frozen=True)
class Kept:
    """A record and the file that holds it; it may be unsound."""

    record: RunRecord
    file: Path

    @property
    def folder(self) -> Path:
        """It also holds the arrays."""
        return self.file.parent

    @property
    def is_alone(self) -> bool:
        """Whether the folder is this run's own."""
        return self.file.name != RECORDS


class Stored:
    """What the folder of a suite holds. Populations are looked for once, and those written `added`.

    All readers raise UserError, which names the file, on what is truncated, newer or not ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index: dict[str, Population] | None = None
        self._read: set[Path] = set()
        self._problems: dict[Path, str] = {}
        self._tables: dict[tuple[Path, str], dict[str, pyarrow.Table]] = {}

    # -- where runs lie

    def has(self, digest: str) -> bool:
        """Whether there is a record of the run, sound or not."""
        return self._is_alone(digest) or digest in self._populated()

    def digests(self) -> list[str]:
        """Of all records that are there, whatever the plan."""
        alone = (file.parent.name for file in self.folder.glob("*/run.json"))
        return [*dict.fromkeys([*filter(DIGEST.fullmatch, alone), *self._populated()])]

    def populations(self) -> list[Path]:
        """The folders of populations, the oldest first, unfinished ones as well."""
        if not self.folder.is_dir():
            return []
        with os.scandir(self.folder) as entries:
            names = [entry.name for entry in entries if NAME.fullmatch(entry.name)]
        return [self.folder / name for name in sorted(names)]

    def added(self, new: Population) -> None:
        """A population was written: it is the newest of all."""
        if self._index is not None:
            self._take(new)

    def look_again(self, digests: Iterable[str]) -> None:
        """Others may have written since the last look, on other machines perhaps.

        Opened folders are asked for at the server: NFS remembers for a minute that a file is not
        there."""
        for folder in (self.folder, *(self.folder / digest for digest in digests)):
            with suppress(OSError):
                os.scandir(folder).close()
        if self._index is not None:
            for folder in self._whole():
                self._take(population.read(folder))

    def _whole(self) -> list[Path]:
        """Finished populations that were not read yet, the oldest first."""
        new = (each for each in self.populations() if each not in self._read)
        return [each for each in new if (each / RECORDS).exists()]

    def _take(self, found: Population) -> None:
        """The newest population of a run counts, whichever was read first."""
        assert self._index is not None, "it is made before"
        self._read.add(found.folder)
        for digest in found.records:
            known = self._index.get(digest)
            if known is None or known.folder.name <= found.folder.name:
                self._index[digest] = found

    def _is_alone(self, digest: str) -> bool:
        """Whether the run has a finished folder of its own."""
        return (self.folder / digest / "run.json").exists()

    def _populated(self) -> dict[str, Population]:
        """By digest, the newest population that holds the run."""
        if self._index is None:
            self._index = {}
            for folder in self._whole():
                self._take(population.read(folder))
        return self._index

    # -- records

    def find(self, digest: str) -> Kept | None:
        """The record of a run, sound or not."""
        if self._is_alone(digest):
            file = self.folder / digest / "run.json"
            return Kept(read_record(file), file)
        found = self._populated().get(digest)
        return Kept(found.records[digest], found.folder / RECORDS) if found else None

    def problem_of(self, kept: Kept, run: PlannedRun | None = None) -> str:
        """The fault of a stored run, or ''.

        The record must be that of the folder and, if a run is given, have its specification and
        sources; its arrays must be there and whole. Their content is not read."""
        record, folder = kept.record, kept.folder
        if folder.is_symlink():
            return "its folder is a link"
        if kept.is_alone and record.digest != folder.name:
            return f"it is the record of another run, {record.digest}"
        if run and (record.spec, record.sources) != (run.spec, dict(run.sources)):
            return "its record has another specification or source than its digest stands for"
        name, ends = _ARRAYS.get(record.spec.measure, ("", ()))
        wanted = {name} if record.status in ends else set()
        if not kept.is_alone and (missing := wanted - set(record.artefacts)):
            return f"{missing.pop()} is missing"
        for each in sorted(wanted | {of for of in record.artefacts if of.endswith(".parquet")}):
            look = problem_of if kept.is_alone else self._known_problem_of
            if problem := look(folder / each):
                return f"{each} {problem}"
        return ""

    def _known_problem_of(self, file: Path) -> str:
        """The file of a population is looked at once, not once a run: it is never replaced."""
        if file not in self._problems:
            self._problems[file] = problem_of(file)
        return self._problems[file]

    def sound(self, digests: Iterable[str]) -> list[Kept]:
        """Those of these runs that are there, in this order. UserError on an unsound one."""
        found = [kept for digest in digests if (kept := self.find(digest))]
        for kept in found:
            if problem := self.problem_of(kept):
                raise UserError(
                    f"{kept.file}: {problem}; run the suite again, which does this run anew, or"
                    " remove its folder"
                )
        return found

    # -- arrays and logs

    def arrays(self, digest: str, name: str) -> Mapping[str, Any] | None:
        """Columns of `curve`, `norms` or `steps` of a run as NumPy arrays; None if it has none."""
        table = self._table(digest, name)
        if table is None:
            return None
        return {column: table[column].to_numpy() for column in table.column_names}

    def tables(self, digests: Iterable[str], name: str) -> pyarrow.Table | None:
        """`curve`, `norms` or `steps` of many runs, one after the other, after a column `digest`;
        None if there are none.

        Columns that files of an earlier version lack are null there."""
        import pyarrow

        found = {
            digest: table for digest in digests if (table := self._table(digest, name)) is not None
        }
        if not found:
            return None
        try:
            # Permissive: pandas and earlier versions of Arrow wrote other types of text, integers.
            table = pyarrow.concat_tables(found.values(), promote_options="permissive")
        except pyarrow.ArrowException as error:
            raise UserError(
                f"{self.folder}: its {name}.parquet files do not fit each other ({error}); {MEND}"
            ) from None
        names = pyarrow.array(list(found)).take(
            pyarrow.array(repeated([len(each) for each in found.values()]))
        )
        return table.add_column(0, "digest", names)

    def _table(self, digest: str, name: str) -> pyarrow.Table | None:
        if self._is_alone(digest):
            file = self.folder / digest / f"{name}.parquet"
            return read_parquet(file) if file.exists() else None
        found = self._populated().get(digest)
        if found is None:
            return None
        place = (found.folder, name)
        if place not in self._tables:
            self._tables[place] = found.tables(name)
        return self._tables[place].get(digest)

    def log(self, digest: str, most: int) -> str:
        """The end of a run's log, at most so many bytes from the start of a line; "" without one.

        Runs of a population share a log."""
        found = None if self._is_alone(digest) else self._populated().get(digest)
        file = (found.folder if found else self.folder / digest) / "log.txt"
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


def read_record(file: Path) -> RunRecord:
    """One run.json. UserError: it is truncated, of a newer schema, or no record."""
    record = read_model(RunRecord, file, SCHEMA, "a gradrace record", MEND)
    try:
        if record.spec.schedule.kind in SCHEDULES:
            complete(record.spec.schedule)
    except ValueError as error:
        raise UserError(f"{file}: not a gradrace record ({error}); {MEND}") from None
    return record

"""Copies chosen runs into the target: each under a name that nobody reads, then by rename.

A kill leaves whole runs and leftovers, which the next merge removes. The plan comes last."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..jsonfile import discard_partials, reading, replace_text, replacing, writing
from ..sweep import population
from ..sweep.arrays import write_parquet
from ..sweep.population import ARRAYS, RECORDS, Population
from ..sweep.store import PlanFile, Store
from ..sweep.stored import Stored
from .difference import Tables
from .source import Found, Source, Study

_LEFTOVER = re.compile(r"\.merge-[0-9a-f]{8}\.partial")
_BUFFER_BYTES = 2**20


def write(
    output: Path, suite: str, sources: Sequence[Source], runs: Mapping[str, Found], plan: PlanFile
) -> None:
    """Puts into the target those of these runs that are not its own, its study, and its plan.

    UserError: it cannot be written, or a source is not what it was when it was verified."""
    with Store(output, suite) as store:
        for folder in store.folder.iterdir():
            if _LEFTOVER.fullmatch(folder.name):
                shutil.rmtree(folder)
        _Copier(store.folder).copy([found for found in runs.values() if not found.is_own])
        if study := _longest([source.study for source in sources if source.study]):
            _write_study(store.folder, study)
        store.write_plan(plan)


def _longest(studies: Sequence[Study]) -> Study | None:
    """They are one study, in which some folders have come further: see alike."""
    return max(studies, key=lambda study: len(study.journal), default=None)


def _write_study(folder: Path, study: Study) -> None:
    """The journal first: a request without suggestions would be searched anew."""
    with writing(folder):
        for name, content in (("trials.jsonl", study.journal), ("study.json", study.text.encode())):
            discard_partials(folder / name)
            with replacing(folder / name) as partial:
                partial.write_bytes(content)


class _Copier:
    """Copies into one suite's folder, which nobody else writes to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tables = Tables()
        self._populations = Stored(folder).populations()

    def copy(self, runs: Sequence[Found]) -> None:
        """Populations as they lie if all of their runs are chosen, other runs one by one."""
        together: dict[int, list[Found]] = {}
        for found in runs:
            together.setdefault(id(found.population), []).append(found)
        for group in together.values():
            whole = group[0].population
            if whole and len(whole.records) == len(group):
                self._population(whole)
                continue
            for found in group:
                self._alone(found)

    def _population(self, whole: Population) -> None:
        """As the newest population, which counts before the target's unfinished runs."""
        target = population.new_folder(self._folder, self._populations)
        with self._made(target) as partial:
            files = [f"{name}.parquet" for name in ARRAYS if whole.rows.get(name)]
            for name in (*files, RECORDS):
                _copy(whole.folder / name, partial / name)
            _copy_log(whole.folder, partial)
        self._populations.append(target)
        with writing(self._folder):
            for digest in whole.records:
                _remove(self._folder / digest)

    def _alone(self, found: Found) -> None:
        record, source = found.record, found.kept.folder
        with self._made(self._folder / record.digest) as partial:
            for name in ARRAYS:
                if f"{name}.parquet" not in record.artefacts:
                    continue
                if found.population is None:
                    _copy(source / f"{name}.parquet", partial / f"{name}.parquet")
                elif table := self._tables.of(found, name):
                    columns = {key: table[key].combine_chunks() for key in table.column_names}
                    write_parquet(partial / f"{name}.parquet", columns)
            _copy_log(source, partial)
            # Fields that an earlier version did not write are not added: its digest lacks them.
            content = record.model_dump(mode="json", by_alias=True, exclude_unset=True)
            replace_text(partial / "run.json", json.dumps(content, indent=1) + "\n")

    @contextmanager
    def _made(self, target: Path) -> Iterator[Path]:
        """A folder that takes the target's name, and place, at the end; it is removed if something
        is raised."""
        partial = self._folder / f".merge-{secrets.token_hex(4)}.partial"
        with writing(self._folder):
            partial.mkdir()
            try:
                yield partial
                _remove(target)
                os.replace(partial, target)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise


def _remove(folder: Path) -> None:
    """A run's folder, its record first, or a link of that name."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        (folder / "run.json").unlink(missing_ok=True)
        shutil.rmtree(folder)


def _copy_log(source: Path, target: Path) -> None:
    if (source / "log.txt").exists():
        _copy(source / "log.txt", target / "log.txt")


def _copy(source: Path, target: Path) -> None:
    """A regular file; a link is not followed."""
    with reading(source) as opened, target.open("wb") as made:
        shutil.copyfileobj(opened, made, _BUFFER_BYTES)

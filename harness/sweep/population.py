"""Runs that were trained together, on disk: one folder for all of them, written once.

    <output>/runs/<suite>/population-<moment>-<chance>/records.json   written last
    <output>/runs/<suite>/population-<moment>-<chance>/               curve.parquet (norms.parquet),
                                                                      log.txt

records.json says what all records share once, and how many rows of each file of arrays are each
run's. The moment, 20 digits of UTC, tells which of two folders is the newer."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import NonNegativeInt, ValidationError

from ..errors import UserError
from ..jsonfile import first_problem, read_json, replace_text
from ..record import SCHEMA, RunRecord, RunResult
from ..schedules import SCHEDULES, complete
from ..shared import joined, parted
from ..spec import Frozen
from .arrays import MEND, columns_of_many, read_parquet_of_many, write_parquet

if TYPE_CHECKING:
    import pyarrow

NAME = re.compile(r"population-([0-9]{20})-[0-9a-f]{8}")
RECORDS = "records.json"
# File of arrays -> the field of a result.
ARRAYS = {"curve": "curve", "steps": "blocks", "norms": "norms"}
_KEYS = {"schema", "head", "records", "rows"}


class Rows(Frozen):
    """By file of arrays, the number of rows of each run in order; None if it has no such arrays."""

    curve: tuple[NonNegativeInt | None, ...] = ()
    steps: tuple[NonNegativeInt | None, ...] = ()
    norms: tuple[NonNegativeInt | None, ...] = ()


@dataclass(frozen=True)
class Population:
    """A folder and the records in it, by digest. rows: by file of arrays and digest, how many rows
    are the run's; runs without such arrays are not in it."""

    folder: Path
    records: Mapping[str, RunRecord]
    rows: Mapping[str, Mapping[str, int]]

    def tables(self, name: str) -> dict[str, pyarrow.Table]:
        """By digest, the rows of each run in this file of arrays. UserError if they are not its."""
        counts = self.rows.get(name)
        if not counts:
            return {}
        table = read_parquet_of_many(self.folder / f"{name}.parquet", counts)
        begins = accumulate(counts.values(), initial=0)
        return {
            digest: table.slice(begin, count)
            for begin, (digest, count) in zip(begins, counts.items(), strict=False)
        }


def new_folder(suite: Path, populations: Sequence[Path]) -> Path:
    """A folder for a population, not made yet, newer than the others whatever the clock says.

    UserError if one of them bears the last name of all."""
    moments = [int(found[1]) for each in populations if (found := NAME.fullmatch(each.name))]
    now = int(datetime.now(UTC).strftime("%Y%m%d%H%M%S%f"))
    name = f"population-{max([now, *(moment + 1 for moment in moments)])}-{secrets.token_hex(4)}"
    if not NAME.fullmatch(name):
        raise UserError(f"{max(populations)}: no later population can be named; remove it")
    return suite / name


def write(folder: Path, results: Sequence[RunResult], log: bytes) -> Population:
    """Keeps results of different runs in this empty folder: arrays first, the records last.

    OSError: see jsonfile.writing."""
    rows: dict[str, dict[str, int]] = {}
    for name, field in ARRAYS.items():
        of_runs = ((result.record.digest, getattr(result, field)) for result in results)
        arrays = {digest: columns for digest, columns in of_runs if columns is not None}
        if arrays:
            columns, counts = columns_of_many(name, arrays)
            write_parquet(folder / f"{name}.parquet", columns)
            rows[name] = dict(zip(arrays, counts, strict=True))
    if log:
        (folder / "log.txt").write_bytes(log)
    records = {}
    for result in results:
        digest = result.record.digest
        files = [f"{name}.parquet" for name, of in rows.items() if digest in of]
        files += ["log.txt"] if log else []
        records[digest] = result.record.model_copy(update={"artefacts": tuple(sorted(files))})
    replace_text(folder / RECORDS, _text(records, rows))
    return Population(folder, records, rows)


def _text(records: Mapping[str, RunRecord], rows: Mapping[str, Mapping[str, int]]) -> str:
    """Line by line, so that it can be read, and compared."""
    head, own = parted([record.to_json() for record in records.values()])
    counts = {name: [of.get(digest) for digest in records] for name, of in rows.items()}
    lines = ",\n".join(map(json.dumps, own))
    return (
        f'{{"schema": {SCHEMA},\n"head": {json.dumps(head, indent=1)},\n'
        f'"rows": {json.dumps(counts)},\n"records": [\n{lines}\n]}}\n'
    )


def read(folder: Path) -> Population:
    """The population in this folder. UserError: it is truncated, newer, or not ours."""
    file = folder / RECORDS
    content = read_json(file, SCHEMA, MEND)
    try:
        return _understood(folder, content)
    except ValidationError as error:
        why = first_problem(error)
    except (ValueError, TypeError) as error:
        why = str(error)
    raise UserError(f"{file}: not gradrace records ({why}); {MEND}")


def _understood(folder: Path, content: Mapping[str, Any]) -> Population:
    if set(content) != _KEYS:
        raise ValueError(f"expected the keys {', '.join(sorted(_KEYS))}")
    found = joined(content["head"], content["records"])
    records = {record.digest: record for record in found}
    if len(records) < len(found):
        raise ValueError("two records of one run")
    for record in found:
        if record.spec.schedule.kind in SCHEDULES:
            complete(record.spec.schedule)
    rows: dict[str, dict[str, int]] = {}
    for name, counts in Rows.model_validate(content["rows"]):
        if counts and len(counts) != len(records):
            raise ValueError(f"rows of {len(counts)} runs for {len(records)} records")
        of = zip(records, counts, strict=False)
        rows[name] = {digest: count for digest, count in of if count is not None}
    for record in found:
        stated = {f"{name}.parquet" for name, of in rows.items() if record.digest in of}
        if stated != {each for each in record.artefacts if each.endswith(".parquet")}:
            raise ValueError(f"the rows and artefacts of {record.digest} differ")
    return Population(folder, records, rows)

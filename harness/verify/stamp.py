"""Which suites' cells are verified by the verdicts in a folder: told without reading those."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from ..errors import UserError
from ..jsonfile import read_model, replace_text, writing
from ..spec import Frozen

# The oldest keys are forgotten.
_MOST = 200


class Stamp(Frozen):
    """file: size and time of change of the verdicts, in ns. keys: of suite._key, each with the
    failures among the verdicts on those runs."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    file: tuple[int, int]
    keys: dict[str, tuple[str, ...]]


def file_in(output: Path) -> Path:
    """The stamp of a folder of results."""
    return output / ".verified.json"


def find(output: Path, key: str) -> tuple[str, ...] | None:
    """The failures that were kept under the key; None if nothing was, or the verdicts have changed
    since."""
    kept = _read(output)
    return kept.keys.get(key) if kept and kept.file == _of_verdicts(output) else None


def keep(output: Path, key: str, failures: tuple[str, ...]) -> None:
    """Keeps the failures of these runs, and those of others if the verdicts are as they were."""
    kept, now = _read(output), _of_verdicts(output)
    others = kept.keys if kept and kept.file == now else {}
    keys = dict([*others.items(), (key, failures)][-_MOST:])
    with writing(output):
        replace_text(file_in(output), Stamp(file=now, keys=keys).model_dump_json(by_alias=True))


def _read(output: Path) -> Stamp | None:
    try:
        return read_model(Stamp, file_in(output), 1, "a stamp of verdicts", "it is made anew")
    except UserError:
        return None


def _of_verdicts(output: Path) -> tuple[int, int]:
    try:
        stat = (output / "verify.json").stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns

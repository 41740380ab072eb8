"""Points in files of JSON lines: `<folder>/<machine>/<date>-<commit>-<chance>.jsonl`.

Every recording is a new file, and no file is written again. So two machines, or two nights on two
branches, never touch the same file, and git merges them without conflicts."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from ..errors import UserError
from ..jsonfile import first_problem, reading, replace_text, shown, writing
from . import LONGEST_MACHINE, MACHINE, SCHEMA, Point

ENDING = ".jsonl"
# A recording of 1000 cells has about 1 MB.
_MOST_BYTES = 2**28


class Recorded(NamedTuple):
    """The points of a history, by time, each once; notes: lines that were left out."""

    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()


class Text(NamedTuple):
    """A file's name for messages, and its content."""

    name: str
    content: bytes


def name_of(points: Sequence[Point]) -> str:
    """A new name for the file of one recording: 'runner-1/2026-11-28-1a2b3c4d-5e6f7a8b.jsonl'."""
    first = points[0]
    return f"{first.machine}/{first.at[:10]}-{first.commit[:8]}-{secrets.token_hex(4)}{ENDING}"


def text_of(points: Iterable[Point]) -> str:
    """The points as JSON lines, as `write` writes them."""
    return "".join(
        json.dumps(point.model_dump(mode="json", by_alias=True), separators=(",", ":")) + "\n"
        for point in points
    )


def write(folder: Path, points: Sequence[Point], name: str) -> Path:
    """Writes one recording as a new file, whole or not at all. UserError if it cannot."""
    file = folder / name
    with writing(folder):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, text_of(points))
    return file


def check_machine(name: str) -> None:
    """UserError for a name that cannot be a folder's."""
    if not re.fullmatch(MACHINE, name) or len(name) > LONGEST_MACHINE:
        raise UserError(
            f"--machine {shown(Path(name))}: the name becomes a folder's: letters, digits, '_', '.'"
            f" and '-' after a letter or digit, {LONGEST_MACHINE} at most"
        )


def check_writable(folder: Path) -> None:
    """UserError if nothing could be written into the folder, which may be made later."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    with writing(folder):
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory")
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "Permission denied")


def read(folder: Path) -> Recorded:
    """All points in a folder. UserError: no such folder, or as `parsed`."""
    if not folder.is_dir():
        raise UserError(
            f"{shown(folder)}: no such folder; `gradrace history record --folder` makes one, or"
            " name the branch of a history with --branch"
        )
    return parsed(_texts(folder))


def _texts(folder: Path) -> Iterator[Text]:
    for file in sorted(folder.glob(f"*/*{ENDING}")):
        with reading(file) as opened:
            content = opened.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise UserError(f"{shown(file)}: larger than {_MOST_BYTES} bytes; move it away")
        yield Text(str(file), content)


def parsed(texts: Iterable[Text]) -> Recorded:
    """The points of these files. A last line that was cut off is left out and noted.

    UserError names file and line of anything else that is no point, or of a later schema."""
    seen: dict[bytes, Point] = {}
    notes: list[str] = []
    for text in texts:
        for number, line in enumerate(text.content.splitlines(keepends=True), start=1):
            if not line.strip() or line.strip() in seen:
                continue
            if not line.endswith(b"\n") and not _is_json(line):
                notes.append(f"{text.name}: line {number} is cut off, and left out")
                continue
            seen[line.strip()] = _point(line, f"{text.name}: line {number}")
    return Recorded(_by_time(seen.values()), tuple(notes))


def joined(histories: Iterable[Recorded]) -> Recorded:
    """Several histories as one; a point that is in more than one counts once."""
    points = {point.key: point for each in histories for point in each.points}
    notes = [note for each in histories for note in each.notes]
    return Recorded(_by_time(points.values()), tuple(notes))


def _by_time(points: Iterable[Point]) -> tuple[Point, ...]:
    return tuple(sorted(points, key=lambda point: (point.at, point.machine, point.cell)))


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _point(line: bytes, place: str) -> Point:
    try:
        return Point.model_validate_json(line)
    except ValidationError as error:
        if (schema := _schema(line)) > SCHEMA:
            raise UserError(
                f"{place}: schema {schema} is newer than this gradrace reads ({SCHEMA}); upgrade"
                " gradrace"
            ) from None
        raise UserError(
            f"{place}: not a point of a history ({first_problem(error)}); remove the line"
        ) from None


def _schema(line: bytes) -> int:
    """The schema that a line states, 0 if it states none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return 0
    schema = value.get("schema") if isinstance(value, dict) else 0
    return schema if isinstance(schema, int) and not isinstance(schema, bool) else 0

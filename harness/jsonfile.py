"""gradrace's own files: refused by name where they cannot be understood, replaced as a whole, never half written.

    with writing(file):
        replace_text(file, text)
    try:
        found = Model.model_validate(read_json(file, newest_schema, mend))
    except ValidationError as error:
        raise UserError(f"{file}: not a gradrace record ({first_problem(error)}); {mend}") from None
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .errors import UserError, refused
from .strict import explained

_LONGEST_NAME = 200


def read_json(file: Path, newest_schema: int, mend: str) -> dict[str, Any]:
    """The object in the file; its `schema` is an integer of at most newest_schema, the rest is not looked at.

    mend: what to do about a truncated file, such as "remove it and run it again". UserError names the file where it
    cannot be read, is not JSON, states no schema or one of a later gradrace.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{file}: truncated or not JSON ({error}); {mend}") from None
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(schema, int):
        raise UserError(f"{file}: not a gradrace file (it states no schema); move it away")
    if schema > newest_schema:
        raise UserError(f"{file}: schema {schema} is newer than this gradrace reads ({newest_schema}); upgrade gradrace")
    return value


def read_text(file: Path, most_bytes: int) -> str:
    """The text of a regular file in UTF-8, a byte order mark left out.

    UserError names the file if it cannot be read, is no regular file (a pipe or device might never end), is larger than
    most_bytes or is not UTF-8.
    """
    try:
        # Not before it is known to be a file: opening a pipe waits for somebody who writes to it.
        if not stat.S_ISREG(file.stat().st_mode):
            raise UserError(f"{file}: not a file that can be read (a folder, pipe or device)")
        with file.open("rb") as opened:
            content = opened.read(most_bytes + 1)
    except (OSError, ValueError) as error:
        why = refused(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"{shown(file)}: cannot be read: {why}") from None
    if len(content) > most_bytes:
        raise UserError(f"{file}: larger than {most_bytes} bytes, the most that is read of such a file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def there(file: Path) -> bool:
    """Whether there is anything of this name; False as well for a name that no file can have."""
    try:
        return file.exists()
    except (OSError, ValueError):
        return False


def shown(path: Path) -> str:
    """A path for a message, cut off if it is very long."""
    text = repr(str(path))[1:-1]
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"


def first_problem(error: ValidationError) -> str:
    """Where in the file, and what: 'spec.task.steps: expected more than 0, not -1'."""
    problem = error.errors()[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {explained(problem)}" if place else explained(problem)


def replace_text(file: Path, text: str) -> None:
    """The file holds this text, or what it held before. OSError where that cannot be done; see `writing`."""
    with replacing(file) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path beside the file to write to, which takes the file's name at the end, unless something is raised."""
    partial = file.with_name(f".{file.name}.partial")
    yield partial
    os.replace(partial, file)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the system's refusal (read-only, full) into a UserError about this path; what was written before stays."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {refused(error)}") from error

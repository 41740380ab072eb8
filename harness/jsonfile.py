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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .errors import UserError, refused


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


def first_problem(error: ValidationError) -> str:
    """Where in the file, and what: 'spec.task.steps: Input should be greater than 0'."""
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


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

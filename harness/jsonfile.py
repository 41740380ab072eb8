"""gradrace's own files: refused by name if they cannot be understood, replaced as a whole.

with writing(file):
    replace_text(file, text)
record = read_model(RunRecord, file, newest_schema, "a gradrace record", mend)
"""

from __future__ import annotations

import glob
import json
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import UserError, refused
from .strict import explained, place_of

_LONGEST_NAME = 200
# Neither follow a link nor wait for a writer. Windows has none of these.
_SAFELY = sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)
# The most bytes of one of our files: a baseline of 100,000 runs has about 100 MB.
_MOST_BYTES = 2**30
_NO_FILE = "a folder, link, pipe or device lies there, not a file; put the file itself there"

M = TypeVar("M", bound=BaseModel)


def read_model(
    model: type[M], file: Path, newest_schema: int, form: str, mend: str = "move it away"
) -> M:
    """The model that the file holds. UserError: as `read_json`, or "<file>: not <form> (…)"."""
    content = read_json(file, newest_schema, mend)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{file}: not {form} ({first_problem(error)}); {mend}") from None


def read_json(file: Path, newest_schema: int, mend: str) -> dict[str, Any]:
    """The object in the file; only its `schema`, an integer up to newest_schema, is checked.

    mend: how to replace a truncated file, such as "remove it and run it again". UserError names the
    file if it cannot be read, is no regular file, is not JSON, states no schema or a later one."""
    with reading(file) as opened:
        content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise UserError(
            f"{shown(file)}: larger than {_MOST_BYTES} bytes, which no file of gradrace is; {mend}"
        )
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        why = "too deep" if isinstance(error, RecursionError) else error
        raise UserError(f"{shown(file)}: truncated or not JSON ({why}); {mend}") from None
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise UserError(f"{file}: not a gradrace file (it states no schema); move it away")
    if schema > newest_schema:
        raise UserError(
            f"{file}: schema {schema} is newer than this gradrace reads ({newest_schema});"
            " upgrade gradrace"
        )
    return value


@contextmanager
def reading(file: Path) -> Iterator[BinaryIO]:
    """Opens a file in a folder of results, which may be somebody else's.

    UserError if it cannot be read or is no regular file: a link may lead to a private file, and a
    pipe or a device might never end."""
    try:
        descriptor = os.open(file, os.O_RDONLY | _SAFELY)
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{shown(file)}: cannot be read: {_NO_FILE}")
    with os.fdopen(descriptor, "rb") as opened:
        try:
            yield opened
        except OSError as error:
            raise _unreadable(file, error) from None


def _unreadable(file: Path, error: OSError | ValueError) -> UserError:
    why = str(error)
    if isinstance(error, OSError):
        why = _NO_FILE if file.is_symlink() else refused(error)
    return UserError(f"{shown(file)}: cannot be read: {why}")


def read_text(file: Path, most_bytes: int) -> str:
    """The text of a regular file in UTF-8, without a byte order mark.

    UserError names the file if it cannot be read, is no regular file, is larger than most_bytes or
    is not UTF-8."""
    try:
        # Checked before it is opened: to open a pipe is to wait for a writer.
        if not stat.S_ISREG(file.stat().st_mode):
            raise UserError(f"{file}: not a file that can be read (a folder, pipe or device)")
        with file.open("rb") as opened:
            content = opened.read(most_bytes + 1)
    except (OSError, ValueError) as error:
        why = refused(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"{shown(file)}: cannot be read: {why}") from None
    if len(content) > most_bytes:
        raise UserError(
            f"{file}: larger than {most_bytes} bytes, the most that is read of such a file"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def there(file: Path) -> bool:
    """Whether anything has this name; False for a name that no file can have."""
    try:
        return file.exists()
    except (OSError, ValueError):
        return False


def shown(path: Path) -> str:
    """A path for a message, cut off if it is very long."""
    text = repr(str(path))[1:-1]
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"


def first_problem(error: ValidationError) -> str:
    """The place in the file and the problem: 'task.steps: expected more than 0, not -1'."""
    problem = error.errors()[0]
    place = ".".join(map(str, place_of(problem)))
    return f"{place}: {explained(problem)}" if place else explained(problem)


def replace_text(file: Path, text: str) -> None:
    """The file holds this text, or its old one if OSError is raised; see `writing`."""
    with replacing(file) as partial:
        partial.write_text(text, encoding="utf-8")


def write_text(file: Path, text: str) -> None:
    """Writes where a person pointed, and makes the folder. OSError: see `writing`.

    A file is replaced as a whole; anything else (/dev/null, a link, a pipe) is written to."""
    if file.is_symlink() or (file.exists() and not file.is_file()):
        if file.exists() and _is_our_output(file):
            # Opened anew, it would be written from its beginning, over earlier output.
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            file.write_text(text, encoding="utf-8")
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_text(file, text)


def _is_our_output(file: Path) -> bool:
    """Whether this is /dev/stdout, by any of its names."""
    try:
        return os.path.samestat(file.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError, AttributeError):
        return False


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path beside the file to write to, which takes the file's name at the end.

    It is removed if something is raised. Of two that write at once, the last to end wins."""
    partial = file.with_name(f"{_partials(file)}{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        yield partial
        os.replace(partial, file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def discard_partials(file: Path) -> None:
    """Removes the leftovers of processes killed while they replaced this file.

    Nobody may be replacing it now."""
    for partial in file.parent.glob(f"{glob.escape(_partials(file))}*.partial"):
        partial.unlink(missing_ok=True)


def _partials(file: Path) -> str:
    return f".{file.name[:200]}."


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the system's refusal (read-only, full) into a UserError about this path."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {refused(error)}") from error

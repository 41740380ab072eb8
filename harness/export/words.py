"""Shared by the writers: outcomes, missing libraries, safe names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from ..errors import ExitCode, UserError


class Done(NamedTuple):
    """How many runs were written, and how many were there already."""

    written: int
    kept: int


@contextmanager
def needed(extra: str) -> Iterator[None]:
    """Inside, a library that is not installed is a UserError that says how to install it."""
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"{error.name or extra} is not installed; pip install 'gradrace[{extra}]'",
            ExitCode.NOTHING_MEASURED,
        ) from None


@contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Inside, these variables are set. The libraries read them when they are imported and later."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def file_name(text: str, longest: int = 120) -> str:
    """The text as part of a file's name: other signs than letters, digits and ._=+- become '_'."""
    return re.sub(r"[^A-Za-z0-9._=+-]+", "_", text)[:longest].strip("._") or "run"

"""Calls a user's function: its output is no answer, and its errors name their line."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from ...dataset import DataSet
from ...errors import UserError, line_in
from ...output.silenced import off_stdout


def called(of: DataSet) -> Any:
    """What `load` gives. UserError with the file and line for whatever it raises."""
    try:
        with off_stdout():
            return of.load()
    except KeyboardInterrupt:
        raise
    except MemoryError:
        raise refusal(of, "its function ran out of memory; read fewer rows, or float32") from None
    except BaseException as error:
        raise refusal(of, f"its function{_line(of, error)}: {_said(error)}") from error


def refusal(of: DataSet, problem: str) -> UserError:
    """'data set houses: …'."""
    return UserError(f"data set {of.name}: {problem}")


def _line(of: DataSet, error: BaseException) -> str:
    try:
        file = Path(inspect.getsourcefile(inspect.unwrap(of.load)) or "")
    # A partial or an object with __call__ has no file of its own.
    except (TypeError, ValueError):
        return ""
    line = line_in(error, file)
    return f" ({file.name}, line {line})" if line else f" ({file.name})"


def _said(error: BaseException) -> str:
    try:
        text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    # A user's exception may have no text.
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

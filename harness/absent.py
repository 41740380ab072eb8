"""Tells a package that is not installed from a module that an installed package lacks."""

from __future__ import annotations

import importlib.util


def missing_package(error: BaseException) -> str | None:
    """The top-level package that this import error is about, if it is nowhere; None for any other
    error.

    Errors that were raised from one another are followed down to the first.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, ModuleNotFoundError) and current.name:
            top = str(current.name).partition(".")[0]
            return top if top and not _is_there(top) else None
        current = current.__cause__
    return None


def _is_there(top: str) -> bool:
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        # Half imported, or put into sys.modules by hand: it is there.
        return True

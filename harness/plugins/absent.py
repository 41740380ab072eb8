"""Tells a package that is not installed from a module that an installed package does not have."""

from __future__ import annotations

import importlib.util


def missing_package(error: BaseException) -> str | None:
    """The top-level package that this error misses, if it is not installed; None for others.

    An error raised from an import error counts as that one; so does an import error raised while
    another was handled ("please install lion")."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, ModuleNotFoundError) and current.name:
            top = str(current.name).partition(".")[0]
            return top if top and not _is_there(top) else None
        handled = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or (handled if isinstance(current, ImportError) else None)
    return None


def _is_there(top: str) -> bool:
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        # Half imported, or put into sys.modules by hand: it is there.
        return True

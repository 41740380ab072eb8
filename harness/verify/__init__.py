"""Is the comparison fair? Frameworks and NumPy referee, piece by piece; read cases.py first.

cases.py: the table of all comparisons, with groups.py. driver.py: a process per framework, which
runs worker.py, compute.py and populations.py; judge.py: from arrays to a verdict.py, with hint.py;
current.py: which still hold. suite.py: of a run, with cells.py, compared.py, stamp.py,
estimate.py. file.py, text.py, odd.py, schema.py: on disk, for people, as JSON Schema. document.py:
docs/differences.md, from formulas.py, notes.py and defaults.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..doors import open_door

if TYPE_CHECKING:
    from .driver import VerifyOptions, verify

__all__ = ["VerifyOptions", "verify"]

# `gradrace.verify(...)` is gradrace.api.verifying.verify.
open_door(__name__)


def __getattr__(name: str) -> Any:
    # A run that finds its cells verified imports no driver.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import driver

    return getattr(driver, name)

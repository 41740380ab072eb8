"""Is the comparison fair? Frameworks and NumPy referee, piece by piece; read cases.py first.

cases.py: the table of all comparisons, with groups.py. driver.py: a process per framework, which
runs worker.py, compute.py and populations.py. judge.py: from arrays to a verdict.py. file.py,
text.py, schema.py: verdicts on disk, for people, as JSON Schema. document.py: docs/differences.md,
from formulas.py, notes.py and defaults.py."""

from __future__ import annotations

from .driver import VerifyOptions, verify

__all__ = ["VerifyOptions", "verify"]

"""Is the comparison fair? The frameworks against each other and against the NumPy referee, piece by
piece.

cases.py says what is compared, worker.py computes it in one framework, driver.py runs a process per
framework, judge.py compares, verdict.py is what comes out, kept.py keeps it, show.py prints it,
document.py explains it."""

from __future__ import annotations

from .driver import VerifyOptions, verify

__all__ = ["VerifyOptions", "verify"]

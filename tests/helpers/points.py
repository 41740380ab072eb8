"""Made-up points of a history."""

from __future__ import annotations

from typing import Any

from gradrace.history import Point

USUAL: dict[str, Any] = {
    "cell": "digits/numpy-step/sgd",
    "at": "2026-11-28T01:02:03+00:00",
    "commit": "a" * 40,
    "commit_at": "2026-11-27T00:00:00+00:00",
    "subject": "a change",
    "anchor": "v1.0",
    "anchor_commit": "b" * 40,
    "machine": "runner",
    "machine_type": "Linux, a processor",
    "decision": "ok",
    "ratio": 1.02,
    "low": 1.0,
    "high": 1.04,
    "log_ratios": (0.01, 0.02, 0.03),
    "a_value": 1e-3,
    "b_value": 1.02e-3,
    "versions": {"numpy": "2.4.6", "python": "3.11.7"},
}


def point(**changed: Any) -> Point:
    """A measured point, with these values instead of the usual ones."""
    return Point(**{**USUAL, **changed})

"""Made-up points of a history, with the noise of made_nights."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
from gradrace.history import Point
from made_nights import level

START = datetime.datetime(2026, 9, 1, 3, 0, tzinfo=datetime.UTC)


def made_commit(number: int) -> str:
    """A full hash."""
    return f"{number + 0xABCDEF01:08x}".ljust(40, "0")


def points(
    cell: str, nights: int, seed: int = 0, change: tuple[Any, ...] = ("clean", 0.0), **given: Any
) -> list[Point]:
    """Six launches a night, 1.5% apart. change: of made_nights.level. given: fields of all points;
    one that is callable is asked for each night."""
    rng = np.random.default_rng(seed)
    added = level(nights, *change)
    found = []
    for night in range(nights):
        logs = rng.normal(added[night] + rng.normal(0.0, 0.003), 0.015, 6)
        margin, mean = 2.5706 * logs.std(ddof=1) / np.sqrt(6), logs.mean()
        at = (START + datetime.timedelta(days=night)).isoformat()
        fields: dict[str, Any] = {
            "cell": cell,
            "at": at,
            "commit": made_commit(night),
            "commit_at": at,
            "subject": f"change {night}",
            "anchor": "v1.0",
            "anchor_commit": "a" * 40,
            "machine": "runner-1",
            "machine_type": "cpu",
            "decision": "ok",
            "ratio": float(np.exp(mean)),
            "low": float(np.exp(mean - margin)),
            "high": float(np.exp(mean + margin)),
            "log_ratios": tuple(logs.tolist()),
            "a_value": 1e-3,
            "b_value": 1e-3 * float(np.exp(mean)),
            "versions": {"torch": "2.13.0"},
            "gradrace": "0.2.0",
        }
        fields |= {name: of(night) if callable(of) else of for name, of in given.items()}
        found.append(Point(**fields))
    return found

"""The functions that a step of the NumPy reference calls, by the standard library's cProfile.

Self-contained: NumPy and the standard library only. The driver runs this file's own source in the
process of a side whose gradrace may be older.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Functions of the reference by the part of a step that they compute.
_NAMED = (
    *((name, "forward") for name in ("forward", "_loss", "_through", "_penalty")),
    ("loss_and_gradient", "forward"),
    *((name, "backward") for name in ("backward", "_loss_and_gradients")),
    *((name, "optimizer") for name in ("_updated", "step", "clipped")),
)
# NumPy functions that make another array of the same numbers.
_COPIES = re.compile(r"(numpy\.|^method ')(copy|array|ascontiguousarray|astype)\b")
_NOTES = (
    "NumPy has no profiler: these are Python's calls, by cProfile, which makes each of them slower",
    "a call belongs to the part that called it; arithmetic by operators counts to its function",
    "compilations, kernels and allocations are not known",
)

Key = tuple[str, int, str]


def profile(
    train: Callable[[range], None], sync: Callable[[], None], steps: range, folder: Path
) -> dict[str, Any]:
    """Trains these steps under cProfile. Times in seconds a step.

    Returns plain JSON: steps, ops (functions, host_s their self time), counts, traces and notes.
    The file in `folder` is of Python's pstats, and as JSON.
    """
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        train(steps)
        sync()
    finally:
        profiler.disable()
    stats: Any = pstats.Stats(profiler)
    calls: Mapping[Key, Any] = stats.stats
    count = len(steps)
    ops = _ops(calls, count)
    profiler.dump_stats(folder / "numpy.pstats")
    (folder / "numpy.json").write_text(json.dumps(ops, indent=1))
    copies = sum(op["calls"] for op in ops if _COPIES.search(op["name"]))
    return {
        "steps": count,
        "ops": ops,
        "counts": {"copies": copies, "synchronisations": 0.0},
        "traces": ["numpy.json", "numpy.pstats"],
        "notes": list(_NOTES),
    }


def _ops(stats: Mapping[Key, Any], steps: int) -> list[dict[str, Any]]:
    """Of each function and part. stats: pstats' (primitive calls, calls, own s, all s, callers)."""
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    parts = _parts(stats)
    for key, (_, calls, own, _, callers) in stats.items():
        shares = {caller: (each[1], each[2]) for caller, each in callers.items()} or {
            key: (calls, own)
        }
        for caller, (some, seconds) in shares.items():
            part, name = parts.get(key) or parts.get(caller, ""), _name(key)
            entry = {"name": name, "part": part, "calls": 0.0, "host_s": 0.0, "device_s": None}
            op = sums.setdefault((part, name), {**entry, "bytes": None, "source": _source(key)})
            op["calls"] += some / steps
            op["host_s"] += max(seconds, 0.0) / steps
    return list(sums.values())


def _parts(stats: Mapping[Key, Any]) -> dict[Key, str]:
    """Functions whose name says a part, and those that only they call."""
    found = {key: part for key in stats for name, part in _NAMED if key[2] == name and key[1]}
    for _ in range(len(stats)):
        more = {
            key: parts.pop()
            for key, (*_, callers) in stats.items()
            if key not in found
            and key[1]
            and callers
            and len(parts := {found.get(caller, "") for caller in callers}) == 1
            and parts != {""}
        }
        if not more:
            break
        found |= more
    return found


def _name(key: Key) -> str:
    file, line, function = key
    if not line:
        # Without addresses, which differ from process to process.
        plain = re.sub(r" at 0x[0-9a-f]+", "", function)
        return plain.strip("<>").replace("built-in method ", "")
    return f"{Path(file).stem}.{function}"


def _source(key: Key) -> str:
    library = not key[1] or Path(np.__file__).parent in Path(key[0]).parents
    return "" if library else f"{key[0]}:{key[1]}"

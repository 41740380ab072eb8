"""A history as files of asv's: its ratios as benchmarks `gradrace.history.<quantity>`.

`asv show`, `asv compare` and `asv publish` then read them beside those of `asv run`. A benchmark's
parameters are the cell and the anchor; its samples are the ratios of the launches. asv keeps one
result of a commit, machine and environment: of several nights the last."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import ExitCode, UserError
from ..results.asv.benchmarks import Result
from ..results.asv.folder import Commit, Folder, Paired
from . import Point

# Raised by hand if a ratio comes to mean something else.
_MEANING = 1


def export(points: Sequence[Point], to: Path) -> tuple[Path, ...]:
    """Writes the points into `to`, a results folder of asv's; what is there already is kept.

    UserError: asv is not installed, the folder is not asv's; exit code 3 if nothing was
    measured."""
    try:
        import asv.results  # noqa: F401
    except ImportError:
        raise UserError(
            "asv is not installed; its files are written by its own code: pip install gradrace[asv]"
        ) from None
    measured = [point for point in points if point.measured]
    if not measured:
        raise UserError("no point of the history has a ratio", ExitCode.NOTHING_MEASURED)
    folder = Folder(to)
    benchmarks = _described(measured)
    to.mkdir(parents=True, exist_ok=True)
    folder.describe(benchmarks)
    files = []
    for machine, own in _by(measured, lambda point: (point.machine,)).items():
        described = {
            "machine": machine[0],
            "os": "",
            "arch": "",
            "cpu": own[-1].machine_type,
            "num_cpu": "",
            "ram": "",
        }
        folder.add(described)
        for alike in _by(own, lambda point: (point.commit, _versions(point))).values():
            at = Commit(alike[0].commit, _milliseconds(alike[0].commit_at))
            environment = Paired(_versions(alike[0]))
            files.append(folder.write(environment, at, described, _results(alike, benchmarks)))
    return tuple(files)


def _name(quantity: str) -> str:
    return f"gradrace.history.{quantity}"


def _described(points: Iterable[Point]) -> dict[str, dict[str, Any]]:
    """The benchmarks, by name."""
    found = {}
    for (quantity,), own in _by(points, lambda point: (point.quantity,)).items():
        params = [
            sorted({repr(point.cell) for point in own}),
            sorted({repr(point.anchor) for point in own}),
        ]
        found[_name(quantity)] = {
            "name": _name(quantity),
            "pretty_name": f"{_name(quantity)} (HEAD / anchor)",
            "code": f"{quantity} at HEAD over that at the anchor, paired, in one job.",
            "type": "track",
            "unit": "ratio",
            "version": hashlib.sha256(f"{_name(quantity)} {_MEANING}".encode()).hexdigest()[:16],
            "param_names": ["cell", "anchor"],
            "params": params,
            "setup_cache_key": None,
            "timeout": None,
        }
    return found


def _results(points: Sequence[Point], benchmarks: Mapping[str, Mapping[str, Any]]) -> list[Result]:
    from asv.runner import BenchmarkResult

    found = []
    for (quantity,), own in _by(points, lambda point: (point.quantity,)).items():
        benchmark = benchmarks[_name(quantity)]
        last = {(repr(p.cell), repr(p.anchor)): p for p in sorted(own, key=lambda p: p.at)}
        row = [last.get(key) for key in itertools.product(*benchmark["params"])]
        # asv takes the median of samples itself; a cell that was not measured is skipped.
        values = [math.nan if point is None else 0.0 for point in row]
        samples = [None if p is None else [math.exp(log) for log in p.log_ratios] for p in row]
        counts = [None if point is None else 1 for point in row]
        began = datetime.fromisoformat(max(point.at for point in own))
        result = BenchmarkResult(values, samples, counts, 0, "", None)
        found.append((benchmark, result, began, 0.0))
    return found


def _versions(point: Point) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(point.versions.items()))


def _milliseconds(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000)


def _by(points: Iterable[Point], key: Any) -> dict[tuple[Any, ...], list[Point]]:
    found: dict[tuple[Any, ...], list[Point]] = {}
    for point in points:
        found.setdefault(key(point), []).append(point)
    return found

"""asv's own result folders, of any project, read without asv.

asv stores measurements of each commit by itself: times and other figures, not ratios. Its
series are therefore marked as unpaired: a slower machine looks like a slower commit."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..jsonfile import read_text, shown
from ..output.escaping import clean, one_line

# How such series are marked, in place of an anchor.
UNPAIRED = "unpaired: asv"
# asv's own limit is none; a file of 10,000 cells has 5 MB.
_MOST_BYTES = 2**28
_NOT_RESULTS = ("machine.json", "benchmarks.json")
# asv's intervals cover 99%: this many standard errors of a normal estimate on each side.
_ERRORS_TO_LIMIT = 2.5758


@dataclass(frozen=True)
class Value:
    """One figure of asv's at one commit. benchmark: its name with its parameters in brackets.

    at: ISO date of the commit, UTC. environment: asv's name of it. value: positive. low, high:
    limits of 99%, None if asv stored none."""

    benchmark: str
    machine: str
    environment: str
    commit: str
    at: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""

    @property
    def error(self) -> float:
        """The standard error of log(value); NaN if asv stored no limits."""
        if self.low is None or self.high is None or not 0 < self.low <= self.high:
            return math.nan
        return math.log(self.high / self.low) / (2 * _ERRORS_TO_LIMIT)


class Foreign(NamedTuple):
    """All figures of a folder, by date. notes: files that were left out, and why."""

    values: tuple[Value, ...]
    notes: tuple[str, ...] = ()


def read(folder: Path) -> Foreign:
    """The figures in a results folder of asv's, versions 1 and 2 of its files.

    Failed and skipped cells have no figure, nor have values that are not positive, whose logarithm
    does not exist. A file that is not asv's is left out and noted. UserError if there is none."""
    if not folder.is_dir():
        raise UserError(
            f"--asv {shown(folder)}: no such folder; it is results_dir in asv.conf.json"
        )
    units = _units(folder)
    values: list[Value] = []
    notes: list[str] = []
    files = [file for file in sorted(folder.glob("*/*.json")) if file.name not in _NOT_RESULTS]
    for file in files:
        try:
            values += _values(_json(file), file.parent.name, units)
        except (UserError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            notes.append(
                f"{shown(file)}: not a result file of asv's, and left out ({_said(error)})"
            )
    if len(notes) == len(files):
        raise UserError(
            f"--asv {shown(folder)}: no results of asv in it"
            f" ({notes[0] if notes else 'there are no files MACHINE/COMMIT-ENVIRONMENT.json'})"
        )
    ordered = sorted(values, key=lambda value: (value.at, value.commit))
    return Foreign(tuple(ordered), tuple(notes))


def _said(error: Exception) -> str:
    text = f"no {error}" if isinstance(error, KeyError) else str(error)
    return clean(one_line(text), 200)


def _json(file: Path) -> dict[str, Any]:
    """asv writes NaN as such, which Python's reader takes."""
    try:
        found = json.loads(read_text(file, _MOST_BYTES))
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _units(folder: Path) -> dict[str, str]:
    """Benchmark -> its unit, as far as benchmarks.json says."""
    file = folder / "benchmarks.json"
    try:
        known = _json(file)
    except (UserError, ValueError):
        return {}
    described = {name: of for name, of in known.items() if isinstance(of, dict)}
    return {name: clean(str(of.get("unit", "")), 100) for name, of in described.items()}


def _values(content: Mapping[str, Any], machine: str, units: Mapping[str, str]) -> Iterator[Value]:
    version = content.get("version", 1)
    if version not in (1, 2):
        raise ValueError(f"version {version!r}; gradrace reads 1 and 2")
    commit = str(content["commit_hash"])
    if not commit or set(commit) - set("0123456789abcdef"):
        raise ValueError("commit_hash is no hash")
    at = datetime.fromtimestamp(float(content["date"]) / 1000, UTC).isoformat(timespec="seconds")
    environment = clean(str(content.get("env_name") or content.get("python") or ""), 300)
    cells = _cells_1 if version == 1 else _cells_2
    for name, params, value, limits in cells(content):
        if value is None or not math.isfinite(value) or value <= 0:
            continue
        low, high = limits
        label = f"{name}({', '.join(params)})" if params else name
        label = clean(one_line(label), 500)
        yield Value(label, machine, environment, commit, at, value, low, high, units.get(name, ""))


# (benchmark, its parameters, value, limits)
_Cell = tuple[str, tuple[str, ...], float | None, tuple[float | None, float | None]]


def _cells_2(content: Mapping[str, Any]) -> Iterator[_Cell]:
    """Rows of columns; those at the end may be missing."""
    columns = [str(column) for column in content["result_columns"]]
    for name, row in content["results"].items():
        found = dict(zip(columns, row, strict=False))
        results = _listed(found.get("result"))
        lows, highs = _listed(found.get("stats_ci_99_a")), _listed(found.get("stats_ci_99_b"))
        limits = zip(_padded(lows, results), _padded(highs, results), strict=True)
        yield from _cells(str(name), found.get("params") or (), results, limits)


def _cells_1(content: Mapping[str, Any]) -> Iterator[_Cell]:
    """A number, or a table with results, parameters and statistics."""
    for name, given in content["results"].items():
        of = given if isinstance(given, dict) else {"result": given}
        results, stats = _listed(of.get("result")), _listed(of.get("stats"))
        limits = ((each or {}).get("ci_99") or (None, None) for each in _padded(stats, results))
        yield from _cells(str(name), of.get("params") or (), results, limits)


def _cells(
    name: str, params: Iterable[Any], results: list[Any], limits: Iterable[Any]
) -> Iterator[_Cell]:
    """Results lie in the order of itertools.product."""
    combinations = [tuple(map(str, each)) for each in itertools.product(*params)]
    for combination, result, (low, high) in zip(combinations, results, limits, strict=False):
        yield name, combination, _number(result), (_number(low), _number(high))


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _padded(values: list[Any], like: list[Any]) -> list[Any]:
    return [*values, *[None] * len(like)][: len(like)]


def _number(value: Any) -> float | None:
    """None for what is no finite number: asv has null for failed, NaN for skipped."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)

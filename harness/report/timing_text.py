"""Timed cells as tables of text, for a terminal. Step times in microseconds, memory in MiB."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from ..statistics.intervals import FEWEST_LAUNCHES
from . import tables, text
from .tables.grouping import varies

# What cells are told apart by, if it varies within a task; and how it is said.
_VARIED = {
    "rule": "",
    "variation": "",
    "device": "",
    "dtype": "",
    "threads": "threads=",
    "batch_size": "batch_size=",
    "machine": "on ",
}
_PARTS = {
    "step": "step_p25_s",
    "forward": "forward_s",
    "backward": "backward_s",
    "optimizer": "optimizer_s",
    "remainder": "remainder_s",
}


def cells(table: pd.DataFrame) -> list[dict[str, str]]:
    """One row a cell of `frame.timing_cells`; what all cells share is left out of their names."""
    rows = zip(names(table), table.to_dict("records"), strict=True)
    found = [{"cell": name, **_figures(row)} for name, row in rows]
    blank, seldom = ("", text.MISSING), ("peak MiB", "contended")
    unknown = [name for name in seldom if all(row[name] in blank for row in found)]
    return [{name: of for name, of in row.items() if name not in unknown} for row in found]


def parts(table: pd.DataFrame) -> list[dict[str, str]]:
    """The parts of a step of each cell that was timed with them."""
    rows = zip(names(table), table.to_dict("records"), strict=True)
    return [{"cell": name, **_parts(row)} for name, row in rows if not pd.isna(row["forward_s"])]


def notes(table: pd.DataFrame) -> list[str]:
    """Cautions for a reader of the tables."""
    if table.empty:
        return []
    found = []
    if tables.timed_on_several(table):
        found.append("timed on several machines: compare the times of one machine only")
    timed = table[table["launches"] > 0]
    if few := int((timed["launches"] < FEWEST_LAUNCHES).sum()):
        said = text.plural(few, "cell")
        found.append(f"{said} with fewer than {FEWEST_LAUNCHES} launches: no interval can be given")
    if disturbed := int((timed["contended"] > 0).sum()):
        found.append(
            f"{text.plural(disturbed, 'cell')} contended, in some of whose launches others held the"
            " core: their times may be too long"
        )
    lost = table[table["status"] != "ok"]
    reasons = Counter(zip(lost["status"], lost["reason"], strict=True))
    return found + [f"{text.plural(n, 'cell')} {of[0]}: {of[1]}" for of, n in reasons.items()]


def names(table: pd.DataFrame) -> list[str]:
    """A cell for people: 'digits_mlp torch-eager adam', and whatever else tells the table's cells
    apart."""
    varied = []
    if len(table):
        table = table.assign(machine=table["machine"].map(tables.machine_labels(table)))
        keys = {name: ["task"] for name in _VARIED} | {"machine": ["device"]}
        varied = [name for name in _VARIED if varies(table, name, keys[name])]
    return [_name(row, varied) for row in table.to_dict("records")]


def _name(row: dict[Any, Any], varied: list[str]) -> str:
    words = [row["task"], f"{row['framework']}-{row['mode']}", row["optimizer"]]
    for column in varied:
        # The name of a variation may say it already.
        said = column != "variation" and f"{column}=" in row["variation"]
        words += [] if said or row[column] == "" else [f"{_VARIED[column]}{row[column]}"]
    return " ".join(filter(None, words))


def interval(row: dict[Any, Any], name: str, scale: float = 1.0) -> str:
    """'152 [149, 155]'; without limits if there are none."""
    value, low, high = (row[f"{name}{limit}"] * scale for limit in ("", "_low", "_high"))
    if pd.isna(value):
        return text.MISSING
    shown = text.significant(value)
    return shown if pd.isna(low) else f"{shown} [{text.significant(low)}, {text.significant(high)}]"


def mebibytes(size: float) -> str:
    """Bytes as MiB, three digits."""
    return text.MISSING if pd.isna(size) else text.significant(size / 2**20)


def _figures(row: dict[Any, Any]) -> dict[str, str]:
    launches, planned = row["launches"], row["planned"]
    return {
        "p25 µs": interval(row, "step_p25_s", 1e6),
        "median": text.micros(row["step_median_s"]),
        "p99": text.micros(row["step_p99_s"]),
        "steps/s": text.significant(row["steps_per_s"]),
        "samples/s": text.significant(row["samples_per_s"]),
        "import s": text.significant(row["import_s"]),
        "start s": text.significant(row["start_s"]),
        "set-up s": text.significant(row["setup_s"]),
        "first call s": _first_call(row),
        "state bytes": "unknown" if pd.isna(row["state_bytes"]) else f"{row['state_bytes']:,.0f}",
        "peak MiB": _peak(row),
        "launches": f"{launches} of {planned}" if launches < planned else str(launches),
        "contended": str(row["contended"] or ""),
    }


def _first_call(row: dict[Any, Any]) -> str:
    """Seconds, with the number of steps if it is not one."""
    seconds, steps = text.significant(row["first_call_s"]), row["first_call_steps"]
    return seconds if pd.isna(steps) or steps == 1 else f"{seconds} ({steps:g} steps)"


def _peak(row: dict[Any, Any]) -> str:
    """The growth of the process by training, and on a device the framework's own count."""
    grown, device = mebibytes(row["grown_bytes"]), mebibytes(row["device_peak_bytes"])
    if grown == text.MISSING:
        return grown
    return f"+{grown}" + (f", device {device}" if device != text.MISSING else "")


def _parts(row: dict[Any, Any]) -> dict[str, str]:
    found = {label: interval(row, name, 1e6) for label, name in _PARTS.items()}
    return {**found, "sum / step": interval(row, "parts_covered")}

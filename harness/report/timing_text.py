"""Timed cells as tables of text, for a terminal. Step times in microseconds, memory in MiB."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from ..statistics.intervals import FEWEST_LAUNCHES
from . import text

_VARIED = ("rule", "variation", "device", "dtype", "threads", "batch_size")


def cells(table: pd.DataFrame) -> list[dict[str, str]]:
    """One row a cell of `frame.timing_cells`; what all cells share is left out of their names."""
    found = [
        {"cell": name, **_figures(row)}
        for name, row in zip(names(table), table.to_dict("records"), strict=True)
    ]
    unknown = [
        column
        for column in ("peak MiB", "contended")
        if all(row[column] in ("", text.MISSING) for row in found)
    ]
    return [
        {column: value for column, value in row.items() if column not in unknown} for row in found
    ]


def parts(table: pd.DataFrame) -> list[dict[str, str]]:
    """Where a step of each cell goes, of those that were timed so."""
    return [
        {"cell": name, **_parts(row)}
        for name, row in zip(names(table), table.to_dict("records"), strict=True)
        if not pd.isna(row["forward_s"])
    ]


def notes(table: pd.DataFrame) -> list[str]:
    """What a reader of the tables must know."""
    found = []
    timed = table[table["launches"] > 0] if len(table) else table
    few = int((timed["launches"] < FEWEST_LAUNCHES).sum()) if len(timed) else 0
    if few:
        found.append(
            f"{text.plural(few, 'cell')} with fewer than {FEWEST_LAUNCHES} launches: no interval"
            " can be given"
        )
    disturbed = int((timed["contended"] > 0).sum()) if len(timed) else 0
    if disturbed:
        held = "in some of whose launches others held the core: their times may be too long"
        found.append(f"{text.plural(disturbed, 'cell')} contended, {held}")
    lost = table[table["status"] != "ok"] if len(table) else table
    reasons = Counter(zip(lost["status"], lost["reason"], strict=True)) if len(lost) else {}
    return [
        *found,
        *(
            f"{text.plural(n, 'cell')} {status}: {reason}"
            for (status, reason), n in reasons.items()
        ),
    ]


def names(table: pd.DataFrame) -> list[str]:
    """A cell for people: 'digits_mlp torch-eager adam', and what else tells the table's cells
    apart.
    """
    # What names a variation says already is not said twice.
    varied = [
        column
        for column in _VARIED
        if len(table) and table.groupby("task")[column].nunique().max() > 1
    ]
    return [
        " ".join(
            filter(
                None,
                [
                    row["task"],
                    f"{row['framework']}-{row['mode']}",
                    row["optimizer"],
                    *(
                        _named(row, column)
                        for column in varied
                        if column == "variation" or f"{column}=" not in row["variation"]
                    ),
                ],
            )
        )
        for row in table.to_dict("records")
    ]


def interval(row: dict[Any, Any], name: str, scale: float = 1.0) -> str:
    """'152 [149, 155]'; without limits where there are none."""
    value, low, high = (row[f"{name}{limit}"] * scale for limit in ("", "_low", "_high"))
    if pd.isna(value):
        return text.MISSING
    shown = text.significant(value)
    return shown if pd.isna(low) else f"{shown} [{text.significant(low)}, {text.significant(high)}]"


def mebibytes(size: float) -> str:
    """Bytes as MiB, three digits."""
    return text.MISSING if pd.isna(size) else text.significant(size / 2**20)


def _figures(row: dict[Any, Any]) -> dict[str, str]:
    return {
        "p25 µs": interval(row, "step_p25_s", 1e6),
        "median": text.micros(row["step_median_s"]),
        "p99": text.micros(row["step_p99_s"]),
        "steps/s": text.significant(row["steps_per_s"]),
        "samples/s": text.significant(row["samples_per_s"]),
        "import s": text.significant(row["import_s"]),
        "set-up s": text.significant(row["setup_s"]),
        "first call s": _first_call(row),
        "state bytes": "unknown" if pd.isna(row["state_bytes"]) else f"{row['state_bytes']:,.0f}",
        "peak MiB": _peak(row),
        "launches": (
            f"{row['launches']} of {row['planned']}"
            if row["launches"] < row["planned"]
            else str(row["launches"])
        ),
        "contended": str(row["contended"] or ""),
    }


def _first_call(row: dict[Any, Any]) -> str:
    """Of how many steps, where that is not one."""
    seconds, steps = text.significant(row["first_call_s"]), row["first_call_steps"]
    return seconds if pd.isna(steps) or steps == 1 else f"{seconds} ({steps:g} steps)"


def _peak(row: dict[Any, Any]) -> str:
    """What training added to the process, and on a device the framework's own count."""
    grown, device = mebibytes(row["grown_bytes"]), mebibytes(row["device_peak_bytes"])
    return (
        f"+{grown}" + (f", device {device}" if device != text.MISSING else "")
        if grown != text.MISSING
        else text.MISSING
    )


def _parts(row: dict[Any, Any]) -> dict[str, str]:
    return {
        "step": interval(row, "step_p25_s", 1e6),
        "forward": interval(row, "forward_s", 1e6),
        "backward": interval(row, "backward_s", 1e6),
        "optimizer": interval(row, "optimizer_s", 1e6),
        "remainder": interval(row, "remainder_s", 1e6),
        "sum / step": interval(row, "parts_covered"),
    }


def _named(row: dict[Any, Any], column: str) -> str:
    short = {"threads": "threads=", "batch_size": "batch_size="}
    return f"{short.get(column, '')}{row[column]}" if row[column] != "" else ""

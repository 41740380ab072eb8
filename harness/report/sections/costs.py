"""Start-up and memory: what training takes besides its steps."""

from __future__ import annotations

import pandas as pd

from ...spec import MEMORY_STEPS
from .. import cells
from ..builder import Builder
from ..columns import TIMED, Field, field, number
from ..content import Row, Section, TableCell
from ..notes import joined

PLACE = 210


def _state(row: Row) -> TableCell:
    held = row["state_bytes"]
    return TableCell("unknown") if pd.isna(held) else cells.number(held / 2**10)


def _mebibytes(label: str, name: str) -> Field:
    return field(label, lambda row: cells.number(row[name] / 2**20))


START = "start of the framework: set-up and first step of a process's first session"
COLUMNS = [
    *TIMED,
    number("Import, s", "import_s"),
    number("Start, s", "start_s", help=START),
    number("Set-up, s", "setup_s"),
    field("First call, s", cells.first_call),
    field("State, KiB", _state),
    _mebibytes("Before, MiB", "imported_bytes"),
    _mebibytes("Growth, MiB", "grown_bytes"),
    _mebibytes("Device peak, MiB", "device_peak_bytes"),
]


def section(builder: Builder) -> Section:
    """Of timed cells with a known import time or a memory run."""
    found = Section("costs", "Start-up and memory")
    rows = builder.times[builder.times[["import_s", "grown_bytes"]].notna().any(axis=1)]
    if len(rows):
        caption = "Start-up and memory"
        table = builder.table("start-up", caption, COLUMNS, rows, csv="step-times.csv")
        found.add(_meaning(rows), table)
    return found


def _meaning(rows: pd.DataFrame) -> str:
    methods = ", ".join(dict.fromkeys(filter(None, rows["memory_method"])))
    return joined(
        "Import loads the framework. Start is the start of the framework: the first session of a"
        " process, of one dense layer, which sets up devices, thread pools and memory. It is done"
        " before any cell, and no cell's figures hold it. Set-up builds model and optimizer and"
        " places the data; the first call traces and compiles. State is the memory that the"
        " optimizer keeps besides the weights, counted exactly.",
        f"Memory, of a process that does nothing else ({methods}): the growth of the resident set"
        f" by set-up and {MEMORY_STEPS} steps, and the framework's own count of the device's peak."
        if methods
        else "",
    )

"""Where a step goes, and what training takes besides."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from ...spec import MEMORY_STEPS
from .. import cells, figures, tables, text
from ..content import Cell, Column, Section, Table

if TYPE_CHECKING:
    from ..page import Writer


def section(writer: Writer) -> Section:
    section = Section("breakdown", "Where a step goes")
    rows = writer.times.dropna(subset=["forward_s"])
    if rows.empty:
        return section
    section.parts.append(
        "Forward (the loss of a batch), gradient (that and its gradients) and update are compiled"
        " and timed apart, in turn with whole steps on the same batches. Optimizer is the update,"
        " timed alone, here as in `gradrace compare`. Backward is gradient − forward, launch by"
        " launch, so it may come out below zero if it is small. Remainder is what does not add up:"
        " step − forward − backward − optimizer. Above zero, the whole step costs what no part has;"
        " below zero, the parts pay for being driven apart, or the step is compiled into something"
        " better than its parts."
    )
    section.parts.append(_parts_table(writer, rows))
    what = "Stacked bars of the parts of a step, the whole step below each."
    for task, of_task in rows.groupby("task", sort=False):
        section.parts.append(
            writer.figure(
                f"{task}-breakdown",
                partial(figures.breakdown, of_task),
                f"{task}: where a step goes",
                figures.describe(what, of_task["setup"], of_task["series"]),
                None,
                f"{task}: forward, backward and optimizer, each measured apart, above, the whole"
                " step below. Hatched: the remainder, beside the parts if the step takes longer"
                " than they do, over them if not.",
                "step-parts.csv",
            )
        )
    return section


def costs(writer: Writer) -> Section:
    section = Section("costs", "Start-up and memory")
    rows = writer.times[writer.times[["import_s", "grown_bytes"]].notna().any(axis=1)]
    if rows.empty:
        return section
    methods = ", ".join(dict.fromkeys(filter(None, rows["memory_method"])))
    section.parts.append(
        "Import loads the framework, set-up builds model and optimizer and places the data, the"
        " first call traces and compiles. State is what the optimizer keeps besides the weights,"
        " counted exactly."
        + (
            f" Memory, of a process that does nothing else ({methods}): what set-up and"
            f" {MEMORY_STEPS} steps add to the resident set, and the framework's own count of the"
            " device's peak."
            if methods
            else ""
        )
    )
    columns = [
        *cells.TIMED,
        Column("Import, s", "number"),
        Column("Set-up, s", "number"),
        Column("First call, s", "number"),
        Column("State, KiB", "number"),
        Column("Before, MiB", "number"),
        Column("Growth, MiB", "number"),
        Column("Device peak, MiB", "number"),
    ]
    listed = [
        [
            *cells.timed_cell(row),
            cells.number(row["import_s"]),
            cells.number(row["setup_s"]),
            cells.called(row),
            _state(row["state_bytes"]),
            *(
                cells.number(row[name] / 2**20)
                for name in ("imported_bytes", "grown_bytes", "device_peak_bytes")
            ),
        ]
        for row in rows.to_dict("records")
    ]
    section.parts.append(
        writer.table("start-up", "Start-up and memory", columns, listed, csv="step-times.csv")
    )
    return section


def _parts_table(writer: Writer, rows: pd.DataFrame) -> Table:
    names = {
        "step_p25_s": "Step",
        "forward_s": "Forward",
        "backward_s": "Backward",
        "optimizer_s": "Optimizer",
        "remainder_s": "Remainder",
    }
    columns = [
        *cells.TIMED,
        *(
            Column(f"{label}, µs", "number", "below, its 95% interval over launches")
            for label in names.values()
        ),
        Column("Sum / step", "number", "forward + backward + optimizer, over the whole step"),
    ]
    listed = [
        [
            *cells.timed_cell(row),
            *(cells.with_interval(row, name, text.micros) for name in names),
            cells.with_interval(row, "parts_covered"),
        ]
        for row in rows.to_dict("records")
    ]
    kept = [c for c in rows if c in tables.TIMED or c.startswith((*names, "parts_covered"))]
    data = rows[[*kept, "mode", "rule", "hyper", "variation", "launches", "digests"]]
    return writer.table("step-parts", "Parts of a step", columns, listed, data)


def _state(held: float) -> Cell:
    """In KiB."""
    return Cell("unknown") if pd.isna(held) else cells.number(held / 2**10)

"""Where a step goes: its parts, each timed apart, beside the whole."""

from __future__ import annotations

from functools import partial

import pandas as pd

from .. import cells, text
from ..builder import Builder
from ..columns import TIMED, Field, field
from ..content import Section, Table
from ..draw.lazy import Lazy
from ..notes import described
from ..tables.timed import TIMED as NAMES

PLACE = 200
drawn = Lazy("breakdown")
MEANING = (
    "Forward (the loss of a batch), gradient (that and its gradients) and update are compiled"
    " and timed apart, in turn with whole steps on the same batches. Optimizer is the update,"
    " timed alone, here as in `gradrace compare`. Backward is gradient − forward, launch by"
    " launch, so it may come out below zero if it is small. Remainder is what does not add up:"
    " step − forward − backward − optimizer. Above zero, the whole step has a cost that no part"
    " has; below zero, the parts pay for being driven apart, or the step is compiled into something"
    " better than its parts."
)
PARTS = {
    "step_p25_s": "Step",
    "forward_s": "Forward",
    "backward_s": "Backward",
    "optimizer_s": "Optimizer",
    "remainder_s": "Remainder",
}


def _timed(label: str, name: str, form: cells.Form, help: str) -> Field:
    return field(label, partial(cells.limited, name=name, form=form, alike=False), help=help)


COLUMNS = [
    *TIMED,
    *(
        _timed(f"{label}, µs", name, text.micros, "below, its 95% interval over launches")
        for name, label in PARTS.items()
    ),
    _timed(
        "Sum / step",
        "parts_covered",
        text.significant,
        "forward + backward + optimizer, over the whole step",
    ),
]


def section(builder: Builder) -> Section:
    """Of cells that were timed with their parts."""
    found = Section("breakdown", "Where a step goes")
    rows = builder.times.dropna(subset=["forward_s"])
    if rows.empty:
        return found
    found.add(MEANING, _table(builder, rows))
    shown = "Stacked bars of the parts of a step, the whole step below each."
    for task, of_task in rows.groupby("task", sort=False):
        figure = builder.figure(
            f"{task}-breakdown",
            partial(drawn.breakdown, of_task),
            f"{task}: where a step goes",
            described(shown, of_task["setup"], of_task["series"]),
            None,
            f"{task}: forward, backward and optimizer, each measured apart, above, the whole"
            " step below. Hatched: the remainder, beside the parts if the step takes longer"
            " than they do, over them if not.",
            "step-parts.csv",
        )
        found.add(figure)
    return found


def _table(builder: Builder, rows: pd.DataFrame) -> Table:
    kept = [c for c in rows if c in NAMES or c.startswith((*PARTS, "parts_covered"))]
    data = rows[[*kept, "mode", "rule", "hyper", "variation", "machine", "launches", "digests"]]
    records = rows.to_dict("records")
    return builder.table("step-parts", "Parts of a step", COLUMNS, records, data)

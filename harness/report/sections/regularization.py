"""Regularisation: training against validation."""

from __future__ import annotations

from functools import partial

import pandas as pd

from ...statistics import aggregates
from ...statistics.bootstrap import bootstrap_interval
from ...statistics.comparisons import seeds_warning
from .. import cells, text
from ..builder import Builder
from ..columns import NAMES, exact, field, share, spread, word
from ..content import Figure, Row, Section, Table, TableCell
from ..draw.lazy import Lazy
from ..draw.looks import Looks, looks
from ..notes import described, hindsight, joined
from ..tables.grouping import SERIES
from ..tables.variations import settings, summary

PLACE = 130
drawn = Lazy("gaps")
MEANING = (
    "Training loss is the mean over the batches since the last evaluation but one; it holds the"
    " penalty and is taken with dropout active, while evaluations have neither: under a penalty or"
    " dropout it is larger than the bare loss on the training samples would be, and the gap"
    " smaller. A gap above 0 says that validation is worse than training. Compare settings by their"
    " validation figures, and read the gap as the reason."
)


def section(builder: Builder) -> Section:
    """Of runs with several entries of `regularization` or `normalization`."""
    found = Section("regularization", "Regularisation: training against validation")
    for name in ("regularization", "normalization"):
        rows = settings(builder.frames, builder.suite, name)
        if len(rows):
            _add(builder, found, name, rows)
    return found


def _add(builder: Builder, found: Section, name: str, rows: pd.DataFrame) -> None:
    table = summary(rows, [name]).merge(_gaps(rows, name), how="left", on=[*SERIES, name])
    found.warn(seeds_warning(int(table["runs"].min())))
    styles, note = looks(table[name]), hindsight(rows, builder.trained)
    for task, of_task in table.groupby("task", sort=False):
        found.add(_figure(builder, f"{task}", name, of_task, styles, note))
    found.add(MEANING, _table(builder, name, table))


def _gaps(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The 95% interval of the mean gap over seeds, of runs that ended ok."""
    found = []
    for key, group in rows.dropna(subset=["gap"]).groupby([*SERIES, name], sort=False):
        interval = bootstrap_interval([group["gap"].to_numpy()], aggregates.mean)
        found.append((*key, interval.low, interval.high))
    return pd.DataFrame(found, columns=[*SERIES, name, "gap_low", "gap_high"])


def _figure(
    builder: Builder, task: str, name: str, table: pd.DataFrame, styles: Looks, note: str
) -> Figure:
    lost = int((table["runs"] - table["ok"]).sum())
    caption = joined(
        f"{task}: final validation loss against training loss, a mark for each setting: the mean"
        " over the runs that ended ok; bars: their range, not an interval. On the grey line both"
        " are equal; above it validation is worse.",
        f"{text.plural(lost, 'run')} did not end ok and have no place in the picture; the table"
        " counts them."
        if lost
        else "",
        note,
    )
    shown = "Final validation loss against training loss."
    return builder.figure(
        f"{task}-{name}",
        partial(drawn.gaps, table, name, styles),
        f"{task}: {name}",
        described(shown, table["series"], table[name]),
        table,
        caption,
    )


def _table(builder: Builder, name: str, table: pd.DataFrame) -> Table:
    accuracy = {builder.metrics[task] for task in table["task"]} == {"accuracy"}
    form = text.percent if accuracy else text.significant
    fields = [
        *NAMES,
        word(name.capitalize(), name),
        exact("Learning rate", "learning_rate"),
        spread("Training loss", "train_loss"),
        spread("Validation loss", "final_validation_loss", help="final; below, the range"),
        field("Gap", _gap, help="validation - training; below, its 95% interval over seeds"),
        spread("Validation metric", "metric", form, "final; below, the range"),
        share("Ended ok", "ok", "runs"),
    ]
    caption = f"{name.capitalize()}: training and validation"
    return builder.table(f"{name}-gaps", caption, fields, table)


def _gap(row: Row) -> TableCell:
    return cells.limited({**row, "gap": row["gap_mean"]}, "gap")

"""Native against canonical: how a user ends who just switches frameworks."""

from __future__ import annotations

from functools import partial

import pandas as pd

from ...statistics.comparisons import seeds_warning
from .. import cells, tables, text
from ..builder import Builder
from ..columns import field, interval, number, whole, word
from ..content import Figure, Row, Section, TableCell
from ..draw.lazy import Lazy
from ..draw.looks import looks
from ..notes import described
from ..tables import native

PLACE = 150
drawn = Lazy("ratios")
MEANING = (
    "Canonical runs follow one update rule with the same hyperparameters in every framework; native"
    " ones are the library's own class with its own defaults, only the learning rate aligned. Runs"
    " are paired by task, framework, optimizer, schedule, learning rate, batch size and seed. The"
    " ratio is the native final validation loss over the canonical one, a geometric mean over seeds"
    " and learning rates; its 95% interval is over these pairs. The curve difference is the mean"
    " over evaluations of the absolute logarithm of that ratio, as a percentage: 0 only if both"
    " trained alike. A pair of which a run did not end ok has no ratio, and is counted."
)


def _lost(row: Row) -> TableCell:
    return cells.number(row["lost"], cells.WHOLE, flag="diverged" if row["lost"] else "")


RATIOS = [
    word("Task", "task"),
    word("Framework", "framework"),
    word("Optimizer", "optimizer"),
    interval("Native / canonical", "ratio", help="below, its 95% interval"),
    number("Curve difference", "curve", text.percent, "mean over evaluations"),
    whole("Pairs", "pairs"),
    field("Without a ratio", _lost, help="a run of the pair did not end ok"),
]
SPREADS = [
    word("Task", "task"),
    word("Optimizer", "optimizer"),
    word("Rule", "rule"),
    word("Frameworks", "frameworks"),
    number(
        "Spread of final loss",
        "spread",
        lambda share: f"{text.significant(100 * share, 2)}%",
        "greatest over least final validation loss - 1, mean over groups",
    ),
    whole("Groups", "groups", "runs alike in all but the framework"),
    whole("Without a spread", "lost", "a run of the group did not end ok"),
]


def section(builder: Builder) -> Section:
    """Of a suite with native runs; canonical partners may be of any suite of the report."""
    found = Section("native", "Native against canonical")
    if not (builder.trained["rule"] == "native").any():
        return found
    runs = _runs(builder)
    pairs = native.paired(builder.frames, runs)
    if len(pairs):
        found.warn(seeds_warning(int(pairs.groupby(native.OF)["seed"].nunique().min())))
        table = native.ratios(pairs)
        found.add(MEANING)
        for task, rows in table.dropna(subset=["ratio"]).groupby("task", sort=False):
            found.add(_figure(builder, str(task), rows))
        caption = "Final loss and curve, native against canonical"
        found.add(builder.table("native-ratios", caption, RATIOS, table))
    spreads = native.spreads(runs)
    if len(spreads):
        caption = "Spread between frameworks under each rule"
        found.add(builder.table("spread", caption, SPREADS, spreads))
    return found


def _runs(builder: Builder) -> pd.DataFrame:
    """The suite's convergence runs, and the canonical ones of other suites, each digest once."""
    suites = (suite for suite in builder.frames.plans if suite != builder.suite)
    others = [tables.runs(builder.frames, suite, "convergence") for suite in suites]
    canonical = [rows[rows["rule"] == "canonical"] for rows in others]
    return pd.concat([builder.trained, *canonical], ignore_index=True).drop_duplicates("digest")


def _figure(builder: Builder, task: str, table: pd.DataFrame) -> Figure:
    names = table.rename(columns={"framework": "setup", "optimizer": "series"})
    label = "final validation loss, native / canonical"
    shown = "Ratio of final validation losses, native over canonical."
    lost = text.plural(int(table["lost"].sum()), "pair")
    return builder.figure(
        f"{task}-native",
        partial(drawn.ratios, names, looks(names["setup"]), label),
        f"{task}: native over canonical",
        described(shown, names["setup"], names["series"]),
        table,
        f"{task}: final validation loss under the library's own defaults over that under the"
        " canonical rule, geometric mean over pairs. Bars: 95% bootstrap intervals over pairs. On"
        " the dashed line both ended alike; left of it the native run ended lower."
        f" {lost} had a run that did not end ok, and no ratio.",
        small=True,
    )

"""Native against canonical: what a user gets who just switches frameworks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing

from ...results.frame import Frames
from ...statistics import aggregates
from ...statistics.bootstrap import bootstrap_interval
from ...statistics.comparisons import seeds_warning
from .. import figures, tables, text
from ..content import Cell, Column, Section, Table
from ..figures import Looks
from . import draw_lines
from .shared import between, joined, number

if TYPE_CHECKING:
    from ..page import Writer

# What two runs share that differ in their rule alone, or in their framework alone.
PAIR = [
    "task",
    "framework",
    "optimizer",
    "schedule",
    "schedule_params",
    "learning_rate",
    "batch_size",
    "steps",
    "seed",
    "variation",
]
ACROSS = [name for name in PAIR if name != "framework"]
MEANING = (
    "Canonical runs follow one update rule with the same hyperparameters in every framework; native"
    " ones are the library's own class with its own defaults, only the learning rate aligned. Runs"
    " are paired by task, framework, optimizer, schedule, learning rate, batch size and seed. The"
    " ratio is the native final validation loss over the canonical one, a geometric mean over seeds"
    " and learning rates; its 95% interval is over these pairs. The curve difference is the mean"
    " over evaluations of the absolute logarithm of that ratio, as a percentage: 0 only where both"
    " trained alike. Pairs of which a run did not end ok have no ratio, and are counted."
)


def section(writer: Writer) -> Section:
    """Of a suite with native runs; canonical partners may be of any suite of the report."""
    found = Section("native", "Native against canonical")
    if not (writer.trained["rule"] == "native").any():
        return found
    runs = _runs(writer)
    pairs = paired(writer.frames, runs)
    if len(pairs):
        table = ratios(pairs)
        warning = seeds_warning(
            int(pairs.groupby(["task", "framework", "optimizer"])["seed"].nunique().min())
        )
        found.warnings += [warning] if warning else []
        found.parts.append(MEANING)
        drawn = table.dropna(subset=["ratio"])
        found.parts += [
            _figure(writer, str(task), rows) for task, rows in drawn.groupby("task", sort=False)
        ]
        found.parts.append(_ratio_table(writer, table))
    between_frameworks = spreads(runs)
    if len(between_frameworks):
        found.parts.append(_spread_table(writer, between_frameworks))
    return found


def _runs(writer: Writer) -> pd.DataFrame:
    """The suite's convergence runs, and the canonical ones of other suites, each digest once."""
    others = [
        tables.runs(writer.frames, suite, "convergence")
        for suite in writer.frames.plans
        if suite != writer.suite
    ]
    canonical = [rows[rows["rule"] == "canonical"] for rows in others]
    return pd.concat([writer.trained, *canonical], ignore_index=True).drop_duplicates("digest")


def paired(frames: Frames, runs: pd.DataFrame) -> pd.DataFrame:
    """One row a pair: PAIR, status_native, status_canonical, log_ratio (of final validation losses)
    and curve (mean absolute log ratio over the evaluations that both have), NaN where a run did not
    end ok; digests of both."""
    names = [*PAIR, "digest", "status", "final_validation_loss"]
    native, canonical = (runs.loc[runs["rule"] == rule, names] for rule in ("native", "canonical"))
    pairs = native.merge(
        canonical.drop_duplicates(PAIR), on=PAIR, suffixes=("_native", "_canonical")
    )
    ended = (pairs["status_native"] == "ok") & (pairs["status_canonical"] == "ok")
    losses = pairs[["final_validation_loss_native", "final_validation_loss_canonical"]].astype(
        "float64"
    )
    positive = ended & (losses > 0).all(axis=1)
    logs = np.log(losses.where(positive))
    curves = _curves(frames, {*pairs["digest_native"], *pairs["digest_canonical"]})
    apart = [
        _apart(curves.get(a), curves.get(b)) if fine else np.nan
        for a, b, fine in zip(
            pairs["digest_native"], pairs["digest_canonical"], positive, strict=True
        )
    ]
    return pairs.assign(log_ratio=logs.iloc[:, 0] - logs.iloc[:, 1], curve=apart)


def _curves(frames: Frames, digests: set[str]) -> dict[str, pd.Series]:
    points = frames.curves[
        (frames.curves["series"] == "validation_loss") & frames.curves["digest"].isin(digests)
    ]
    return {
        str(digest): rows.set_index("step")["value"] for digest, rows in points.groupby("digest")
    }


def _apart(a: pd.Series | None, b: pd.Series | None) -> float:
    if a is None or b is None:
        return float("nan")
    both = pd.concat([a, b], axis=1, join="inner").to_numpy(dtype=np.float64)
    both = both[(both > 0).all(axis=1) & np.isfinite(both).all(axis=1)]
    return float(np.abs(np.log(both[:, 0] / both[:, 1])).mean()) if len(both) else float("nan")


def ratios(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row a task, framework and optimizer: pairs, lost (without a ratio), ratio with limits,
    curve (mean, as a share).
    """
    rows: list[dict[str, Any]] = []
    for key, group in pairs.groupby(["task", "framework", "optimizer"], sort=False):
        logs = group["log_ratio"].dropna().to_numpy()
        row: dict[str, Any] = {
            **dict(zip(("task", "framework", "optimizer"), key, strict=True)),
            "pairs": len(group),
            "lost": len(group) - len(logs),
        }
        limits = bootstrap_interval([logs], aggregates.mean)[:3] if len(logs) else (np.nan,) * 3
        row |= {
            name: float(np.exp(v))
            for name, v in zip(("ratio", "ratio_low", "ratio_high"), limits, strict=True)
        }
        rows.append(row | {"curve": float(np.expm1(group["curve"].mean()))})
    return pd.DataFrame(rows)


def spreads(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a task, optimizer and rule that several frameworks ran: frameworks, groups (of runs
    alike in all but the framework), lost (groups with a run that did not end ok), spread: the mean
    over groups of the greatest final validation loss over the least, less 1."""
    rows = []
    for key, of in runs.groupby(["task", "optimizer", "rule"], sort=False):
        frameworks = of["framework"].nunique()
        groups = [
            group
            for _, group in of.groupby(
                [n for n in ACROSS if n not in ("task", "optimizer")], sort=False
            )
        ]
        groups = [group for group in groups if group["framework"].nunique() == frameworks]
        if frameworks < 2 or not groups:
            continue
        ended = [
            group["final_validation_loss"] for group in groups if (group["status"] == "ok").all()
        ]
        whole = [losses for losses in ended if (losses > 0).all()]
        spread = (
            float(np.mean([losses.max() / losses.min() - 1 for losses in whole]))
            if whole
            else np.nan
        )
        rows.append(
            (
                *key,
                ", ".join(dict.fromkeys(of["framework"])),
                len(groups),
                len(groups) - len(whole),
                spread,
            )
        )
    return pd.DataFrame(
        rows, columns=["task", "optimizer", "rule", "frameworks", "groups", "lost", "spread"]
    )


def _figure(writer: Writer, task: str, table: pd.DataFrame) -> Any:
    names = table.rename(columns={"framework": "setup", "optimizer": "series"})
    return writer.figure(
        f"{task}-native",
        partial(drawing, names, figures.looks(names["setup"])),
        f"{task}: native over canonical",
        figures.describe(
            "Ratio of final validation losses, native over canonical.",
            names["setup"],
            names["series"],
        ),
        table,
        f"{task}: final validation loss under the library's own defaults over that under the"
        " canonical rule, geometric mean over pairs. Bars: 95% bootstrap intervals over pairs. On"
        " the dashed line both ended alike; left of it the native run ended lower."
        f" {text.plural(int(table['lost'].sum()), 'pair')} had a run that did not end ok, and no"
        " ratio.",
        small=True,
    )


def drawing(table: pd.DataFrame, styles: Looks) -> Drawing:
    """One line a framework and optimizer, logarithmic."""
    figure, axes, places = figures._dot_panels(table, styles, ["one"], 6.4)
    axis = axes[0]
    shown = table["ratio"].to_numpy(dtype=np.float64)
    reach = max(1.25, *(np.exp(2 * np.abs(np.log(shown)))))
    for row, y in zip(table.to_dict("records"), places, strict=True):
        look = styles[row["setup"]]
        axis.hlines(
            y,
            max(row["ratio_low"], 1 / reach),
            min(row["ratio_high"], reach),
            color=look.color,
            linewidth=2,
            alpha=0.5,
        )
        axis.plot([row["ratio"]], [y], look.marker, color=look.color, markersize=5)
    draw_lines.level(axis, 1.0, vertical=True)
    axis.set_xlim(1 / reach, reach)
    draw_lines.logarithmic(axis, "x", pd.Series([1 / reach, reach]))
    axis.set_xlabel("final validation loss, native / canonical")
    figures._legend(figure, styles, table["setup"], "marker")
    return figure


def _ratio_table(writer: Writer, table: pd.DataFrame) -> Table:
    columns = [
        Column("Task"),
        Column("Framework"),
        Column("Optimizer"),
        Column("Native / canonical", "number", "below, its 95% interval"),
        Column("Curve difference", "number", "mean over evaluations"),
        Column("Pairs", "number"),
        Column("Without a ratio", "number", "a run of the pair did not end ok"),
    ]
    cells = [
        [
            Cell(row["task"]),
            Cell(row["framework"]),
            Cell(row["optimizer"]),
            between(row, "ratio"),
            number(row["curve"], text.percent),
            number(row["pairs"], "{:g}".format),
            number(row["lost"], "{:g}".format, flag="diverged" if row["lost"] else ""),
        ]
        for row in table.to_dict("records")
    ]
    return writer.table(
        "native-ratios", "Final loss and curve, native against canonical", columns, cells, table
    )


def _spread_table(writer: Writer, table: pd.DataFrame) -> Table:
    columns = [
        Column("Task"),
        Column("Optimizer"),
        Column("Rule"),
        Column("Frameworks"),
        Column(
            "Spread of final loss",
            "number",
            "greatest over least final validation loss - 1, mean over groups",
        ),
        Column("Groups", "number", "runs alike in all but the framework"),
        Column("Without a spread", "number", "a run of the group did not end ok"),
    ]
    cells = [
        [
            Cell(row["task"]),
            Cell(row["optimizer"]),
            Cell(row["rule"]),
            Cell(row["frameworks"]),
            number(row["spread"], lambda share: f"{text.significant(100 * share, 2)}%"),
            number(row["groups"], "{:g}".format),
            number(row["lost"], "{:g}".format),
        ]
        for row in table.to_dict("records")
    ]
    return writer.table(
        "spread", joined("Spread between frameworks under each rule"), columns, cells, table
    )

"""Runs of one's choice in one picture, each a line under what tells it apart from the others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from ..errors import ExitCode, UserError
from ..report import tables
from ..report.draw.convergence import convergence
from ..report.draw.looks import looks
from ..results.frame import Frames
from .sections import Drawing

# Lines that can still be told apart.
MOST = 12
# Columns of runs that may tell them apart, in the order of a name.
_TOLD = (
    *("framework", "mode", "optimizer", "rule", "schedule", "schedule_params", "learning_rate"),
    *("hyper", "variation", "batch_size", "dtype", "device", "threads", "steps", "seed", "machine"),
)
_UNITS = {"learning_rate": "lr ", "batch_size": "batch ", "seed": "seed ", "threads": "threads "}


def drawing(frames: Frames, digests: Sequence[str], task: str | None) -> Drawing:
    """UserError for an unknown or ambiguous digest, runs of several tasks, or too many runs."""
    runs = frames.runs[frames.runs["measure"] == "convergence"].drop_duplicates("digest")
    if task is not None:
        runs = runs[runs["task"] == task]
    runs = pd.concat([_run(runs, each) for each in dict.fromkeys(digests)]) if digests else runs
    runs = runs.drop_duplicates("digest").reset_index(drop=True)
    _check(runs)
    runs = runs.assign(setup=runs["task"], series=names(runs))
    points = tables.curves(frames, runs)
    shown = points[points["status"].isin(("ok", "diverged"))]
    if shown.empty:
        raise UserError("compare: none of these runs has a curve", ExitCode.NOTHING_MATCHED)
    lost, spec = shown[shown["status"] == "diverged"], frames.records[runs["digest"][0]].spec.task
    draw = partial(
        convergence, tables.bands(shown), lost, looks(runs["series"]), spec.target, spec.metric
    )
    caption = f"{spec.name}: single runs by step. Runs that end in a cross diverged."
    return Drawing("compared", draw, f"{spec.name}: runs compared", caption)


def names(runs: pd.DataFrame) -> list[str]:
    """What tells each run apart: 'adam · lr 0.01 · seed 1'; its digest if nothing does."""
    columns: list[str] = []
    for name in _TOLD:
        # A column tells apart what those before it do not: adam's betas are not sgd's by nature.
        groups = (
            runs.groupby(columns, dropna=False)[name]
            if columns
            else runs.assign(all=0).groupby("all")[name]
        )
        columns += [name] if (groups.nunique(dropna=False) > 1).any() else []
    columns = columns or ["optimizer"]
    found = [
        " · ".join(
            f"{_UNITS.get(name, '')}{_text(row[name])}" for name in columns if _text(row[name])
        )
        for row in runs[columns].to_dict("records")
    ]
    return [
        name if found.count(name) == 1 else f"{name} · {digest[:8]}"
        for name, digest in zip(found, runs["digest"], strict=True)
    ]


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _run(runs: pd.DataFrame, start: str) -> pd.DataFrame:
    found = runs[runs["digest"].str.startswith(start)] if start else runs.iloc[:0]
    if len(found) != 1:
        why = "no training run" if found.empty else f"{len(found)} training runs"
        raise UserError(
            f"compare: {why} of these results has a digest that begins with {start!r}; the column"
            " `digest` of frames.runs has them"
        )
    return found


def _check(runs: pd.DataFrame) -> None:
    tasks = list(dict.fromkeys(runs["task"]))
    if not tasks:
        raise UserError("compare: these results hold no training run", ExitCode.NOTHING_MATCHED)
    if len(tasks) > 1:
        raise UserError(
            f"compare: runs of several tasks share no picture ({', '.join(tasks)}); choose one by"
            " task="
        )
    if len(runs) > MOST:
        raise UserError(
            f"compare: {len(runs)} runs are too many for one picture; name at most {MOST} by their"
            " digests, or filter the results"
        )

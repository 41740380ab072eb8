"""What names runs in figures: the framework with its mode, and whatever else a suite varies."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any

import pandas as pd

from ...results.columns import words
from ...results.frame import Frames
from ...spec import number_text
from .grouping import varies

# The settings that have a column of their own in the summary.
CELL = words(
    "task framework mode optimizer rule schedule schedule_params learning_rate hyper"
    " variation device dtype threads batch_size steps target"
)
_UNITS = {"learning_rate": "lr", "batch_size": "batch", "threads": "threads"}


def named(row: Mapping[Hashable, Any], column: str) -> str:
    """The value with its unit: 'lr 0.01'; empty if it is missing."""
    value = row[column]
    if column in _UNITS:
        return "" if pd.isna(value) else f"{_UNITS[column]} {number_text(float(value))}"
    return str(value)


def joined(row: Mapping[Hashable, Any], columns: Collection[str], by: str = " · ") -> str:
    """The values of these columns that are not empty."""
    return by.join(filter(None, (named(row, column) for column in columns)))


def variation(frames: Frames, digest: str, without: Collection[str] = ()) -> str:
    """The run's variations, except those that have a column of their own."""
    own = {*CELL, "lr", "base_lr", "seed", "draw", *without}
    varied = frames.records[digest].spec.variations.items()
    return ", ".join(f"{key}={value}" for key, value in varied if key.rpartition(".")[2] not in own)


def setups(rows: pd.DataFrame) -> list[str]:
    """'jax (scan)', with device, dtype or threads if they vary."""
    extras = [column for column in ("device", "dtype", "threads") if _varies(rows, column)]
    return [
        f"{row['framework']} ({', '.join([row['mode'], *(named(row, c) for c in extras)])})"
        for row in rows[["framework", "mode", *extras]].to_dict("records")
    ]


def variants(rows: pd.DataFrame, without: Collection[str] = ()) -> list[str]:
    """Whatever varies besides setup, optimizer, learning rate and `without`."""
    columns = [c for c in ("rule", "batch_size") if _varies(rows, c)]
    if _varies(rows, "variation") or has_groups(rows):
        columns.append("variation")
    if varies(rows, "schedule_params", ["task", "schedule"]):
        columns.append("schedule_params")
    if _varies(rows, "schedule"):
        columns.insert(0, "schedule")
    columns = [c for c in columns if c.removesuffix("_params") not in without]
    if "hyper" not in without and hypers_unsaid(rows):
        columns.append("hyper")
    return [joined(row, columns) for row in rows[["task", *columns]].to_dict("records")]


def has_groups(rows: pd.DataFrame) -> bool:
    """Whether runs have parameter groups: their optimizer's name alone would say something else."""
    return bool(rows["variation"].str.contains("groups=", regex=False).any())


def hypers_unsaid(rows: pd.DataFrame) -> bool:
    """Whether hyperparameters vary in a way that the names of the variations do not tell."""
    return varies(rows, "hyper", ["task", "optimizer", "rule", "variation"])


def _varies(rows: pd.DataFrame, column: str) -> bool:
    """Whether a column tells runs of one task and measure apart: tasks differ in batch size by
    nature, timing runs from convergence runs in rule and mode."""
    return varies(rows, column, [c for c in ("task", "measure") if c in rows])

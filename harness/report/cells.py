"""Cells of tables from rows of tidy tables."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from ..spec import number_text
from . import tables, text
from .content import Cell, Column, Row

# What tells timed cells apart, as the first columns of their tables.
TIMED = (Column("Task"), Column("Framework"), Column("Optimizer"))


def timed_cell(row: Row) -> list[Cell]:
    """The cells of the columns TIMED."""
    return [Cell(row["task"]), Cell(row["setup"]), Cell(row["series"], note=row["rule"])]


def number(value: float, form: Callable[[float], str] = text.significant) -> Cell:
    return Cell(text.MISSING) if pd.isna(value) else Cell(form(value), float(value))


def plain(row: Row, name: str) -> Cell:
    """The number as it was asked for: different ones never look alike."""
    return number(row[name], lambda value: number_text(float(value)))


def word(row: Row, name: str) -> Cell:
    return Cell(str(row[name]))


def mean(row: Row, quantity: str, form: Callable[[float], str] = text.significant) -> Cell:
    mean, low, high = (row[f"{quantity}_{s}"] for s in ("mean", "min", "max"))
    if pd.isna(mean):
        return Cell(text.MISSING)
    return Cell(form(mean), float(mean), text.spread(low, high, form))


def micros(row: Row, name: str, note: str = "") -> Cell:
    if pd.isna(row[name]):
        return Cell(text.MISSING)
    flag = "contended" if name == "step_p25_s" and row["contended"] > 0 else ""
    return Cell(text.micros(row[name]), float(row[name]), note, flag=flag)


def with_interval(row: Row, name: str, form: Callable[[float], str] = text.significant) -> Cell:
    """The figure with its interval below."""
    value, low, high = (row[f"{name}{limit}"] for limit in ("", "_low", "_high"))
    return (
        Cell(text.MISSING)
        if pd.isna(value)
        else Cell(form(value), float(value), text.spread(low, high, form))
    )


def called(row: Row) -> Cell:
    """Seconds of the first call, with its steps where it took several."""
    steps = row["first_call_steps"]
    note = "" if pd.isna(steps) or steps == 1 else text.plural(int(steps), "step")
    return (
        Cell(text.MISSING)
        if pd.isna(row["first_call_s"])
        else Cell(text.significant(row["first_call_s"]), float(row["first_call_s"]), note)
    )


def framework(row: Row) -> Cell:
    return Cell(row["framework"], note=row["mode"])


def steps_to_target(row: Row) -> Cell:
    return Cell(tables.steps_text(row), _finite(row["steps_to_target"]))


def seconds_to_target(row: Row) -> Cell:
    seconds = text.seconds_to_target(row["seconds_to_target"], row["reached"], row["budget_s"])
    return Cell(seconds, _finite(row["seconds_to_target"]))


def first_call(row: Row) -> Cell:
    return number(row["first_call_s"])


def timed_as(row: Row) -> Cell:
    """How the cell was timed; if not in this setting, what was timed instead."""
    return Cell(row["timed_mode"] or row["timed_instead"] or text.MISSING, note=row["timed_rule"])


def native(row: Row) -> Cell:
    """The step time of the library's own class, and in which mode."""
    if pd.isna(row["native_p25_s"]):
        return Cell(text.MISSING)
    return Cell(text.micros(row["native_p25_s"]), float(row["native_p25_s"]), row["native_mode"])


def runs(row: Row) -> Cell:
    worst = next((s for s in reversed(text.STATUSES) if row[s]), "ok")
    return Cell(text.counts(row), runs=row["digests"], flag="" if worst == "ok" else worst)


def _finite(value: float) -> float | None:
    """What a column is sorted by: runs that missed the target come after all others."""
    return None if math.isnan(value) else min(float(value), 1e300)

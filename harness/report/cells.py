"""Cells of tables, from numbers and from rows of tidy tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from ..spec import number_text
from . import tables, text
from .content import Row, TableCell

Form = Callable[[float], str]
WHOLE: Form = "{:g}".format
THOUSANDS: Form = "{:,.0f}".format
# The endings of columns: an estimate with its interval, a mean over runs with their range.
INTERVAL, RANGE = ("", "_low", "_high"), ("_mean", "_min", "_max")


def number(value: Any, form: Form = text.significant, note: str = "", flag: str = "") -> TableCell:
    """A number; a dash if it is missing. An infinite one sorts last."""
    if pd.isna(value):
        return TableCell(text.MISSING, note=note)
    return TableCell(form(value), max(-1e300, min(float(value), 1e300)), note, flag=flag)


def exact(row: Row, name: str) -> TableCell:
    """The number as it was asked for: different ones never look alike."""
    return number(row[name], lambda value: number_text(float(value)))


def limited(
    row: Row,
    name: str,
    form: Form = text.significant,
    ends: tuple[str, str, str] = INTERVAL,
    alike: bool = True,
) -> TableCell:
    """A number with its limits below; limits that read `alike` are left out if that is False."""
    value, low, high = (row[f"{name}{end}"] for end in ends)
    if pd.isna(value):
        return TableCell(text.MISSING)
    return number(value, form, text.limits(low, high, form, alike))


mean = partial(limited, ends=RANGE, alike=False)


def micros(row: Row, name: str, note: str = "") -> TableCell:
    """Seconds, as microseconds; the p25 of contended launches is flagged."""
    if pd.isna(row[name]):
        return TableCell(text.MISSING)
    flag = "contended" if name == "step_p25_s" and row["contended"] > 0 else ""
    return number(row[name], text.micros, note, flag)


def share(row: Row, name: str, of: str, note: str = "", runs: bool = True) -> TableCell:
    """'4 of 5', sorted by the share, with the runs behind it."""
    count, total = row[name], row[of]
    return TableCell(f"{count} of {total}", count / total, note, row["digests"] if runs else "")


def first_call(row: Row) -> TableCell:
    """Seconds of the first call, with its steps if it took several."""
    steps = row["first_call_steps"]
    note = "" if pd.isna(steps) or steps == 1 else text.plural(int(steps), "step")
    return number(row["first_call_s"], note="" if pd.isna(row["first_call_s"]) else note)


def steps_to_target(row: Row) -> TableCell:
    """Sorted so that cells that missed the target come last."""
    return TableCell(tables.steps_text(row), number(row["steps_to_target"]).sort)


def seconds_to_target(row: Row) -> TableCell:
    """Steps to target times the mean step time."""
    seconds = row["seconds_to_target"]
    said = text.seconds_to_target(seconds, row["reached"], row["budget_s"])
    return TableCell(said, number(seconds).sort)


def timed_as(row: Row) -> TableCell:
    """How the cell was timed; if not in this setting, what was timed instead."""
    said = row["timed_mode"] or row["timed_instead"] or text.MISSING
    return TableCell(said, note=row["timed_rule"])


def native(row: Row) -> TableCell:
    """The step time of the library's own class, and in which mode."""
    if pd.isna(row["native_p25_s"]):
        return TableCell(text.MISSING)
    return number(row["native_p25_s"], text.micros, row["native_mode"])


def runs(row: Row) -> TableCell:
    """How many runs ended in which way, flagged by the worst of them."""
    worst = next((s for s in reversed(text.STATUSES) if row[s]), "ok")
    return TableCell(text.counts(row), runs=row["digests"], flag="" if worst == "ok" else worst)

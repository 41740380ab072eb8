"""The cost of a step in each framework."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ...statistics.intervals import FEWEST_LAUNCHES
from .. import tables, text
from ..builder import Builder
from ..content import Reply, Row
from ..tables.step_costs import by_rule
from . import words

QUESTION = "In which framework, at what cost?"
# Setups in a sentence, and machines that have one.
_SETUPS, _MACHINES = 4, 3


def reply(builder: Builder, costs: pd.DataFrame) -> Reply:
    """Ratios of step times to the cheapest setup's, a sentence for each machine and rule."""
    if costs.empty:
        lost = len(builder.times) > 0
        says = "Steps were timed, but no launch ended ok" if lost else "No step was timed here"
        return Reply(QUESTION, (f"{says}: nothing is known of their cost.",))
    found = by_rule(costs, builder.trained)
    told = [_sentence(rows, builder) for rows in found[:_MACHINES]]
    if len(found) > _MACHINES:
        told.append(f"{len(found) - _MACHINES} more machines and rules stand under Step time.")
    cautions = tuple(_cautions(builder))
    return Reply(QUESTION, tuple(told), cautions, f"{builder.suite}-step-time")


def _sentence(rows: pd.DataFrame, builder: Builder) -> str:
    """'The cheapest steps are those of jax (scan); one costs 3.1× [3.0, 3.2] in torch (eager), by
    cell 1.9 to 6.1×.'"""
    all_rows = rows.to_dict("records")
    reference = next(row for row in all_rows if row["setup"] == row["reference"])
    others = [row for row in all_rows if row is not reference and row["cells"]]
    begin = _where(reference, builder)
    if not others:
        least, most = (
            text.micros(reference["seconds_least"]),
            text.micros(reference["seconds_most"]),
        )
        span = least if least == most else f"{least} to {most}"
        return (
            f"{begin}A step of {reference['setup']} takes {span} µs; nothing here compares with it."
        )
    told = words.listed(map(_ratio, others), _SETUPS)
    cells = text.plural(int(others[0]["cells"]), "cell")
    return f"{begin}{reference['setup']} has the cheapest steps ({cells}); one costs {told}."


def _where(row: Row, builder: Builder) -> str:
    """'Canonical rule, on a1: ', as far as the suite has several."""
    rule = f"{row['rule']} rule" if builder.times["rule"].nunique() > 1 else ""
    on = f"on {builder.machines[row['machine']]}" if _several(builder) else ""
    said = ", ".join(filter(None, [rule, on]))
    return f"{said[:1].upper()}{said[1:]}: " if said else ""


def _ratio(row: Row) -> str:
    """'3.11× [3.02, 3.20] in torch (eager) (by cell 1.9× to 6.1×)'"""
    low, high = row["ratio_low"], row["ratio_high"]
    limits = text.limits(low, high).replace("–", ", ")
    said = f"{words.times(row['ratio'])}{f' [{limits}]' if limits else ''} in {row['setup']}"
    if low <= 1 <= high:
        said += ", not shown to differ"
    if row["most"] > 1.02 * row["least"]:
        said += f" (by cell {_span(row['least'], row['most'])})"
    return said


def _span(least: float, most: float) -> str:
    """'1.9 to 6.1×'"""
    return f"{text.significant(least, 2)} to {text.significant(most, 2)}×"


def _several(builder: Builder) -> bool:
    return tables.timed_on_several(builder.times)


def _cautions(builder: Builder) -> Iterator[str]:
    times = builder.times
    cells = text.plural(len(times), "timed cell")
    if _several(builder):
        again = times[times["launches"] > 0].groupby(["task", "series", "setting"])["machine"]
        twice = text.plural(int((again.nunique() > 1).sum()), "cell")
        names = ", ".join(dict.fromkeys(builder.machines[name] for name in times["machine"]))
        yield (
            f"Timed on several machines ({names}), {twice} on more than one: compare times of one"
            " machine only."
        )
    if few := int(times["launches"].between(1, FEWEST_LAUNCHES - 1).sum()):
        yield (
            f"{few} of {cells} had fewer than {FEWEST_LAUNCHES} launches, and so no interval:"
            " launches differ by about 1 to 3% on their own."
        )
    if contended := int((times["contended"] > 0).sum()):
        yield (
            f"{contended} of {cells} shared the core with other work: step times, marked *, may be"
            " too long."
        )

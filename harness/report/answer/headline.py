"""The answer in one line, for an index of suites."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from ...statistics.comparisons import NO_CLEAR_WINNER
from .. import text
from ..builder import Builder
from ..tables.step_costs import by_rule
from . import words
from .ahead import is_clear, nothing_ended, of_task

MOST = 120
# Letters of a name, and names.
_NAME, _NAMES = 24, 2


def headline(builder: Builder, standings: pd.DataFrame, costs: pd.DataFrame) -> str:
    """At most MOST letters: the leaders, then the cost of a step if that fits."""
    lead, cost = _lead(builder, standings), _cost(builder, costs)
    both = "; ".join(filter(None, (lead, cost))) or "No run ended yet"
    return both if len(both) <= MOST else words.name(lead or cost, MOST)


def _lead(builder: Builder, standings: pd.DataFrame) -> str:
    """'adam leads on 3 of 3 tasks', 'No clear winner on 2 tasks; adam is ahead on 1'."""
    if builder.trained.empty:
        return ""
    if standings.empty:
        return "No run tried its target"
    rows = {task: of_task(standings, task) for task in dict.fromkeys(standings["task"])}
    ended = {task: of for task, of in rows.items() if not nothing_ended(of)}
    if not ended:
        return "Every run diverged or ran out of time"
    total = text.plural(len(rows), "task")
    clear = [of.loc[of["leads"].astype(bool), "series"] for of in ended.values() if is_clear(of)]
    if clear:
        names, most = _most(clear)
        return (
            f"{words.listed(names, _NAMES)} {'lead' if names[1:] else 'leads'} on {most} of {total}"
        )
    if all(len(of) == 1 for of in ended.values()):
        return f"One setting on {total}"
    names, most = _most([of.loc[of["best"].astype(bool), "series"] for of in ended.values()])
    ahead = f"{words.listed(names, _NAMES)} {'are' if names[1:] else 'is'} ahead on {most}"
    return f"{NO_CLEAR_WINNER.capitalize()} on {total}; {ahead}"


def _most(flagged: list[pd.Series]) -> tuple[list[str], int]:
    """Those flagged on most tasks, and on how many."""
    counts = Counter(str(name) for names in flagged for name in dict.fromkeys(names))
    most = max(counts.values())
    return [words.name(name, _NAME) for name, n in counts.items() if n == most], most


def _cost(builder: Builder, costs: pd.DataFrame) -> str:
    """'a step costs 3.1× in torch (eager), over jax (scan)' of the dearest setup."""
    for rows in by_rule(costs, builder.trained) if len(costs) else []:
        others = rows[rows["ratio"].notna() & (rows["setup"] != rows["reference"])]
        if len(others):
            dearest = others.to_dict("records")[-1]
            ratio = words.times(dearest["ratio"])
            return f"{dearest['setup']} steps cost {ratio} those of {dearest['reference']}"
    return ""

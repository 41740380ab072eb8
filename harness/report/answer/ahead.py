"""Which optimizer leads, task by task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pandas as pd

from ...statistics.comparisons import FEW_SEEDS, NO_CLEAR_WINNER
from ...statistics.leaders import seeds_needed
from .. import text
from ..builder import Builder
from ..content import Reply
from ..tables.standings import LOSS, METRIC, SECONDS
from . import words

# More tasks than that are counted, not told one by one.
_TOLD = 4
_KNOWN = ("no spread is known", "differences within the ranges are not evidence")


def reply(builder: Builder, standings: pd.DataFrame) -> Reply | None:
    """The leaders of each task; None if the suite trains nothing."""
    trained = builder.trained
    if trained.empty:
        return None
    if standings.empty:
        says = ("No run tried its target: all failed or were skipped.",)
        return Reply(_question(builder), says, anchor=f"{builder.suite}-compared")
    tasks = list(dict.fromkeys(standings["task"]))
    if len(tasks) <= _TOLD:
        told = [_told(builder.metrics[task], standings, task) for task in tasks]
    else:
        told = _counted(standings, tasks)
    reached = standings["unit"].isin((METRIC, LOSS)).all()
    anchor = f"{builder.suite}-{'summary' if reached else 'target'}"
    return Reply(_question(builder), tuple(told), tuple(_cautions(builder, standings)), anchor)


def of_task(standings: pd.DataFrame, task: str, seconds: bool = False) -> pd.DataFrame:
    """The contenders of a task by seconds, or by the other unit."""
    return standings[(standings["task"] == task) & ((standings["unit"] == SECONDS) == seconds)]


def is_clear(rows: pd.DataFrame) -> bool:
    """Whether somebody is shown to be worse than the best."""
    return bool((~rows["leads"].astype(bool)).any())


def nothing_ended(rows: pd.DataFrame) -> bool:
    """Whether no contender has a value: all diverged."""
    return bool(rows["missed"].eq(rows["runs"]).all())


def _question(builder: Builder) -> str:
    if builder.trained["optimizer"].nunique() > 1:
        return "Which optimizer?"
    return "Which setting?" if builder.trained["series"].nunique() > 1 else "Does it get there?"


def _told(metric: str, standings: pd.DataFrame, task: str) -> str:
    """'digits_mlp: adam and rmsprop lead, best 108 steps; 2 of 4 are shown to be slower.'"""
    rows = of_task(standings, task)
    unit, first = rows["unit"].iloc[0], rows.to_dict("records")[0]
    if nothing_ended(rows):
        return f"{words.name(task)}: every run diverged or ran out of time."
    value = words.amount(first["median"], unit, metric)
    value += " (half of the runs or more missed the target)" * (unit in (METRIC, LOSS))
    if len(rows) == 1:
        said = f"{words.series(first)} {_ended(unit)} {value}"
    elif is_clear(rows):
        said = f"{_leading(rows, value)}"
    else:
        said = f"{NO_CLEAR_WINNER}; ahead here: {_best(rows)}, {value}"
    return f"{words.name(task)}: {said}{_by_seconds(of_task(standings, task, seconds=True))}."


def _best(rows: pd.DataFrame, most: int = 4) -> str:
    best = rows[rows["best"].astype(bool)].to_dict("records")
    return words.listed(map(words.series, best), most)


def _ended(unit: str) -> str:
    return "got to" if unit in (METRIC, LOSS) else "reached the target in"


def _leading(rows: pd.DataFrame, best: str) -> str:
    leads = rows[rows["leads"].astype(bool)].to_dict("records")
    names = words.listed(map(words.series, leads))
    worse, shown = len(rows) - len(leads), words.shown(rows["unit"].iloc[0])
    those = f"{worse} of {len(rows)} {'is' if worse == 1 else 'are'} {shown}"
    return f"{names} {'leads' if len(leads) == 1 else 'lead'}, best {best}; {those}"


def _by_seconds(rows: pd.DataFrame) -> str:
    if len(rows) < 2:
        return ""
    value = words.amount(rows["median"].iloc[0], SECONDS, "")
    worse = int((~rows["leads"].astype(bool)).sum())
    shown = f", {worse} of {len(rows)} shown to be slower" if worse else ""
    return f". By seconds: {_best(rows, 2)}, {value}{shown}"


def _counted(standings: pd.DataFrame, tasks: list[str]) -> list[str]:
    """Who leads on how many tasks with a clear outcome, and who is ahead on how many others."""
    rows = {task: of_task(standings, task) for task in tasks}
    clear = [task for task in tasks if is_clear(rows[task])]
    says = []
    if clear:
        leads = _count(rows, clear, "leads")
        says.append(
            f"On {len(clear)} of {len(tasks)} tasks somebody is shown to be worse than the best;"
            f" not shown to be: {leads}."
        )
    if left := [task for task in tasks if task not in clear and not nothing_ended(rows[task])]:
        says.append(
            f"On {len(left)} of {len(tasks)} tasks: {NO_CLEAR_WINNER}. Ahead there:"
            f" {_count(rows, left, 'best')}."
        )
    if lost := [task for task in tasks if nothing_ended(rows[task])]:
        says.append(f"On {len(lost)} of {len(tasks)} tasks every run diverged or ran out of time.")
    return says


def _count(rows: dict[str, pd.DataFrame], tasks: list[str], flag: str) -> str:
    flagged = (rows[task].loc[rows[task][flag].astype(bool), "series"] for task in tasks)
    counts = Counter(str(name) for names in flagged for name in names)
    return words.listed(f"{words.name(name)} on {n}" for name, n in counts.most_common())


def _cautions(builder: Builder, standings: pd.DataFrame) -> Iterator[str]:
    seeds = int(standings["runs"].min())
    several = standings[standings["contenders"] > 1]
    by_seconds = several["unit"] == SECONDS
    if said := _too_few(several[~by_seconds]):
        yield said
    elif seeds < FEW_SEEDS:
        yield f"Only {text.plural(seeds, 'seed')}: {_KNOWN[seeds > 1]}."
    timed = several[by_seconds]
    if len(timed) and not timed["decidable"].any() and not said:
        yield "Too few launches were timed to show who is faster by seconds."
    keys = ["task", "setup", "series"]
    if (builder.trained.groupby(keys)["learning_rate"].nunique() > 1).any():
        yield "Each has the best of several learning rates, picked with hindsight."


def _too_few(rows: pd.DataFrame) -> str:
    """'Only 2 seeds: too few to show a winner among 4; 5 each could.'"""
    rows = rows[~rows["decidable"].astype(bool) & (rows["missed"] < rows["runs"])]
    if rows.empty:
        return ""
    seeds, most = int(rows["runs"].min()), int(rows["contenders"].max())
    needed = seeds_needed(most)
    if seeds >= needed:
        return ""
    return (
        f"Only {text.plural(seeds, 'seed')}: too few to show a winner among {most}; {needed} each"
        " could."
    )

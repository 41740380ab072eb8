"""Setups whose canonical runs agree on a task: they become one panel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from ...results.columns import words
from ...results.frame import Frames
from .agreement import Group, Losses
from .grouping import once
from .planned import runs
from .rates import chosen

_COLUMNS = words("digest task panel pool worst")


def merged(frames: Frames, suite: str, every_rate: bool = False) -> pd.DataFrame:
    """The canonical runs of setups that agree on all that both of them ran of a task, at the rate
    that figures show, or at every rate: digest, task, panel (the name of what is drawn instead of
    their setup), pool (digests of the runs that are the same but for the setup), worst (the worst
    relative difference of mean validation losses in the panel). Without a row if none agree."""
    return _merged(frames, suite, every_rate=every_rate)


@once
def _merged(frames: Frames, suite: str, every_rate: bool) -> pd.DataFrame:
    rows = runs(frames, suite, "convergence") if every_rate else chosen(frames, suite)
    if rows["setup"].nunique() < 2:
        return pd.DataFrame(columns=_COLUMNS)
    losses, plain = Losses(frames, rows), _plain_names(rows)
    found = []
    for task in dict.fromkeys(key[0] for key in losses.keys):
        for setups in _clusters(losses, task):
            panel, worst = ", ".join(plain[name] for name in setups), _worst(losses, task, setups)
            for pool in _pools(losses, task, setups):
                text = " ".join(pool)
                found += [(digest, task, panel, text, worst) for digest in pool]
    return pd.DataFrame(found, columns=_COLUMNS)


def merged_alike(attempts: pd.DataFrame, merged: pd.DataFrame) -> pd.DataFrame:
    """Those of `merged` whose panel reached the target with the same seeds, on each task."""
    if merged.empty:
        return merged
    reached = attempts.set_index("digest")["reached"]
    known = merged.assign(reached=merged["digest"].map(reached))
    mixed = known.groupby("pool")["reached"].transform("nunique") > 1
    return merged[~mixed.groupby([merged["task"], merged["panel"]]).transform("any")]


def _plain_names(rows: pd.DataFrame) -> dict[str, str]:
    """'jax' for 'jax (scan)', if the framework has no other setup."""
    pairs = rows[["setup", "framework"]].drop_duplicates()
    counts = pairs["framework"].value_counts()
    return {
        setup: framework if counts[framework] == 1 else setup
        for setup, framework in pairs.itertuples(index=False, name=None)
    }


def _clusters(losses: Losses, task: str) -> list[list[str]]:
    """Two setups or more that agree, each with each."""
    of_task = [group for _, group in _of_task(losses, task)]
    setups = sorted(dict.fromkeys(name for group in of_task for name in group))
    clusters: list[list[str]] = []
    for name in setups:
        homes = (of for of in clusters if all(_agree(losses, task, name, other) for other in of))
        home = next(homes, None)
        if home is None:
            clusters.append([name])
        else:
            home.append(name)
    return [of for of in clusters if len(of) > 1]


def _of_task(losses: Losses, task: str) -> Iterator[tuple[str, Group]]:
    """Series and runs of each group of a task."""
    for key, group in zip(losses.keys, losses.groups, strict=True):
        if key[0] == task:
            yield key[1], group


def _agree(losses: Losses, task: str, one: str, other: str) -> bool:
    """Whether both ran some series alike, and agree on each that both ran."""
    both: dict[str, list[Group]] = {}
    ran: dict[str, set[str]] = {one: set(), other: set()}
    for series, group in _of_task(losses, task):
        for name in {one, other} & set(group):
            ran[name].add(series)
        if one in group and other in group and losses.seeds(group, (one, other)):
            both.setdefault(series, []).append(group)
    if not both or ran[one] & ran[other] != set(both):
        return False
    alike = (group for of in both.values() for group in of)
    return all(losses.difference(group, (one, other)).agree for group in alike)


def _worst(losses: Losses, task: str, setups: Sequence[str]) -> float:
    found = []
    for _, group in _of_task(losses, task):
        here = [name for name in setups if name in group]
        if len(here) > 1 and losses.seeds(group, here):
            found.append(losses.difference(group, here).worst)
    return max(found)


def _pools(losses: Losses, task: str, setups: Sequence[str]) -> Iterator[list[str]]:
    """The digests of runs that are the same but for the setup, those of a single setup too."""
    digests = list(losses.rows["digest"])
    for _, group in _of_task(losses, task):
        here = [group[name] for name in setups if name in group]
        for seed in dict.fromkeys(seed for of in here for seed in of):
            yield [digests[of[seed]] for of in here if seed in of]

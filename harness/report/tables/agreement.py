"""Whether frameworks agree: canonical runs that are the same but for framework and mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...results.columns import words
from ...results.frame import Frames
from .grouping import once
from .planned import runs

# Steps at the start over which rounding has not grown yet.
STEPS = 10
# Worst relative difference of training losses over these steps that rounding explains.
FIRST = 1e-4
# Relative difference of mean validation losses that nobody sees in a figure.
WORST = 0.05
# Losses below this share of the largest of their curve are compared on that scale: both are zero.
_FLOOR = 1e-3
_SAME = words(
    "task series learning_rate hyper variation schedule schedule_params batch_size device dtype"
    " input steps eval_every"
)
_KEY = words("task series learning_rate")
_COLUMNS = words("task series learning_rate setups seeds first_steps first worst agree")


@dataclass(frozen=True)
class Difference:
    """How far apart two or more setups are. first: worst relative difference of training losses
    over the first `steps` steps; worst: of mean validation losses; NaN: nothing to compare."""

    steps: int
    first: float
    worst: float
    agree: bool


def agreement(frames: Frames, suite: str) -> pd.DataFrame:
    """One row for each group of canonical convergence runs, by several setups, that are the same
    but for framework, mode and seed: task, series, learning_rate, setups (tuple), seeds (how many
    all of them ran), first_steps, first (worst relative difference of training losses over the
    first steps), worst (worst relative difference of the mean validation-loss curves), agree.

    They agree if the same seeds ended alike, first is at most FIRST, and at every evaluation the
    means differ by at most WORST or by no more than the seeds of one setup do. Rounding grows
    while a run goes on, so that later differences say less than those of the first steps."""
    return _agreement(frames, suite)


@once
def _agreement(frames: Frames, suite: str) -> pd.DataFrame:
    rows = runs(frames, suite, "convergence")
    losses = Losses(frames, rows)
    found = []
    for key, group in zip(losses.keys, losses.groups, strict=True):
        setups = tuple(group)
        seeds = losses.seeds(group, setups)
        if len(setups) < 2 or not seeds:
            continue
        apart = losses.difference(group, setups)
        found.append(
            {
                **dict(zip(_KEY, key, strict=True)),
                **{"setups": setups, "seeds": len(seeds), "first_steps": apart.steps},
                **{"first": apart.first, "worst": apart.worst, "agree": apart.agree},
            }
        )
    return pd.DataFrame(found, columns=_COLUMNS)


# Setup -> seed -> place of the run; the runs are the same but for these.
Group = dict[str, dict[int, int]]


class Losses:
    """The first training losses and all validation losses of the canonical runs that left a curve.

    groups: the runs that are the same but for framework, mode and seed; keys: task, series and
    learning rate of each; rows: the runs, by place."""

    def __init__(self, frames: Frames, rows: pd.DataFrame) -> None:
        left = rows["status"].isin(("ok", "diverged")) & (rows["rule"] == "canonical")
        self.rows = rows = rows[left].reset_index(drop=True)
        number = rows.groupby(_SAME, sort=False, dropna=False).ngroup()
        firsts = rows.loc[~number.duplicated(), _KEY]
        self.keys: list[tuple[Any, ...]] = list(firsts.itertuples(index=False, name=None))
        self.groups: list[Group] = [{} for _ in self.keys]
        columns = (rows[name] for name in ("setup", "seed"))
        for place, (of, setup, seed) in enumerate(zip(number, *columns, strict=True)):
            self.groups[of].setdefault(setup, {}).setdefault(seed, place)
        points, several = frames.curves, rows["setup"].nunique() > 1
        points = points if several else points.iloc[:0]
        train = points[(points["step"] < STEPS) & (points["series"] == "train_loss")]
        self._train = _wide(train, rows)
        self._validation = _wide(points[points["series"] == "validation_loss"], rows)

    def seeds(self, group: Group, setups: Sequence[str]) -> list[int]:
        """The seeds that all of these setups ran."""
        return sorted(set.intersection(*(set(group[name]) for name in setups)))

    def difference(self, group: Group, setups: Sequence[str]) -> Difference:
        """Between these setups, over the seeds that all of them ran."""
        seeds = self.seeds(group, setups)
        places = np.array([[group[name][seed] for seed in seeds] for name in setups], dtype=int)
        ended = self.rows["status"].to_numpy(dtype=str)[places]
        train, validation = self._train[places], self._validation[places]
        known = np.isfinite(train).all(axis=(0, 1))
        first = _largest(_relative(train[:, :, known]))
        worst, close = _curves_apart(validation)
        alike = bool((ended == ended[:1]).all()) and _same_places(validation)
        agree = alike and bool(first <= FIRST) and close
        return Difference(int(known.sum()), first, worst, agree)


def _wide(points: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """float64[runs, steps], NaN if a run has no such step."""
    points = points[points["digest"].isin(set(rows["digest"]))]
    points = points.astype({"digest": "str"}).drop_duplicates(["digest", "step"])
    table = points.pivot(index="digest", columns="step", values="value")
    return table.reindex(rows["digest"]).to_numpy(dtype=np.float64)


def _relative(values: np.ndarray) -> np.ndarray:
    """Of float64[setups, ...] the range over setups, relative to the largest of them in size."""
    with np.errstate(invalid="ignore"):
        size = np.maximum(np.abs(values).max(axis=0), np.finfo(np.float64).tiny)
        return np.asarray((values.max(axis=0) - values.min(axis=0)) / size)


def _curves_apart(losses: np.ndarray) -> tuple[float, bool]:
    """Of losses float64[setups, seeds, steps]: the worst relative difference of the means over
    seeds, and whether each is small or no larger than the range over the seeds of a setup."""
    losses = losses[:, :, np.isfinite(losses).all(axis=(0, 1))]
    if not losses.size:
        return np.nan, False
    means = losses.mean(axis=1)
    size = np.maximum(np.abs(means).max(axis=0), _FLOOR * np.abs(means).max())
    apart = means.max(axis=0) - means.min(axis=0)
    relative = apart / np.maximum(size, np.finfo(np.float64).tiny)
    over_seeds = np.ptp(losses, axis=1).max(axis=0)
    return float(relative.max()), bool(((relative <= WORST) | (apart <= over_seeds)).all())


def _same_places(losses: np.ndarray) -> bool:
    """Whether each seed's losses end, or stop to be finite, at the same step in all setups."""
    known = np.isfinite(losses)
    return bool((known == known[:1]).all())


def _largest(values: np.ndarray) -> float:
    return float(values.max()) if values.size else np.nan

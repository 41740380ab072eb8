"""From a study's records to trials, winners, and scores on test data. Pure functions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..data import chance
from ..optimizer import SearchSpace
from ..plugins.space import RATE
from ..record import RunRecord
from ..spec import HyperValue, RunSpec, TaskSpec
from ..statistics.aggregates import share_of_samples
from ..statistics.bootstrap import bootstrap_interval
from ..statistics.intervals import LEVEL, Interval, t_margin
from ..statistics.tuning import ExpectedBest, expected_best_curve
from .study import StudyFile, higher_is_better
from .trials import Trial, best_of, chance_level, final_score, judged, worst_score

Key = tuple[str, str, str, int | None]


@dataclass
class SearchResult:
    """One search: its trials, and the records of the runs that score tuned and default settings."""

    key: Key
    spec: RunSpec
    trials: list[Trial] = field(default_factory=list)
    tuned: list[RunRecord] = field(default_factory=list)
    default: list[RunRecord] = field(default_factory=list)

    @property
    def higher(self) -> bool:
        """Whether more is better."""
        return higher_is_better(self.spec.task)

    @property
    def chance(self) -> float | None:
        """The score of chance on validation data, see trials.worst_score."""
        return chance_level(self.spec.task)

    @property
    def best(self) -> Trial | None:
        """The winner; None if no trial ended ok."""
        return best_of(self.trials, self.higher)


def found(study: StudyFile, records: Iterable[RunRecord]) -> list[SearchResult]:
    """The searches of a study in the order of their first record, from the plan's records."""
    searches: dict[Key, SearchResult] = {}
    trials: dict[Key, dict[int, list[RunRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        spec, varied = record.spec, record.spec.variations
        fold = int(varied["fold"]) if "fold" in varied else None
        key = (spec.task.name, spec.optimizer.name, spec.framework, fold)
        search = searches.setdefault(key, SearchResult(key, spec))
        if "trial" in varied:
            trials[key][int(varied["trial"])].append(record)
        elif varied.get("settings") in ("tuned", "default"):
            getattr(search, str(varied["settings"])).append(record)
    for key, by_number in trials.items():
        for number, of_trial in sorted(by_number.items()):
            settings = settings_of(of_trial[0].spec, study.spaces[key[1]].space)
            trial = Trial(number, settings, "unfinished")
            if len(of_trial) == study.runs_a_trial:
                trial = judged(number, settings, of_trial)
            searches[key].trials.append(trial)
    return list(searches.values())


def settings_of(spec: RunSpec, space: SearchSpace) -> dict[str, float]:
    """The searched ones of a run's settings."""
    values = {**spec.optimizer.hyper, RATE: spec.schedule.base_lr}
    return {name: _number(values[name]) for name in space.ranges}


def _number(value: HyperValue) -> float:
    assert isinstance(value, int | float), "only numbers are searched"
    return value


# Scores of settings


@dataclass(frozen=True)
class Score:
    """The mean over fresh seeds with its interval. values: by seed. lost: seeds that ended not ok.

    sampled: the interval over other splits of `samples` samples, same settings and seeds. It is
    known for an accuracy, not for r2 and losses, which are means; outer folds hold it already."""

    interval: Interval
    values: tuple[float, ...]
    lost: int = 0
    sampled: Interval | None = None
    samples: int = 0


def score(
    records: Sequence[RunRecord], higher: bool, split: str, worst: float | None
) -> Score | None:
    """The score of runs on fresh seeds, without `sampled` (see `_with_samples`).

    A diverged run counts as `worst`, a failed one is left out and counted. None if none is left."""
    ordered = sorted(records, key=lambda record: record.spec.seed)
    values = [_value(record, higher, split, worst) for record in ordered]
    kept = tuple(value for value in values if value is not None)
    lost = sum(record.status != "ok" for record in ordered)
    return Score(_possible(mean_interval(kept), ordered[0]), kept, lost) if kept else None


def _possible(interval: Interval, record: RunRecord) -> Interval:
    """The interval within the bounds of the metric."""
    if not math.isfinite(interval.low):
        return interval
    bounds = {"accuracy": (0.0, 1.0), "r2": (-math.inf, 1.0)}
    least, most = bounds.get(record.spec.task.metric, (-math.inf, math.inf))
    return interval._replace(low=max(interval.low, least), high=min(interval.high, most))


def _value(record: RunRecord, higher: bool, split: str, worst: float | None) -> float | None:
    value = final_score(record.summary, higher, split) if record.status == "ok" else None
    return worst if value is None and record.status in ("ok", "diverged") else value


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean with its 95% interval over seeds (statistics.bootstrap)."""
    return bootstrap_interval([np.array(values)], lambda tasks: tasks[0].mean(axis=-1))


def fold_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The mean over K outer folds with Nadeau & Bengio's corrected interval.

    "Inference for the Generalization Error" (2003), section 3: the variance of the mean is
    s^2 (1/K + 1/(K - 1)), because training sets of different folds overlap. Student's limits with
    K - 1 degrees of freedom. Approximate: no unbiased estimate exists (Bengio & Grandvalet 2004).
    """
    mean, folds = float(np.mean(values)), len(values)
    if folds < 2:
        return Interval(mean, -np.inf, np.inf, level)
    error = np.std(values, ddof=1) * math.sqrt(1 / folds + 1 / (folds - 1))
    margin = t_margin(float(error), folds - 1, level)
    return Interval(mean, mean - margin, mean + margin, level)


@dataclass(frozen=True)
class Row:
    """The outcome of one task, optimizer and framework, over all outer folds if nested.

    searches: one, or one a fold. validation: the winning trial's score (mean over folds). tuned,
    default: on test data. tuned_checked: the tuned settings on validation data over fresh seeds (on
    the outer folds), for the inclusion check. expected: the best score after k trials; None if no
    trial ended ok, and if nested."""

    task: str
    optimizer: str
    framework: str
    searches: tuple[SearchResult, ...]
    validation: float | None
    tuned: Score | None
    default: Score | None
    tuned_checked: Score | None
    expected: ExpectedBest | None

    @property
    def higher(self) -> bool:
        """Whether more is better."""
        return self.searches[0].higher

    @property
    def metric(self) -> str:
        """The scores' unit: the task's metric, or loss."""
        return self.searches[0].spec.task.metric if self.higher else "loss"

    @property
    def nested(self) -> bool:
        """Whether there is a search a fold."""
        return self.searches[0].key[3] is not None

    def counts(self) -> dict[str, int]:
        """State -> number of trials, over all folds."""
        states = [trial.state for search in self.searches for trial in search.trials]
        return {state: states.count(state) for state in dict.fromkeys(states)}


def rows(searches: Sequence[SearchResult]) -> list[Row]:
    """One a task, optimizer and framework, in the order of the searches."""
    together: dict[tuple[str, str, str], list[SearchResult]] = defaultdict(list)
    for search in searches:
        together[search.key[:3]].append(search)
    return [_row(key, tuple(group), searches) for key, group in together.items()]


def _row(
    key: tuple[str, str, str], group: tuple[SearchResult, ...], everything: Sequence[SearchResult]
) -> Row:
    same_task = [search for search in everything if search.key[0] == key[0]]
    higher, nested = group[0].higher, group[0].key[3] is not None
    worst = {split: _floor(same_task, higher, split) for split in ("validation", "test")}
    bests = [search.best for search in group]
    scores = [best.score for best in bests if best is not None and best.score is not None]
    find = _over_folds if nested else _over_seeds
    return Row(
        *key,
        group,
        float(np.mean(scores)) if len(scores) == len(group) else None,
        find([s.tuned for s in group], higher, "test", worst["test"]),
        find([s.default for s in group], higher, "test", worst["test"]),
        find([s.tuned for s in group], higher, "validation", worst["validation"]),
        None if nested else expected(group[0].trials, higher, group[0].chance),
    )


def _over_seeds(
    groups: Sequence[Sequence[RunRecord]], higher: bool, split: str, worst: float | None
) -> Score | None:
    scored = score(groups[0], higher, split, worst)
    return scored and _with_samples(scored, groups[0][0].spec.task, split)


def _with_samples(scored: Score, task: TaskSpec, split: str) -> Score:
    """With the interval over samples of the split, of which seeds that agree say nothing."""
    samples = chance.of(task, split).samples
    if task.metric != "accuracy" or not samples:
        return scored
    share = min(1.0, max(0.0, scored.interval.estimate))
    return replace(scored, sampled=share_of_samples(share, samples), samples=samples)


def _over_folds(
    groups: Sequence[Sequence[RunRecord]], higher: bool, split: str, worst: float | None
) -> Score | None:
    """One value a fold, the mean over its seeds; None if a fold has none."""
    scores = [found for group in groups if (found := score(group, higher, split, worst))]
    if len(scores) < len(groups):
        return None
    values = tuple(found.interval.estimate for found in scores)
    lost = sum(found.lost for found in scores)
    return Score(_possible(fold_interval(values), groups[0][0]), values, lost)


def _floor(searches: Sequence[SearchResult], higher: bool, split: str) -> float | None:
    """The score of a diverged run on fresh seeds: chance, or the task's worst ok run if worse.

    See chance.floor. Of several outer folds the worst chance: they differ by a few samples."""
    records = [record for search in searches for record in (*search.tuned, *search.default)]
    values = [
        final_score(record.summary, higher, split) for record in records if record.status == "ok"
    ]
    tasks = {record.spec.task.data: record.spec.task for record in records}
    levels = [chance_level(task, split) for task in tasks.values()]
    return chance.floor(None, [value for value in (*values, *levels) if value is not None], higher)


def expected(
    trials: Sequence[Trial], higher: bool, level: float | None = None
) -> ExpectedBest | None:
    """The best score to expect after k trials. None if no trial ended ok.

    A diverged or failed trial counts as trials.worst_score says, with chance at `level`."""
    worst = worst_score(trials, higher, level)
    if worst is None or all(trial.score is None for trial in trials):
        return None
    ended = [trial for trial in trials if trial.state in ("ok", "diverged", "failed")]
    return expected_best_curve(
        np.array([worst if trial.score is None else trial.score for trial in ended]), higher
    )

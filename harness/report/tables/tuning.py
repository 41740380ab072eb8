"""The tables of a study of `gradrace tune`, as data and for figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ...plugins.space import free, limits_of
from ...results.columns import words
from ...tune import text as tune_text
from ...tune.importance import importances
from ...tune.inclusion import Inclusion
from ...tune.results import Row, SearchResult
from ...tune.study import StudyFile

_POINTS = words("hyperparameter value log below_one score state best trial fold digests")


def tuned(table: Sequence[Row]) -> pd.DataFrame:
    """One row a task, framework and optimizer: counts of trials, settings, scores with limits."""
    return pd.DataFrame([_tuned(row) for row in table])


def _tuned(row: Row) -> dict[str, Any]:
    best = None if row.nested else row.searches[0].best
    flat: dict[str, Any] = {
        "task": row.task,
        "framework": row.framework,
        "optimizer": row.optimizer,
        "metric": row.metric,
        **row.counts(),
        "settings": tune_text.settings_text(best.settings) if best else "",
        "validation": row.validation,
    }
    for name, score in (("tuned", row.tuned), ("default", row.default)):
        found, sampled = score and score.interval, score and score.sampled
        flat[f"{name}_test"] = found.estimate if found else None
        for limit in ("low", "high"):
            flat[f"{name}_test_{limit}"] = getattr(found, limit, None)
        for limit in ("low", "high"):
            flat[f"{name}_test_samples_{limit}"] = getattr(sampled, limit, None)
    return flat


def inclusions(checks: Sequence[Inclusion]) -> pd.DataFrame:
    """One row a pair: task, framework, general, special, claim, difference, low, high, verdict."""
    rows = []
    for check in checks:
        limits = check.difference[:3] if check.difference else (None, None, None)
        names = (check.task, check.framework, check.general, check.special, check.claim)
        rows.append((*names, *limits, check.verdict))
    columns = words("task framework general special claim difference low high verdict")
    return pd.DataFrame(rows, columns=columns)


def expected(row: Row) -> pd.DataFrame:
    """The best to expect after k trials: optimizer, trials, expected, low, high, reliable; without
    rows if no trial ended ok."""
    curve = row.expected
    if curve is None:
        return pd.DataFrame()
    columns = {name: getattr(curve, name) for name in ("trials", "expected", "low", "high")}
    reliable = curve.trials <= curve.reliable_up_to
    return pd.DataFrame({"optimizer": row.optimizer, **columns, "reliable": reliable})


def points(study: StudyFile, row: Row) -> pd.DataFrame:
    """One row a trial and free hyperparameter: _POINTS."""
    ranges = free(study.spaces[row.optimizer].space)
    rows = []
    for search in row.searches:
        tried = [t for t in search.trials if t.state in ("ok", "diverged", "failed")]
        for name, given in ranges.items():
            scale = (given.log, given.below_one)
            for trial in tried:
                ended = (trial.score, trial.state, trial is search.best, trial.number)
                place = (search.key[3], " ".join(trial.digests))
                rows.append((name, trial.settings[name], *scale, *ended, *place))
    return pd.DataFrame(rows, columns=_POINTS).astype({"score": "float64"})


def importance(study: StudyFile, table: Sequence[Row]) -> pd.DataFrame:
    """task, framework, optimizer, hyperparameter, importance, of searches without folds."""
    rows = [
        (row.task, row.framework, row.optimizer, name, share)
        for row in table
        if not row.nested
        for name, share in importances(study, row.searches[0]).items()
    ]
    columns = ["task", "framework", "optimizer", "hyperparameter", "importance"]
    return pd.DataFrame(rows, columns=columns)


def spaces(study: StudyFile) -> pd.DataFrame:
    """optimizer, hyperparameter, low, high, evenly in, source."""
    rows = [
        (name, hyper, *limits_of(given), _evenly(given.log, given.below_one), kept.source)
        for name, kept in study.spaces.items()
        for hyper, given in kept.space.ranges.items()
    ]
    columns = ["optimizer", "hyperparameter", "low", "high", "evenly in", "source"]
    return pd.DataFrame(rows, columns=columns)


def _evenly(log: bool, below_one: bool) -> str:
    inner = "1 - value" if below_one else "the value"
    return f"the logarithm of {inner}" if log else inner


def trials(searches: Sequence[SearchResult]) -> Iterator[dict[str, Any]]:
    """Every trial: names, metric, state, score, settings (a dict), reason, digests."""
    for search in searches:
        task, optimizer, framework, fold = search.key
        metric = search.spec.task.metric if search.higher else "loss"
        names = {"task": task, "framework": framework, "optimizer": optimizer, "fold": fold}
        for trial in search.trials:
            yield {
                **names,
                "metric": metric,
                "trial": trial.number,
                "state": trial.state,
                "score": trial.score,
                "settings": trial.settings,
                "reason": trial.reason,
                "digests": " ".join(trial.digests),
            }

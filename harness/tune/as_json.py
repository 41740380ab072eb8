"""A study's results as JSON types, for `--json`: no text for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..statistics.intervals import Interval
from ..statistics.tuning import ExpectedBest
from .inclusion import Inclusion, inclusions
from .results import Row, Score, SearchResult, rows
from .study import StudyFile


def to_json(study: StudyFile, searches: Sequence[SearchResult]) -> dict[str, Any]:
    """The whole result as JSON types; infinite limits as null."""
    table = rows(searches)
    return {
        "asked": study.model_dump(mode="json", by_alias=True),
        "results": [_row_json(row) for row in table],
        "inclusion": [_inclusion_json(check) for check in inclusions(study, table)],
    }


def _inclusion_json(check: Inclusion) -> dict[str, Any]:
    names = ("task", "framework", "general", "special", "claim")
    return {
        **{name: getattr(check, name) for name in names},
        "difference": _interval_json(check.difference),
        "verdict": check.verdict,
    }


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "task": row.task,
        "optimizer": row.optimizer,
        "framework": row.framework,
        "metric": row.metric,
        "higher_is_better": row.higher,
        "trials": row.counts(),
        "validation": row.validation,
        "tuned_test": _score_json(row.tuned),
        "default_test": _score_json(row.default),
        "tuned_validation": _score_json(row.tuned_checked),
        "searches": [_search_json(search) for search in row.searches],
        "expected_best": row.expected and _curve_json(row.expected),
    }


def _curve_json(curve: ExpectedBest) -> dict[str, Any]:
    return {
        "trials": curve.trials.tolist(),
        "expected": curve.expected.tolist(),
        "low": _finite(curve.low),
        "high": _finite(curve.high),
        "reliable_up_to": curve.reliable_up_to,
    }


def _search_json(search: SearchResult) -> dict[str, Any]:
    best = search.best
    return {
        "fold": search.key[3],
        "best_trial": best and best.number,
        "settings": best and dict(best.settings),
        "score": best and best.score,
    }


def _finite(values: Iterable[float]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _interval_json(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    low, high = _finite((interval.low, interval.high))
    return {"estimate": interval.estimate, "low": low, "high": high, "level": interval.level}


def _score_json(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {
        "mean": _interval_json(score.interval),
        "values": list(score.values),
        "lost": score.lost,
        "over_samples": _interval_json(score.sampled),
        "samples": score.samples or None,
    }

"""A study's results as JSON types."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..statistics.intervals import Interval
from .inclusion import inclusions
from .results import Row, Score, SearchResult, rows
from .study import StudyFile


def to_json(study: StudyFile, searches: Sequence[SearchResult]) -> dict[str, Any]:
    """The whole result as JSON types; infinite limits as null."""
    table = rows(study, searches)
    return {
        "asked": study.model_dump(mode="json", by_alias=True),
        "results": [_row_json(row) for row in table],
        "inclusion": [
            {
                "task": c.task,
                "framework": c.framework,
                "general": c.general,
                "special": c.special,
                "claim": c.claim,
                "difference": _interval_json(c.difference),
                "verdict": c.verdict,
            }
            for c in inclusions(study, table)
        ],
    }


def _row_json(row: Row) -> dict[str, Any]:
    curve = row.expected
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
        "expected_best": (
            None
            if curve is None
            else {
                "trials": curve.trials.tolist(),
                "expected": curve.expected.tolist(),
                "low": _finite(curve.low),
                "high": _finite(curve.high),
                "reliable_up_to": curve.reliable_up_to,
            }
        ),
    }


def _search_json(search: SearchResult) -> dict[str, Any]:
    best = search.best
    if best is None:
        return {"fold": search.key[3], "best_trial": None, "settings": None, "score": None}
    return {
        "fold": search.key[3],
        "best_trial": best.number,
        "settings": dict(best.settings),
        "score": best.score,
    }


def _finite(values: Iterable[float]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _interval_json(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    low, high = _finite((interval.low, interval.high))
    return {"estimate": interval.estimate, "low": low, "high": high, "level": interval.level}


def _score_json(found_score: Score | None) -> dict[str, Any] | None:
    if found_score is None:
        return None
    return {
        "mean": _interval_json(found_score.interval),
        "values": list(found_score.values),
        "lost": found_score.lost,
        "over_samples": _interval_json(found_score.sampled),
        "samples": found_score.samples or None,
    }

"""A study's results as tables for a terminal, and the sentences that belong beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..plugins.space import limits_of
from ..statistics.intervals import Interval
from .inclusion import Inclusion, inclusions
from .results import Row, Score, SearchResult
from .samplers import LEARNING
from .study import StudyFile

MISSING = "–"


def result_rows(table: Sequence[Row]) -> list[dict[str, str]]:
    """One row a task, framework and optimizer."""
    return [
        _names(row)
        | {
            "trials": counts(row),
            "validation": number(row.validation, row.metric),
            "test, tuned": scored(row.tuned, row.metric),
            "test, defaults": scored(row.default, row.metric),
        }
        for row in table
    ]


def _names(row: Row) -> dict[str, str]:
    return {"task": row.task, "framework": row.framework, "optimizer": row.optimizer}


def settings_rows(table: Sequence[Row]) -> list[dict[str, str]]:
    """One row a task, framework and optimizer: best settings, and scores of smaller budgets."""
    best, expected = "best settings", "best expected after k trials"
    return [_names(row) | {best: best_settings(row), expected: expectations(row)} for row in table]


def fold_rows(table: Sequence[Row]) -> list[dict[str, str]]:
    """One row a search and outer fold: the inner folds' choice, and its outer score."""
    return [
        _names(row) | _fold_row(row, place, search)
        for row in table
        for place, search in enumerate(row.searches)
    ]


def _fold_row(row: Row, place: int, search: SearchResult) -> dict[str, str]:
    best = search.best
    tuned, default = (s.values[place] if s else None for s in (row.tuned, row.default))
    return {
        "outer fold": str(search.key[3]),
        "chosen settings": settings_text(best.settings) if best else MISSING,
        "inner validation": number(best.score if best else None, row.metric),
        "outer score, tuned": number(tuned, row.metric),
        "outer score, defaults": number(default, row.metric),
    }


def inclusion_rows(study: StudyFile, table: Sequence[Row]) -> list[dict[str, str]]:
    """One row a pair of optimizers."""
    metric = {row.task: row.metric for row in table}
    return [
        {
            "task": check.task,
            "framework": check.framework,
            "general": check.general,
            "special": check.special,
            "its space": check.claim,
            "difference, validation": difference(check, metric[check.task]),
            "verdict": check.verdict,
        }
        for check in inclusions(study, table)
    ]


def notes(study: StudyFile, found: Sequence[SearchResult]) -> list[str]:
    """Notes and warnings beside the tables."""
    lines = []
    for search in found:
        task, optimizer, framework, fold = search.key
        name = f"{task}, {optimizer}, {framework}"
        name += "" if fold is None else f", outer fold {fold}"
        skipped = next((trial for trial in search.trials if trial.state == "skipped"), None)
        if skipped:
            lines.append(f"{name}: skipped: {skipped.reason}")
        elif search.best is None:
            last = search.trials[-1].reason if search.trials else "nothing"
            lines.append(f"{name}: no trial ended ok; the last said: {last}")
        failed = [trial for trial in search.trials if trial.state == "failed"]
        if failed:
            count, first = f"{len(failed)} of {len(search.trials)} trials failed", failed[0]
            lines.append(f"{name}: {count}, the first (trial {first.number}): {first.reason}")
    if study.lanes:
        lines.append(_lanes(study))
    if study.fresh_seeds < 5 and not study.nested:
        few = f"{study.fresh_seeds} fresh seeds are few"
        lines.append(f"warning: {few}; 5 or more give intervals worth having")
    return lines


def _lanes(study: StudyFile) -> str:
    said = f"runs were trained side by side, in programs of at most {study.lanes} lanes"
    if study.sampler not in LEARNING:
        return f"{said}; the trials are those of any other number of lanes"
    running = "takes running ones for poor" if study.sampler == "tpe" else "knows of running ones"
    return f"{said}; {study.sampler} suggested {study.batch} trials at once, and {running}"


def intervals_note(table: Sequence[Row]) -> str:
    """The sentence on the intervals of test scores."""
    if any(row.nested for row in table):
        return "intervals are over outer folds, whose samples differ"
    said = "intervals after a mean are over fresh seeds on the same test samples"
    if any(score and score.sampled for row in table for score in (row.tuned, row.default)):
        said += "; those after a number of samples: over other test samples (Wilson), same settings"
    if any(row.metric != "accuracy" for row in table):
        said += "; how far other test samples would move R² or a loss is not known"
    return said


def space_lines(study: StudyFile) -> list[str]:
    """The search spaces, and who proposed them."""
    lines = []
    for name, kept in study.spaces.items():
        for hyper, given in kept.space.ranges.items():
            low, high = limits_of(given)
            how = f"{low:g} to {high:g}" if low < high else f"{low:g}, fixed"
            if low < high and given.log:
                how += " (log of 1 - value)" if given.below_one else " (log)"
            lines.append(f"  {name}: {hyper} {how}")
        lines.append(f"  {name}: {kept.source}")
    return lines


# -- texts of single values


def number(value: float | None, metric: str) -> str:
    """A score: accuracies in percent."""
    if value is None:
        return MISSING
    return f"{100 * value:.2f}%" if metric == "accuracy" else f"{value:.4g}"


def interval(found: Interval, metric: str) -> str:
    """The estimate with its limits; 'unknown' from one seed."""
    low, high = number(found.low, metric), number(found.high, metric)
    limits = f" [{low}, {high}]" if abs(found.low) != float("inf") else " [unknown]"
    return number(found.estimate, metric) + limits


def scored(score: Score | None, metric: str) -> str:
    """A mean with its intervals over seeds and samples, and how many seeds ended not ok."""
    if score is None:
        return MISSING
    said = [interval(score.interval, metric)]
    said += [sampled(score, metric)] if score.sampled else []
    return "; ".join(said) + (f" ({score.lost} not ok)" if score.lost else "")


def sampled(score: Score, metric: str) -> str:
    """'109 samples: [94.99%, 99.84%]', or '' if unknown."""
    if score.sampled is None:
        return ""
    low, high = (number(limit, metric) for limit in (score.sampled.low, score.sampled.high))
    return f"{score.samples} samples: [{low}, {high}]"


def difference(check: Inclusion, metric: str) -> str:
    """General minus special, more being better; accuracies in percentage points."""
    if check.difference is None:
        return MISSING
    percent = metric == "accuracy"
    estimate, low, high = (
        f"{100 * value:+.2f}" if percent else f"{value:+.4g}" for value in check.difference[:3]
    )
    limits = "unknown" if abs(check.difference.low) == float("inf") else f"{low}, {high}"
    return f"{estimate} [{limits}]" + (" points" if percent else "")


def counts(row: Row) -> str:
    """'28 ok, 2 diverged'"""
    return ", ".join(f"{count} {state}" for state, count in row.counts().items()) or "none"


def settings_text(settings: Any) -> str:
    """'learning_rate=0.0123, beta1=0.91'"""
    return ", ".join(f"{name}={value:.4g}" for name, value in settings.items())


def best_settings(row: Row) -> str:
    """The winning trial's, with its number; if nested, each fold has its own."""
    if row.nested:
        return "one a fold"
    best = row.searches[0].best
    return MISSING if best is None else f"{settings_text(best.settings)} (trial {best.number})"


def expectations(row: Row) -> str:
    """'5: 93.1%, 10: 94.2%, 30: 95.0%'"""
    curve = row.expected
    if curve is None:
        return MISSING
    last = len(curve.trials)
    chosen = [*(k for k in (1, 5, 10, 20, 50, 100, 200, 500) if k < last), last][-4:]
    return ", ".join(f"{k}: {number(float(curve.expected[k - 1]), row.metric)}" for k in chosen)

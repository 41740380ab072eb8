"""A study's results as tables for a terminal, and the sentences that belong beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..plugins.space import limits_of
from ..statistics.intervals import Interval
from .inclusion import Inclusion, inclusions
from .results import Row, Score, SearchResult
from .study import StudyFile

MISSING = "–"


def result_rows(table: Sequence[Row]) -> list[dict[str, str]]:
    """One row a task, framework and optimizer."""
    return [
        {
            "task": row.task,
            "framework": row.framework,
            "optimizer": row.optimizer,
            "trials": counts(row),
            "validation": number(row.validation, row.metric),
            "test, tuned": scored(row.tuned, row.metric),
            "test, defaults": scored(row.default, row.metric),
        }
        for row in table
    ]


def settings_rows(table: Sequence[Row]) -> list[dict[str, str]]:
    """One row a task, framework and optimizer: the winner's settings, and what smaller budgets
    would have reached.
    """
    return [
        {
            "task": row.task,
            "framework": row.framework,
            "optimizer": row.optimizer,
            "best settings": best_settings(row),
            "best expected after k trials": expectations(row),
        }
        for row in table
    ]


def fold_rows(table: Sequence[Row]) -> list[dict[str, str]]:
    """One row a task, framework, optimizer and outer fold: what inner folds chose, and what the
    outer fold says of it.
    """
    listed = []
    for row in table:
        tuned, default = (score.values if score else () for score in (row.tuned, row.default))
        for place, search in enumerate(row.searches):
            best = search.best
            listed.append(
                {
                    "task": row.task,
                    "framework": row.framework,
                    "optimizer": row.optimizer,
                    "outer fold": str(search.key[3]),
                    "chosen settings": settings_text(best.settings) if best else MISSING,
                    "inner validation": number(best.score if best else None, row.metric),
                    "outer score, tuned": number(tuned[place] if tuned else None, row.metric),
                    "outer score, defaults": number(
                        default[place] if default else None, row.metric
                    ),
                }
            )
    return listed


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
    """What a reader of the tables must know."""
    lines = []
    for search in found:
        task, optimizer, framework, fold = search.key
        where = f"{task}, {optimizer}, {framework}" + (
            "" if fold is None else f", outer fold {fold}"
        )
        skipped = next((trial for trial in search.trials if trial.state == "skipped"), None)
        if skipped:
            lines.append(f"{where}: skipped: {skipped.reason}")
        elif search.best is None:
            lines.append(
                f"{where}: no trial ended ok; the last said:"
                f" {search.trials[-1].reason if search.trials else 'nothing'}"
            )
        failed = [trial for trial in search.trials if trial.state == "failed"]
        if failed:
            lines.append(
                f"{where}: {len(failed)} of {len(search.trials)} trials failed, the first (trial"
                f" {failed[0].number}): {failed[0].reason}"
            )
    if study.fresh_seeds < 5 and not study.nested:
        lines.append(
            f"warning: {study.fresh_seeds} fresh seeds are few; 5 or more give intervals worth"
            " having"
        )
    return lines


def intervals_note(table: Sequence[Row]) -> str:
    """What the intervals of test scores are over."""
    if any(row.nested for row in table):
        return "intervals are over outer folds, whose samples differ"
    said = "intervals after a mean are over fresh seeds on the same test samples"
    if any(score and score.sampled for row in table for score in (row.tuned, row.default)):
        said += (
            "; those after a number of samples are over other test samples (Wilson), of the same"
            " settings"
        )
    if any(row.metric != "accuracy" for row in table):
        said += "; how far other test samples would move R² or a loss is not known"
    return said


def space_lines(study: StudyFile) -> list[str]:
    """What is searched, and who proposed it."""
    lines = []
    for name, kept in study.spaces.items():
        for hyper, given in kept.space.ranges.items():
            low, high = limits_of(given)
            how = f"{low:g} to {high:g}" if low < high else f"{low:g}, fixed"
            scale = (
                " (log of 1 - value)"
                if given.log and given.below_one
                else " (log)"
                if given.log
                else ""
            )
            lines.append(f"  {name}: {hyper} {how}{scale if low < high else ''}")
        lines.append(f"  {name}: {kept.source}")
    return lines


# Cells


def number(value: float | None, metric: str) -> str:
    """A score: accuracies in percent."""
    if value is None:
        return MISSING
    return f"{100 * value:.2f}%" if metric == "accuracy" else f"{value:.4g}"


def interval(found: Interval, metric: str) -> str:
    """The estimate with its limits; alone where one seed tells nothing of the spread."""
    low, high = number(found.low, metric), number(found.high, metric)
    limits = f" [{low}, {high}]" if abs(found.low) != float("inf") else " [unknown]"
    return number(found.estimate, metric) + limits


def scored(score: Score | None, metric: str) -> str:
    """A mean with its interval over seeds, that over samples of the split, and how many seeds did
    not end ok.
    """
    if score is None:
        return MISSING
    said = [interval(score.interval, metric)]
    said += [sampled(score, metric)] if score.sampled else []
    return "; ".join(said) + (f" ({score.lost} not ok)" if score.lost else "")


def sampled(score: Score, metric: str) -> str:
    """'109 samples: [94.99%, 99.84%]'; nothing where that is not known."""
    if score.sampled is None:
        return ""
    return (
        f"{score.samples} samples: [{number(score.sampled.low, metric)},"
        f" {number(score.sampled.high, metric)}]"
    )


def difference(check: Inclusion, metric: str) -> str:
    """General minus special, more being better; accuracies in percentage points."""
    if check.difference is None:
        return MISSING
    form: Callable[[float], str] = (
        (lambda v: f"{100 * v:+.2f}") if metric == "accuracy" else (lambda v: f"{v:+.4g}")
    )
    known = abs(check.difference.low) != float("inf")
    limits = f"{form(check.difference.low)}, {form(check.difference.high)}" if known else "unknown"
    return f"{form(check.difference.estimate)} [{limits}]" + (
        " points" if metric == "accuracy" else ""
    )


def counts(row: Row) -> str:
    """'28 ok, 2 diverged'"""
    return ", ".join(f"{count} {state}" for state, count in row.counts().items()) or "none"


def settings_text(settings: Any) -> str:
    """'learning_rate=0.0123, beta1=0.91'"""
    return ", ".join(f"{name}={value:.4g}" for name, value in settings.items())


def best_settings(row: Row) -> str:
    """Of the winning trial, with its number; with nested cross-validation each fold has its own."""
    if row.nested:
        return "one a fold"
    best = row.searches[0].best
    return MISSING if best is None else f"{settings_text(best.settings)} (trial {best.number})"


def expectations(row: Row) -> str:
    """'5: 93.1%, 10: 94.2%, 30: 95.0%'"""
    curve = row.expected
    if curve is None:
        return MISSING
    chosen = [k for k in (1, 5, 10, 20, 50, 100, 200, 500) if k < len(curve.trials)] + [
        len(curve.trials)
    ]
    return ", ".join(
        f"{k}: {number(float(curve.expected[k - 1]), row.metric)}" for k in chosen[-4:]
    )

"""What `gradrace tune` found: tuned against default settings, the price of tuning, and whether it
was tuned enough.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from ...plugins.space import free, limits_of
from ...tune import text as tune_text
from ...tune.importance import importances
from ...tune.inclusion import Inclusion, inclusions
from ...tune.results import Found, Row, Score, found, rows
from ...tune.study import StudyFile
from .. import figures, tuning_figures
from ..content import Cell, Column, Section, Table

if TYPE_CHECKING:
    from ..page import Writer


def tuning(writer: Writer) -> Section:
    """The section of a study; without parts for every other suite."""
    section = Section("tuning", "Tuning")
    study = writer.frames.studies.get(writer.suite)
    if study is None:
        return section
    records = [
        writer.frames.records[d]
        for d in writer.frames.plans[writer.suite].digests
        if d in writer.frames.records
    ]
    searches = found(study, records)
    table = rows(study, searches)
    checks = inclusions(study, table)
    section.warnings = [*_warnings(checks), *tune_text.notes(study, searches)]
    section.parts += [_asked(study), _results(writer, study, table)]
    if study.nested:
        section.parts.append(_folds(writer, table))
    if checks:
        section.parts.append(_inclusion(writer, checks, table))
    section.parts += [
        *_expected(writer, table),
        *_slices(writer, study, table),
        *_importance(writer, study, table),
    ]
    section.parts += [_spaces(writer, study), _trials(writer, study, searches)]
    return section


def _asked(study: StudyFile) -> str:
    folds = (
        f" With nested cross-validation, {study.nested[1]} inner folds choose and {study.nested[0]}"
        " outer folds score."
        if study.nested
        else ""
    )
    return (
        f"Every search had {study.budget} trials of the sampler {study.sampler}, seed {study.seed},"
        f" each trained with {study.seeds} seed{'s' if study.seeds > 1 else ''} and scored by the"
        " validation metric at the end of its steps (by the validation loss where a task has no"
        " other metric). The best settings and the optimizer's default settings were then run on"
        f" {study.fresh_seeds} seeds that no trial had, and scored on test data.{folds}"
    )


def _warnings(checks: Sequence[Inclusion]) -> list[str]:
    return [
        f"{check.task}, {check.framework}: {check.general} is under-tuned: its search ended worse"
        f" than that of {check.special}, of which it is the more general form. Give it more trials"
        " or another space before comparing it with anything."
        for check in checks
        if check.verdict == "under-tuned"
    ]


def _results(writer: Writer, study: StudyFile, table: Sequence[Row]) -> Table:
    columns = [
        Column("Task"),
        Column("Framework"),
        Column("Optimizer"),
        Column("Trials"),
        Column("Best settings"),
        Column("Validation", "number", "of the winning trial, with the trials' own seeds"),
        Column(
            "Test, tuned",
            "number",
            "mean over fresh seeds; below, its 95% interval over them, and over test samples",
        ),
        Column(
            "Test, defaults",
            "number",
            "the same seeds with the settings that the optimizer's file declares",
        ),
    ]
    cells = [
        [
            Cell(row.task),
            Cell(row.framework),
            Cell(row.optimizer),
            Cell(tune_text.counts(row)),
            _settings(row),
            Cell(tune_text.number(row.validation, row.metric), row.validation),
            _scored(row.tuned, row.metric),
            _scored(row.default, row.metric),
        ]
        for row in table
    ]
    over = "outer folds" if study.nested else "fresh seeds"
    caption = (
        f"Tuned and default settings; test scores are means over {over} with 95% intervals:"
        f" {tune_text.intervals_note(table)}"
    )
    return writer.table(
        "tuned",
        caption,
        columns,
        cells,
        pd.DataFrame([_flat(row) for row in table]),
    )


def _settings(row: Row) -> Cell:
    best = None if row.nested else row.searches[0].best
    return Cell(tune_text.best_settings(row), runs=" ".join(best.digests) if best else "")


def _scored(score: Score | None, metric: str) -> Cell:
    if score is None:
        return Cell(tune_text.MISSING)
    lost = f", {score.lost} not ok" if score.lost else ""
    low, high = (
        tune_text.number(limit, metric) for limit in (score.interval.low, score.interval.high)
    )
    known = abs(score.interval.low) != float("inf")
    below = [f"{low}–{high}"] if known else []
    below += [tune_text.sampled(score, metric)] if score.sampled else []
    return Cell(
        tune_text.number(score.interval.estimate, metric),
        score.interval.estimate,
        "; ".join(below) + lost,
    )


def _flat(row: Row) -> dict[str, Any]:
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
        limits = score.interval[:3] if score else (None, None, None)
        flat |= dict(
            zip((f"{name}_test", f"{name}_test_low", f"{name}_test_high"), limits, strict=True)
        )
        sampled = score.sampled[1:3] if score and score.sampled else (None, None)
        flat |= dict(
            zip((f"{name}_test_samples_low", f"{name}_test_samples_high"), sampled, strict=True)
        )
    return flat


def _folds(writer: Writer, table: Sequence[Row]) -> Table:
    listed = tune_text.fold_rows(table)
    columns = [
        Column(name.capitalize(), "number" if name.split()[0] in ("inner", "outer") else "")
        for name in listed[0]
    ]
    cells = [[Cell(text) for text in row.values()] for row in listed]
    caption = (
        "Scores of the outer folds, which took no part in the choice; means and intervals stand in"
        " the table above"
    )
    return writer.table("folds", caption, columns, cells, pd.DataFrame(listed))


def _inclusion(writer: Writer, checks: Sequence[Inclusion], table: Sequence[Row]) -> Table:
    metric = {row.task: row.metric for row in table}
    columns = [
        Column("Task"),
        Column("Framework"),
        Column("General"),
        Column("Special"),
        Column(
            "Its space",
            help="how far the space of the general optimizer holds that of the special one",
        ),
        Column(
            "Difference",
            "number",
            "general minus special on validation data, more being better, 95% interval below",
        ),
        Column("Verdict"),
    ]
    cells = [
        [
            Cell(c.task),
            Cell(c.framework),
            Cell(c.general),
            Cell(c.special),
            Cell(c.claim),
            Cell(
                tune_text.difference(c, metric[c.task]),
                c.difference.estimate if c.difference else None,
            ),
            Cell(c.verdict, flag="diverged" if c.verdict == "under-tuned" else ""),
        ]
        for c in checks
    ]
    data = pd.DataFrame(
        [
            {
                "task": c.task,
                "framework": c.framework,
                "general": c.general,
                "special": c.special,
                "claim": c.claim,
                "difference": c.difference.estimate if c.difference else None,
                "low": c.difference.low if c.difference else None,
                "high": c.difference.high if c.difference else None,
                "verdict": c.verdict,
            }
            for c in checks
        ]
    )
    caption = (
        "Inclusion: an optimizer that is the more general form of another need not be worse, if"
        " tuned enough (Choi et al. 2019)"
    )
    return writer.table("inclusion", caption, columns, cells, data)


def _expected(writer: Writer, table: Sequence[Row]) -> list[Any]:
    parts = []
    for (task, framework), group in _by_place(table).items():
        known = [row for row in group if row.expected is not None]
        curves = pd.concat([_curve(row) for row in known]) if known else pd.DataFrame()
        if curves.empty:
            continue
        label, percent = _label(known[0])
        styles = figures.looks(row.optimizer for row in group)
        parts.append(
            writer.figure(
                f"expected-{task}-{framework}",
                partial(tuning_figures.expected_best, curves, styles, f"best {label}", percent),
                f"{task}, {framework}: expected best after k trials",
                figures.describe(
                    "Expected best validation score against the number of trials.",
                    [],
                    [r.optimizer for r in known],
                ),
                curves,
                f"{task}, {framework}: the best score to expect of a random search of k trials,"
                " with a 95% band over trials; dashed where the band is too narrow to be trusted."
                " A trial that diverged or failed counts as chance, or as the worst trial if that"
                " is worse. Under a sampler that learns it is of the same trials in another"
                " order.",
            )
        )
    return parts


def _curve(row: Row) -> pd.DataFrame:
    curve = row.expected
    assert curve is not None, "the caller has looked"
    return pd.DataFrame(
        {
            "optimizer": row.optimizer,
            "trials": curve.trials,
            "expected": curve.expected,
            "low": curve.low,
            "high": curve.high,
            "reliable": curve.trials <= curve.reliable_up_to,
        }
    )


def _slices(writer: Writer, study: StudyFile, table: Sequence[Row]) -> list[Any]:
    parts = []
    for (task, framework), group in _by_place(table).items():
        styles = figures.looks(row.optimizer for row in group)
        for row in group:
            points = _points(study, row)
            if points.empty:
                continue
            label, percent = _label(row)
            parts.append(
                writer.figure(
                    f"slices-{task}-{framework}-{row.optimizer}",
                    partial(tuning_figures.slices, points, styles[row.optimizer], label, percent),
                    f"{task}, {framework}, {row.optimizer}: score against every hyperparameter",
                    figures.describe(
                        "Score of every trial.", points["hyperparameter"], [row.optimizer]
                    ),
                    points,
                    f"{task}, {framework}, {row.optimizer}: every trial; crosses at the lower edge"
                    " diverged or failed, the ring is the winner.",
                )
            )
    return parts


def _points(study: StudyFile, row: Row) -> pd.DataFrame:
    ranges = free(study.spaces[row.optimizer].space)
    columns = [
        "hyperparameter",
        "value",
        "log",
        "below_one",
        "score",
        "state",
        "best",
        "trial",
        "fold",
    ]
    return pd.DataFrame(
        [
            (
                name,
                trial.settings[name],
                given.log,
                given.below_one,
                trial.score,
                trial.state,
                trial is search.best,
                trial.number,
                search.key[3],
            )
            for search in row.searches
            for name, given in ranges.items()
            for trial in search.trials
            if trial.state in ("ok", "diverged", "failed")
        ],
        columns=columns,
    ).astype({"score": "float64"})


def _importance(writer: Writer, study: StudyFile, table: Sequence[Row]) -> list[Any]:
    if importlib.util.find_spec("optuna") is None:
        return ["The importance of hyperparameters needs Optuna (pip install 'gradrace[tune]')."]
    data = pd.DataFrame(
        [
            {
                "task": row.task,
                "framework": row.framework,
                "optimizer": row.optimizer,
                "hyperparameter": name,
                "importance": share,
            }
            for row in table
            if not row.nested
            for name, share in importances(study, row.searches[0]).items()
        ]
    )
    if data.empty:
        return []
    columns = [
        Column("Task"),
        Column("Framework"),
        Column("Optimizer"),
        Column("Hyperparameter"),
        Column("Importance", "number"),
    ]
    cells = [
        [
            *(Cell(row[key]) for key in ("task", "framework", "optimizer", "hyperparameter")),
            Cell(f"{row['importance']:.2f}", row["importance"]),
        ]
        for row in data.to_dict("records")
    ]
    caption = (
        "Share of the variance of scores over the space that each hyperparameter explains (fANOVA,"
        " Hutter et al. 2014, from a random forest; with few trials a rough guess)"
    )
    return [writer.table("importance", caption, columns, cells, data)]


def _spaces(writer: Writer, study: StudyFile) -> Table:
    listed: list[dict[str, Any]] = [
        {
            "optimizer": name,
            "hyperparameter": hyper,
            "low": limits_of(given)[0],
            "high": limits_of(given)[1],
            "evenly in": _evenly(given.log, given.below_one),
            "source": kept.source,
        }
        for name, kept in study.spaces.items()
        for hyper, given in kept.space.ranges.items()
    ]
    columns = [
        Column("Optimizer"),
        Column("Hyperparameter"),
        Column("From", "number"),
        Column("To", "number"),
        Column("Evenly in"),
        Column("Source"),
    ]
    cells = [
        [
            Cell(row["optimizer"]),
            Cell(row["hyperparameter"]),
            Cell(f"{row['low']:g}", row["low"]),
            Cell(f"{row['high']:g}", row["high"]),
            Cell(row["evenly in"]),
            Cell(row["source"]),
        ]
        for row in listed
    ]
    return writer.table("spaces", "What was searched", columns, cells, pd.DataFrame(listed))


def _evenly(log: bool, below_one: bool) -> str:
    inner = "1 - value" if below_one else "the value"
    return f"the logarithm of {inner}" if log else inner


def _trials(writer: Writer, study: StudyFile, searches: Sequence[Found]) -> Table:
    listed, cells = [], []
    for search in searches:
        task, optimizer, framework, fold = search.key
        metric = search.spec.task.metric if search.higher else "loss"
        for trial in search.trials:
            listed.append(
                {
                    "task": task,
                    "framework": framework,
                    "optimizer": optimizer,
                    "fold": fold,
                    "trial": trial.number,
                    "state": trial.state,
                    "score": trial.score,
                    **trial.settings,
                    "reason": trial.reason,
                    "digests": " ".join(trial.digests),
                }
            )
            cells.append(
                [
                    Cell(task),
                    Cell(framework),
                    Cell(optimizer, note="" if fold is None else f"fold {fold}"),
                    Cell(str(trial.number), trial.number, runs=" ".join(trial.digests)),
                    Cell(trial.state, flag="" if trial.state == "ok" else trial.state),
                    Cell(tune_text.number(trial.score, metric), trial.score),
                    Cell(tune_text.settings_text(trial.settings)),
                    Cell(trial.reason),
                ]
            )
    columns = [
        Column("Task"),
        Column("Framework"),
        Column("Optimizer"),
        Column("Trial", "number"),
        Column("State"),
        Column("Score", "number"),
        Column("Settings"),
        Column("Reason"),
    ]
    return writer.table("trials", "Every trial", columns, cells, pd.DataFrame(listed))


def _by_place(table: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    found_rows: dict[tuple[str, str], list[Row]] = {}
    for row in table:
        found_rows.setdefault((row.task, row.framework), []).append(row)
    return found_rows


def _label(row: Row) -> tuple[str, bool]:
    """What the axis of scores says, and whether in percent."""
    return (f"validation {'R²' if row.metric == 'r2' else row.metric}", row.metric == "accuracy")

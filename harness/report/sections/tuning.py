"""Results of `gradrace tune`: tuned against default settings, the price of tuning, and whether it
was tuned enough."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd

from ...tune import text as tune_text
from ...tune.inclusion import Inclusion, inclusions
from ...tune.results import Row, Score, SearchResult, found, rows
from ...tune.study import StudyFile
from .. import text
from ..builder import Builder
from ..columns import Field, field, number, word
from ..content import Figure, Section, Table, TableCell
from ..draw.lazy import Lazy
from ..draw.looks import Looks, looks
from ..notes import described
from ..tables import tuning as tables

PLACE = 90
drawn = Lazy("tuning")
_PAIR = ("task", "framework", "general", "special")
NAMES = [word("Task", "task"), word("Framework", "framework"), word("Optimizer", "optimizer")]
SPACES = [
    word("Optimizer", "optimizer"),
    word("Hyperparameter", "hyperparameter"),
    number("From", "low", "{:g}".format),
    number("To", "high", "{:g}".format),
    word("Evenly in", "evenly in"),
    word("Source", "source"),
]
IMPORTANCE = [
    *NAMES,
    word("Hyperparameter", "hyperparameter"),
    number("Importance", "importance", "{:.2f}".format),
]


def section(builder: Builder) -> Section:
    """The section of a study; empty for every other suite."""
    section = Section("tuning", "Tuning")
    study = builder.frames.studies.get(builder.suite)
    if study is None:
        return section
    digests = builder.frames.plans[builder.suite].digests
    records = [builder.frames.records[d] for d in digests if d in builder.frames.records]
    searches = found(study, records)
    table = rows(searches)
    checks = inclusions(study, table)
    section.warn(*_warnings(checks), *tune_text.notes(study, searches))
    section.add(_asked(study), _results(builder, study, table))
    if study.nested:
        section.add(_folds(builder, table))
    if checks:
        section.add(_inclusion(builder, checks, table))
    for (task, framework), group in _by_place(table).items():
        section.add(*_expected(builder, f"{task}-{framework}", f"{task}, {framework}", group))
    for group in _by_place(table).values():
        styles = looks(row.optimizer for row in group)
        section.add(*(figure for row in group for figure in _slices(builder, study, row, styles)))
    section.add(_importance(builder, study, table))
    spaces = tables.spaces(study)
    section.add(builder.table("spaces", "Search spaces", SPACES, spaces))
    section.add(_trials(builder, searches))
    return section


def _by_place(table: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    places: dict[tuple[str, str], list[Row]] = {}
    for row in table:
        places.setdefault((row.task, row.framework), []).append(row)
    return places


def _label(row: Row) -> tuple[str, bool]:
    """What the axis of scores says, and whether in percent."""
    return f"validation {'R²' if row.metric == 'r2' else row.metric}", row.metric == "accuracy"


def _asked(study: StudyFile) -> str:
    folds = (
        f" With nested cross-validation, {study.nested[1]} inner folds choose and {study.nested[0]}"
        " outer folds score."
        if study.nested
        else ""
    )
    return (
        f"Every search had {study.budget} trials of the sampler {study.sampler}, seed {study.seed},"
        f" each trained with {text.plural(study.seeds, 'seed')} and scored by the validation metric"
        " at the end of its steps (by the validation loss if a task has no other metric). The best"
        " settings and the optimizer's default settings were then run on"
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


def _attribute(label: str, name: str) -> Field:
    return field(label, lambda row: TableCell(getattr(row, name)), "")


def _results(builder: Builder, study: StudyFile, table: Sequence[Row]) -> Table:
    def validation(row: Row) -> TableCell:
        return TableCell(tune_text.number(row.validation, row.metric), row.validation)

    fields = [
        _attribute("Task", "task"),
        _attribute("Framework", "framework"),
        _attribute("Optimizer", "optimizer"),
        field("Trials", lambda row: TableCell(tune_text.counts(row)), ""),
        field("Best settings", _settings, ""),
        field("Validation", validation, help="of the winning trial, with the trials' own seeds"),
        field(
            "Test, tuned",
            lambda row: _scored(row.tuned, row.metric),
            help="mean over fresh seeds; below, its 95% interval over them, and over test samples",
        ),
        field(
            "Test, defaults",
            lambda row: _scored(row.default, row.metric),
            help="the same seeds with the settings that the optimizer's file declares",
        ),
    ]
    over = "outer folds" if study.nested else "fresh seeds"
    caption = (
        f"Tuned and default settings; test scores are means over {over} with 95% intervals:"
        f" {tune_text.intervals_note(table)}"
    )
    return builder.table("tuned", caption, fields, table, tables.tuned(table))


def _settings(row: Row) -> TableCell:
    best = None if row.nested else row.searches[0].best
    return TableCell(tune_text.best_settings(row), runs=" ".join(best.digests) if best else "")


def _scored(score: Score | None, metric: str) -> TableCell:
    if score is None:
        return TableCell(tune_text.MISSING)
    interval = score.interval
    estimate, low, high = (tune_text.number(of, metric) for of in interval[:3])
    below = [f"{low}–{high}"] if abs(interval.low) != float("inf") else []
    below += [tune_text.sampled(score, metric)] if score.sampled else []
    lost = f", {score.lost} not ok" if score.lost else ""
    return TableCell(estimate, interval.estimate, "; ".join(below) + lost)


def _folds(builder: Builder, table: Sequence[Row]) -> Table:
    rows = tune_text.fold_rows(table)
    fields = [
        word(name.capitalize(), name, kind="number" if name.startswith(("inner", "outer")) else "")
        for name in rows[0]
    ]
    caption = (
        "Scores of the outer folds, which took no part in the choice; means and intervals stand in"
        " the table above"
    )
    return builder.table("folds", caption, fields, rows, pd.DataFrame(rows))


def _inclusion(builder: Builder, checks: Sequence[Inclusion], table: Sequence[Row]) -> Table:
    metric = {row.task: row.metric for row in table}

    def difference(check: Inclusion) -> TableCell:
        estimate = check.difference.estimate if check.difference else None
        return TableCell(tune_text.difference(check, metric[check.task]), estimate)

    def verdict(check: Inclusion) -> TableCell:
        flag = "diverged" if check.verdict == "under-tuned" else ""
        return TableCell(check.verdict, flag=flag)

    fields = [
        *(_attribute(name.capitalize(), name) for name in _PAIR),
        field(
            "Its space",
            lambda check: TableCell(check.claim),
            "",
            "how far the space of the general optimizer holds that of the special one",
        ),
        field(
            "Difference",
            difference,
            help="general minus special on validation data, more being better, 95% interval below",
        ),
        field("Verdict", verdict, ""),
    ]
    caption = (
        "Inclusion: an optimizer that is the more general form of another need not be worse, if"
        " tuned enough (Choi et al. 2019)"
    )
    return builder.table("inclusion", caption, fields, checks, tables.inclusions(checks))


def _expected(builder: Builder, name: str, place: str, group: Sequence[Row]) -> Iterator[Figure]:
    known = [row for row in group if row.expected is not None]
    if not known:
        return
    curves = pd.concat([tables.expected(row) for row in known])
    if curves.empty:
        return
    label, percent = _label(known[0])
    styles = looks(row.optimizer for row in group)
    shown = "Expected best validation score against the number of trials."
    yield builder.figure(
        f"expected-{name}",
        partial(drawn.expected_best, curves, styles, f"best {label}", percent),
        f"{place}: expected best after k trials",
        described(shown, [], [row.optimizer for row in known]),
        curves,
        f"{place}: the best score to expect of a random search of k trials, with a 95% band over"
        " trials; dashed if the band is too narrow to be trusted. A trial that diverged or failed"
        " counts as chance, or as the worst trial if that is worse. Under a sampler that learns it"
        " is of the same trials in another order.",
    )


def _slices(builder: Builder, study: StudyFile, row: Row, styles: Looks) -> Iterator[Figure]:
    points = tables.points(study, row)
    if points.empty:
        return
    name = f"{row.task}, {row.framework}, {row.optimizer}"
    yield builder.figure(
        f"slices-{row.task}-{row.framework}-{row.optimizer.replace(':', '-')}",
        partial(drawn.slices, points, styles[row.optimizer], *_label(row)),
        f"{name}: score against every hyperparameter",
        described("Score of every trial.", points["hyperparameter"], [row.optimizer]),
        points,
        f"{name}: every trial; crosses at the lower edge diverged or failed, the ring is the"
        " winner.",
    )


def _importance(builder: Builder, study: StudyFile, table: Sequence[Row]) -> str | Table:
    if importlib.util.find_spec("optuna") is None:
        return "The importance of hyperparameters needs Optuna (pip install 'gradrace[tune]')."
    data = tables.importance(study, table)
    if data.empty:
        return ""
    caption = (
        "Share of the variance of scores over the space that each hyperparameter explains (fANOVA,"
        " Hutter et al. 2014, from a random forest; with few trials a rough guess)"
    )
    return builder.table("importance", caption, IMPORTANCE, data)


def _trials(builder: Builder, searches: Sequence[SearchResult]) -> Table:
    def optimizer(row: dict[str, Any]) -> TableCell:
        return TableCell(
            row["optimizer"], note="" if row["fold"] is None else f"fold {row['fold']}"
        )

    def score(row: dict[str, Any]) -> TableCell:
        return TableCell(tune_text.number(row["score"], row["metric"]), row["score"])

    fields = [
        word("Task", "task"),
        word("Framework", "framework"),
        field("Optimizer", optimizer, ""),
        field("Trial", lambda row: TableCell(str(row["trial"]), row["trial"], runs=row["digests"])),
        field("State", _state, ""),
        field("Score", score),
        field("Settings", lambda row: TableCell(tune_text.settings_text(row["settings"])), ""),
        word("Reason", "reason"),
    ]
    trials = list(tables.trials(searches))
    return builder.table("trials", "Every trial", fields, trials, _flat(trials))


def _state(row: dict[str, Any]) -> TableCell:
    return TableCell(row["state"], flag="" if row["state"] == "ok" else row["state"])


def _flat(trials: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """With a column for each hyperparameter."""
    rows = []
    for trial in trials:
        rest = dict(trial)
        settings, _ = rest.pop("settings"), rest.pop("metric")
        reason, digests = rest.pop("reason"), rest.pop("digests")
        rows.append({**rest, **settings, "reason": reason, "digests": digests})
    return pd.DataFrame(rows)

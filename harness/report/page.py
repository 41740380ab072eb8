"""What the page shows: tables of cells, figures with captions, facts and warnings, one part a suite."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure as Drawing

from ..errors import UserError
from ..frame import Frames
from ..layers import Point
from ..registry import Registry, load_registry
from ..spec import MEMORY_STEPS
from ..timing_stats import FEWEST_LAUNCHES
from ..version import __version__
from . import figures, svg, tables, text
from .content import Cell, Column, Data, Figure, Part, Row, Section, Table
from .fairness import Fairness, Finding, fairness
from .sections import ADDED
from .sections.shared import rate_note


class Writer:
    """Builds the part of one suite and collects the data of its figures and tables: `data` is file name -> table."""

    def __init__(self, frames: Frames, suite: str, registry: Registry | None) -> None:
        self.frames, self.suite, self.registry = frames, suite, registry
        self.data: Data = {}
        self.runs = tables.runs(frames, suite)
        self.summary = tables.summary(frames, suite)
        self.times = tables.step_times(frames, suite)
        self.trained = tables.runs(frames, suite, "convergence")
        frameworks = list(dict.fromkeys(frames.runs["framework"]))
        self.metrics = tables.metrics(frames, suite)
        self.series = figures.series_looks(self.trained, list(dict.fromkeys(frames.runs["optimizer"])))
        self.setups = figures.setup_looks(self.trained, frameworks)
        self.timed_setups = figures.setup_looks(self.times, frameworks)

    def part(self) -> Part:
        """Everything of the suite; run once."""
        plan = self.frames.plans[self.suite]
        sections = [
            self._summary(), self._convergence(), self._step_times(), self._throughput(), self._breakdown(),
            self._costs(), *(section(self) for section in ADDED),
        ]  # fmt: skip
        found = [section for section in sections if section.parts]
        return Part(
            self.suite, plan.title, plan.question, self._warnings(), self._chips(), self._facts(),
            [self._fairness(), self._compared(), *found], self._appendix(),
        )  # fmt: skip

    # Is the comparison fair?

    def _fairness(self) -> Section:
        section = Section("fairness", "Is the comparison fair?")
        records = [self.frames.records[digest] for digest in self.runs["digest"]]
        fair = fairness(records, self.frames.verified, self.registry)
        section.warnings = list(fair.notes)
        section.parts.extend(fair.facts)
        if fair.rows and fair.pairs:
            columns = [Column("Task"), Column("Optimizer"), *(Column(f"{a} – {b}") for a, b in fair.pairs)]
            cells = [
                [Cell(row.task), Cell(row.optimizer, note=row.rule), *map(_finding_cell, row.findings)] for row in fair.rows
            ]
            caption = "Worst difference of a loss between two frameworks that were given the same task"
            section.parts.append(self.table("fairness", caption, columns, cells, _fairness_data(fair)))
        return section

    # What was compared

    def _chips(self) -> list[tuple[str, str]]:
        counts = self.runs["status"].value_counts()
        chips = [(status, f"{counts[status]:,} {status}") for status in text.STATUSES if status in counts]
        left = tables.missing(self.frames, self.suite)
        return chips + ([("missing", f"{left:,} not run yet")] if left else [])

    def _facts(self) -> list[tuple[str, list[str]]]:
        runs, records = self.runs, [self.frames.records[d] for d in self.runs["digest"]]
        if not records:
            return [("Runs", ["None of this suite has a record yet."])]
        measures = runs["measure"].value_counts()
        days = sorted(_minute(record.started_at) for record in records)
        return [
            ("Runs", [" + ".join(f"{n:,} {measure}" for measure, n in measures.items())]),
            ("Frameworks", self._frameworks()),
            ("Tasks", [self._task(group.iloc[0]) for _, group in runs.groupby("task", sort=False)]),
            ("Optimizers", self._optimizers()),
            ("Schedules", _listed(_scheduled(row) for row in runs.to_dict("records"))),
            ("Seeds", [_numbers(self.trained["seed"])] if len(self.trained) else ["no convergence run"]),
            ("Computed on", _listed(f"{d}, {t}, {text.plural(n, 'thread')}" for d, t, n in
                                    zip(runs["device"], runs["dtype"], runs["threads"], strict=True))),
            ("Machines", _listed(_machine(record.machine) for record in records)),
            ("When (UTC)", [" to ".join(dict.fromkeys((days[0], days[-1])))]),
        ]  # fmt: skip

    def _frameworks(self) -> list[str]:
        lines = []
        for name, group in self.runs.groupby("framework", sort=False):
            versions: dict[str, set[str]] = {}
            for digest in group["digest"]:
                for library, version in self.frames.records[digest].versions.items():
                    versions.setdefault(library, set()).add(version)
            modes = "; ".join(
                f"{measure}: {', '.join(dict.fromkeys(rows['mode']))}" for measure, rows in group.groupby("measure")
            )
            listed = ", ".join(f"{library} {' and '.join(sorted(seen))}" for library, seen in sorted(versions.items()))
            lines.append(f"{self._title('frameworks', str(name))} — {modes} — {listed or 'versions not recorded'}")
        return lines

    def _task(self, row: pd.Series) -> str:
        task = self.frames.records[row["digest"]].spec.task
        origin = f" ({task.target_origin})" if task.target_origin else ""
        budget = f"{text.plural(task.steps, 'step')} of batch {task.batch_size}, evaluated every {task.eval_every}"
        return f"{task.name}: {task.title} — {budget} — target {task.metric} {task.target:g}{origin}"

    def _optimizers(self) -> list[str]:
        lines = []
        for name, rows in self.runs.groupby("optimizer", sort=False):
            rates = f"learning rate {_numbers(rows['learning_rate'], '{:g}')}"
            rules = ", ".join(
                f"{measure} {' and '.join(dict.fromkeys(of['rule']))}" for measure, of in rows.groupby("measure")
            )
            hyper = " or ".join(dict.fromkeys(filter(None, rows["hyper"])))
            lines.append(" — ".join(filter(None, [self._title("optimizers", str(name)), rules, rates, hyper])))
        return lines

    def _title(self, kind: str, name: str) -> str:
        known = getattr(self.registry, kind, {}).get(name)
        return f"{name} ({known.title})" if known and known.title.lower() != name.lower() else name

    def _warnings(self) -> list[str]:
        found = []
        tried = self.summary[self.summary["runs"] > 0]
        tried = tried[tried[list(tables.ATTEMPTED)].sum(axis=1) > 0] if len(self.trained) else tried.iloc[:0]
        fewest = self.trained.groupby("task")["seed"].nunique().min() if len(tried) else 5
        if fewest < 5:
            known = "no spread is known" if fewest == 1 else "differences within the min–max ranges are not evidence"
            found.append(
                f"Only {text.plural(int(fewest), 'seed')}: {known}. Five seeds or more are needed before an interval "
                "means anything."
            )
        few = int(self.times["launches"].between(1, FEWEST_LAUNCHES - 1).sum())
        if few:
            found.append(
                f"{few} of {text.plural(len(self.times), 'timed cell')} had fewer than {FEWEST_LAUNCHES} launches, and so no "
                "interval: launches differ by about 1 to 3% on their own."
            )
        disturbed = int((self.times["contended"] > 0).sum())
        if disturbed:
            cells = f"{disturbed} of {text.plural(len(self.times), 'timed cell')}"
            found.append(f"{cells} shared the core with other work: their step times, marked *, may be too long.")
        return found

    def _compared(self) -> Section:
        section = Section("compared", "What was compared, and where")
        lost = tables.not_ok(self.frames, self.suite)
        if len(lost):
            section.parts.append(self._lost(lost))
        curves = tables.schedule_curves(self.frames, self.suite)
        if len(curves):
            names = list(dict.fromkeys(curves["schedule"]))
            section.parts.append(self.figure(
                "schedules", partial(figures.schedules, curves), "Learning-rate schedules",
                figures.describe("Learning rate relative to the base rate over a run.", [], names), curves,
                "The schedules, relative to their base rate.",
            ))  # fmt: skip
        return section

    def _lost(self, lost: pd.DataFrame) -> Table:
        columns = [
            Column("Status"), Column("Measure"), Column("Task"), Column("Framework"), Column("Optimizer"),
            Column("Learning rate", "number"), Column("Runs", "number"), Column("Seeds or launches"), Column("Reason"),
        ]  # fmt: skip
        rows = [
            [
                Cell(row["status"], flag=row["status"]), Cell(row["measure"]), Cell(row["task"]), Cell(row["setup"]),
                Cell(row["series"]), _plain(row, "learning_rate"),
                Cell(str(row["runs"]), row["runs"], runs=row["digests"]), Cell(row["seeds"]), Cell(row["reason"]),
            ]
            for row in lost.to_dict("records")
        ]  # fmt: skip
        return self.table("not-ok", "Runs that did not end ok, and why", columns, rows, lost)

    # Summary

    def _summary(self) -> Section:
        section = Section("summary", "Summary")
        self.keep("summary.csv", self.summary)
        if len(self.summary):
            section.parts.append(
                "Mean over the runs that ended ok, with their range from lowest to highest below. Steps to target are "
                "the median over all runs that tried: one that missed the target, diverged or ran out of time counts "
                "as longer than any other. Seconds to target are steps × step p25."
            )
        for task, rows in self.summary.groupby("task", sort=False):
            columns, cells = self._summary_columns(rows)
            listed = [[make(row) for make in cells] for row in rows.to_dict("records")]
            caption = f"{task}: outcome and cost"
            section.parts.append(self.table(f"summary-{task}", caption, columns, listed, csv="summary.csv"))
        return section

    def _summary_columns(self, rows: pd.DataFrame) -> tuple[list[Column], list[Callable[[Row], Cell]]]:
        pairs: list[tuple[Column, Callable[[Row], Cell]]] = [
            (Column("Framework"), _framework_cell),
            (Column("Optimizer"), lambda row: Cell(row["optimizer"], note=row["rule"])),
            *self._varied_columns(rows),
            *self._metric_columns(rows, {"Final val.": "final_validation_metric", "Best val.": "best_validation_metric"}),
            (Column("Final val. loss", "number"), partial(_mean, quantity="final_validation_loss")),
            (Column("Best val. loss", "number"), partial(_mean, quantity="best_validation_loss")),
            *self._metric_columns(rows, {"Test": "test_metric"}),
            (Column("Steps to target", "number"), _steps_cell),
            (Column("Seconds to target", "number"), _seconds_cell),
            (Column("Step p25, µs", "number", "first quartile over timed blocks"), partial(_micros, name="step_p25_s")),
            (Column("Step median, µs", "number"), partial(_micros, name="step_median_s")),
            (Column("First step, s", "number", "compiles where the framework does"), _first_cell),
            (Column("Timed as"), _timed_cell),
            (Column("Runs"), _runs_cell),
        ]  # fmt: skip
        return [column for column, _ in pairs], [make for _, make in pairs]

    def _metric_columns(
        self, rows: pd.DataFrame, titles: dict[str, str]
    ) -> list[tuple[Column, Callable[[Row], Cell]]]:
        """Of one task: accuracy in percent, R² as a number; a metric that is the loss once more is left out."""
        metric = self.metrics[rows["task"].iloc[0]]
        if metric == "negative_loss":
            return []
        words, form = ("acc., %", text.hundredths) if metric == "accuracy" else ("R²", text.significant)
        return [
            (Column(f"{title} {words}", "number"), partial(_mean, quantity=quantity, form=form))
            for title, quantity in titles.items()
        ]

    def _varied_columns(self, rows: pd.DataFrame) -> list[tuple[Column, Callable[[Row], Cell]]]:
        found: list[tuple[Column, Callable[[Row], Cell]]] = [
            (Column("Learning rate", "number"), partial(_plain, name="learning_rate"))
        ]
        if (rows["schedule"].replace("", "constant") != "constant").any():
            found.append((Column("Schedule"), lambda row: Cell(row["schedule"], note=row["schedule_params"])))
        for name, label in (("batch_size", "Batch"), ("threads", "Threads")):
            if rows[name].nunique() > 1:
                found.append((Column(label, "number"), partial(_plain, name=name)))
        words = {"variation": "Variation", "hyper": "Hyperparameters", "device": "Device", "dtype": "Dtype"}
        for name, label in words.items():
            shared = rows.groupby(["optimizer", "rule"])[name].nunique().max() if len(rows) else 0
            if shared > 1:
                found.append((Column(label), partial(_word, name=name)))
        return found

    # Convergence

    def _convergence(self) -> Section:
        section = Section("convergence", "Convergence")
        picked = tables.chosen(self.frames, self.suite)
        points, places = tables.curves(self.frames, picked), tables.paths(self.frames, picked)
        bands, pace = tables.bands(points), tables.pace(self.frames, self.suite)
        for task, rows in points[points["status"].isin(["ok", "diverged"])].groupby("task", sort=False):
            of_task = bands[bands["task"] == task]
            section.parts.append(self._curves(str(task), rows, of_task))
            section.parts += self._paths(str(task), places[places["task"] == task])
            timed = of_task.merge(pace, on=["task", "setup", "series"])
            timed = timed.assign(seconds=timed["step"] * timed["step_p25_s"])
            losses = timed[timed["metric"] == "validation_loss"]
            if len(losses):
                section.parts.append(self._over_time(str(task), losses, _untimed(of_task, losses)))
        return section

    def _curves(self, task: str, points: pd.DataFrame, bands: pd.DataFrame) -> Figure:
        spec = self.frames.records[points["digest"].iloc[0]].spec.task
        lost, width = points[points["status"] == "diverged"], tables.train_bin(spec.steps)
        drawn = figures.METRIC_TITLES.get(spec.metric, "").removeprefix("validation ")
        notes = [
            "Lines are means over the runs that ended ok, bands their range.",
            f"Training loss is averaged over bins of {width} steps." if width > 1 else "",
            "Dotted lines, ended by a cross or leaving at the top, are runs that diverged." if len(lost) else "",
            f"The dashed level is the target, {spec.target:g}; the {drawn} of the first quarter of the steps may lie "
            "below the picture." if drawn else "", rate_note(self.trained, task),
        ]  # fmt: skip
        third = f" and validation {drawn}" if drawn else ""
        what = f"Line charts of training loss{',' if drawn else ' and'} validation loss{third} against steps."
        return self.figure(
            f"{task}-convergence", partial(figures.convergence, bands, lost, self.series, spec.target, spec.metric),
            f"{task}: convergence by step", figures.describe(what, points["setup"], points["series"]), bands,
            f"{task}: optimizers in each framework, by step. " + " ".join(filter(None, notes)),
        )  # fmt: skip

    def _paths(self, task: str, places: pd.DataFrame) -> list[Figure]:
        """The way over the contours, of tasks that are a function of two numbers."""
        if places.empty:
            return []
        layer = self.frames.records[places["digest"].iloc[0]].spec.task.model[0]
        assert isinstance(layer, Point), "only such tasks have points"
        ends = places.drop_duplicates(["setup", "series"], keep="last").to_dict("records")
        where = " ".join(f"{end['series']} in {end['setup']} ends at ({end['x']:.3g}, {end['y']:.3g})." for end in ends)
        what = f"Ways of the optimizers over the contours of the function, from {layer.start}."
        return [self.figure(
            f"{task}-paths", partial(figures.paths, places, layer, self.series), f"{task}: paths on contours",
            f"{figures.describe(what, places['setup'], places['series'])} {where}", places,
            f"{task}: where the optimizers went, at every evaluation. Ring: the start. Crosses: minima. Contours are evenly "
            f"spaced in the logarithm of the function above its minimum. Dotted ways diverged. "
            f"{rate_note(self.trained, task)}".strip(),
        )]  # fmt: skip

    def _over_time(self, task: str, timed: pd.DataFrame, untimed: list[str]) -> Figure:
        as_timed = dict(zip(timed["setup"], timed["timed_mode"] + ", " + timed["timed_rule"], strict=True))
        measured = "; ".join(f"{setup} timed as {how}" for setup, how in as_timed.items())
        return self.figure(
            f"{task}-seconds", partial(figures.over_time, timed, self.setups), f"{task}: convergence by time",
            figures.describe("Validation loss against seconds of training steps.", timed["series"], timed["setup"]),
            timed,
            f"{task}: frameworks under each optimizer, by time. Seconds are steps × step p25 of the timing runs "
            f"({measured}); set-up, compilation and evaluation are not in them."
            + (f" Not timed, and so not drawn: {', '.join(untimed)}." if untimed else ""),
        )  # fmt: skip

    # Step time

    def _step_times(self) -> Section:
        section = Section("step-time", "Step time")
        if len(self.times):
            section.parts.append(self._times_table())
        for task, rows in self.times.dropna(subset=["step_p25_s"]).groupby("task", sort=False):
            section.parts += self._times_figures(str(task), rows)
        return section

    def _times_figures(self, task: str, rows: pd.DataFrame) -> list[Figure]:
        csv = "step-times.csv"
        by_mode = tables.by_mode(rows)
        disturbed = " Hollow marks were contended." if rows["contended"].any() else ""
        describe = partial(figures.describe, panels=rows["setup"], lines=rows["series"])
        timed = self.figure(
            f"{task}-step-time", partial(figures.step_times, rows, self.timed_setups), f"{task}: step time",
            describe("Dot plot of the step time of each optimizer and framework."), None,
            f"{task}: time of one training step. Mark: p25. Thick line: to the median. Thin line: to the 99th "
            f"percentile of blocks.{disturbed}", csv, small=True,
        )  # fmt: skip
        found = [timed]
        if len(by_mode):
            styles = figures.looks(by_mode["series"])
            found.append(self.figure(
                f"{task}-modes", partial(figures.by_mode, by_mode, styles), f"{task}: step time by mode",
                describe("Dot plot of the step time of each framework and mode."), None,
                f"{task}: step time by mode. Mark: p25. Bar: 95% interval over launches.{disturbed}", csv, small=True,
            ))  # fmt: skip
        called = rows.dropna(subset=["first_call_s"])
        if called.empty:
            return found
        return [*found, self.figure(
            f"{task}-first-step", partial(figures.first_calls, called, self.timed_setups), f"{task}: first step",
            describe("Dot plot of the seconds the first call takes."), None,
            f"{task}: the first training call, which traces and compiles where the framework does: one step, or a whole block "
            "in modes that compile loops.", csv, small=True,
        )]  # fmt: skip

    def _times_table(self) -> Table:
        columns = [
            Column("Task"), Column("Framework"), Column("Optimizer"),
            Column("p25, µs", "number", "geometric mean over launches; below, its 95% interval over launches"),
            Column("Median, µs", "number"), Column("p99, µs", "number"), Column("Steps/s", "number"),
            Column("Samples/s", "number"), Column("First call, s", "number"), Column("Launches", "number"), Column("Runs"),
        ]  # fmt: skip
        rows = [
            [
                Cell(row["task"]), Cell(row["setup"]), Cell(row["series"], note=row["rule"]),
                _micros(row, "step_p25_s", _launch_note(row)), _micros(row, "step_median_s"),
                _micros(row, "step_p99_s"), _number(row["steps_per_s"]), _number(row["samples_per_s"]),
                _number(row["first_call_s"]), Cell(str(row["launches"]), row["launches"]), _runs_cell(row),
            ]
            for row in self.times.to_dict("records")
        ]  # fmt: skip
        return self.table("step-times", "Step times", columns, rows, self.times)

    def _throughput(self) -> Section:
        section = Section("throughput", "Samples a second")
        for task, rows in tables.throughput(self.times).groupby("task", sort=False):
            what = "Line charts of samples a second against batch size."
            section.parts.append(self.figure(
                f"{task}-throughput", partial(figures.throughput, rows, self.timed_setups), f"{task}: samples a second",
                figures.describe(what, rows["panel"], rows["setup"]), rows,
                f"{task}: samples a second against batch size, by step p25. Bands: 95% intervals over launches.",
            ))  # fmt: skip
        return section

    # Where a step goes

    def _breakdown(self) -> Section:
        section = Section("breakdown", "Where a step goes")
        rows = self.times.dropna(subset=["forward_s"])
        if rows.empty:
            return section
        section.parts.append(
            "Forward (the loss of a batch), gradient (that and its gradients) and update are compiled and timed apart, in turn "
            "with whole steps on the same batches. Backward is gradient − forward, optimizer is step − gradient, launch by "
            "launch, so both may come out below zero where they are small. The update is also timed by itself. Sum over step "
            "compares forward + backward + update with the whole: below 1, the whole step costs what no part has; above 1, "
            "the parts pay for being driven apart, or the step is compiled into something better than its parts."
        )
        section.parts.append(self._parts_table(rows))
        what = "Stacked bars of the parts of a step, the whole step below each."
        for task, of_task in rows.groupby("task", sort=False):
            section.parts.append(self.figure(
                f"{task}-breakdown", partial(figures.breakdown, of_task), f"{task}: where a step goes",
                figures.describe(what, of_task["setup"], of_task["series"]),
                None, f"{task}: forward, backward and update, each measured apart, above; the whole step below.",
                "step-parts.csv",
            ))  # fmt: skip
        return section

    def _parts_table(self, rows: pd.DataFrame) -> Table:
        names = {"step_p25_s": "Step", "forward_s": "Forward", "backward_s": "Backward", "optimizer_s": "Optimizer",
                 "update_s": "Update alone"}  # fmt: skip
        columns = [
            Column("Task"), Column("Framework"), Column("Optimizer"),
            *(Column(f"{label}, µs", "number", "below, its 95% interval over launches") for label in names.values()),
            Column("Sum / step", "number", "forward + backward + update alone, over the whole step"),
        ]  # fmt: skip
        cells = [
            [
                Cell(row["task"]), Cell(row["setup"]), Cell(row["series"], note=row["rule"]),
                *(_with_interval(row, name, text.micros) for name in names), _with_interval(row, "parts_covered"),
            ]
            for row in rows.to_dict("records")
        ]  # fmt: skip
        kept = [c for c in rows if c in tables.TIMED or c.startswith((*names, "parts_covered"))]
        data = rows[[*kept, "mode", "rule", "variation", "launches", "digests"]]
        return self.table("step-parts", "Parts of a step", columns, cells, data)

    # What it takes besides

    def _costs(self) -> Section:
        section = Section("costs", "Start-up and memory")
        rows = self.times[self.times[["import_s", "grown_bytes"]].notna().any(axis=1)]
        if rows.empty:
            return section
        methods = ", ".join(dict.fromkeys(filter(None, rows["memory_method"])))
        section.parts.append(
            "Import loads the framework, set-up builds model and optimizer and places the data, the first call traces and "
            "compiles. State is what the optimizer keeps besides the weights, counted exactly."
            + (f" Memory, of a process that does nothing else ({methods}): what set-up and {MEMORY_STEPS} steps add to the "
               "resident set, and the framework's own count of the device's peak." if methods else "")
        )  # fmt: skip
        columns = [
            Column("Task"), Column("Framework"), Column("Optimizer"), Column("Import, s", "number"),
            Column("Set-up, s", "number"), Column("First call, s", "number"), Column("State, KiB", "number"),
            Column("Before, MiB", "number"), Column("Growth, MiB", "number"), Column("Device peak, MiB", "number"),
        ]  # fmt: skip
        cells = [
            [
                Cell(row["task"]), Cell(row["setup"]), Cell(row["series"], note=row["rule"]), _number(row["import_s"]),
                _number(row["setup_s"]), _called(row), _number(row["state_bytes"] / 2**10),
                *(_number(row[name] / 2**20) for name in ("imported_bytes", "grown_bytes", "device_peak_bytes")),
            ]
            for row in rows.to_dict("records")
        ]  # fmt: skip
        section.parts.append(self.table("start-up", "Start-up and memory", columns, cells, csv="step-times.csv"))
        return section

    # Appendix

    def _appendix(self) -> Table:
        best = "Best val. accuracy" if set(self.metrics.values()) <= {"accuracy"} else "Best val. metric"
        columns = [
            Column("Run"), Column("Digest", "code"), Column("Status"), Column(best, "number"),
            Column("Final val. loss", "number"), Column("Steps to target", "number"), Column("Step p25, µs", "number"),
            Column("First step, s", "number"), Column("Wall, s", "number"), Column("Started, UTC", "code"),
            Column("Reason"),
        ]  # fmt: skip
        rows = [_run_cells(row, self.metrics[row["task"]]) for row in self.runs.to_dict("records")]
        return self.table("runs", "All runs", columns, rows, tables.all_runs(self.frames, self.suite))

    def table(
        self, name: str, caption: str, columns: list[Column], rows: list[list[Cell]],
        data: pd.DataFrame | None = None, csv: str = "",
    ) -> Table:  # fmt: skip
        """A table whose data become a file: `data` under `csv`, or one that was kept before under that name."""
        csv = csv or f"{name}.csv"
        if data is not None:
            self.keep(csv, data)
        return Table(f"{self.suite}-{name}", caption, columns, rows, f"data/{self.suite}/{csv}", len(rows) > 24)

    def figure(
        self, name: str, draw: Callable[[], Drawing], title: str, description: str, data: pd.DataFrame | None,
        caption: str, csv: str = "", small: bool = False,
    ) -> Figure:  # fmt: skip
        """A figure as inline SVG, its data kept as those of a table. `name` is unique within the suite."""
        csv = csv or f"{name}.csv"
        if data is not None:
            self.keep(csv, data)
        anchor = f"{self.suite}-fig-{name}"
        drawn = svg.inline(draw, anchor, title, description)
        return Figure(anchor, drawn, caption, f"data/{self.suite}/{csv}", small)

    def keep(self, file: str, data: pd.DataFrame) -> None:
        """Data that stand beside the page under this file name."""
        self.data[f"{self.suite}/{file}"] = data


def build(frames: Frames) -> tuple[str, Data]:
    """The page's HTML, and its data: path below data/ -> table."""
    writers = [Writer(frames, suite, _registry()) for suite in frames.plans]
    parts = [writer.part() for writer in writers]
    data = {name: table for writer in writers for name, table in writer.data.items()}
    html = _environment().get_template("page.html").render(parts=parts, version=__version__)
    return html, data


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.tests["figure"] = lambda part: isinstance(part, Figure)
    environment.tests["table"] = lambda part: isinstance(part, Table)
    return environment


def _registry() -> Registry | None:
    """Only titles are taken from it, so a plug-in that cannot be loaded must not cost the report."""
    try:
        return load_registry()
    except UserError:
        return None


def _untimed(bands: pd.DataFrame, timed: pd.DataFrame) -> list[str]:
    """What was trained without a step time: 'adam in jax (scan)'."""
    drawn = set(zip(timed["series"], timed["setup"], strict=True))
    pairs = dict.fromkeys(zip(bands["series"], bands["setup"], strict=True))
    return [f"{series} in {setup}" for series, setup in pairs if (series, setup) not in drawn]


def _listed(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def _numbers(values: pd.Series, form: str = "{}") -> str:
    return ", ".join(form.format(value) for value in sorted(set(values)))


def _scheduled(row: Row) -> str:
    return f"{row['schedule']} ({row['schedule_params']})" if row["schedule_params"] else str(row["schedule"])


def _minute(started_at: str) -> str:
    """2026-03-01T00:01:02+00:00 -> 2026-03-01 00:01"""
    return started_at[:16].replace("T", " ")


def _machine(machine: Any) -> str:
    memory = f"{machine.memory_bytes / 2**30:.0f} GiB"
    cores = text.plural(machine.logical_cores, "logical core")
    return f"{machine.processor}, {cores}, {memory}; {machine.system}; Python {machine.python}"


def _number(value: float, form: Callable[[float], str] = text.significant) -> Cell:
    return Cell(text.MISSING) if pd.isna(value) else Cell(form(value), float(value))


def _plain(row: Row, name: str) -> Cell:
    return _number(row[name], "{:g}".format)


def _word(row: Row, name: str) -> Cell:
    return Cell(str(row[name]))


def _mean(row: Row, quantity: str, form: Callable[[float], str] = text.significant) -> Cell:
    mean, low, high = (row[f"{quantity}_{s}"] for s in ("mean", "min", "max"))
    if pd.isna(mean):
        return Cell(text.MISSING)
    return Cell(form(mean), float(mean), text.spread(low, high, form))


def _micros(row: Row, name: str, note: str = "") -> Cell:
    if pd.isna(row[name]):
        return Cell(text.MISSING)
    flag = "contended" if name == "step_p25_s" and row["contended"] > 0 else ""
    return Cell(text.micros(row[name]), float(row[name]), note, flag=flag)


def _with_interval(row: Row, name: str, form: Callable[[float], str] = text.significant) -> Cell:
    """The figure with its interval below."""
    value, low, high = (row[f"{name}{limit}"] for limit in ("", "_low", "_high"))
    return Cell(text.MISSING) if pd.isna(value) else Cell(form(value), float(value), text.spread(low, high, form))


def _called(row: Row) -> Cell:
    """Seconds of the first call, with its steps where it took several."""
    steps = row["first_call_steps"]
    note = "" if pd.isna(steps) or steps == 1 else text.plural(int(steps), "step")
    return Cell(text.MISSING) if pd.isna(row["first_call_s"]) else Cell(
        text.significant(row["first_call_s"]), float(row["first_call_s"]), note
    )


def _launch_note(row: Row) -> str:
    """The interval over launches; their range where there are too few."""
    if not pd.isna(row["step_p25_s_low"]):
        return text.spread(row["step_p25_s_low"], row["step_p25_s_high"], text.micros)
    return text.spread(row["step_p25_min_s"], row["step_p25_max_s"], text.micros)


def _framework_cell(row: Row) -> Cell:
    return Cell(row["framework"], note=row["mode"])


def _steps_cell(row: Row) -> Cell:
    return Cell(tables.steps_text(row), _finite(row["steps_to_target"]))


def _seconds_cell(row: Row) -> Cell:
    seconds = text.seconds_to_target(row["seconds_to_target"], row["reached"], row["budget_s"])
    return Cell(seconds, _finite(row["seconds_to_target"]))


def _finite(value: float) -> float | None:
    """What a column is sorted by: runs that missed the target come after all others."""
    return None if math.isnan(value) else min(float(value), 1e300)


def _finding_cell(finding: Finding) -> Cell:
    """The word, its size below; the word carries the meaning, the colour only repeats it."""
    size = "" if finding.worst is None else f"{finding.worst:.0e}"
    flag = "fair-" + finding.word.lower().replace(",", "").replace(" ", "-")
    return Cell(finding.word, finding.worst, size, flag=flag, title=finding.detail)


def _fairness_data(fair: Fairness) -> pd.DataFrame:
    """Long: task, optimizer, rule, a, b, verdict, worst, detail."""
    return pd.DataFrame(
        [
            (row.task, row.optimizer, row.rule, a, b, finding.word, finding.worst, finding.detail)
            for row in fair.rows
            for (a, b), finding in zip(fair.pairs, row.findings, strict=True)
        ],
        columns=["task", "optimizer", "rule", "a", "b", "verdict", "worst", "detail"],
    )


def _first_cell(row: Row) -> Cell:
    return _number(row["first_call_s"])


def _timed_cell(row: Row) -> Cell:
    return Cell(row["timed_mode"] or text.MISSING, note=row["timed_rule"])


def _runs_cell(row: Row) -> Cell:
    worst = next((s for s in reversed(text.STATUSES) if row[s]), "ok")
    return Cell(text.counts(row), runs=row["digests"], flag="" if worst == "ok" else worst)


def _run_cells(row: Row, metric: str) -> list[Cell]:
    return [
        Cell(row["id"]), Cell(row["digest"]), Cell(row["status"], flag=row["status"]),
        _number(row["best_validation_metric"], partial(text.metric, name=metric)), _number(row["final_validation_loss"]),
        _number(row["steps_to_target"], "{:g}".format), _number(row["step_p25_s"], text.micros),
        _number(row["first_call_s"]), _number(row["wall_s"]), Cell(_minute(row["started_at"])), Cell(row["reason"]),
    ]  # fmt: skip

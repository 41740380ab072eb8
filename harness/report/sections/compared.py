"""What was compared, where, and what a reader must mind."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from ...spec import number_text
from ...statistics.intervals import FEWEST_LAUNCHES
from .. import cells, figures, tables, text
from ..content import Cell, Column, Row, Section, Table

if TYPE_CHECKING:
    from ..page import Writer


def section(writer: Writer) -> Section:
    section = Section("compared", "What was compared, and where")
    lost = tables.not_ok(writer.frames, writer.suite)
    if len(lost):
        section.parts.append(_lost(writer, lost))
    curves = tables.schedule_curves(writer.frames, writer.suite)
    if len(curves):
        names = list(dict.fromkeys(curves["schedule"]))
        section.parts.append(
            writer.figure(
                "schedules",
                partial(figures.schedules, curves),
                "Learning-rate schedules",
                figures.describe("Learning rate relative to the base rate over a run.", [], names),
                curves,
                "The schedules, relative to their base rate.",
            )
        )
    return section


def chips(writer: Writer) -> list[tuple[str, str]]:
    counts = writer.runs["status"].value_counts()
    chips = [
        (status, f"{counts[status]:,} {status}") for status in text.STATUSES if status in counts
    ]
    left = tables.missing(writer.frames, writer.suite)
    return chips + ([("missing", f"{left:,} not run yet")] if left else [])


def facts(writer: Writer) -> list[tuple[str, list[str]]]:
    runs, records = writer.runs, [writer.frames.records[d] for d in writer.runs["digest"]]
    if not records:
        return [("Runs", ["None of this suite has a record yet."])]
    measures = runs["measure"].value_counts()
    days = sorted(text.minute(record.started_at) for record in records)
    return [
        ("Runs", [" + ".join(f"{n:,} {measure}" for measure, n in measures.items())]),
        ("Frameworks", _frameworks(writer)),
        ("Tasks", [_task(writer, group.iloc[0]) for _, group in runs.groupby("task", sort=False)]),
        ("Optimizers", _optimizers(writer)),
        ("Schedules", _listed(_scheduled(row) for row in runs.to_dict("records"))),
        (
            "Seeds",
            [_numbers(writer.trained["seed"])] if len(writer.trained) else ["no convergence run"],
        ),
        (
            "Computed on",
            _listed(
                f"{d}, {t}, {text.plural(n, 'thread')}"
                for d, t, n in zip(runs["device"], runs["dtype"], runs["threads"], strict=True)
            ),
        ),
        ("Machines", _listed(_machine(record.machine) for record in records)),
        ("When (UTC)", [" to ".join(dict.fromkeys((days[0], days[-1])))]),
    ]


def warnings(writer: Writer) -> list[str]:
    found = []
    tried = writer.summary[writer.summary["runs"] > 0]
    tried = (
        tried[tried[list(tables.ATTEMPTED)].sum(axis=1) > 0]
        if len(writer.trained)
        else tried.iloc[:0]
    )
    fewest = writer.trained.groupby("task")["seed"].nunique().min() if len(tried) else 5
    if fewest < 5:
        known = (
            "no spread is known"
            if fewest == 1
            else "differences within the min–max ranges are not evidence"
        )
        found.append(
            f"Only {text.plural(int(fewest), 'seed')}: {known}. Five seeds or more are needed"
            " before an interval means anything."
        )
    few = int(writer.times["launches"].between(1, FEWEST_LAUNCHES - 1).sum())
    if few:
        found.append(
            f"{few} of {text.plural(len(writer.times), 'timed cell')} had fewer than"
            f" {FEWEST_LAUNCHES} launches, and so no interval: launches differ by about 1 to 3% on"
            " their own."
        )
    disturbed = int((writer.times["contended"] > 0).sum())
    if disturbed:
        shared = f"{disturbed} of {text.plural(len(writer.times), 'timed cell')}"
        found.append(
            f"{shared} shared the core with other work: their step times, marked *, may be too"
            " long."
        )
    return found


def _frameworks(writer: Writer) -> list[str]:
    lines = []
    for name, group in writer.runs.groupby("framework", sort=False):
        versions: dict[str, set[str]] = {}
        for digest in group["digest"]:
            for library, version in writer.frames.records[digest].versions.items():
                versions.setdefault(library, set()).add(version)
        modes = "; ".join(
            f"{measure}: {', '.join(dict.fromkeys(rows['mode']))}"
            for measure, rows in group.groupby("measure")
        )
        listed = ", ".join(
            f"{library} {' and '.join(sorted(seen))}" for library, seen in sorted(versions.items())
        )
        lines.append(
            f"{_title(writer, 'frameworks', str(name))} — {modes} —"
            f" {listed or 'versions not recorded'}"
        )
    return lines


def _task(writer: Writer, row: pd.Series) -> str:
    task = writer.frames.records[row["digest"]].spec.task
    origin = f" ({task.target_origin})" if task.target_origin else ""
    budget = (
        f"{text.plural(task.steps, 'step')} of batch {task.batch_size}, evaluated every"
        f" {task.eval_every}"
    )
    return f"{task.name}: {task.title} — {budget} — target {task.metric} {task.target:g}{origin}"


def _optimizers(writer: Writer) -> list[str]:
    lines = []
    for name, rows in writer.runs.groupby("optimizer", sort=False):
        rates = f"learning rate {_numbers(rows['learning_rate'])}"
        rules = ", ".join(
            f"{measure} {' and '.join(dict.fromkeys(of['rule']))}"
            for measure, of in rows.groupby("measure")
        )
        hyper = " or ".join(dict.fromkeys(filter(None, rows["hyper"])))
        lines.append(
            " — ".join(filter(None, [_title(writer, "optimizers", str(name)), rules, rates, hyper]))
        )
    return lines


def _title(writer: Writer, kind: str, name: str) -> str:
    known = getattr(writer.registry, kind, {}).get(name)
    return f"{name} ({known.title})" if known and known.title.lower() != name.lower() else name


def _lost(writer: Writer, lost: pd.DataFrame) -> Table:
    columns = [
        Column("Status"),
        Column("Measure"),
        Column("Task"),
        Column("Framework"),
        Column("Optimizer"),
        Column("Learning rate", "number"),
        Column("Runs", "number"),
        Column("Seeds or launches"),
        Column("Reason"),
    ]
    rows = [
        [
            Cell(row["status"], flag=row["status"]),
            Cell(row["measure"]),
            Cell(row["task"]),
            Cell(row["setup"]),
            Cell(row["series"]),
            cells.plain(row, "learning_rate"),
            Cell(str(row["runs"]), row["runs"], runs=row["digests"]),
            Cell(row["seeds"]),
            Cell(row["reason"]),
        ]
        for row in lost.to_dict("records")
    ]
    return writer.table("not-ok", "Runs that did not end ok, and why", columns, rows, lost)


def _listed(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def _numbers(values: pd.Series) -> str:
    return ", ".join(number_text(value) for value in sorted(set(values)))


def _scheduled(row: Row) -> str:
    return (
        f"{row['schedule']} ({row['schedule_params']})"
        if row["schedule_params"]
        else str(row["schedule"])
    )


def _machine(machine: Any) -> str:
    memory = f"{machine.memory_bytes / 2**30:.0f} GiB"
    cores = text.plural(machine.logical_cores, "logical core")
    return f"{machine.processor}, {cores}, {memory}; {machine.system}; Python {machine.python}"

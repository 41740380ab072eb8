"""The runs that were compared: frameworks, tasks, optimizers, machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial

import pandas as pd

from ...record import Machine, RunRecord
from ...spec import POPULATION, number_text
from .. import tables, text
from ..builder import Builder
from ..columns import NAMES, exact, field, word
from ..content import Row, Section, TableCell
from ..draw.lazy import Lazy
from ..notes import described

convergence = Lazy("convergence")
PLACE = 215
LOST = [
    field("Status", lambda row: TableCell(row["status"], flag=row["status"]), ""),
    word("Measure", "measure"),
    *NAMES,
    exact("Learning rate", "learning_rate"),
    field("Runs", lambda row: TableCell(str(row["runs"]), row["runs"], runs=row["digests"])),
    word("Seeds or launches", "seeds"),
    word("Reason", "reason"),
]


def section(builder: Builder) -> Section:
    """Facts about the runs, those that did not end ok, and the schedules."""
    found = Section("compared", "Compared runs", facts=_facts(builder))
    lost = tables.not_ok(builder.frames, builder.suite)
    if len(lost):
        found.add(builder.table("not-ok", "Runs that did not end ok, and why", LOST, lost))
    curves = tables.schedule_curves(builder.frames, builder.suite)
    if len(curves):
        shown = "Learning rate relative to the base rate over a run."
        figure = builder.figure(
            "schedules",
            partial(convergence.schedules, curves),
            "Learning-rate schedules",
            described(shown, [], curves["schedule"]),
            curves,
            "The schedules, relative to their base rate.",
        )
        found.add(figure)
    return found


def _facts(builder: Builder) -> list[tuple[str, list[str]]]:
    runs, records = builder.runs, [builder.frames.records[d] for d in builder.runs["digest"]]
    if not records:
        return [("Runs", ["None of this suite has a record yet."])]
    measures = runs["measure"].value_counts()
    days = sorted(text.minute(record.started_at) for record in records)
    trained = builder.trained
    tasks = [group["digest"].iloc[0] for _, group in runs.groupby("task", sort=False)]
    return [
        ("Runs", [" + ".join(f"{n:,} {measure}" for measure, n in measures.items())]),
        ("Frameworks", _frameworks(builder)),
        ("Tasks", [_task(builder, digest) for digest in tasks]),
        ("Optimizers", _optimizers(builder)),
        ("Schedules", _distinct(_schedule(row) for row in runs.to_dict("records"))),
        ("Seeds", [_numbers(trained["seed"])] if len(trained) else ["no convergence run"]),
        ("Computed on", _distinct(_place(row) for row in runs.to_dict("records"))),
        *_populations(records),
        ("Machines", _machines(builder, records)),
        *_energy(builder, records),
        ("When (UTC)", [" to ".join(dict.fromkeys((days[0], days[-1])))]),
    ]


def _populations(records: Iterable[RunRecord]) -> list[tuple[str, list[str]]]:
    """In how many lanes runs were trained together, and why some were not as was asked."""
    found = [record for record in records if record.spec.mode == POPULATION]
    together = Counter(record.lanes for record in found if record.lanes > 1)
    lines = [
        f"{text.plural(n, 'run')} in programs of {lanes} lanes; no bit of a run depends on the"
        " others"
        for lanes, n in sorted(together.items())
    ]
    notes = Counter(record.note for record in found if record.note)
    lines += [f"{text.plural(n, 'run')}: {note}" for note, n in notes.items()]
    return [("Populations", lines)] if lines else []


def _energy(builder: Builder, records: Iterable[RunRecord]) -> list[tuple[str, list[str]]]:
    """Which counters the runs' energy comes from, and why others have none."""
    found = [record.energy for record in records if record.energy]
    sources = Counter(energy.source for energy in found if energy.joules is not None)
    shared = any(energy.joules is not None and energy.runs > 1 for energy in found)
    lines = [f"{source}: {text.plural(n, 'run')}" for source, n in sources.items()]
    if lines:
        lines.append("All that ran on the device counts, and what it draws at rest.")
    if shared:
        lines.append("Runs of a population have equal shares of what their program drew.")
    trained = builder.summary[builder.summary["attempts"] > 0]
    if apart := int(tables.joules_apart(builder.frames, trained).sum()):
        lines.append(
            f"Not averaged in {text.plural(apart, 'cell')} whose runs are of several machines."
        )
    reasons = Counter(energy.reason for energy in found if energy.joules is None)
    lines += [f"not known of {text.plural(n, 'run')}: {why}" for why, n in reasons.items()]
    return [("Energy", lines)] if lines else []


def _frameworks(builder: Builder) -> list[str]:
    lines = []
    for name, group in builder.runs.groupby("framework", sort=False):
        versions: dict[str, set[str]] = {}
        for digest in group["digest"]:
            for library, version in builder.frames.records[digest].libraries.items():
                versions.setdefault(library, set()).add(version)
        modes = (
            f"{measure}: {', '.join(dict.fromkeys(rows['mode']))}"
            for measure, rows in group.groupby("measure")
        )
        seen = (f"{name} {' and '.join(sorted(of))}" for name, of in sorted(versions.items()))
        libraries = ", ".join(seen) or "versions not recorded"
        title = _title(builder, "frameworks", str(name))
        lines.append(f"{title} — {'; '.join(modes)} — {libraries}")
    return lines


def _task(builder: Builder, digest: str) -> str:
    task = builder.task(digest)
    origin = f" ({task.target_origin})" if task.target_origin else ""
    steps = f"{text.plural(task.steps, 'step')} of batch {task.batch_size}"
    budget = f"{steps}, evaluated every {task.eval_every}"
    return f"{task.name}: {task.title} — {budget} — target {task.metric} {task.target:g}{origin}"


def _optimizers(builder: Builder) -> list[str]:
    lines = []
    for name, rows in builder.runs.groupby("optimizer", sort=False):
        rates = f"learning rate {_numbers(rows['learning_rate'])}"
        rules = ", ".join(
            f"{measure} {' and '.join(dict.fromkeys(of['rule']))}"
            for measure, of in rows.groupby("measure")
        )
        hyper = " or ".join(dict.fromkeys(filter(None, rows["hyper"])))
        said = [_title(builder, "optimizers", str(name)), rules, rates, hyper]
        lines.append(" — ".join(filter(None, said)))
    return lines


def _title(builder: Builder, kind: str, name: str) -> str:
    known = getattr(builder.registry, kind, {}).get(name)
    return f"{name} ({known.title})" if known and known.title.lower() != name.lower() else name


def _distinct(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def _numbers(values: pd.Series) -> str:
    return ", ".join(number_text(value) for value in sorted(set(values)))


def _schedule(row: Row) -> str:
    params = row["schedule_params"]
    return f"{row['schedule']} ({params})" if params else str(row["schedule"])


def _place(row: Row) -> str:
    return f"{row['device']}, {row['dtype']}, {text.plural(row['threads'], 'thread')}"


def _machines(builder: Builder, records: Sequence[RunRecord]) -> list[str]:
    """If there are several, each with its host and its number of runs."""
    if not builder.several_machines:
        return _distinct(_machine(record.machine) for record in records)
    counts = Counter((record.machine.host, _machine(record.machine)) for record in records)
    return [
        f"{host or 'no host recorded'}: {said} — {text.plural(n, 'run')}"
        for (host, said), n in counts.items()
    ]


def _machine(machine: Machine) -> str:
    memory = f"{machine.memory_bytes / 2**30:.0f} GiB"
    cores = text.plural(machine.logical_cores, "logical core")
    return f"{machine.processor}, {cores}, {memory}; {machine.system}; Python {machine.python}"

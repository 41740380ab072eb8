"""Records to tidy pandas frames; reports, comparisons and notebooks read results through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from .. import data
from ..errors import UserError
from ..machine import identity
from ..record import FINAL, RunRecord
from ..spec import hyper_text, step_setting
from ..statistics import step_times
from ..sweep.store import PlanFile, read_plan, stored, suite_folder, suites_in
from ..sweep.stored import Kept, Stored
from ..tune.study import StudyFile, read_study
from ..verify import file as verify_file
from ..verify.verdict import VerifyFile
from . import shown
from .best import best
from .choosing import Where, matching
from .columns import BLOCKS, CURVE, MEMORY, MIDDLE, NORMS, NUMBERS, SPREAD, TIMING_CELL


@dataclass(frozen=True, eq=False, repr=False)
class Frames:
    """Tidy results; `filter` takes part of them, `best` ranks their settings.

    runs: one row a run, whatever its status. Columns: suite, digest, id, measure, task, framework,
    mode, optimizer, rule, schedule, schedule_params, learning_rate, hyper, variation, device,
    dtype, threads, input, batch_size, setting (spec.step_setting: what a step's time depends on),
    steps, budget (steps of a training run, 0 of others), eval_every, target, seed, launch, status,
    reason, lanes, note; of convergence runs steps_done, final_train_loss, final_validation_loss,
    final_validation_metric, best_validation_loss, best_validation_metric, test_loss, test_metric,
    steps_to_target, stopped_at, and if energy could be read joules, joules_per_1000_steps (of all
    the run, set-up and compilation included) and energy_source (else ""); of timing runs
    step_p25_s, step_median_s, step_p99_s, step_mean_s (the one to add up steps with), contended,
    start_s, first_call_s, first_call_steps, and of their parts forward_s, backward_s, optimizer_s,
    remainder_s, parts_covered (see step_times.parts_of_launch); of memory runs imported_bytes,
    peak_bytes, grown_bytes, device_peak_bytes, memory_method; of all import_s, setup_s,
    state_bytes, started_at, wall_s, host and driver (see record.RunRecord), and machine: the short
    name of the machine that computed it (machine.identity). Missing numbers are NaN.

    curves: one row a point of every run, also if several suites share it: digest, step, series
    (train_loss, validation_loss, validation_metric; learning_rate if the validation loss or a
    user's schedule drove it; point_0 and point_1 if the task is a function of two numbers), value.
    steps: one row a timed block: digest, block, part, steps, wall_ns, cpu_ns, involuntary_switches,
    steal_ticks. norms: one row a parameter and evaluated step of the runs that were told to
    `diagnose`: digest and the columns of record.Norms.

    plans: suite -> its title, question and digests. records: digest -> the whole record.
    studies: suite -> the request of its study, of studies of `gradrace tune`.
    verified: the verdicts that `gradrace verify` kept beside the results; None if it was not run.
    output: the folder of results."""

    runs: pd.DataFrame
    curves: pd.DataFrame
    steps: pd.DataFrame
    plans: dict[str, PlanFile]
    records: dict[str, RunRecord]
    verified: VerifyFile | None = None
    norms: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=NORMS))
    output: Path | None = None
    studies: dict[str, StudyFile] = field(default_factory=dict)

    def filter(self, *, where: Where | None = None, **columns: Any) -> Frames:
        """The results of those runs whose columns have these values; this object stays as it is.

        columns: names of columns of `runs`, each with a value or several:
        `filter(task="digits_mlp", optimizer=["adam", "lion"])`. where: a test that gets the table
        `runs` and gives a bool for each row: `lambda runs: runs["learning_rate"] < 0.01`.

        runs, curves, steps, norms and records hold the same runs afterwards; plans and studies are
        those of the suites that are left, and a plan lists the runs that are left. Timing runs are
        runs too: a condition on mode or rule may leave out the step times of what was trained.
        `verified` is the same as before. UserError for an unknown column, or a value that no run
        has."""
        return self._of(matching(self.runs, where, columns))

    def best(self, task: str | None = None, by: str = "validation_metric") -> pd.DataFrame:
        """The best setting of each optimizer, in each framework and mode, chosen with hindsight:
        its score is that of a winner among all that were run, and flatters those of which more were
        run. `gradrace.tune` scores winners on fresh seeds.

        One row a task, framework, mode, optimizer and rule, by task and then the best first:
        schedule, schedule_params, learning_rate, hyper, variation, batch_size and steps of the
        setting; runs that tried, and how many of these ended ok; value (the mean over those that
        ended ok), low and high (their range); digests. Settings of which more runs ended ok come
        before others.

        by: validation_metric, validation_loss, train_loss, test_metric, test_loss (at the end of
        training), best_validation_metric, best_validation_loss, or steps_to_target (the median,
        infinite if the median run missed the target). UserError for another one, or an unknown
        task."""
        chosen = self.runs if task is None else matching(self.runs, None, {"task": task})
        return best(chosen, by)

    def __repr__(self) -> str:
        return shown.line(self.runs)

    def _repr_html_(self) -> str:
        """For notebooks: a row a suite."""
        return shown.html(self.runs, {suite: plan.title for suite, plan in self.plans.items()})

    def _of(self, runs: pd.DataFrame) -> Frames:
        """Of these rows of `runs` alone."""
        kept = set(runs["digest"])
        suites = dict.fromkeys(runs["suite"])

        def of(table: pd.DataFrame) -> pd.DataFrame:
            return table[table["digest"].isin(kept)].reset_index(drop=True)

        def plan(suite: str) -> PlanFile:
            own = set(runs.loc[runs["suite"] == suite, "digest"])
            left = tuple(digest for digest in self.plans[suite].digests if digest in own)
            return self.plans[suite].model_copy(update={"digests": left})

        return replace(
            self,
            runs=runs,
            curves=of(self.curves),
            steps=of(self.steps),
            norms=of(self.norms),
            plans={suite: plan(suite) for suite in self.plans if suite in suites},
            records={digest: r for digest, r in self.records.items() if digest in kept},
            studies={suite: study for suite, study in self.studies.items() if suite in suites},
        )


def load(folder: str | Path = "results", *suites: str) -> Frames:
    """The results under a folder (that of `gradrace run --output`), of all suites or of those
    named.

    UserError if there is nothing to read, or if a file is truncated, newer than this version or not
    ours."""
    output = Path(folder)
    names = suites or suites_in(output)
    plans = {suite: read_plan(output, suite) for suite in names}
    places = {suite: stored(output, suite) for suite in names}
    found = {suite: place.sound(plans[suite].digests) for suite, place in places.items()}
    origins = _origins(found)
    records = {digest: record for digest, (_, record) in origins.items()}
    curves: list[pd.DataFrame] = []
    norms: list[pd.DataFrame] = []
    steps: list[pd.DataFrame] = []
    times: dict[Any, dict[str, Any]] = {}
    for suite in names:
        # Not longer than needed: it keeps the arrays of populations.
        place = places.pop(suite)
        own = [record for of, record in origins.values() if of == suite]
        curves += _arrays(place, own, "curve")
        norms += _arrays(place, own, "norms")
        for blocks in map(_with_parts, _arrays(place, own, "steps")):
            steps.append(blocks)
            times |= {digest: _timing(of) for digest, of in blocks.groupby("digest", sort=False)}
    rows = [
        _row(suite, records[kept.record.digest]) | times.get(kept.record.digest, {})
        for suite, of in found.items()
        for kept in of
    ]
    for record in records.values():
        data.recall(record.spec.task.data, record.data)
    if not rows:
        raise UserError(f"{output}: no finished run of {', '.join(names)} there yet")
    folders = {suite: suite_folder(output, suite) for suite in names}
    studies = {suite: study for suite, at in folders.items() if (study := read_study(at))}
    return Frames(
        _runs(rows, list(records.values())),
        _concat(curves, CURVE),
        _concat(steps, BLOCKS),
        plans,
        records,
        verify_file.read(output),
        _concat(norms, NORMS),
        output,
        studies,
    )


def _origins(found: Mapping[str, Sequence[Kept]]) -> dict[str, tuple[str, RunRecord]]:
    """Digest -> the suite and record that count, arrays and times included.

    A run that stands in two suites is one run, but may have been computed for each. The first that
    is finished counts, else the first."""
    origins: dict[str, tuple[str, RunRecord]] = {}
    for suite, of in found.items():
        for record in (kept.record for kept in of):
            known = origins.get(record.digest)
            if known is None or (known[1].status not in FINAL and record.status in FINAL):
                origins[record.digest] = suite, record
    return origins


def _row(suite: str, record: RunRecord) -> dict[str, Any]:
    spec = record.spec
    return {
        "suite": suite,
        "digest": record.digest,
        "id": spec.id,
        "measure": spec.measure,
        "task": spec.task.name,
        "framework": spec.framework,
        "mode": spec.mode,
        "optimizer": spec.optimizer.name,
        "rule": spec.optimizer.rule,
        "schedule": spec.schedule.kind,
        "schedule_params": _pairs(spec.schedule.params),
        "learning_rate": spec.schedule.base_lr,
        "hyper": _pairs(spec.optimizer.hyper),
        "variation": _pairs(spec.variations),
        "device": spec.device,
        "dtype": spec.dtype,
        "threads": spec.threads,
        "input": spec.input,
        "setting": step_setting(spec),
        "batch_size": spec.task.batch_size,
        "steps": spec.steps,
        "budget": spec.steps if spec.measure == "convergence" else 0,
        "eval_every": spec.task.eval_every,
        "target": spec.task.target,
        "seed": spec.seed,
        "launch": spec.launch,
        "status": record.status,
        "reason": record.reason,
        "lanes": record.lanes,
        "note": record.note,
        **(record.summary.to_json() if record.summary else {}),
        "import_s": record.import_s,
        "start_s": record.start_s,
        "setup_s": record.setup_s,
        "first_call_s": record.first_call_s,
        "first_call_steps": record.first_call_steps if record.first_call_s is not None else None,
        "state_bytes": record.state_bytes,
        "started_at": record.started_at,
        "wall_s": record.wall_s,
        "host": record.machine.host,
        "driver": record.driver,
        **_memory(record),
        **_energy(record),
    }


def _memory(record: RunRecord) -> dict[str, Any]:
    if record.memory is None:
        return {}
    found = {name: getattr(record.memory, name) for name in MEMORY}
    return {**found, "memory_method": record.memory.method}


def _energy(record: RunRecord) -> dict[str, Any]:
    """The records say why there is none."""
    found, steps = record.energy, record.summary.steps_done if record.summary else 0
    if found is None or found.joules is None:
        return {"energy_source": ""}
    each = 1000.0 * found.joules / steps if steps else None
    read = {"joules": found.joules, "joules_per_1000_steps": each}
    return {**read, "energy_source": found.source}


def _with_parts(blocks: pd.DataFrame) -> pd.DataFrame:
    """Numbered blocks as they are kept now: in earlier versions all were of whole steps, and stolen
    ticks were not counted."""
    for name, value in (("part", "step"), ("steal_ticks", 0)):
        known = blocks[name].fillna(value) if name in blocks else value
        blocks = blocks.assign(**{name: known})
    blocks = blocks.assign(block=blocks.groupby("digest", sort=False).cumcount())
    return blocks.astype({"steal_ticks": "int64"})


def _timing(blocks: pd.DataFrame) -> dict[str, Any]:
    whole = blocks[blocks["part"] == "step"]
    time = step_times.step_time(whole["steps"].to_numpy(), whole["wall_ns"].to_numpy())
    counted = ("wall_ns", "cpu_ns", "involuntary_switches", "steal_ticks")
    disturbed = step_times.contended(*(whole[column].to_numpy() for column in counted))
    steps, wall_ns = blocks["steps"].to_numpy(), blocks["wall_ns"].to_numpy()
    parts = step_times.parts_of_launch(steps, wall_ns, blocks["part"].to_numpy(dtype=str))
    covered = parts.pop("covered", None)
    return {
        "step_p25_s": time.p25,
        "step_median_s": time.median,
        "step_p99_s": time.p99,
        "step_mean_s": time.mean,
        "contended": disturbed,
        **{f"{name}_s": seconds for name, seconds in parts.items()},
        "parts_covered": covered,
    }


def _runs(rows: list[dict[str, Any]], records: list[RunRecord]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    machines = identity.identities(records)
    names = identity.names(machines.values())
    frame["machine"] = [names[machines[digest]] for digest in frame["digest"]]
    missing = [name for name in (*NUMBERS, "contended") if name not in frame]
    frame = frame.reindex(columns=[*frame.columns, *missing])
    frame[NUMBERS] = frame[NUMBERS].astype("float64")
    frame["contended"] = frame["contended"].astype("boolean")
    frame["memory_method"] = frame["memory_method"].fillna("") if "memory_method" in frame else ""
    return frame


def timing_cells(frames: Frames) -> pd.DataFrame:
    """One row a timed cell and machine, over its launches that ended ok, in the order of the plans.

    Columns: those of TIMING_CELL; planned; status (ok if every run was, else that of the first
    that was not, with its reason); those of `timing_figures`; digests."""
    timed = frames.runs[frames.runs["measure"].isin(("timing", "memory"))]
    timed = timed.drop_duplicates(["suite", "digest"])
    groups = timed.groupby(TIMING_CELL, sort=False, dropna=False)
    rows = [_timing_cell(dict(zip(TIMING_CELL, key, strict=True)), group) for key, group in groups]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=TIMING_CELL)


def _timing_cell(key: dict[str, Any], group: pd.DataFrame) -> dict[str, Any]:
    planned = int((group["measure"] == "timing").sum())
    lost = group[group["status"] != "ok"]
    status, reason = ("ok", "") if lost.empty else lost[["status", "reason"]].iloc[0]
    ended = {"planned": planned, "status": status, "reason": reason}
    return {**key, **ended, **timing_figures(group), "digests": " ".join(group["digest"])}


def timing_figures(runs: pd.DataFrame) -> dict[str, Any]:
    """The figures of one cell, from its timing and memory runs of one machine that ended ok.

    launches; step_p25_s, step_median_s, step_p99_s, step_mean_s, forward_s, backward_s,
    optimizer_s, remainder_s and parts_covered, each with `_low` and `_high`: a 95% interval over
    launches, NaN with fewer than three (statistics.intervals); steps_per_s and samples_per_s of
    p25, with limits as well; import_s, start_s, setup_s, first_call_s, first_call_steps,
    state_bytes (medians over launches); imported_bytes, peak_bytes, grown_bytes, device_peak_bytes,
    memory_method; contended (how many launches were)."""
    ended = runs[runs["status"] == "ok"]
    launches, memory = ended[ended["measure"] == "timing"], ended[ended["measure"] == "memory"]
    row: dict[str, Any] = {"launches": len(launches)}
    for name in SPREAD:
        values = launches[name].dropna().to_numpy()
        found = step_times.over_launches(name.removesuffix("_s"), values)
        row |= {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}
    for limit, of in (("", ""), ("_low", "_high"), ("_high", "_low")):
        row[f"steps_per_s{limit}"] = 1.0 / row[f"step_p25_s{of}"]
        row[f"samples_per_s{limit}"] = float(runs["batch_size"].iloc[0]) / row[f"step_p25_s{of}"]
    row |= {name: launches[name].median() for name in MIDDLE}
    row |= {name: memory[name].median() for name in MEMORY}
    methods = [method for method in memory["memory_method"] if method]
    return row | {
        "memory_method": methods[0] if methods else "",
        "contended": int(launches["contended"].fillna(False).sum()),
    }


def _arrays(place: Stored, records: list[RunRecord], name: str) -> list[pd.DataFrame]:
    """One table of all runs that have such arrays, or none."""
    having = (record.digest for record in records if f"{name}.parquet" in record.artefacts)
    table = place.tables(having, name)
    return [] if table is None else [table.to_pandas()]


def _concat(frames: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not frames:
        return pd.DataFrame(columns=columns)
    if len(frames) == 1:
        # Not copied: the curves of many runs are the largest table of all.
        return frames[0].reset_index(drop=True)[columns]
    return pd.concat(frames, ignore_index=True)[columns]


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key}={hyper_text(v) if isinstance(v, float | tuple) else v}" for key, v in values.items()
    )

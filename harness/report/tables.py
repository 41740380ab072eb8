"""Pure functions from frames to the tables of a report. Times in seconds, accuracies as fractions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from .. import data, schedules
from ..results.frame import Frames, timing_figures
from ..spec import Metric, RunSpec, ScheduleSpec, TaskSpec, number_text
from ..statistics.arrivals import median_time
from . import text, timings

# A row of the summary: runs that differ in nothing but the seed.
CELL = [
    "task",
    "framework",
    "mode",
    "optimizer",
    "rule",
    "schedule",
    "schedule_params",
    "learning_rate",
    "hyper",
    "variation",
    "device",
    "dtype",
    "threads",
    "batch_size",
    "steps",
    "target",
]
# What names a timed cell, mode and rule apart.
TIMED = ["task", "framework", "optimizer", "batch_size", "device", "dtype", "threads"]
QUANTITIES = (
    "final_validation_metric",
    "best_validation_metric",
    "final_validation_loss",
    "best_validation_loss",
    "test_metric",
    "test_loss",
    "final_train_loss",
)
# The outcomes that say something of the optimizer: a run that failed or was skipped never tried the
# target.
ATTEMPTED = ("ok", "diverged", "timeout")
TRAIN_BINS = 60
_OfSuite = Callable[..., pd.DataFrame]


def once(compute: _OfSuite) -> _OfSuite:
    """Computes a table once for the same frames: the sections of a page share what takes long with
    many runs.
    """
    known: WeakKeyDictionary[Frames, dict[Any, pd.DataFrame]] = WeakKeyDictionary()

    @functools.wraps(compute)
    def found(frames: Frames, *args: str, **options: Any) -> pd.DataFrame:
        of_frames, asked = known.setdefault(frames, {}), (args, tuple(sorted(options.items())))
        if asked not in of_frames:
            of_frames[asked] = compute(frames, *args, **options)
        return of_frames[asked].copy(deep=False)

    return found


@once
def runs(
    frames: Frames, suite: str, *measures: str, trials: bool = False, without: Collection[str] = ()
) -> pd.DataFrame:
    """Rows of one suite (of these measures, or of all) in the plan's order, with columns that name
    them in figures.

    The trials of a search are left out unless `trials` is set: each has settings of its own, and a
    section to itself.

    setup: framework (mode), with device, dtype or threads where the suite varies them. variant:
    whatever else is varied, save the learning rate, the number of a random draw, and what `without`
    names. series: optimizer and variant."""
    rows = (
        frames.runs[frames.runs["suite"] == suite].drop_duplicates("digest").reset_index(drop=True)
    )
    tried = np.array(
        ["trial" in frames.records[digest].spec.variations for digest in rows["digest"]], dtype=bool
    )
    # Of a search that has come no further, its trials are all there is to show.
    rows = rows if trials or tried.all() else rows[~tried].reset_index(drop=True)
    rows = rows.assign(
        variation=_words(rows, [_variation(frames, digest, without) for digest in rows["digest"]])
    )
    if measures:
        rows = rows[rows["measure"].isin(measures)].reset_index(drop=True)
    setup, variant = _setups(rows), _variants(rows, without)
    series = [
        " · ".join(filter(None, pair)) for pair in zip(rows["optimizer"], variant, strict=True)
    ]
    return rows.assign(
        **{
            name: _words(rows, found)
            for name, found in (("setup", setup), ("variant", variant), ("series", series))
        }
    )


def summary(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a cell: what was trained, how it ended over seeds, and what a step of it costs.

    Columns: those of CELL; runs and one count a status; of each of QUANTITIES `_mean`, `_min` and
    `_max` over runs that ended ok; attempts, reached, steps_to_target (median over attempts, inf
    where the median run missed the target); of the timing runs of this very setting on this machine
    those of `step_times`, with timed_mode and timed_rule; timed_instead, what else of the same work
    was timed if this setting was not; native_p25_s and native_mode, of the library's own class at
    its own defaults; seconds_to_target and budget_s (steps x step_mean_s); digests. Timed cells
    that stand beside no trained one follow, with NaN for what was not measured."""
    timed = timings.Timings(frames, step_times(frames, suite))
    trained = _per_cell(runs(frames, suite, "convergence"), [*CELL, "setting"], QUANTITIES).to_dict(
        "records"
    )
    rows: list[dict[Any, Any]] = [
        {**row, **timed.beside(str(row["digests"]).split())} for row in trained
    ]
    rows += [_only_timed(row) for row in timed.alone()]
    table = pd.DataFrame(rows, columns=_SUMMARY)
    table["seconds_to_target"] = table["steps_to_target"] * table["step_mean_s"]
    table["budget_s"] = table["steps"] * table["step_mean_s"]
    return _ordered(
        table, ["task", "optimizer", "rule", "schedule", "batch_size", "learning_rate", "framework"]
    )


def metrics(frames: Frames, suite: str) -> dict[str, Metric]:
    """The metric of each task of the suite, by its name."""
    specs = [frames.records[digest].spec for digest in runs(frames, suite)["digest"]]
    return {spec.task.name: spec.task.metric for spec in specs}


def summary_compact(frames: Frames, suite: str) -> pd.DataFrame:
    """The summary for a terminal, all text: task, framework, optimizer, best val acc (best val
    metric where tasks have others), final val loss, steps to target, step µs p25, status. The
    optimizer's column names the learning rate and so on where they vary."""
    table = summary(frames, suite)
    candidates = (
        "rule",
        "schedule",
        "schedule_params",
        "learning_rate",
        "batch_size",
        "variation",
        "device",
        "dtype",
        "threads",
    )
    varied = [
        column for column in candidates if _varies_within(table, column, ["task", "optimizer"])
    ]
    varied += ["hyper"] if hypers_unsaid(table) else []
    rows = table.to_dict("records")
    names = [
        " ".join(filter(None, [row["optimizer"], *(_named(row, c) for c in varied)]))
        for row in rows
    ]
    of_task = metrics(frames, suite)
    best = "best val acc" if set(of_task.values()) <= {"accuracy"} else "best val metric"
    return pd.DataFrame(
        {
            "task": table["task"],
            "framework": [
                f"{f} ({m})" for f, m in zip(table["framework"], table["mode"], strict=True)
            ],
            "optimizer": names,
            best: [
                text.metric(row["best_validation_metric_mean"], of_task[row["task"]])
                for row in rows
            ],
            "final val loss": table["final_validation_loss_mean"].map(text.significant),
            "steps to target": [steps_text(row) for row in rows],
            "step µs p25": [text.micros(row["step_p25_s"]) + _instead(row) for row in rows],
            "status": [text.counts(row) for row in rows],
        }
    ).astype("str")


def _instead(row: dict[Hashable, Any]) -> str:
    return f" ({row['timed_instead']})" if row["timed_instead"] else ""


def hypers_unsaid(rows: pd.DataFrame) -> bool:
    """Whether hyperparameters vary in a way that the names of the variations do not tell."""
    return _varies_within(rows, "hyper", ["task", "optimizer", "rule", "variation"])


def steps_text(row: dict[Hashable, Any]) -> str:
    """Steps to target of a row of the summary."""
    return text.steps_to_target(
        row["steps_to_target"], row["reached"], row["attempts"], row["steps"]
    )


@once
def step_times(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a timed cell, over its launches that ended ok.

    Columns: those of TIMED; mode, rule, hyper, input, variation, setting, setup, variant, series;
    runs and one count a status, of the launches; those of `frame.timing_figures`, step_p25_min_s,
    step_p25_max_s, digests."""
    cells = _cells(runs(frames, suite, "timing", "memory"), [*TIMED, *_HOW])
    rows = [_timed(key, group) for key, group in cells]
    return _ordered(
        pd.DataFrame(rows, columns=_STEP_TIMES), ["task", "series", "batch_size", "setup"]
    )


def throughput(times: pd.DataFrame) -> pd.DataFrame:
    """Of `step_times`, the cells whose batch size the suite varies, by growing size: task, panel
    (optimizer and rule or variation where they vary), setup, batch_size, samples_per_s with limits,
    step_p25_s, launches, digests."""
    timed = times.dropna(subset=["step_p25_s"])
    sizes = (
        timed.groupby(["task", "setup", "optimizer"])["batch_size"].transform("nunique")
        if len(timed)
        else 0
    )
    swept = timed[sizes > 1] if len(timed) else timed
    varied = [c for c in ("rule", "variation") if _varies_within(swept, c, ["task"])]
    panels = [
        " · ".join(filter(None, [row["optimizer"], *(row[c] for c in varied)]))
        for row in swept.to_dict("records")
    ]
    swept = swept.assign(panel=_words(swept, panels))
    names = [
        "samples_per_s",
        "samples_per_s_low",
        "samples_per_s_high",
        "step_p25_s",
        "launches",
        "digests",
    ]
    return swept.sort_values("batch_size", kind="stable")[
        ["task", "panel", "setup", "batch_size", *names]
    ]


def by_mode(times: pd.DataFrame) -> pd.DataFrame:
    """Of `step_times`, the tasks of which a framework was timed in several modes with the same
    optimizer and rule.
    """
    timed = times.dropna(subset=["step_p25_s"])
    several = (
        timed.groupby(["task", "framework", "series"])["mode"].transform("nunique") > 1
        if len(timed)
        else []
    )
    return timed[timed["task"].isin(set(timed.loc[several, "task"]))] if len(timed) else timed


@once
def chosen(frames: Frames, suite: str) -> pd.DataFrame:
    """Convergence runs of the learning rate that figures show: of each task, setup and series the
    rate with the largest share of runs ended ok, and among those the lowest mean final validation
    loss."""
    return best_rates(runs(frames, suite, "convergence"), ["task", "setup", "series"])


def best_rates(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The runs of each group's rate with the largest share of runs ended ok, and among those the
    lowest mean final validation loss."""
    kept = [_best_rate(group) for _, group in _cells(rows, keys)]
    return pd.concat(kept, ignore_index=True) if kept else rows


def curves(frames: Frames, picked: pd.DataFrame) -> pd.DataFrame:
    """Points of the runs' curves: task, setup, series, digest, status, metric, step, value; finite
    values only.

    Training loss is averaged over bins of `train_bin(steps)` steps, and a bin stands at its middle.
    """
    names = ["task", "setup", "series", "digest", "status"]
    picked = picked.drop_duplicates("digest").reset_index(drop=True)
    run = pd.Index(picked["digest"]).get_indexer(frames.curves["digest"].astype("str"))
    order = np.argsort(run, kind="stable")[np.count_nonzero(run < 0) :]
    widths = picked["steps"].map(train_bin).to_numpy()
    found = [
        _averaged(frames.curves.iloc[rows], run[rows], widths) for rows in _whole_runs(order, run)
    ]
    if not found:
        return pd.DataFrame(columns=[*names, "metric", "step", "value"])
    means = pd.concat(found, ignore_index=True)
    of_runs = picked[names].iloc[means.pop("run").to_numpy()].reset_index(drop=True)
    return pd.concat([of_runs, means], axis=1)


# Points that are averaged at once: a sweep has millions, and each step over them is a copy.
_POINTS_AT_ONCE = 50_000


def _whole_runs(order: np.ndarray, run: np.ndarray) -> list[np.ndarray]:
    """The rows int[n], ordered by run, in parts of about _POINTS_AT_ONCE that hold whole runs."""
    begins = np.flatnonzero(np.diff(run[order], prepend=-1))
    parts = begins // _POINTS_AT_ONCE
    return np.split(order, begins[1:][np.diff(parts) > 0]) if len(order) else []


def _averaged(curves: pd.DataFrame, run: np.ndarray, widths: np.ndarray) -> pd.DataFrame:
    """run, metric, step, value of the points of whole runs, training losses as means of their bins;
    finite values only.
    """
    points = pd.DataFrame(
        {
            "run": run,
            "metric": curves["series"].to_numpy(),
            "step": curves["step"].to_numpy(dtype="float64"),
            "value": curves["value"].to_numpy(dtype="float64"),
        }
    ).astype({"metric": "str"})
    points = points[points["metric"].isin(("train_loss", "validation_loss", "validation_metric"))]
    points = points.drop_duplicates(["run", "metric", "step"])
    points = points[np.isfinite(points["value"])]
    width = widths[points["run"].to_numpy()]
    middle = (points["step"] // width) * width + width / 2
    points = points.assign(step=points["step"].where(points["metric"] != "train_loss", middle))
    return points.groupby(["run", "metric", "step"], sort=False, as_index=False)["value"].mean()


def paths(frames: Frames, picked: pd.DataFrame) -> pd.DataFrame:
    """Where runs went whose task is a function of two numbers: task, setup, series, digest, status,
    step, x, y; of every task, setup and series one run, since its seeds start at the same point."""
    names = ["task", "setup", "series", "digest", "status"]
    places = frames.curves[frames.curves["series"].isin(("point_0", "point_1"))].drop_duplicates(
        ["digest", "step", "series"]
    )
    if places.empty:
        return pd.DataFrame(columns=[*names, "step", "x", "y"])
    wide = places.pivot(index=["digest", "step"], columns="series", values="value").reset_index()
    wide = wide.rename(columns={"point_0": "x", "point_1": "y"}).astype({"digest": "str"})
    first = picked.sort_values("seed", kind="stable").drop_duplicates(["task", "setup", "series"])
    found = first[names].merge(wide, on="digest").sort_values("step", kind="stable")
    return found[np.isfinite(found["x"]) & np.isfinite(found["y"])].reset_index(drop=True)


def train_bin(steps: int) -> int:
    """Steps averaged into one point of a training loss."""
    return max(1, -(-int(steps) // TRAIN_BINS))


def bands(points: pd.DataFrame) -> pd.DataFrame:
    """Mean, min and max over the runs that ended ok: task, setup, series, metric, step, mean, min,
    max, runs.
    """
    ended = points[points["status"] == "ok"]
    groups = ended.groupby(["task", "setup", "series", "metric", "step"], sort=False)["value"]
    return (
        groups.agg(["mean", "min", "max", "count"]).rename(columns={"count": "runs"}).reset_index()
    )


def pace(frames: Frames, suite: str) -> pd.DataFrame:
    """The mean seconds of a step, step_mean_s, of each task, setup and series of whose very setting
    there are timing runs on the machine that trained it."""
    timed = timings.Timings(frames, step_times(frames, suite))
    names = ["task", "setup", "series"]
    rows = runs(frames, suite, "convergence")
    firsts = rows[rows.groupby(names)["setting"].transform("nunique") == 1].drop_duplicates(names)
    seconds = [timed.seconds(digest) for digest in firsts["digest"]]
    found = firsts[names].assign(step_mean_s=pd.Series(seconds, firsts.index, dtype="float64"))
    return found.dropna(subset=["step_mean_s"])


def attempts(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a run that tried the target, at the chosen rate: task, setup, framework, series,
    seed, digest, status, reached, steps (to the target, or the budget if it was missed), epochs,
    seconds (steps x mean step time), other_machine.

    Runs that diverged, ran out of time or stopped early missed it for the whole budget. Seconds are
    NaN without timing runs of the very setting on the same machine; other_machine tells that there
    are some of another machine."""
    timed = timings.Timings(frames, step_times(frames, suite))
    picked = chosen(frames, suite)
    tried = picked[picked["status"].isin(ATTEMPTED)].reset_index(drop=True)
    step_s = pd.Series(
        [timed.seconds(digest) for digest in tried["digest"]], tried.index, dtype="float64"
    )
    elsewhere = pd.Series(
        [timed.elsewhere(digest) for digest in tried["digest"]], tried.index, dtype="bool"
    )
    reached = tried["steps_to_target"].notna()
    # A run that starts at its target arrives with its first step.
    steps = tried["steps_to_target"].where(reached, tried["steps"]).clip(lower=1).astype("float64")
    tried = tried.assign(
        reached=reached,
        steps=steps,
        epochs=steps / _steps_per_epoch(frames, tried["digest"]),
        seconds=steps * step_s,
        other_machine=elsewhere,
    )
    names = [
        "task",
        "setup",
        "framework",
        "series",
        "seed",
        "digest",
        "status",
        "reached",
        "steps",
        "epochs",
        "seconds",
    ]
    return tried[[*names, "other_machine"]]


def learning_rates(frames: Frames, suite: str) -> pd.DataFrame:
    """Final validation loss of every rate, for series run at more than one: task, setup, series,
    learning_rate, mean, min, max (over runs ended ok), ok, diverged, runs, digests."""
    rows = runs(frames, suite, "convergence")
    keys = ["task", "setup", "series"]
    swept = (
        rows[rows.groupby(keys)["learning_rate"].transform("nunique") > 1] if len(rows) else rows
    )
    names = {f"final_validation_loss_{s}": s for s in ("mean", "min", "max")}
    found = _per_cell(swept, [*keys, "learning_rate"], ["final_validation_loss"]).rename(
        columns=names
    )
    return found[[*keys, "learning_rate", *names.values(), "runs", *text.STATUSES, "digests"]]


def schedule_curves(frames: Frames, suite: str) -> pd.DataFrame:
    """The schedules of the suite, relative to their base rate: schedule, progress (0 to 1), factor.

    Empty where every run holds its rate, since there is nothing to show.
    """
    specs: dict[str, RunSpec] = {}
    kept = frames.curves[frames.curves["series"] == "learning_rate"].groupby("digest")["value"]
    applied = {str(digest): values.to_numpy(dtype=np.float64) for digest, values in kept}
    rates: dict[str, np.ndarray] = {}
    for digest in runs(frames, suite)["digest"]:
        spec = frames.records[digest].spec
        name = _schedule_name(spec.schedule)
        if name in specs:
            continue
        if spec.schedule.kind not in schedules.SCHEDULES:
            # A user's, whose file may not be at hand: as the run had it.
            if digest in applied:
                specs[name], rates[name] = spec, applied[digest]
            continue
        # If the validation loss drove the rates, those of the first run stand for all.
        specs[f"{name}, as in {spec.id}" if digest in applied else name] = spec
        rates[list(specs)[-1]] = applied.get(digest, schedules.table(spec.schedule, spec.steps))
    if set(specs) <= {"constant"}:
        specs.clear()
    tables = [
        pd.DataFrame(
            {
                "schedule": name,
                "progress": np.linspace(0, 1, spec.steps)[: len(rates[name])],
                "factor": rates[name] / spec.schedule.base_lr,
            }
        )
        for name, spec in specs.items()
    ]
    return (
        pd.concat(tables, ignore_index=True)
        if tables
        else pd.DataFrame(columns=["schedule", "progress", "factor"])
    )


def not_ok(frames: Frames, suite: str) -> pd.DataFrame:
    """Cells with runs that did not end ok, one row a cell, status and reason: status, measure,
    task, setup, series, learning_rate, runs, seeds (or launches, as text), reason, digests."""
    rows = runs(frames, suite)
    rows = rows[rows["status"] != "ok"]
    keys = ["status", "measure", "task", "setup", "series", "learning_rate", "reason"]
    found = [
        {**key, "runs": len(group), "seeds": _numbers(group), "digests": " ".join(group["digest"])}
        for key, group in _cells(rows, keys)
    ]
    table = pd.DataFrame(found, columns=[*keys[:-1], "runs", "seeds", "reason", "digests"])
    rank = table["status"].map({status: i for i, status in enumerate(text.STATUSES)})
    return table.iloc[rank.argsort(kind="stable")].reset_index(drop=True)


def all_runs(frames: Frames, suite: str) -> pd.DataFrame:
    """Every run with a record, in the plan's order, without the columns that only label figures."""
    return runs(frames, suite, trials=True).drop(columns=["suite", "setup", "variant", "series"])


def missing(frames: Frames, suite: str) -> int:
    """How many runs of the plan have no record yet."""
    return len(set(frames.plans[suite].digests) - set(runs(frames, suite, trials=True)["digest"]))


_COUNTS = ["runs", *text.STATUSES]
# How exactly a timed cell is computed.
_HOW = ["mode", "rule", "hyper", "input", "variation", "setting"]
_SPREADS = [
    "forward_s",
    "backward_s",
    "optimizer_s",
    "remainder_s",
    "parts_covered",
    "steps_per_s",
    "samples_per_s",
]
_STEP_TIMES = [
    *TIMED,
    *_HOW,
    "setup",
    "variant",
    "series",
    *_COUNTS,
    "launches",
    *timings.TIMES,
    *(
        f"{name}{limit}"
        for name in ("step_median_s", "step_p99_s", "step_mean_s")
        for limit in ("_low", "_high")
    ),
    *(f"{name}{limit}" for name in _SPREADS for limit in ("", "_low", "_high")),
    "import_s",
    "setup_s",
    "first_call_steps",
    "state_bytes",
    "imported_bytes",
    "peak_bytes",
    "grown_bytes",
    "device_peak_bytes",
    "memory_method",
    "contended",
    "digests",
]
_SUMMARY = [
    *CELL,
    *_COUNTS,
    *(f"{q}_{s}" for q in QUANTITIES for s in ("mean", "min", "max")),
    "attempts",
    "reached",
    "steps_to_target",
    "seconds_to_target",
    "budget_s",
    "timed_mode",
    "timed_rule",
    "timed_instead",
    "launches",
    *timings.TIMES,
    "contended",
    "native_p25_s",
    "native_mode",
    "digests",
]


def _cells(rows: pd.DataFrame, keys: list[str]) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Groups in order of appearance, each with its key as a dict."""
    if rows.empty:
        return []
    return [
        (dict(zip(keys, key, strict=True)), group)
        for key, group in rows.groupby(keys, sort=False, dropna=False)
    ]


def _per_cell(rows: pd.DataFrame, keys: list[str], quantities: Sequence[str]) -> pd.DataFrame:
    """One row a group, in order of appearance: keys; runs and one count a status; of each quantity
    `_mean`, `_min` and `_max` over the runs that ended ok; attempts, reached, steps_to_target;
    digests."""
    if rows.empty:
        spreads = [f"{q}_{s}" for q in quantities for s in ("mean", "min", "max")]
        return pd.DataFrame(
            columns=[*keys, *_COUNTS, *spreads, "attempts", "reached", "steps_to_target", "digests"]
        )
    # Numbered by appearance, so that every table below has the same rows in the same order.
    rows = rows.assign(cell=rows.groupby(keys, sort=False, dropna=False).ngroup())
    cells = rows.drop_duplicates("cell").set_index("cell")[keys]
    statuses = pd.crosstab(rows["cell"], rows["status"]).reindex(
        columns=text.STATUSES, fill_value=0
    )
    spread = (
        rows[rows["status"] == "ok"].groupby("cell")[list(quantities)].agg(["mean", "min", "max"])
    )
    spread.columns = [f"{quantity}_{limit}" for quantity, limit in spread.columns]
    return pd.concat(
        [
            cells,
            rows.groupby("cell").size().rename("runs"),
            statuses,
            spread.reindex(cells.index),
            _to_target(rows, cells.index),
            rows.groupby("cell")["digest"].agg(" ".join).rename("digests"),
        ],
        axis=1,
    )


def _statuses(group: pd.DataFrame) -> dict[str, int]:
    return {"runs": len(group), **{s: int((group["status"] == s).sum()) for s in text.STATUSES}}


def _to_target(rows: pd.DataFrame, cells: pd.Index) -> pd.DataFrame:
    """attempts, reached and the median of steps_to_target; a run that missed the target is censored
    at its budget.
    """
    tried = rows[rows["status"].isin(ATTEMPTED)]
    reached = tried["steps_to_target"].notna()
    tried = tried.assign(
        reached=reached, steps=tried["steps_to_target"].where(reached, tried["steps"])
    )
    counts = tried.groupby("cell").agg(attempts=("reached", "size"), reached=("reached", "sum"))
    medians = {
        cell: median_time(runs["steps"], runs["reached"]) for cell, runs in tried.groupby("cell")
    }
    return counts.reindex(cells, fill_value=0).assign(
        steps_to_target=pd.Series(medians, dtype="float64").reindex(cells)
    )


def _timed(key: dict[str, Any], group: pd.DataFrame) -> dict[str, Any]:
    launches = group[group["measure"] == "timing"]
    p25 = launches.loc[launches["status"] == "ok", "step_p25_s"]
    return {
        **key,
        **_statuses(launches),
        **timing_figures(group),
        "digests": " ".join(group["digest"]),
        **{name: group[name].iloc[0] for name in ("setup", "variant", "series")},
        "step_p25_min_s": p25.min(),
        "step_p25_max_s": p25.max(),
    }


def _steps_per_epoch(frames: Frames, digests: pd.Series) -> np.ndarray:
    """float[runs]: whole batches in the samples a run draws from; NaN for data that this version
    does not know.
    """
    return np.array(
        [_batches(frames.records[digest].spec.task) for digest in digests], dtype=np.float64
    )


def _batches(task: TaskSpec) -> float:
    try:
        samples = data.training_samples(task.data)
    except ValueError:
        return np.nan
    return float(max(1, int(task.train_fraction * samples) // task.batch_size))


def _only_timed(row: dict[Any, Any]) -> dict[str, Any]:
    blank = {
        "schedule": "",
        "schedule_params": "",
        "attempts": 0,
        "reached": 0,
        "timed_instead": "",
        "native_mode": "",
    }
    return (
        blank
        | {str(k): v for k, v in row.items()}
        | {"timed_mode": row["mode"], "timed_rule": row["rule"]}
    )


def _best_rate(group: pd.DataFrame) -> pd.DataFrame:
    ended = group["status"] == "ok"
    rates = group.assign(ok=ended, loss=group["final_validation_loss"].where(ended)).groupby(
        "learning_rate"
    )
    ranked = rates.agg(ok=("ok", "mean"), loss=("loss", "mean")).sort_values(
        ["ok", "loss"], ascending=[False, True]
    )
    return group[group["learning_rate"] == ranked.index[0]]


def _ordered(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Sorted by keys: numbers by size, names by first appearance."""
    ranks = [
        (
            table[key]
            if pd.api.types.is_numeric_dtype(table[key])
            else pd.Series(pd.factorize(table[key])[0], table.index)
        )
        for key in keys
    ]
    order = pd.concat(ranks, axis=1, keys=keys).sort_values(list(keys), kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _words(rows: pd.DataFrame, words: list[str]) -> pd.Series:
    """A column of text even where there are no rows, which pandas would take for numbers."""
    return pd.Series(words, index=rows.index, dtype="str")


def _setups(rows: pd.DataFrame) -> list[str]:
    extras = [c for c in ("device", "dtype", "threads") if _varies(rows, c)]
    named = rows[["framework", "mode", *extras]].to_dict("records")
    return [
        f"{row['framework']} ({', '.join([row['mode'], *(_named(row, c) for c in extras)])})"
        for row in named
    ]


def _variants(rows: pd.DataFrame, without: Collection[str] = ()) -> list[str]:
    columns = [
        c for c in ("rule", "batch_size", "variation") if c not in without and _varies(rows, c)
    ]
    if _varies_within(rows, "schedule_params", ["task", "schedule"]):
        columns.append("schedule_params")
    if _varies(rows, "schedule"):
        columns.insert(0, "schedule")
    columns = [c for c in columns if c.removesuffix("_params") not in without]
    if "hyper" not in without and hypers_unsaid(rows):
        columns.append("hyper")
    return [
        " · ".join(filter(None, (_named(row, c) for c in columns)))
        for row in rows[["task", *columns]].to_dict("records")
    ]


def _varies(rows: pd.DataFrame, column: str) -> bool:
    """Whether a column tells runs of one task and measure apart; tasks differ in batch size by
    nature, and timing runs from convergence runs in rule and mode."""
    return _varies_within(rows, column, [c for c in ("task", "measure") if c in rows])


def _varies_within(rows: pd.DataFrame, column: str, keys: list[str]) -> bool:
    return len(rows) > 0 and bool((rows.groupby(keys)[column].nunique() > 1).any())


def _named(row: dict[Hashable, Any], column: str) -> str:
    units = {"learning_rate": "lr", "batch_size": "batch", "threads": "threads"}
    value = row[column]
    if column in units:
        return "" if pd.isna(value) else f"{units[column]} {number_text(float(value))}"
    return str(value)


def _variation(frames: Frames, digest: str, without: Collection[str] = ()) -> str:
    """The run's variations, save those that have a column of their own."""
    own = {*CELL, "lr", "base_lr", "seed", "draw", *without}
    varied = frames.records[digest].spec.variations.items()
    return ", ".join(f"{key}={value}" for key, value in varied if key.rpartition(".")[2] not in own)


def _schedule_name(spec: ScheduleSpec) -> str:
    return f"{spec.kind} ({spec.params_text(', ')})" if spec.params else spec.kind


def _numbers(group: pd.DataFrame) -> str:
    """Seeds of convergence runs, launches of timing runs: '0, 2'."""
    column = "seed" if group["measure"].iloc[0] == "convergence" else "launch"
    return ", ".join(str(n) for n in sorted(set(group[column])))

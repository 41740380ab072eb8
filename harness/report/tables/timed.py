"""Step times: one row a timed cell, and what figures take of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ...results.columns import words
from ...results.frame import Frames, timing_figures
from . import lookup, machines
from .endings import COUNTS, counts
from .grouping import SERIES, groups, numbers, once, ordered, texts, varies, with_several
from .naming import joined
from .planned import runs

# What names a timed cell, mode and rule apart.
TIMED = ["task", "framework", "optimizer", "batch_size", "device", "dtype", "threads"]
# How exactly a timed cell is computed.
_HOW = ["mode", "rule", "hyper", "input", "variation", "setting"]
_NAMES = ["setup", "variant", "series"]
# Times of different machines are never pooled.
_WHERE = ["host", "machine"]
_LIMITS = ("_low", "_high")
_SPREADS = words(
    "forward_s backward_s optimizer_s remainder_s parts_covered steps_per_s samples_per_s"
)
_COLUMNS = [
    *TIMED,
    *_HOW,
    *_NAMES,
    *_WHERE,
    *COUNTS,
    "launches",
    *lookup.TIMES,
    *(n + limit for n in ("step_median_s", "step_p99_s", "step_mean_s") for limit in _LIMITS),
    *(name + limit for name in _SPREADS for limit in ("", *_LIMITS)),
    *words("import_s start_s setup_s first_call_steps state_bytes imported_bytes peak_bytes"),
    *["grown_bytes", "device_peak_bytes", "memory_method", "contended", "digests"],
]


@once
def step_times(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a timed cell and machine, over its launches that ended ok.

    Columns: those of TIMED; mode, rule, hyper, input, variation, setting, setup (with the machine
    if there are several), variant, series, host, machine; runs and one count a status, of the
    launches; those of `frame.timing_figures`, step_p25_min_s, step_p25_max_s, digests."""
    timed = runs(frames, suite, "timing", "memory")
    timed = timed.assign(setup=machines.setups(timed))
    cells = groups(timed, [*TIMED, *_HOW, *_WHERE])
    rows = [_timed(key, group) for key, group in cells]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    return ordered(table, ["task", "series", "batch_size", "setup"])


def _timed(key: dict[str, Any], group: pd.DataFrame) -> dict[str, Any]:
    launches = group[group["measure"] == "timing"]
    p25 = launches.loc[launches["status"] == "ok", "step_p25_s"]
    return {
        **key,
        **counts(launches),
        **timing_figures(group),
        "digests": " ".join(group["digest"]),
        **{name: group[name].iloc[0] for name in _NAMES},
        "step_p25_min_s": p25.min(),
        "step_p25_max_s": p25.max(),
    }


def throughput(times: pd.DataFrame) -> pd.DataFrame:
    """The cells of `step_times` whose batch size the suite varies, by growing size: task, panel
    (optimizer, and rule or variation if they vary), setup, batch_size, samples_per_s with limits,
    step_p25_s, machine, launches, digests."""
    timed = times.dropna(subset=["step_p25_s"])
    swept = with_several(timed, "batch_size", ["task", "setup", "optimizer"])
    named = ["optimizer", *(c for c in ("rule", "variation") if varies(swept, c, ["task"]))]
    panels = [joined(row, named) for row in swept.to_dict("records")]
    shown = ["task", "panel", "setup", "batch_size", "samples_per_s"]
    shown += ["samples_per_s_low", "samples_per_s_high", "step_p25_s"]
    shown += ["machine", "launches", "digests"]
    swept = swept.assign(panel=texts(swept, panels))
    return swept.sort_values("batch_size", kind="stable")[shown]


def by_mode(times: pd.DataFrame) -> pd.DataFrame:
    """The cells of `step_times` whose task has a framework that was timed in several modes with the
    same optimizer and rule on one machine."""
    timed = times.dropna(subset=["step_p25_s"])
    several = with_several(timed, "mode", ["task", "framework", "series", "machine"])
    return timed[timed["task"].isin(set(several["task"]))]


def pace(frames: Frames, suite: str) -> pd.DataFrame:
    """The mean seconds of a step, step_mean_s, of each task, setup and series whose very setting
    was timed on the task's machine, timed_on (see lookup.Timings)."""
    timed = lookup.Timings(frames, suite, step_times(frames, suite))
    rows = runs(frames, suite, "convergence")
    one_setting = rows.groupby(SERIES)["setting"].transform("nunique") == 1
    firsts = rows[one_setting].drop_duplicates(SERIES)
    seconds = numbers(firsts, [timed.seconds(digest) for digest in firsts["digest"]])
    on = texts(firsts, [timed.timed_on(digest) for digest in firsts["digest"]])
    found = firsts[SERIES].assign(step_mean_s=seconds, timed_on=on)
    return found.dropna(subset=["step_mean_s"])

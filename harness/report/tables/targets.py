"""The runs that tried a target, and how long each took."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ... import data
from ...results.columns import words
from ...results.frame import Frames
from ...spec import TaskSpec
from .endings import ATTEMPTED
from .grouping import numbers, once, texts
from .lookup import Timings
from .rates import chosen
from .timed import step_times

_COLUMNS = words(
    "task setup framework series seed digest status reached steps epochs seconds timed_on"
    " other_machine"
)


@once
def attempts(frames: Frames, suite: str) -> pd.DataFrame:
    """One row a run that tried the target, at the chosen rate: task, setup, framework, series,
    seed, digest, status, reached, steps (to the target, or the budget if it was missed), epochs,
    seconds (steps x mean step time), timed_on, other_machine.

    Runs that diverged, ran out of time or stopped early missed it for the whole budget. Seconds are
    NaN without timing runs of the very setting on the task's machine, timed_on (see Timings);
    other_machine tells that there are some of other machines."""
    timed = Timings(frames, suite, step_times(frames, suite))
    picked = chosen(frames, suite)
    tried = picked[picked["status"].isin(ATTEMPTED)].reset_index(drop=True)
    digests, reached = list(tried["digest"]), tried["steps_to_target"].notna()
    # A run that starts at its target arrives with its first step.
    steps = tried["steps_to_target"].where(reached, tried["steps"]).clip(lower=1).astype("float64")
    batches = np.array([_batches(frames.records[digest].spec.task) for digest in digests])
    elsewhere = [timed.elsewhere(digest) for digest in digests]
    return tried.assign(
        reached=reached,
        steps=steps,
        epochs=steps / batches.astype(np.float64),
        seconds=steps * numbers(tried, [timed.seconds(digest) for digest in digests]),
        timed_on=texts(tried, [timed.timed_on(digest) for digest in digests]),
        other_machine=pd.Series(elsewhere, tried.index, dtype="bool"),
    )[_COLUMNS]


def _batches(task: TaskSpec) -> float:
    """Whole batches in the samples a run draws from; NaN for data that this version does not
    know."""
    try:
        samples = data.training_samples(task.data)
    except ValueError:
        return np.nan
    return float(max(1, int(task.train_fraction * samples) // task.batch_size))

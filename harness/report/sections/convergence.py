"""Losses and metrics by step and by time."""

from __future__ import annotations

from functools import partial

import pandas as pd

from ...layers import Point
from .. import tables
from ..builder import Builder
from ..content import Figure, Section
from ..draw.lazy import Lazy
from ..draw.looks import METRIC_TITLES
from ..notes import described, joined, rate_note, timed_instead

convergence, paths = Lazy("convergence"), Lazy("paths")
PLACE = 40


def section(builder: Builder) -> Section:
    """Of each task the curves by step, paths if it is a function of two numbers, curves by time."""
    found = Section("convergence", "Convergence")
    picked = tables.chosen(builder.frames, builder.suite)
    points, places = tables.curves(builder.frames, picked), tables.paths(builder.frames, picked)
    bands, pace = tables.bands(points), tables.pace(builder.frames, builder.suite)
    shown = points[points["status"].isin(["ok", "diverged"])]
    for task, rows in shown.groupby("task", sort=False):
        name, of_task = str(task), bands[bands["task"] == task]
        found.add(_curves(builder, name, rows, of_task))
        found.add(*_paths(builder, name, places[places["task"] == task]))
        timed = of_task.merge(pace, on=["task", "setup", "series"])
        timed = timed.assign(seconds=timed["step"] * timed["step_mean_s"])
        losses = timed[timed["metric"] == "validation_loss"]
        if len(losses):
            found.add(_over_time(builder, name, losses, _untimed(of_task, losses)))
        elif said := timed_instead(builder.summary, name):
            found.add(
                f"{task}: not drawn by time, since no step was timed as it was trained: {said}."
            )
    return found


def _curves(builder: Builder, task: str, points: pd.DataFrame, bands: pd.DataFrame) -> Figure:
    spec = builder.task(points["digest"].iloc[0])
    lost, width = points[points["status"] == "diverged"], tables.train_bin(spec.steps)
    drawn = METRIC_TITLES.get(spec.metric, "").removeprefix("validation ")
    losses = f"training loss{',' if drawn else ' and'} validation loss"
    shown = f"Line charts of {losses}{f' and validation {drawn}' if drawn else ''} against steps."
    caption = joined(
        f"{task}: optimizers in each framework, by step. Lines are means over the runs that ended"
        " ok, bands their range.",
        f"Training loss is averaged over bins of {width} steps." if width > 1 else "",
        "Dotted lines, ended by a cross or leaving at the top, are runs that diverged."
        if len(lost)
        else "",
        f"The dashed level is the target, {spec.target:g}; the {drawn} of the first quarter of the"
        " steps may lie below the picture."
        if drawn
        else "",
        rate_note(builder.trained, task),
    )
    return builder.figure(
        f"{task}-convergence",
        partial(convergence.convergence, bands, lost, builder.series, spec.target, spec.metric),
        f"{task}: convergence by step",
        described(shown, points["setup"], points["series"]),
        bands,
        caption,
    )


def _paths(builder: Builder, task: str, places: pd.DataFrame) -> list[Figure]:
    """The way over the contours, of tasks that are a function of two numbers."""
    if places.empty:
        return []
    layer = builder.task(places["digest"].iloc[0]).model[0]
    assert isinstance(layer, Point), "only such tasks have points"
    ends = places.drop_duplicates(["setup", "series"], keep="last").to_dict("records")
    ended = " ".join(
        f"{end['series']} in {end['setup']} ends at ({end['x']:.3g}, {end['y']:.3g})."
        for end in ends
    )
    shown = f"Ways of the optimizers over the contours of the function, from {layer.start}."
    caption = joined(
        f"{task}: the ways of the optimizers, at every evaluation. Ring: the start. Crosses:"
        " minima. Contours are evenly spaced in the logarithm of the function above its minimum."
        " Dotted ways diverged.",
        rate_note(builder.trained, task),
    )
    figure = builder.figure(
        f"{task}-paths",
        partial(paths.paths, places, layer, builder.series),
        f"{task}: paths on contours",
        f"{described(shown, places['setup'], places['series'])} {ended}",
        places,
        caption,
    )
    return [figure]


def _over_time(builder: Builder, task: str, timed: pd.DataFrame, untimed: list[str]) -> Figure:
    on = builder.timed_on(timed)
    caption = joined(
        f"{task}: frameworks under each optimizer, by time. Seconds are steps × the mean step time"
        " of timing runs of the same rule, mode and hyperparameters on the same machine"
        f"{f' ({on})' if on else ''}; set-up, compilation and evaluation are not in them.",
        f"Not timed so, and not drawn: {', '.join(untimed)}." if untimed else "",
    )
    shown = "Validation loss against seconds of training steps."
    return builder.figure(
        f"{task}-seconds",
        partial(convergence.over_time, timed, builder.setups),
        f"{task}: convergence by time",
        described(shown, timed["series"], timed["setup"]),
        timed,
        caption,
    )


def _untimed(bands: pd.DataFrame, timed: pd.DataFrame) -> list[str]:
    """Series that were trained without a step time: 'adam in jax (scan)'."""
    drawn = set(zip(timed["series"], timed["setup"], strict=True))
    pairs = dict.fromkeys(zip(bands["series"], bands["setup"], strict=True))
    return [f"{series} in {setup}" for series, setup in pairs if (series, setup) not in drawn]

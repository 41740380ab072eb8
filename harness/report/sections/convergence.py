"""Losses and metrics by step and by time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from ...layers import Point
from .. import figures, tables
from ..content import Figure, Section
from .shared import rate_note, timed_instead

if TYPE_CHECKING:
    from ..page import Writer


def section(writer: Writer) -> Section:
    section = Section("convergence", "Convergence")
    picked = tables.chosen(writer.frames, writer.suite)
    points, places = tables.curves(writer.frames, picked), tables.paths(writer.frames, picked)
    bands, pace = tables.bands(points), tables.pace(writer.frames, writer.suite)
    for task, rows in points[points["status"].isin(["ok", "diverged"])].groupby("task", sort=False):
        of_task = bands[bands["task"] == task]
        section.parts.append(_curves(writer, str(task), rows, of_task))
        section.parts += _paths(writer, str(task), places[places["task"] == task])
        timed = of_task.merge(pace, on=["task", "setup", "series"])
        timed = timed.assign(seconds=timed["step"] * timed["step_mean_s"])
        losses = timed[timed["metric"] == "validation_loss"]
        if len(losses):
            section.parts.append(_over_time(writer, str(task), losses, _untimed(of_task, losses)))
        elif said := timed_instead(writer, str(task)):
            section.parts.append(
                f"{task}: not drawn by time, since no step was timed as it was trained: {said}."
            )
    return section


def _curves(writer: Writer, task: str, points: pd.DataFrame, bands: pd.DataFrame) -> Figure:
    spec = writer.frames.records[points["digest"].iloc[0]].spec.task
    lost, width = points[points["status"] == "diverged"], tables.train_bin(spec.steps)
    drawn = figures.METRIC_TITLES.get(spec.metric, "").removeprefix("validation ")
    notes = [
        "Lines are means over the runs that ended ok, bands their range.",
        f"Training loss is averaged over bins of {width} steps." if width > 1 else "",
        (
            "Dotted lines, ended by a cross or leaving at the top, are runs that diverged."
            if len(lost)
            else ""
        ),
        (
            f"The dashed level is the target, {spec.target:g}; the {drawn} of the first quarter of"
            " the steps may lie below the picture."
            if drawn
            else ""
        ),
        rate_note(writer.trained, task),
    ]
    third = f" and validation {drawn}" if drawn else ""
    what = (
        f"Line charts of training loss{',' if drawn else ' and'} validation loss{third} against"
        " steps."
    )
    return writer.figure(
        f"{task}-convergence",
        partial(figures.convergence, bands, lost, writer.series, spec.target, spec.metric),
        f"{task}: convergence by step",
        figures.describe(what, points["setup"], points["series"]),
        bands,
        f"{task}: optimizers in each framework, by step. " + " ".join(filter(None, notes)),
    )


def _paths(writer: Writer, task: str, places: pd.DataFrame) -> list[Figure]:
    """The way over the contours, of tasks that are a function of two numbers."""
    if places.empty:
        return []
    layer = writer.frames.records[places["digest"].iloc[0]].spec.task.model[0]
    assert isinstance(layer, Point), "only such tasks have points"
    ends = places.drop_duplicates(["setup", "series"], keep="last").to_dict("records")
    where = " ".join(
        f"{end['series']} in {end['setup']} ends at ({end['x']:.3g}, {end['y']:.3g})."
        for end in ends
    )
    what = f"Ways of the optimizers over the contours of the function, from {layer.start}."
    return [
        writer.figure(
            f"{task}-paths",
            partial(figures.paths, places, layer, writer.series),
            f"{task}: paths on contours",
            f"{figures.describe(what, places['setup'], places['series'])} {where}",
            places,
            f"{task}: where the optimizers went, at every evaluation. Ring: the start. Crosses:"
            " minima. Contours are evenly spaced in the logarithm of the function above its"
            f" minimum. Dotted ways diverged. {rate_note(writer.trained, task)}".strip(),
        )
    ]


def _over_time(writer: Writer, task: str, timed: pd.DataFrame, untimed: list[str]) -> Figure:
    return writer.figure(
        f"{task}-seconds",
        partial(figures.over_time, timed, writer.setups),
        f"{task}: convergence by time",
        figures.describe(
            "Validation loss against seconds of training steps.", timed["series"], timed["setup"]
        ),
        timed,
        f"{task}: frameworks under each optimizer, by time. Seconds are steps × the mean step time"
        " of timing runs of the same rule, mode and hyperparameters on the same machine; set-up,"
        " compilation and evaluation are not in them."
        + (f" Not timed so, and not drawn: {', '.join(untimed)}." if untimed else ""),
    )


def _untimed(bands: pd.DataFrame, timed: pd.DataFrame) -> list[str]:
    """What was trained without a step time: 'adam in jax (scan)'."""
    drawn = set(zip(timed["series"], timed["setup"], strict=True))
    pairs = dict.fromkeys(zip(bands["series"], bands["setup"], strict=True))
    return [f"{series} in {setup}" for series, setup in pairs if (series, setup) not in drawn]

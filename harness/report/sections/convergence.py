"""Losses and metrics by step and by time."""

from __future__ import annotations

from functools import partial

import pandas as pd

from ...layers import Point
from .. import tables
from ..builder import Builder
from ..content import Figure, Section
from ..draw import limits
from ..draw.lazy import Lazy
from ..draw.looks import BANDS, METRIC_TITLES
from ..notes import agreed, bands_of, described, joined, rate_note, timed_instead
from ..series import ShownSeries
from ..tables.facets import DRAWN

convergence, paths = Lazy("convergence"), Lazy("paths")
PLACE = 40
# Series that have a panel of their own by time.
_PANELS = 12


def section(builder: Builder) -> Section:
    """Of each task the curves by step, paths if it is a function of two numbers, curves by time."""
    found, frames = Section("convergence", "Convergence"), builder.frames
    picked, merged = tables.chosen(frames, builder.suite), tables.merged(frames, builder.suite)
    points, places = tables.curves(frames, picked), tables.paths(frames, picked)
    pooled = tables.pooled(points, merged, ["value"], ["metric", "step"])
    bands, pace = tables.bands(points), tables.pace(frames, builder.suite)
    bands = tables.with_runs(bands, points)
    drawn = ShownSeries(builder.trained, builder.series)
    shown = pooled[pooled["status"].isin(["ok", "diverged"])]
    for task, rows in shown.groupby("task", sort=False):
        name, of_task = str(task), bands[bands["task"] == task]
        found.add(_curves(builder, name, rows, drawn, agreed(merged, name)))
        found.add(*_paths(builder, name, places[places["task"] == task]))
        timed = of_task.merge(pace, on=["task", "setup", "series"])
        timed = timed.assign(seconds=timed["step"] * timed["step_mean_s"])
        losses = timed[timed["metric"] == "validation_loss"]
        if len(losses):
            found.add(_over_time(builder, name, losses, _untimed(of_task, losses), drawn))
        elif said := timed_instead(builder.summary, name):
            found.add(
                f"{task}: not drawn by time, since no step was timed as it was trained: {said}."
            )
    return found


def _curves(
    builder: Builder, task: str, points: pd.DataFrame, drawn: ShownSeries, agreeing: str
) -> Figure:
    spec = builder.task(points["digest"].iloc[0].split()[0])
    bands = tables.with_runs(tables.bands(points), points)
    lost = points[points["status"] == "diverged"]
    shown, gone = drawn.of(bands, task), drawn.of(lost, task)
    metric = METRIC_TITLES.get(spec.metric, "").removeprefix("validation ")
    losses = f"training loss{',' if metric else ' and'} validation loss"
    picture = f"Line charts of {losses}{f' and validation {metric}' if metric else ''} by step."
    caption = joined(
        f"{task}: optimizers, by step.",
        _lines_said(shown, gone, tables.train_bin(spec.steps)),
        agreeing,
        f"The dashed level is the target, {spec.target:g}." if metric else "",
        _outside(shown, gone, spec.target, metric),
        drawn.note(task),
        rate_note(builder.trained, task),
    )
    return builder.figure(
        f"{task}-convergence",
        partial(convergence.convergence, shown, gone, drawn.styles, spec.target, spec.metric),
        f"{task}: convergence by step",
        described(picture, points["setup"], points["series"]),
        bands.drop(columns="digests"),
        caption,
    )


def _lines_said(bands: pd.DataFrame, lost: pd.DataFrame, width: int) -> str:
    several, banded = bool((bands["runs"] > 1).any()), bands_of(bands, BANDS)
    bands_said = "" if banded is None else f", bands{banded} their range"
    means = f"Lines are means over the runs that ended ok{bands_said}."
    return joined(
        means if several else "Each line is one run." if len(bands) else "No run ended ok.",
        f"Training loss is averaged over bins of {width} steps." if width > 1 else "",
        "Dotted lines, ended by a cross or leaving at the top, are runs that diverged."
        if len(lost)
        else "",
    )


def _outside(bands: pd.DataFrame, lost: pd.DataFrame, target: float, metric: str) -> str:
    """Says which values of runs that ended ok lie outside of the picture."""
    said = []
    for name, title in limits.TITLES.items():
        of, gone = (table[table["metric"] == name] for table in (bands, lost))
        if len(of):
            within = limits.loss_limits(of, gone)
            said.append(limits.outside(title, of["min"], of["max"], within))
    of, gone = (table[table["metric"] == "validation_metric"] for table in (bands, lost))
    if len(of) and metric:
        within = limits.metric_limits(of, gone, target)
        said.append(limits.outside(f"The {metric}", of["min"], of["max"], within))
    return joined(*said)


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


def _over_time(
    builder: Builder, task: str, timed: pd.DataFrame, untimed: list[str], drawn: ShownSeries
) -> Figure:
    on, alone = builder.timed_on(timed), timed["setup"].nunique() == 1
    most = DRAWN if alone else _PANELS
    shown = drawn.of(timed, task, most)
    within = limits.loss_limits(shown, shown.iloc[:0])
    caption = joined(
        f"{task}: {'optimizers' if alone else 'frameworks under each optimizer'}, by time. Seconds"
        " are steps × the mean step time of timing runs of the same rule, mode and hyperparameters"
        f" on the same machine{f' ({on})' if on else ''}; set-up, compilation and evaluation are"
        " not in them.",
        f"Not timed so, and not drawn: {', '.join(untimed)}." if untimed else "",
        limits.outside("Validation loss", shown["min"], shown["max"], within),
        drawn.note(task, most),
    )
    picture = "Validation loss against seconds of training steps."
    return builder.figure(
        f"{task}-seconds",
        partial(convergence.over_time, shown, drawn.styles, builder.setups),
        f"{task}: convergence by time",
        described(picture, timed["series"], timed["setup"]),
        timed.drop(columns="digests"),
        caption,
    )


def _untimed(bands: pd.DataFrame, timed: pd.DataFrame) -> list[str]:
    """Series that were trained without a step time: 'adam in jax (scan)'."""
    drawn = set(zip(timed["series"], timed["setup"], strict=True))
    pairs = dict.fromkeys(zip(bands["series"], bands["setup"], strict=True))
    return [f"{series} in {setup}" for series, setup in pairs if (series, setup) not in drawn]

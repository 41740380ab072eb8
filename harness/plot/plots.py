"""One function a plot. Each takes results, filtered as one likes, and gives a matplotlib Figure.

In all of them: suite, task: which, if the results are of several. width: "one" or "two" columns of
a page, or inches; by default that of the report. UserError if there is nothing to draw, or several
figures would do. The figure's `title` and `caption` are the report's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from ..errors import UserError, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..results.frame import Frames

Width = float | Literal["one", "two"] | None


def convergence(
    frames: Frames,
    *,
    suite: str | None = None,
    task: str | None = None,
    metric: str | None = None,
    x: Literal["step", "seconds"] = "step",
    width: Width = None,
) -> Figure:
    """Losses and metrics of a task over steps, or the validation loss over seconds of training.

    metric: train_loss, validation_loss or validation_metric alone."""
    _check("x", x, ("step", "seconds"))
    needs = "training runs that ended ok or diverged"
    if x == "seconds":
        needs += ", of settings that were timed on the same machine"
    ending = "convergence" if x == "step" else "seconds"
    if x == "seconds" and metric is not None:
        raise UserError("metric: by seconds the validation loss is drawn; leave it out")
    return _plot(frames, "convergence", (suite, task, width), _ends(ending), needs, metric)


def learning_rate_sensitivity(
    frames: Frames, *, suite: str | None = None, task: str | None = None, width: Width = None
) -> Figure:
    """The final validation loss at every learning rate."""
    needs = "an optimizer that was trained at several learning rates"
    wanted = (suite, task, width)
    return _plot(frames, "learning_rates", wanted, _ends("learning-rates"), needs)


def step_times(
    frames: Frames,
    *,
    suite: str | None = None,
    task: str | None = None,
    metric: Literal["step", "mode", "first call"] = "step",
    width: Width = None,
) -> Figure:
    """The cost of a training step, by optimizer and framework.

    metric: step, the time of a step; mode, the same by mode with intervals; "first call", which
    compiles if the framework does."""
    endings = {"step": "step-time", "mode": "modes", "first call": "first-step"}
    _check("metric", metric, endings)
    needs = "timing runs (of `gradrace time`, or of a suite with a timing part)"
    if metric == "mode":
        needs += " in several modes"
    return _plot(frames, "step_time", (suite, task, width), _ends(endings[metric]), needs)


def time_to_target(
    frames: Frames,
    *,
    suite: str | None = None,
    task: str | None = None,
    metric: Literal["runs", "share"] = "runs",
    width: Width = None,
) -> Figure:
    """How long until the target of a task was reached.

    metric: runs, a mark for each run, by steps and by seconds if timed; share, the share of runs
    that have not reached it yet (Kaplan-Meier curves)."""
    endings = {"runs": "target", "share": "arrivals"}
    _check("metric", metric, endings)
    needs = "training runs of a task with a target"
    return _plot(frames, "targets", (suite, task, width), _ends(endings[metric]), needs)


def performance_profile(
    frames: Frames,
    *,
    suite: str | None = None,
    metric: Literal["profile", "runtimes"] = "profile",
    width: Width = None,
) -> Figure:
    """Which optimizer is fast how often, over all tasks.

    metric: profile, the share of tasks on which one is within a factor of the fastest; runtimes,
    the share of targets reached in a number of steps."""
    _check("metric", metric, ("profile", "runtimes"))
    needs = "two optimizers or more that each tried every one of two tasks or more"
    wanted = (suite, None, width)
    return _plot(frames, "profiles", wanted, lambda name: name.startswith(metric), needs)


def tuning(
    frames: Frames,
    *,
    suite: str | None = None,
    task: str | None = None,
    metric: Literal["expected", "slices"] = "expected",
    width: Width = None,
) -> Figure:
    """The findings of a search; suite is the name of the study.

    metric: expected, the best score to expect after a number of trials; slices, the score of every
    trial against each hyperparameter, of a single optimizer."""
    _check("metric", metric, ("expected", "slices"))
    needs = "the results of `gradrace tune`, with a trial that ended ok"
    wanted = (suite, task, width)
    return _plot(frames, "tuning", wanted, lambda name: name.startswith(metric), needs)


def schedules(
    frames: Frames, *, suite: str | None = None, task: str | None = None, width: Width = None
) -> Figure:
    """The learning rate of every step, and the validation loss below, of several schedules."""
    needs = "a task that was trained with several schedules"
    wanted = (suite, task, width)
    return _plot(frames, "schedules", wanted, lambda name: "-schedules" in name, needs)


def gradients(
    frames: Frames, *, suite: str | None = None, task: str | None = None, width: Width = None
) -> Figure:
    """The norm of each layer's gradient over steps, of a single optimizer."""
    needs = "runs that recorded norms (`gradrace run --diagnose`)"
    return _plot(frames, "diagnosis", (suite, task, width), _ends("norms"), needs)


def paths(
    frames: Frames, *, suite: str | None = None, task: str | None = None, width: Width = None
) -> Figure:
    """The ways of the optimizers over the contours of a function of two numbers."""
    needs = "a task that is a function of two numbers, such as rosenbrock"
    return _plot(frames, "convergence", (suite, task, width), _ends("paths"), needs)


def compare(
    frames: Frames,
    *digests: str,
    task: str | None = None,
    metric: str | None = None,
    width: Width = None,
) -> Figure:
    """The curves of chosen runs of one task in one picture, each under what tells it apart.

    digests: the first digits of each run's digest; without any, all runs of the results, at most
    twelve."""
    from .chosen import drawing
    from .figure import made
    from .sections import of_metric

    drawn = of_metric(drawing(frames, digests, task), metric)
    return made(drawn.draw, drawn.title, drawn.caption, width)


def _plot(
    frames: Frames,
    section: str,
    wanted: tuple[str | None, str | None, Width],
    is_it: Callable[[str], bool],
    needs: str,
    metric: str | None = None,
) -> Figure:
    """The one figure of a section whose name passes. wanted: suite, task, width. metric: of a
    figure of several curves."""
    from .figure import inches_of, made
    from .sections import drawings, narrowed, of_metric, only

    suite, task, width = wanted
    inches_of(width)
    chosen, name = narrowed(frames, suite, task)
    found = [each for each in drawings(chosen, name, section) if is_it(each.name)]
    place = f"suite {name}" + (f", task {task}" if task else "")
    drawn = of_metric(only(found, place, needs), metric)
    return made(drawn.draw, drawn.title, drawn.caption, width)


def _ends(ending: str) -> Callable[[str], bool]:
    return lambda name: name.endswith(f"-{ending}")


def _check(argument: str, value: str, known: object) -> None:
    assert isinstance(known, dict | tuple), "names"
    if value not in known:
        raise UserError(f"{argument} {value!r}: no such choice{nearest(str(value), known)}")

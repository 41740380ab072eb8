"""Drawings from the report's own sections: what is drawn there is drawn here, from one function."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import ExitCode, UserError, nearest
from ..report import sections
from ..report.builder import Builder
from ..report.content import Figure
from ..report.drawing import Sketch
from ..results.frame import Frames

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

# The curves of a convergence figure, and how sentences of its caption begin that are of one alone.
_SAID = {
    "train_loss": re.compile("Training loss"),
    "validation_loss": re.compile("Validation loss"),
    "validation_metric": re.compile("The (dashed level|accuracy|R²)"),
}


@dataclass(frozen=True)
class Drawing:
    """A figure that a section would show, not drawn yet. name: its name in the suite."""

    name: str
    draw: Callable[[], Drawn]
    title: str
    caption: str


def drawings(frames: Frames, suite: str, section: str) -> list[Drawing]:
    """All that a section (a module of report.sections) shows of a suite."""
    make = importlib.import_module(f".{section}", sections.__name__).section
    parts = make(Builder(frames, suite, None)).parts
    figures = (part for part in parts if isinstance(part, Figure))
    return [_drawing(figure, f"{suite}-fig-") for figure in figures]


def _drawing(figure: Figure, prefix: str) -> Drawing:
    sketch = figure.svg
    assert isinstance(sketch, Sketch), "sections draw nothing themselves"
    return Drawing(figure.name.removeprefix(prefix), sketch.draw, sketch.title, figure.caption)


def narrowed(frames: Frames, suite: str | None, task: str | None) -> tuple[Frames, str]:
    """The results of one suite, and of one task if it is named; with the suite's name.

    UserError if there are several suites and none is named, or for an unknown name."""
    known = [name for name in frames.plans if (frames.runs["suite"] == name).any()]
    if not known:
        raise UserError("these results hold no run (ask `frames.filter` for less)")
    if suite is None and len(known) > 1:
        raise UserError(
            f"these results are of {len(known)} suites; say suite= one of {', '.join(known)}"
        )
    chosen = known[0] if suite is None else suite
    if chosen not in known:
        raise UserError(f"no suite {chosen!r} in these results{nearest(chosen, known)}")
    found = frames.filter(suite=chosen)
    tasks = list(dict.fromkeys(found.runs["task"]))
    if task is not None:
        if task not in tasks:
            raise UserError(f"{chosen}: no task {task!r} in these results{nearest(task, tasks)}")
        found = found.filter(task=task)
    return found, chosen


def only(found: list[Drawing], what: str, needs: str) -> Drawing:
    """The one drawing. UserError if there is none, or several."""
    if not found:
        raise UserError(f"{what}: nothing to draw; it needs {needs}", ExitCode.NOTHING_MATCHED)
    if len(found) > 1:
        titles = "; ".join(drawing.title for drawing in found)
        raise UserError(
            f"{what}: {len(found)} figures would do ({titles}); say of which task, or filter the"
            " results by framework and optimizer"
        )
    return found[0]


def of_metric(drawing: Drawing, metric: str | None) -> Drawing:
    """The drawing with the curves of this metric alone, and what its caption says of these."""
    if metric is None:
        return drawing
    if metric not in _SAID:
        raise UserError(f"metric {metric!r}: no such curve{nearest(metric, _SAID)}")
    draw = drawing.draw
    assert isinstance(draw, partial), "so that it can be pickled"
    tables = [_rows(argument, metric) for argument in draw.args]
    others = [said for name, said in _SAID.items() if name != metric]
    sentences = re.split(r"(?<=\.) ", drawing.caption)
    kept = (each for each in sentences if not any(said.match(each) for said in others))
    return replace(
        drawing, draw=partial(draw.func, *tables, **draw.keywords), caption=" ".join(kept)
    )


def _rows(argument: Any, metric: str) -> Any:
    is_curves = isinstance(argument, pd.DataFrame) and "metric" in argument
    return argument[argument["metric"] == metric] if is_curves else argument

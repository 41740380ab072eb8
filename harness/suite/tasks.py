"""The tasks of a suite: once for each draw, batch size, variation and share of the data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .. import data, limits, plan
from ..errors import UserError, located
from ..registry import Registry
from ..spec import TaskSpec
from .draws import Draw, draws
from .file import Suite
from .variations import vary


class SuiteTask(NamedTuple):
    """A task as the suite has it, its draw, and its values for `RunSpec.variations`."""

    draw: Draw
    task: TaskSpec
    named: dict[str, Any]


def trained(suite: Suite, registry: Registry) -> Iterator[SuiteTask]:
    """Tasks as they are trained: once for each share of their training split."""
    fractions = list(dict.fromkeys(suite.content.train_fractions))
    for (draw, task, named), fraction in itertools.product(list(tasks(suite, registry)), fractions):
        kept = plan.kept_samples(data.training_samples(task.data), fraction)
        if task.batch_size > kept:
            raise UserError(
                f"{suite.file}: train_fractions: {fraction:g} leaves {kept} training samples of"
                f" {task.name}, fewer than a batch of {task.batch_size}"
            )
        share = {"train_fraction": fraction} if len(fractions) > 1 else {}
        yield SuiteTask(
            draw, task.model_copy(update={"train_fraction": fraction}), {**named, **share}
        )


def tasks(suite: Suite, registry: Registry) -> Iterator[SuiteTask]:
    """Tasks with the suite's lengths, once for each draw, batch size and variation."""
    with located(suite.file):
        found = list(draws(suite.content.search))
    for draw in found:
        sizes: Sequence[int | None] = suite.content.batch_sizes or [draw.batch_size]
        for name, size in itertools.product(suite.content.tasks, sizes):
            task = _sized(suite, registry.tasks[name], size, draw)
            named = {"batch_size": size} if len(sizes) > 1 else {}
            with located(suite.file):
                varied = list(vary(task, suite.content))
            for each in varied:
                yield SuiteTask(draw, each.task, {**named, **each.variations})


def _sized(suite: Suite, task: TaskSpec, batch_size: int | None, draw: Draw) -> TaskSpec:
    """The task with the suite's numbers of steps and this batch size."""
    content = suite.content
    given = {"steps": content.steps, "eval_every": content.eval_every, "batch_size": batch_size}
    task = task.model_copy(update={key: n for key, n in given.items() if n is not None})
    with located(f"{suite.file}: tasks: {task.name}"):
        largest = data.training_samples(task.data)
    if task.batch_size > largest:
        key = "batch_sizes" if draw.batch_size is None else "search.batch_size"
        raise UserError(
            f"{suite.file}: {key}: {task.batch_size} is larger than the {largest} training"
            f" samples of {task.name}"
        )
    limits.check_indices(f"{suite.file}: {task.name}", task.steps, task.batch_size)
    return task

"""Which of a suite's runs are compared, and whether a task is the one of its name. The report asks
this too, and needs no table of cases for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..spec import RunSpec, TaskSpec

# The fields of a task that decide what is computed; its length, batches and target do not.
_COMPUTED = ("input_shape", "model", "loss", "label_smoothing", "metric", "regularization")


def compared_runs(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """The runs whose agreement matters: trained ones, or the timed ones if none is trained."""
    trained = [spec for spec in specs if spec.measure == "convergence"]
    return trained or list(specs)


def is_known(task: TaskSpec, tasks: Mapping[str, TaskSpec]) -> bool:
    """Whether the suite's task computes the same as the known one of that name; varied tasks do
    not."""
    known = tasks.get(task.name)
    return known is None or all(getattr(known, name) == getattr(task, name) for name in _COMPUTED)

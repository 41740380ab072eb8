"""Whether a task can be trained on a user's data: shapes, classes, vocabulary."""

from __future__ import annotations

from math import prod

from ...dataset import DataSet
from ...errors import UserError
from ...layers import Embedding, build
from ...objective import takes_integers
from ...spec import LABEL_LOSSES, NUMBER_LOSSES, TaskSpec
from .kept import Entry


def check(task: TaskSpec, of: DataSet, entry: Entry) -> None:
    """UserError: 'task houses: …' says what does not fit, and what would."""
    problem = _input(task, of, entry) or _kind(task, of) or _outputs(task, of, entry)
    if problem:
        raise UserError(f"task {task.name}: {problem}")


def _input(task: TaskSpec, of: DataSet, entry: Entry) -> str:
    shape, wanted = entry.shape, task.input_shape
    plain = [tuple(size for size in each if size > 1) for each in (shape, wanted)]
    is_flat = len(shape) == 1 or len(wanted) == 1
    if prod(shape) != prod(wanted) or not (is_flat or plain[0] == plain[1]):
        return (
            f"input_shape is {wanted}, but a sample of {of.name} has the shape {shape}; images are"
            " (height, width, channels)"
        )
    integers = takes_integers(task.model)
    if integers != of.tokens:
        return (
            f"its model begins with an Embedding; {of.name} needs tokens=True"
            if integers
            else f"{of.name} holds tokens; its model must begin with an Embedding"
        )
    sizes = [layer.vocabulary for layer in task.model if isinstance(layer, Embedding)]
    if integers and entry.largest >= sizes[0]:
        return (
            f"its Embedding has a vocabulary of {sizes[0]}, but {of.name} holds the token"
            f" {entry.largest}; {entry.largest + 1} are needed"
        )
    return ""


def _kind(task: TaskSpec, of: DataSet) -> str:
    wants = "number" if task.loss in NUMBER_LOSSES else "labels"
    if task.loss not in (*NUMBER_LOSSES, *LABEL_LOSSES):
        return f"its loss {task.loss} takes no data; {of.name} has targets"
    if (of.target == "number") != (wants == "number"):
        return (
            f'its loss {task.loss} takes {wants}; {of.name} has target="{of.target}"'
            if wants == "labels"
            else f'its loss {task.loss} takes numbers; {of.name} has target="{of.target}"'
        )
    return ""


def _outputs(task: TaskSpec, of: DataSet, entry: Entry) -> str:
    out = build(task.model, task.input_shape)[-1].output_shape if task.model else task.input_shape
    y = entry.arrays["train_y"].shape[1:]
    if task.loss in NUMBER_LOSSES:
        return (
            ""
            if prod(out) == prod(y)
            else f"its model has {prod(out)} outputs, but {of.name} has {prod(y)} targets a row"
        )
    if task.loss == "binary_cross_entropy":
        fine = out == (1,) and entry.classes == 2 and not y
        return "" if fine else _wants(task, of, entry, "one output for two classes", out)
    if out[:-1] != y:
        return f"its model gives logits of the shape {out}, but labels of {of.name} have {y}"
    enough = out[-1] == entry.classes if of.target == "class" else out[-1] >= entry.classes
    return "" if enough else _wants(task, of, entry, f"{entry.classes} outputs", out)


def _wants(task: TaskSpec, of: DataSet, entry: Entry, what: str, out: tuple[int, ...]) -> str:
    return (
        f"{task.loss} needs {what}; {of.name} has {entry.classes} classes, the model outputs of the"
        f" shape {out}"
    )

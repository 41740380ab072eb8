"""Shared by the tasks made to be timed: samples with 10 classes of a fixed random teacher."""

from ..layers import Layer
from ..spec import TaskSpec


def timed_task(
    name: str, title: str, input_shape: tuple[int, ...], model: tuple[Layer, ...], batch_size: int
) -> TaskSpec:
    """A task to be timed. It trains in earnest; its target shows no more than that."""
    return TaskSpec(
        name=name,
        title=title,
        data=name,
        input_shape=input_shape,
        model=model,
        metric="negative_loss",
        batch_size=batch_size,
        steps=200,
        eval_every=50,
        target=-2.0,
        target_origin=(
            "made to be timed, not to tell optimizers apart: the loss must fall below that of"
            " guessing, ln 10 = 2.303"
        ),
    )

"""Shared by the tasks on 28x28 grey images."""

from ..layers import Layer
from ..spec import TaskSpec

NOT_CALIBRATED = "not calibrated: made without a network"
_BATCH, _STEPS_AN_EPOCH = 128, 429


def task(
    data: str,
    name: str,
    title: str,
    shape: tuple[int, ...],
    model: tuple[Layer, ...],
    epochs: int,
    target: float,
    origin: str,
) -> TaskSpec:
    """Batches of 128 from 55,000 images, evaluated after each epoch. origin: of the target."""
    return TaskSpec(
        name=name,
        title=title,
        data=data,
        input_shape=shape,
        model=model,
        batch_size=_BATCH,
        steps=epochs * _STEPS_AN_EPOCH,
        eval_every=_STEPS_AN_EPOCH,
        target=target,
        target_origin=origin,
    )

"""Handwritten digits: two convolutions with pooling, then a dense layer."""

from ..layers import Activation, Conv2D, Dense, Flatten, MaxPool2D
from ..spec import TaskSpec
from ._grid import WIDE

TASK = TaskSpec(
    name="digits_cnn",
    title="Digits, CNN: 2 x (3x3 convolution, ReLU, 2x2 max-pooling) of 16 and 32 filters, dense",
    data="digits",
    input_shape=(8, 8, 1),
    model=(
        Conv2D(filters=16),
        Activation(function="relu"),
        MaxPool2D(window=2),
        Conv2D(filters=32),
        Activation(function="relu"),
        MaxPool2D(window=2),
        Flatten(),
        Dense(units=10),
    ),
    batch_size=32,
    steps=360,
    eval_every=36,
    target=0.97,
    target_origin=WIDE,
)

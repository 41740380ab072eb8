"""Handwritten digits with a multilayer perceptron, 64-128-128-10."""

from ..layers import Activation, Dense
from ..spec import TaskSpec
from ._grid import WIDE

TASK = TaskSpec(
    name="digits_mlp",
    title="Digits, MLP 64-128-128-10 with ReLU",
    data="digits",
    input_shape=(64,),
    model=(
        Dense(units=128, initializer="he_normal"),
        Activation(function="relu"),
        Dense(units=128, initializer="he_normal"),
        Activation(function="relu"),
        Dense(units=10),
    ),
    batch_size=32,
    steps=360,
    eval_every=36,
    target=0.965,
    target_origin=WIDE,
)

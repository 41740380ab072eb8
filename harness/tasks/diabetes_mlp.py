"""Progression of diabetes after a year: a regression, multilayer perceptron, 10-32-1."""

from ..layers import Activation, Dense
from ..spec import TaskSpec
from ._grid import WIDE

TASK = TaskSpec(
    name="diabetes_mlp",
    title="Diabetes, MLP 10-32-1 with tanh, mean squared error",
    data="diabetes",
    input_shape=(10,),
    model=(Dense(units=32), Activation(function="tanh"), Dense(units=1)),
    loss="mean_squared_error",
    metric="r2",
    batch_size=34,
    steps=320,
    eval_every=8,
    target=0.505,
    target_origin=WIDE,
)

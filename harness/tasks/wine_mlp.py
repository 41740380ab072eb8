"""A wine's grower, one of three: a small multilayer perceptron, 13-32-3."""

from ..layers import Activation, Dense
from ..spec import TaskSpec

TASK = TaskSpec(
    name="wine_mlp",
    title="Wine, MLP 13-32-3 with ReLU",
    data="wine",
    input_shape=(13,),
    model=(Dense(units=32, initializer="he_normal"), Activation(function="relu"), Dense(units=3)),
    batch_size=16,
    steps=140,
    eval_every=7,
    target=0.965,
    target_origin=(
        "one error in 33: the best median of a learning-rate grid has none (see docs/benchmarks.md)"
    ),
)

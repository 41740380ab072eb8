"""Every kind of layer with every option that changes what it computes: one table for all adapters.

CASES: (name, layer, shape of one sample, whether in training). `prepare(case)` draws weights,
input, upstream gradient and mask for it, the same for everybody. LOSSES and `loss_case` do the same
for losses."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
from gradrace.layers import (
    Activation,
    AvgPool2D,
    BatchNorm,
    BuiltLayer,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    Gru,
    Layer,
    LayerNorm,
    Lstm,
    MaxPool2D,
    Point,
    Shape,
    SimpleRnn,
    build,
)
from gradrace.plan import Weights, dropout_masks
from gradrace.spec import TaskSpec

BATCH = 5
VOCABULARY = 7


class Case(NamedTuple):
    name: str
    layer: Layer
    input_shape: Shape
    training: bool = True


class Prepared(NamedTuple):
    """What `Adapter.differentiate` takes, in its order."""

    layer: BuiltLayer
    weights: Weights
    x: np.ndarray
    upstream: np.ndarray
    training: bool
    mask: np.ndarray | None


ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh")

SAME = {"window": 3, "stride": 2, "padding": "same"}
CASES: list[Case] = [
    Case("dense", Dense(units=4), (6,)),
    Case("dense without bias", Dense(units=4, bias=False), (6,)),
    Case("dense on a sequence", Dense(units=4), (3, 6)),
    Case("dense on an image", Dense(units=4), (3, 2, 6)),
    Case("dense weight norm", Dense(units=4, weight_norm=True), (6,)),
    Case("dense weight norm without bias", Dense(units=4, weight_norm=True, bias=False), (3, 6)),
    Case("conv valid", Conv2D(filters=3, padding="valid"), (6, 5, 2)),
    Case("conv valid stride 2", Conv2D(filters=3, padding="valid", stride=2), (6, 5, 2)),
    Case("conv same", Conv2D(filters=3), (6, 5, 2)),
    Case("conv same stride 2, asymmetric", Conv2D(filters=3, stride=2), (6, 8, 2)),
    Case("conv same stride 2, symmetric", Conv2D(filters=3, stride=2), (7, 5, 2)),
    Case("conv same stride 2, mixed", Conv2D(filters=3, stride=2), (6, 5, 2)),
    Case("conv same, even kernel", Conv2D(filters=3, kernel=2), (6, 5, 2)),
    Case("conv same, stride beyond kernel", Conv2D(filters=3, kernel=1, stride=3), (8, 5, 2)),
    Case("conv 5x5 without bias", Conv2D(filters=2, kernel=5, bias=False), (6, 5, 2)),
    Case("max pool", MaxPool2D(), (6, 5, 2)),
    Case("max pool overlapping", MaxPool2D(window=3, stride=1), (6, 5, 2)),
    Case("max pool same stride 2, asymmetric", MaxPool2D(**SAME), (6, 8, 2)),
    Case("max pool same stride 2, symmetric", MaxPool2D(**SAME), (7, 5, 2)),
    Case("max pool same 2x2 on odd sizes", MaxPool2D(padding="same"), (5, 7, 2)),
    Case("average pool", AvgPool2D(), (6, 5, 2)),
    Case("average pool same", AvgPool2D(window=3, stride=1, padding="same"), (6, 5, 2)),
    Case("average pool same stride 2, asymmetric", AvgPool2D(**SAME), (6, 8, 2)),
    Case("average pool same stride 2, mixed", AvgPool2D(**SAME), (6, 5, 2)),
    Case("flatten an image", Flatten(), (3, 4, 2)),
    Case("flatten a sequence", Flatten(), (3, 4)),
    *(
        Case(
            f"batch norm on {what}, {'training' if training else 'evaluating'}",
            BatchNorm(momentum=0.8),
            shape,
            training,
        )
        for what, shape in (("a vector", (4,)), ("a sequence", (3, 4)), ("an image", (3, 2, 4)))
        for training in (True, False)
    ),
    Case("batch norm, large epsilon", BatchNorm(epsilon=0.1, momentum=0.0), (4,)),
    Case("layer norm on a vector", LayerNorm(), (4,)),
    Case("layer norm on a sequence", LayerNorm(epsilon=0.1), (3, 4)),
    Case("layer norm on an image", LayerNorm(), (3, 2, 4)),
    Case("group norm on a vector", GroupNorm(groups=2), (6,)),
    Case("group norm on a sequence", GroupNorm(groups=2, epsilon=0.1), (3, 4)),
    Case("group norm on an image", GroupNorm(groups=2), (3, 2, 4)),
    Case("group norm of single channels", GroupNorm(groups=4), (3, 2, 4)),
    Case("dropout on a vector", Dropout(rate=0.3), (20,)),
    Case("dropout on an image", Dropout(rate=0.3), (3, 2, 4)),
    Case("dropout evaluating", Dropout(rate=0.3), (20,), False),
    Case("native dropout evaluating", Dropout(rate=0.3, masks="native"), (20,), False),
    Case("embedding", Embedding(vocabulary=VOCABULARY, units=3), (4,)),
    Case("embedding of one word", Embedding(vocabulary=VOCABULARY, units=3), (1,)),
    *(
        Case(
            f"{name}{' sequences' if sequences else ''}", kind(units=3, sequences=sequences), (5, 2)
        )
        for name, kind in (("simple rnn", SimpleRnn), ("lstm", Lstm), ("gru", Gru))
        for sequences in (False, True)
    ),
    *(Case(function, Activation(function=function), (6,)) for function in ACTIVATIONS),
    Case("activation on an image", Activation(function="gelu"), (3, 2, 4)),
    Case("quadratic", Point(objective="quadratic", start=(1.0, -0.5, 0.25), condition=50.0), (1,)),
    Case("rosenbrock", Point(objective="rosenbrock", start=(-1.2, 1.0)), (1,)),
    Case("beale", Point(objective="beale", start=(1.0, 1.5)), (1,)),
    Case("branin", Point(objective="branin", start=(2.0, 7.0)), (1,)),
]


def prepare(case: Case) -> Prepared:
    """Weights, input and upstream gradient of all sizes; statistics and gains away from 0 and 1.

    Images for max pooling hold ties, activations zeros and large values.
    """
    (built,) = build((case.layer,), case.input_shape)
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    weights = {p.name: rng.normal(0.0, 0.7, p.shape) for p in built.parameters}
    for p in built.parameters:
        if p.name.endswith("moving_variance"):
            weights[p.name] = rng.uniform(0.3, 2.0, p.shape)
        elif p.values is not None and p.role == "point":
            weights[p.name] = np.array(p.values)
    x = rng.normal(0.3, 1.5, (BATCH, *case.input_shape))
    if isinstance(case.layer, Embedding):
        x = rng.integers(0, VOCABULARY, (BATCH, *case.input_shape))
    elif isinstance(case.layer, MaxPool2D):
        x = np.round(x)
    elif isinstance(case.layer, Activation):
        x[0], x[1] = 0.0, 20.0 * x[1]
    masked = isinstance(case.layer, Dropout) and case.training
    mask = dropout_masks(built, 3, range(1), BATCH)[0] if masked else None
    upstream = rng.normal(size=(BATCH, *built.output_shape))
    return Prepared(built, weights, x, upstream, case.training, mask)


def make_task(
    loss: str = "softmax_cross_entropy",
    outputs: int = 4,
    metric: str = "accuracy",
    smoothing: float = 0.0,
) -> TaskSpec:
    """A task of this loss and metric, for what has to be asked with one."""
    return TaskSpec(
        **{"name": "made_up", "title": "Made up", "data": "digits", "input_shape": (3,)},
        **{"model": (Dense(units=outputs),), "batch_size": 5, "steps": 5, "eval_every": 5},
        **{"loss": loss, "label_smoothing": smoothing, "metric": metric},
        **{"target": 0.5, "target_origin": "none"},
    )


LOSSES = [
    ("softmax_cross_entropy", (5, 4), 0.0),
    ("softmax_cross_entropy", (5, 4), 0.1),
    ("softmax_cross_entropy", (5, 3, 4), 0.2),
    ("binary_cross_entropy", (5, 1), 0.0),
    ("binary_cross_entropy", (5, 1), 0.1),
    ("mean_squared_error", (5, 2), 0.0),
    ("huber", (5, 2), 0.0),
    ("output", (5, 1), 0.0),
]


def loss_case(
    loss: str, shape: tuple[int, ...], smoothing: float
) -> tuple[TaskSpec, np.ndarray, np.ndarray]:
    """Task, outputs with large ones among them, y."""
    rng = np.random.default_rng(5)
    outputs = rng.normal(0.0, 3.0, shape)
    outputs[0] *= 10.0
    y = rng.normal(0.0, 3.0, shape)
    if loss == "softmax_cross_entropy":
        y = rng.integers(0, shape[-1], shape[:-1])
    elif loss == "binary_cross_entropy":
        y = rng.integers(0, 2, shape[0])
    return make_task(loss, shape[-1], metric="negative_loss", smoothing=smoothing), outputs, y

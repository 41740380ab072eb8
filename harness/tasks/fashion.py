"""Fashion-MNIST with two common networks. Needs its files: see `gradrace fetch fashion_mnist`."""

from ..layers import Activation, Conv2D, Dense, Flatten, MaxPool2D
from ._grey28 import task

_MARGIN = (
    "one point below the best median over 3 seeds ({} validation accuracy) of {}, ten epochs (see"
    " docs/benchmarks.md), rounded down to a multiple of 0.005"
)
MLP = task(
    "fashion_mnist",
    "fashion_mlp",
    "Fashion-MNIST, MLP 784-256-128-64-10 with ReLU",
    (784,),
    (
        Dense(units=256, initializer="he_normal"),
        Activation(function="relu"),
        Dense(units=128, initializer="he_normal"),
        Activation(function="relu"),
        Dense(units=64, initializer="he_normal"),
        Activation(function="relu"),
        Dense(units=10),
    ),
    10,
    0.885,
    _MARGIN.format("0.8980", "Adam at 0.0003, 0.001 and 0.003 in three frameworks"),
)
CNN = task(
    "fashion_mnist",
    "fashion_cnn",
    "Fashion-MNIST, CNN: 2 x (3x3 convolution, ReLU, 2x2 max-pooling) of 32 and 64 filters,"
    " dense 128",
    (28, 28, 1),
    (
        Conv2D(filters=32),
        Activation(function="relu"),
        MaxPool2D(window=2),
        Conv2D(filters=64),
        Activation(function="relu"),
        MaxPool2D(window=2),
        Flatten(),
        Dense(units=128, initializer="he_normal"),
        Activation(function="relu"),
        Dense(units=10),
    ),
    10,
    0.91,
    _MARGIN.format("0.9242", "Adam at 0.001 in PyTorch and JAX"),
)

"""Fashion-MNIST with two common networks. Needs `gradrace fetch fashion_mnist`."""

from ..layers import Activation, Conv2D, Dense, Flatten, MaxPool2D
from ._grey28 import task

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
    0.88,
    "two points below the 0.900 test accuracy of 'MLP 256-128-64' in the data set's README,"
    " benchmark",
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
    0.9,
    "two points below the 0.916 to 0.925 of convolutional networks of this size in the data set's"
    " README",
)

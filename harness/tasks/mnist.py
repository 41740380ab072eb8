"""MNIST in the sizes that users know. Needs its files: see `gradrace fetch mnist`."""

from ..layers import Activation, Conv2D, Dense, Flatten, Lstm, MaxPool2D
from ._grey28 import NOT_CALIBRATED, task

MLP = task(
    "mnist",
    "mnist_mlp",
    "MNIST, MLP 784-300-100-10 with ReLU",
    (784,),
    (
        Dense(units=300, initializer="he_normal"),
        Activation(function="relu"),
        Dense(units=100, initializer="he_normal"),
        Activation(function="relu"),
        Dense(units=10),
    ),
    5,
    0.97,
    "test error 3.05% of a 784-300-100-10 network in LeCun et al. (1998), fig. 9;"
    f" {NOT_CALIBRATED}",
)
CNN = task(
    "mnist",
    "mnist_cnn",
    "MNIST, CNN: 3x3 convolutions of 32 and 64 filters, 2x2 max-pooling, dense 128",
    (28, 28, 1),
    (
        Conv2D(filters=32, padding="valid"),
        Activation(function="relu"),
        Conv2D(filters=64, padding="valid"),
        Activation(function="relu"),
        MaxPool2D(window=2),
        Flatten(),
        Dense(units=128, initializer="he_normal"),
        Activation(function="relu"),
        Dense(units=10),
    ),
    5,
    0.99,
    "a quarter of a point below the 99.25% test accuracy after 12 epochs of Keras' example"
    f" mnist_cnn.py, the same network with dropout; {NOT_CALIBRATED}",
)
LSTM = task(
    "mnist",
    "mnist_lstm",
    "MNIST, LSTM of 128 units over 28 rows",
    (28, 28),
    (Lstm(units=128), Dense(units=10)),
    5,
    0.97,
    f"a round figure, that of mnist_mlp; {NOT_CALIBRATED}",
)

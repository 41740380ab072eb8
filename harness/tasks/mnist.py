"""MNIST in the sizes that users know. Needs `gradrace fetch mnist`."""

from ..layers import Activation, Conv2D, Dense, Flatten, Layer, Lstm, MaxPool2D
from ..spec import TaskSpec

_UNTRIED = "not calibrated: made without a network"


def _task(name: str, title: str, shape: tuple[int, ...], model: tuple[Layer, ...], target: float, origin: str) -> TaskSpec:
    """Five epochs of batches of 128, evaluated after each."""
    return TaskSpec(
        name=name,
        title=title,
        data="mnist",
        input_shape=shape,
        model=model,
        batch_size=128,
        steps=5 * 429,
        eval_every=429,
        target=target,
        target_origin=origin,
    )


MLP = _task(
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
    0.97,
    f"test error 3.05% of a 784-300-100-10 network in LeCun et al. (1998), fig. 9; {_UNTRIED}",
)
CNN = _task(
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
    0.99,
    "a quarter of a point below the 99.25% test accuracy after 12 epochs of Keras' example mnist_cnn.py, the same network "
    f"with dropout; {_UNTRIED}",
)
LSTM = _task(
    "mnist_lstm",
    "MNIST, LSTM of 128 units over 28 rows",
    (28, 28),
    (Lstm(units=128), Dense(units=10)),
    0.97,
    f"a round figure, that of mnist_mlp; {_UNTRIED}",
)

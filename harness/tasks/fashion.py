"""Fashion-MNIST with two common networks. Needs `gradrace fetch fashion_mnist`."""

from ..layers import Activation, Conv2D, Dense, Flatten, Layer, MaxPool2D
from ..spec import TaskSpec

_UNTRIED = "not calibrated: made without a network"


def _task(name: str, title: str, shape: tuple[int, ...], model: tuple[Layer, ...], target: float, origin: str) -> TaskSpec:
    """Ten epochs of batches of 128, evaluated after each."""
    return TaskSpec(
        name=name,
        title=title,
        data="fashion_mnist",
        input_shape=shape,
        model=model,
        batch_size=128,
        steps=10 * 429,
        eval_every=429,
        target=target,
        target_origin=origin,
    )


MLP = _task(
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
    0.88,
    f"two points below the 0.900 test accuracy of 'MLP 256-128-64' in the data set's README, benchmark; {_UNTRIED}",
)
CNN = _task(
    "fashion_cnn",
    "Fashion-MNIST, CNN: 2 x (3x3 convolution, ReLU, 2x2 max-pooling) of 32 and 64 filters, dense 128",
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
    0.9,
    f"two points below the 0.916 to 0.925 of convolutional networks of this size in the data set's README; {_UNTRIED}",
)

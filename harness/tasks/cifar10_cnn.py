"""CIFAR-10 with the small network of many tutorials. Needs `gradrace fetch cifar10`."""

from ..layers import Activation, Conv2D, Dense, Flatten, MaxPool2D
from ..spec import TaskSpec

TASK = TaskSpec(
    name="cifar10_cnn",
    title=(
        "CIFAR-10, CNN: 2 x (two 3x3 convolutions, 2x2 max-pooling) of 32 and 64 filters, dense 512"
    ),
    data="cifar10",
    input_shape=(32, 32, 3),
    model=(
        Conv2D(filters=32),
        Activation(function="relu"),
        Conv2D(filters=32),
        Activation(function="relu"),
        MaxPool2D(window=2),
        Conv2D(filters=64),
        Activation(function="relu"),
        Conv2D(filters=64),
        Activation(function="relu"),
        MaxPool2D(window=2),
        Flatten(),
        Dense(units=512, initializer="he_normal"),
        Activation(function="relu"),
        Dense(units=10),
    ),
    batch_size=128,
    steps=10 * 351,
    eval_every=351,
    target=0.7,
    target_origin=(
        "five points below the 75% validation accuracy after 25 epochs of Keras' example"
        " cifar10_cnn.py, a like network with dropout and augmentation; not calibrated: made"
        " without a network"
    ),
)

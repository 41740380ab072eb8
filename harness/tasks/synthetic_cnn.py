"""Convolutional networks to be timed, in three sizes: 3x3 convolutions, max-pooled by stages."""

from ..layers import Activation, Conv2D, Dense, Flatten, Layer, MaxPool2D
from ._synthetic import timed_task


def _model(*stages: tuple[int, ...]) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for stage in stages:
        for filters in stage:
            layers += [
                Conv2D(filters=filters, initializer="he_normal"),
                Activation(function="relu"),
            ]
        layers.append(MaxPool2D(window=2))
    return (*layers, Flatten(), Dense(units=10))


S = timed_task(
    "synthetic_cnn_s",
    "CNN on 16x16x3, convolutions of 16 and 32 filters, batch 32: 0.08 GFLOP a step, some"
    " milliseconds on one CPU core",
    (16, 16, 3),
    _model((16,), (32,)),
    32,
)
M = timed_task(
    "synthetic_cnn_m",
    "CNN on 32x32x3, convolutions of 32, 32, 64 and 64 filters, batch 16: 2.4 GFLOP a step, tens of"
    " milliseconds on one CPU core",
    (32, 32, 3),
    _model((32, 32), (64, 64)),
    16,
)
L = timed_task(
    "synthetic_cnn_l",
    "CNN on 64x64x3, convolutions of twice 64, 128 and 256 filters, batch 256: 0.94 TFLOP a step,"
    " sized for a GPU",
    (64, 64, 3),
    _model((64, 64), (128, 128), (256, 256)),
    256,
)

"""Multilayer perceptrons to be timed, in three sizes. GFLOP a step: 6 x parameters x batch size."""

from ..layers import Activation, Dense, Layer
from ._synthetic import timed_task


def _model(*widths: int) -> tuple[Layer, ...]:
    hidden = (
        (Dense(units=width, initializer="he_normal"), Activation(function="relu"))
        for width in widths
    )
    return (*(layer for pair in hidden for layer in pair), Dense(units=10))


S = timed_task(
    "synthetic_mlp_s",
    "MLP 256-512-512-10, batch 64: 0.15 GFLOP a step, some milliseconds on one CPU core",
    (256,),
    _model(512, 512),
    64,
)
M = timed_task(
    "synthetic_mlp_m",
    "MLP 512-1024-1024-1024-10, batch 128: 2 GFLOP a step, tens of milliseconds on one CPU core",
    (512,),
    _model(1024, 1024, 1024),
    128,
)
L = timed_task(
    "synthetic_mlp_l",
    "MLP 1024-4096-4096-4096-10, batch 1024: 232 GFLOP a step, sized for a GPU",
    (1024,),
    _model(4096, 4096, 4096),
    1024,
)

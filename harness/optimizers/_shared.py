"""Corrections that several rules need in the same framework."""

from __future__ import annotations

import numpy as np

from ..optimizer import Array, HyperCorrection, Hypers, StateCorrection


def _learning_rate_ratio(hyper: Hypers, lr: Array) -> Array:
    return np.concatenate([[1.0], lr[1:] / lr[:-1]])


def _epsilon_hat(hyper: Hypers, steps: int) -> Array:
    t = np.arange(1, steps + 1)
    return hyper["epsilon"] * np.sqrt(1.0 - hyper["beta2"] ** t)


KERAS_MOMENTUM_FOLLOWS_SCHEDULE = StateCorrection(
    name="momentum_follows_schedule",
    why="Keras stores lr * gradient in its momentum buffer, so old gradients keep old learning rates; "
    "scaling the buffer by lr[t] / lr[t-1] gives the paper's buffer of plain gradients.",
    state="momentums",
    scale=_learning_rate_ratio,
)

KERAS_EPSILON_HAT = HyperCorrection(
    name="epsilon_hat",
    why="Keras adds epsilon to the uncorrected root of the second moment (the paper's epsilon-hat form), which makes "
    "it 1 / sqrt(1 - beta2^t) times too large; epsilon * sqrt(1 - beta2^t) gives Algorithm 1.",
    argument="epsilon",
    values=_epsilon_hat,
)

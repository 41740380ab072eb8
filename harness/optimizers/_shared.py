"""Search ranges and corrections that several optimizers share."""

from __future__ import annotations

import numpy as np

from ..optimizer import Array, HyperCorrection, Hypers, Range, RateCorrection, StateCorrection

# The search ranges of Adam's relatives.
ADAM_RANGES = {
    "learning_rate": Range(1e-4, 1e-1, log=True),
    "beta1": Range(1e-2, 1.0, log=True, below_one=True),
    "beta2": Range(1e-4, 1e-1, log=True, below_one=True),
}
ADAM_RANGES_SOURCE = "proposed here: Adam's rates and decays; epsilon stays fixed"


def _learning_rate_ratio(hyper: Hypers, lr: Array) -> Array:
    return np.concatenate([[1.0], lr[1:] / lr[:-1]])


def _inverse_learning_rate_ratio(hyper: Hypers, lr: Array) -> Array:
    return np.concatenate([[1.0], lr[:-1] / lr[1:]])


def _second_moment_correction(hyper: Hypers, steps: int) -> Array:
    """sqrt(1 - beta2^t), t from 1."""
    return np.sqrt(1.0 - hyper["beta2"] ** np.arange(1, steps + 1))


def epsilon_hat(argument: str) -> HyperCorrection:
    """For a library that adds this argument to the uncorrected root of the second moment."""
    return HyperCorrection(
        name="epsilon_hat",
        why=(
            "The library adds epsilon to the uncorrected root of the second moment (the epsilon-hat"
            " form of Kingma & Ba, section 2), which makes it 1 / sqrt(1 - beta2^t) times too"
            " large; epsilon * sqrt(1 - beta2^t) gives Algorithm 1."
        ),
        argument=argument,
        values=lambda hyper, steps: hyper["epsilon"] * _second_moment_correction(hyper, steps),
    )


def carried_epsilon(state: str, decay: str, why: str) -> StateCorrection:
    """Keeps the framework's buffer of a decaying mean or maximum epsilon above the rule's.

    Before each step it raises the buffer by as much of epsilon as the decay, the hyperparameter of
    this name, will take away."""

    def shift(hyper: Hypers, lr: Array) -> Array:
        values = np.full_like(lr, hyper["epsilon"] * (1.0 / hyper[decay] - 1.0))
        values[0] = hyper["epsilon"] / hyper[decay]
        return values

    return StateCorrection("carried_epsilon", why, state, lambda hyper, lr: np.ones_like(lr), shift)


KERAS_EPSILON_HAT = epsilon_hat("epsilon")

KERAS_MOMENTUM_FOLLOWS_SCHEDULE = StateCorrection(
    name="momentum_follows_schedule",
    why=(
        "Keras stores lr * gradient in its momentum buffer, so old gradients keep old learning"
        " rates; scaling the buffer by lr[t] / lr[t-1] gives the paper's buffer of plain gradients."
    ),
    state="momentums",
    scale=_learning_rate_ratio,
)

TORCH_MOMENTUM_KEEPS_OLD_RATES = StateCorrection(
    name="momentum_keeps_old_rates",
    why=(
        "torch multiplies the whole momentum buffer by the present learning rate; scaling the"
        " buffer by lr[t-1] / lr[t] gives the rule, in which each step enters the buffer with its"
        " own rate."
    ),
    state="momentum_buffer",
    scale=_inverse_learning_rate_ratio,
)

TORCH_EPSILON_INSIDE_ROOT = carried_epsilon(
    "square_avg",
    "rho",
    "torch adds eps outside of the root. A mean square that carries epsilon with it (raised before"
    " each step by what the decay will take away) is the same rule with epsilon inside.",
)

UNCORRECTED_SECOND_MOMENT = RateCorrection(
    name="bias_correction_of_the_maximum",
    why=(
        "The library divides by the root of a second moment without bias correction; the learning"
        " rate times sqrt(1 - beta2^t) brings the correction of the present step."
    ),
    factor=_second_moment_correction,
)

"""Measures, in one framework, what its libraries do otherwise than they say or than one would expect.

A program of its own, because one process holds one framework: `python tests/library_defects.py FRAMEWORK` prints
{"versions": ..., "<function>": what it found} as JSON. Each function stands for one fact; test_library_defects.py says
what is found today.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from gradrace.registry import load_registry

FACTS: dict[str, list[Callable[[], Any]]] = {"torch": [], "tensorflow": [], "jax": []}


def of(framework: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Registers a function for the process of this framework."""

    def register(function: Callable[[], Any]) -> Callable[[], Any]:
        FACTS[framework].append(function)
        return function

    return register


# PyTorch


@of("torch")
def nadam_product_dtype() -> str:
    """dtype of NAdam's running product for a float64 parameter, under torch's usual default dtype."""
    import torch

    tensor = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.NAdam([tensor])
    tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    return str(optimizer.state[tensor]["mu_product"].dtype)


@of("torch")
def centred_rmsprop_on_constant_gradients() -> int:
    """The step (from 1) at which one of 4096 parameters becomes NaN, decay 0.5; 0 for never in 200."""
    import torch

    tensor = torch.ones(4096, requires_grad=True)
    optimizer = torch.optim.RMSprop([tensor], lr=1e-6, alpha=0.5, centered=True)
    for step in range(1, 201):
        tensor.grad = torch.linspace(0.0, 1.0, 4096)
        optimizer.step()
        if tensor.isnan().any():
            return step
    return 0


@of("torch")
def rprop_with_another_rate() -> float:
    """How much further a parameter goes at the second step when the learning rate is then a hundred times higher."""
    import torch

    moved = []
    for factor in (1.0, 100.0):
        tensor = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Rprop([tensor], lr=0.01)
        for rate in (0.01, 0.01 * factor):
            optimizer.param_groups[0]["lr"] = rate
            tensor.grad = torch.ones_like(tensor)
            optimizer.step()
        moved.append(float(tensor.detach()))
    return moved[1] / moved[0]


@of("torch")
def first_adam_step_in_float32() -> float:
    """Relative error of the first step, which is the learning rate but for epsilon."""
    import torch

    tensor = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([tensor], lr=1.0, eps=0.0)
    tensor.grad = torch.ones(1)
    optimizer.step()
    return -float(tensor.detach()) - 1.0


# Keras


@of("tensorflow")
def python_floats_under_float64() -> float:
    """What 0.9 becomes when it is cast to float64."""
    import keras

    return float(keras.ops.cast(0.9, "float64"))


@of("tensorflow")
def nadam_decay_under_float64() -> list[float]:
    """Errors of Nadam's first step in float64, against its rule with 0.96 and with the 0.96 of float32."""
    import keras

    keras.config.set_floatx("float64")
    variable = keras.Variable([1.0], dtype="float64")
    b1, b2 = np.float64(0.9), np.float64(0.999)
    optimizer = keras.optimizers.Nadam(0.125, beta_1=b1, beta_2=b2, epsilon=0.0)
    optimizer.apply([keras.ops.array([0.5], dtype="float64")], [variable])
    errors = []
    for decay in (0.96, float(np.float32(0.96))):
        product, mu, mu_next = b1 * (1.0 - 0.5 * 0.96), b1 * (1.0 - 0.5 * decay), b1 * (1.0 - 0.5 * decay**2)
        ahead = mu_next * (1.0 - b1) * 0.5 / (1.0 - product * mu_next) + (1.0 - mu) * 0.5 / (1.0 - product)
        errors.append(float(abs(variable.numpy()[0] - (1.0 - 0.125 * ahead / 0.5))))
    return errors


@of("tensorflow")
def adam_step_at_epsilon() -> float:
    """Adam's first step, in learning rates, where the gradient equals epsilon; one half by the paper's Algorithm 1."""
    import keras

    variable = keras.Variable([0.0])
    keras.optimizers.Adam(1.0, epsilon=1e-4).apply([keras.ops.array([1e-4])], [variable])
    return -float(variable.numpy()[0])


@of("tensorflow")
def first_keras_adam_step_in_float32() -> float:
    """Relative error of the first step, which is the learning rate but for epsilon."""
    import keras

    variable = keras.Variable([0.0], dtype="float32")
    keras.optimizers.Adam(1.0, epsilon=0.0).apply([keras.ops.array([1.0], dtype="float32")], [variable])
    return -float(variable.numpy()[0]) - 1.0


@of("tensorflow")
def numpy_rho_in_a_graph() -> str:
    """The error of Adadelta with a float64 rho inside of a tf.function."""
    import keras
    import tensorflow as tf

    variable = keras.Variable([0.0], dtype="float64")
    optimizer = keras.optimizers.Adadelta(1.0, rho=np.float64(0.9))
    optimizer.build([variable])
    try:
        tf.function(lambda: optimizer.apply([tf.ones(1, tf.float64)], [variable]), autograph=False)()
    except NotImplementedError as error:
        return str(error)
    return ""


@of("tensorflow")
def momentum_under_a_schedule() -> float:
    """Steps of a parameter at the second of two equal gradients when the rate is 1, then 0; 0 by the paper."""
    import keras

    variable = keras.Variable([0.0])
    optimizer = keras.optimizers.SGD(1.0, momentum=0.9)
    optimizer.apply([keras.ops.array([1.0])], [variable])
    before = float(variable.numpy()[0])
    optimizer.learning_rate = 0.0
    optimizer.apply([keras.ops.array([1.0])], [variable])
    return float(variable.numpy()[0]) - before


# Optax


@of("jax")
def rprop_updates() -> list[float]:
    """The first four updates for gradients of 1, starting from a step size of 0.1."""
    import jax.numpy as jnp
    import optax

    optimizer = optax.rprop(0.1)
    state, updates = optimizer.init(jnp.zeros(1)), []
    for _ in range(4):
        update, state = optimizer.update(jnp.ones(1), state)
        updates.append(float(update[0]))
    return updates


@of("jax")
def adadelta_without_a_rate() -> float:
    """The first update for a gradient of 1, with the default learning rate (None)."""
    import jax.numpy as jnp
    import optax

    optimizer = optax.adadelta()
    parameters = jnp.zeros(1)
    return float(optimizer.update(jnp.ones(1), optimizer.init(parameters), parameters)[0][0])


@of("jax")
def amsgrad_keeps_early_estimates() -> float:
    """The largest second moment, after one gradient of 1 and 999 of 0.001, over the largest one without correction."""
    import jax.numpy as jnp
    import optax

    largest = []
    for corrected in (True, False):
        optimizer = optax.amsgrad(0.1, bias_correction_nu=corrected)
        state = optimizer.init(jnp.zeros(1))
        for step in range(1000):
            _, state = optimizer.update(jnp.full(1, 1.0 if step == 0 else 1e-3), state)
        largest.append(float(optax.tree_utils.tree_get(state, "nu_max")[0]))
    return largest[0] / largest[1]


@of("jax")
def radam_rectifier_in_float32() -> float:
    """Relative error of the first rectified step (the sixth), beta2 0.999."""
    import jax.numpy as jnp
    import optax

    optimizer = optax.radam(1.0, eps=0.0)
    state = optimizer.init(jnp.zeros(1))
    for _ in range(6):
        update, state = optimizer.update(jnp.ones(1), state)
    longest = 2.0 / (1.0 - 0.999) - 1.0
    length = longest - 12.0 * 0.999**6 / (1.0 - 0.999**6)
    rectifier = np.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
    return -float(update[0]) / float(rectifier) - 1.0


@of("jax")
def first_optax_adam_step_in_float32() -> float:
    """Relative error of the first step, which is the learning rate but for epsilon."""
    import jax.numpy as jnp
    import optax

    optimizer = optax.adam(1.0, eps=0.0)
    update, _ = optimizer.update(jnp.ones(1), optimizer.init(jnp.zeros(1)))
    return -float(update[0]) - 1.0


def main() -> None:
    """Prints what every function of the framework finds."""
    framework = sys.argv[1]
    found: dict[str, Any] = {function.__name__: function() for function in FACTS[framework]}
    print(json.dumps({"versions": load_registry().frameworks[framework].versions(), **found}))


if __name__ == "__main__":
    main()

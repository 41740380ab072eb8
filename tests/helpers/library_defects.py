"""Measures, in one framework, what its libraries do otherwise than they say or than one would
expect.

A program of its own, because one process holds one framework: `python
tests/helpers/library_defects.py
FRAMEWORK` prints {"versions": ..., "<function>": what it found} as JSON. Each function stands for
one fact; test_library_defects.py says what is found today.
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


def rectified_from(step: Callable[[], float]) -> int:
    """The first of 20 steps at which RAdam moves by other than 1 for gradients of 1; 0 for none."""
    return next((t for t in range(1, 21) if abs(abs(step()) - 1.0) > 1e-3), 0)


# PyTorch


@of("torch")
def plateau_reduces_after() -> int:
    """Evaluations without improvement until the rate falls, with a patience of 2."""
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
    plateau.step(1.0)
    for waited in range(1, 11):
        plateau.step(1.0)
        if optimizer.param_groups[0]["lr"] < 1.0:
            return waited
    return 0


@of("torch")
def radam_rectified_from() -> int:
    """See rectified_from."""
    import torch

    tensor = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.RAdam([tensor], lr=1.0)

    def step() -> float:
        before = float(tensor)
        tensor.grad = torch.ones_like(tensor)
        optimizer.step()
        return float(tensor) - before

    return rectified_from(step)


@of("torch")
def nadam_first_momentum() -> float:
    """mu_1 at the defaults, over beta1."""
    import torch

    tensor = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.NAdam([tensor])
    tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    return float(optimizer.state[tensor]["mu_product"]) / 0.9


@of("torch")
def nadam_product_dtype() -> str:
    """dtype of NAdam's running product for a float64 parameter, under torch's default dtype."""
    import torch

    tensor = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.NAdam([tensor])
    tensor.grad = torch.ones_like(tensor)
    optimizer.step()
    return str(optimizer.state[tensor]["mu_product"].dtype)


@of("torch")
def centred_rmsprop_on_constant_gradients() -> int:
    """The step (from 1) at which one of 4096 parameters becomes NaN, decay 0.5; 0: never in 200."""
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
    """How much further a parameter goes if the second rate is a hundred times higher."""
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


@of("torch")
def muon_on_an_orthogonal_matrix() -> float:
    """Relative error of Muon's step for a multiple of a rotation, against float64 coefficients."""
    import torch

    matrix = torch.linalg.qr(torch.arange(1.0, 17.0, dtype=torch.float64).reshape(4, 4).sin())[0]
    tensor = torch.zeros(4, 4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Muon([tensor], lr=1.0, weight_decay=0.0)
    tensor.grad = matrix
    optimizer.step()
    # All singular values are equal: the polynomial acts on 1 / 2 five times.
    value = 0.5
    for _ in range(5):
        value = 3.4445 * value - 4.775 * value**3 + 2.0315 * value**5
    return float((tensor.detach() + value * matrix).norm() / (value * matrix).norm())


@of("torch")
def muon_of_a_vector() -> str:
    """The error of Muon given a bias."""
    import torch

    try:
        torch.optim.Muon([torch.zeros(3, requires_grad=True)])
    except ValueError as error:
        return str(error)
    return ""


@of("torch")
def asgd_under_a_schedule() -> float:
    """The second step for a gradient of 1 where the learning rate is 0.1, then 0."""
    import torch

    tensor = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.ASGD([tensor], lr=0.1, lambd=0.0)
    places = []
    for rate in (0.1, 0.0):
        optimizer.param_groups[0]["lr"] = rate
        tensor.grad = torch.ones_like(tensor)
        optimizer.step()
        places.append(float(tensor.detach()))
    return places[1] - places[0]


# Keras


@of("tensorflow")
def schedule_free_on_tensorflow() -> list[float]:
    """Distance after two steps from the rule, and from that with the new iterate for the old."""
    import keras

    keras.config.set_floatx("float64")
    b1, b2 = np.float64(0.9), np.float64(0.999)
    variable = keras.Variable([1.0], dtype="float64")
    optimizer = keras.optimizers.ScheduleFreeAdamW(
        np.float64(0.125), beta_1=b1, beta_2=b2, epsilon=0.0
    )
    for _ in range(2):
        optimizer.apply([keras.ops.array([0.5], dtype="float64")], [variable])
    ends = []
    for aliased in (False, True):
        y = z = 1.0
        for t in (1, 2):
            new = z - 0.125
            x = (y - (1 - b1) * (new if aliased else z)) / b1
            x, z = (1 - 1 / t) * x + new / t, new
            y = (1 - b1) * z + b1 * x
        ends.append(float(abs(variable.numpy()[0] - y)))
    return ends


@of("tensorflow")
def adafactor_relative_step() -> float:
    """Distance of parameters after three steps with and without relative_step, rate 0.9."""
    import keras

    ends = []
    for relative in (True, False):
        variable = keras.Variable(np.ones((3, 4), "float32"))
        optimizer = keras.optimizers.Adafactor(0.9, relative_step=relative)
        for _ in range(3):
            optimizer.apply([keras.ops.ones((3, 4))], [variable])
        ends.append(variable.numpy())
    return float(np.abs(ends[0] - ends[1]).max())


@of("tensorflow")
def adafactor_state_elements() -> int:
    """Numbers that Adafactor keeps for a matrix of 100 x 200, no counters; 300 by the paper."""
    import keras

    optimizer = keras.optimizers.Adafactor(0.1)
    optimizer.build([keras.Variable(np.ones((100, 200), "float32"))])
    return int(
        sum(np.prod(variable.shape) for variable in optimizer.variables if len(variable.shape))
    )


@of("tensorflow")
def ftrl_after_a_zero_gradient() -> list[float]:
    """Weights 1 and -2 after one step with gradients of zero."""
    import keras

    variable = keras.Variable([1.0, -2.0])
    keras.optimizers.Ftrl(0.1).apply([keras.ops.zeros(2)], [variable])
    return [float(value) for value in variable.numpy()]


@of("tensorflow")
def python_floats_under_float64() -> float:
    """What 0.9 becomes when it is cast to float64."""
    import keras

    return float(keras.ops.cast(0.9, "float64"))


@of("tensorflow")
def nadam_decay_under_float64() -> list[float]:
    """Errors of Nadam's first step in float64, by its rule with 0.96 and with float32's 0.96."""
    import keras

    keras.config.set_floatx("float64")
    variable = keras.Variable([1.0], dtype="float64")
    b1, b2 = np.float64(0.9), np.float64(0.999)
    optimizer = keras.optimizers.Nadam(0.125, beta_1=b1, beta_2=b2, epsilon=0.0)
    optimizer.apply([keras.ops.array([0.5], dtype="float64")], [variable])
    errors = []
    for decay in (0.96, float(np.float32(0.96))):
        product, mu, mu_next = (
            b1 * (1.0 - 0.5 * 0.96),
            b1 * (1.0 - 0.5 * decay),
            b1 * (1.0 - 0.5 * decay**2),
        )
        ahead = mu_next * (1.0 - b1) * 0.5 / (1.0 - product * mu_next) + (1.0 - mu) * 0.5 / (
            1.0 - product
        )
        errors.append(float(abs(variable.numpy()[0] - (1.0 - 0.125 * ahead / 0.5))))
    return errors


@of("tensorflow")
def adam_step_at_epsilon() -> float:
    """Adam's first step, in learning rates, at a gradient of epsilon; one half by Algorithm 1."""
    import keras

    variable = keras.Variable([0.0])
    keras.optimizers.Adam(1.0, epsilon=1e-4).apply([keras.ops.array([1e-4])], [variable])
    return -float(variable.numpy()[0])


@of("tensorflow")
def first_keras_adam_step_in_float32() -> float:
    """Relative error of the first step, which is the learning rate but for epsilon."""
    import keras

    variable = keras.Variable([0.0], dtype="float32")
    keras.optimizers.Adam(1.0, epsilon=0.0).apply(
        [keras.ops.array([1.0], dtype="float32")], [variable]
    )
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
        tf.function(
            lambda: optimizer.apply([tf.ones(1, tf.float64)], [variable]), autograph=False
        )()
    except NotImplementedError as error:
        return str(error)
    return ""


@of("tensorflow")
def momentum_under_a_schedule() -> float:
    """The second of two steps of equal gradients when the rate is 1, then 0; 0 by the paper."""
    import keras

    variable = keras.Variable([0.0])
    optimizer = keras.optimizers.SGD(1.0, momentum=0.9)
    optimizer.apply([keras.ops.array([1.0])], [variable])
    before = float(variable.numpy()[0])
    optimizer.learning_rate = 0.0
    optimizer.apply([keras.ops.array([1.0])], [variable])
    return float(variable.numpy()[0]) - before


@of("tensorflow")
def plateau_callback_reduces_after() -> int:
    """Epochs without improvement until the rate falls, with a patience of 2."""
    from types import SimpleNamespace

    import keras

    callback, optimizer = keras.callbacks.ReduceLROnPlateau(patience=2), keras.optimizers.SGD(1.0)
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    callback.on_train_begin()
    callback.on_epoch_end(0, {"val_loss": 1.0})
    for waited in range(1, 11):
        callback.on_epoch_end(waited, {"val_loss": 1.0})
        if float(keras.ops.convert_to_numpy(optimizer.learning_rate)) < 1.0:
            return waited
    return 0


# Optax


@of("jax")
def plateau_transformation_reduces_after() -> int:
    """Values without improvement until updates are scaled down, with a patience of 2."""
    import jax.numpy as jnp
    import optax

    plateau = optax.contrib.reduce_on_plateau(patience=2)
    state = plateau.init(jnp.zeros(1))
    _, state = plateau.update(jnp.ones(1), state, value=1.0)
    for waited in range(1, 11):
        _, state = plateau.update(jnp.ones(1), state, value=1.0)
        if float(state.scale) < 1.0:
            return waited
    return 0


@of("jax")
def optax_radam_rectified_from() -> int:
    """See rectified_from."""
    import jax.numpy as jnp
    import optax

    optimizer = optax.radam(1.0)
    states = [optimizer.init(jnp.zeros(1))]

    def step() -> float:
        update, state = optimizer.update(jnp.ones(1), states[-1])
        states.append(state)
        return float(update[0])

    return rectified_from(step)


@of("jax")
def nadam_first_step() -> float:
    """For a gradient of 1, in learning rates, without epsilon."""
    import jax.numpy as jnp
    import optax

    optimizer = optax.nadam(1.0, eps=0.0)
    return -float(optimizer.update(jnp.ones(1), optimizer.init(jnp.zeros(1)))[0][0])


@of("jax")
def schedule_free_weight_of_the_second_iterate() -> float:
    """Share of the second of two iterates in the average, at a constant rate and beta2 0.999."""
    import jax.numpy as jnp
    import optax

    optimizer, y = optax.contrib.schedule_free_adamw(1e-3, b1=0.5, b2=0.999), jnp.ones(1)
    state = optimizer.init(y)
    averages = []
    for _ in range(2):
        updates, state = optimizer.update(jnp.ones(1), state, y)
        y = optax.apply_updates(y, updates)
        averages.append(optax.contrib.schedule_free_eval_params(state, y))
    # x_2 = (1 - share) x_1 + share z_2
    return float(((averages[1] - averages[0]) / (state.z - averages[0]))[0])


@of("jax")
def ademamix_step_without_warm_ups() -> float:
    """First step for a gradient of 1, in learning rates: 1 + alpha (1 - b3), alpha 5, b3 0.9."""
    import jax.numpy as jnp
    import optax

    optimizer = optax.contrib.ademamix(1.0, b3=0.9, alpha=5.0, eps=0.0)
    return -float(optimizer.update(jnp.ones(1), optimizer.init(jnp.zeros(1)), jnp.zeros(1))[0][0])


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
    """Largest second moment after gradients of 1 and 999 of 0.001, over the uncorrected one."""
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
    rectifier = np.sqrt(
        (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    )
    return -float(update[0]) / float(rectifier) - 1.0


@of("jax")
def first_optax_adam_step_in_float32() -> float:
    """Relative error of the first step, which is the learning rate but for epsilon."""
    import jax.numpy as jnp
    import optax

    optimizer = optax.adam(1.0, eps=0.0)
    update, _ = optimizer.update(jnp.ones(1), optimizer.init(jnp.zeros(1)))
    return -float(update[0]) - 1.0


@of("jax")
def adafactor_decay_dtype() -> str:
    """dtype of the default decay of the second moment under 64-bit types."""
    import jax
    import optax
    from optax._src.factorized import _decay_rate_pow

    assert optax.scale_by_factored_rms.__module__.endswith("factorized")
    with jax.enable_x64(True):
        return str(_decay_rate_pow(3).dtype)


@of("jax")
def adafactor_of_a_small_matrix() -> int:
    """Numbers of Adafactor's second moment of a matrix of 100 x 200; 300 by the paper."""
    import jax
    import jax.numpy as jnp
    import optax

    state = optax.adafactor(0.1).init(jnp.ones((100, 200)))
    return sum(leaf.size for leaf in jax.tree.leaves(state) if leaf.size > 1)


@of("jax")
def adan_weight_of_the_change() -> float:
    """Share of the gradient's change that Adan adds in the squares of step 2; 0.92 by the paper."""
    import jax.numpy as jnp
    import optax

    optimizer = optax.scale_by_adan(b1=0.98, b2=0.92, b3=0.99, eps=0.0)
    _, state = optimizer.update(jnp.ones(1), optimizer.init(jnp.zeros(1)))
    _, state = optimizer.update(jnp.full(1, 2.0), state)
    squared = (float(state.n[0]) - 0.99 * 0.01) / 0.01
    return squared**0.5 - 2.0


@of("jax")
def yogi_without_a_gradient() -> float:
    """Yogi's first update, in learning rates, for a gradient of zero."""
    import jax.numpy as jnp
    import optax

    optimizer = optax.yogi(1.0)
    return float(optimizer.update(jnp.zeros(1), optimizer.init(jnp.zeros(1)))[0][0])


@of("jax")
def lars_ratio_of_a_zero_parameter() -> float:
    """First update of a parameter at zero over rate times gradient; the coefficient is 0.001."""
    import jax.numpy as jnp
    import optax

    optimizer, parameters = optax.lars(1.0), jnp.zeros(1)
    return float(optimizer.update(jnp.ones(1), optimizer.init(parameters), parameters)[0][0])


@of("jax")
def lbfgs_in_a_valley_that_bends_down() -> float:
    """Inner product of gradient and second update at negative curvature between the two steps."""
    import jax.numpy as jnp
    import optax

    optimizer, place = optax.lbfgs(0.1, linesearch=None), jnp.zeros(1)
    state = optimizer.init(place)
    for slope in (-1.0, -2.0):
        update, state = optimizer.update(jnp.full(1, slope), state, place)
        place = place + update
    return float(update[0]) * -2.0


def main() -> None:
    """Prints what every function of the framework finds."""
    framework = sys.argv[1]
    found: dict[str, Any] = {function.__name__: function() for function in FACTS[framework]}
    print(json.dumps({"versions": load_registry().frameworks[framework].versions(), **found}))


if __name__ == "__main__":
    main()

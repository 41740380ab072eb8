"""Keras' optimizers stepped by hand: prints JSON, check -> "" or the failure. A program of its own,
because one process holds one framework."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from gradrace.adapters.numpy.instance import rule_maker
from gradrace.adapters.tensorflow import ADAPTER
from gradrace.importpath import ImportPath
from gradrace.stepping.instance import Maker, Making
from gradrace.stepping.scenario import Evaluate, Scenario, Step, run
from hand_stepped import (
    START,
    STEPS,
    course,
    file_of,
    not_applicable,
    refused,
    resumes,
    same,
    script_prints,
)
from lane_runs import print_found
from runs import REGISTRY

MINE = file_of(
    textwrap.dedent("""
    import keras

    class Plain(keras.optimizers.Optimizer):
        def __init__(self, factor=1.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, self.factor * learning_rate * gradient)

    class Matrices(Plain):
        def update_step(self, gradient, variable, learning_rate):
            if len(variable.shape) != 2:
                raise ValueError("matrices only")
            super().update_step(gradient, variable, learning_rate)

    def factory(learning_rate, factor=3.0):
        return Plain(learning_rate=learning_rate, factor=factor)
    """)
)


def made(name: str, **hyper: Any) -> Maker:
    return ADAPTER.maker(ImportPath.parse(f"keras:keras.optimizers.{name}"), hyper)


def mine(name: str, **hyper: Any) -> Maker:
    return ADAPTER.maker(ImportPath.parse(f"keras:{MINE}:{name}"), hyper)


def scripts() -> None:
    for maker, making in (
        (made("SGD", momentum=0.9, nesterov=True), Making(0.01)),
        (made("LossScaleOptimizer"), Making(0.01)),
        (made("AdamW", weight_decay=0.3), Making(0.01, {"use_ema": True}, "float32")),
        (made("Lion"), Making(0.01, dtype="bfloat16")),
        (made("Adam"), Making(0.01, variant="graph")),
        (mine("factory"), Making(0.01)),
    ):
        script_prints(maker, making)


def resumed() -> None:
    for maker in (made("Nadam"), made("LossScaleOptimizer"), made("Adafactor")):
        resumes(maker, Making(0.01))
    resumes(made("SGD", momentum=0.9), Making(0.01, dtype="bfloat16"))


def digits_of_float64() -> None:
    """Python's floats, given or by default, would be off by 1e-8 and more of the rule."""
    rule = rule_maker(REGISTRY.optimizers["momentum"], {"momentum": 0.9})
    found = course(made("SGD", momentum=0.9), Making(0.01))
    assert same(found, course(rule, Making(0.01)), 1e-15)
    first, second = np.zeros((4, 3)), np.zeros((4, 3))
    weights = START["dense.kernel"]
    for step, after in enumerate(course(made("Adam"), Making(0.01)).steps, 1):
        gradient = STEPS[step - 1].gradients["dense.kernel"]
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        rate = 0.01 * np.sqrt(1.0 - 0.999**step) / (1.0 - 0.9**step)
        weights = weights - rate * first / (np.sqrt(second) + 1e-7)
        off = np.abs(after["dense.kernel"] - weights).max()
        assert off < 1e-14, off


def variants() -> None:
    maker = made("Adam")
    plain = course(maker, Making(0.01))
    assert maker.variants() == ("graph", "compiled")
    for variant in maker.variants():
        found = course(maker, Making(0.01, variant=variant))
        assert same(found, plain, 1e-14)


def absent_gradients() -> None:
    absent = Step({**STEPS[0].gradients, "dense.bias": None})
    found = run(made("Adam"), Scenario(START, Making(0.01), (absent, STEPS[1]))).steps
    assert np.array_equal(found[0]["dense.bias"], START["dense.bias"])
    assert not np.array_equal(found[1]["dense.bias"], START["dense.bias"])


def averages() -> None:
    """use_ema: the average of the weights is what a user evaluates."""
    maker = made("SGD", use_ema=True, ema_momentum=0.75)
    actions = (*STEPS[:2], Evaluate(), STEPS[2])
    found = run(maker, Scenario(START, Making(0.01), actions))
    first, second = (weights["dense.kernel"] for weights in found.steps[:2])
    average = found.evaluated[0]["dense.kernel"]
    assert np.allclose(average, 0.75 * first + 0.25 * second, rtol=0.0, atol=1e-15)
    assert same(found, run(made("SGD"), Scenario(START, Making(0.01), STEPS[:3])))


def states() -> None:
    found = course(made("Nadam"), Making(0.01)).state
    assert found.keys() == {
        *("iteration", "variable", "dense.kernel.momentum", "dense.kernel.velocity"),
        *("dense.bias.momentum", "dense.bias.velocity"),
    }
    assert found["iteration"] == len(STEPS) and found["dense.kernel.velocity"].shape == (4, 3)


def wrappers() -> None:
    maker = made("LossScaleOptimizer")
    facts = maker.facts()
    assert (facts.inner, facts.rate_argument) == ("keras.optimizers.SGD", None)
    assert same(course(maker, Making(0.01)), course(made("SGD"), Making(0.01)))
    other = made("LossScaleOptimizer", inner_optimizer="keras.optimizers.Adam")
    assert same(course(other, Making(0.01)), course(made("Adam"), Making(0.01)))


def scaled_losses() -> None:
    scaled = made("SGD", loss_scale_factor=8.0)
    assert same(course(scaled, Making(0.01)), course(made("SGD"), Making(0.01)))


def facts() -> None:
    found = made("AdamW").facts()
    assert found.distribution == f"keras {keras.__version__}"
    assert (found.label, found.rate_argument) == ("keras.optimizers.AdamW", "learning_rate")
    assert found.defaults["weight_decay"] == 0.004 and found.defaults["clipnorm"] is None
    assert not found.matrices_only and "apply()" in found.drive


def files() -> None:
    plain = made("SGD")
    assert same(course(mine("Plain"), Making(0.01)), course(plain, Making(0.01)))
    assert same(course(mine("factory"), Making(0.01)), course(plain, Making(0.03)), 1e-15)
    assert mine("Matrices").facts().matrices_only and not mine("Plain").facts().matrices_only


def impossible() -> None:
    maker = made("SGD")
    not_applicable(maker, Making(0.01, strided=True))
    not_applicable(maker, Making(0.01, resting=("dense.bias",)))


def bad_paths() -> None:
    for path, hyper, words in (
        ("keras.optimizers.Addam", {}, "did you mean 'Adam'?"),
        ("keras.optimizers.Optimizer", {}, "abstract"),
        ("keras.optimizers.MultiOptimizer", {}, "nobody gave: optimizer_map"),
        ("keras.optimizers.OptimizerMap", {}, "no Keras optimizer"),
        ("keras.optimizers.Adam", {"beta1": 0.9}, "did you mean 'beta_1'?"),
        ("keras.layers.Dense", {}, "no Keras optimizer"),
    ):
        refused(ADAPTER, f"keras:{path}", hyper, words)


CHECKS: tuple[Callable[[], None], ...] = (
    *(scripts, resumed, digits_of_float64, variants, absent_gradients, averages, states),
    *(wrappers, scaled_losses, facts, files, impossible, bad_paths),
)


if __name__ == "__main__":
    print_found(CHECKS)

"""Optax' optimizers stepped by hand: prints JSON, check -> "" or the failure. A program of its own,
because one process holds one framework."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
from gradrace.adapters.jax import ADAPTER
from gradrace.adapters.numpy.instance import rule_maker
from gradrace.importpath import ImportPath
from gradrace.stepping.instance import Maker, Making, NotApplicable
from gradrace.stepping.scenario import Evaluate, Scenario, SetRate, run
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
    import optax

    def sgd(max_lr, factor=1.0):
        return optax.sgd(max_lr * factor)

    def handed_on(momentum=None, **rest):
        return optax.sgd(momentum=momentum, **rest)

    def matrices(learning_rate):
        def update(gradients, state, tensors=None):
            if any(tensor.ndim != 2 for tensor in gradients.values()):
                raise ValueError("matrices only")
            return optax.sgd(learning_rate).update(gradients, state, tensors)
        return optax.GradientTransformation(optax.sgd(learning_rate).init, update)
    """)
)


def made(name: str, **hyper: Any) -> Maker:
    return ADAPTER.maker(ImportPath.parse(f"optax:optax.{name}"), hyper)


def mine(name: str, **hyper: Any) -> Maker:
    return ADAPTER.maker(ImportPath.parse(f"optax:{MINE}:{name}"), hyper)


def scripts() -> None:
    for maker, making in (
        (made("sgd", momentum=0.9, nesterov=True), Making(0.01)),
        (made("scale_by_adam", b1=0.8), Making(0.01)),
        (made("contrib.schedule_free", base_optimizer="optax.adam"), Making(0.01)),
        (made("contrib.momo"), Making(0.01, {"beta": 0.8}, "float32")),
        (made("lion"), Making(0.01, dtype="bfloat16")),
        (made("adam"), Making(0.01, variant="op by op")),
        (mine("sgd"), Making(0.01)),
    ):
        script_prints(maker, making)


def resumed() -> None:
    for maker in (made("adam"), made("contrib.schedule_free_sgd"), made("noisy_sgd", key=3)):
        resumes(maker, Making(0.01))
    resumes(made("sgd", momentum=0.9), Making(0.01, dtype="bfloat16"))


def digits_of_float64() -> None:
    rule = rule_maker(REGISTRY.optimizers["lion"], {"weight_decay": 0.0})
    found = course(made("lion", weight_decay=0.0), Making(0.01))
    assert same(found, course(rule, Making(0.01)), 1e-15)


def variants() -> None:
    maker = made("adam")
    assert maker.variants() == ("op by op",)
    found = course(maker, Making(0.01, variant="op by op"))
    assert same(found, course(maker, Making(0.01)), 1e-14)


def rates() -> None:
    """A rate set between two steps is that of the next, and the state stays."""
    maker = made("sgd", momentum=0.5)
    found = run(maker, Scenario(START, Making(1.0), (STEPS[0], SetRate(2.0), STEPS[1]))).steps
    first, second = (each.gradients["dense.bias"] for each in STEPS[:2])
    expected = found[0]["dense.bias"] - 2.0 * (second + 0.5 * first)
    assert np.allclose(found[1]["dense.bias"], expected, rtol=0.0, atol=1e-14)


def extra_arguments() -> None:
    """A Polyak step of the loss sum(gradient * tensor), which an update is told the value of."""
    maker = made("polyak_sgd", max_learning_rate=10.0)
    facts = maker.facts()
    assert facts.rate_argument == "max_learning_rate" and "value" in facts.drive
    gradient = STEPS[0].gradients
    value = sum(float((gradient[key] * START[key]).sum()) for key in START)
    square = sum(float((gradient[key] ** 2).sum()) for key in START)
    rate = min(0.5, value / square)
    found = run(made("polyak_sgd"), Scenario(START, Making(0.5), STEPS[:1])).steps[0]
    for key in START:
        assert np.allclose(found[key], START[key] - max(rate, 0.0) * gradient[key], atol=1e-12)


def averages() -> None:
    """Schedule-free: the average is evaluated, and training goes on unmoved."""
    maker = made("contrib.schedule_free_sgd")
    seen = run(maker, Scenario(START, Making(0.1), (*STEPS[:2], Evaluate(), STEPS[2])))
    assert same(seen, run(maker, Scenario(START, Making(0.1), STEPS[:3])))
    rule = rule_maker(REGISTRY.optimizers["schedule_free_sgd"], {"beta": 0.9})
    expected = run(rule, Scenario(START, Making(0.1), (*STEPS[:2], Evaluate())))
    for key in START:
        assert np.allclose(seen.evaluated[0][key], expected.evaluated[0][key], atol=1e-13)
        assert not np.allclose(seen.evaluated[0][key], seen.steps[1][key])


def states() -> None:
    found = course(made("adam"), Making(0.01)).state
    assert found.keys() == {
        *("count", "dense.kernel.mu", "dense.kernel.nu", "dense.bias.mu", "dense.bias.nu"),
    }
    assert found["count"] == len(STEPS) and found["dense.kernel.nu"].shape == (4, 3)


def chained() -> None:
    """A transformation without a learning rate is driven as Optax' own aliases are built."""
    maker = made("scale_by_adam")
    assert maker.facts().rate_argument is None and "scale_by_learning_rate" in maker.facts().drive
    assert same(course(maker, Making(0.01)), course(made("adam"), Making(0.01)))


def wrappers() -> None:
    maker = made("contrib.mechanize", weight_decay=0.0)
    assert maker.facts().inner == "optax.sgd"
    other = made("contrib.mechanize", weight_decay=0.0, base_optimizer="optax.adam")
    assert other.facts().inner == "optax.adam"
    assert not same(course(maker, Making(0.01)), course(other, Making(0.01)))
    inside = course(made("flatten"), Making(0.01))
    assert same(inside, course(made("sgd"), Making(0.01)))


def files() -> None:
    plain = course(made("sgd"), Making(0.03))
    assert same(course(mine("sgd", factor=3.0), Making(0.01)), plain, 1e-15)
    assert same(course(mine("handed_on"), Making(0.03)), plain)
    assert mine("matrices").facts().matrices_only and not mine("sgd").facts().matrices_only


def impossible() -> None:
    maker = made("sgd")
    not_applicable(maker, Making(0.01, strided=True))
    not_applicable(maker, Making(0.01, resting=("dense.bias",)))
    try:
        maker.make(START, Making(0.01)).step({**STEPS[0].gradients, "dense.bias": None})
    except NotApplicable:
        return
    raise AssertionError("a gradient may be absent")


def bad_paths() -> None:
    for path, hyper, words in (
        ("optax.addam", {}, "did you mean"),
        ("optax.contrib.dpsgd", {}, "nobody gave: l2_norm_clip, noise_multiplier, seed"),
        ("optax.adam", {"eps_rot": 0.9}, "did you mean 'eps_root'?"),
        ("optax.EmptyState", {}, "no Optax optimizer"),
        ("optax.apply_updates", {}, "nobody gave: params, updates"),
    ):
        refused(ADAPTER, f"optax:{path}", hyper, words)


CHECKS: tuple[Callable[[], None], ...] = (
    *(scripts, resumed, digits_of_float64, variants, rates, extra_arguments, averages, states),
    *(chained, wrappers, files, impossible, bad_paths),
)


if __name__ == "__main__":
    print_found(CHECKS)

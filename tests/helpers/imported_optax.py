"""Optax' optimizers by import path in real training: prints JSON, check -> "" or the failure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from gradrace.adapters.jax.imported import problem_of
from gradrace.spec import TimingSpec
from hand_stepped import file_of
from lane_runs import print_found
from sessions_by_path import STEPS, Trainee, apart

MINE = file_of(
    textwrap.dedent("""
    import optax

    def peak(max_lr, momentum=0.9):
        return optax.sgd(max_lr, momentum=momentum)

    def handed_on(**rest):
        return optax.sgd(**rest)

    def falling(learning_rate):
        return optax.chain(optax.identity(), optax.contrib.schedule_free_sgd(learning_rate))
    """)
)
TIMED = {"measure": "timing", "timing": TimingSpec(warmup_steps=1, blocks=1, block_steps=1)}


def trainee(name: str, hyper: dict[str, Any] | None = None, **fields: Any) -> Trainee:
    return Trainee(f"optax:optax.{name}", hyper, **fields)


def mine(name: str) -> Trainee:
    return Trainee(f"optax:{MINE}:{name}")


def forms() -> None:
    """A function without a learning rate, one of another name, and one with **kwargs."""
    plain = trainee("sgd").weights()
    assert apart(trainee("identity").weights(), plain) < 1e-12
    assert apart(mine("handed_on").weights(), plain) == 0.0
    assert apart(mine("peak").weights(), trainee("sgd", {"momentum": 0.9}).weights()) == 0.0


def asks_for_the_loss() -> None:
    """Its update is no part of a step that can be timed alone."""
    for name, parts in (("contrib.momo", 0), ("lion", 3)):
        timed = trainee(name, mode="jit", **TIMED).opened()
        assert len(timed.parts()) == parts, (name, timed.parts())
        timed.close()


def arguments_of_any_kind() -> None:
    """Tuples, texts and truth values reach the function, and programs of others are not taken."""
    betas = [trainee("contrib.prodigy", {"betas": (0.9, b)}).weights() for b in (0.9, 0.99)]
    assert apart(*betas) > 0.0
    plain, nesterov = (
        trainee("sgd", {"momentum": 0.9, "nesterov": nesterov}).weights() for nesterov in (0, True)
    )
    assert apart(plain, nesterov) > 0.0
    named = trainee("rmsprop", {"initial_scale": 0.5, "centered": True}).weights()
    assert apart(named, trainee("rmsprop", {"centered": True}).weights()) > 0.0


def evaluation() -> None:
    """The average of schedule-free training is found in the state, and evaluated."""
    each = mine("falling")
    session = each.opened()
    session.train(range(STEPS))
    found, weights = session.evaluate("validation"), session.weights()
    with jax.enable_x64(True):
        leaves = jax.tree.leaves(session._programs.state(session._held), is_leaf=_is)
        (state,) = filter(_is, leaves)
        average = optax.contrib.schedule_free_eval_params(state, weights)
    other = each.opened({name: np.array(value) for name, value in average.items()})
    assert abs(other.evaluate("validation").loss - found.loss) < 1e-12


def _is(leaf: Any) -> bool:
    return isinstance(leaf, optax.contrib.ScheduleFreeState)


def lanes() -> None:
    for each in (trainee("contrib.prodigy", {"betas": (0.9, 0.95)}), trainee("polyak_sgd")):
        found, alone = each.lanes()
        assert all(apart(*pair) < 1e-12 for pair in zip(found, alone, strict=True))


def problems() -> None:
    for fine in (optax.lion, optax.polyak_sgd, optax.scale_by_adam, optax.contrib.schedule_free):
        assert problem_of(fine, {}) == ""
    assert problem_of(optax.contrib.schedule_free, {"base_optimizer": "optax.adam"}) == ""
    for bad in (optax.EmptyState, optax.apply_updates, optax.constant_schedule):
        assert problem_of(bad, {}).startswith("no optimizer"), bad


CHECKS: tuple[Callable[[], None], ...] = (
    *(forms, asks_for_the_loss, arguments_of_any_kind, evaluation, lanes, problems),
)


if __name__ == "__main__":
    print_found(CHECKS)

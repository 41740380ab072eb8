"""What JAX's populations do beyond tests/helpers/lanes.py, check by check.

`python tests/helpers/populations_jax.py` prints JSON: check -> "", or the failure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gradrace.adapters.jax import ADAPTER, population
from gradrace.layers import Dropout
from gradrace.optimizer import Binding, Hyper, Optimizer, StateCorrection
from lane_runs import LANES, LINEAR, NATIVE, RATE, SMALL, STEPS, Lanes, print_found
from runs import REGISTRY

OF = Lanes(ADAPTER, "scan")
run_of, seeds, key_of, refusal = OF.run_of, OF.seeds, OF.key_of, OF.refusal
together, alone, assert_as_alone = OF.together, OF.alone, OF.assert_as_alone


def declared(target: Any, **fields: Any) -> Optimizer:
    """A user's, with one hyperparameter that a factory without it does not get."""
    hyper = {"factor": Hyper(2.0, "-", 0.0)} if "canonical" in fields else {}
    return Optimizer("mine", "Mine", "-", RATE, hyper, {"jax": Binding(lambda: target, **fields)})


def stateless(update: Callable[..., Any]) -> Any:
    """A factory of an optimizer whose updates are update(gradient, rate)."""

    def mine(learning_rate: Any) -> Any:
        def updated(gradients: Any, state: Any, params: Any = None) -> Any:
            return jax.tree.map(lambda g: update(g, learning_rate), gradients), state

        return optax.GradientTransformation(lambda params: (), updated)

    return mine


# -- which runs share a program --


def keys() -> None:
    """Numbers, schedules and seeds do not tell runs apart; what is compiled in does."""
    same = [
        run_of(),
        run_of(seed=3, rate=0.02, hyper={"beta1": 0.7}, kind="warmup_cosine"),
        run_of(change={"model": (*SMALL.model[:2], Dropout(rate=0.2), SMALL.model[3])}),
    ]
    assert len(set(map(key_of, same))) == 1
    other = [
        run_of(rule="native"),
        run_of(dtype="float32"),
        run_of(change={"batch_size": 8}),
        run_of(change={"label_smoothing": 0.1}),
        run_of(task=NATIVE),
    ]
    assert len(set(map(key_of, [*same, *other]))) == 1 + len(other)


def corrections_of_some_lanes() -> None:
    """A correction that one schedule does not need is in the program, and does nothing there."""
    why = {"name": "halves", "why": "-", "state": "trace"}
    halves = StateCorrection(**why, scale=lambda h, lr: np.where(lr < lr[0], 0.5, 1.0))
    optimizer = declared(
        lambda learning_rate, factor: optax.sgd(learning_rate, momentum=0.4 * factor),
        canonical=lambda hyper: {"factor": hyper["factor"]},
        corrections=(halves,),
    )
    runs = [run_of(optimizer), run_of(optimizer, kind="cosine", seed=1)]
    assert len({key_of(run, optimizer) for run in runs}) == 1
    assert_as_alone(runs, optimizer)


def refused() -> None:
    """The reason is for people."""
    assert "batches come from the host" in refusal(run_of(input="pipeline"))
    assert "norms" in refusal(run_of(diagnose=True))
    branches = declared(stateless(lambda g, rate: -rate * g if g.sum() > 0.0 else g))
    assert "jax.vmap cannot take this optimizer" in refusal(run_of(branches), branches)
    shape = lambda g: jax.ShapeDtypeStruct(g.shape, g.dtype)
    calls = declared(stateless(lambda g, rate: jax.pure_callback(lambda x: -0.01 * x, shape(g), g)))
    reason = refusal(run_of(calls), calls)
    assert "jax.vmap cannot take this optimizer" in reason and "\n" not in reason, reason
    # By itself it trains.
    session = alone(run_of(calls), calls)
    session.train(range(STEPS))
    assert np.isfinite(session.losses()).all()
    wrong = declared(stateless(lambda g, rate: -rate * g), evaluation=f"{__name__}.evaluates_wrong")
    assert "no such state" in refusal(run_of(wrong), wrong)


def evaluates_wrong(state: Any, parameters: Any) -> Any:
    raise RuntimeError("no such state")


# -- what a lane computes --


def native_rules() -> None:
    """Of Optax' own, one that estimates a Hessian with its own random numbers among them."""
    for name in ("adam", "sophia"):
        optimizer = REGISTRY.optimizers[name]
        runs = seeds(2, optimizer, LINEAR, rule="native", rate=0.01)
        assert_as_alone(runs, optimizer)


def native_dropout() -> None:
    """Every lane has the keys of its own seed."""
    assert_as_alone(seeds(3, task=NATIVE))


def line_search() -> None:
    """Lanes whose searches take different numbers of evaluations."""
    optimizer = declared(lambda learning_rate: optax.lbfgs(), asks_for_loss=True)
    assert key_of(run_of(optimizer), optimizer) == key_of(run_of(optimizer, seed=1), optimizer)
    assert_as_alone(seeds(3, optimizer, LINEAR), optimizer)


def state_bytes() -> None:
    """None without state; factors and a scalar for each lane are counted as by a session."""
    for name, known in (("sgd", 0), ("adafactor", None), ("prodigy", None)):
        optimizer = REGISTRY.optimizers[name]
        (run,) = seeds(1, optimizer)
        found = together([run], optimizer).state_bytes()
        assert found == alone(run, optimizer).state_bytes()
        assert known is None or found == known


def bfloat16() -> None:
    """Numbers of a lane are as weakly typed as Python's, so that a step computes in bfloat16."""
    both = together(seeds(2, dtype="bfloat16"))
    numbers = [*both._stage.first().of_run, *both._stage.amounts.values()]
    assert len(numbers) > 2 and all(each.weak_type for each in numbers)
    both.train(range(STEPS))
    kinds = {name: leaf.dtype.name for name, leaf in both._held[0].items()}
    assert set(kinds.values()) == {"bfloat16"}, kinds
    assert {value.dtype for value in both.weights(1).values()} == {np.dtype(np.float32)}
    assert np.isfinite(both.losses()).all()


# -- how it is driven --


def little_room() -> None:
    """Inputs that come in pieces, and evaluations of a few rows, give the same."""
    # Rows of the batch, masks, and one number, the learning rate.
    a_step = 16 * 4 + 16 * 6 + 8
    runs, usual = seeds(3), (population._STAGED_BYTES, population._EVALUATED_BYTES)

    def trained() -> tuple[int, np.ndarray, np.ndarray]:
        both = together(runs)
        pieces = list(both._stage.pieces(range(STEPS)))
        both.train(range(STEPS))
        return len(pieces), both.losses(), np.array(both.evaluate("validation"))

    whole = trained()
    try:
        population._STAGED_BYTES, population._EVALUATED_BYTES = 3 * LANES * a_step, 1
        parts = trained()
    finally:
        population._STAGED_BYTES, population._EVALUATED_BYTES = usual
    assert (whole[0], parts[0]) == (1, 3), (whole[0], parts[0])
    np.testing.assert_allclose(parts[1], whole[1], 1e-13, 1e-13)
    np.testing.assert_allclose(parts[2], whole[2], 1e-13, 1e-13)


def one_lane_slower() -> None:
    """New rates reach their lane alone; reading weights in between moves nothing."""
    runs = seeds(3)
    plain, changed = together(runs), together(runs)
    for both in (plain, changed):
        both.train(range(0, 4))
        if both is changed:
            before = both.weights(0)
            both.set_learning_rates(1, np.full(STEPS, RATE / 2.0))
        both.train(range(4, STEPS))
    ends = [[both.weights(lane) for lane in range(3)] for both in (plain, changed)]
    same = [
        all(np.array_equal(one[name], other[name]) for name in one)
        for one, other in zip(*ends, strict=True)
    ]
    assert same == [True, False, True], same
    assert not any(np.array_equal(before[name], ends[1][0][name]) for name in before)


def compiled_once() -> None:
    """Any number of runs, and any of their numbers, use the same program."""
    used = []
    for runs in (seeds(2), seeds(4, rate=0.01), seeds(1, hyper={"beta1": 0.5}, kind="cosine")):
        both = together(runs)
        both.train(range(STEPS))
        both.evaluate("test")
        assert both.losses().shape == (len(runs), STEPS) and both.losses().shape == (len(runs), 0)
        used.append(both._programs)
        both.close()
    assert used[0] is used[1] is used[2] and used[0].train._cache_size() == 1


def memory() -> None:
    """Whatever the device says when it is full becomes a MemoryError; other errors stay."""
    both = together(seeds(1))

    def full(*_: Any) -> Any:
        return jax.jit(lambda: jnp.zeros(1 << 46))().block_until_ready()

    def broken(*_: Any) -> Any:
        return jax.pure_callback(lambda: 1 / 0, jax.ShapeDtypeStruct((), np.float32))

    class Programs:
        train = evaluate = staticmethod(full)

    both._programs = Programs
    for call in (lambda: both.train(range(4)), lambda: both.evaluate("test")):
        try:
            call()
        except MemoryError as error:
            assert "Out of memory" in str(error)
        else:
            raise AssertionError("it had room")
    Programs.train = staticmethod(lambda *given: (jax.jit(broken)(), jnp.zeros(2)))
    try:
        both.train(range(4))
        both.sync()
    except MemoryError as error:
        raise AssertionError("that was not the memory") from error
    except jax.errors.JaxRuntimeError:
        return
    raise AssertionError("it was not broken")


CHECKS: tuple[Callable[[], None], ...] = (
    *(compiled_once, keys, corrections_of_some_lanes, refused, native_rules, native_dropout),
    *(line_search, state_bytes, bfloat16, little_room, one_lane_slower, memory),
)


if __name__ == "__main__":
    print_found(CHECKS)

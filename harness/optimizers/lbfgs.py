"""L-BFGS without line search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated

# Pairs of less curvature are left out, as in torch, which fixes this limit.
_LEAST_CURVATURE = 1e-10


def _init(p: Array, hyper: Hypers) -> State:
    empty = np.zeros((0, p.size))
    return {"moves": empty, "changes": empty, "weights": p.copy(), "gradient": np.zeros_like(p)}


def _remembered(p: Array, g: Array, state: State, t: int, hyper: Hypers) -> tuple[Array, Array]:
    """Moves and changes of the gradient [pairs, n], with the last step's if they show curvature."""
    move, change = p - state["weights"], g - state["gradient"]
    if t == 1 or move @ change <= _LEAST_CURVATURE:
        return state["moves"], state["changes"]
    memory = int(hyper["memory"])
    return (
        np.vstack([state["moves"], move])[-memory:],
        np.vstack([state["changes"], change])[-memory:],
    )


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    moves, changes = _remembered(p, g, state, t, hyper)
    new = {"moves": moves, "changes": changes, "weights": p, "gradient": g}
    if not len(moves):
        return p - lr * min(1.0, 1.0 / float(np.linalg.norm(g))) * g if g.any() else p, new
    inverses = [1.0 / (s @ y) for s, y in zip(moves, changes, strict=True)]
    q, alphas = g, []
    for s, y, inverse in zip(moves[::-1], changes[::-1], inverses[::-1], strict=True):
        alphas.append(inverse * (s @ q))
        q = q - alphas[-1] * y
    q = q * (moves[-1] @ changes[-1]) / (changes[-1] @ changes[-1])
    for s, y, inverse, alpha in zip(moves, changes, inverses, alphas[::-1], strict=True):
        q = q + (alpha - inverse * (y @ q)) * s
    return p - lr * q, new


def _torch_piece() -> Callable[..., Any]:
    from ..adapters.torch.pieces import OneStepLBFGS

    return OneStepLBFGS


def _optax_piece() -> Callable[..., Any]:
    from ..adapters.jax.pieces import lbfgs

    return lbfgs


OPTIMIZER = Optimizer(
    name="lbfgs",
    title="L-BFGS",
    paper=(
        "Liu & Nocedal (1989), On the limited memory BFGS method for large scale optimization,"
        " Math. Programming 45; Nocedal & Wright (2006), Numerical Optimization, Algorithm 7.4. One"
        " step a batch of length lr, no line search; the first direction is g min(1, 1 / |g|),"
        " pairs without curvature (s.y <= 1e-10) are left out"
    ),
    learning_rate=0.1,
    hyper={
        "memory": Hyper(
            10, "pairs of moves and changes of the gradient that are kept", low=1, high=1000
        )
    },
    bindings={
        "torch": Binding(
            _torch_piece,
            lambda h: {"history_size": int(h["memory"])},
            native_target="torch.optim.LBFGS",
            asks_for_loss=True,
        ),
        "jax": Binding(
            _optax_piece,
            lambda h: {"memory": int(h["memory"])},
            native_target="optax.lbfgs",
            asks_for_loss=True,
        ),
    },
    rule=ReferenceRule(init=_init, update=_update, joint=True),
    full_batch=True,
    note=(
        "By themselves the libraries part in the first step (torch divides by the sum of"
        " magnitudes, Optax by the norm), in pairs without curvature (Optax keeps them) and in what"
        " a step is: torch takes up to 20 iterations, Optax one with a line search."
    ),
    space=SearchSpace(
        {"learning_rate": Range(1e-2, 2.0, log=True)},
        "proposed here: rates from a tenth of the default to beyond the full step of 1",
    ),
)

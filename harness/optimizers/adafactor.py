"""Adafactor: second moments as a row and a column, steps relative to the parameter's size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated


def _rms(x: Array) -> float:
    return float(np.sqrt(np.mean(x * x)))


def _init(p: Array, hyper: Hypers) -> State:
    if p.ndim < 2:
        return {"v": np.zeros_like(p)}
    return {"row": np.zeros(p.shape[:-1]), "column": np.zeros((*p.shape[:-2], p.shape[-1]))}


def _second_moment(g: Array, state: State, t: int, hyper: Hypers) -> tuple[Array, State]:
    """By two axes (Algorithm 4), full for vectors (Algorithm 5); and the new state."""
    kept, squared = 1.0 - t ** -hyper["decay_exponent"], g * g + hyper["epsilon1"]
    if g.ndim < 2:
        v = kept * state["v"] + (1.0 - kept) * squared
        return v, {"v": v}
    row = kept * state["row"] + (1.0 - kept) * squared.mean(axis=-1)
    column = kept * state["column"] + (1.0 - kept) * squared.mean(axis=-2)
    shares = row / row.mean(axis=-1, keepdims=True)
    return shares[..., :, None] * column[..., None, :], {"row": row, "column": column}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    v, state = _second_moment(g, state, t, hyper)
    step = g / np.sqrt(v)
    step = step / max(1.0, _rms(step) / hyper["clip"])
    return p - max(hyper["epsilon2"], _rms(p)) * min(lr, t**-0.5) * step, state


def _torch(hyper: Hypers) -> dict[str, Any]:
    # torch does not add epsilon1 to the squares: it keeps their mean above its eps and the estimate
    # above eps squared.
    return {
        "beta2_decay": -hyper["decay_exponent"],
        "eps": (hyper["epsilon1"] ** 0.5, hyper["epsilon2"]),
        "d": hyper["clip"],
    }


def _keras(hyper: Hypers) -> dict[str, Any]:
    return {
        "beta_2_decay": -hyper["decay_exponent"],
        "epsilon_1": hyper["epsilon1"],
        "epsilon_2": hyper["epsilon2"],
        "clip_threshold": hyper["clip"],
    }


def _optax_parts() -> Callable[..., Any]:
    from ..adapters.jax.pieces import adafactor

    return adafactor


OPTIMIZER = Optimizer(
    name="adafactor",
    title="Adafactor",
    paper=(
        "Shazeer & Stern (2018), Adafactor: Adaptive Learning Rates with Sublinear Memory Cost,"
        " arXiv:1804.04235, Algorithms 4 and 5 with the hyperparameters of Algorithm 6; the"
        " learning rate takes the place of its constant 0.01, so that rho[t] = min(lr[t], 1 /"
        " sqrt(t))"
    ),
    learning_rate=0.05,
    hyper={
        "decay_exponent": Hyper(0.8, "c in the decay 1 - t^-c of the second moment", high=1.0),
        "epsilon1": Hyper(1e-30, "added to squared gradients", low=1e-36, high=1.0),
        "epsilon2": Hyper(1e-3, "least root mean square that a parameter counts with", low=1e-30),
        "clip": Hyper(1.0, "greatest root mean square of an update before it is scaled", low=1e-30),
    },
    bindings={
        "torch": Binding("torch.optim.Adafactor", _torch),
        "tensorflow": Binding("keras.optimizers.Adafactor", _keras),
        "jax": Binding(_optax_parts, native_target="optax.adafactor"),
    },
    rule=ReferenceRule(init=_init, update=_update),
    per_tensor=True,
    note=(
        "The last two axes are factored, for convolutions too. optax.adafactor differs: it factors"
        " the two largest axes and only where both have 128 elements, has no cap of 1 / sqrt(t),"
        " and takes its decay in float32; the canonical rule builds it of Optax's own parts with"
        " these three changed. Keras keeps the full second moment beside its factors, so it saves"
        " no memory. Weight decay is left out: each library places it differently."
    ),
    space=SearchSpace(
        {"learning_rate": Range(1e-3, 1.0, log=True)},
        "proposed here: rates around the default; they are relative to the size of a parameter",
    ),
)

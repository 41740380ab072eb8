"""SOAP: Adam in the eigenbasis of Shampoo's second-moment matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated

# One matrix an axis, by its number; none for vectors.
Matrices = Mapping[str, Array]
# Of the state, which has one name a matrix.
_MOMENTS, _BASES = "moments ", "basis "


def _rotated(x: Array, bases: Matrices, back: bool = False) -> Array:
    """The tensor in the bases of its axes, or back from them."""
    for axis, basis in bases.items():
        x = np.moveaxis(np.tensordot(x, basis, axes=(int(axis), int(back))), -1, int(axis))
    return x


def _second_moments(g: Array, before: Matrices, beta: float) -> dict[str, Array]:
    unfolded = {
        axis: np.moveaxis(g, int(axis), 0).reshape(g.shape[int(axis)], -1) for axis in before
    }
    return {a: beta * before[a] + (1.0 - beta) * x @ x.T for a, x in unfolded.items()}


def _turned(v: Array, moments: Matrices, bases: Matrices) -> tuple[Array, dict[str, Array]]:
    """One power iteration towards the eigenbases, the largest eigenvalue first."""
    turned = {}
    for axis, basis in bases.items():
        product = moments[axis] @ basis
        order = np.argsort(-(basis * product).sum(axis=0), kind="stable")
        v = np.take(v, order, axis=int(axis))
        turned[axis] = np.linalg.qr(product[:, order])[0]
    return v, turned


def _init(p: Array, hyper: Hypers) -> State:
    axes = range(p.ndim) if p.ndim > 1 else ()
    moments = {f"{_MOMENTS}{axis}": np.zeros((p.shape[axis],) * 2) for axis in axes}
    return {"m": np.zeros_like(p), "v": np.zeros_like(p), **moments}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1, b2, done = hyper["beta1"], hyper["beta2"], t - 1
    moments = _second_moments(g, _matrices(state, _MOMENTS), b2)
    if done == 0:
        found = {axis: np.linalg.eigh(matrix)[1][:, ::-1] for axis, matrix in moments.items()}
        return p, _state(state["m"], state["v"], moments, found)
    bases = _matrices(state, _BASES)
    m = b1 * state["m"] + (1.0 - b1) * g
    v = b2 * state["v"] + (1.0 - b2) * _rotated(g, bases) ** 2
    step = _rotated(_rotated(m, bases) / (np.sqrt(v) + hyper["epsilon"]), bases, back=True)
    p = p - lr * (1.0 - b2**done) ** 0.5 / (1.0 - b1**done) * step
    if done % int(hyper["frequency"]) == 0:
        v, bases = _turned(v, moments, bases)
    return p * (1.0 - lr * hyper["weight_decay"]), _state(m, v, moments, bases)


def _matrices(state: State, kind: str) -> dict[str, Array]:
    return {key.removeprefix(kind): each for key, each in state.items() if key.startswith(kind)}


def _state(m: Array, v: Array, moments: Matrices, bases: Matrices) -> State:
    named = {_MOMENTS: moments, _BASES: bases}
    matrices = {f"{kind}{axis}": each for kind, of in named.items() for axis, each in of.items()}
    return {"m": m, "v": v, **matrices}


def _torch() -> Callable[..., Any]:
    from ..adapters.torch.third_party import Soap

    return Soap


def _arguments(hyper: Hypers) -> dict[str, Any]:
    return {
        "betas": (hyper["beta1"], hyper["beta2"]),
        "eps": hyper["epsilon"],
        "weight_decay": hyper["weight_decay"],
        "precondition_frequency": int(hyper["frequency"]),
    }


OPTIMIZER = Optimizer(
    name="soap",
    title="SOAP",
    paper=(
        "Vyas et al. (2024), SOAP: Improving and Stabilizing Shampoo using Adam, arXiv:2409.11321,"
        " Algorithm 3 as the authors' code (github.com/nikhilvyas/SOAP) has it: the first step only"
        " measures the gradient, bases are sorted by eigenvalue, epsilon is added to the"
        " uncorrected root, and vectors are moved by Adam"
    ),
    learning_rate=3e-3,
    hyper={
        "beta1": Hyper(0.95, "decay of the first moment", high=1.0),
        "beta2": Hyper(0.95, "decay of the second moments, in and of the bases", high=1.0),
        "epsilon": Hyper(1e-8, "added to the root of the uncorrected second moment"),
        "weight_decay": Hyper(
            0.01, "share of every parameter taken away per step and learning rate"
        ),
        "frequency": Hyper(10.0, "steps between turns of the bases, rounded down", low=1.0),
    },
    bindings={
        "torch": Binding(
            _torch,
            _arguments,
            native_target="pytorch_optimizer.SOAP",
            requires=("pytorch_optimizer",),
        ),
    },
    rule=ReferenceRule(init=_init, update=_update),
    per_tensor=True,
    note=(
        "pytorch_optimizer's class takes its QR decompositions in float32 whatever the dtype of the"
        " parameters; the canonical rule takes them in their dtype."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-4, 1e-2, log=True),
            "beta1": Range(2e-2, 0.5, log=True, below_one=True),
            "weight_decay": Range(5e-3, 1.0, log=True),
        },
        "AdamW's of Dahl et al. (2023), Benchmarking Neural Network Training Algorithms,"
        " arXiv:2306.07179: Vyas et al. too search the rate alone, around AdamW's",
    ),
)

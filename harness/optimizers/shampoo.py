"""Shampoo: a gradient between the inverse roots of its two (or more) second-moment matrices."""

from __future__ import annotations

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from ._rule import Array, Hypers, State, Updated, arguments


def _unfolded(x: Array, axis: int) -> Array:
    """The matrix with this axis as its rows."""
    return np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)


def _along(x: Array, matrix: Array, axis: int) -> Array:
    """The tensor with a symmetric matrix applied to one axis."""
    return np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis)


def _inverse_root(matrix: Array, root: float) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values ** (-1.0 / root)) @ vectors.T


def _init(p: Array, hyper: Hypers) -> State:
    return {str(axis): hyper["epsilon"] * np.eye(size) for axis, size in enumerate(p.shape)}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    unfolded = [_unfolded(g, axis) for axis in range(g.ndim)]
    state = {str(axis): state[str(axis)] + x @ x.T for axis, x in enumerate(unfolded)}
    for axis in range(p.ndim):
        g = _along(g, _inverse_root(state[str(axis)], 2.0 * p.ndim), axis)
    return p - lr * g, state


OPTIMIZER = Optimizer(
    name="shampoo",
    title="Shampoo",
    paper=(
        "Gupta, Koren & Singer (2018), Shampoo: Preconditioned Stochastic Tensor Optimization,"
        " arXiv:1802.09568, Algorithm 2 (1 for matrices): sums of statistics, roots at every step;"
        " not the distributed form of Anil et al. (2020), which grafts a step size"
    ),
    learning_rate=0.1,
    hyper={
        "epsilon": Hyper(1e-4, "share of the unit matrix in the first statistics", low=1e-30),
    },
    bindings={
        "torch": Binding(
            "pytorch_optimizer.Shampoo",
            arguments(matrix_eps="epsilon"),
            requires=("pytorch_optimizer",),
        ),
    },
    rule=ReferenceRule(init=_init, update=_update),
    per_tensor=True,
    note=(
        "Every axis has its matrix, vectors too, so a layer of n units keeps n² numbers more. By"
        " default pytorch_optimizer starts with 1e-6 for the unit matrix's share."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-2, 1.0, log=True),
            "epsilon": Range(1e-6, 1e-2, log=True),
        },
        "proposed here: a decade on either side of the default rate; the paper leaves epsilon open",
    ),
)

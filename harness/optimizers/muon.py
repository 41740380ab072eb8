"""Muon: momentum of matrices, orthogonalised; Adam for all other tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from . import adam
from ._rule import Array, Hypers, State, Updated
from ._shared import KERAS_EPSILON_HAT

# Jordan's quintic; Keras and torch have the same five steps and added 1e-7, Keras with no way to
# change the latter.
_COEFFICIENTS, _STEPS, _NORM_EPSILON = (3.4445, -4.7750, 2.0315), 5, 1e-7
# Liu et al. (2025), section 2.2: the root mean square of AdamW's updates.
RMS = 0.2


def orthogonalised(x: Array) -> Array:
    """Newton-Schulz towards the nearest matrix with orthonormal rows or columns."""
    a, b, c = _COEFFICIENTS
    wide = x.T if x.shape[0] > x.shape[1] else x
    wide = wide / (np.linalg.norm(wide) + _NORM_EPSILON)
    for _ in range(_STEPS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.T if x.shape[0] > x.shape[1] else wide


def _init(p: Array, hyper: Hypers) -> State:
    return {"buffer": np.zeros_like(p)} if p.ndim == 2 else adam.init(p, hyper)


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    if p.ndim != 2:
        step, state = adam.direction(g, state, t, hyper)
        return p - lr * step, state
    buffer = hyper["momentum"] * state["buffer"] + g
    step = orthogonalised(g + hyper["momentum"] * buffer)
    return p - lr * RMS * max(p.shape) ** 0.5 * step, {"buffer": buffer}


def _keras(hyper: Hypers) -> dict[str, Any]:
    return {
        "momentum": hyper["momentum"],
        "adam_beta_1": hyper["beta1"],
        "adam_beta_2": hyper["beta2"],
        "epsilon": hyper["epsilon"],
        "rms_rate": RMS,
        "weight_decay": None,
        "adam_weight_decay": None,
        "exclude_embeddings": False,
    }


def _torch_parts() -> Callable[..., Any]:
    from ..adapters.torch.pieces import Muon

    return Muon


def _optax_parts() -> Callable[..., Any]:
    from ..adapters.jax.pieces import muon

    return muon


OPTIMIZER = Optimizer(
    name="muon",
    title="Muon",
    paper=(
        "Jordan et al. (2024), Muon: An optimizer for hidden layers in neural networks,"
        " https://kellerjordan.github.io/posts/muon/ with Nesterov momentum; updates scaled by 0.2"
        " sqrt(max(rows, columns)) as in Liu et al. (2025), Muon is Scalable for LLM Training,"
        " arXiv:2502.16982, section 2.2"
    ),
    learning_rate=5e-3,
    hyper={
        "momentum": Hyper(0.95, "share of the buffer kept each step", high=1.0),
        "beta1": Hyper(0.9, "Adam's decay of the first moment, for what is not a matrix", high=1.0),
        "beta2": Hyper(
            0.999, "Adam's decay of the second moment, for what is not a matrix", high=1.0
        ),
        "epsilon": Hyper(1e-8, "added to Adam's root of the corrected second moment"),
    },
    bindings={
        "torch": Binding(_torch_parts, native_target="torch.optim.Muon", matrices_only=True),
        "tensorflow": Binding("keras.optimizers.Muon", _keras, corrections=(KERAS_EPSILON_HAT,)),
        "jax": Binding(_optax_parts, native_target="optax.contrib.muon"),
    },
    rule=ReferenceRule(init=_init, update=_update),
    per_tensor=True,
    note=(
        "Tensors of two dimensions are orthogonalised, kernels of convolutions are not."
        " optax.contrib.muon corrects the bias of its Nesterov momentum, which is another"
        " direction; the canonical rule feeds it plain Nesterov momentum of optax.trace. By default"
        " torch and Optax scale by sqrt(max(1, rows / columns)), which depends on how kernels are"
        " stored. torch's class takes matrices only, has no Adam for the rest and orthogonalises in"
        " bfloat16 whatever the dtype of the parameters; the canonical rule does it in their dtype."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-4, 1e-1, log=True),
            "momentum": Range(1e-2, 0.5, log=True, below_one=True),
        },
        "proposed here: Adam's rates, which the scaling of updates is made for, and a range around"
        " the default momentum; Adam's own decays stay at their defaults",
    ),
)

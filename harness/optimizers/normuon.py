"""NorMuon: Muon whose neurons have a second moment each; Adam for all other tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from . import adam, muon
from ._rule import Array, Hypers, State, Updated


def _init(p: Array, hyper: Hypers) -> State:
    if p.ndim != 2:
        return adam.init(p, hyper)
    return {"mean": np.zeros_like(p), "neurons": np.zeros(p.shape[1], p.dtype)}


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    if p.ndim != 2:
        step, state = adam.direction(g, state, t, hyper)
        return p - lr * step, state
    decay, kept = hyper["momentum"], hyper["neuron_decay"]
    mean = decay * state["mean"] + (1.0 - decay) * g
    step = muon.orthogonalised(mean)
    # In canonical layout, [in, out], a neuron's weights are a column.
    neurons = kept * state["neurons"] + (1.0 - kept) * (step * step).sum(axis=0) / max(len(step), 1)
    step = step / (np.sqrt(neurons) + hyper["epsilon"])
    scale = muon.RMS * p.size**0.5 / (np.linalg.norm(step) + hyper["epsilon"])
    return p - lr * scale * step, {"mean": mean, "neurons": neurons}


def _torch_parts() -> Callable[..., Any]:
    from ..adapters.torch.pieces import NorMuon

    return NorMuon


OPTIMIZER = Optimizer(
    name="normuon",
    title="NorMuon",
    paper=(
        "Li et al. (2025), NorMuon: Making Muon more efficient and scalable, arXiv:2510.05491,"
        " Algorithm 1, no weight decay; epsilon is also added to the norm that the update is"
        " divided by, so that a gradient of 0 takes no step"
    ),
    learning_rate=5e-3,
    hyper={
        "momentum": Hyper(0.95, "decay of the mean of gradients", high=1.0),
        "neuron_decay": Hyper(0.95, "decay of the second moment of a neuron's step", high=1.0),
        "beta1": muon.OPTIMIZER.hyper["beta1"],
        "beta2": muon.OPTIMIZER.hyper["beta2"],
        "epsilon": Hyper(
            1e-8, "added to the roots of second moments, a neuron's and Adam's, and to the norm"
        ),
    },
    bindings={
        "torch": Binding(
            _torch_parts,
            native_target="gradrace.adapters.torch.third_party.nor_muon",
            requires=("pytorch_optimizer",),
        ),
    },
    rule=ReferenceRule(init=_init, update=_update),
    per_tensor=True,
    note=(
        "Tensors of two dimensions are orthogonalised, kernels of convolutions are not. The"
        " canonical rule is built of parts in the dtype of the parameters. The native rule is"
        " pytorch_optimizer.NorMuon with a group of matrices and one of the rest (its own AdamW),"
        " both at the rate of the run: it orthogonalises in bfloat16, has Nesterov momentum, and"
        " keeps the norm of the orthogonalised update instead of a root mean square of 0.2."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-4, 1e-1, log=True),
            "momentum": Range(1e-2, 0.5, log=True, below_one=True),
            "neuron_decay": Range(1e-2, 0.5, log=True, below_one=True),
        },
        "proposed here: Muon's, and a range around the paper's second decay",
    ),
)

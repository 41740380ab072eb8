"""GrokFast with AdamW: the slow part of the gradient, made larger, before AdamW's step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..optimizer import Binding, Hyper, Optimizer, Range, ReferenceRule, SearchSpace
from . import adam, adamw
from ._rule import Array, Hypers, State, Updated


def _update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    alpha = hyper["alpha"]
    # The mean starts at the first gradient.
    slow = g if t == 1 else alpha * state["slow"] + (1.0 - alpha) * g
    amplified = g + hyper["amplification"] * slow
    step, moments = adam.direction(amplified, {k: state[k] for k in ("m", "v")}, t, hyper)
    p = p - lr * hyper["weight_decay"] * p - lr * step
    return p, {**moments, "slow": slow}


def _torch_parts() -> Callable[..., Any]:
    from ..adapters.torch.pieces import GrokFastAdamW

    return GrokFastAdamW


OPTIMIZER = Optimizer(
    name="grokfast_adamw",
    title="GrokFast-AdamW",
    paper=(
        "Lee et al. (2024), Grokfast: Accelerated Grokking by Amplifying Slow Gradients,"
        " arXiv:2405.20233, GROKFAST-EMA before AdamW; the mean starts at the first gradient, as in"
        " the authors' code"
    ),
    learning_rate=3e-3,
    hyper={
        **adamw.OPTIMIZER.hyper,
        "alpha": Hyper(0.98, "decay of the mean of gradients", high=1.0),
        "amplification": Hyper(2.0, "weight of the mean, which is added to the gradient"),
    },
    bindings={
        "torch": Binding(
            _torch_parts,
            native_target="pytorch_optimizer.GrokFastAdamW",
            requires=("pytorch_optimizer",),
        ),
    },
    rule=ReferenceRule(
        init=lambda p, hyper: {**adam.init(p, hyper), "slow": 0.0 * p}, update=_update
    ),
    note=(
        "The canonical rule filters gradients before torch.optim.AdamW, as the authors do."
        " pytorch_optimizer's class divides the rate that it is made with by 1 + grokfast_lamb;"
        " the rates that gradrace sets at each step it takes as they are, three times as large as"
        " those. It takes the larger of eps and the root, and no sum of them."
    ),
    space=SearchSpace(
        {
            "learning_rate": Range(1e-4, 1e-2, log=True),
            "beta1": Range(2e-2, 0.5, log=True, below_one=True),
            "weight_decay": Range(5e-3, 1.0, log=True),
            "alpha": Range(5e-3, 0.2, log=True, below_one=True),
            "amplification": Range(0.5, 5.0, log=True),
        },
        "AdamW's of Dahl et al. (2023), Benchmarking Neural Network Training Algorithms,"
        " arXiv:2306.07179, and ranges around GrokFast's default decay and weight",
    ),
)

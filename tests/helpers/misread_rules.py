"""Rules that are not what they claim to be, each as a released optimizer once had it, written out
here so that nothing of the search is used to test the search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gradrace.adapters.numpy.instance import NumpyMaker, rule_maker
from gradrace.optimizer import Optimizer

Array = np.ndarray
Update = Callable[..., Any]


@dataclass(frozen=True)
class Misread:
    """claim: the rule that it says it is. named: what the nearest known rule is said to be."""

    claim: str
    update: Update
    named: str


def made(misread: Misread, known: Mapping[str, Optimizer]) -> NumpyMaker:
    claimed = known[misread.claim]
    assert claimed.rule
    rule = replace(claimed.rule, update=misread.update, evaluation=None)
    return rule_maker(replace(claimed, name="misread", rule=rule))


def _moments(g: Array, s: Any, h: Any) -> tuple[Array, Array]:
    m = h["beta1"] * s["m"] + (1 - h["beta1"]) * g
    return m, h["beta2"] * s["v"] + (1 - h["beta2"]) * g**2


def _adam_l2(p: Array, g: Array, s: Any, lr: float, t: int, h: Any) -> Any:
    g = g + h["weight_decay"] * p
    m, v = _moments(g, s, h)
    root = np.sqrt(v / (1 - h["beta2"] ** t)) + h["epsilon"]
    return p - lr * m / (1 - h["beta1"] ** t) / root, {"m": m, "v": v}


def _rateless_decay(p: Array, g: Array, s: Any, lr: float, t: int, h: Any) -> Any:
    m, v = _moments(g, s, h)
    root = np.sqrt(v / (1 - h["beta2"] ** t)) + h["epsilon"]
    return p * (1 - h["weight_decay"]) - lr * m / (1 - h["beta1"] ** t) / root, {"m": m, "v": v}


def _adam(divided: Callable[..., Any]) -> Update:
    """divided(m, v, t, h) -> the step."""

    def update(p: Array, g: Array, s: Any, lr: float, t: int, h: Any) -> Any:
        m, v = _moments(g, s, h)
        return p - lr * divided(m, v, t, h), {"m": m, "v": v}

    return update


def _early(m: Array, t: int, h: Any) -> Array:
    return m / (1 - h["beta1"] ** t)


def _late(v: Array, t: int, h: Any) -> Array:
    return v / (1 - h["beta2"] ** t)


def _amsgrad(p: Array, g: Array, s: Any, lr: float, t: int, h: Any) -> Any:
    m, v = _moments(g, s, h)
    largest = np.maximum(s["v_max"], _late(v, t, h))
    step = _early(m, t, h) / (np.sqrt(largest) + h["epsilon"])
    return p - lr * step, {"m": m, "v": v, "v_max": largest}


def _rmsprop(p: Array, g: Array, s: Any, lr: float, t: int, h: Any) -> Any:
    mean = h["rho"] * s["mean_square"] + (1 - h["rho"]) * g**2
    return p - lr * g / (np.sqrt(mean) + h["epsilon"]), {"mean_square": mean}


def _momentum(entering: Callable[[int, float], float], inside: bool = False) -> Update:
    """entering(t, momentum): the weight of the gradient in the buffer."""

    def update(p: Array, g: Array, s: Any, lr: float, t: int, h: Any) -> Any:
        rate = lr if inside else 1.0
        buffer = h["momentum"] * s["buffer"] + rate * entering(t, h["momentum"]) * g
        return p - (1.0 if inside else lr) * buffer, {"buffer": buffer}

    return update


def _nesterov_sign(p: Array, g: Array, s: Any, lr: float, t: int, h: Any) -> Any:
    buffer = h["momentum"] * s["buffer"] + g
    return p - lr * np.sign(g + h["momentum"] * buffer), {"buffer": buffer}


def _newton_schulz(x: Array) -> Array:
    tall = x.shape[0] > x.shape[1]
    x = (x.T if tall else x) / (np.sqrt(np.sum(x * x)) + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return x.T if tall else x


def _muon(scale: Callable[[int, int], float], ahead: bool = True) -> Update:
    """Vectors as the sound rule has them: by Adam."""

    def update(p: Array, g: Array, s: Any, lr: float, t: int, h: Any) -> Any:
        if p.ndim != 2:
            m, v = _moments(g, s, h)
            step = _early(m, t, h) / (np.sqrt(_late(v, t, h)) + h["epsilon"])
            return p - lr * step, {"m": m, "v": v}
        buffer = h["momentum"] * s["buffer"] + g
        direction = g + h["momentum"] * buffer if ahead else buffer
        return p - lr * scale(*p.shape) * _newton_schulz(direction), {"buffer": buffer}

    return update


def _wide(rows: int, columns: int) -> float:
    return float(np.sqrt(max(1, columns / rows)))


def _rms(rows: int, columns: int) -> float:
    return float(0.2 * np.sqrt(max(rows, columns)))


def _lamb(p: Array, g: Array, s: Any, lr: float, t: int, h: Any) -> Any:
    m, v = _moments(g, s, h)
    step = m / (np.sqrt(v) + h["epsilon"])
    ratio = np.sqrt(np.sum(p * p)) / np.sqrt(np.sum(step * step))
    return p - lr * ratio * step, {"m": m, "v": v}


def _adan(p: Array, g: Array, s: Any, lr: float, t: int, h: Any) -> Any:
    b1, b2, b3 = (h[f"beta{i}"] for i in (1, 2, 3))
    change = (g - s["gradient"]) * (t > 1)
    m, v = b1 * s["m"] + (1 - b1) * g, b2 * s["v"] + (1 - b2) * change
    n = b3 * s["n"] + (1 - b3) * (g + (1 - b2) * change) ** 2
    ahead = m / (1 - b1**t) + (1 - b2) * v / (1 - b2**t)
    root = np.sqrt(n / (1 - b3**t)) + h["epsilon"]
    return p - lr * ahead / root, {"m": m, "v": v, "n": n, "gradient": g}


def _lion(p: Array, g: Array, s: Any, lr: float, t: int, h: Any) -> Any:
    step = np.sign(h["beta1"] * s["m"] + (1 - h["beta1"]) * g)
    m = h["beta2"] * s["m"] + (1 - h["beta2"]) * g
    return p + lr * step - lr * h["weight_decay"] * p, {"m": m}


# By the public report, or by the fault.
MISREAD: Mapping[str, Misread] = {
    "keras#19051 AdamW": Misread(
        "adamw", _adam_l2, "equals Adam with weight decay added to the gradient (L2)"
    ),
    "decay without the rate": Misread(
        "adamw",
        _rateless_decay,
        "with decoupled weight decay that is not multiplied by the learning rate",
    ),
    "optax#1389 AMSGrad": Misread(
        "amsgrad",
        _amsgrad,
        "equals AMSGrad with the largest second moment so far after bias correction",
    ),
    "optax#532 RMSprop": Misread(
        "rmsprop", _rmsprop, "equals RMSprop with epsilon outside the root"
    ),
    "epsilon inside": Misread(
        "adam",
        _adam(lambda m, v, t, h: _early(m, t, h) / np.sqrt(_late(v, t, h) + h["epsilon"])),
        "equals Adam with epsilon inside the root (",
    ),
    "epsilon before the correction": Misread(
        "adam",
        _adam(
            lambda m, v, t, h: _early(m, t, h) / np.sqrt((v + h["epsilon"]) / (1 - h["beta2"] ** t))
        ),
        "equals Adam with epsilon inside the root before bias correction",
    ),
    "epsilon-hat": Misread(
        "adam",
        _adam(
            lambda m, v, t, h: (
                m
                * np.sqrt(1 - h["beta2"] ** t)
                / (1 - h["beta1"] ** t)
                / (np.sqrt(v) + h["epsilon"])
            )
        ),
        "equals Adam with epsilon added to the root before bias correction (epsilon-hat)",
    ),
    "heavyball: the larger of root and epsilon": Misread(
        "adam",
        _adam(
            lambda m, v, t, h: _early(m, t, h) / np.maximum(np.sqrt(_late(v, t, h)), h["epsilon"])
        ),
        "equals Adam with the larger of root and epsilon",
    ),
    "pytorch_optimizer: hidden epsilon": Misread(
        "adam",
        _adam(
            lambda m, v, t, h: (
                _early(m, t, h) / (np.sqrt((v + 1e-15) / (1 - h["beta2"] ** t)) + h["epsilon"])
            )
        ),
        "equals Adam with 1e-15 hidden under the root before bias correction",
    ),
    "no bias correction": Misread(
        "adam",
        _adam(lambda m, v, t, h: m / (np.sqrt(v) + h["epsilon"])),
        "equals Adam with no bias correction",
    ),
    "first moment uncorrected": Misread(
        "adam",
        _adam(lambda m, v, t, h: m / (np.sqrt(_late(v, t, h)) + h["epsilon"])),
        "equals Adam with no bias correction of the first moment",
    ),
    "second moment uncorrected": Misread(
        "adam",
        _adam(lambda m, v, t, h: _early(m, t, h) / (np.sqrt(v) + h["epsilon"])),
        "equals Adam with no bias correction of the second moment",
    ),
    "step count forgotten": Misread(
        "adam",
        _adam(lambda m, v, t, h: _early(m, 1, h) / (np.sqrt(_late(v, 1, h)) + h["epsilon"])),
        "equals Adam with the step count always 1",
    ),
    "wrong sign": Misread(
        "adam",
        _adam(lambda m, v, t, h: -_early(m, t, h) / (np.sqrt(_late(v, t, h)) + h["epsilon"])),
        "equals Adam with the wrong sign: it climbs",
    ),
    "nothing is done": Misread(
        "adam", _adam(lambda m, v, t, h: np.zeros_like(m)), "with no step at all"
    ),
    "dampening": Misread(
        "momentum", _momentum(lambda t, kept: 1 - kept), "equals SGD with a mean of gradients"
    ),
    "dampening after the first step": Misread(
        "momentum",
        _momentum(lambda t, kept: 1.0 if t == 1 else 1 - kept),
        "with a mean that starts at the first gradient",
    ),
    "rate inside the momentum": Misread(
        "momentum",
        _momentum(lambda t, kept: 1.0, inside=True),
        "equals Momentum with the learning rate inside the momentum",
    ),
    "sign of the step": Misread(
        "nesterov", _nesterov_sign, "equals Nesterov with the sign of the step"
    ),
    "signs alone": Misread(
        "sgd", lambda p, g, s, lr, t, h: (p - lr * np.sign(g), s), "equals SGD with the sign of the"
    ),
    "optax#1170 Muon": Misread(
        "muon", _muon(_wide), "equals Muon with steps times sqrt(max(1, columns / rows))"
    ),
    "pytorch_optimizer#408 Muon": Misread(
        "muon", _muon(_rms, ahead=False), "equals Muon with no Nesterov"
    ),
    "pytorch-optimizer Lamb": Misread("lamb", _lamb, "equals LAMB with no bias correction"),
    "optax.adan": Misread("adan", _adan, "equals Adan with the gradient's change weighted by"),
    "climbing Lion": Misread("lion", _lion, "equals Lion with the wrong sign: it climbs"),
}

"""Versions of single rules that papers, authors' codes and libraries disagree about: a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...optimizer import Array, Hypers, ReferenceRule

State = dict[str, Any]
Updated = tuple[Array, State]
Update = Callable[[Array, Array, State, float, int, Hypers], Updated]


class Version(NamedTuple):
    """words: for people, after "with". rule: from our own rule. decays: it is a version of weight
    decay, whose strength is in the hyperparameters."""

    words: str
    rule: Callable[[ReferenceRule], ReferenceRule]
    decays: bool = False


def _with(update: Update) -> Callable[[ReferenceRule], ReferenceRule]:
    """Our own start, and this update."""
    return lambda rule: replace(rule, update=update, evaluation=None)


def _moments(g: Array, state: State, hyper: Hypers) -> tuple[Array, Array]:
    b1, b2 = hyper["beta1"], hyper["beta2"]
    return b1 * state["m"] + (1.0 - b1) * g, b2 * state["v"] + (1.0 - b2) * g * g


def _adamax(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1 = hyper["beta1"]
    m = b1 * state["m"] + (1.0 - b1) * g
    u = np.maximum(hyper["beta2"] * state["u"], np.abs(g) + hyper["epsilon"])
    return p - lr / (1.0 - b1**t) * m / u, {"m": m, "u": u}


def _scheduled_nadam(decay: float) -> Update:
    """Dozat's momentum schedule, beta1 (1 - 0.96^(t decay) / 2)."""

    def update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
        now, later = (hyper["beta1"] * (1.0 - 0.5 * 0.96 ** (step * decay)) for step in (t, t + 1))
        m, v = _moments(g, state, hyper)
        product = state.get("product", 1.0) * now
        ahead = later * m / (1.0 - product * later) + (1.0 - now) * g / (1.0 - product)
        step = ahead / (np.sqrt(v / (1.0 - hyper["beta2"] ** t)) + hyper["epsilon"])
        return p - lr * step, {"m": m, "v": v, "product": product}

    return update


def _radam(hat: bool, still: bool) -> Update:
    """hat: epsilon is added before bias correction. still: no steps before it is rectified."""

    def update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
        b2 = hyper["beta2"]
        m, v = _moments(g, state, hyper)
        share = 1.0 - b2**t
        longest = 2.0 / (1.0 - b2) - 1.0
        length = longest - 2.0 * t * b2**t / share
        step = m / (1.0 - hyper["beta1"] ** t) * (0.0 if still else 1.0)
        if length > 5.0:
            shrunk = (length - 4.0) * (length - 2.0) * longest
            rectified = np.sqrt(shrunk / ((longest - 4.0) * (longest - 2.0) * length))
            root = np.sqrt(v)
            divisor = (
                (root + hyper["epsilon"]) / share**0.5
                if hat
                else root / share**0.5 + hyper["epsilon"]
            )
            step = rectified * m / (1.0 - hyper["beta1"] ** t) / divisor
        return p - lr * step, {"m": m, "v": v}

    return update


def _adan(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    b1, b2, b3 = hyper["beta1"], hyper["beta2"], hyper["beta3"]
    change = g - state["gradient"] if t > 1 else np.zeros_like(g)
    m = b1 * state["m"] + (1.0 - b1) * g
    v = b2 * state["v"] + (1.0 - b2) * change
    n = b3 * state["n"] + (1.0 - b3) * (g + (1.0 - b2) * change) ** 2
    ahead = m / (1.0 - b1**t) + (1.0 - b2) * v / (1.0 - b2**t)
    p = p - lr * ahead / (np.sqrt(n / (1.0 - b3**t)) + hyper["epsilon"])
    return p, {"m": m, "v": v, "n": n, "gradient": g}


def _adopt(limit: Callable[[int], float]) -> Update:
    def update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
        if t == 1:
            return p, {"m": state["m"], "v": g * g}
        clip = limit(t)
        steps = np.clip(g / np.maximum(np.sqrt(state["v"]), hyper["epsilon"]), -clip, clip)
        m = hyper["beta1"] * state["m"] + (1.0 - hyper["beta1"]) * steps
        v = hyper["beta2"] * state["v"] + (1.0 - hyper["beta2"]) * g * g
        return p - lr * m, {"m": m, "v": v}

    return update


def _lamb(
    first: str = "inside", second: bool = True, cap: float = float("inf"), padded: bool = False
) -> Update:
    """first: its bias correction stands inside the trust ratio, outside, or nowhere. second: it is
    corrected. cap: of the weights' norm. padded: epsilon is added to the norm of the step."""

    def update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
        m, v = _moments(g, state, hyper)
        early, late = 1.0 - hyper["beta1"] ** t, 1.0 - hyper["beta2"] ** t
        root = np.sqrt(v / late if second else v) + hyper["epsilon"]
        step = m / root / (early if first == "inside" else 1.0)
        # Of the weight decay, which is 0 in the versions that are none.
        step = step + hyper.get("weight_decay", 0.0) * p
        weight, length = min(float(np.linalg.norm(p)), cap), float(np.linalg.norm(step))
        padding = hyper["epsilon"] if padded else 0.0
        ratio = weight / (length + padding) if weight > 0.0 and length > 0.0 else 1.0
        return p - lr * ratio * step / (early if first == "outside" else 1.0), {"m": m, "v": v}

    return update


def _lars(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    """You et al.'s weight decay: both norms are in the trust ratio."""
    decay = hyper["weight_decay"]
    weight, length = float(np.linalg.norm(p)), float(np.linalg.norm(g))
    whole = length + decay * weight
    ratio = hyper["trust"] * weight / whole if weight > 0.0 and length > 0.0 else 1.0
    buffer = hyper["momentum"] * state["buffer"] + lr * ratio * (g + decay * p)
    return p - buffer, {"buffer": buffer}


def _prodigy(corrected: bool, decays: bool) -> Update:
    """corrected: for bias, which is off by default in the authors' code."""

    def update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
        b1, b2, first = hyper["beta1"], hyper["beta2"], hyper["distance"]
        d = float(state["distance"])
        b3 = b2**0.5
        rate = lr * d * ((1.0 - b2**t) ** 0.5 / (1.0 - b1**t) if corrected else 1.0)
        m = b1 * state["m"] + (1.0 - b1) * d * g
        v = b2 * state["v"] + (1.0 - b2) * (d * g) ** 2
        total = b3 * state["sum"] + rate * d * g / first
        numerator = b3 * state["numerator"] + d / first * rate * (g @ (state["start"] - p))
        d = max(d, float(numerator / np.abs(total).sum()))
        new = {"m": m, "v": v, "sum": total, "distance": d, "numerator": numerator}
        kept = p - rate * hyper["weight_decay"] * p if decays else p
        return kept - rate * m / (np.sqrt(v) + d * hyper["epsilon"]), {**state, **new}

    return update


def _decaying_at_y(rule: ReferenceRule) -> ReferenceRule:
    """Schedule-Free's: the base iterate z loses rate * decay of the point y that is trained at."""

    def update(y: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
        new, after = rule.update(y, g, state, lr, t, hyper)
        weight, rate = float(after["weight"]), float(after["rate"])
        share = rate**2 / weight if weight > 0.0 else 0.0
        lost = lr * hyper["weight_decay"] * y
        b1 = hyper["beta1"]
        return new - ((1.0 - b1) + b1 * share) * lost, {**after, "z": after["z"] - lost}

    return replace(rule, update=update, evaluation=None)


def _muon(scale: str, ahead: bool, mean: bool) -> Callable[[ReferenceRule], ReferenceRule]:
    """Of matrices; scale: a name of _SCALES. ahead: Nesterov's. mean: of gradients, not a sum."""

    def changed(rule: ReferenceRule) -> ReferenceRule:
        def update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
            if p.ndim != 2:
                return rule.update(p, g, state, lr, t, hyper)
            kept = hyper["momentum"]
            entering = 1.0 - kept if mean else 1.0
            buffer = kept * state["buffer"] + entering * g
            direction = entering * g + kept * buffer if ahead else buffer
            step = _direction_of(rule, direction, hyper) * _SCALES[scale](*p.shape)
            return p - lr * step, {"buffer": buffer}

        return replace(rule, update=update, evaluation=None)

    return changed


def _direction_of(rule: ReferenceRule, x: Array, hyper: Hypers) -> Array:
    """What our rule makes of a matrix, its scale taken off: the step of a first gradient."""
    zero = {"buffer": np.zeros_like(x)}
    moved, _ = rule.update(np.zeros_like(x), x, zero, 1.0, 1, {**hyper, "momentum": 0.0})
    return -moved / _SCALES["rms"](*x.shape)


_SCALES: Mapping[str, Callable[[int, int], float]] = {
    "rms": lambda rows, columns: 0.2 * max(rows, columns) ** 0.5,
    "tall": lambda rows, columns: max(1.0, rows / columns) ** 0.5,
    "wide": lambda rows, columns: max(1.0, columns / rows) ** 0.5,
    "none": lambda rows, columns: 1.0,
}
_SCALE_WORDS = {
    "rms": "",
    "tall": "steps times sqrt(max(1, rows / columns))",
    "wide": "steps times sqrt(max(1, columns / rows))",
    "none": "steps that are not scaled by the matrix's shape",
}


def _muons() -> tuple[Version, ...]:
    found = []
    for scale, words in _SCALE_WORDS.items():
        for ahead in (True, False):
            for mean in (False, True):
                parts = (
                    words,
                    "" if ahead else "no Nesterov",
                    "a mean of gradients in place of their sum" if mean else "",
                )
                if text := ", ".join(filter(None, parts)):
                    found.append(Version(text, _muon(scale, ahead, mean)))
    return tuple(found)


def _late_rate(rule: ReferenceRule) -> ReferenceRule:
    def update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
        new, inner = rule.update(p, g, state.get("inner", {}), state.get("rate", lr), t, hyper)
        return new, {"inner": inner, "rate": lr}

    return replace(rule, update=update, evaluation=None)


def _started(m: float, v: float) -> Callable[[ReferenceRule], ReferenceRule]:
    return lambda rule: replace(
        rule, init=lambda p, hyper: {"m": np.full_like(p, m), "v": np.full_like(p, v)}
    )


def _vectors_as(update: Update) -> Callable[[ReferenceRule], ReferenceRule]:
    """Another update for tensors of one dimension."""

    def changed(rule: ReferenceRule) -> ReferenceRule:
        def chosen(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
            return (update if p.ndim < 2 else rule.update)(p, g, state, lr, t, hyper)

        return replace(rule, update=chosen)

    return changed


def _momentum(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
    buffer = hyper["momentum"] * state["buffer"] + lr * g
    return p - buffer, {"buffer": buffer}


_INFINITY = float("inf")
_CAP, _CAPPED = 10.0, " (the weights' norm capped at 10)"
VERSIONS: Mapping[str, tuple[Version, ...]] = {
    "adamax": (Version("epsilon added before the maximum is taken", _with(_adamax)),),
    "nadam": (
        Version("Dozat's momentum schedule (decay 0.004)", _with(_scheduled_nadam(0.004))),
        Version("Dozat's momentum schedule (decay 1)", _with(_scheduled_nadam(1.0))),
    ),
    "radam": (
        Version("epsilon added before bias correction (epsilon-hat)", _with(_radam(True, False))),
        Version("no steps until the variance is tractable", _with(_radam(False, True))),
        Version(
            "epsilon-hat and no steps until the variance is tractable", _with(_radam(True, True))
        ),
    ),
    "adan": (Version("the gradient's change weighted by 1 - beta2 for beta2", _with(_adan)),),
    "adopt": (
        Version("a clip at t^(1/4) for (t - 1)^(1/4)", _with(_adopt(lambda t: t**0.25))),
        Version("no clip", _with(_adopt(lambda t: _INFINITY))),
    ),
    "lamb": (
        Version("bias correction outside the trust ratio", _with(_lamb("outside"))),
        Version("no bias correction", _with(_lamb("nowhere", False))),
        Version("the weights' norm capped at 10", _with(_lamb(cap=_CAP))),
        Version(f"no bias correction{_CAPPED}", _with(_lamb("nowhere", False, _CAP))),
        Version(
            f"bias correction of the first moment alone, outside the trust ratio{_CAPPED}",
            _with(_lamb("outside", False, _CAP, padded=True)),
        ),
        Version("weight decay inside the trust ratio", _with(_lamb()), decays=True),
        Version(
            f"weight decay inside the trust ratio, no bias correction{_CAPPED}",
            _with(_lamb("nowhere", False, _CAP)),
            decays=True,
        ),
        Version(
            "weight decay inside the trust ratio, bias correction of the first moment alone,"
            f" outside the trust ratio{_CAPPED}",
            _with(_lamb("outside", False, _CAP, padded=True)),
            decays=True,
        ),
    ),
    "lars": (
        Version("no trust ratio for vectors", _vectors_as(_momentum)),
        Version("weight decay in both norms of the trust ratio", _with(_lars), decays=True),
    ),
    "prodigy": (
        Version("no bias correction", _with(_prodigy(False, False))),
        Version(
            "decoupled weight decay times distance and rate",
            _with(_prodigy(True, True)),
            decays=True,
        ),
        Version(
            "no bias correction and decoupled weight decay times distance and rate",
            _with(_prodigy(False, True)),
            decays=True,
        ),
    ),
    "schedule_free_adamw": (
        Version("weight decay at the point of the gradient", _decaying_at_y, decays=True),
    ),
    "muon": _muons(),
    "asgd": (Version("a learning rate that takes effect one step late", _late_rate),),
    "yogi": (
        Version("a second moment that starts at 0", _started(0.0, 0.0)),
        Version("a first moment that starts at 1e-6 too", _started(1e-6, 1e-6)),
    ),
}

"""The families of Adam and of momentum, written in every way that is known: a table of parts.

A form takes one option of every axis. All forms work element by element."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np

from ...optimizer import Array, Hypers, ReferenceRule, State

Updated = tuple[Array, State]
Form = Mapping[str, str]
# Names of the numbers that forms read.
NUMBERS = ("beta1", "beta2", "momentum", "rho", "epsilon", "initial_accumulator")


class Axis(NamedTuple):
    """words: option -> for people, after "with"."""

    name: str
    words: Mapping[str, str]


# How the gradient enters the step, before it is divided.
_FIRST = Axis(
    "first",
    {
        "mean": "a mean of gradients",
        "none": "the gradient itself in place of its mean",
        "nesterov": "Nesterov's mean of gradients",
        "heavy": "a sum of gradients in place of their mean",
    },
)
_CORRECTED = Axis(
    "corrected",
    {
        "both": "both bias corrections",
        "first": "no bias correction of the second moment",
        "second": "no bias correction of the first moment",
        "none": "no bias correction",
    },
)
_SECOND = Axis(
    "second",
    {
        "squares": "a mean of squared gradients",
        "maximum": "the largest second moment so far before bias correction (AMSGrad)",
        "maximum corrected": "the largest second moment so far after bias correction (AMSGrad)",
        "distance": "the gradient's distance from its mean (AdaBelief)",
        "distance carried": "the distance from the mean plus epsilon every step (AdaBelief)",
        "sum": "a sum of squared gradients",
        "centred": "the gradient's variance",
    },
)
_EPSILON = Axis(
    "epsilon",
    {
        "outside": "epsilon outside the root",
        "inside": "epsilon inside the root",
        "inside early": "epsilon inside the root before bias correction",
        "hat": "epsilon added to the root before bias correction (epsilon-hat)",
        "both": "epsilon inside the root and outside",
        "maximum": "the larger of root and epsilon",
        "none": "no epsilon",
        "hidden": "1e-15 hidden under the root before bias correction",
        "hidden hat": "1e-15 hidden under the root, and epsilon-hat",
    },
)
# Momentum of the divided steps, as RMSprop has it.
_BUFFER = Axis(
    "buffer",
    {
        "none": "no momentum",
        "outside": "momentum of steps (learning rate outside)",
        "inside": "momentum of steps (learning rate inside)",
    },
)
ADAM_AXES = (_FIRST, _CORRECTED, _SECOND, _EPSILON, _BUFFER)

_SUM = Axis(
    "sum",
    {
        "sum": "a sum of gradients",
        "mean": "a mean of gradients (dampening 1 - momentum)",
        "mean from first": "a mean that starts at the first gradient (dampening after step 1)",
        "corrected": "a mean of gradients with bias correction",
        "none": "no momentum",
    },
)
_RATE = Axis(
    "rate",
    {
        "outside": "the learning rate outside the momentum",
        "inside": "the learning rate inside the momentum",
    },
)
_AHEAD = Axis(
    "ahead",
    {
        "no": "no look ahead",
        "yes": "Nesterov's look ahead",
        "weighted": "Nesterov's look ahead, the gradient weighted as in the mean",
    },
)
_SIGN = Axis("sign", {"no": "the step itself", "yes": "the sign of the step"})
MOMENTUM_AXES = (_SUM, _RATE, _AHEAD, _SIGN)

_MOMENTS = {"corrected": "both", "second": "squares", "epsilon": "outside", "buffer": "none"}
_PLAIN = {"corrected": "none", "second": "squares", "epsilon": "inside", "buffer": "none"}
_HEAVY = {"rate": "outside", "ahead": "no", "sign": "no"}
# Our rules as forms; a form's words are how it departs from the nearest of them, the first of those
# that are equally near.
ADAM_RULES: Mapping[str, Form] = {
    "amsgrad": {"first": "mean", **_MOMENTS, "second": "maximum"},
    "adabelief": {
        "first": "mean",
        **_MOMENTS,
        "second": "distance carried",
    },
    "adam": {"first": "mean", **_MOMENTS},
    "adamw": {"first": "mean", **_MOMENTS},
    "nadam": {"first": "nesterov", **_MOMENTS},
    "rmsprop": {"first": "none", **_PLAIN},
    "rmsprop_centered": {"first": "none", **_PLAIN, "second": "centred"},
    "rmsprop_momentum": {"first": "none", **_PLAIN, "buffer": "inside"},
    "adagrad": {"first": "none", **_PLAIN, "second": "sum"},
}
MOMENTUM_RULES: Mapping[str, Form] = {
    "sgd": {"sum": "none", **_HEAVY},
    "momentum": {"sum": "sum", **_HEAVY},
    "nesterov": {"sum": "sum", **_HEAVY, "ahead": "yes"},
}


def forms(axes: tuple[Axis, ...]) -> Iterator[dict[str, str]]:
    """Every combination."""
    names = [axis.name for axis in axes]
    for options in product(*(axis.words for axis in axes)):
        yield dict(zip(names, options, strict=True))


def departures(form: Form, known: Form, axes: tuple[Axis, ...]) -> tuple[str, ...]:
    """How the form differs from a known one, for people."""
    return tuple(
        axis.words[form[axis.name]] for axis in axes if form[axis.name] != known[axis.name]
    )


def adam_form(form: Form) -> ReferenceRule:
    """The rule of one combination of ADAM_AXES."""

    def init(p: Array, hyper: Hypers) -> State:
        start = hyper["initial_accumulator"] if form["second"] == "sum" else 0.0
        state = {name: np.zeros_like(p) for name in ("m", "largest", "mean", "buffer")}
        return {**state, "v": np.full_like(p, start)}

    def update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
        new = dict(state)
        first = FIRSTS[form["first"]](g, new, t, hyper, form["corrected"] in ("both", "first"))
        late = form["corrected"] in ("both", "second")
        v, share = _second(form["second"], g, new, t, hyper, late)
        step = first / EPSILONS[form["epsilon"]](v, share, hyper["epsilon"])
        return p - _buffered(form["buffer"], step, new, lr, hyper), new

    return ReferenceRule(init, update)


def _first_mean(g: Array, new: State, hyper: Hypers) -> Array:
    new["m"] = hyper["beta1"] * new["m"] + (1.0 - hyper["beta1"]) * g
    return new["m"]


def _mean(g: Array, new: State, t: int, hyper: Hypers, corrected: bool) -> Array:
    m = _first_mean(g, new, hyper)
    return m / (1.0 - hyper["beta1"] ** t) if corrected else m


def _nesterov(g: Array, new: State, t: int, hyper: Hypers, corrected: bool) -> Array:
    b1, m = hyper["beta1"], _first_mean(g, new, hyper)
    late, now = (1.0 - b1 ** (t + 1), 1.0 - b1**t) if corrected else (1.0, 1.0)
    return b1 * m / late + (1.0 - b1) * g / now


def _heavy(g: Array, new: State, t: int, hyper: Hypers, corrected: bool) -> Array:
    new["m"] = hyper["beta1"] * new["m"] + g
    return new["m"]


# option -> (gradient, new state, t, hyper, bias corrected) -> what is divided
FIRSTS: Mapping[str, Callable[[Array, State, int, Hypers, bool], Array]] = {
    "mean": _mean,
    "none": lambda g, new, t, hyper, corrected: g,
    "nesterov": _nesterov,
    "heavy": _heavy,
}


def _second(
    option: str, g: Array, new: State, t: int, hyper: Hypers, corrected: bool
) -> tuple[Array, float]:
    """The second moment, and the share of its final size that it has reached by step t."""
    b2 = hyper["beta2"]
    share = 1.0 - b2**t if corrected and option != "sum" else 1.0
    if option == "sum":
        new["v"] = new["v"] + g * g
        return new["v"], share
    from_ = g - new["m"] if option.startswith("distance") else g
    new["v"] = b2 * new["v"] + (1.0 - b2) * from_ * from_
    if option == "distance carried":
        new["v"] = new["v"] + hyper["epsilon"]
    if option == "centred":
        new["mean"] = b2 * new["mean"] + (1.0 - b2) * g
        return new["v"] - new["mean"] ** 2, share
    if not option.startswith("maximum"):
        return new["v"], share
    early = option == "maximum corrected"
    new["largest"] = np.maximum(new["largest"], new["v"] / share if early else new["v"])
    return new["largest"], 1.0 if early else share


# Of pytorch_optimizer, whatever its eps.
_HIDDEN = 1e-15
# option -> (second moment, share, epsilon) -> the divisor
EPSILONS: Mapping[str, Callable[[Array, float, float], Array]] = {
    "outside": lambda v, share, epsilon: np.sqrt(v / share) + epsilon,
    "inside": lambda v, share, epsilon: np.sqrt(v / share + epsilon),
    "inside early": lambda v, share, epsilon: np.sqrt((v + epsilon) / share),
    "hat": lambda v, share, epsilon: (np.sqrt(v) + epsilon) / np.sqrt(share),
    "both": lambda v, share, epsilon: np.sqrt(v / share + epsilon) + epsilon,
    "maximum": lambda v, share, epsilon: np.maximum(np.sqrt(v / share), epsilon),
    "none": lambda v, share, epsilon: np.sqrt(v / share),
    "hidden": lambda v, share, epsilon: np.sqrt((v + _HIDDEN) / share) + epsilon,
    "hidden hat": lambda v, share, epsilon: (np.sqrt(v + _HIDDEN) + epsilon) / np.sqrt(share),
}


def _buffered(option: str, step: Array, new: State, lr: float, hyper: Hypers) -> Array:
    if option == "none":
        return lr * step
    if option == "outside":
        new["buffer"] = hyper["momentum"] * new["buffer"] + step
        return lr * new["buffer"]
    new["buffer"] = hyper["momentum"] * new["buffer"] + lr * step
    return new["buffer"]


def momentum_form(form: Form) -> ReferenceRule:
    """The rule of one combination of MOMENTUM_AXES."""

    def update(p: Array, g: Array, state: State, lr: float, t: int, hyper: Hypers) -> Updated:
        factor = lr if form["rate"] == "inside" else 1.0
        kept, entering, share = _weights(form["sum"], t, hyper["momentum"])
        buffer = kept * state["buffer"] + entering * factor * g
        step = buffer / share
        if form["ahead"] != "no":
            step = factor * (entering if form["ahead"] == "weighted" else 1.0) * g + kept * step
        step = np.sign(step) if form["sign"] == "yes" else step
        return p - (lr if form["rate"] == "outside" or form["sign"] == "yes" else 1.0) * step, {
            "buffer": buffer
        }

    return ReferenceRule(lambda p, hyper: {"buffer": np.zeros_like(p)}, update)


def _weights(option: str, t: int, momentum: float) -> tuple[float, float, float]:
    """Of the old buffer, of the gradient, and the share of its final size that it has by step t."""
    if option == "none":
        return 0.0, 1.0, 1.0
    first = option == "mean from first" and t == 1
    entering = 1.0 if option == "sum" or first else 1.0 - momentum
    return momentum, entering, 1.0 - momentum**t if option == "corrected" else 1.0

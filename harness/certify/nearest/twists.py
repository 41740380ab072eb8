"""Changes that any rule can have: weight decay in its several places, and common mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...optimizer import Array, Hypers, ReferenceRule

# Of a rule, and beside it what the change needs.
State = Any
Updated = tuple[Array, State]
# So many steps that no correction of bias is left.
_LONG_AGO = 10**9


class Decay(NamedTuple):
    """words: for people. gradient(g, p, decay) -> the gradient that the rule is given.
    after(old, new, rate, first rate, decay) -> the parameter after the step."""

    words: str
    gradient: Callable[[Array, Array, float], Array] = lambda g, p, decay: g
    after: Callable[[Array, Array, float, float, float], Array] = (
        lambda old, new, rate, first, decay: new
    )


DECAYS: Mapping[str, Decay] = {
    "none": Decay("no weight decay"),
    "coupled": Decay(
        "weight decay added to the gradient (L2)", gradient=lambda g, p, decay: g + decay * p
    ),
    "decoupled": Decay(
        "decoupled weight decay times learning rate",
        after=lambda old, new, rate, first, decay: new - rate * decay * old,
    ),
    "without rate": Decay(
        "decoupled weight decay that is not multiplied by the learning rate",
        after=lambda old, new, rate, first, decay: new - decay * old,
    ),
    "schedule alone": Decay(
        "decoupled weight decay times the schedule, without the base learning rate",
        after=lambda old, new, rate, first, decay: new - rate / first * decay * old,
    ),
    "afterwards": Decay(
        "weight decay times learning rate after the step",
        after=lambda old, new, rate, first, decay: new * (1.0 - rate * decay),
    ),
    "proximal": Decay(
        "proximal weight decay: the new parameter is divided by 1 + learning rate * decay",
        after=lambda old, new, rate, first, decay: new / (1.0 + rate * decay),
    ),
    "constant": Decay(
        "a weight decay that subtracts the constant learning rate * decay",
        after=lambda old, new, rate, first, decay: new - rate * decay,
    ),
    "growing": Decay(
        "weight decay that grows the weights",
        after=lambda old, new, rate, first, decay: new + rate * decay * old,
    ),
}


def decayed(rule: ReferenceRule, decay: Decay, strength: float) -> ReferenceRule:
    """The rule with this decay around it."""

    def init(p: Array, hyper: Hypers) -> State:
        return {"rule": rule.init(p, hyper)}

    def update(p: Array, g: Array, state: State, rate: float, t: int, hyper: Hypers) -> Updated:
        first = state.get("first", rate)
        inner = state["rule"]
        new, inner = rule.update(p, decay.gradient(g, p, strength), inner, rate, t, hyper)
        return decay.after(p, new, rate, first, strength), {"rule": inner, "first": first}

    return replace(rule, init=init, update=update, evaluation=None)


# (rule's update, p, g, state, rate, t, hyper) -> as update.
Step = Callable[[ReferenceRule, Array, Array, State, float, int, Hypers], Updated]


class Twist(NamedTuple):
    """words: for people, after "with". step: the update of the twisted rule."""

    words: str
    step: Step


def _counted(count: Callable[[int], int]) -> Step:
    return lambda rule, p, g, state, rate, t, hyper: rule.update(p, g, state, rate, count(t), hyper)


def _moved(move: Callable[[Array, Array], Array]) -> Step:
    """move(step as p_new - p, gradient) -> the step that is taken."""

    def step(
        rule: ReferenceRule, p: Array, g: Array, state: State, rate: float, t: int, hyper: Hypers
    ) -> Updated:
        new, state = rule.update(p, g, state, rate, t, hyper)
        return p + move(new - p, g), state

    return step


def _given(change: Callable[[Array], Array]) -> Step:
    """change(gradient) -> the gradient that the rule is given."""
    return lambda rule, p, g, state, rate, t, hyper: rule.update(
        p, change(g), state, rate, t, hyper
    )


def _cautious(move: Array, g: Array) -> Array:
    agrees = (move * g < 0.0).astype(np.float64)
    return move * agrees / max(float(agrees.mean()), 1e-3)


def _centred(g: Array) -> Array:
    return g - g.mean(axis=tuple(range(1, g.ndim)), keepdims=True) if g.ndim > 1 else g


def _clipped(g: Array) -> Array:
    return g * min(1.0, 1.0 / max(float(np.linalg.norm(g)), 1e-300))


def _forgetful(
    rule: ReferenceRule, p: Array, g: Array, state: State, rate: float, t: int, hyper: Hypers
) -> Updated:
    return rule.update(p, g, rule.init(p, hyper), rate, 1, hyper)[0], state


def _signed(
    rule: ReferenceRule, p: Array, g: Array, state: State, rate: float, t: int, hyper: Hypers
) -> Updated:
    new, state = rule.update(p, g, state, rate, t, hyper)
    return p + rate * np.sign(new - p), state


def _late(
    rule: ReferenceRule, p: Array, g: Array, state: State, rate: float, t: int, hyper: Hypers
) -> Updated:
    """The rule goes on from parameters of its own; its step comes out one step later."""
    ahead = state.get("ahead", p)
    new, inner = rule.update(ahead, g, state.get("inner", state), rate, t, hyper)
    return ahead, {"ahead": new, "inner": inner}


def _fixed_rate(
    rule: ReferenceRule, p: Array, g: Array, state: State, rate: float, t: int, hyper: Hypers
) -> Updated:
    first = state.get("first rate", rate)
    new, inner = rule.update(p, g, state.get("inner", state), first, t, hyper)
    return new, {"inner": inner, "first rate": first}


TWISTS: Mapping[str, Twist] = {
    "uncorrected": Twist("no bias correction", _counted(lambda t: _LONG_AGO)),
    "ahead": Twist("the step count one ahead", _counted(lambda t: t + 1)),
    "first": Twist("the step count always 1", _counted(lambda t: 1)),
    "climbing": Twist("the wrong sign: it climbs", _moved(lambda move, g: -move)),
    "sign": Twist("the sign of its step alone", _signed),
    "cautious": Twist(
        "a cautious mask (steps against the gradient's sign alone)", _moved(_cautious)
    ),
    "centred": Twist(
        "the mean of each row taken off the gradient (centralisation)", _given(_centred)
    ),
    "clipped": Twist("each tensor's gradient clipped to norm 1", _given(_clipped)),
    "forgetful": Twist("a state that is forgotten after each step", _forgetful),
    "late": Twist("each step given out one step late", _late),
    "still": Twist("no step at all", _moved(lambda move, g: np.zeros_like(move))),
    "fixed rate": Twist("the first learning rate for ever", _fixed_rate),
}


def twisted(rule: ReferenceRule, twist: Twist) -> ReferenceRule:
    """The rule with this change."""

    def update(p: Array, g: Array, state: State, rate: float, t: int, hyper: Hypers) -> Updated:
        return twist.step(rule, p, g, state, rate, t, hyper)

    return replace(rule, update=update, evaluation=None)

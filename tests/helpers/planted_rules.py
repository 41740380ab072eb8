"""NumPy rules with faults, as released optimizers have had them; the battery must find each."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gradrace.adapters.numpy.instance import NumpyInstance, NumpyMaker, rule_maker
from gradrace.optimizer import Optimizer
from gradrace.plan import Weights
from gradrace.registry import load_registry
from gradrace.stepping.instance import Gradients, Maker, Making

Array = np.ndarray
RULES = {name: o for name, o in load_registry([]).optimizers.items() if o.rule}


@dataclass(frozen=True)
class Fault:
    """found: the check that must fail. known: the rule that it claims to be, "" for none."""

    make: Callable[[], Maker]
    found: str
    known: str = ""


# A change of a rule's update: change(honest update, p, g, state, lr, t, hyper).
Change = Callable[..., Any]


def changed(name: str, change: Change, evaluation: Any = "as it is") -> Callable[[], Maker]:
    """A maker of the rule with its update replaced by the change."""
    optimizer = RULES[name]
    assert optimizer.rule
    honest = optimizer.rule.update
    rule = replace(optimizer.rule, update=lambda *given: change(honest, *given))
    if evaluation != "as it is":
        rule = replace(rule, evaluation=evaluation)
    return lambda: rule_maker(replace(optimizer, rule=rule))


@dataclass(frozen=True)
class OtherMaker(NumpyMaker):
    """Makes instances of another class; `ways` are its variants."""

    kind: Callable[[Optimizer, Mapping[str, float], Weights, Making], Any] = NumpyInstance
    ways: tuple[str, ...] = ()

    def variants(self) -> tuple[str, ...]:
        return self.ways

    def make(self, start: Weights, making: Making) -> Any:
        return self.kind(self.optimizer, self.hyper, start, making)


def other(kind: Any, name: str = "adam", ways: tuple[str, ...] = ()) -> Callable[[], Maker]:
    """A maker of instances of this class."""
    optimizer = RULES[name]
    return lambda: OtherMaker(optimizer, optimizer.hypers({}), kind, ways)


def _every_third(honest: Any, p: Array, g: Array, state: Any, lr: float, t: int, hyper: Any) -> Any:
    return honest(p, g, state, lr, t, hyper) if t % 3 else (p, state)


def _only_matrices(honest: Any, p: Array, *given: Any) -> Any:
    return honest(p, *given) if p.ndim > 1 else (p, given[1])


def _frozen_momentum(honest: Any, p: Array, g: Array, state: Any, *rest: Any) -> Any:
    new, after = honest(p, g, state, *rest)
    return new, {**after, "m": state["m"]}


def _uphill(honest: Any, p: Array, *given: Any) -> Any:
    new, state = honest(p, *given)
    return 2.0 * p - new, state


def _rate_ignored(honest: Any, p: Array, g: Array, state: Any, lr: float, *rest: Any) -> Any:
    return honest(p, g, state, 0.01, *rest)


def _constant_decay(honest: Any, p: Array, g: Array, state: Any, lr: float, t: int, h: Any) -> Any:
    new, after = honest(p, g, state, lr, t, {**h, "weight_decay": 0.0})
    return new - lr * h["weight_decay"], after


def _coupled_decay(honest: Any, p: Array, g: Array, state: Any, lr: float, t: int, h: Any) -> Any:
    g = g + h["weight_decay"] * p
    return honest(p, g, state, lr, t, {**h, "weight_decay": 0.0})


def _no_decay(honest: Any, p: Array, g: Array, state: Any, lr: float, t: int, h: Any) -> Any:
    return honest(p, g, state, lr, t, {**h, "weight_decay": 0.0})


def _no_epsilon(honest: Any, p: Array, g: Array, state: Any, lr: float, t: int, h: Any) -> Any:
    return honest(p, g, state, lr, t, {**h, "epsilon": 0.0})


def _noise_floor(honest: Any, p: Array, g: Array, *rest: Any) -> Any:
    return honest(p, g + 1e-3, *rest)


def _float32(honest: Any, p: Array, g: Array, *rest: Any) -> Any:
    return honest(p, g.astype(np.float32).astype(np.float64), *rest)


def _float32_weights(honest: Any, p: Array, *given: Any) -> Any:
    new, state = honest(p, *given)
    return np.asarray(new, dtype=np.float32).astype(np.float64), state


def _random(honest: Any, p: Array, g: Array, *rest: Any) -> Any:
    return honest(p, g * np.random.default_rng().uniform(0.9, 1.1, g.shape), *rest)


def _global_draw(honest: Any, *given: Any) -> Any:
    random.random()
    np.random.normal()
    return honest(*given)


def _start_lost(honest: Any, p: Array, g: Array, state: Any, lr: float, t: int, hyper: Any) -> Any:
    return honest(np.zeros_like(p) if t == 1 else p, g, state, lr, t, hyper)


def _no_root(honest: Any, p: Array, g: Array, state: Any, lr: float, t: int, h: Any) -> Any:
    m = h["beta1"] * state["m"] + (1.0 - h["beta1"]) * g
    v = h["beta2"] * state["v"] + (1.0 - h["beta2"]) * g * g
    return p - lr * m / (v / (1.0 - h["beta2"] ** t) + 1e-8), {"m": m, "v": v}


def _one_sided(honest: Any, p: Array, g: Array, *rest: Any) -> Any:
    return honest(p, np.where(g > 0.0, g, 0.5 * g), *rest)


def _divides_by_rate(honest: Any, p: Array, g: Array, state: Any, lr: float, *rest: Any) -> Any:
    with np.errstate(all="ignore"):
        return honest(p, g / lr * lr, state, lr, *rest)


def _high_power(honest: Any, p: Array, g: Array, *rest: Any) -> Any:
    with np.errstate(all="ignore"):
        return honest(p, g**12 / np.abs(g) ** 11 if np.all(g) else g, *rest)


def _tiny_power(honest: Any, p: Array, g: Array, *rest: Any) -> Any:
    with np.errstate(all="ignore"):
        return honest(p, g**12 / g**11 if np.all(g) else g, *rest)


def _late(honest: Any, p: Array, g: Array, state: Any, lr: float, t: int, hyper: Any) -> Any:
    if t == 500:
        raise KeyError("second_moment")
    return honest(p, g, state, lr, t, hyper)


def _last_axis(honest: Any, p: Array, *given: Any) -> Any:
    assert p.shape[-1] >= 0
    return honest(p, *given)


def _full_moment(honest: Any, p: Array, *given: Any) -> Any:
    new, state = honest(p, *given)
    return new, {**state, "full": new * new}


def _no_empty(honest: Any, p: Array, g: Array, *rest: Any) -> Any:
    1 // g.size
    return honest(p, g, *rest)


def _decay_moves_row(honest: Any, p: Array, g: Array, *rest: Any) -> Any:
    return honest(p, g - 0.1 * g.mean(), *rest)


_SHARED: dict[str, Any] = {}


class SharedState(NumpyInstance):
    """All instances have one state."""

    def step(self, gradients: Gradients) -> None:
        self._state = _SHARED.setdefault("state", self._state) if self._running() else self._state
        super().step(gradients)
        _SHARED["state"] = self._state

    def _running(self) -> bool:
        if not any(self._taken.values()):
            _SHARED.clear()
        return bool(_SHARED)


class ForgetsCount(NumpyInstance):
    """The number of steps is not saved."""

    def load(self, saved: bytes) -> None:
        super().load(saved)
        self._taken = dict.fromkeys(self._taken, 0)


class ForgetsRate(NumpyInstance):
    """Loading takes the rate of construction."""

    def load(self, saved: bytes) -> None:
        super().load(saved)
        self.set_rate = lambda rate: None  # type: ignore[method-assign]


class CannotLoad(NumpyInstance):
    """Loading raises."""

    def load(self, saved: bytes) -> None:
        raise KeyError("step")


class KeepsRate(NumpyInstance):
    """The rate of construction, for ever."""

    def set_rate(self, rate: float) -> None:
        pass


class TakesFirstRate(NumpyInstance):
    """Changes of the rate count from the first step on only."""

    def set_rate(self, rate: float) -> None:
        if any(self._taken.values()):
            super().set_rate(rate)


class SpoilsGradients(NumpyInstance):
    """Adds decay to the gradient in place."""

    def step(self, gradients: Gradients) -> None:
        super().step(gradients)
        weights = self._weights
        self._given = {n: g if g is None else g + 1e-3 * weights[n] for n, g in self._given.items()}


class LeaksNaN(NumpyInstance):
    """One gradient that is not finite spoils all tensors."""

    def step(self, gradients: Gradients) -> None:
        super().step(gradients)
        if not all(np.isfinite(g).all() for g in gradients.values() if g is not None):
            self._take({name: np.nan * value for name, value in self._weights.items()})


def _spread(gradient: np.ndarray | None) -> np.ndarray | None:
    whole = gradient is None or np.isfinite(gradient).all()
    return gradient if whole else gradient * np.nan


class SpreadsNaN(NumpyInstance):
    """One element that is not finite spoils its tensor."""

    def step(self, gradients: Gradients) -> None:
        given = {name: _spread(gradient) for name, gradient in gradients.items()}
        super().step(given)


class MovesWhenEvaluated(NumpyInstance):
    """eval() and train() round the weights."""

    def evaluated(self) -> Weights:
        self._take({name: value * (1.0 + 1e-9) for name, value in self._weights.items()})
        return super().evaluated()


class TakesLastGradient(NumpyInstance):
    """An absent gradient is the last one again, or ones."""

    def step(self, gradients: Gradients) -> None:
        last = self._given
        super().step(
            {
                n: np.asarray(last.get(n, np.ones(self._weights[n].shape)) if g is None else g)
                for n, g in gradients.items()
            }
        )


class CountsAbsent(NumpyInstance):
    """A tensor without a gradient makes others smaller."""

    def step(self, gradients: Gradients) -> None:
        share = sum(g is not None for g in gradients.values()) / len(gradients)
        super().step({n: g if g is None else share * g for n, g in gradients.items()})


class SharedRate(NumpyInstance):
    """The first group's rate is every group's."""

    def _updated(self, key: str, part: Array, gradient: Array) -> Array:
        self._resting = ()
        return super()._updated(key, part, gradient)


class ReadsMemoryOrder(NumpyInstance):
    """Gradients of tensors that are not contiguous are read in another order."""

    def step(self, gradients: Gradients) -> None:
        wide = {n: not w.flags.c_contiguous for n, w in self._weights.items()}
        super().step({n: g[::-1] if wide[n] and g is not None else g for n, g in gradients.items()})


class OtherWhenFused(NumpyInstance):
    """The fused variant has another epsilon."""

    def __init__(self, optimizer: Any, hyper: Any, start: Weights, making: Making) -> None:
        epsilon = 1e-4 if making.variant else 1e-8
        super().__init__(optimizer, {**hyper, "epsilon": epsilon}, start, making)


class Narrow(NumpyInstance):
    """Rounds its weights to float32, if that is the dtype."""

    def __init__(self, optimizer: Any, hyper: Any, start: Weights, making: Making) -> None:
        self._narrow = making.dtype != "float64"
        super().__init__(optimizer, hyper, start, making)

    def _take(self, parts: Weights) -> None:
        super()._take({n: p.astype(np.float32) if self._narrow else p for n, p in parts.items()})


def _eight_bits(array: Array) -> Array:
    mantissa, exponent = np.frexp(array)
    return np.asarray(np.ldexp(np.round(mantissa * 256.0) / 256.0, exponent))


class NarrowInside(Narrow):
    """Keeps its moments with 8 bits then, as bfloat16 has them."""

    def step(self, gradients: Gradients) -> None:
        super().step(gradients)
        for moments in self._state.values() if self._narrow else ():
            moments |= {name: _eight_bits(value) for name, value in moments.items()}


FAULTS: dict[str, Fault] = {
    "every third step does nothing": Fault(changed("adam", _every_third), "steps that do nothing"),
    "vectors never move": Fault(changed("adam", _only_matrices), "steps that do nothing"),
    "momentum is never stored": Fault(
        changed("adam", _frozen_momentum), "state that never moves", "adam"
    ),
    "wrong sign": Fault(changed("momentum", _uphill), "downhill"),
    "start lost": Fault(changed("sgd", _start_lost), "start kept"),
    "learning rate ignored": Fault(changed("adam", _rate_ignored), "learning rate counts"),
    "learning rate of construction kept": Fault(other(KeepsRate), "learning rate doubled"),
    "warm-up ignored": Fault(
        other(TakesFirstRate), "learning rate set before the first step", "adam"
    ),
    "divides by the learning rate": Fault(changed("sgd", _divides_by_rate), "learning rate 0"),
    "decay is a constant": Fault(changed("adamw", _constant_decay), "weight decay shrinks"),
    "decay coupled": Fault(changed("adamw", _coupled_decay), "weight decay shrinks", "adamw"),
    "decay ignored": Fault(changed("adamw", _no_decay), "weight decay counts"),
    "no epsilon": Fault(changed("adam", _no_epsilon), "zero gradients"),
    "moves without gradients": Fault(changed("adam", _noise_floor), "zero gradients"),
    "rows without gradients move": Fault(
        changed("sgd", _decay_moves_row), "rows of zero gradients", "sgd"
    ),
    "twelfth power": Fault(changed("sgd", _high_power), "huge gradients"),
    "twelfth power, small": Fault(changed("sgd", _tiny_power), "tiny gradients"),
    "gradients in float32": Fault(changed("adam", _float32), "float64"),
    "weights in float32": Fault(changed("lion", _float32_weights), "float64"),
    "bfloat16 inside float32": Fault(other(NarrowInside), "float32 against float64"),
    "random": Fault(changed("adam", _random), "determinism"),
    "global generators": Fault(changed("adam", _global_draw), "global generators"),
    "state shared by instances": Fault(other(SharedState), "a second instance"),
    "groups share the rate": Fault(other(SharedRate), "a resting group"),
    "count of steps forgotten": Fault(other(ForgetsCount), "saved and loaded"),
    "state cannot be loaded": Fault(other(CannotLoad), "saved and loaded"),
    "rate forgotten": Fault(other(ForgetsRate), "saved and loaded with another rate"),
    "gradients changed in place": Fault(other(SpoilsGradients), "gradients left alone"),
    "NaN leaks into others": Fault(other(LeaksNaN), "NaN gradients"),
    "infinity leaks into others": Fault(other(LeaksNaN), "infinite gradients"),
    "NaN spreads in its tensor": Fault(other(SpreadsNaN), "NaN gradients", "adam"),
    "eval() moves": Fault(other(MovesWhenEvaluated), "evaluation in between"),
    "averages out of reach": Fault(
        changed("schedule_free_adamw", lambda honest, *given: honest(*given), None),
        "evaluation in between",
        "schedule_free_adamw",
    ),
    "absent gradient is the last one": Fault(
        other(TakesLastGradient), "gradients absent now and then"
    ),
    "absent gradient moves": Fault(other(TakesLastGradient), "absent gradients"),
    "absent gradient counts for others": Fault(other(CountsAbsent, "sgd"), "absent gradients"),
    "memory order": Fault(other(ReadsMemoryOrder), "non-contiguous tensors"),
    "no dimensions": Fault(changed("adam", _last_axis), "tensor without dimensions"),
    "no elements": Fault(changed("adam", _no_empty), "empty tensor"),
    "no root": Fault(changed("adam", _no_root), "scale of the gradients", "adam"),
    "weights' scale ignored": Fault(
        changed("lamb", lambda honest, p, *rest: _lengthless(honest, p, *rest)),
        "scale of the weights",
        "lamb",
    ),
    "one-sided": Fault(changed("sgd", _one_sided), "all signs turned", "sgd"),
    "full second moment": Fault(
        changed("adafactor", _full_moment), "memory of the state", "adafactor"
    ),
    "fused differs": Fault(other(OtherWhenFused, ways=("fused",)), "variant fused"),
    "raises at step 500": Fault(changed("adam", _late), "a long run"),
}


def _lengthless(honest: Any, p: Array, *rest: Any) -> Any:
    unit = p / np.linalg.norm(p)
    new, state = honest(unit, *rest)
    return p + (new - unit), state

"""A reference rule as a Maker: what certify does with a library's optimizer, done with ours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gradrace.adapters.numpy.optimizer import CheckedRule
from gradrace.adapters.numpy.script import script_of
from gradrace.optimizer import Optimizer
from gradrace.plan import Weights
from gradrace.stepping.instance import Gradients, MakerFacts, Making, NotApplicable
from gradrace.stepping.scenario import Scenario

Array = np.ndarray
# The name of the one vector that a joint rule takes.
_ALL = "all"


def rule_maker(optimizer: Optimizer, hyper: Mapping[str, Any] = {}) -> NumpyMaker:
    """Makes instances of the optimizer's rule. hyper: by our names, over the defaults.

    ValueError if the optimizer has no rule, or no hyperparameter of a name."""
    if optimizer.rule is None:
        raise ValueError(f"{optimizer.name} has no reference rule")
    return NumpyMaker(optimizer, optimizer.hypers(hyper))


@dataclass(frozen=True)
class NumpyMaker:
    """See gradrace.stepping.instance.Maker. The one dtype is float64."""

    optimizer: Optimizer
    hyper: Mapping[str, float]

    def facts(self) -> MakerFacts:
        return MakerFacts(
            label=f"numpy:{self.optimizer.name}",
            distribution="",
            rate_argument="learning_rate",
            defaults={"learning_rate": self.optimizer.learning_rate, **self.hyper},
            drive="update()",
        )

    def variants(self) -> tuple[str, ...]:
        return ()

    def make(self, start: Weights, making: Making) -> NumpyInstance:
        if making.dtype != "float64":
            raise NotApplicable("the NumPy reference computes in float64 only")
        if making.variant:
            raise NotApplicable("a NumPy rule has one way to compute")
        return NumpyInstance(self.optimizer, self.hyper, start, making)

    def script(self, scenario: Scenario) -> str:
        return script_of(self.optimizer, self.hyper, scenario)


class NumpyInstance:
    """See gradrace.stepping.instance.Instance."""

    def __init__(
        self, optimizer: Optimizer, hyper: Mapping[str, float], start: Weights, making: Making
    ) -> None:
        assert optimizer.rule is not None, "rule_maker refuses it"
        self._rule = CheckedRule(optimizer.name, optimizer.rule)
        self._hyper = optimizer.hypers({**hyper, **making.hyper})
        self._rate, self._resting = making.rate, making.resting
        self._weights = {name: _laid(value, making.strided) for name, value in start.items()}
        self._given: Gradients = {}
        if self._rule.joint and making.resting:
            raise NotApplicable("the rule takes all tensors as one vector, with one learning rate")
        parts = self._parts(self._weights)
        self._state = {key: self._rule.init(part, self._hyper) for key, part in parts.items()}
        # Each tensor counts the steps that it took.
        self._taken = dict.fromkeys(parts, 0)

    def step(self, gradients: Gradients) -> None:
        self._given = {
            name: None if value is None else np.array(value, dtype=np.float64)
            for name, value in gradients.items()
        }
        given = {name: self._given.get(name) for name in self._weights}
        present = {name: value for name, value in given.items() if value is not None}
        if self._rule.joint and len(present) < len(given):
            raise NotApplicable("the rule takes all tensors as one vector")
        parts = self._parts({name: self._weights[name] for name in present})
        taken = self._parts(present)
        self._take({key: self._updated(key, part, taken[key]) for key, part in parts.items()})

    def _updated(self, key: str, part: Array, gradient: Array) -> Array:
        rate = 0.0 if key in self._resting else self._rate
        self._taken[key] += 1
        with np.errstate(all="ignore"):
            new, self._state[key] = self._rule.update(
                part, gradient, self._state[key], rate, self._taken[key], self._hyper
            )
        return new

    def _take(self, parts: Weights) -> None:
        for name, value in self._whole(parts).items():
            self._weights[name][...] = value

    def weights(self) -> Weights:
        return {name: value.copy() for name, value in self._weights.items()}

    def evaluated(self) -> Weights:
        parts = self._parts(self._weights).items()
        return {
            name: np.array(value)
            for name, value in self._whole(
                {
                    key: self._rule.evaluation(part, self._state[key], self._hyper)
                    for key, part in parts
                }
            ).items()
        }

    def set_rate(self, rate: float) -> None:
        self._rate = rate

    def state(self) -> Mapping[str, Array]:
        held = dict(_leaves("", self._state))
        return held | {f"{key}.step": np.array(taken) for key, taken in self._taken.items()}

    def gradients(self) -> Gradients:
        return dict(self._given)

    def save(self) -> bytes:
        return json.dumps({"state": _plain(self._state), "taken": self._taken}).encode()

    def load(self, saved: bytes) -> None:
        found = json.loads(saved)
        self._state, self._taken = _restored(found["state"]), found["taken"]

    def _parts(self, arrays: Weights) -> dict[str, Array]:
        """The arrays that the rule takes one by one."""
        if not self._rule.joint:
            return dict(arrays)
        return {_ALL: np.concatenate([arrays[name].ravel() for name in self._weights])}

    def _whole(self, parts: Weights) -> Weights:
        """The reverse."""
        if not self._rule.joint:
            return parts
        ends = np.cumsum([value.size for value in self._weights.values()])[:-1]
        pieces = zip(self._weights.items(), np.split(parts[_ALL], ends), strict=True)
        return {name: piece.reshape(value.shape) for (name, value), piece in pieces}


def _laid(value: Array, strided: bool) -> Array:
    """A copy in float64; strided: every other element of a larger array, axis by axis."""
    given = np.asarray(value, dtype=np.float64)
    if not strided or not given.ndim:
        return given.copy()
    wide = np.zeros(tuple(2 * length for length in given.shape))
    view = wide[(slice(None, None, 2),) * given.ndim]
    view[...] = given
    return view


def _leaves(path: str, held: Any) -> Iterator[tuple[str, Array]]:
    """Copies of the arrays and numbers in dicts, lists and tuples, by their path."""
    if isinstance(held, Mapping):
        for key, inner in held.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), inner)
    elif isinstance(held, list | tuple):
        for number, inner in enumerate(held):
            yield from _leaves(f"{path}.{number}", inner)
    elif isinstance(held, np.ndarray | np.generic | int | float):
        yield path, np.array(held)


def _plain(held: Any) -> Any:
    """In JSON's types: an array as its dtype, shape and bytes, so that no bit is lost."""
    if isinstance(held, Mapping):
        return {"dict": {key: _plain(value) for key, value in held.items()}}
    if isinstance(held, list | tuple):
        return {type(held).__name__: [_plain(value) for value in held]}
    if isinstance(held, np.ndarray | np.generic):
        array = np.asarray(held)
        return {"array": [array.dtype.str, list(array.shape), array.tobytes().hex()]}
    return held


def _restored(plain: Any) -> Any:
    if not isinstance(plain, dict):
        return plain
    ((kind, content),) = plain.items()
    if kind == "dict":
        return {key: _restored(value) for key, value in content.items()}
    if kind == "array":
        dtype, shape, text = content
        return np.frombuffer(bytes.fromhex(text), dtype).reshape(shape)
    values = map(_restored, content)
    return tuple(values) if kind == "tuple" else list(values)

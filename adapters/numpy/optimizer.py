"""An optimizer's reference rule, held to its contract: pure functions of float64 arrays.

A user's file may have written the rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from gradrace.errors import UserError
from gradrace.optimizer import Hypers, Optimizer, ReferenceRule
from gradrace.plan import Weights
from gradrace.plugins.places import FOR, place_in, place_of
from gradrace.spec import RunSpec

Array = np.ndarray
State = Mapping[str, Any]


class WrongRule(UserError, ValueError):
    """A rule that breaks its contract: says where it stands."""


class Updater:
    """The reference rule with its state, on each tensor, or on all of them as one vector."""

    def __init__(self, run: RunSpec, optimizer: Optimizer, start: Weights) -> None:
        assert optimizer.rule is not None, "supports() has said no to this optimizer"
        self._rule = CheckedRule(optimizer.name, optimizer.rule)
        self._hyper = optimizer.hypers(run.optimizer.hyper)
        self._shapes = {name: value.shape for name, value in start.items()}
        self.state = {
            key: self._rule.init(part, self._hyper) for key, part in self._parts(start).items()
        }

    def step(self, weights: Weights, gradients: Weights, lr: float, step: int) -> dict[str, Array]:
        """The trainable weights after update number `step`, counted from 0."""
        parts, given = self._parts(weights), self._parts(gradients)
        for key, part in parts.items():
            with _told(f"{key}, step {step + 1}"):
                parts[key], self.state[key] = self._rule.update(
                    part, given[key], self.state[key], lr, step + 1, self._hyper
                )
        return self._whole(parts)

    def evaluated(self, weights: Weights) -> Weights:
        """The trainable weights with which the model is evaluated."""
        parts = self._parts(weights).items()
        return self._whole(
            {key: self._rule.evaluation(part, self.state[key], self._hyper) for key, part in parts}
        )

    def _parts(self, arrays: Weights) -> dict[str, Array]:
        """The arrays that the rule takes one by one."""
        own = {name: np.asarray(arrays[name], dtype=np.float64) for name in self._shapes}
        if not self._rule.joint:
            return own
        return {"all": np.concatenate([array.ravel() for array in own.values()])}

    def _whole(self, parts: dict[str, Array]) -> dict[str, Array]:
        """The reverse."""
        if not self._rule.joint:
            return parts
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in self._shapes.values()])[:-1]
        pieces = zip(self._shapes.items(), np.split(parts["all"], ends), strict=True)
        return {name: piece.reshape(shape) for (name, shape), piece in pieces}


class CheckedRule:
    """The functions of `rule`; ValueError if one changes its arguments or returns a wrong value."""

    def __init__(self, name: str, rule: ReferenceRule) -> None:
        """name: of the optimizer, for errors."""
        self._name, self._rule = name, rule
        self.joint = rule.joint

    def init(self, parameter: Array, hyper: Hypers) -> dict[str, Any]:
        """The state before the first step."""
        with self._called("init"):
            state = self._rule.init(_locked(parameter), hyper)
        return self._state("init", state)

    def update(
        self, parameter: Array, gradient: Array, state: State, lr: float, t: int, hyper: Hypers
    ) -> tuple[Array, dict[str, Any]]:
        """The parameter and the state after step t, counted from 1."""
        with self._called("update"):
            found = self._rule.update(
                _locked(parameter), _locked(gradient), _locked_state(state), lr, t, hyper
            )
        if not isinstance(found, tuple) or len(found) != 2:
            raise self._error(
                "update", f"must return (new parameter, new state), not {_kind(found)}"
            )
        return self._array("update", found[0], parameter), self._state("update", found[1])

    def evaluation(self, parameter: Array, state: State, hyper: Hypers) -> Array:
        """The parameter to evaluate: itself unless the rule says otherwise."""
        if self._rule.evaluation is None:
            return parameter
        with self._called("evaluation"):
            found = self._rule.evaluation(_locked(parameter), _locked_state(state), hyper)
        return self._array("evaluation", found, parameter)

    @contextmanager
    def _called(self, function: str) -> Iterator[None]:
        """NumPy refuses to change a locked argument; the message then says whose it is."""
        try:
            yield
        except ValueError as error:
            if "read-only" in str(error):
                raise self._error(
                    function,
                    "changes an argument in place; it must return new arrays and leave its"
                    " arguments as they are",
                    error,
                ) from error
            raise

    def _array(self, function: str, value: Any, like: Array) -> Array:
        """A float64 array of this shape. A rule of 0-d parameters may return a number."""
        if np.shape(value) != like.shape or not isinstance(value, np.ndarray | np.float64):
            raise self._error(
                function, f"must return an array of shape {list(like.shape)}, not {_kind(value)}"
            )
        if value.dtype != np.float64:
            raise self._error(function, f"must return float64, not {value.dtype}")
        return np.asarray(value)

    def _state(self, function: str, state: Any) -> dict[str, Any]:
        """A dict by name; arrays in it, at any depth, are float64 or bool; counters are numbers."""
        if not isinstance(state, Mapping):
            raise self._error(function, f"must return a dict as its state, not {_kind(state)}")
        for key, value in state.items():
            if not isinstance(key, str):
                raise self._error(function, f"must return a state with names as keys, not {key!r}")
            for inner in _leaves(value):
                if np.iscomplexobj(inner) or (
                    np.ndim(inner) and inner.dtype not in (np.float64, bool)
                ):
                    raise self._error(
                        function, f"must return float64 in state[{key!r}], not {_kind(inner)}"
                    )
        return dict(state)

    def _error(self, function: str, problem: str, cause: Exception | None = None) -> WrongRule:
        place = place_in(cause) if cause else place_of(getattr(self._rule, function))
        before = f"{place}: " if place else ""
        return WrongRule(f"{before}{self._name}: rule.{function} {problem}")


@contextmanager
def _told(where: str) -> Iterator[None]:
    """An error of a rule also says for which tensor and step."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{FOR}{where}")
        raise


def _locked(array: Array) -> Array:
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _locked_state(state: Any) -> Any:
    """New containers around locked arrays; other objects stay the same."""
    if isinstance(state, np.ndarray):
        return _locked(state)
    if type(state) is dict:
        return {key: _locked_state(value) for key, value in state.items()}
    if type(state) in (list, tuple):
        return type(state)(_locked_state(value) for value in state)
    return state


def _leaves(value: Any) -> Iterator[Any]:
    """Arrays and numbers in dicts, lists and tuples."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, np.ndarray | np.generic | int | float | complex):
        yield value


def _kind(value: Any) -> str:
    """For messages."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} and shape {list(value.shape)}"
    return type(value).__name__

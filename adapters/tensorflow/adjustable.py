"""Which arguments of a Keras optimizer may change after its step was traced, found by trying."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapters.tensorflow.hypers import Numbers, overridden
from gradrace.adapters.tensorflow.layers import array_of
from gradrace.plugins.places import made

Make = Callable[..., Any]
Arguments = Mapping[str, Any]

_SHAPES = ((3, 2), (2,))
_STEPS = 2
_RATE = 1e-2
RATE_HINT = "Keras classes take the learning rate as `learning_rate`"


class Adjustable(NamedTuple):
    """arguments: those that may change. starting: those that the first state depends on;
    from_weights: whether it depends on the variables' values too."""

    arguments: frozenset[str]
    starting: frozenset[str]
    from_weights: bool


# Nothing may change, and nothing is known of the first state.
NONE = Adjustable(frozenset(), frozenset(), from_weights=True)

_FOUND: dict[Hashable, Adjustable] = {}


def adjustable(make: Make, arguments: Arguments) -> Adjustable:
    """Tried once for a class and its arguments' kinds, on two small tensors of Keras' floatx."""
    given = sorted(arguments.items())
    kinds = tuple((name, None if _real(value) else repr(value)) for name, value in given)
    key = (make, keras.config.floatx(), kinds)
    if key not in _FOUND:
        try:
            _FOUND[key] = _tried(make, arguments)
        except Exception:
            # If plain floats fail too, a run will say so.
            _FOUND[key] = NONE
    return _FOUND[key]


def _real(value: Any) -> bool:
    """Whether it may change. 0 often leaves a part of a rule out, and so stays a constant."""
    return type(value) is float and value != 0.0 and math.isfinite(value)


def _tried(make: Make, arguments: Arguments) -> Adjustable:
    variables = _small_variables()
    real = [name for name, value in arguments.items() if _real(value)]
    first = _built(make, arguments, variables)
    own, starting = [], set()
    for name in real:
        try:
            # Towards zero: 1 may be the greatest value allowed.
            other = _built(make, {**arguments, name: arguments[name] * 0.75}, variables)
        except Exception:
            # The class refuses this value; how others act is unknown.
            starting.add(name)
            continue
        if _differ(first, other):
            starting.add(name)
        same_paths = dict(_contents(first)).keys() == dict(_contents(other)).keys()
        if same_paths and _changed(first, other) == {name}:
            own.append(name)
    expected = _outcome(make, arguments, variables, ())
    if not _same(expected, make, arguments, variables, own):
        own = [name for name in own if _same(expected, make, arguments, variables, [name])]
        own = own if _same(expected, make, arguments, variables, own) else []
    for variable in variables:
        variable.assign(variable.value * 2.0 + 1.0)
    from_weights = _differ(first, _built(make, arguments, variables))
    return Adjustable(frozenset(own), frozenset(starting), from_weights)


def keeps_rate(make: Make, arguments: Arguments) -> bool:
    """Whether the rate with which it was made still acts after another is set, as in a class that
    keeps a product of rate and decay. Tried once for a class and its arguments; True if that fails.
    """
    given = tuple((name, repr(value)) for name, value in sorted(arguments.items()))
    key = (make, keras.config.floatx(), given)
    if key not in _KEEPS:
        variables = _small_variables()
        try:
            _KEEPS[key] = _made_of_rate(make, arguments, variables)
        except Exception:
            # A run will say why.
            _KEEPS[key] = True
    return _KEEPS[key]


_KEEPS: dict[Hashable, bool] = {}


def _made_of_rate(make: Make, arguments: Arguments, variables: list[keras.Variable]) -> bool:
    one, other = (_built(make, arguments, variables, rate) for rate in (_RATE, 0.75 * _RATE))
    if _differ(one, other) or _changed(one, other):
        return True
    ends = (_outcome(make, arguments, variables, (), rate) for rate in (_RATE, 0.75 * _RATE))
    return not all(map(np.array_equal, *ends))


def _small_variables() -> list[keras.Variable]:
    values = (np.linspace(-1.0, 1.0, math.prod(shape)).reshape(shape) for shape in _SHAPES)
    return [keras.Variable(value, dtype=keras.config.floatx()) for value in values]


def _built(
    make: Make, arguments: Arguments, variables: list[keras.Variable], made_with: float = _RATE
) -> keras.optimizers.Optimizer:
    """Made with this learning rate, which is set to _RATE afterwards."""
    optimizer = made(
        make, "learning_rate", RATE_HINT, (), {"learning_rate": made_with, **arguments}
    )
    optimizer.learning_rate = _RATE
    optimizer.build(variables)
    return optimizer


def _changed(one: keras.optimizers.Optimizer, other: keras.optimizers.Optimizer) -> set[str]:
    """Paths of attributes that tell one from the other."""
    of_other = dict(_contents(other))
    return {path for path, value in _contents(one) if value != of_other[path]}


def _contents(optimizer: keras.optimizers.Optimizer) -> Iterator[tuple[str, Any]]:
    """Paths of its attributes with their numbers, or else types; variables' values left out."""
    attributes = {name: value for name, value in vars(optimizer).items() if name != "name"}
    return _numbers_in("", attributes)


def _numbers_in(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers_in(f"{path}/{name}" if path else str(name), item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _numbers_in(f"{path}/{index}", item)
    else:
        plain = isinstance(value, bool | int | float | np.generic | None)
        yield path, value if plain else type(value)


def _differ(one: keras.optimizers.Optimizer, other: keras.optimizers.Optimizer) -> bool:
    """Whether they start from different states."""
    mine, others = ([array_of(v.value) for v in each.variables] for each in (one, other))
    return len(mine) != len(others) or not all(map(np.array_equal, mine, others))


def _outcome(
    make: Make,
    arguments: Arguments,
    variables: list[keras.Variable],
    names: Any,
    made_with: float = _RATE,
) -> list[np.ndarray]:
    """The variables after a few updates, with Numbers for these arguments; they are set back."""
    before = [tf.identity(variable.value) for variable in variables]
    optimizer = _built(make, arguments, variables, made_with)
    numbers = Numbers({name: arguments[name] for name in names}, keras.config.floatx())
    try:
        with overridden(optimizer, numbers.named()):
            for step in range(_STEPS):
                optimizer.apply([tf.cos(value + step) for value in before], variables)
        return [array_of(variable.value) for variable in [*variables, *optimizer.variables]]
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def _same(
    expected: list[np.ndarray],
    make: Make,
    arguments: Arguments,
    variables: list[keras.Variable],
    names: list[str],
) -> bool:
    """Whether Numbers for the arguments of these names are taken, and give what constants give."""
    try:
        found = _outcome(make, arguments, variables, names)
    except Exception:
        # The class needs a float, and says so in its own way.
        return False
    # A constant is rounded to float32 on its way.
    rtol = 2.0**-6 if keras.config.floatx() == "bfloat16" else 1e-5
    return all(
        np.allclose(a, b, rtol=rtol, atol=rtol / 100, equal_nan=True)
        for a, b in zip(found, expected, strict=True)
    )

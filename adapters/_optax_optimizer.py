"""Optax transformations driven step by step: learning rates and corrections travel as one traced
array a step.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gradrace.adapters._optax_hypers import (
    Expression,
    expressions_of,
    filled,
    opened,
    real_leaves,
    value_of,
)
from gradrace.binding import Bound

# Parameters (or gradients) by canonical name.
Parameters = dict[str, jax.Array]
# (name, shape) of every parameter.
Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class Numbers(NamedTuple):
    """What the optimizer takes at one step.

    of_step: [k], or a table [steps, k] of them; the columns are those of `tables`.
    of_run: the scalars of Recipe.free; while it is being found out, what gives the scalar of an
    expression."""

    of_step: Any
    of_run: Sequence[Any] | Callable[[Expression], Any] = ()


@dataclass(frozen=True)
class Recipe:
    """How to make the transformation: what is baked into compiled code. Everything else is in
    Numbers.

    arguments: (name, type, value), because 1, 1.0 and True are equal but do not compile to the
    same.
    hypers: the arguments that change with the step, beside the learning rate. buffers: those that
    are corrected.
    free: what is computed, over a whole run, of arguments that are left open (see _optax_hypers).
    """

    make: Callable[..., optax.GradientTransformation]
    arguments: tuple[tuple[str, type, Hashable], ...]
    hypers: tuple[str, ...]
    buffers: tuple[str, ...]
    evaluation: Callable[[Any, Any], Any] | None = None
    free: tuple[Expression, ...] = ()

    @property
    def columns(self) -> int:
        """How many Numbers it takes that change with the step."""
        return 1 + len(self.hypers) + 2 * len(self.buffers)

    def like(self, dtype: str) -> Numbers:
        """Numbers in shape and type, for tracing, of a run of this dtype."""
        return Numbers(
            jax.ShapeDtypeStruct((self.columns,), number_dtype(dtype)), [0.0] * len(self.free)
        )

    def evaluated(self, state: Any, parameters: Any) -> Any:
        """The parameters with which the model is evaluated."""
        return self.evaluation(state, parameters) if self.evaluation else parameters

    def init(self, parameters: Any, numbers: Numbers) -> Any:
        """The optimizer's first state. `numbers` are those of the first step."""
        return self._transformation(numbers).init(parameters)

    def update(
        self,
        gradients: Any,
        state: Any,
        parameters: Any,
        numbers: Numbers,
        objective: Callable[[Any], jax.Array] | None = None,
        value: jax.Array | None = None,
    ) -> tuple[Any, Any]:
        """The parameters and the optimizer's state after one step; arguments as of `moves`."""
        updates, state = self.moves(gradients, state, parameters, numbers, objective, value)
        return optax.apply_updates(parameters, updates), state

    def moves(
        self,
        gradients: Any,
        state: Any,
        parameters: Any,
        numbers: Numbers,
        objective: Callable[[Any], jax.Array] | None = None,
        value: jax.Array | None = None,
    ) -> tuple[Any, Any]:
        """What one step adds to the parameters, and the optimizer's state after it, in the dtypes
        that it had before.

        objective and its value at the parameters are for what asks for them: line searches,
        estimates of the Hessian."""
        before, first = state, 1 + len(self.hypers)
        for place, name in enumerate(self.buffers):
            scale, shift = (
                numbers.of_step[first + 2 * place],
                numbers.of_step[first + 2 * place + 1],
            )
            state = _corrected(state, name, scale, shift)
        transformation = optax.with_extra_args_support(self._transformation(numbers))
        extra = _extra(objective, value, gradients) if objective else {}
        updates, state = transformation.update(gradients, state, parameters, **extra)
        return updates, jax.tree.map(_as_before, state, before)

    def _transformation(self, numbers: Numbers) -> optax.GradientTransformation:
        # Numbers that are traced, not a schedule: Optax would count the steps for that a second
        # time.
        varying = {
            name: numbers.of_step[place]
            for place, name in enumerate(("learning_rate", *self.hypers))
        }
        scalars = numbers.of_run
        taken = (
            scalars if callable(scalars) else dict(zip(self.free, scalars, strict=True)).__getitem__
        )
        fixed = {name: filled(_shown(value), taken) for name, _, value in self.arguments}
        return self.make(**{**fixed, **varying})


def strong(state: Any) -> Any:
    """A first state of types that give way to no other, as a step leaves it: the second step would
    be compiled anew otherwise."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), state)


def _as_before(new: Any, old: jax.Array) -> Any:
    """Numbers of more digits than the parameters have (see `number_dtype`) would make a state of as
    many.
    """
    return new if getattr(new, "dtype", None) == old.dtype else jnp.asarray(new, old.dtype)


def _extra(
    objective: Callable[[Parameters], jax.Array], value: Any, gradients: Parameters
) -> dict[str, Any]:
    """What Optax's transformations may ask for, by its names."""

    def value_fn(parameters: Parameters, obj_fn: Any = None) -> jax.Array:
        # A line search refuses all that is neither its own nor an argument of this.
        return objective(parameters)

    return {"obj_fn": objective, "value_fn": value_fn, "value": value, "grad": gradients}


def recipe(bound: Bound) -> Recipe:
    """What of `bound` is compiled in, every argument a constant: the code of who writes his own
    training step.
    """
    arguments = _hashed(dict(sorted(bound.arguments.items())))
    return Recipe(
        bound.make,
        arguments,
        tuple(bound.hyper_tables),
        tuple(bound.state_tables),
        bound.evaluation,
    )


def open_recipe(bound: Bound, shapes: Shapes, dtype: str) -> Recipe:
    """One that serves all values of the real arguments, as far as the factory lets them be
    arguments of compiled code.

    shapes: those of the parameters, for which it is tried out. What a factory decides by remains a
    constant."""
    constant, count = recipe(bound), len(real_leaves(bound.arguments))
    whole = _with_open(constant, range(count))
    try:
        hash(constant)
    except TypeError:
        return constant
    tried = whole, shapes, dtype
    if tried not in _OPEN:
        _OPEN[tried] = _openable(constant, count, shapes, dtype)
    places = _OPEN[tried]
    return _traced(_with_open(constant, places), shapes, dtype)[0] if places else constant


# By factory, its other arguments, and what it was tried with: which of its real arguments can be
# left open.
_OPEN: dict[tuple[Recipe, Shapes, str], tuple[int, ...]] = {}


def _openable(constant: Recipe, count: int, shapes: Shapes, dtype: str) -> tuple[int, ...]:
    """All of them, or those that can be each alone and together, or none."""

    def possible(places: Sequence[int]) -> bool:
        try:
            return (
                _traced(_with_open(constant, places), shapes, dtype)[1]
                == _traced(constant, shapes, dtype)[1]
            )
        except Exception:
            # Whatever anybody's factory may raise.
            return False

    if possible(range(count)):
        return tuple(range(count))
    alone = tuple(place for place in range(count) if possible([place]))
    return alone if possible(alone) else ()


def _with_open(constant: Recipe, places: Sequence[int]) -> Recipe:
    left_open = opened({name: _shown(value) for name, _, value in constant.arguments}, places)
    return replace(constant, arguments=_hashed(left_open))


@dataclass(frozen=True)
class _Nested:
    """An argument that cannot be hashed itself; two are equal if their parts are."""

    value: Any = field(compare=False)
    parts: Hashable


def _hashed(arguments: Mapping[str, Any]) -> tuple[tuple[str, type, Hashable], ...]:
    return tuple((name, type(value), _wrapped(value)) for name, value in arguments.items())


def _wrapped(value: Any) -> Any:
    parts = _parts(value)
    return value if parts is value else _Nested(value, parts)


def _shown(value: Any) -> Any:
    return value.value if isinstance(value, _Nested) else value


def _parts(value: Any) -> Any:
    """The value itself if nothing in it is a list, a dictionary, a set or an array."""
    match value:
        case list():
            return (list, *((type(each), _parts(each)) for each in value))
        case dict():
            return (dict, *((key, type(each), _parts(each)) for key, each in value.items()))
        case set():
            return frozenset(value)
        case np.ndarray():
            return value.dtype.str, value.shape, value.tobytes()
        case tuple() if any(_parts(each) is not each for each in value):
            return tuple((type(each), _parts(each)) for each in value)
    return value


@lru_cache(maxsize=256)
def _traced(recipe: Recipe, shapes: Shapes, dtype: str) -> tuple[Recipe, Hashable]:
    """The recipe with all that is computed of what it leaves open, and the shapes and types of a
    step's results.
    """
    parameters = {name: jax.ShapeDtypeStruct(shape, dtype) for name, shape in shapes}
    of_step = recipe.like(dtype).of_step

    def objective(given: Parameters) -> jax.Array:
        return sum((value.sum() for value in given.values()), jnp.zeros((), number_dtype(dtype)))

    def step(
        taken: Callable[[Expression], jax.Array], given: Parameters, of_step: jax.Array
    ) -> Any:
        numbers = Numbers(of_step, taken)
        return recipe.update(
            given, recipe.init(given, numbers), given, numbers, objective, objective(given)
        )

    free, shape = expressions_of(step, parameters, of_step)
    leaves, structure = jax.tree.flatten(shape)
    return replace(recipe, free=free), (
        structure,
        tuple((leaf.shape, leaf.dtype) for leaf in leaves),
    )


def numbers(bound: Bound, recipe: Recipe, dtype: str) -> Numbers:
    """A whole run's: of_step is `tables`, of_run a list of Python's floats."""
    leaves = real_leaves(bound.arguments)
    return Numbers(
        tables(bound, dtype), [float(value_of(expression, leaves)) for expression in recipe.free]
    )


def tables(bound: Bound, dtype: str) -> np.ndarray:
    """[steps, k], what of `bound` changes with the step: learning rate, other arguments, scale and
    shift of each buffer.

    One array a step, because every argument of a compiled function costs time at every call.
    """
    affines = [column for affine in bound.state_tables.values() for column in affine]
    columns = [bound.learning_rates, *bound.hyper_tables.values(), *affines]
    return np.stack(columns, axis=1).astype(number_dtype(dtype))


def number_dtype(dtype: str) -> str:
    """Of learning rates and corrections, and of losses: bfloat16 has too few digits for them."""
    return "float32" if dtype == "bfloat16" else dtype


def compiled(recipe: Recipe) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Its `init` and `update`, each as a compiled function of its own (jit would hash a method, and
    so the arguments).
    """

    def init(parameters: Any, numbers: Numbers) -> Any:
        # A state that starts as the parameters themselves must not share memory with them, which
        # may be donated.
        return strong(recipe.init(jax.tree.map(jnp.copy, parameters), numbers))

    # Unused parameters bind the state to their device, as a step does; it would be compiled anew
    # for one that is not bound.
    return jax.jit(init, keep_unused=True), jax.jit(lambda *given: recipe.update(*given))


@lru_cache(maxsize=32)
def kept(recipe: Recipe) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`compiled`, as it was compiled before where it was. TypeError for arguments that cannot be
    hashed.
    """
    return compiled(recipe)


def _corrected(state: Any, name: str, scale: Any, shift: Any) -> Any:
    buffers = optax.tree_utils.tree_get(state, name)
    if buffers is None:
        raise ValueError(f"the optimizer's state has no {name!r}")
    return optax.tree_utils.tree_set(
        state, **{name: jax.tree.map(lambda buffer: buffer * scale + shift, buffers)}
    )

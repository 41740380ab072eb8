"""Optax transformations driven step by step, with rates and corrections in one array a step."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gradrace.adapters.deferred import Expression, value_of
from gradrace.adapters.jax.extra import extra_arguments
from gradrace.adapters.jax.hypers import expressions_of, filled, opened, real_leaves
from gradrace.adapters.jax.making import adapted
from gradrace.adapters.jax.schedule_free import evaluated
from gradrace.binding import Bound
from gradrace.errors import UserError
from gradrace.plugins.places import made, place_of
from gradrace.spec import RunSpec

_RATE_HINT = "factories of Optax take the learning rate as `learning_rate`"
# Parameters (or gradients) by canonical name.
Parameters = dict[str, jax.Array]
# (name, shape) of every parameter.
Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class OptimizerNumbers(NamedTuple):
    """The optimizer's inputs at one step.

    of_step: [k], or a table [steps, k]; the columns are those of `tables`.
    of_run: the scalars of OptimizerRecipe.free; while these are being found, a function that gives
    an expression's scalar.
    """

    of_step: Any
    of_run: Sequence[Any] | Callable[[Expression], Any] = ()


class Recipe:
    """The methods that follow from the others of a recipe; see OptimizerRecipe."""

    columns: Any
    free: Any
    moves: Callable[..., tuple[Any, Any]]

    def like(self, dtype: str) -> OptimizerNumbers:
        """Shapes and types of its numbers in a run of this dtype, for tracing."""
        of_step = jax.ShapeDtypeStruct((self.columns,), number_dtype(dtype))
        return OptimizerNumbers(of_step, [0.0] * len(self.free))

    def update(
        self,
        gradients: Any,
        state: Any,
        parameters: Any,
        numbers: OptimizerNumbers,
        objective: Callable[[Any], jax.Array] | None = None,
        value: jax.Array | None = None,
    ) -> tuple[Any, Any]:
        """The parameters and the optimizer's state after one step; arguments as of `moves`."""
        updates, state = self.moves(gradients, state, parameters, numbers, objective, value)
        return optax.apply_updates(parameters, updates), state


@dataclass(frozen=True)
class OptimizerRecipe(Recipe):
    """How to make the transformation: all constants of compiled code.

    arguments: (name, type, value), because 1, 1.0 and True are equal but compile differently.
    hypers: the arguments that change with the step, beside the learning rate.
    buffers: the parts of the state that are corrected.
    free: expressions of arguments that are left open (see hypers), constant over a run.
    """

    make: Callable[..., optax.GradientTransformation]
    arguments: tuple[tuple[str, type, Hashable], ...]
    hypers: tuple[str, ...]
    buffers: tuple[str, ...]
    evaluation: Callable[[Any, Any], Any] | None = None
    free: tuple[Expression, ...] = ()

    @property
    def columns(self) -> int:
        """How many of its numbers change with the step."""
        return 1 + len(self.hypers) + 2 * len(self.buffers)

    @property
    def rates(self) -> tuple[int, ...]:
        """Which of these are learning rates."""
        return (0,)

    def evaluated(self, state: Any, parameters: Any) -> Any:
        """The parameters with which the model is evaluated."""
        return self.evaluation(state, parameters) if self.evaluation else parameters

    def init(self, parameters: Any, numbers: OptimizerNumbers) -> Any:
        """The optimizer's first state; `numbers` are the first step's."""
        return self._transformation(numbers).init(parameters)

    def moves(
        self,
        gradients: Any,
        state: Any,
        parameters: Any,
        numbers: OptimizerNumbers,
        objective: Callable[[Any], jax.Array] | None = None,
        value: jax.Array | None = None,
    ) -> tuple[Any, Any]:
        """One step's additions to the parameters, and the state after it, in its dtypes of before.

        objective and its value at the parameters are for line searches and Hessian estimates.
        """
        before, first = state, 1 + len(self.hypers)
        for place, name in enumerate(self.buffers):
            at = first + 2 * place
            state = _corrected(state, name, numbers.of_step[at], numbers.of_step[at + 1])
        transformation = optax.with_extra_args_support(self._transformation(numbers))
        extra = extra_arguments(objective, value, gradients) if objective else {}
        found = transformation.update(gradients, state, parameters, **extra)
        updates, state = self._checked(found, parameters)
        return updates, jax.tree.map(_as_before, state, before)

    def _transformation(self, numbers: OptimizerNumbers) -> optax.GradientTransformation:
        # Traced numbers, not a schedule, for which Optax would count the steps a second time.
        names = enumerate(("learning_rate", *self.hypers))
        varying = {name: numbers.of_step[place] for place, name in names}
        taken: Any = numbers.of_run
        if not callable(taken):
            taken = dict(zip(self.free, taken, strict=True)).__getitem__
        fixed = {name: filled(_shown(value), taken) for name, _, value in self.arguments}
        made_of = made(self.make, "learning_rate", _RATE_HINT, (), {**fixed, **varying})
        if not (hasattr(made_of, "init") and hasattr(made_of, "update")):
            raise self._error(
                f"it returns a {type(made_of).__name__}; expected an optax.GradientTransformation,"
                " with init and update"
            )
        return made_of

    def _error(self, problem: str) -> UserError:
        """With the place of the factory."""
        place, name = place_of(self.make), getattr(self.make, "__name__", "the factory")
        return UserError(f"{place}{': ' if place else ''}{name}: {problem}")

    def _checked(self, found: Any, parameters: Any) -> tuple[Any, Any]:
        """What `update` returned, if it is a pair of updates of the parameters' shapes, and a
        state."""
        if not isinstance(found, tuple) or len(found) != 2:
            kind = type(found).__name__
            raise self._error(f"its update returns a {kind}; expected (updates, new state)")
        flat = isinstance(found[0], dict) and isinstance(parameters, dict)
        for name, update in found[0].items() if flat else ():
            wanted = getattr(parameters.get(name), "shape", None)
            shape = getattr(update, "shape", wanted)
            if wanted is not None and shape is not None and shape != wanted:
                raise self._error(
                    f"its update gives the shape {list(shape)} for {name}; expected {list(wanted)}"
                )
        return found


def optimizer_of(run: RunSpec, bound: Bound, shapes: Shapes) -> OptimizerRecipe:
    """Real hyperparameters are arguments of convergence runs' programs, which then serve them all;
    in timed runs they are constants, as in anybody's own training step. Under the native rule any
    factory will do, and a schedule-free state says by itself what is evaluated."""
    if run.optimizer.rule == "native":
        make, evaluation = adapted(bound.make, bound.arguments), bound.evaluation or evaluated
        bound = replace(bound, make=make, evaluation=evaluation)
    free = run.measure == "convergence" and run.optimizer.rule == "canonical"
    return open_recipe(bound, shapes, run.dtype) if free else recipe(bound)


def strong(state: Any) -> Any:
    """A first state without weak types, as a step leaves it; else the second step compiles anew."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), state)


def _as_before(new: Any, old: jax.Array) -> Any:
    """Numbers of more digits than the parameters (see `number_dtype`) would widen the state."""
    return new if getattr(new, "dtype", None) == old.dtype else jnp.asarray(new, old.dtype)


def recipe(bound: Bound) -> OptimizerRecipe:
    """With every argument a constant, as in anybody's own training step."""
    arguments = _hashed(dict(sorted(bound.arguments.items())))
    tables = tuple(bound.hyper_tables), tuple(bound.state_tables)
    return OptimizerRecipe(bound.make, arguments, *tables, bound.evaluation)


def open_recipe(bound: Bound, shapes: Shapes, dtype: str) -> OptimizerRecipe:
    """One that serves all values of the real arguments, as far as the factory allows.

    shapes: the parameters', for which it is tried. An argument that a factory decides by remains a
    constant.
    """
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


# Which real arguments can be left open, by factory, other arguments, shapes and dtype.
_OPEN: dict[tuple[OptimizerRecipe, Shapes, str], tuple[int, ...]] = {}


def _openable(constant: OptimizerRecipe, count: int, shapes: Shapes, dtype: str) -> tuple[int, ...]:
    """All of them, or those that can be open alone and together, or none."""

    def possible(places: Sequence[int]) -> bool:
        try:
            found = _traced(_with_open(constant, places), shapes, dtype)[1]
            return found == _traced(constant, shapes, dtype)[1]
        except Exception:
            # A user's factory may raise anything.
            return False

    if possible(range(count)):
        return tuple(range(count))
    alone = tuple(place for place in range(count) if possible([place]))
    return alone if possible(alone) else ()


def _with_open(constant: OptimizerRecipe, places: Sequence[int]) -> OptimizerRecipe:
    left_open = opened({name: _shown(value) for name, _, value in constant.arguments}, places)
    return replace(constant, arguments=_hashed(left_open))


@dataclass(frozen=True)
class _Nested:
    """An argument that has no hash itself; two are equal if their parts are."""

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
def _traced(
    recipe: OptimizerRecipe, shapes: Shapes, dtype: str
) -> tuple[OptimizerRecipe, Hashable]:
    """The recipe with its free expressions, and the shapes and types of a step's results."""
    parameters = {name: jax.ShapeDtypeStruct(shape, dtype) for name, shape in shapes}
    of_step = recipe.like(dtype).of_step

    def objective(given: Parameters) -> jax.Array:
        return sum((value.sum() for value in given.values()), jnp.zeros((), number_dtype(dtype)))

    def step(
        taken: Callable[[Expression], jax.Array], given: Parameters, of_step: jax.Array
    ) -> Any:
        numbers, value = OptimizerNumbers(of_step, taken), objective(given)
        state = recipe.init(given, numbers)
        return recipe.update(given, state, given, numbers, objective, value)

    free, shape = expressions_of(step, parameters, of_step)
    leaves, structure = jax.tree.flatten(shape)
    types = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    return replace(recipe, free=free), (structure, types)


def needs_loss(recipe: Any, shapes: Shapes, dtype: str) -> bool:
    """Whether a recipe of either kind cannot take a step on gradients alone; computes nothing."""
    parameters = {name: jax.ShapeDtypeStruct(shape, dtype) for name, shape in shapes}

    def step(given: Parameters, numbers: OptimizerNumbers) -> Any:
        return recipe.update(given, recipe.init(given, numbers), given, numbers)

    try:
        jax.eval_shape(step, parameters, recipe.like(dtype))
    except Exception:
        # Each function says in its own way what it lacks.
        return True
    return False


def numbers(bound: Bound, recipe: OptimizerRecipe, dtype: str) -> OptimizerNumbers:
    """A whole run's: of_step is `tables`, of_run a list of Python's floats."""
    leaves = real_leaves(bound.arguments)
    of_run = [float(value_of(expression, leaves)) for expression in recipe.free]
    return OptimizerNumbers(tables(bound, dtype), of_run)


def tables(bound: Bound, dtype: str) -> np.ndarray:
    """[steps, k]: learning rate, other arguments that change, scale and shift of each buffer.

    One array a step, because every argument of a compiled function costs time at every call.
    """
    affines = [column for affine in bound.state_tables.values() for column in affine]
    columns = [bound.learning_rates, *bound.hyper_tables.values(), *affines]
    return np.stack(columns, axis=1).astype(number_dtype(dtype))


def number_dtype(dtype: str) -> str:
    """Of learning rates and corrections, and of losses: bfloat16 has too few digits for them."""
    return "float32" if dtype == "bfloat16" else dtype


def compiled(recipe: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`init` and `update` of an OptimizerRecipe, or of several as groups.GroupedRecipe, as compiled
    functions (of a method, jit would hash the arguments)."""

    def init(parameters: Any, numbers: OptimizerNumbers) -> Any:
        # A state that starts as the parameters must not share their memory, which may be donated.
        return strong(recipe.init(jax.tree.map(jnp.copy, parameters), numbers))

    # Unused parameters bind the state to their device; for an unbound one a step compiles anew.
    return jax.jit(init, keep_unused=True), jax.jit(lambda *given: recipe.update(*given))


@lru_cache(maxsize=32)
def kept(recipe: OptimizerRecipe) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`compiled`, from earlier if it was. TypeError for arguments that cannot be hashed."""
    return compiled(recipe)


def _corrected(state: Any, name: str, scale: Any, shift: Any) -> Any:
    buffers = optax.tree_utils.tree_get(state, name)
    if buffers is None:
        raise ValueError(f"the optimizer's state has no {name!r}")
    moved = jax.tree.map(lambda buffer: buffer * scale + shift, buffers)
    return optax.tree_utils.tree_set(state, **{name: moved})

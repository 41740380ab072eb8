"""Mode "nnx": the training step that Flax teaches, `nnx.jit` over a module and an optimizer.

At every call both are taken apart into arrays and put together again, in Python: that is this
mode's cost, and what users of `nnx.jit` pay; docs/benchmarks.md has the figures, and what Flax
offers against it. Nothing is donated, as in Flax's own examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from gradrace.adapter import Part
from gradrace.adapters.jax import layers, losses
from gradrace.adapters.jax.batches import Batch, Resident, Window, batch_at, numbers_at
from gradrace.adapters.jax.groups import AnyRecipe, GroupedRecipe
from gradrace.adapters.jax.optimizer import (
    OptimizerNumbers,
    OptimizerRecipe,
    Parameters,
    number_dtype,
    strong,
)
from gradrace.adapters.jax.program import ProgramRecipe, PureNetwork
from gradrace.objective import Amounts

# Where a parameter lies in the module -> its canonical name.
_Names = Mapping[tuple[Any, ...], str]


class _Held(NamedTuple):
    """A session's module and optimizer, or their twins with gradients beside them."""

    model: layers.FlaxNetwork
    optimizer: nnx.Optimizer[Any]
    gradients: Any = None


class NnxPrograms:
    """See program.Programs."""

    def __init__(self, recipe: ProgramRecipe) -> None:
        self._recipe, self._layers = recipe, recipe.layers
        self._names = layers.paths_of(self._layers)
        self._first = OptimizerNumbers(
            jnp.zeros(recipe.optimizer.columns, number_dtype(recipe.dtype)),
            [0.0] * len(recipe.optimizer.free),
        )
        recipe_of_trees = _of_trees(recipe.optimizer, self._names)
        self._evaluated = recipe_of_trees.evaluated
        self._transformation = optax.GradientTransformationExtraArgs(
            lambda parameters: recipe_of_trees.init(parameters, self._first),
            _moves(recipe_of_trees),
        )
        network = PureNetwork(recipe, looped=False)
        self._evaluate: Any = jax.jit(lambda *given: network.evaluate(*given))
        self._compiled = _compiled(recipe, network, self._names)
        gradient = self._compiled.gradient.function
        self._gradients = _Flat(lambda *given: gradient(*given)[1])
        self.parts: Mapping[Part, Callable[..., tuple[_Held, Any]]] = {
            "forward": self._probe_forward,
            "gradient": self._probe_gradient,
            "update": self._probe_update,
        }

    def step(self, held: _Held, *given: Any) -> tuple[_Held, Any]:
        return held, self._compiled.step(held.model, held.optimizer, *given)

    def open(
        self, parameters: Parameters, statistics: Parameters, numbers: OptimizerNumbers
    ) -> _Held:
        model = layers.module(self._layers, self._recipe.dtype, parameters | statistics)
        self._first = numbers
        optimizer = nnx.Optimizer(model, self._transformation, wrt=nnx.Param)
        # Beside the parameters: for a state on no device in particular a step is compiled anew.
        device = next(iter(parameters.values())).sharding
        nnx.update(optimizer, jax.device_put(strong(nnx.state(optimizer)), device))
        return _Held(model, optimizer)

    def adopt(self, held: _Held) -> _Held:
        # An optimizer holds its transformation, and so its corrections.
        optimizer = nnx.Optimizer(held.model, self._transformation, wrt=nnx.Param)
        nnx.update(optimizer, nnx.state(held.optimizer))
        return _Held(held.model, optimizer)

    def twin(self, held: _Held, window: Window, batch: Batch | Resident) -> _Held:
        model, optimizer = nnx.clone(held.model), nnx.clone(held.optimizer)
        return _Held(model, optimizer, self._compiled.gradient(model, window, batch, 0)[1])

    def arrays(self, held: _Held) -> Parameters:
        return _named(nnx.as_pure(nnx.state(held.model)), self._names)

    def gradients(self, held: _Held, window: Window, batch: Batch | Resident) -> Parameters:
        # Of a clone, whose running statistics may move.
        found = self._gradients(nnx.clone(held.model), window, batch, 0)
        return _named(nnx.as_pure(found), self._names)

    def state(self, held: _Held) -> Any:
        return nnx.as_pure(held.optimizer.opt_state)

    def evaluate(
        self, held: _Held, amounts: Amounts, x: jax.Array, y: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        trained = nnx.as_pure(nnx.state(held.model, nnx.Param))
        evaluated = self._evaluated(self.state(held), trained)
        parameters = _named(evaluated, self._names)
        statistics = {n: value for n, value in self.arrays(held).items() if n not in parameters}
        found: tuple[jax.Array, jax.Array] = self._evaluate(parameters, statistics, amounts, x, y)
        return found

    def compilations(self) -> int:
        return sum(each.compilations() for each in self._compiled) + self._evaluate._cache_size()

    def _probe_forward(self, twin: _Held, *given: Any) -> tuple[_Held, Any]:
        return twin, self._compiled.forward(twin.model, *given)

    def _probe_gradient(self, twin: _Held, *given: Any) -> tuple[_Held, Any]:
        loss, gradients = self._compiled.gradient(twin.model, *given)
        return twin._replace(gradients=gradients), loss

    def _probe_update(self, twin: _Held, *given: Any) -> tuple[_Held, None]:
        self._compiled.update(twin.model, twin.optimizer, twin.gradients, *given)
        return twin, None


class _Flat:
    """function(*module, optimizer or gradients, window, source, t) through `nnx.jit`.

    nnx goes through every tuple and dictionary of an argument in Python, at every call: the last
    three arguments cross as their arrays alone, as a user's two arrays do.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._programs: dict[Any, Any] = {}

    def __call__(self, *given: Any) -> Any:
        arrays, tree = jax.tree.flatten(given[-3:])
        if tree not in self._programs:
            self._programs[tree] = self._program(tree)
        return self._programs[tree](*given[:-3], *arrays)

    def compilations(self) -> int:
        """How many programs were compiled."""
        return sum(program.jitted_fn._cache_size() for program in self._programs.values())

    def _program(self, tree: Any) -> Any:
        def flat(*given: Any) -> Any:
            count = len(given) - tree.num_leaves
            return self.function(*given[:count], *jax.tree.unflatten(tree, given[count:]))

        return nnx.jit(flat)


class _Compiled(NamedTuple):
    step: _Flat
    forward: _Flat
    gradient: _Flat
    update: _Flat


def _compiled(recipe: ProgramRecipe, network: PureNetwork, names: _Names) -> _Compiled:
    """The training step and its parts; they change module and optimizer in place."""
    objective, dtype = recipe.objective, number_dtype(recipe.dtype)

    def loss_of(model: Any, batch: Batch, noise: Any, amounts: Amounts) -> jax.Array:
        outputs = model(batch.x, True, {**amounts, **noise}).astype(dtype)
        loss = losses.loss(objective, amounts, outputs, batch.y)
        parameters = _named(nnx.as_pure(nnx.state(model, nnx.Param)), names)
        return loss + network.penalty(parameters, amounts)

    def update(
        model: Any,
        optimizer: Any,
        gradients: Any,
        numbers: OptimizerNumbers,
        amounts: Amounts,
        again: Any = None,
        loss: Any = None,
    ) -> None:
        if "decay" in amounts:
            decayed = [
                (path, kernel.replace(network.decayed(kernel[...], numbers, amounts)))
                for path, kernel in nnx.to_flat_state(nnx.state(model, nnx.Param))
                if names[path] in network.kernels
            ]
            nnx.update(model, nnx.from_flat_state(decayed))
        gradients = losses.clipped(amounts, gradients)
        optimizer.update(model, gradients, numbers=numbers, again=again, value=loss)

    @_Flat
    def step(
        model: Any, optimizer: Any, window: Window, source: Resident | Batch, t: Any
    ) -> jax.Array:
        (numbers, noise), batch = numbers_at(window, t), batch_at(source, t)
        amounts = network.amounts(window.amounts)
        parted: Any = nnx.split(model, nnx.Param, ...)
        graph, _, others = parted
        loss, gradients = nnx.value_and_grad(loss_of)(model, batch, noise, amounts)

        def again(parameters: Any) -> jax.Array:
            return loss_of(nnx.merge(graph, parameters, others), batch, noise, amounts)

        update(model, optimizer, gradients, numbers, amounts, again, loss)
        return loss

    @_Flat
    def forward(model: Any, window: Window, source: Resident | Batch, t: Any) -> jax.Array:
        noise, amounts = numbers_at(window, t)[1], network.amounts(window.amounts)
        return loss_of(model, batch_at(source, t), noise, amounts)

    @_Flat
    def gradient(
        model: Any, window: Window, source: Resident | Batch, t: Any
    ) -> tuple[jax.Array, Any]:
        noise, amounts = numbers_at(window, t)[1], network.amounts(window.amounts)
        slope, batch = nnx.value_and_grad(loss_of), batch_at(source, t)
        found: tuple[jax.Array, Any] = slope(model, batch, noise, amounts)
        return found

    @_Flat
    def updated(
        model: Any, optimizer: Any, gradients: Any, window: Window, source: None, t: Any
    ) -> None:
        numbers, amounts = numbers_at(window, t)[0], network.amounts(window.amounts)
        update(model, optimizer, gradients, numbers, amounts)

    return _Compiled(step, forward, gradient, updated)


class _Grouped:
    """A GroupedRecipe, which knows parameters by name, for trees as a module has them."""

    def __init__(self, recipe: GroupedRecipe, names: _Names) -> None:
        self._recipe, self._names = recipe, names

    def init(self, parameters: Any, numbers: OptimizerNumbers) -> Any:
        return self._recipe.init(self._named(parameters), numbers)

    def evaluated(self, state: Any, parameters: Any) -> Any:
        return self._tree(self._recipe.evaluated(state, self._named(parameters)), parameters)

    def moves(
        self,
        gradients: Any,
        state: Any,
        parameters: Any,
        numbers: OptimizerNumbers,
        objective: Callable[[Any], jax.Array] | None,
        value: Any,
    ) -> tuple[Any, Any]:
        of_named = objective and (lambda named: objective(self._tree(named, parameters)))
        given = self._named(gradients), state, self._named(parameters), numbers, of_named, value
        updates, after = self._recipe.moves(*given)
        return self._tree(updates, parameters), after

    def _named(self, tree: Any) -> Parameters:
        return _named(nnx.as_pure(tree), self._names)

    def _tree(self, named: Parameters, like: Any) -> Any:
        """A tree like this one, with the arrays of these names."""
        places = nnx.to_flat_state(like)
        arrays = nnx.from_flat_state([(path, named[self._names[path]]) for path, _ in places])
        return jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(arrays))


def _of_trees(recipe: AnyRecipe, names: _Names) -> OptimizerRecipe | _Grouped:
    """The recipe for trees as a module has them."""
    return _Grouped(recipe, names) if isinstance(recipe, GroupedRecipe) else recipe


def _moves(recipe: OptimizerRecipe | _Grouped) -> Callable[..., tuple[Any, Any]]:
    """An Optax update that gets the step's numbers, and the loss, as extra arguments."""

    def update(
        gradients: Any,
        state: Any,
        parameters: Any = None,
        *,
        numbers: OptimizerNumbers,
        again: Any = None,
        value: Any = None,
    ) -> tuple[Any, Any]:
        return recipe.moves(gradients, state, parameters, numbers, again, value)

    return update


def _named(state: Any, names: _Names) -> Parameters:
    """A module's state by canonical name."""
    return {names[path]: value for path, value in nnx.to_flat_state(state)}

"""Modes "jit" and "scan": a training step, its parts and the evaluation, compiled as functions.

A program takes and returns the arrays that it moves as a flat list: at every call, dictionaries
that cross the edge of a compiled function are sorted, taken apart and put together again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gradrace.adapter import Part
from gradrace.adapters.jax import losses
from gradrace.adapters.jax import optimizer as optimizers
from gradrace.adapters.jax.batches import Batch, Resident, Window, batch_at, numbers_at
from gradrace.adapters.jax.optimizer import OptimizerNumbers, Parameters, number_dtype
from gradrace.adapters.jax.program import Held, ProgramRecipe, PureNetwork
from gradrace.objective import Amounts


class _Twin(NamedTuple):
    """Flat lists of arrays for probing; no gradients before they are first taken."""

    parameters: list[jax.Array]
    state: list[jax.Array]
    statistics: list[jax.Array]
    gradients: list[jax.Array]


class FunctionalPrograms:
    """See Programs. `held` is the flat list of (parameters, optimizer's state, statistics).

    looped: a call takes many steps, in one compiled loop.
    """

    def __init__(self, recipe: ProgramRecipe, looped: bool) -> None:
        self._recipe, self._network = recipe, PureNetwork(recipe, looped)
        carry = parameters, state, statistics = _shapes(recipe)
        self._tree = jax.tree.structure(carry)
        self._init = optimizers.compiled(recipe.optimizer)[0]
        self._evaluate = jax.jit(lambda *given: self._network.evaluate(*given))
        kind = _looped if looped else _single
        self.step = kind(self.whole, carry)
        self._forward = kind(self._forward_part, statistics, parameters)
        self._gradient = kind(self._gradient_part, (parameters, statistics), parameters)
        self._update = kind(self._update_part, (parameters, state), parameters)
        self._slope = _single(self._gradient_part, (parameters, statistics), parameters)
        self._gradients = jax.jit(lambda *given: self._gradient_part(*given)[0][0])
        self.parts: Mapping[Part, Callable[..., tuple[Held, Any]]] = {
            "forward": self._probe_forward,
            "gradient": self._probe_gradient,
            "update": self._probe_update,
        }

    def open(
        self, parameters: Parameters, statistics: Parameters, numbers: OptimizerNumbers
    ) -> Held:
        return jax.tree.leaves((parameters, self._init(parameters, numbers), statistics))

    def adopt(self, held: Held) -> Held:
        return held

    def twin(self, held: Held, window: Window, batch: Batch | Resident) -> _Twin:
        parameters, state, statistics = self._carry([array.copy() for array in held])
        lists = [jax.tree.leaves(tree) for tree in (parameters, state, statistics)]
        spare = [array.copy() for array in lists[0]]
        moved, _ = self._slope(spare + lists[2], window, batch, 0, lists[0])
        return _Twin(lists[0], lists[1], moved[len(spare) :], moved[: len(spare)])

    def arrays(self, held: Held) -> Parameters:
        parameters, _, statistics = self._carry(held)
        return parameters | statistics

    def gradients(self, held: Held, window: Window, batch: Resident | Batch) -> Parameters:
        parameters, _, statistics = self._carry(held)
        found: Parameters = self._gradients((None, statistics), parameters, window, batch, 0)
        return found

    def state(self, held: Held) -> Any:
        return self._carry(held)[1]

    def evaluate(
        self, held: Held, amounts: Amounts, x: jax.Array, y: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        parameters, state, statistics = self._carry(held)
        found: tuple[jax.Array, jax.Array] = self._evaluate(
            self._recipe.optimizer.evaluated(state, parameters), statistics, amounts, x, y
        )
        return found

    def compilations(self) -> int:
        parts: list[Any] = [self._forward, self._gradient, self._update, self._slope]
        return sum(program._cache_size() for program in (self.step, *parts, self._evaluate))

    def _carry(self, held: Held) -> tuple[Parameters, Any, Parameters]:
        carry: tuple[Parameters, Any, Parameters] = jax.tree.unflatten(self._tree, held)
        return carry

    def whole(
        self, carry: Any, fixed: Any, window: Window, source: Resident | Batch, t: Any
    ) -> tuple[Any, jax.Array]:
        """A step as a pure function: (parameters, optimizer's state, statistics) after it, and the
        batch's loss. `fixed` is for the forms of `_single` and `_looped`, and unused."""
        parameters, state, before = carry
        (numbers, noise), batch = numbers_at(window, t), batch_at(source, t)
        amounts = self._network.amounts(window.amounts)
        slope = jax.value_and_grad(self._network.loss, has_aux=True)
        (loss, statistics), gradients = slope(parameters, before, batch, noise, amounts)

        def again(given: Parameters) -> jax.Array:
            return self._network.loss(given, before, batch, noise, amounts)[0]

        moved = self._updated(parameters, state, gradients, numbers, amounts, again, loss)
        return (*moved, statistics), loss

    def _updated(
        self,
        parameters: Parameters,
        state: Any,
        gradients: Parameters,
        numbers: OptimizerNumbers,
        amounts: Amounts,
        again: Any = None,
        loss: Any = None,
    ) -> tuple[Parameters, Any]:
        gradients = losses.clipped(amounts, gradients)
        if "decay" in amounts:
            kernels, decayed = self._network.kernels, self._network.decayed
            after = {name: decayed(parameters[name], numbers, amounts) for name in kernels}
            parameters = parameters | after
        return self._recipe.optimizer.update(gradients, state, parameters, numbers, again, loss)

    def _forward_part(
        self, statistics: Any, parameters: Any, window: Window, source: Any, t: Any
    ) -> tuple[Any, Any]:
        noise, amounts = numbers_at(window, t)[1], self._network.amounts(window.amounts)
        batch = batch_at(source, t)
        loss, statistics = self._network.loss(parameters, statistics, batch, noise, amounts)
        return statistics, loss

    def _gradient_part(
        self, moved: Any, parameters: Any, window: Window, source: Any, t: Any
    ) -> tuple[Any, Any]:
        noise, amounts = numbers_at(window, t)[1], self._network.amounts(window.amounts)
        slope = jax.value_and_grad(self._network.loss, has_aux=True)
        found, gradients = slope(parameters, moved[1], batch_at(source, t), noise, amounts)
        return (gradients, found[1]), found[0]

    def _update_part(
        self, moved: Any, gradients: Any, window: Window, source: None, t: Any
    ) -> tuple[Any, None]:
        (parameters, state), amounts = moved, self._network.amounts(window.amounts)
        return self._updated(parameters, state, gradients, numbers_at(window, t)[0], amounts), None

    def _probe_forward(self, twin: _Twin, *given: Any) -> tuple[_Twin, Any]:
        statistics, losses = self._forward(twin.statistics, *given, twin.parameters)
        return twin._replace(statistics=statistics), losses

    def _probe_gradient(self, twin: _Twin, *given: Any) -> tuple[_Twin, Any]:
        moved, losses = self._gradient(twin.gradients + twin.statistics, *given, twin.parameters)
        count = len(twin.gradients)
        return twin._replace(gradients=moved[:count], statistics=moved[count:]), losses

    def _probe_update(self, twin: _Twin, *given: Any) -> tuple[_Twin, Any]:
        moved, none = self._update(twin.parameters + twin.state, *given, twin.gradients)
        count = len(twin.parameters)
        return twin._replace(parameters=moved[:count], state=moved[count:]), none


def _single(one: Callable[..., tuple[Any, Any]], moved: Any, fixed: Any = ()) -> Any:
    """one(moved, fixed, window, source, t) -> moved, found; compiled over flat lists."""
    of_moved, of_fixed = jax.tree.structure(moved), jax.tree.structure(fixed)

    def flat(moved: Any, window: Window, source: Any, t: Any, fixed: Any = ()) -> tuple[Any, Any]:
        moved, fixed = jax.tree.unflatten(of_moved, moved), jax.tree.unflatten(of_fixed, fixed)
        after, found = one(moved, fixed, window, source, t)
        return jax.tree.leaves(after), found

    return jax.jit(flat, donate_argnums=0)


def _looped(one: Callable[..., tuple[Any, Any]], moved: Any, fixed: Any = ()) -> Any:
    """The same for `count` steps from `first` in one program."""
    of_moved, of_fixed = jax.tree.structure(moved), jax.tree.structure(fixed)

    def flat(
        moved: Any, window: Window, source: Any, first: Any, count: int, fixed: Any = ()
    ) -> tuple[Any, Any]:
        constant = jax.tree.unflatten(of_fixed, fixed)
        batches = source if isinstance(source, Batch) else None

        def body(carry: Any, of_step: tuple[Any, Batch | None]) -> tuple[Any, Any]:
            t, own = of_step
            return one(carry, constant, window, source if own is None else own, t)

        steps = first + jnp.arange(count, dtype=jnp.int32)
        after, found = jax.lax.scan(body, jax.tree.unflatten(of_moved, moved), (steps, batches))
        return jax.tree.leaves(after), found

    return jax.jit(flat, donate_argnums=0, static_argnums=4)


def _shapes(recipe: ProgramRecipe) -> tuple[dict[str, Any], Any, dict[str, Any]]:
    """(parameters, optimizer's state, statistics), each array as its shape and dtype."""
    own = [parameter for layer in recipe.layers for parameter in layer.parameters]
    numbers = recipe.optimizer.like(recipe.dtype)
    like, dtype = jax.ShapeDtypeStruct, number_dtype(recipe.dtype)
    parameters = {p.name: like(p.shape, recipe.dtype) for p in own if p.trainable}
    statistics = {p.name: like(p.shape, dtype) for p in own if not p.trainable}
    return parameters, jax.eval_shape(recipe.optimizer.init, parameters, numbers), statistics

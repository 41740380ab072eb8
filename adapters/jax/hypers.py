"""Hyperparameters that compiled code takes as arguments, so that one program serves all values.

Optax computes with hyperparameters in Python, as `1 - b2`, before an array comes in. Its factories
are handed Symbols instead: each becomes, if it meets an array, a scalar among the compiled code's
arguments, as weakly typed as the Python number that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import jax
from gradrace.adapters.deferred import Deferred, Expression, Free


class Symbol(Deferred):
    """A hyperparameter, or a number computed from some.

    `taken` gives an expression's scalar in the code being traced. TypeError if its value would
    decide what is compiled.
    """

    def __init__(self, expression: Expression, taken: Callable[[Expression], jax.Array]) -> None:
        super().__init__(expression)
        self.taken = taken

    def derived(self, expression: Expression) -> Self:
        return type(self)(expression, self.taken)

    def decided(self, expression: Expression) -> Any:
        raise TypeError("a hyperparameter that is an argument of compiled code has no value yet")

    def with_array(self, function: Callable[..., Any], one: Any, other: Any) -> Any:
        return function(*(each.__jax_array__() if each is self else each for each in (one, other)))

    def __jax_array__(self) -> jax.Array:
        return self.taken(self.expression)

    def __eq__(self, other: object) -> Any:
        if isinstance(other, jax.Array):
            return self.__jax_array__() == other
        return self.decided(self.expression)

    __hash__ = None


# For functions of Optax's that are compiled by themselves: there a Python number would be a scalar
# of their arguments too.
jax.tree_util.register_pytree_node(
    Symbol, lambda symbol: ((symbol.__jax_array__(),), None), lambda _, children: children[0]
)


def real_leaves(arguments: Mapping[str, Any]) -> list[float]:
    """The floats among a factory's arguments, alone or in tuples; neither integers nor booleans."""
    return [leaf for leaf in jax.tree.leaves(dict(arguments)) if isinstance(leaf, float)]


def opened(arguments: Mapping[str, Any], places: Sequence[int]) -> dict[str, Any]:
    """The arguments with these of their real leaves left open."""
    leaves, structure = jax.tree.flatten(dict(arguments))
    real = [index for index, leaf in enumerate(leaves) if isinstance(leaf, float)]
    for place in places:
        leaves[real[place]] = Free(place)
    left_open: dict[str, Any] = jax.tree.unflatten(structure, leaves)
    return left_open


def filled(argument: Any, taken: Callable[[Expression], jax.Array]) -> Any:
    """One of `opened`, with Symbols in the open places; if there are none, the same object."""
    if not any(isinstance(leaf, Free) for leaf in jax.tree.leaves(argument)):
        return argument
    return jax.tree.map(
        lambda leaf: Symbol(leaf, taken) if isinstance(leaf, Free) else leaf, argument
    )


def expressions_of(program: Callable[..., Any], *given: Any) -> tuple[tuple[Expression, ...], Any]:
    """The expressions that `program(taken, *given)` takes, each once, and the shapes it returns.

    Computes nothing; raises what the program raises.
    """
    found: dict[Expression, None] = {}

    def traced(scalar: jax.Array, *given: Any) -> Any:
        def taken(expression: Expression) -> jax.Array:
            found[expression] = None
            return scalar

        return program(taken, *given)

    shapes = jax.eval_shape(traced, 0.5, *given)
    return tuple(found), shapes

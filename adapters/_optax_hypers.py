"""Hyperparameters that compiled code takes as arguments, so that one program serves all their
values.

Optax computes with hyperparameters before any array comes in, as `1 - b2`, in Python and so in
double precision; of a traced float32 that would be off by 1e-5. A factory is therefore handed
Symbols. A Symbol keeps the arithmetic that is done with it as an Expression, and becomes a scalar
of the compiled code's arguments where it meets an array; the host works out what that scalar is, in
double precision. It is as weakly typed as the Python number that it stands for."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partialmethod
from typing import Any

import jax


@dataclass(frozen=True)
class Free:
    """An argument that is left open: which of `real_leaves`."""

    place: int


# Free, a number, or (name of an operator, Expression, ...).
Expression = Any
_OPERATORS: Mapping[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "truediv": operator.truediv,
    "pow": operator.pow,
    "neg": operator.neg,
    "abs": operator.abs,
}


def value_of(expression: Expression, leaves: Sequence[float]) -> float:
    """The number that an expression is where these are the arguments' values."""
    match expression:
        case Free(place):
            return leaves[place]
        case (str() as name, *operands):
            found: float = _OPERATORS[name](*(value_of(operand, leaves) for operand in operands))
            return found
    number: float = expression
    return number


class Symbol:
    """A hyperparameter, or what was computed of some. `taken` gives an expression's scalar in the
    code being traced.

    TypeError where its value would decide what is compiled: truth, comparison with a number,
    conversion to a number, hashing."""

    # NumPy is to leave arithmetic to this class.
    __array_ufunc__ = None

    def __init__(self, expression: Expression, taken: Callable[[Expression], jax.Array]) -> None:
        self.expression, self.taken = expression, taken

    def __jax_array__(self) -> jax.Array:
        return self.taken(self.expression)

    def _with(self, name: str, other: Any) -> Any:
        if isinstance(other, Symbol | int | float):
            return Symbol((name, self.expression, getattr(other, "expression", other)), self.taken)
        return _OPERATORS[name](self.__jax_array__(), other)

    def _after(self, name: str, other: Any) -> Any:
        if isinstance(other, int | float):
            return Symbol((name, other, self.expression), self.taken)
        return _OPERATORS[name](other, self.__jax_array__())

    __add__, __radd__ = partialmethod(_with, "add"), partialmethod(_after, "add")
    __sub__, __rsub__ = partialmethod(_with, "sub"), partialmethod(_after, "sub")
    __mul__, __rmul__ = partialmethod(_with, "mul"), partialmethod(_after, "mul")
    __truediv__, __rtruediv__ = partialmethod(_with, "truediv"), partialmethod(_after, "truediv")
    __pow__, __rpow__ = partialmethod(_with, "pow"), partialmethod(_after, "pow")

    def __neg__(self) -> Symbol:
        return Symbol(("neg", self.expression), self.taken)

    def __abs__(self) -> Symbol:
        return Symbol(("abs", self.expression), self.taken)

    def __eq__(self, other: object) -> Any:
        if isinstance(other, jax.Array):
            return self.__jax_array__() == other
        raise TypeError(
            "a hyperparameter that is an argument of compiled code has no value to compare"
        )

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError("a hyperparameter that is an argument of compiled code has no truth value")


# For functions of Optax's that are compiled by themselves: there a Python number would be a scalar
# of their arguments too.
jax.tree_util.register_pytree_node(
    Symbol, lambda symbol: ((symbol.__jax_array__(),), None), lambda _, children: children[0]
)


def real_leaves(arguments: Mapping[str, Any]) -> list[float]:
    """The real numbers among a factory's arguments, alone or in tuples; whole numbers and truth
    values are none.
    """
    return [leaf for leaf in jax.tree.leaves(dict(arguments)) if _real(leaf)]


def opened(arguments: Mapping[str, Any], places: Sequence[int]) -> dict[str, Any]:
    """The arguments with these of their real leaves left open."""
    leaves, structure = jax.tree.flatten(dict(arguments))
    real = [index for index, leaf in enumerate(leaves) if _real(leaf)]
    for place in places:
        leaves[real[place]] = Free(place)
    left_open: dict[str, Any] = jax.tree.unflatten(structure, leaves)
    return left_open


def filled(argument: Any, taken: Callable[[Expression], jax.Array]) -> Any:
    """One of `opened`, with a Symbol for what is left open; the very same argument where nothing
    is.
    """
    if not any(isinstance(leaf, Free) for leaf in jax.tree.leaves(argument)):
        return argument
    return jax.tree.map(
        lambda leaf: Symbol(leaf, taken) if isinstance(leaf, Free) else leaf, argument
    )


def _real(leaf: object) -> bool:
    return isinstance(leaf, float)


def expressions_of(program: Callable[..., Any], *given: Any) -> tuple[tuple[Expression, ...], Any]:
    """What `program(taken, *given)` takes, each once, and the shapes that it returns. Computes
    nothing, raises what it raises.
    """
    found: dict[Expression, None] = {}

    def traced(scalar: jax.Array, *given: Any) -> Any:
        def taken(expression: Expression) -> jax.Array:
            found[expression] = None
            return scalar

        return program(taken, *given)

    shapes = jax.eval_shape(traced, 0.5, *given)
    return tuple(found), shapes

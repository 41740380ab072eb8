"""Finds out how a class is made and stepped: by its signature, then by trying on small tensors."""

from __future__ import annotations

import inspect
import io
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from itertools import product
from typing import Any, get_args

import numpy as np
import torch
from gradrace.adapters.torch.policy import DTYPES
from gradrace.adapters.torch.stepping.driving import Driver, place
from gradrace.adapters.torch.stepping.making import (
    DRIVES,
    Grouping,
    Recipe,
    Signature,
    check_arguments,
    has_switches,
    own_kind,
    signature_of,
)
from gradrace.errors import UserError, located
from gradrace.spec import Dtype
from gradrace.stepping.instance import NotApplicable
from torch import Tensor

_STEPS = 3
_RATE = 1e-3
_VARIANTS = ("foreach", "fused")
_NOTHING: Mapping[str, Any] = {}
_SHAPES: Mapping[str, tuple[int, ...]] = {"matrix": (6, 4), "vector": (4,)}
# What a message says about a class that cannot work here -> what is missing.
_NEEDS: Mapping[str, str] = {
    "triton": "it needs Triton",
    "process group": "it needs a process group of torch.distributed",
    "cuda": "it needs CUDA",
    "nvidia": "it needs CUDA",
    "sparse": "it takes sparse gradients only",
}


def recipe_of(target: Any, label: str, hyper: Mapping[str, Any]) -> Recipe:
    """The recipe of a class with these arguments, as JSON has them. UserError if none works."""
    _check_class(target, label)
    signature = _signature(target, label)
    check_arguments(label, signature, hyper)
    with located(label):
        arguments = {
            name: own_kind(name, value, signature.defaults.get(name))
            for name, value in hyper.items()
        }
    plain = Recipe(target, signature, arguments)
    errors: list[Exception] = []
    with undisturbed():
        ways = product(_drives(target), get_args(Grouping), _switches(target))
        for drive, grouping, switches in ways:
            found = replace(plain, drive=drive, grouping=grouping, switches=switches)
            dtypes = tuple(dtype for dtype in plain.dtypes if _works(found, dtype, errors))
            if {"float64", "float32"} & set(dtypes):
                found = replace(found, dtypes=dtypes)
                return replace(found, variants=_variants(found))
    raise UserError(f"{label} {_reason(errors)}")


def _check_class(target: Any, label: str) -> None:
    if target is torch.optim.Optimizer or inspect.isabstract(target):
        raise UserError(f"{label} is abstract: name a class that derives from it")
    # What a function returns is seen when it is tried.
    methods = [callable(getattr(target, name, None)) for name in ("step", "zero_grad")]
    if inspect.isclass(target) and not all(methods):
        raise UserError(
            f"{label} is no optimizer: it needs step() and zero_grad(), as torch.optim.Optimizer"
            " has them"
        )


def _signature(target: Callable[..., Any], label: str) -> Signature:
    try:
        found = signature_of(target)
    except (TypeError, ValueError) as error:
        raise UserError(f"{label}: its arguments cannot be read ({error})") from error
    if not found.required:
        raise UserError(f"{label} is no optimizer: it takes no tensors")
    return found


def _drives(target: Any) -> tuple[Any, ...]:
    if callable(getattr(target, "fused_backward", None)):
        return ("fused_backward(loss, lr)",)
    return DRIVES


def _switches(target: Any) -> tuple[bool, ...]:
    """A wrapper may have switches that what it wraps lacks."""
    return (True, False) if has_switches(target) else (False,)


def _variants(recipe: Recipe) -> tuple[str, ...]:
    """Those that the class offers, works with, and has not been told about."""
    given, known = recipe.arguments, recipe.signature.defaults
    # Both at once are refused.
    free = not any(given.get(name) for name in _VARIANTS)
    offered = [name for name in _VARIANTS if free and name in known and name not in given]
    return tuple(name for name in offered if _works(recipe, recipe.dtypes[0], [], {name: True}))


def _works(
    recipe: Recipe, dtype: Dtype, errors: list[Exception], more: Mapping[str, Any] = _NOTHING
) -> bool:
    """Whether it makes a few steps without an error."""
    shapes = dict(_SHAPES)
    if recipe.grouping == "matrices":
        del shapes["vector"]
    tensors = {name: place(_values(shape, 0), DTYPES[dtype]) for name, shape in shapes.items()}
    try:
        optimizer = recipe.make(tensors, _RATE, more, dtype)
        if not callable(getattr(optimizer, "step", None)):
            raise TypeError("is no optimizer: what it returns has no method step()")
        driver = Driver(optimizer, recipe, tensors, _RATE)
        for step in range(_STEPS):
            driver.step({name: _values(shape, 1 + step) for name, shape in shapes.items()})
        if recipe.grouping != "all" and not _all_moved(tensors, dtype):
            raise ValueError("its steps move nothing")
    except Exception as error:
        errors.append(error)
        return False
    return True


def _all_moved(tensors: Mapping[str, Tensor], dtype: Dtype) -> bool:
    """A class that does not know the mark of a group may leave the group alone."""
    # In bfloat16 such small steps may round to nothing.
    return dtype == "bfloat16" or all(
        not torch.equal(tensor, place(_values(_SHAPES[name], 0), DTYPES[dtype]))
        for name, tensor in tensors.items()
    )


def _values(shape: tuple[int, ...], shift: int) -> np.ndarray:
    count = int(np.prod(shape))
    return np.cos(np.arange(1.0, count + 1.0) * 1.7 + shift).reshape(shape)


def _reason(errors: list[Exception]) -> str:
    """From the errors of all tries: what is missing, or the first one, of the plainest try."""
    for error in errors:
        for word, needs in _NEEDS.items():
            if word in str(error).lower():
                return f"cannot work here: {needs} ({said(error)})"
    return f"cannot be made or stepped: {said(errors[0])}"


def said(error: BaseException) -> str:
    """An error of a library in one line, its kind first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextmanager
def undisturbed() -> Iterator[None]:
    """Inside, nothing is printed or warned of; afterwards random generators are as before."""
    drawn: Any = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        torch.set_rng_state(drawn[2])


def not_applicable(error: Exception) -> NotApplicable:
    """The library's refusal of something that not every class can do."""
    return NotApplicable(f"the library refuses: {said(error)}")

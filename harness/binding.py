"""From an optimizer's declaration to the class, arguments and tables that an adapter needs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from .errors import UserError, near_miss
from .imported.arguments import native_arguments
from .imported.signature import arguments_of, settable
from .layers import build
from .optimizer import (
    Array,
    Binding,
    HyperCorrection,
    Hypers,
    Optimizer,
    RateCorrection,
    StateCorrection,
)
from .plugins.places import place_of
from .roles import own_names
from .spec import RunSpec
from .strict import given


class Affine(NamedTuple):
    """Before step t a buffer b becomes b * scale[t] + shift[t]; both float64[steps]."""

    scale: Array
    shift: Array


@dataclass(frozen=True)
class Bound:
    """One optimizer in one framework for one run.

    make: the framework's class or factory; arguments: its keyword arguments but the learning rate.
    learning_rates: float64[steps], given to the framework before each step: the planned ones, times
        the factor of a RateCorrection.
    hyper_tables: argument -> float64[steps], its value at each step. state_tables: buffer's name ->
        Affine. Both are empty under the native rule, and if a correction changes nothing.
    base_rate: the schedule's base rate, with which an optimizer is constructed: a class may keep a
        product of it, and the first rate of a run may be another.
    canonical_storage: whether the optimizer must be given its tensors in canonical layout.
    asks_for_loss, evaluation: of this rule, see Binding."""

    make: Callable[..., Any]
    arguments: Mapping[str, Any]
    learning_rates: Array
    hyper_tables: Mapping[str, Array]
    state_tables: Mapping[str, Affine]
    base_rate: float
    canonical_storage: bool = False
    asks_for_loss: bool = False
    evaluation: Callable[..., Any] | None = None


def unavailable(run: RunSpec, optimizer: Optimizer) -> str | None:
    """Why this framework cannot take this optimizer, or None."""
    if run.optimizer.name != optimizer.name:
        raise ValueError(f"{optimizer.name} is not the optimizer of {run.id}")
    if run.framework not in optimizer.bindings:
        return f"{optimizer.name} is not available in {run.framework}"
    if run.optimizer.rule == "canonical" and run.framework in optimizer.differs:
        return (
            f"{optimizer.name} differs by definition in {run.framework}:"
            f" {optimizer.differs[run.framework]}"
        )
    binding = optimizer.bindings[run.framework]
    if run.optimizer.rule == "native" and run.optimizer.hyper:
        try:
            _native_arguments(run, optimizer, binding, target_of(binding, "native"))
        except ValueError as error:
            return str(error)
    if run.optimizer.groups and binding.loss_asked_for(run.optimizer.rule):
        return f"{binding.label} evaluates the loss itself, and so cannot train a part of a model"
    matrices_only = binding.takes_matrices_only(run.optimizer.rule)
    return _not_matrices(run, binding) if matrices_only else None


def _native_arguments(
    run: RunSpec, optimizer: Optimizer, binding: Binding, make: Callable[..., Any]
) -> dict[str, Any]:
    """ValueError for a hyperparameter that the library's class does not have."""
    hyper = run.optimizer.hyper
    if not hyper:
        return dict(binding.native)
    return native_arguments(hyper, optimizer, binding, settable(arguments_of(make)))


def _not_matrices(run: RunSpec, binding: Binding) -> str | None:
    own = own_names(run)
    parameters = (
        p
        for layer in build(run.task.model, run.task.input_shape)
        for p in layer.parameters
        if p.name in own
    )
    other = next((p for p in parameters if len(p.shape) != 2), None)
    return (
        other
        and f"{binding.label} takes matrices only, and {other.name} has shape {list(other.shape)}"
    )


def bind(run: RunSpec, optimizer: Optimizer, learning_rates: Array) -> Bound:
    """Imports the framework's class (so only workers call this); its arguments and corrections.

    ValueError if a correction cannot follow the learning rates (a momentum buffer through a rate of
    zero)."""
    binding = optimizer.bindings[run.framework]
    rule, base_rate = run.optimizer.rule, run.schedule.base_lr
    make, asks_for_loss = target_of(binding, rule), binding.loss_asked_for(rule)
    evaluation = _import(binding.evaluation) if binding.evaluation else None
    if rule == "native":
        arguments = _native_arguments(run, optimizer, binding, make)
        return Bound(
            make, arguments, learning_rates, {}, {}, base_rate, False, asks_for_loss, evaluation
        )
    hyper, rates, steps = optimizer.hypers(run.optimizer.hyper), learning_rates, len(learning_rates)
    kinds = binding.corrections
    for faster in (c for c in kinds if isinstance(c, RateCorrection)):
        rates = rates * faster.factor(hyper, steps)
    hyper_tables: dict[str, Array] = {}
    affines: dict[str, Affine] = {}
    for correction in kinds:
        if isinstance(correction, HyperCorrection):
            if correction.argument in hyper_tables:
                raise ValueError(f"{optimizer.name}: two corrections set {correction.argument!r}")
            hyper_tables[correction.argument] = correction.values(hyper, steps)
        elif isinstance(correction, StateCorrection):
            after = _affine(correction, hyper, rates)
            before = affines.get(correction.state)
            affines[correction.state] = _composed(before, after) if before else after
    state_tables = {
        name: affine
        for name, affine in affines.items()
        if (affine.scale != 1.0).any() or affine.shift.any()
    }
    arguments, per_tensor = _arguments(optimizer, binding, hyper), optimizer.per_tensor
    return Bound(
        make,
        arguments,
        rates,
        hyper_tables,
        state_tables,
        base_rate,
        per_tensor,
        asks_for_loss,
        evaluation,
    )


def _arguments(optimizer: Optimizer, binding: Binding, hyper: Hypers) -> dict[str, Any]:
    """ValueError if `canonical` gives no keyword arguments."""
    found = binding.canonical(hyper)
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise ValueError(
            f"{optimizer.name}: canonical must return a dict of keyword arguments, not"
            f" {given(found)}"
        )
    return dict(found)


def target_of(binding: Binding, rule: str) -> Callable[..., Any]:
    """The class or factory of this rule, the same object for all runs of a process: compiled
    programs are found by it. A `target` that is a function is called once, since it may make a new
    class at each call."""
    target = (rule == "native" and binding.native_target) or binding.target
    if isinstance(target, str):
        return _import(target)
    if id(target) not in _CALLED:
        made = target()
        if not callable(made):
            raise UserError(
                f"{place_of(target) or binding.label}: {getattr(target, '__name__', 'target')} must"
                f" return the optimizer's class or factory, not {given(made)}"
            )
        _CALLED[id(target)] = target, made
    return _CALLED[id(target)][1]


# id of a function -> itself, kept so that the id stays its own, and the class that it returned.
_CALLED: dict[int, tuple[Callable[[], Callable[..., Any]], Callable[..., Any]]] = {}


def _affine(correction: StateCorrection, hyper: Hypers, rates: Array) -> Affine:
    with np.errstate(divide="ignore", invalid="ignore"):
        affine = Affine(correction.scale(hyper, rates), correction.shift(hyper, rates))
    if not np.isfinite(affine).all():
        raise ValueError(
            f"{correction.name} cannot follow this schedule: a learning rate of 0 lies inside it"
        )
    return affine


def _composed(first: Affine, second: Affine) -> Affine:
    """`first`, then `second`."""
    return Affine(first.scale * second.scale, first.shift * second.scale + second.shift)


def _import(path: str) -> Callable[..., Any]:
    """The object of a dotted path. ValueError names the part that is not there; ModuleNotFoundError
    passes if it is about another module, such as one that a package needs."""
    module, rest = _longest_module(path)
    found: Any = module
    for position, part in enumerate(rest):
        if not hasattr(found, part):
            owner = ".".join(path.split(".")[: len(path.split(".")) - len(rest) + position])
            raise ValueError(f"{path}: {owner} has no {part!r}{near_miss(part, _public(found))}")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"{path} is a {type(found).__name__}, which cannot be called")
    return found


def _longest_module(path: str) -> tuple[ModuleType, list[str]]:
    """The module named by as many parts of the path as possible, and the parts that are left."""
    parts = path.split(".")
    module = importlib.import_module(parts[0])
    for position in range(1, len(parts)):
        name = ".".join(parts[: position + 1])
        if position == len(parts) - 1 and hasattr(module, parts[position]):
            return module, parts[position:]
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # It lies inside a module; or the module is there, and another that it needs is not.
            if error.name != name:
                raise
            return module, parts[position:]
    return module, []


def _public(owner: object) -> list[str]:
    return [name for name in dir(owner) if not name.startswith("_")]

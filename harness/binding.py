"""From an optimizer's declaration to what an adapter needs to build it: class, arguments, tables of corrections."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .layers import build
from .optimizer import Array, Binding, HyperCorrection, Hypers, Optimizer, RateCorrection, StateCorrection
from .spec import RunSpec


class Affine(NamedTuple):
    """Before step t a buffer b becomes b * scale[t] + shift[t]; both float64[steps]."""

    scale: Array
    shift: Array


@dataclass(frozen=True)
class Bound:
    """One optimizer in one framework for one run.

    make: the framework's class or factory. arguments: its keyword arguments, the learning rate left out.
    base_rate: the schedule's own learning rate, with which an optimizer is constructed. A class may keep a product of it,
        and the first rate of a warm-up is 0.
    learning_rates: float64[steps], what the framework is given before each step: the plan's, times a RateCorrection's
        factor.
    hyper_tables: argument -> float64[steps], its value at each step. state_tables: buffer's name -> Affine.
    Both tables are empty under the native rule, and where the correction would change nothing.
    canonical_storage: whether the optimizer must be given its tensors in canonical layout.
    asks_for_loss: whether the class evaluates the loss itself, under this rule; see Binding.
    evaluation: (optimizer state, parameters) -> the parameters to evaluate, if those are others; see Binding.
    """

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
    """The reason why this framework cannot take this optimizer, or None."""
    if run.optimizer.name != optimizer.name:
        raise ValueError(f"{optimizer.name} is not the optimizer of {run.id}")
    if run.framework not in optimizer.bindings:
        return f"{optimizer.name} is not available in {run.framework}"
    if run.optimizer.rule == "canonical" and run.framework in optimizer.differs:
        return f"{optimizer.name} differs by definition in {run.framework}: {optimizer.differs[run.framework]}"
    if optimizer.bindings[run.framework].matrices_only:
        return _not_matrices(run, optimizer.bindings[run.framework])
    return None


def _not_matrices(run: RunSpec, binding: Binding) -> str | None:
    parameters = (p for layer in build(run.task.model, run.task.input_shape) for p in layer.parameters if p.trainable)
    other = next((p for p in parameters if len(p.shape) != 2), None)
    return other and f"{binding.label} takes matrices only, and {other.name} has shape {list(other.shape)}"


def bind(run: RunSpec, optimizer: Optimizer, learning_rates: Array) -> Bound:
    """Imports the framework's class (so only workers call this) and works out its arguments and corrections.

    ValueError where a correction cannot follow the learning rates (a momentum buffer through a rate of zero).
    """
    binding = optimizer.bindings[run.framework]
    rule, base_rate = run.optimizer.rule, run.schedule.base_lr
    make, asks_for_loss = target_of(binding, rule), binding.loss_asked_for(rule)
    evaluation = _import(binding.evaluation) if binding.evaluation else None
    if rule == "native":
        arguments = dict(binding.native)
        return Bound(make, arguments, learning_rates, {}, {}, base_rate, False, asks_for_loss, evaluation)
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
    state_tables = {name: affine for name, affine in affines.items() if (affine.scale != 1.0).any() or affine.shift.any()}
    arguments, per_tensor = binding.canonical(hyper), optimizer.per_tensor
    return Bound(
        make, arguments, rates, hyper_tables, state_tables, base_rate, per_tensor, asks_for_loss, evaluation
    )


def target_of(binding: Binding, rule: str) -> Callable[..., Any]:
    """The class or factory of this rule, the same object for all runs of a process: compiled programs are found again by
    it, and a `target` that is a function may make a new class at each call. It is called once."""
    target = (rule == "native" and binding.native_target) or binding.target
    if isinstance(target, str):
        return _import(target)
    if id(target) not in _CALLED:
        _CALLED[id(target)] = target, target()
    return _CALLED[id(target)][1]


# The function is kept beside what it made, so that its id stays its own.
_CALLED: dict[int, tuple[Callable[[], Callable[..., Any]], Callable[..., Any]]] = {}


def _affine(correction: StateCorrection, hyper: Hypers, rates: Array) -> Affine:
    with np.errstate(divide="ignore", invalid="ignore"):
        affine = Affine(correction.scale(hyper, rates), correction.shift(hyper, rates))
    if not np.isfinite(affine).all():
        raise ValueError(f"{correction.name} cannot follow this schedule: a learning rate of 0 lies inside it")
    return affine


def _composed(first: Affine, second: Affine) -> Affine:
    """One after the other."""
    return Affine(first.scale * second.scale, first.shift * second.scale + second.shift)


def _import(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)

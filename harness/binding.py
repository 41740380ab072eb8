"""From an optimizer's declaration to what an adapter needs to build it: class, arguments, tables of corrections."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .optimizer import Array, HyperCorrection, Optimizer
from .spec import RunSpec


class Affine(NamedTuple):
    """Before step t a buffer b becomes b * scale[t] + shift[t]; both float64[steps]."""

    scale: Array
    shift: Array


@dataclass(frozen=True)
class Bound:
    """One optimizer in one framework for one run.

    make: the framework's class or factory. arguments: its keyword arguments, the learning rate left out.
    hyper_tables: argument -> float64[steps], its value at each step. state_tables: buffer's name -> Affine.
    Both tables are empty under the native rule, and where the correction would change nothing.
    """

    make: Callable[..., Any]
    arguments: Mapping[str, Any]
    hyper_tables: Mapping[str, Array]
    state_tables: Mapping[str, Affine]


def unavailable(run: RunSpec, optimizer: Optimizer) -> str | None:
    """The reason why this framework cannot take this optimizer, or None."""
    if run.optimizer.name != optimizer.name:
        raise ValueError(f"{optimizer.name} is not the optimizer of {run.id}")
    if run.framework not in optimizer.bindings:
        return f"{optimizer.name} is not available in {run.framework}"
    return None


def bind(run: RunSpec, optimizer: Optimizer, learning_rates: Array) -> Bound:
    """Imports the framework's class (so only workers call this) and works out its arguments and corrections.

    ValueError where a correction cannot follow the learning rates (a momentum buffer through a rate of zero).
    """
    binding = optimizer.bindings[run.framework]
    make = _import(binding.target) if isinstance(binding.target, str) else binding.target()
    if run.optimizer.rule == "native":
        return Bound(make, dict(binding.native), {}, {})
    hyper = optimizer.hypers(run.optimizer.hyper)
    hyper_tables, state_tables = {}, {}
    for correction in binding.corrections:
        if isinstance(correction, HyperCorrection):
            hyper_tables[correction.argument] = correction.values(hyper, len(learning_rates))
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            affine = Affine(correction.scale(hyper, learning_rates), correction.shift(hyper, learning_rates))
        if not np.isfinite(affine).all():
            raise ValueError(f"{correction.name} cannot follow this schedule: a learning rate of 0 lies inside it")
        if (affine.scale != 1.0).any() or affine.shift.any():
            state_tables[correction.state] = affine
    return Bound(make, binding.canonical(hyper), hyper_tables, state_tables)


def _import(path: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)

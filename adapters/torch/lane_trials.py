"""What an optimizer's class does to tensors that are views of others, found by trying."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from gradrace.adapters.torch.layers import layout_of
from gradrace.adapters.torch.optimizer import Updater
from gradrace.adapters.torch.policy import DTYPES, prepare
from gradrace.binding import bind
from gradrace.layers import build
from gradrace.optimizer import Optimizer
from gradrace.spec import RunSpec
from torch import Tensor

_STEPS = 3

_FOUND: dict[Hashable, str | None] = {}


def not_by_itself(run: RunSpec, optimizer: Optimizer) -> str | None:
    """Why lanes of this optimizer would not be independent, or None.

    Tried once for a class and its arguments' kinds, on small tensors of the model's dimensions."""
    key = _kind(run, optimizer)
    if key not in _FOUND:
        try:
            _FOUND[key] = _tried(run, optimizer)
        except Exception as error:
            # A run by itself says more about it.
            _FOUND[key] = f"its update could not be tried on small tensors: {error}"
    return _FOUND[key]


def _kind(run: RunSpec, optimizer: Optimizer) -> Hashable:
    """Equal for runs whose classes act alike. 0 often leaves a part of a rule out."""
    bound = bind(run, optimizer, np.full(_STEPS, run.schedule.base_lr))
    given = sorted(bound.arguments.items())
    kinds = tuple((n, type(v), repr(v) if type(v) is not float else v != 0.0) for n, v in given)
    tables = (*sorted(bound.hyper_tables), *sorted(bound.state_tables))
    return bound.make, kinds, tables, run.dtype, run.device, _shapes(run)


def _shapes(run: RunSpec) -> tuple[tuple[int, ...], ...]:
    """Small canonical shapes with the dimensions of the model's trained tensors."""
    dimensions = {
        len(parameter.shape)
        for built in build(run.task.model, run.task.input_shape)
        for parameter in built.parameters
        if parameter.trainable
    }
    return tuple((3, 2, 3, 2)[:count] for count in sorted(dimensions))


class _Trial:
    """One optimizer on views of larger tensors, with made-up gradients."""

    def __init__(self, run: RunSpec, optimizer: Optimizer, shift: float) -> None:
        device, dtype = prepare(run), DTYPES[run.dtype]
        layouts = [layout_of(shape) for shape in _shapes(run)]
        whole = [_values((2, *each.outer), shift).to(device, dtype) for each in layouts]
        self.tensors = [tensor[1].requires_grad_() for tensor in whole]
        self._shift, self._places = shift, [tensor.data_ptr() for tensor in self.tensors]
        named = {f"tensor{place}": tensor for place, tensor in enumerate(self.tensors)}
        rates = np.full(_STEPS, run.schedule.base_lr)
        self._updater = Updater(run, optimizer, named, rates, layouts)

    def step(self, step: int) -> None:
        for tensor in self.tensors:
            tensor.grad = _values(tensor.shape, self._shift + step).to(tensor).contiguous()
        self._updater.step(step)

    def moved(self) -> bool:
        """Whether the class gave a tensor another memory."""
        return self._places != [tensor.data_ptr() for tensor in self.tensors]


def _values(shape: Sequence[int], shift: float) -> Tensor:
    count = math.prod(shape)
    return torch.cos(torch.arange(1.0, count + 1.0, dtype=torch.float64) + shift).reshape(shape)


def _tried(run: RunSpec, optimizer: Optimizer) -> str | None:
    label = optimizer.bindings[run.framework].label
    before = _generators()
    alone = _Trial(run, optimizer, 0.0)
    for step in range(_STEPS):
        alone.step(step)
    if _generators() != before:
        return f"{label} draws random numbers from a generator that lanes would share"
    if alone.moved():
        return f"{label} gives its parameters other memory instead of changing them in place"
    again, beside = (_Trial(run, optimizer, shift) for shift in (0.0, 0.5))
    for step in range(_STEPS):
        beside.step(step)
        again.step(step)
    if not all(map(_equal, alone.tensors, again.tensors)):
        return f"{label} keeps something that two of its instances share"
    return None


def _equal(one: Tensor, other: Tensor) -> bool:
    """Bit for bit, so that NaN equals itself."""
    return one.detach().cpu().numpy().tobytes() == other.detach().cpu().numpy().tobytes()


def _generators() -> list[Any]:
    """The state of every generator that a class may draw from without having one of its own."""
    numpy_state: Any = np.random.get_state(legacy=True)
    states = [random.getstate(), numpy_state[1].tolist(), numpy_state[2:]]
    states.append(torch.get_rng_state().tolist())
    if torch.cuda.is_available():
        states.append(torch.cuda.get_rng_state().tolist())
    return states

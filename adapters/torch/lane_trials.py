"""What an optimizer's class does to tensors that are views of others, found by trying."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gradrace.adapters.deferred import Expression, free_keys
from gradrace.adapters.torch.lane_numbers import Numbers
from gradrace.adapters.torch.lane_stacked import (
    Impossible,
    Stacked,
    constants_of,
    corrected_states,
    plain_optimizer,
    settings_of,
    tables_of,
)
from gradrace.adapters.torch.lane_updates import OneByOne
from gradrace.adapters.torch.layers import Layout, as_array, layout_of
from gradrace.adapters.torch.optimizer import Updater
from gradrace.adapters.torch.policy import DTYPES, prepare
from gradrace.binding import bind
from gradrace.layers import Point, build
from gradrace.optimizer import Optimizer
from gradrace.plan import RunInputs
from gradrace.spec import RunSpec
from torch import Tensor

log = logging.getLogger(__name__)

_STEPS = 5

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
    bound = bind(run, optimizer, _rates(run))
    kinds = tuple((name, _form(value)) for name, value in sorted(bound.arguments.items()))
    return bound.make, kinds, run.optimizer.rule, run.dtype, run.device, _shapes(run)


def _form(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple(map(_form, value))
    return value != 0.0 if type(value) is float else repr(value)


def _rates(run: RunSpec, share: float = 1.0) -> np.ndarray:
    return share * run.schedule.base_lr * np.linspace(1.0, 0.4, _STEPS)


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
        self.updater = Updater(run, optimizer, named, _rates(run), layouts)

    def step(self, step: int) -> None:
        for tensor in self.tensors:
            tensor.grad = _values(tensor.shape, self._shift + step).to(tensor).contiguous()
        self.updater.step(step)

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
    return as_array(one).tobytes() == as_array(other).tobytes()


def _generators() -> list[Any]:
    """The state of every generator that a class may draw from without having one of its own."""
    numpy_state: Any = np.random.get_state(legacy=True)
    states = [random.getstate(), numpy_state[1].tolist(), numpy_state[2:]]
    states.append(torch.get_rng_state().tolist())
    if torch.cuda.is_available():
        states.append(torch.cuda.get_rng_state().tolist())
    return states


# One optimizer for all lanes


class Recipe(NamedTuple):
    """How a class steps all lanes at once. counters: see Stacked. decisions: expressions that it
    compared, and what came out; runs for which something else does are of another recipe."""

    counters: frozenset[str]
    decisions: Mapping[Expression, Any]


_RECIPES: dict[Hashable, list[Recipe | None]] = {}
# After so many, lanes of such runs are stepped one by one.
_MOST_RECIPES = 4


# On a CPU lanes one by one are as fast, with fused classes faster (300 against 515 us of a step of
# Adam on digits_mlp): kernels cost little to start, and vmap's have more memory to go through.
STACKED_ON = {"gpu"}


def recipe(run: RunSpec, inputs: RunInputs) -> Recipe | None:
    """None if a class cannot step all lanes at once; tried on small tensors beside single steps."""
    imported = inputs.optimizer.imported
    if run.device not in STACKED_ON or imported or _without_gradients(run):
        return None
    kind = _kind(run, inputs.optimizer)
    known = _RECIPES.setdefault(kind, [])
    found = _fitting(known, run, inputs)
    if found is None and None not in known and len(known) < _MOST_RECIPES:
        try:
            known.append(_tried_stacked(run, inputs.optimizer))
        except Exception as error:
            log.debug("%s steps its lanes one by one: %s", run.optimizer.name, error)
            known.append(None)
        found = _fitting(known, run, inputs)
    return found


def _without_gradients(run: RunSpec) -> bool:
    """Whether the loss does not depend on every tensor, of which a class then skips some."""
    layers = build(run.task.model, run.task.input_shape)
    point = any(isinstance(built.layer, Point) for built in layers)
    return point and sum(bool(built.parameters) for built in layers) > 1


def recipe_key(run: RunSpec, inputs: RunInputs) -> Hashable:
    """Equal for runs of one recipe, or of none."""
    found = recipe(run, inputs)
    return found and (_kind(run, inputs.optimizer), tuple(found.decisions.items()))


def _fitting(known: Sequence[Recipe | None], run: RunSpec, inputs: RunInputs) -> Recipe | None:
    """The one by whose decisions the run's own numbers decide, at every step."""
    if not any(known):
        return None
    numbers = _numbers_of(run, inputs)
    for each in known:
        if each and all(_decides(numbers, *pair) for pair in each.decisions.items()):
            return each
    return None


def _numbers_of(run: RunSpec, inputs: RunInputs) -> Numbers:
    """The run's own, of one lane."""
    optimizer, rates = inputs.optimizer, inputs.learning_rates
    bound = bind(run, optimizer, rates)
    group = settings_of(plain_optimizer(bound, [torch.zeros(1, requires_grad=True)]))
    values: dict[Hashable, np.ndarray] = {
        key: np.array([[value]]) for key, value in constants_of(group).items()
    }
    tables = tables_of(bound, corrected_states(run, optimizer))
    values |= {key: table[:, None] for key, table in tables.items()}
    return Numbers(values, len(rates), 1, DTYPES[run.dtype], torch.device("cpu"))


def _decides(numbers: Numbers, expression: Expression, outcome: Any) -> bool:
    try:
        return bool(numbers.decided(expression) == outcome)
    except TypeError:
        return False


def _tried_stacked(run: RunSpec, optimizer: Optimizer) -> Recipe:
    """Impossible, or whatever the class raises, if it cannot be done."""
    bound = bind(run, optimizer, _rates(run))
    if bound.canonical_storage or bound.evaluation or run.dtype == "bfloat16":
        raise Impossible("it needs tensors of its own for each lane")
    counters = _counters(run, optimizer)
    runs = [run, _another(run, optimizer)]
    rates = [_rates(run), _rates(run, 0.7)]
    layouts = [layout_of(shape) for shape in _shapes(run)]
    single, stacked = (_small_tensors(run, layouts) for _ in range(2))
    one_by_one = OneByOne(runs, optimizer, rates, single, layouts)
    together = Stacked(runs, optimizer, rates, stacked, counters)
    tables = []
    gradients: list[Tensor | None] = [torch.empty_like(each.detach()) for each in single.values()]
    for step in range(_STEPS):
        for gradient in gradients:
            gradient.copy_(_values(gradient.shape, 1.0 + step))  # type: ignore[union-attr]
        one_by_one.step(step, gradients)
        together.step(step, gradients)
        tables.append(together.numbers.tables)
    if not all(map(_close, single.values(), stacked.values())):
        raise Impossible("it gives other numbers")
    if tables[-1] != tables[1]:
        raise Impossible("it computes with other constants at every step")
    decisions = together.numbers.decisions
    if any("lr" in free_keys(expression) for expression in decisions):
        raise Impossible("it decides by the learning rate, which may be replaced")
    return Recipe(counters, decisions)


def _small_tensors(run: RunSpec, layouts: Sequence[Layout]) -> dict[str, Tensor]:
    device, dtype = prepare(run), DTYPES[run.dtype]
    return {
        f"tensor{place}": _values((2, *layout.outer), 0.0).to(device, dtype).requires_grad_()
        for place, layout in enumerate(layouts)
    }


def _counters(run: RunSpec, optimizer: Optimizer) -> frozenset[str]:
    """Names of the state that equals the number of updates after each."""
    trial, found = _Trial(run, optimizer, 0.0), None
    for step in range(_STEPS):
        trial.step(step)
        states = [trial.updater.optimizer.state[tensor] for tensor in trial.tensors]
        counting = {
            key
            for key, value in states[0].items()
            if all(_counts(state.get(key), step + 1) for state in states)
        }
        found = counting if found is None else found & counting
    return frozenset(found or ())


def _counts(value: Any, updates: int) -> bool:
    return isinstance(value, Tensor) and not value.dim() and float(value) == updates


def _another(run: RunSpec, optimizer: Optimizer) -> RunSpec:
    """A run with other numbers, of which none is 0 or 1 unless it was before."""
    hyper = {
        key: value * 0.97 if 0.0 < value < 1.0 else value
        for key, value in optimizer.hypers(run.optimizer.hyper).items()
    }
    spec = run.optimizer if run.optimizer.rule == "native" else None
    changed = spec or run.optimizer.model_copy(update={"hyper": hyper})
    return run.model_copy(update={"optimizer": changed})


def _close(one: Tensor, other: Tensor) -> bool:
    rtol = 1e-12 if one.dtype == torch.float64 else 1e-4
    return torch.allclose(one, other, rtol=rtol, atol=rtol)

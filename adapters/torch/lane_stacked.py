"""One optimizer for all lanes: its class' step under torch.func.vmap.

The class sees the tensors of one lane, so norms and factors of tensors are right. The number of
kernels does not grow with the lanes. `lane_trials` finds out which classes this is possible for.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from gradrace.adapters.torch.lane_numbers import LaneMode, Numbers
from gradrace.adapters.torch.optimizer import RATE_HINT, make_state
from gradrace.binding import Affine, Bound, bind
from gradrace.optimizer import Optimizer, StateCorrection
from gradrace.plugins.places import made
from gradrace.spec import RunSpec
from torch import Tensor
from torch.func import vmap

_LR = "lr"


class Impossible(Exception):
    """The class cannot step all lanes at once."""


class Stacked:
    """See gradrace.adapters.torch.lane_updates.LaneUpdate.

    counters: names of the state that counts updates, the same number in every lane."""

    def __init__(
        self,
        runs: Sequence[RunSpec],
        optimizer: Optimizer,
        rates: Sequence[np.ndarray],
        trained: Mapping[str, Tensor],
        counters: Collection[str],
    ) -> None:
        self._runs, self._declared, self._counted = list(runs), optimizer, frozenset(counters)
        self._corrected = corrected_states(runs[0], optimizer)
        self._tensors = [tensor.detach() for tensor in trained.values()]
        self._bounds = [bind(run, optimizer, own) for run, own in zip(runs, rates, strict=True)]
        instances = [
            plain_optimizer(bound, [t[lane].requires_grad_() for t in self._tensors])
            for lane, bound in enumerate(self._bounds)
        ]
        self._optimizer: torch.optim.Optimizer = instances[0]
        # It would refuse a capture, since it cannot know that its numbers lie on the device.
        vars(self._optimizer)["_cuda_graph_capture_health_check"] = lambda: None
        first, device = self._tensors[0], self._tensors[0].device
        self._lanes = torch.arange(len(runs), device=device)
        self._states, self._counters = self._made_states(instances)
        steps = len(rates[0])
        self._groups = [settings_of(instance) for instance in instances]
        values = self._values()
        self.numbers = Numbers(values, steps, len(runs), first.dtype, device)
        self._optimizer.param_groups[0].update(self._settings_of_lanes())
        self._stepped, self._stale = False, False

    def _made_states(
        self, optimizers: Sequence[torch.optim.Optimizer]
    ) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
        """Of each tensor: the state [lanes, ...], and what counts updates."""
        for optimizer, bound in zip(optimizers, self._bounds, strict=True):
            if not hasattr(optimizer, "_init_group"):
                raise Impossible("the class has no method that makes its state")
            if not bound.state_tables:
                # A single run's class makes it in the first step.
                first = {name: table[0].item() for name, table in bound.hyper_tables.items()}
                optimizer.param_groups[0].update(first | {_LR: bound.learning_rates[0].item()})
            make_state(optimizer)
        stacked, counters = [], []
        of_lanes = [
            [optimizer.state[p] for p in optimizer.param_groups[0]["params"]]
            for optimizer in optimizers
        ]
        for states in zip(*of_lanes, strict=True):
            # None stands for what the first step makes.
            held = {key: value for key, value in states[0].items() if value is not None}
            if not all(isinstance(value, Tensor) for value in held.values()):
                raise Impossible("its state holds more than tensors")
            counters.append({key: value for key, value in held.items() if key in self._counted})
            stacked.append(
                {
                    key: torch.stack([state[key] for state in states]).to(self._tensors[0].device)
                    for key in held
                    if key not in self._counted
                }
            )
        return stacked, counters

    def _values(self) -> dict[Hashable, np.ndarray]:
        """See Numbers."""
        tables = [tables_of(bound, self._corrected) for bound in self._bounds]
        constants = [constants_of(group) for group in self._groups]
        found: dict[Hashable, np.ndarray] = {
            key: np.array([[each[key] for each in constants]]) for key in constants[0]
        }
        return found | {key: np.stack([each[key] for each in tables], 1) for key in tables[0]}

    def _settings_of_lanes(self) -> dict[str, Any]:
        """For the parameter group: LaneNumbers for its floats."""
        varied = {_LR, *self._bounds[0].hyper_tables}
        found: dict[str, Any] = {}
        for key, value in self._groups[0].items():
            if key in varied or type(value) is float:
                found[key] = self.numbers.number(key)
            elif _floats(value):
                found[key] = tuple(self.numbers.number((key, n)) for n in range(len(value)))
            elif any(group[key] != value for group in self._groups):
                raise Impossible(f"lanes differ in {key}")
        return found

    def begin(self) -> None:
        if self._stale:
            self.numbers.replace(self._values())
            self._stale = False

    def step(self, step: int | Tensor, gradients: Sequence[Tensor | None]) -> None:
        """step: int64[1] if it is captured."""
        self.numbers.at(step)
        given: Any = list(gradients)
        with torch.no_grad():
            found = vmap(self._of_a_lane)(self._lanes, self._tensors, given, self._states)
            for state, new in zip(self._states, found, strict=True):
                for key, value in new.items():
                    if key not in state:
                        state[key] = value.clone()
                    elif state[key].data_ptr() != value.data_ptr():
                        # A graph reads and writes the same memory at every replay.
                        state[key].copy_(value)
        self._stepped = True

    def _of_a_lane(
        self,
        lane: Tensor,
        tensors: list[Tensor],
        gradients: Sequence[Tensor],
        states: list[dict[str, Tensor]],
    ) -> list[dict[str, Tensor]]:
        """The state after a step. Tensors are changed in place."""
        optimizer, counters = self._optimizer, self._counters
        self.numbers.inside(lane)
        optimizer.param_groups[0]["params"] = tensors
        optimizer.state.clear()
        for tensor, gradient, state, counts in zip(
            tensors, gradients, states, counters, strict=True
        ):
            tensor.grad = gradient
            # A copy: the class may add to it, and vmap's own must not change.
            optimizer.state[tensor] = {**counts, **state}
        with LaneMode(self.numbers, [each for counts in counters for each in counts.values()]):
            self._correct(states)
            optimizer.step()
        return [
            {
                key: value
                for key, value in optimizer.state[tensor].items()
                if isinstance(value, Tensor) and key not in counts
            }
            for tensor, counts in zip(tensors, counters, strict=True)
        ]

    def _correct(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        for name in self._corrected:
            scale, shift = (self.numbers.number((name, of)) for of in ("scale", "shift"))
            for state in states:
                if name in state:
                    state[name].mul_(scale).add_(shift)
                elif self._stepped:
                    raise Impossible(f"its state has no {name}")

    def set_learning_rates(self, lane: int, rates: np.ndarray) -> None:
        self._bounds[lane] = bind(self._runs[lane], self._declared, rates)
        self._stale = True

    def evaluated(self) -> AbstractContextManager[None]:
        return nullcontext()

    def state_bytes(self) -> int | None:
        if not self._stepped:
            return None
        tensors = [tensor[0] for state in self._states for tensor in state.values()]
        return sum(each.numel() * each.element_size() for each in tensors if each.dim())

    def moved(self) -> list[Tensor]:
        """All that a step changes on the device."""
        return [*self._tensors, *(each for state in self._states for each in state.values())]


def plain_optimizer(bound: Bound, parameters: list[Tensor]) -> torch.optim.Optimizer:
    """The class in its form that takes one tensor after the other. Impossible if it keeps settings
    outside of its one parameter group."""
    known = inspect.signature(bound.make).parameters
    chosen = {name: False for name in ("foreach", "fused") if name in known}
    given = {"lr": float(bound.base_rate), **chosen, **bound.arguments}
    optimizer = made(bound.make, "lr", RATE_HINT, (parameters,), given)
    common = vars(torch.optim.SGD([torch.zeros(1)], lr=0.1))
    own = {key: value for key, value in vars(optimizer).items() if key not in common}
    if len(optimizer.param_groups) != 1 or not all(type(v) is bool for v in own.values()):
        raise Impossible("the class keeps settings of its own")
    return optimizer


def settings_of(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The parameter group without its parameters."""
    return {key: v for key, v in optimizer.param_groups[0].items() if key != "params"}


def _floats(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(type(each) is float for each in value)


def constants_of(group: Mapping[str, Any]) -> dict[Hashable, float]:
    """A group's floats by the keys of their LaneNumbers."""
    found: dict[Hashable, float] = {k: v for k, v in group.items() if type(v) is float}
    for key, value in group.items():
        if _floats(value):
            found |= {(key, place): each for place, each in enumerate(value)}
    return found


def corrected_states(run: RunSpec, optimizer: Optimizer) -> tuple[str, ...]:
    """Names of the state that corrections scale and shift, whether or not the rates call for it."""
    if run.optimizer.rule == "native":
        return ()
    corrections = optimizer.bindings[run.framework].corrections
    return tuple({c.state: None for c in corrections if isinstance(c, StateCorrection)})


def tables_of(bound: Bound, corrected: Collection[str]) -> dict[Hashable, np.ndarray]:
    """float64[steps] by the keys of LaneNumbers."""
    ones = np.ones_like(bound.learning_rates)
    nothing = Affine(ones, np.zeros_like(ones))
    found: dict[Hashable, np.ndarray] = dict(bound.hyper_tables.items())
    found[_LR] = bound.learning_rates
    for name in corrected:
        affine = bound.state_tables.get(name, nothing)
        found |= {(name, "scale"): affine.scale, (name, "shift"): affine.shift}
    return found

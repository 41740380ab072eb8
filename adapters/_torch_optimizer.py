"""torch.optim classes driven step by step: learning rates, and the corrections that the canonical rule needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import numpy as np
import torch
from gradrace.adapters._torch_layers import Layout
from gradrace.adapters._torch_modes import fused
from gradrace.adapters._torch_pieces import CanonicalStorage
from gradrace.binding import Bound, bind
from gradrace.optimizer import Optimizer
from gradrace.spec import RunSpec
from torch import Tensor


class Updater:
    """The framework's own optimizer of these tensors, with the run's rule, corrections and learning rates.

    layouts: of each tensor. A rule that depends on storage gets twins of the tensors in canonical layout.
    """

    def __init__(
        self,
        run: RunSpec,
        optimizer: Optimizer,
        tensors: Sequence[Tensor],
        rates: np.ndarray,
        layouts: Sequence[Layout],
    ) -> None:
        self._run, self._declared, self._tensors = run, optimizer, list(tensors)
        bound = bind(run, optimizer, rates)
        self._storage = CanonicalStorage(tensors, layouts) if bound.canonical_storage else None
        held = self._storage.twins if self._storage else self._tensors
        self.optimizer = _optimizer(bound, held, fused(run.mode))
        # Whether the class evaluates the loss itself, and so must be given a closure.
        self.asks_for_loss = inspect.signature(self.optimizer.step).parameters["closure"].default is inspect.Parameter.empty
        # Whether it learns from how gradients change from step to step, so that equal ones make another, shorter step.
        self.compares_gradients = isinstance(self.optimizer, torch.optim.LBFGS)
        self._follow(bound)

    def set_learning_rates(self, rates: np.ndarray) -> None:
        """Replaces the whole table float64[steps], and the corrections that follow from it."""
        self._follow(bind(self._run, self._declared, rates))

    def _follow(self, bound: Bound) -> None:
        """From now on with these learning rates and corrections."""
        self._rates = bound.learning_rates.tolist()
        self._corrections = _Corrections(self.optimizer, bound) if bound.hyper_tables or bound.state_tables else None

    def rest(self) -> None:
        """Every learning rate becomes 0; the corrections stay those of the table."""
        self._rates = [0.0] * len(self._rates)

    def zero_grad(self) -> None:
        """Drops the gradients of the step before."""
        if self._storage is None:
            return self.optimizer.zero_grad()
        for tensor in self._tensors:
            tensor.grad = None

    def step(self, step: int, closure: Callable[[], Tensor] | None = None) -> None:
        """Update number `step`, counted from 0, with the gradients that the tensors hold.

        closure: evaluates the loss and its gradients anew; only for a class that asks for it.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self._rates[step]
        if self._corrections:
            self._corrections.apply(step)
        if closure is not None:
            self.optimizer.step(closure)  # type: ignore[arg-type]
        elif self._storage is None:
            self.optimizer.step()
        else:
            self._storage.gather()
            self.optimizer.step()
            self._storage.scatter()

    def state_bytes(self) -> int:
        """See gradrace.adapter.Session."""
        values = [value for state in self.optimizer.state.values() for value in state.values()]
        flat = [entry for value in values for entry in (value if isinstance(value, list) else [value])]
        tensors = [entry for entry in flat if torch.is_tensor(entry) and entry.dim() > 0]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _Corrections:
    """What the canonical rule needs beside the optimizer's class, done before each step; see gradrace.optimizer."""

    def __init__(self, optimizer: torch.optim.Optimizer, bound: Bound) -> None:
        self._optimizer = optimizer
        self._hypers = {name: table.tolist() for name, table in bound.hyper_tables.items()}
        if bound.state_tables and not optimizer.state:
            _make_state(optimizer)
        self._buffers = [(self._find(name), affine) for name, affine in bound.state_tables.items()]

    def apply(self, step: int) -> None:
        for group in self._optimizer.param_groups:
            for name, values in self._hypers.items():
                group[name] = values[step]
        for buffers, affine in self._buffers:
            torch._foreach_mul_(buffers, float(affine.scale[step]))
            torch._foreach_add_(buffers, float(affine.shift[step]))

    def _find(self, name: str) -> list[Tensor]:
        return [state[name] for state in self._optimizer.state.values()]


def _make_state(optimizer: torch.optim.Optimizer) -> None:
    """Makes the state that torch would make in the first step, as it is before that step.

    By the method that every class of torch.optim has for it; a step with zero gradients would leave traces (epsilon in
    Adamax's norm, 0 / 0 in RMSprop's momentum).
    """
    init_group = getattr(optimizer, "_init_group")  # noqa: B009 (torch's base class does not declare it)
    lists = len(inspect.signature(init_group).parameters) - 1
    for group in optimizer.param_groups:
        for tensor in group["params"]:
            tensor.grad = torch.zeros_like(tensor)
        init_group(group, *([] for _ in range(lists)))
    optimizer.zero_grad()


def _optimizer(bound: Bound, parameters: list[Tensor], fused: bool) -> torch.optim.Optimizer:
    """The class as it chooses by itself how to compute, or in its fused form where it is to be and has one."""
    chosen = {"fused": True} if fused and "fused" in inspect.signature(bound.make).parameters else {}
    return bound.make(parameters, lr=float(bound.learning_rates[0]), **{**chosen, **bound.arguments})

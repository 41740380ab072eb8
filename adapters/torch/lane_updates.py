"""The optimizer's update of many runs at once, on views of tensors [lanes, ...]."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol

import numpy as np
from gradrace.adapters.torch.layers import Layout
from gradrace.adapters.torch.optimizer import Updater
from gradrace.optimizer import Optimizer
from gradrace.spec import RunSpec
from torch import Tensor


class LaneUpdate(Protocol):
    """The runs' optimizers; see `Updater`, which drives that of one run."""

    def begin(self) -> None:
        """Steps follow; on the host."""

    def step(self, step: int | Tensor, gradients: Sequence[Tensor | None]) -> None:
        """Update number `step` of every lane. gradients: [lanes, ...] each, in the order of the
        tensors; the same objects at every step; None for a tensor that no loss depends on. step:
        int64[1] on the device for a step that is captured."""

    def set_learning_rates(self, lane: int, rates: np.ndarray) -> None:
        """Replaces one run's whole table float64[steps]."""

    def evaluated(self) -> AbstractContextManager[None]:
        """Inside, the tensors hold the weights to evaluate."""

    def state_bytes(self) -> int | None:
        """Of one lane, as `Session.state_bytes`."""


class OneByOne:
    """torch's own optimizer of each lane, one after the other: possible for every class that keeps
    what it knows in itself. The number of kernels grows with the lanes."""

    def __init__(
        self,
        runs: Sequence[RunSpec],
        optimizer: Optimizer,
        rates: Sequence[np.ndarray],
        trained: Mapping[str, Tensor],
        layouts: Sequence[Layout],
    ) -> None:
        self._lanes = [
            [tensor.detach()[lane].requires_grad_() for tensor in trained.values()]
            for lane in range(len(runs))
        ]
        self._updaters = [
            Updater(
                run,
                optimizer,
                dict(zip(trained, tensors, strict=True)),
                own,
                layouts,
            )
            for run, own, tensors in zip(runs, rates, self._lanes, strict=True)
        ]
        self._given = False

    def begin(self) -> None:
        pass

    def step(self, step: int | Tensor, gradients: Sequence[Tensor | None]) -> None:
        if not self._given:
            # Only now: the updaters drop gradients if they make their state beforehand.
            for lane, tensors in enumerate(self._lanes):
                for tensor, gradient in zip(tensors, gradients, strict=True):
                    tensor.grad = None if gradient is None else gradient[lane]
            self._given = True
        for updater in self._updaters:
            updater.step(step)

    def set_learning_rates(self, lane: int, rates: np.ndarray) -> None:
        self._updaters[lane].set_learning_rates(rates)

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        with ExitStack() as stack:
            for updater in self._updaters:
                stack.enter_context(updater.evaluated())
            yield

    def state_bytes(self) -> int | None:
        return self._updaters[0].state_bytes()

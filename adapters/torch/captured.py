"""A session of mode `cudagraph`: each step is a replay of one captured step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from gradrace.adapter import Part
from gradrace.adapters.torch import batches
from gradrace.adapters.torch.graph import CapturedStep, entry
from gradrace.adapters.torch.session import TorchSession
from gradrace.plan import RunInputs, Weights
from gradrace.spec import RunSpec
from torch import Tensor


class CapturedSession(TorchSession):
    """Its numbers are those of mode eager-fused. The graph looks up the batch, the learning rate
    and the corrections of a step on the device. Masks of dropout and batches of the input pipeline
    are copied there before each replay.
    """

    def __init__(self, run: RunSpec, start: Weights, inputs: RunInputs) -> None:
        super().__init__(run, start, inputs)
        self._captured = CapturedStep(self._enqueue, len(inputs.batches), self._device)
        # The batch that the host copies to the device, if it does; else how it is looked up there.
        self._copied: tuple[Tensor, ...] = ()
        self._batch: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
        if run.input == "pipeline":
            ((x, y),) = self._batches(range(1))
            self._copied = (x.clone(), y.clone())
        else:
            split = self._split("train", self._device, self._dtype)
            self._batch = batches.looked_up(*split, inputs.batches)

    def _enqueue(self, step: Tensor) -> Tensor:
        """Step number `step`, as TorchSession takes it."""
        x, y = self._batch(step) if self._batch else self._copied
        loss = self._gradients(x, y, entry(self._rates, step))
        self._updater.step(step)
        return loss

    def train(self, steps: range) -> None:
        self._captured.begin(steps)
        self._model.train()
        for _ in self._copy_inputs(steps):
            if self._captured.replay:
                self._captured.replay()
            else:
                self._take_and_capture()

    def _copy_inputs(self, steps: range) -> Iterator[None]:
        """Before each step, what the host has for it."""
        given = self._batches(steps) if self._copied else [()] * len(steps)
        for step, batch in zip(steps, given, strict=True):
            for place, fresh in zip(self._copied, batch, strict=True):
                place.copy_(fresh)
            if self._fed:
                self._feed_masks(step)
            yield

    def _take_and_capture(self) -> None:
        """The first step is taken before the capture, since it makes the optimizer's state."""
        updater = self._updater
        first = not updater.stepped
        if first:
            self._captured.take()
        with self._unmoved():
            self._captured.warm_up(updater.moved(), updater.on_host)
        replay = self._captured.capture()
        self._compilations += 1
        if not first:
            replay()

    def losses(self) -> np.ndarray:
        return self._captured.losses().double().cpu().numpy()

    def set_learning_rates(self, rates: np.ndarray) -> None:
        super().set_learning_rates(rates)
        # The graph reads the old tables.
        self._captured.replay = None

    def parts(self) -> tuple[Part, ...]:
        """None: one graph holds the whole step."""
        return ()

    def close(self) -> None:
        super().close()
        # The graph holds memory of its own, and the look-up the data.
        self._captured.replay = self._batch = None

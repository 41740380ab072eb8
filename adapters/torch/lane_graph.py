"""A population whose steps are replays of one captured step, on a GPU."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from gradrace.adapter import Unsupported
from gradrace.adapters.torch.graph import CapturedStep
from gradrace.adapters.torch.lane_stacked import Stacked
from gradrace.adapters.torch.population import TorchPopulation, memory_errors
from gradrace.plan import RunInputs, Weights
from gradrace.spec import RunSpec
from torch import Tensor

log = logging.getLogger(__name__)


class CapturedPopulation(TorchPopulation):
    """The graph looks up rows, rates and all other numbers of a step on the device; masks of
    dropout are copied there before each replay. Without one if torch cannot capture the step."""

    def __init__(
        self,
        runs: Sequence[RunSpec],
        starts: Sequence[Weights],
        inputs: Sequence[RunInputs],
        lanes: int,
    ) -> None:
        super().__init__(runs, starts, inputs, lanes)
        self._masks: dict[str, Tensor] = {}
        self._captured: CapturedStep | None = None
        if isinstance(self._update, Stacked):
            steps = len(inputs[0].batches)
            self._captured = CapturedStep(self._take, steps, self._device, (lanes,))

    def train(self, steps: range) -> None:
        if self._captured is None:
            return super().train(steps)
        with memory_errors():
            self._begin()
            self._captured.begin(steps)
            for step in steps:
                self._copy_masks(step)
                if self._captured.replay:
                    self._captured.replay()
                elif not self._take_and_capture(self._captured):
                    return super().train(steps[1:])

    def _copy_masks(self, step: int) -> None:
        drawn = self._drawn_factors(step)
        if not self._masks:
            self._masks = drawn
        for name, factors in drawn.items():
            self._masks[name].copy_(factors)

    def _factors(self, step: int | Tensor) -> dict[str, Tensor]:
        return self._masks if self._captured else super()._factors(step)

    def _take_and_capture(self, captured: CapturedStep) -> bool:
        """The first step is taken before the capture, since it makes the rest of the state. False
        if torch cannot capture it; then it is taken all the same."""
        captured.take()
        assert isinstance(self._update, Stacked)
        try:
            captured.warm_up([*self._update.moved(), *self._network.state.values()], dict)
            captured.capture()
        except Unsupported as error:
            if isinstance(error.__cause__, torch.OutOfMemoryError):
                raise MemoryError(str(error)) from error
            log.warning("a population takes its steps without a CUDA graph: %s", error)
            self._losses += captured.losses()[:1].unbind(0)
            self._captured = None
            return False
        return True

    def losses(self) -> np.ndarray:
        if self._captured is not None:
            self._losses += self._captured.losses().unbind(0)
        return super().losses()

    def close(self) -> None:
        super().close()
        self._captured = None

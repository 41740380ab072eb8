"""The reference rules of a run's optimizers, each on the parameters that it trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gradrace.adapters.numpy.optimizer import Updater
from gradrace.plan import Weights
from gradrace.roles import Trainer


class GroupedUpdater:
    """One `Updater` for each of a run's optimizers, most often for one alone."""

    def __init__(self, trainers: Sequence[Trainer], start: Weights) -> None:
        self._parts = [
            (each, Updater(each.run, each.optimizer, {name: start[name] for name in each.names}))
            for each in trainers
        ]

    def step(
        self, weights: Weights, gradients: Weights, lr: float, step: int
    ) -> dict[str, np.ndarray]:
        """The trainable weights after update number `step`, counted from 0, at the run's rate."""
        moved: dict[str, np.ndarray] = {}
        for trainer, updater in self._parts:
            moved |= updater.step(weights, gradients, trainer.rate_factor * lr, step)
        return moved

    def evaluated(self, weights: Weights) -> Weights:
        """The trainable weights with which the model is evaluated."""
        return {n: w for _, each in self._parts for n, w in each.evaluated(weights).items()}

    @property
    def states(self) -> list[dict[str, dict[str, Any]]]:
        """The rules' own, of each optimizer."""
        return [updater.state for _, updater in self._parts]

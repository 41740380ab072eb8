"""Many sessions as a population: NumPy gains nothing from lanes, but shows what they must give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gradrace.adapter import Metrics
from gradrace.adapters.numpy.session import NumpySession
from gradrace.plan import Weights


class NumpyPopulation:
    """See gradrace.adapter.Population."""

    def __init__(self, sessions: Sequence[NumpySession]) -> None:
        self._sessions = list(sessions)

    def train(self, steps: range) -> None:
        for session in self._sessions:
            session.train(steps)

    def sync(self) -> None:
        pass

    def losses(self) -> np.ndarray:
        return np.stack([session.losses() for session in self._sessions])

    def evaluate(self, split: str) -> list[Metrics]:
        return [session.evaluate(split) for session in self._sessions]

    def set_learning_rates(self, lane: int, rates: np.ndarray) -> None:
        self._sessions[lane].set_learning_rates(rates)

    def weights(self, lane: int) -> Weights:
        return self._sessions[lane].weights()

    def state_bytes(self) -> int | None:
        return self._sessions[0].state_bytes()

    def close(self) -> None:
        for session in self._sessions:
            session.close()

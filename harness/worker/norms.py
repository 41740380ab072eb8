"""Norms of weights, gradients and updates, taken while a session is trained; see record.Norms."""

from __future__ import annotations

import numpy as np

from ..adapter import Session
from ..plan import Weights
from ..record import Norms

_Row = tuple[int, str, float, float, float, float]


class NormTaker:
    """Takes the first step of every chunk alone, and reads the weights before and after it."""

    def __init__(self) -> None:
        self._rows: list[_Row] = []

    def train(self, session: Session, chunk: range) -> None:
        """Enqueues these updates, as `session.train` does, in two calls."""
        first, rest = chunk[:1], chunk[1:]
        before, gradients = session.weights(), session.gradients(first.start)
        session.train(first)
        after = session.weights()
        self._rows += [_row(first.start, name, before, gradients, after) for name in gradients]
        if rest:
            session.train(rest)

    def norms(self) -> Norms:
        """All that was taken so far."""
        columns = list(zip(*self._rows, strict=True)) or [()] * len(Norms.DTYPES)
        return Norms(
            *(
                np.array(column, dtype)
                for column, dtype in zip(columns, Norms.DTYPES.values(), strict=True)
            )
        )


def _row(step: int, name: str, before: Weights, gradients: Weights, after: Weights) -> _Row:
    old, new, gradient = (
        np.asarray(of[name], dtype=np.float64) for of in (before, after, gradients)
    )
    with np.errstate(over="ignore", invalid="ignore"):
        weight, slope, update = (
            float(np.linalg.norm(array)) for array in (old, gradient, new - old)
        )
    return step, name, weight, slope, update, float(np.mean(gradient == 0.0))

"""The boundary to the frameworks: what an adapter module offers, in our own types only.

An adapter module states, as literals at its top that are read without importing it:

    FRAMEWORK = "torch"            the name in specs
    TITLE = "PyTorch"              the name for people
    REQUIRES = ("torch",)          distributions it cannot run without ("a|b": either); versions enter the digest
    MODES = ("eager",)             how it can be driven; the first is used for timing
    CONVERGENCE_MODE = "eager"     the fastest mode that keeps the numbers
    ADAPTER = PytorchAdapter()     an Adapter

Everything else in it may import the framework at the top.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from .optimizer import Optimizer
from .plan import Plan, Weights
from .spec import RunSpec


class Metrics(NamedTuple):
    """Over a whole split: the mean loss, and the task's metric (accuracy: share of correct answers)."""

    loss: float
    metric: float


class Session(Protocol):
    """One model with one optimizer, being trained. Steps are numbered from 0 and taken in order, each once."""

    def train(self, steps: range) -> None:
        """Enqueues these updates; need not wait for the device."""

    def sync(self) -> None:
        """Returns when the device has finished all that was enqueued."""

    def losses(self) -> np.ndarray:
        """float64[k]: the mean loss of each batch before its update, of the steps since the last call."""

    def evaluate(self, split: str) -> Metrics:
        """Loss and metric of the present weights over 'train', 'validation' or 'test'."""

    def weights(self) -> Weights:
        """The present weights, canonical layout and names, in the run's dtype."""

    def state_bytes(self) -> int:
        """Bytes of the optimizer's state arrays (moments, buffers); counters and learning-rate tables left out."""

    def close(self) -> None:
        """Frees what the session holds."""


class Adapter(Protocol):
    """A framework. `open` may keep compiled code between sessions; results never depend on what ran before."""

    name: str

    def versions(self) -> dict[str, str]:
        """Distribution -> version of all that computes, for the record."""

    def devices(self) -> tuple[str, ...]:
        """The devices it can use here: 'cpu', and 'gpu' where there is one."""

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        """None, or the reason it cannot do this run with this optimizer."""

    def open(self, run: RunSpec, start: Weights, plan: Plan) -> Session:
        """A session at step 0 with these weights (canonical layout, float64)."""

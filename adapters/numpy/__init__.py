"""The referee: every layer, loss, penalty and reference rule in plain NumPy float64.

It needs no framework, so it tests the core, and every framework is compared with it. The smallest
adapter, and so the one to read first: this file, then session, layers, losses, optimizer,
groups, population. `instance` steps a rule by hand, `script` prints that. `profiling`:
the operators of a step.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Hashable, Sequence

import numpy as np
from gradrace.adapter import Differentials
from gradrace.adapters.numpy import layers, losses
from gradrace.adapters.numpy.optimizer import Updater
from gradrace.adapters.numpy.population import NumpyPopulation
from gradrace.adapters.numpy.session import NumpySession
from gradrace.layers import BuiltLayer
from gradrace.optimizer import Optimizer
from gradrace.plan import RunInputs, Weights
from gradrace.spec import Dtype, RunSpec, TaskSpec

FRAMEWORK = "numpy"
TITLE = "NumPy reference"
REQUIRES = ("numpy", "scipy")
MODES = ("reference",)
CONVERGENCE_MODE = "reference"
MEMORY_MIB = 50
# Measured on two cores of an AMD EPYC on 2026-11-27: tasks of the suite `quick`.
FIRST_RUN_S = (0.1, 0.0, 3e-3)

Array = np.ndarray


class NumpyAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK
    trains_groups = True

    def versions(self) -> dict[str, str]:
        return {name: importlib.metadata.version(name) for name in REQUIRES}

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def policy(self, run: RunSpec) -> dict[str, str]:
        return {}

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if optimizer.rule is None:
            return f"{optimizer.name} has no reference rule"
        if FRAMEWORK in optimizer.bindings:
            return (
                f"{optimizer.name}: bindings[{FRAMEWORK!r}] has no meaning; NumPy takes the"
                " optimizer's rule"
            )
        if run.dtype != "float64":
            return "the NumPy reference computes in float64 only"
        if run.optimizer.rule == "native":
            return "the NumPy reference has no native optimizers"
        return None

    def open(self, run: RunSpec, start: Weights, inputs: RunInputs) -> NumpySession:
        return NumpySession(run, start, inputs)

    def lane_key(self, run: RunSpec, inputs: RunInputs) -> Hashable:
        return None

    def open_population(
        self,
        runs: Sequence[RunSpec],
        starts: Sequence[Weights],
        inputs: Sequence[RunInputs],
        lanes: int,
    ) -> NumpyPopulation:
        return NumpyPopulation(list(map(NumpySession, runs, starts, inputs)))

    def updates(
        self,
        run: RunSpec,
        optimizer: Optimizer,
        start: Weights,
        gradients: Sequence[Weights],
        rates: Array,
    ) -> list[Weights]:
        weights, updater = start, Updater(run, optimizer, start)
        taken: list[Weights] = []
        for step, given in enumerate(gradients):
            weights = updater.step(weights, given, float(rates[step]), step)
            taken.append(weights)
        return taken

    def differentiate(
        self,
        layer: BuiltLayer,
        weights: Weights,
        x: Array,
        upstream: Array,
        training: bool,
        mask: Array | None = None,
        dtype: Dtype = "float64",
        mode: str | None = None,
    ) -> Differentials:
        _need_float64(dtype)
        passed = layers.forward(layer, weights, x, training, mask)
        downstream, gradients = layers.backward(layer, weights, passed.kept, upstream)
        state = {p.name: weights[p.name] for p in layer.parameters if not p.trainable} | dict(
            passed.state
        )
        return Differentials(passed.output, downstream, gradients, state)

    def loss(
        self, task: TaskSpec, outputs: Array, y: Array, dtype: Dtype = "float64"
    ) -> tuple[float, Array]:
        _need_float64(dtype)
        return losses.loss_and_gradient(task, outputs, y)

    def metric(self, task: TaskSpec, outputs: Array, y: Array, dtype: Dtype = "float64") -> float:
        _need_float64(dtype)
        return losses.metric(task, outputs, y)


ADAPTER = NumpyAdapter()


def _need_float64(dtype: Dtype) -> None:
    if dtype != "float64":
        raise ValueError("the NumPy reference computes in float64 only")

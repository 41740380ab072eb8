"""The referee: dense networks and the reference update rules in plain NumPy float64.

It needs no framework, so the core is tested with it, and every framework is compared with it.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

import numpy as np
from gradrace.adapter import Metrics
from gradrace.layers import Activation, BuiltLayer, Dense, Flatten, build
from gradrace.optimizer import Optimizer
from gradrace.plan import Plan, Weights
from gradrace.spec import RunSpec

FRAMEWORK = "numpy"
TITLE = "NumPy reference"
REQUIRES = ("numpy",)
MODES = ("reference",)
CONVERGENCE_MODE = "reference"

Array = np.ndarray


class Updater:
    """The reference rule on every tensor by itself. `weights` holds the present values, float64."""

    def __init__(self, run: RunSpec, optimizer: Optimizer, start: Weights) -> None:
        assert optimizer.rule is not None, "supports() has said no to this optimizer"
        self._rule, self._hyper = optimizer.rule, optimizer.hypers(run.optimizer.hyper)
        self.weights = {name: np.array(value, dtype=np.float64) for name, value in start.items()}
        self.state = {name: self._rule.init(value, self._hyper) for name, value in self.weights.items()}

    def step(self, gradients: Weights, lr: float, step: int) -> None:
        """Update number `step`, counted from 0."""
        for name, gradient in gradients.items():
            self.weights[name], self.state[name] = self._rule.update(
                self.weights[name], gradient, self.state[name], lr, step + 1, self._hyper
            )


class NumpySession:
    """Trains by hand-written forward and backward passes."""

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        self._updater = Updater(run, plan.optimizer, start)
        self._weights = self._updater.weights
        self._plan, self._rates = plan, plan.learning_rates
        self._layers = build(run.task.model, run.task.input_shape)
        self._data = {name: (plan.data.shaped(name, run.task.input_shape), s.y) for name, s in plan.data.splits.items()}
        self._losses: list[float] = []

    def train(self, steps: range) -> None:
        for step in steps:
            self._step(step)

    def _step(self, step: int) -> None:
        x, y = self._data["train"]
        rows, lr = self._plan.batches[step], float(self._rates[step])
        loss, gradients = self._loss_and_gradients(x[rows], y[rows])
        self._losses.append(loss)
        self._updater.step(gradients, lr, step)

    def _loss_and_gradients(self, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
        inputs = []
        for layer in self._layers:
            inputs.append(x)
            x = _forward(layer, self._weights, x)
        loss, upstream = _softmax_cross_entropy(x, y)
        gradients: dict[str, Array] = {}
        for layer, before in zip(reversed(self._layers), reversed(inputs), strict=True):
            upstream = _backward(layer, self._weights, before, upstream, gradients)
        return loss, gradients

    def sync(self) -> None:
        pass

    def losses(self) -> Array:
        taken, self._losses = np.array(self._losses, dtype=np.float64), []
        return taken

    def evaluate(self, split: str) -> Metrics:
        x, y = self._data[split]
        for layer in self._layers:
            x = _forward(layer, self._weights, x)
        return Metrics(_softmax_cross_entropy(x, y)[0], float(np.mean(x.argmax(axis=1) == y)))

    def set_learning_rates(self, rates: Array) -> None:
        self._rates = rates

    def weights(self) -> Weights:
        return {name: value.copy() for name, value in self._weights.items()}

    def state_bytes(self) -> int:
        return sum(array.nbytes for state in self._updater.state.values() for array in state.values())

    def close(self) -> None:
        pass


class NumpyAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK

    def versions(self) -> dict[str, str]:
        return {"numpy": importlib.metadata.version("numpy")}

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if optimizer.rule is None:
            return f"{optimizer.name} has no reference rule"
        other = {layer.kind for layer in run.task.model if not isinstance(layer, Dense | Activation | Flatten)}
        if other:
            return f"the NumPy reference has no {', '.join(sorted(other))} layer"
        if run.dtype != "float64":
            return "the NumPy reference computes in float64 only"
        if run.optimizer.rule == "native":
            return "the NumPy reference has no native optimizers"
        return None

    def open(self, run: RunSpec, start: Weights, plan: Plan) -> NumpySession:
        return NumpySession(run, start, plan)

    def updates(
        self, run: RunSpec, optimizer: Optimizer, start: Weights, gradients: Sequence[Weights], rates: Array
    ) -> list[Weights]:
        updater = Updater(run, optimizer, start)
        taken: list[Weights] = []
        for step, given in enumerate(gradients):
            updater.step(given, float(rates[step]), step)
            taken.append({name: value.copy() for name, value in updater.weights.items()})
        return taken


ADAPTER = NumpyAdapter()


def _forward(built: BuiltLayer, weights: Weights, x: Array) -> Array:
    match built.layer:
        case Dense():
            return x @ weights[f"{built.name}.kernel"] + weights[f"{built.name}.bias"]
        case Activation(function="relu"):
            return np.maximum(x, 0.0)
        case Activation(function="tanh"):
            return np.tanh(x)
        case Flatten():
            return x.reshape(len(x), -1)
    raise ValueError(f"no forward pass for {built.layer.kind}")


def _backward(built: BuiltLayer, weights: Weights, x: Array, upstream: Array, gradients: dict[str, Array]) -> Array:
    """The gradient by the layer's input, given its input and the gradient by its output; adds its parameters' own."""
    match built.layer:
        case Dense():
            gradients[f"{built.name}.kernel"] = x.T @ upstream
            gradients[f"{built.name}.bias"] = upstream.sum(axis=0)
            return upstream @ weights[f"{built.name}.kernel"].T
        case Activation(function="relu"):
            return upstream * (x > 0.0)
        case Activation(function="tanh"):
            return upstream * (1.0 - np.tanh(x) ** 2)
        case Flatten():
            return upstream.reshape(x.shape)
    raise ValueError(f"no backward pass for {built.layer.kind}")


def _softmax_cross_entropy(logits: Array, y: Array) -> tuple[float, Array]:
    """Mean loss, and its gradient by the logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(y))
    gradient = np.exp(log_p)
    gradient[rows, y] -= 1.0
    return float(-log_p[rows, y].mean()), gradient / len(y)

"""The referee: every layer, loss and penalty, and the reference update rules, in plain NumPy
float64.

It needs no framework, so the core is tested with it, and every framework is compared with it.
Models are in `_numpy_layers.py`, losses in `_numpy_losses.py`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any

import numpy as np
from gradrace.adapter import Differentials, Metrics, Part
from gradrace.adapters import _numpy_layers as numpy_layers
from gradrace.adapters import _numpy_losses as numpy_losses
from gradrace.adapters._held_arrays import held_arrays
from gradrace.adapters._numpy_rule import CheckedRule
from gradrace.layers import BuiltLayer, Dropout, build
from gradrace.objective import kernels
from gradrace.optimizer import Optimizer
from gradrace.plan import Plan, Weights, dropout_masks
from gradrace.spec import Dtype, RunSpec, TaskSpec

FRAMEWORK = "numpy"
TITLE = "NumPy reference"
REQUIRES = ("numpy", "scipy")
MODES = ("reference",)
CONVERGENCE_MODE = "reference"

Array = np.ndarray


class Updater:
    """The reference rule on every tensor by itself, or on all of them as one vector. It holds the
    state.
    """

    def __init__(self, run: RunSpec, optimizer: Optimizer, start: Weights) -> None:
        assert optimizer.rule is not None, "supports() has said no to this optimizer"
        self._rule = CheckedRule(optimizer.name, optimizer.rule)
        self._hyper = optimizer.hypers(run.optimizer.hyper)
        self._shapes = {name: value.shape for name, value in start.items()}
        self.state = {
            key: self._rule.init(part, self._hyper) for key, part in self._parts(start).items()
        }

    def step(self, weights: Weights, gradients: Weights, lr: float, step: int) -> dict[str, Array]:
        """The trainable weights after update number `step`, counted from 0."""
        parts, given = self._parts(weights), self._parts(gradients)
        for key, part in parts.items():
            parts[key], self.state[key] = self._rule.update(
                part, given[key], self.state[key], lr, step + 1, self._hyper
            )
        return self._whole(parts)

    def evaluated(self, weights: Weights) -> Weights:
        """The trainable weights with which the model is evaluated."""
        parts = self._parts(weights).items()
        return self._whole(
            {key: self._rule.evaluation(part, self.state[key], self._hyper) for key, part in parts}
        )

    def _parts(self, arrays: Weights) -> dict[str, Array]:
        """What the rule takes, one by one."""
        own = {name: np.asarray(arrays[name], dtype=np.float64) for name in self._shapes}
        return (
            {"all": np.concatenate([array.ravel() for array in own.values()])}
            if self._rule.joint
            else own
        )

    def _whole(self, parts: dict[str, Array]) -> dict[str, Array]:
        """The reverse."""
        if not self._rule.joint:
            return parts
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in self._shapes.values()])[:-1]
        pieces = zip(self._shapes.items(), np.split(parts["all"], ends), strict=True)
        return {name: piece.reshape(shape) for (name, shape), piece in pieces}


class NumpySession:
    """Trains by hand-written forward and backward passes."""

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        self._task, self._plan, self._rates = run.task, plan, plan.learning_rates
        self._layers = build(run.task.model, run.task.input_shape)
        self._trained = [p.name for layer in self._layers for p in layer.parameters if p.trainable]
        self._updater = Updater(run, plan.optimizer, {name: start[name] for name in self._trained})
        self._data = {
            name: (plan.data.shaped(name, run.task.input_shape), s.y)
            for name, s in plan.data.splits.items()
        }
        self._weights = {name: np.array(value, dtype=np.float64) for name, value in start.items()}
        self._kernels = kernels(self._layers)
        self._losses: list[float] = []
        self._gradients: dict[str, Array] | None = None
        self._probed: Any = None

    def train(self, steps: range) -> None:
        for step in steps:
            self._step(step)

    def _step(self, step: int) -> None:
        """Loss with penalties, its gradients, clipping, decoupled decay, the rule's update: in this
        order everywhere.
        """
        loss, gradients, state = self._loss_and_gradients(step)
        self._losses.append(loss)
        self._weights |= state
        self._weights |= self._updated(gradients, float(self._rates[step]), step)

    def _updated(self, gradients: dict[str, Array], lr: float, step: int) -> dict[str, Array]:
        """The trainable weights after an update with these gradients of the loss."""
        regularization, weights = self._task.regularization, dict(self._weights)
        if regularization.clip_norm:
            gradients = numpy_losses.clipped(gradients, regularization.clip_norm)
        for name in self._kernels if regularization.decay else ():
            weights[name] = weights[name] * (1.0 - lr * regularization.decay)
        return self._updater.step(weights, gradients, lr, step)

    def _loss(self, step: int) -> tuple[float, list[Any], dict[str, Array], Array]:
        """Of a batch in training: its loss, penalties included, what the layers keep, their new
        state, and the gradient of the loss by the outputs."""
        (x, y), rows = self._data["train"], self._plan.batches[step]
        outputs, kept, state = self._through(x[rows], step, self._weights)
        loss, by_outputs = numpy_losses.loss_and_gradient(self._task, outputs, y[rows])
        penalty, _ = self._penalty()
        return loss + penalty, kept, state, by_outputs

    def _penalty(self) -> tuple[float, dict[str, Array]]:
        if not (self._task.regularization.l1 or self._task.regularization.l2):
            return 0.0, {}
        return numpy_losses.penalty(
            self._task.regularization, {k: self._weights[k] for k in self._kernels}
        )

    def _loss_and_gradients(self, step: int) -> tuple[float, dict[str, Array], dict[str, Array]]:
        """Of a batch in training: its loss, penalties included, all gradients, and the new state of
        the layers.
        """
        loss, kept, state, by_outputs = self._loss(step)
        gradients: dict[str, Array] = {}
        upstream: Array | None = by_outputs
        for layer, of_layer in zip(reversed(self._layers), reversed(kept), strict=True):
            assert upstream is not None, "only the first layer takes integers"
            upstream, own = numpy_layers.backward(layer, self._weights, of_layer, upstream)
            gradients |= own
        gradients |= {
            name: gradients[name] + gradient for name, gradient in self._penalty()[1].items()
        }
        return loss, gradients, state

    def _through(
        self, x: Array, step: int | None, weights: Weights
    ) -> tuple[Array, list[Any], dict[str, Array]]:
        """Outputs of the model, what each layer keeps, its new state; as in training at `step`, or
        evaluated.
        """
        kept: list[Any] = []
        state: dict[str, Array] = {}
        for layer in self._layers:
            mask = None if step is None else self._mask(layer, step, len(x))
            passed = numpy_layers.forward(layer, weights, x, step is not None, mask)
            kept.append(passed.kept)
            state |= passed.state
            x = passed.output
        return x, kept, state

    def _mask(self, layer: BuiltLayer, step: int, batch: int) -> Array | None:
        # The harness's masks are this adapter's native ones, too.
        if not isinstance(layer.layer, Dropout):
            return None
        return dropout_masks(layer, self._plan.seed, range(step, step + 1), batch)[0]

    def sync(self) -> None:
        pass

    def losses(self) -> Array:
        taken, self._losses = np.array(self._losses, dtype=np.float64), []
        return taken

    def evaluate(self, split: str) -> Metrics:
        x, y = self._data[split]
        outputs, _, _ = self._through(
            x, None, {**self._weights, **self._updater.evaluated(self._weights)}
        )
        loss, _ = numpy_losses.loss_and_gradient(self._task, outputs, y)
        return Metrics(loss, numpy_losses.metric(self._task, outputs, y))

    def set_learning_rates(self, rates: Array) -> None:
        self._rates = rates

    def weights(self) -> Weights:
        return {name: value.copy() for name, value in self._weights.items()}

    def gradients(self, step: int) -> Weights:
        gradients = self._loss_and_gradients(step)[1]
        return {name: gradients[name] for name in self._trained}

    def state_bytes(self) -> int | None:
        held = held_arrays([self._updater.state], lambda value: isinstance(value, np.ndarray))
        return sum(array.nbytes for array in held.arrays if array.ndim) if held.whole else None

    def compilations(self) -> int:
        return 0

    def parts(self) -> tuple[Part, ...]:
        return ("forward", "gradient", "update")

    def probe(self, part: Part, steps: range) -> None:
        if part not in self.parts():
            raise ValueError(f"no part {part!r} of a step (known: {', '.join(self.parts())})")
        for step in steps:
            self._probed = self._part(part, step)

    def _part(self, part: Part, step: int) -> Any:
        match part:
            case "forward":
                return self._loss(step)[0]
            case "gradient":
                return self._loss_and_gradients(step)
        if self._gradients is None:
            self._gradients = self._loss_and_gradients(step)[1]
        return self._updated(self._gradients, 0.0, step)

    def peak_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        pass


class NumpyAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK

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

    def open(self, run: RunSpec, start: Weights, plan: Plan) -> NumpySession:
        return NumpySession(run, start, plan)

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
        passed = numpy_layers.forward(layer, weights, x, training, mask)
        downstream, gradients = numpy_layers.backward(layer, weights, passed.kept, upstream)
        state = {p.name: weights[p.name] for p in layer.parameters if not p.trainable} | dict(
            passed.state
        )
        return Differentials(passed.output, downstream, gradients, state)

    def loss(
        self, task: TaskSpec, outputs: Array, y: Array, dtype: Dtype = "float64"
    ) -> tuple[float, Array]:
        _need_float64(dtype)
        return numpy_losses.loss_and_gradient(task, outputs, y)

    def metric(self, task: TaskSpec, outputs: Array, y: Array, dtype: Dtype = "float64") -> float:
        _need_float64(dtype)
        return numpy_losses.metric(task, outputs, y)


ADAPTER = NumpyAdapter()


def _need_float64(dtype: Dtype) -> None:
    if dtype != "float64":
        raise ValueError("the NumPy reference computes in float64 only")

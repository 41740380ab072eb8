"""One model with one reference rule, trained by hand-written forward and backward passes."""

from __future__ import annotations

from typing import Any

import numpy as np
from gradrace.adapter import Metrics, Part
from gradrace.adapters.held_arrays import held_arrays
from gradrace.adapters.large_data import pieces, rows_at_once
from gradrace.adapters.numpy import layers, losses
from gradrace.adapters.numpy.groups import GroupedUpdater
from gradrace.layers import BuiltLayer, Dropout, build
from gradrace.objective import kernels
from gradrace.plan import RunInputs, Weights, dropout_masks
from gradrace.spec import RunSpec

Array = np.ndarray
# Splits are evaluated at most this many rows at a time, to bound the memory.
_EVALUATED_ROWS = 4096


class NumpySession:
    """See gradrace.adapter.Session."""

    def __init__(self, run: RunSpec, start: Weights, inputs: RunInputs) -> None:
        self._task, self._inputs, self._rates = run.task, inputs, inputs.learning_rates
        self._layers = build(run.task.model, run.task.input_shape)
        self._trained = [p.name for layer in self._layers for p in layer.parameters if p.trainable]
        self._updater = GroupedUpdater(inputs.trainers(run), start)
        self._data = {
            name: (inputs.data.shaped(name, run.task.input_shape), split.y)
            for name, split in inputs.data.splits.items()
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
        """The order is the same in every adapter: loss with penalties, its gradients, clipping,
        decoupled decay, the rule's update."""
        loss, gradients, state = self._loss_and_gradients(step)
        self._losses.append(loss)
        self._weights |= state
        self._weights |= self._updated(gradients, float(self._rates[step]), step)

    def _updated(self, gradients: dict[str, Array], lr: float, step: int) -> dict[str, Array]:
        """The trainable weights after an update with these gradients of the loss."""
        regularization, weights = self._task.regularization, dict(self._weights)
        if regularization.clip_norm:
            gradients = losses.clipped(gradients, regularization.clip_norm)
        for name in self._kernels if regularization.decay else ():
            weights[name] = weights[name] * (1.0 - lr * regularization.decay)
        return self._updater.step(weights, gradients, lr, step)

    def _loss(self, step: int) -> tuple[float, list[Any], dict[str, Array], Array]:
        """A training batch's loss with penalties, what each layer keeps, the layers' new state, and
        the gradient by the outputs."""
        (x, y), rows = self._data["train"], self._inputs.batches[step]
        outputs, kept, state = self._through(x[rows], step, self._weights)
        loss, by_outputs = losses.loss_and_gradient(self._task, outputs, y[rows])
        penalty, _ = self._penalty()
        return loss + penalty, kept, state, by_outputs

    def _penalty(self) -> tuple[float, dict[str, Array]]:
        rules = self._task.regularization
        if not (rules.l1 or rules.l2):
            return 0.0, {}
        return losses.penalty(rules, {name: self._weights[name] for name in self._kernels})

    def _loss_and_gradients(self, step: int) -> tuple[float, dict[str, Array], dict[str, Array]]:
        """A training batch's loss with penalties, all gradients, and the layers' new state."""
        loss, kept, state, by_outputs = self._loss(step)
        gradients: dict[str, Array] = {}
        upstream: Array | None = by_outputs
        for layer, of_layer in zip(reversed(self._layers), reversed(kept), strict=True):
            assert upstream is not None, "only the first layer takes integers"
            upstream, own = layers.backward(layer, self._weights, of_layer, upstream)
            gradients |= own
        for name, gradient in self._penalty()[1].items():
            gradients[name] = gradients[name] + gradient
        return loss, gradients, state

    def _through(
        self, x: Array, step: int | None, weights: Weights
    ) -> tuple[Array, list[Any], dict[str, Array]]:
        """The model's outputs, what each layer keeps, its new state. step: None to evaluate."""
        kept: list[Any] = []
        state: dict[str, Array] = {}
        for layer in self._layers:
            mask = None if step is None else self._mask(layer, step, len(x))
            passed = layers.forward(layer, weights, x, step is not None, mask)
            kept.append(passed.kept)
            state |= passed.state
            x = passed.output
        return x, kept, state

    def _mask(self, layer: BuiltLayer, step: int, batch: int) -> Array | None:
        # NumPy draws no masks of its own: its native ones are the harness's too.
        if not isinstance(layer.layer, Dropout):
            return None
        return dropout_masks(layer, self._inputs.seed, range(step, step + 1), batch)[0]

    def sync(self) -> None:
        pass

    def losses(self) -> Array:
        taken, self._losses = np.array(self._losses, dtype=np.float64), []
        return taken

    def evaluate(self, split: str) -> Metrics:
        x, y = self._data[split]
        weights = {**self._weights, **self._updater.evaluated(self._weights)}
        parts = pieces(len(x), rows_at_once(self._layers, _EVALUATED_ROWS, 8))
        outputs = np.concatenate([self._through(x[part], None, weights)[0] for part in parts])
        loss, _ = losses.loss_and_gradient(self._task, outputs, y)
        return Metrics(loss, losses.metric(self._task, outputs, y))

    def set_learning_rates(self, rates: Array) -> None:
        self._rates = rates

    def weights(self) -> Weights:
        return {name: value.copy() for name, value in self._weights.items()}

    def gradients(self, step: int) -> Weights:
        gradients = self._loss_and_gradients(step)[1]
        return {name: gradients[name] for name in self._trained}

    def state_bytes(self) -> int | None:
        found = held_arrays(self._updater.states, lambda value: isinstance(value, np.ndarray))
        return sum(array.nbytes for array in found.arrays if array.ndim) if found.whole else None

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

"""Batches in the run's order: gathered from data on the device, or through tf.data."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice, repeat
from typing import Any, Protocol

import tensorflow as tf
from gradrace.data import Data
from gradrace.layers import build
from gradrace.objective import fed_dropouts, takes_integers, targets
from gradrace.plan import RunInputs, dropout_masks
from gradrace.spec import RunSpec

# x [batch, *sample], y [batch, ...], and a mask bool[batch, *sample] for each fed dropout.
Batch = tuple[tf.Tensor, ...]
Tensors = Mapping[str, tuple[tf.Tensor, tf.Tensor]]
# A loop's number of batches, and the batch of its iteration t.
Fetch = tuple[tf.Tensor, Callable[[tf.Tensor], Batch]]

_DATA_SETS = 8
# Batches are gathered this many steps at a time, to bound the memory.
_GATHERED_STEPS = 128
_MASK_BYTES = 64 * 2**20


class Batches(Protocol):
    """The batches of any range of steps, in the form that a mode needs."""

    def each(self, steps: range) -> Iterator[Batch]:
        """One after another."""

    def looped(self, steps: range) -> Sequence[Any]:
        """Arguments of a traced loop."""

    def loop_signature(self) -> Sequence[Any]:
        """Types of such arguments, the same for every range of steps."""

    @staticmethod
    def fetch(*arguments: Any) -> Fetch:
        """The arguments of a loop, while it is being traced, as the batches they stand for."""

    def fitted(self, steps: range) -> dict[str, Any]:
        """Arguments of keras.Model.fit, samples and masks in one tuple."""


class Resident:
    """From tensors that lie on the run's device before the first step."""

    def __init__(self, run: RunSpec, inputs: RunInputs, data: Tensors) -> None:
        self._x, self._y = data["train"]
        self._rows, self._size = inputs.batches, run.task.batch_size
        self._masks = Masks(run, inputs)

    def each(self, steps: range) -> Iterator[Batch]:
        """See Batches; gathered ahead, many at once."""
        for first in range(steps.start, steps.stop, _GATHERED_STEPS):
            chunk = range(first, min(first + _GATHERED_STEPS, steps.stop))
            rows = self._rows[chunk.start : chunk.stop]
            x, y = (tf.unstack(tf.gather(part, rows)) for part in (self._x, self._y))
            # Without dropout, `masks` never ends.
            for x_t, y_t, masks in zip(x, y, self._masks.each(chunk), strict=False):
                yield x_t, y_t, *masks

    def looped(self, steps: range) -> Sequence[Any]:
        """See Batches; gathered by the loop itself, one at a time."""
        return (
            self._x,
            self._y,
            tf.constant(self._rows[steps.start : steps.stop]),
            *self._masks.stacked(steps),
        )

    def loop_signature(self) -> Sequence[Any]:
        """See Batches."""
        masks = [tf.TensorSpec([None, self._size, *shape], tf.bool) for shape in self._masks.shapes]
        return (
            *signature(self._x, self._y, rows=None),
            tf.TensorSpec([None, self._size], tf.int64),
            *masks,
        )

    @staticmethod
    def fetch(*arguments: Any) -> Fetch:
        """See Batches."""
        x, y, rows, *masks = arguments
        return tf.shape(rows)[0], lambda t: (
            tf.gather(x, rows[t]),
            tf.gather(y, rows[t]),
            *(mask[t] for mask in masks),
        )

    def fitted(self, steps: range) -> dict[str, Any]:
        """See Batches; whole arrays in the run's order, which Keras cuts into batches again."""
        rows = self._rows[steps.start : steps.stop].reshape(-1)
        masks = (tf.reshape(mask, [-1, *mask.shape[2:]]) for mask in self._masks.stacked(steps))
        samples = (tf.gather(self._x, rows), *masks)
        return {"x": samples, "y": tf.gather(self._y, rows), "batch_size": self._size}


class Pipeline:
    """Through tf.data: rows of the run, gathered from arrays in the host's memory, prefetched.

    An iterator goes on where it stands; steps out of order start a new one.
    """

    def __init__(self, run: RunSpec, inputs: RunInputs) -> None:
        self._x, self._y = on_device(inputs.data, run, "cpu")["train"]
        self._rows, self._masks = inputs.batches, Masks(run, inputs)
        self._iterator: Iterator[Batch] = iter(())
        self._next: int | None = None

    def each(self, steps: range) -> Iterator[Batch]:
        """See Batches."""
        return islice(self._at(steps), len(steps))

    def looped(self, steps: range) -> Sequence[Any]:
        """See Batches; the loop asks the iterator itself."""
        return self._at(steps), tf.constant(len(steps))

    def loop_signature(self) -> Sequence[Any]:
        """See Batches."""
        return tf.type_spec_from_value(iter(self._dataset(range(0)))), tf.TensorSpec([], tf.int32)

    @staticmethod
    def fetch(*arguments: Any) -> Fetch:
        """See Batches."""
        iterator, count = arguments
        return count, lambda t: next(iterator)

    def fitted(self, steps: range) -> dict[str, Any]:
        """See Batches; a data set of these steps."""
        return {"x": self._dataset(steps).map(lambda x, y, *masks: ((x, *masks), y))}

    def _at(self, steps: range) -> Iterator[Batch]:
        if steps.start != self._next:
            self._iterator = iter(self._dataset(range(steps.start, len(self._rows))))
        self._next = steps.stop
        return self._iterator

    def _dataset(self, steps: range) -> tf.data.Dataset:
        x, y = self._x, self._y
        rows = tf.data.Dataset.from_tensor_slices(self._rows[steps.start : steps.stop])
        batches = rows.map(lambda row: (tf.gather(x, row), tf.gather(y, row)))
        if self._masks.shapes:
            size, each = self._rows.shape[1], self._masks.each
            specs = tuple(tf.TensorSpec([size, *shape], tf.bool) for shape in self._masks.shapes)
            masks = tf.data.Dataset.from_generator(lambda: each(steps), output_signature=specs)
            batches = tf.data.Dataset.zip(batches, masks).map(lambda batch, masks: (*batch, *masks))
            # Without it, Keras asks a generator for one batch too many, which moves counters.
            batches = batches.apply(tf.data.experimental.assert_cardinality(len(steps)))
        return batches.prefetch(tf.data.AUTOTUNE)


class Masks:
    """The harness's dropout masks, drawn and copied to the device ahead of the steps."""

    def __init__(self, run: RunSpec, inputs: RunInputs) -> None:
        self._layers = fed_dropouts(build(run.task.model, run.task.input_shape))
        self._seed, self._batch, self._steps = inputs.seed, run.task.batch_size, len(inputs.batches)
        self._staged: tuple[range, list[tuple[tf.Tensor, ...]]] = (range(0), [])
        self.shapes = tuple(built.input_shape for built in self._layers)

    def each(self, steps: range) -> Iterator[tuple[tf.Tensor, ...]]:
        """For every step, a mask bool[batch, *sample] of each layer; endless if there is none."""
        return (self._at(step) for step in steps) if self._layers else repeat(())

    def stacked(self, steps: range) -> tuple[tf.Tensor, ...]:
        """bool[steps, batch, *sample] of each layer."""
        return tuple(
            tf.constant(dropout_masks(built, self._seed, steps, self._batch))
            for built in self._layers
        )

    def _at(self, step: int) -> tuple[tf.Tensor, ...]:
        if step not in self._staged[0]:
            bytes_a_step = self._batch * sum(math.prod(shape) for shape in self.shapes)
            staged = range(step, min(self._steps, step + max(1, _MASK_BYTES // bytes_a_step)))
            of_layers = (tf.unstack(masks) for masks in self.stacked(staged))
            self._staged = staged, list(zip(*of_layers, strict=True))
        staged, masks = self._staged
        return masks[step - staged.start]


def signature(*parts: tf.Tensor, rows: int | None) -> list[tf.TensorSpec]:
    """Types of these tensors with so many rows; None is any number."""
    return [tf.TensorSpec([rows, *part.shape[1:]], part.dtype) for part in parts]


# Keyed by the identity of the data, which the entry keeps alive; the most recently loaded last.
_LOADED: dict[Hashable, tuple[Data, Tensors]] = {}


def on_device(data: Data, run: RunSpec, device: str) -> Tensors:
    """Split -> x [n, *sample] of the run's dtype (int64 for an embedding) and targets; kept."""
    task, shape = run.task, run.task.input_shape
    integers, after = takes_integers(task.model), build(task.model, shape)[-1].output_shape
    key = (id(data), shape, integers, task.loss, after, run.dtype, device)
    if key not in _LOADED:
        with placed(device):
            splits = {
                name: (
                    tf.constant(data.shaped(name, shape), tf.int64 if integers else run.dtype),
                    tf.constant(targets(task.loss, split.y, run.dtype, after)),
                )
                for name, split in data.splits.items()
            }
        _LOADED[key] = (data, splits)
        while len(_LOADED) > _DATA_SETS:
            del _LOADED[next(iter(_LOADED))]
    return _LOADED[key][1]


def placed(device: str) -> AbstractContextManager[None]:
    """A scope that puts operations on the device; empty, to save 5 us a step, if they go there."""
    by_itself = "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
    return nullcontext() if device == by_itself else tf.device(f"/{device.upper()}:0")

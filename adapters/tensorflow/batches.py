"""Batches in the run's order: gathered from data on the device, or through tf.data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice, repeat
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from gradrace.adapters.large_data import GATHERED_BYTES, Placed, Placing, aligned, pieces
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

# Batches are gathered so many steps at a time, or as many as GATHERED_BYTES hold.
_GATHERED_STEPS = 128
# A call of Keras' fit is handed samples of so many bytes.
_FITTED_BYTES = 32 * 2**20
# A larger split is no part of a pipeline's graph.
_BAKED_BYTES = 32 * 2**20
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

    def portions(self, steps: range) -> Iterator[range]:
        """These steps in as few pieces as `fitted` has memory for."""

    def fitted(self, steps: range) -> dict[str, Any]:
        """Arguments of keras.Model.fit, samples and masks in one tuple."""


class Resident:
    """From tensors that lie on the run's device before the first step."""

    def __init__(self, run: RunSpec, inputs: RunInputs, data: Tensors) -> None:
        self._x, self._y = data["train"]
        self._rows, self._size = inputs.batches, run.task.batch_size
        self._masks = Masks(run, inputs)
        self._step_bytes = self._size * sum(_entry_bytes(part) for part in data["train"])
        self._at_once = max(1, min(_GATHERED_STEPS, GATHERED_BYTES // self._step_bytes))

    def each(self, steps: range) -> Iterator[Batch]:
        """See Batches; gathered ahead, many at once."""
        for first in range(steps.start, steps.stop, self._at_once):
            chunk = range(first, min(first + self._at_once, steps.stop))
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

    def portions(self, steps: range) -> Iterator[range]:
        """See Batches."""
        most = max(1, _FITTED_BYTES // self._step_bytes)
        return (steps[part] for part in pieces(len(steps), most))

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
        self._data = OnDevice(inputs.data, run, "cpu")
        self._x, self._y = self._data["train"]
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

    def portions(self, steps: range) -> Iterator[range]:
        """See Batches."""
        return iter([steps])

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
        if _entry_bytes(x) * len(x) > _BAKED_BYTES:
            # Rewriting the graph of the pipeline makes a constant of the split, a second copy.
            options = tf.data.Options()
            options.experimental_optimization.apply_default_optimizations = False
            batches = batches.with_options(options)
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


def _entry_bytes(part: tf.Tensor) -> int:
    """Of a sample."""
    return int(math.prod(part.shape[1:]) * part.dtype.size)


_PLACING = Placing[tuple[tf.Tensor, tf.Tensor]]()


class OnDevice(Mapping[str, tuple[tf.Tensor, tf.Tensor]]):
    """Split -> x [n, *sample] of the run's dtype (int64 for an embedding) and targets, placed when
    they are asked for. The tensors are kept as long as this is."""

    def __init__(self, data: Data, run: RunSpec, device: str) -> None:
        self._data, self._task, self._dtype, self._device = data, run.task, run.dtype, device
        self._found: dict[str, Placed[tuple[tf.Tensor, tf.Tensor]]] = {}

    def __getitem__(self, split: str) -> tuple[tf.Tensor, tf.Tensor]:
        if split not in self._found:
            self._found[split] = self._placed(split)
        return self._found[split].value

    def __iter__(self) -> Iterator[str]:
        return iter(self._data.splits)

    def __len__(self) -> int:
        return len(self._data.splits)

    def _placed(self, split: str) -> Placed[tuple[tf.Tensor, tf.Tensor]]:
        data, task, dtype, shape = self._data, self._task, self._dtype, self._task.input_shape
        integers, after = takes_integers(task.model), build(task.model, shape)[-1].output_shape
        key = (split, shape, integers, task.loss, after, dtype, self._device)

        def make() -> tuple[tf.Tensor, tf.Tensor]:
            with placed(self._device):
                x = _tensor(data.shaped(split, shape), "int64" if integers else dtype, self._device)
                return x, tf.constant(targets(task.loss, data.splits[split].y, dtype, after))

        return _PLACING.placed(data, key, make)


def _tensor(array: np.ndarray, dtype: str, device: str) -> tf.Tensor:
    """The array in this dtype, on the device."""
    # NumPy has no bfloat16; and DLPack would leave the array on the host.
    if device != "cpu" or dtype == "bfloat16":
        return tf.constant(array, dtype)
    # `constant` would make a second copy for a while.
    return tf.experimental.dlpack.from_dlpack(aligned(array, dtype).__dlpack__())


def placed(device: str) -> AbstractContextManager[None]:
    """A scope that puts operations on the device; empty, to save 5 us a step, if they go there."""
    by_itself = "gpu" if tf.config.list_physical_devices("GPU") else "cpu"
    return nullcontext() if device == by_itself else tf.device(f"/{device.upper()}:0")

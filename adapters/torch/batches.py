"""Batches in the run's order: gathered from tensors on the device, or through a DataLoader."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from gradrace.adapters.large_data import GATHERED_BYTES, Placed, Placing, fixed, pieces
from gradrace.data import Data
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

# The batches (x, y) of these steps, on the device.
Batches = Callable[[range], Iterable[tuple[Tensor, Tensor]]]


def none(steps: range) -> Iterable[tuple[Tensor, Tensor]]:
    """Those of a closed session, which holds no data."""
    return ()


def resident(x: Tensor, y: Tensor, rows: np.ndarray) -> Batches:
    """From the whole split on its device, a call's batches at once, as far as memory reaches.

    rows: int64[steps, batch]."""
    of_step = rows.shape[1] * (_entry_bytes(x) + _entry_bytes(y))
    at_once = max(1, GATHERED_BYTES // of_step)

    def gathered(steps: range) -> Iterable[tuple[Tensor, Tensor]]:
        taken = viewed(rows[steps.start : steps.stop]).to(x.device)
        return zip(x[taken].unbind(0), y[taken].unbind(0), strict=True)

    def batches(steps: range) -> Iterable[tuple[Tensor, Tensor]]:
        if len(steps) <= at_once:
            return gathered(steps)
        return chain.from_iterable(gathered(steps[part]) for part in pieces(len(steps), at_once))

    return batches


def _entry_bytes(values: Tensor) -> int:
    """Of a sample."""
    return values[:1].numel() * values.element_size()


def looked_up(x: Tensor, y: Tensor, rows: np.ndarray) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """From the whole split on its device: the batch of a step whose number, int64[1], is there too.

    rows: int64[steps, batch]."""
    table = viewed(rows).to(x.device)

    def batch(step: Tensor) -> tuple[Tensor, Tensor]:
        taken = table.index_select(0, step).squeeze(0)
        return x.index_select(0, taken), y.index_select(0, taken)

    return batch


def piped(x: Tensor, y: Tensor, rows: np.ndarray, device: torch.device) -> Batches:
    """Through torch's DataLoader in this process: samples from memory (x and y on the CPU),
    stacked and copied to the device, from pinned memory on a GPU. rows: int64[steps, batch]."""
    samples, pinned = TensorDataset(x, y), device.type == "cuda"

    def batches(steps: range) -> Iterable[tuple[Tensor, Tensor]]:
        # Its own generator: by default a pass draws a number from native dropout's.
        order, generator = rows[steps.start : steps.stop].tolist(), torch.Generator()
        loader = DataLoader(samples, batch_sampler=order, pin_memory=pinned, generator=generator)
        return (
            (a.to(device, non_blocking=True), b.to(device, non_blocking=True)) for a, b in loader
        )

    return batches


class LaneRows:
    """The rows of all lanes' batches, on the device. of_lanes: int64[steps, batch] each."""

    def __init__(self, of_lanes: Sequence[np.ndarray], device: torch.device) -> None:
        self._of_lanes, self._device = of_lanes, device
        of_step = sum(rows[:1].nbytes for rows in of_lanes)
        self._at_once = max(1, GATHERED_BYTES // of_step)
        self._staged, self._table = range(0), torch.empty(0)

    def at(self, step: int | Tensor) -> Tensor:
        """[lanes, batch] of this step, whose number may lie on the device: int64[1]."""
        if isinstance(step, Tensor):
            # A captured step may ask for any.
            return self._of(range(len(self._of_lanes[0]))).index_select(0, step).squeeze(0)
        if step not in self._staged:
            self._of(range(step, min(step + self._at_once, len(self._of_lanes[0]))))
        return self._table[step - self._staged.start]

    def _of(self, steps: range) -> Tensor:
        if steps != self._staged:
            rows = [each[steps.start : steps.stop] for each in self._of_lanes]
            self._staged = steps
            self._table = torch.from_numpy(np.stack(rows, axis=1)).to(self._device)
        return self._table


_PLACING = Placing[Tensor]()


def features(
    data: Data, name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Placed[Tensor]:
    """The split's x on the device, images as NCHW, kept between runs; integers, which embeddings
    take, stay integers."""

    def make() -> Tensor:
        array = data.shaped(name, shape)
        given = viewed(array)
        wanted = dtype if given.is_floating_point() else given.dtype
        if device.type == "cpu" and given.dim() != 4 and wanted == given.dtype and fixed(array):
            return given
        laid_out = given.permute(0, 3, 1, 2) if given.dim() == 4 else given
        # Cast and laid out in one go, without an array in between.
        return torch.empty(laid_out.shape, dtype=wanted).copy_(laid_out).to(device)

    return _PLACING.placed(data, (name, shape, dtype, device), make)


def labels(
    data: Data, name: str, kind: Hashable, make: Callable[[], Tensor], device: torch.device
) -> Placed[Tensor]:
    """The split's targets on the device, kept between runs. kind: all that `make` depends on."""
    return _PLACING.placed(data, ("y", name, kind, device), lambda: make().to(device))


def viewed(array: np.ndarray) -> Tensor:
    """The array as a tensor, in the same memory, which nobody may write into."""
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():
        # torch warns of memory that cannot be written.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def cast_features(array: np.ndarray, dtype: torch.dtype) -> Tensor:
    """A new tensor of this dtype; integers, which embeddings take, stay integers."""
    tensor = torch.tensor(array)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor

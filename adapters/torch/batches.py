"""Batches in the run's order: gathered from tensors on the device, or through a DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np
import torch
from gradrace.adapters.torch.layers import to_torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

# The batches (x, y) of these steps, on the device.
Batches = Callable[[range], Iterable[tuple[Tensor, Tensor]]]


def resident(x: Tensor, y: Tensor, rows: np.ndarray) -> Batches:
    """From the whole split on its device, a call's batches at once. rows: int64[steps, batch]."""

    def batches(steps: range) -> Iterable[tuple[Tensor, Tensor]]:
        taken = torch.from_numpy(rows[steps.start : steps.stop]).to(x.device)
        return zip(x[taken].unbind(0), y[taken].unbind(0), strict=True)

    return batches


def looked_up(x: Tensor, y: Tensor, rows: np.ndarray) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """From the whole split on its device: the batch of a step whose number, int64[1], is there too.

    rows: int64[steps, batch]."""
    table = torch.from_numpy(rows).to(x.device)

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


@lru_cache(maxsize=16)
def features(
    data: str, name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The split's x on the device, images as NCHW, kept between runs."""
    from gradrace.data import load

    return to_torch(cast_features(load(data).shaped(name, shape), dtype)).to(device)


def cast_features(array: np.ndarray, dtype: torch.dtype) -> Tensor:
    """A new tensor of this dtype; integers, which embeddings take, stay integers."""
    tensor = torch.tensor(array)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor

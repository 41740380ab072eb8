"""Large data sets: copied once a worker at most, and evaluated in pieces of a bounded size."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Sequence
from math import prod
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import numpy as np
from gradrace.data import Data
from gradrace.layers import BuiltLayer

T = TypeVar("T")

# Of the outputs of the widest layer in an evaluation.
EVALUATED_BYTES = 256 * 2**20
# Of the batches that are gathered together.
GATHERED_BYTES = 16 * 2**20
# What frameworks ask for, in bytes, to take an array's memory over without a copy.
_ALIGNED = 64


class Placed(Generic[T]):
    """Arrays of a data set as a framework holds them: in use as long as somebody holds this."""

    def __init__(self, data: Data, value: T) -> None:
        self.data, self.value = data, value


class Placing(Generic[T]):
    """Arrays of the data set that was asked for last, and of others while sessions hold them."""

    def __init__(self) -> None:
        self._data: Data | None = None
        self._latest: dict[Hashable, Placed[T]] = {}
        self._held: WeakValueDictionary[Hashable, Placed[T]] = WeakValueDictionary()

    def placed(self, data: Data, key: Hashable, make: Callable[[], T]) -> Placed[T]:
        """make(), or what it gave earlier for an equal key of this data set."""
        if data is not self._data:
            # Before the new one is made: both might not fit into memory.
            large = self._data is not None and _bytes(self._data) > GATHERED_BYTES
            self._data, self._latest = data, {}
            if large:
                # Closed sessions may hold it in circles, as functions traced by TensorFlow do.
                gc.collect()
        key = id(data), key
        found = self._held.get(key)
        if found is None:
            found = self._held[key] = Placed(data, make())
        self._latest[key] = found
        return found


def _bytes(data: Data) -> int:
    """Of all samples."""
    return sum(split.x.nbytes for split in data.splits.values())


def fixed(array: np.ndarray) -> bool:
    """Whether the array's memory can be handed over as it is, since nobody can write into it: a
    read-only memory map, for one."""
    flags, begin = array.flags, array.__array_interface__["data"][0]
    return flags.c_contiguous and not flags.writeable and begin % _ALIGNED == 0


def aligned(array: np.ndarray, dtype: Any) -> np.ndarray:
    """A copy of the array in this dtype whose memory a framework can take over; nothing else is
    made on the way."""
    dtype = np.dtype(dtype)
    memory = np.empty(array.size * dtype.itemsize + _ALIGNED, np.uint8)
    begin = -memory.ctypes.data % _ALIGNED
    end = begin + array.size * dtype.itemsize
    copy: np.ndarray = memory[begin:end].view(dtype).reshape(array.shape)
    copy[...] = array
    return copy


def rows_at_once(layers: Sequence[BuiltLayer], most: int, entry_bytes: int, lanes: int = 1) -> int:
    """How many samples of each lane an evaluation takes through the model at a time."""
    widest = max(max(prod(each.input_shape), prod(each.output_shape)) for each in layers)
    return max(1, min(most, EVALUATED_BYTES // (widest * entry_bytes * lanes)))


def pieces(count: int, most: int) -> list[slice]:
    """Slices of so many rows, `most` or less each; one at least."""
    return [slice(first, min(first + most, count)) for first in range(0, max(1, count), most)]

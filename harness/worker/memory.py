"""Measures the memory of a run from inside its process, which does nothing else; estimates that of
a lane."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from ..adapter import Session
from ..data import Data
from ..layers import build
from ..record import Memory
from ..spec import DTYPE_BYTES, Dtype, RunSpec
from .resident import peak_during

# Copies of the parameters: themselves, gradients, updates, and at most four buffers.
_COPIES = 7
# Copies of every layer's outputs: forward, backward and in between.
_KEPT_OUTPUTS = 4


def measure(spec: RunSpec, open_session: Callable[[], Session]) -> tuple[Session, Memory]:
    """Opens the session and takes the run's steps; the memory before, and its peak meanwhile."""
    opened: list[Session] = []

    def train() -> None:
        session = open_session()
        opened.append(session)
        session.train(range(spec.steps))
        session.sync()
        session.losses()

    before, peak, method = peak_during(train)
    (session,) = opened
    return session, Memory(
        imported_bytes=before,
        peak_bytes=peak,
        device_peak_bytes=session.peak_bytes(),
        method=method,
    )


def private_bytes() -> int:
    """Of the resident set, the pages that belong to no file. A memory map that a data set is read
    by is shared by all workers and can be dropped at any time, so it is no worker's."""
    import psutil

    found = psutil.Process().memory_info()
    # Linux alone counts them.
    return int(found.rss - getattr(found, "shared", 0))


def data_bytes(data: Data, dtype: Dtype) -> int:
    """What a worker holds of a data set at most: its arrays, but for those that are read-only and
    so memory maps, and one copy of the samples as the run has them."""
    arrays = [array for split in data.splits.values() for array in (split.x, split.y)]
    own = sum(array.nbytes for array in arrays if array.flags.writeable)
    return own + sum(split.x.size for split in data.splits.values()) * DTYPE_BYTES[dtype]


def lane_bytes(spec: RunSpec) -> int:
    """About the bytes of one lane in training: parameters, state, and every layer's outputs."""
    built = build(spec.task.model, spec.task.input_shape)
    parameters = sum(prod(p.shape) for layer in built for p in layer.parameters)
    outputs = prod(spec.task.input_shape) + sum(prod(layer.output_shape) for layer in built)
    numbers = _COPIES * parameters + _KEPT_OUTPUTS * outputs * spec.task.batch_size
    return max(1, numbers * DTYPE_BYTES[spec.dtype])


def available_bytes() -> int:
    """Memory that a process of this machine could still get."""
    import psutil

    return int(psutil.virtual_memory().available)

"""Measures the memory of a run from inside its process, which does nothing else; estimates that of
a lane."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from math import prod
from pathlib import Path

from ..adapter import Session
from ..data import Data
from ..layers import build
from ..record import Memory
from ..spec import DTYPE_BYTES, Dtype, RunSpec

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# Copies of the parameters: themselves, gradients, updates, and at most four buffers.
_COPIES = 7
# Copies of every layer's outputs: forward, backward and in between.
_KEPT_OUTPUTS = 4


def measure(spec: RunSpec, open_session: Callable[[], Session]) -> tuple[Session, Memory]:
    """Opens the session and takes the run's steps; the memory before, and its peak meanwhile.

    Linux counts the highest resident set since a reset (VmHWM, proc_pid_status(5); reset by
    proc_pid_clear_refs(5)). Without a reset the peak is that of the process's whole life: too high
    if the import took more than training does."""
    reset = _reset_peak()
    before = resident_bytes()
    session = open_session()
    session.train(range(spec.steps))
    session.sync()
    session.losses()
    peak, method = _highest_bytes(), "ru_maxrss, over the life of the process"
    if reset:
        peak, method = _status_bytes("VmHWM"), "VmHWM since a reset after the import"
    return session, Memory(
        imported_bytes=before,
        peak_bytes=max(peak, before),
        device_peak_bytes=session.peak_bytes(),
        method=method,
    )


def resident_bytes() -> int:
    """The resident set of this process now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


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


def _reset_peak() -> bool:
    """Whether the system let the peak start anew from the present resident set."""
    with suppress(OSError, StopIteration):
        _CLEAR_REFS.write_text("5")
        # Some sandboxes take the write and do nothing: the peak stays above the resident set.
        return _status_bytes("VmHWM") <= 1.02 * _status_bytes("VmRSS")
    return False


def _status_bytes(name: str) -> int:
    """A size from /proc/self/status, as in 'VmHWM:   1234 kB'."""
    lines = _STATUS.read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def _highest_bytes() -> int:
    """ru_maxrss, in KiB on Linux, in bytes on macOS (getrusage(2) of each); 0 without one."""
    try:
        import resource
    except ImportError:
        return 0
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else 1024 * highest


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

"""Estimates the memory that a worker of each framework takes for the largest data set."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from math import prod

from .. import data
from ..executor.make import LOCAL
from ..executor.queue import side_by_side
from ..layers import build
from ..machine import this_machine, usable_cores
from ..spec import DTYPE_BYTES, RunSpec
from ..worker.memory import data_bytes, lane_bytes
from . import Sweep

_MIB, _GIB = 2**20, 2**30
# An evaluation's bound, and twice that for the layer beside the widest.
_EVALUATED_ROWS, _EVALUATED_BYTES = 4096, 256 * _MIB
# Bytes of a number of our own data sets; images have half of it.
_STORED = 8


@dataclass(frozen=True)
class Need:
    """Private bytes of one worker of a framework. data: the name of the data set, and its share."""

    framework: str
    bytes: int
    data: str
    data_bytes: int


def needs(sweep: Sweep) -> list[Need]:
    """Of each framework the run that takes most; frameworks whose own share is not known are left
    out."""
    found: dict[str, Need] = {}
    sizes: dict[Hashable, int] = {}
    for spec in _unlike(run.spec for run in sweep.selected):
        own = sweep.registry.frameworks[spec.framework].memory_mib
        if own is None:
            continue
        key = (spec.task.data, spec.dtype)
        held = sizes[key] = sizes.get(key) or _data_bytes(spec)
        total = own * _MIB + held + _run_bytes(spec)
        if spec.framework not in found or total > found[spec.framework].bytes:
            found[spec.framework] = Need(spec.framework, total, spec.task.data, held)
    return list(found.values())


def sentences(found: list[Need], sweep: Sweep) -> list[str]:
    """For people: each worker's, and a caution if all workers together exceed the machine."""
    if not found:
        return []
    each = ", ".join(f"{need.framework} {_size(need.bytes)}" for need in found)
    largest = max(found, key=lambda need: need.bytes)
    told = [
        f"memory of a worker: about {each}; of that for the data set {largest.data} up to"
        f" {_size(largest.data_bytes)}"
    ]
    if sweep.options.executor != LOCAL:
        return told
    threads = max(run.spec.threads for run in sweep.selected)
    workers = sweep.options.workers or side_by_side(len(usable_cores()), threads)
    machine = this_machine().memory_bytes
    if workers * largest.bytes > machine:
        fitting = max(1, machine // largest.bytes)
        told.append(
            f"Caution: {workers} workers of {_size(largest.bytes)} exceed the {_size(machine)} of"
            f" this machine; -j {fitting} starts {'one' if fitting == 1 else 'so many as fit'}"
        )
    return told


def _unlike(specs: Iterable[RunSpec]) -> Iterable[RunSpec]:
    """One of those that take the same memory."""
    return {_key(spec): spec for spec in specs}.values()


def _key(spec: RunSpec) -> Hashable:
    task = spec.task
    widths = tuple(getattr(layer, "units", 0) for layer in task.model)
    sizes = task.batch_size, spec.steps, widths
    return (spec.framework, spec.dtype, spec.lanes, task.name, task.data, sizes)


def _data_bytes(spec: RunSpec) -> int:
    """Of the task's data set; of our own by the size of their training split, as reading them takes
    time."""
    task = spec.task
    try:
        if data.content(task.data) is not None:
            return data_bytes(data.load(task.data), spec.dtype)
        training = data.training_samples(task.data) * prod(task.input_shape)
    # A user's function may raise anything; the runs will say so.
    except Exception:
        return 0
    # As stored, and as the run has it; validation and test are at most half as large.
    return training * (_STORED + DTYPE_BYTES[spec.dtype]) * 3 // 2


def _run_bytes(spec: RunSpec) -> int:
    """Of the lanes, with their batches, and of an evaluation."""
    task, built = spec.task, build(spec.task.model, spec.task.input_shape)
    widest = max(max(prod(each.input_shape), prod(each.output_shape)) for each in built)
    evaluated = min(_EVALUATED_BYTES, _EVALUATED_ROWS * widest * DTYPE_BYTES[spec.dtype])
    rows = 8 * spec.steps * task.batch_size
    return max(1, spec.lanes) * (lane_bytes(spec) + rows) + 2 * evaluated


def _size(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _MIB:.0f} MiB"

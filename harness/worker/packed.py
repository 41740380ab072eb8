"""Results of many runs in one message: records with one head, arrays as the bytes of all.

A driver cannot trust a worker, in which a user's code runs: see `unpacked`."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from ..record import Blocks, Curve, Norms, RunResult
from ..shared import joined, parted
from ..spec import RunSpec

# Bytes of arrays in one message; a pipe takes 2^29 bytes of JSON at most.
PORTION = 2**26
_KINDS = {"curve": Curve, "blocks": Blocks, "norms": Norms}
# The one order of bytes in a message.
_ON_WIRE = {np.float64: np.dtype("<f8"), np.int64: np.dtype("<i8")}


class Planned(Protocol):
    """What is needed of a run: executor.PlannedRun has it."""

    @property
    def spec(self) -> RunSpec: ...
    @property
    def digest(self) -> str: ...


def portions(results: Sequence[RunResult], most: int = PORTION) -> Iterator[Sequence[RunResult]]:
    """The results in order, in slices whose arrays have `most` bytes or less, one at least."""
    begin, size = 0, 0
    for end, result in enumerate(results):
        added = _bytes(result)
        if size + added > most and end > begin:
            yield results[begin:end]
            begin, size = end, 0
        size += added
    if begin < len(results):
        yield results[begin:]


def _bytes(result: RunResult) -> int:
    columns = [getattr(result, name) for name in _KINDS]
    return sum(getattr(each, name).nbytes for each in columns if each for name in each.DTYPES)


def packed(results: Sequence[RunResult]) -> dict[str, Any]:
    """The results as JSON types, for `unpacked`. Specs are left out: the driver has them."""
    contents = [result.record.to_json() for result in results]
    for content in contents:
        del content["spec"]
    head, own = parted(contents)
    arrays = {
        name: _packed(kind, [getattr(result, name) for result in results])
        for name, kind in _KINDS.items()
    }
    return {"head": head, "records": own, **arrays}


_C = TypeVar("_C", Blocks, Curve, Norms)


def _packed(kind: type[_C], of_runs: Sequence[_C | None]) -> dict[str, Any] | None:
    """`has`: the positions of runs with such arrays; then for each column their shapes and data."""
    has = [number for number, columns in enumerate(of_runs) if columns is not None]
    if not has:
        return None
    found = {}
    for name, dtype in kind.DTYPES.items():
        arrays = [getattr(of_runs[number], name) for number in has]
        found[name] = {"shapes": [array.shape for array in arrays], "data": _data(arrays, dtype)}
    return {"has": has, "columns": found}


def _data(arrays: Sequence[np.ndarray], dtype: Any) -> Any:
    """Base64 of all numbers one after the other, or a list of all texts."""
    flat = np.concatenate([array.ravel() for array in arrays])
    if dtype is np.str_:
        return flat.tolist()
    return base64.b64encode(flat.astype(_ON_WIRE[dtype], copy=False).tobytes()).decode()


def unpacked(content: Mapping[str, Any], runs: Sequence[Planned]) -> list[RunResult]:
    """The results of these runs, in their order, each with the spec of its run.

    ValueError, TypeError or LookupError unless the content is such as `packed` makes: a record a
    run, with the run's digest, and arrays of the lengths that it states and that fit each other."""
    records = joined(content["head"], content["records"], [run.spec for run in runs])
    for record, run in zip(records, runs, strict=True):
        if record.digest != run.digest:
            raise ValueError(f"the record is that of another run, {record.digest}")
    curves = _unpacked(Curve, content["curve"], len(runs))
    blocks = _unpacked(Blocks, content["blocks"], len(runs))
    norms = _unpacked(Norms, content["norms"], len(runs))
    return [RunResult(*of_run) for of_run in zip(records, curves, blocks, norms, strict=True)]


def _unpacked(kind: type[_C], content: Any, count: int) -> list[_C | None]:
    found: list[_C | None] = [None] * count
    if content is None:
        return found
    has, columns = content["has"], content["columns"]
    if not _are_positions(has, count):
        raise ValueError("its arrays belong to no runs")
    arrays = {
        name: _arrays(columns[name], dtype, len(has), 2 if name == "points" else 1)
        for name, dtype in kind.DTYPES.items()
    }
    for place, number in enumerate(has):
        found[number] = fitting(kind(**{name: of[place] for name, of in arrays.items()}))
    return found


def _are_positions(has: Any, count: int) -> bool:
    """Whether these are different positions of `count` runs, in order."""
    if not isinstance(has, list) or not all(type(number) is int for number in has):
        return False
    return has == sorted(set(has)) and (not has or (has[0] >= 0 and has[-1] < count))


def _arrays(column: Any, dtype: Any, count: int, most_axes: int) -> list[np.ndarray]:
    """The arrays of `count` runs. ValueError unless shapes and data fit each other."""
    shapes = column["shapes"]
    if not isinstance(shapes, list) or len(shapes) != count:
        raise ValueError("its arrays are not one a run")
    if not all(_is_shape(shape, most_axes) for shape in shapes):
        raise ValueError("its arrays have other dimensions")
    flat, sizes = _flat(column["data"], dtype), [math.prod(shape) for shape in shapes]
    if sum(sizes) != len(flat):
        raise ValueError(f"its arrays have {sum(sizes)} entries, its data {len(flat)}")
    ends = np.cumsum([0, *sizes]).tolist()
    return [
        flat[begin:end].reshape(shape)
        for begin, end, shape in zip(ends[:-1], ends[1:], shapes, strict=True)
    ]


def _is_shape(shape: Any, most_axes: int) -> bool:
    """Whether it is a shape of one to most_axes axes. Sizes without entries are bounded too."""
    return (
        isinstance(shape, list)
        and 1 <= len(shape) <= most_axes
        and all(type(size) is int and 0 <= size < 2**31 for size in shape)
    )


def _flat(data: Any, dtype: Any) -> np.ndarray:
    """All entries of a column."""
    if dtype is not np.str_:
        values = np.frombuffer(base64.b64decode(data, validate=True), dtype=_ON_WIRE[dtype])
        return values.astype(dtype)
    if not isinstance(data, list) or not all(isinstance(text, str) for text in data):
        raise TypeError("its texts are none")
    return np.array(data, dtype=np.str_)


def fitting(columns: _C) -> _C:
    """The columns. ValueError if they have not the lengths of one run."""
    names = list(columns.DTYPES)
    if isinstance(columns, Curve):
        names = ["eval_steps", "validation_losses", "validation_metrics"]
        names += ["points"] if columns.points.size else []
    if len({len(getattr(columns, name)) for name in names}) > 1:
        raise ValueError("its arrays are not of one length")
    return columns

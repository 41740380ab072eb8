"""Arrays of runs as Parquet files. Whatever is not exactly as expected is refused by name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..jsonfile import reading, replacing
from ..output.escaping import visible
from ..record import Curve

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

MEND = "remove its folder to run it again"
# A Parquet file begins and ends with these four bytes (Apache Parquet, "File Format").
_PARQUET = b"PAR1"
# The least columns of a run's arrays, without gaps. Files of earlier versions may lack others.
_COLUMNS = {
    "curve": {"step": "whole numbers", "series": "text", "value": "numbers"},
    "norms": {"step": "whole numbers", "parameter": "text"}
    | dict.fromkeys(("weight", "gradient", "update"), "numbers"),
    "steps": dict.fromkeys(("steps", "wall_ns", "cpu_ns"), "whole numbers"),
}
_SERIES = re.compile(r"train_loss|validation_loss|validation_metric|learning_rate|point_[0-9]{1,2}")


def problem_of(file: Path) -> str:
    """Why this cannot be a whole Parquet file, or ''. Reads its ends alone."""
    try:
        with reading(file) as opened:
            begin = opened.read(len(_PARQUET))
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - len(_PARQUET)))
            whole = begin == _PARQUET == opened.read()
    except UserError:
        return "cannot be read" if file.is_symlink() or file.exists() else "is missing"
    return "" if whole else "is cut off"


def read_parquet(file: Path) -> pyarrow.Table:
    """The whole table. UserError: it cannot be read, or is not that of runs."""
    from pyarrow import ArrowException, BufferReader
    from pyarrow.parquet import ParquetFile

    try:
        # For small files in a third of the time of read_table.
        with reading(file) as opened, ParquetFile(BufferReader(opened.read())) as arrays:
            table = arrays.read(use_threads=False)
        table.validate(full=True)
    except (ArrowException, OSError) as error:
        raise UserError(f"{file}: cannot be read ({visible(str(error))}); {MEND}") from None
    if problem := _not_ours(table, file.stem):
        raise UserError(f"{file}: not arrays of gradrace ({problem}); {MEND}")
    return table


def read_parquet_of_many(file: Path, owners: Mapping[str, int]) -> pyarrow.Table:
    """The table of many runs, one after the other, without its column `digest`.

    owners: digest -> how many rows are that run's, in order. UserError: as `read_parquet`, or the
    rows belong to other runs."""
    table = read_parquet(file)
    if problem := _wrong_kinds(table, {"digest": "text"}) or _not_owned(table["digest"], owners):
        raise UserError(f"{file}: not arrays of gradrace ({problem}); {MEND}")
    return table.drop_columns("digest")


def _not_owned(digests: pyarrow.ChunkedArray, owners: Mapping[str, int]) -> str:
    """Why this column does not name the owners in their order, or ''."""
    import numpy as np

    # Compared before so many numbers are made.
    if (stated := sum(owners.values())) != len(digests):
        return f"{len(digests)} rows, where its records state {stated}"
    wanted, places = repeated(list(owners.values())), {key: at for at, key in enumerate(owners)}
    begin = 0
    for chunk in digests.chunks:
        # Fewer texts than rows become objects of Python.
        encoded, end = chunk.dictionary_encode(), begin + len(chunk)
        known = [places.get(digest, -1) for digest in encoded.dictionary.to_pylist()]
        found = np.array(known, dtype=np.int64)[encoded.indices.to_numpy()]
        if not np.array_equal(found, wanted[begin:end]):
            return "its rows are not those of its records, in their order"
        begin = end
    return ""


def _wrong_kinds(table: pyarrow.Table, columns: Mapping[str, str]) -> str:
    """Which of these columns is missing or not all of its kind, or ''."""
    from pyarrow import types

    is_kind = {
        "whole numbers": types.is_integer,
        "numbers": lambda kind: types.is_floating(kind) or types.is_integer(kind),
        "text": lambda kind: types.is_string(kind) or types.is_large_string(kind),
    }
    for column, kind in columns.items():
        if table.column_names.count(column) != 1:
            return f"no column {column!r}"
        found = table[column]
        if not is_kind[kind](found.type) or found.null_count:
            return f"its column {column!r} is not all {kind}"
    return ""


def _not_ours(table: pyarrow.Table, name: str) -> str:
    """Why this table cannot be the arrays of runs, or ''."""
    if problem := _wrong_kinds(table, _COLUMNS.get(name, {})):
        return problem
    if name == "curve":
        strange = [
            each for each in table["series"].unique().to_pylist() if not _SERIES.fullmatch(each)
        ]
        if strange:
            return f"it has a series {visible(strange[0])[:80]!r}"
    return ""


def repeated(counts: list[int]) -> np.ndarray:
    """Each position as often as its count: [2, 1] -> [0, 0, 1]."""
    import numpy as np

    return np.repeat(np.arange(len(counts)), counts)


def curve_columns(curve: Curve) -> dict[str, Any]:
    """Long format: step, series, value."""
    return _long([(name, *of) for name, of in _series(curve).items()])


def columns_of_many(name: str, arrays: Mapping[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """The arrays of runs by digest, one after the other, after a column `digest`; and the number of
    rows of each run. name: curve (of `record.Curve`s), steps (`Blocks`) or norms (`Norms`)."""
    import numpy as np

    if name == "curve":
        parts = [[(key, *of) for key, of in _series(curve).items()] for curve in arrays.values()]
        counts = [sum(len(steps) for _, steps, _ in of) for of in parts]
        columns = _long([part for of in parts for part in of])
    else:
        found = [asdict(of) for of in arrays.values()]
        counts = [len(of["steps" if name == "steps" else "step"]) for of in found]
        columns = {key: np.concatenate([of[key] for of in found]) for key in found[0]}
    return {"digest": _repeated_texts(list(arrays), counts), **columns}, counts


def _series(curve: Curve) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and values of each series of a curve."""
    import numpy as np

    series = {
        "train_loss": (np.arange(len(curve.train_losses)), curve.train_losses),
        "validation_loss": (curve.eval_steps, curve.validation_losses),
        "validation_metric": (curve.eval_steps, curve.validation_metrics),
        "learning_rate": (np.arange(len(curve.learning_rates)), curve.learning_rates),
    }
    for axis, values in enumerate(curve.points.T if curve.points.size else ()):
        series[f"point_{axis}"] = (curve.eval_steps, values)
    return series


def _long(parts: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Columns of (series, steps, values), one after the other."""
    import numpy as np

    return {
        "step": np.concatenate([steps for _, steps, _ in parts]).astype(np.int64),
        "series": _repeated_texts([name for name, _, _ in parts], [len(of) for *_, of in parts]),
        "value": np.concatenate([values for *_, values in parts]),
    }


def _repeated_texts(texts: list[str], counts: list[int]) -> pyarrow.Array:
    """Each text as often as its count."""
    import numpy as np

    return _arrow(np.array(texts)).take(_arrow(repeated(counts)))


def write_parquet(file: Path, columns: Mapping[str, Any]) -> None:
    """NumPy's arrays, or Arrow's, as a whole or not at all."""
    import pyarrow
    import pyarrow.parquet as parquet

    table = pyarrow.Table.from_arrays(
        [_arrow(values) for values in columns.values()], names=list(columns)
    )
    with replacing(file) as partial:
        parquet.write_table(table, partial)


def _arrow(values: Any) -> Any:
    """The column of a NumPy array. pyarrow.array() imports pandas: longer than a short run."""
    import numpy as np
    import pyarrow

    if isinstance(values, pyarrow.Array):
        return values
    if values.dtype.kind == "U":
        texts = [text.encode() for text in values.tolist()]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        return pyarrow.StringArray.from_buffers(
            len(texts), pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(texts))
        )
    buffer = pyarrow.py_buffer(np.ascontiguousarray(values))
    return pyarrow.Array.from_buffers(
        pyarrow.from_numpy_dtype(values.dtype), len(values), [None, buffer]
    )

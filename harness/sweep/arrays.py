"""Arrays of runs as Parquet files. Whatever is not exactly as expected is refused by name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
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
    """The whole table. UserError: it cannot be read, or is not that of a run."""
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


def _not_ours(table: pyarrow.Table, name: str) -> str:
    """Why this table cannot be the arrays of a run, or ''."""
    from pyarrow import types

    is_kind = {
        "whole numbers": types.is_integer,
        "numbers": lambda kind: types.is_floating(kind) or types.is_integer(kind),
        "text": lambda kind: types.is_string(kind) or types.is_large_string(kind),
    }
    for column, kind in _COLUMNS.get(name, {}).items():
        if table.column_names.count(column) != 1:
            return f"no column {column!r}"
        found = table[column]
        if not is_kind[kind](found.type) or found.null_count:
            return f"its column {column!r} is not all {kind}"
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
    import numpy as np

    series = {
        "train_loss": (np.arange(len(curve.train_losses)), curve.train_losses),
        "validation_loss": (curve.eval_steps, curve.validation_losses),
        "validation_metric": (curve.eval_steps, curve.validation_metrics),
        "learning_rate": (np.arange(len(curve.learning_rates)), curve.learning_rates),
    }
    for axis, values in enumerate(curve.points.T if curve.points.size else ()):
        series[f"point_{axis}"] = (curve.eval_steps, values)
    return {
        "step": np.concatenate([steps for steps, _ in series.values()]).astype(np.int64),
        "series": np.concatenate(
            [np.full(len(values), name) for name, (_, values) in series.items()]
        ),
        "value": np.concatenate([values for _, values in series.values()]),
    }


def write_parquet(file: Path, columns: Mapping[str, Any]) -> None:
    """NumPy arrays, as a whole or not at all."""
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

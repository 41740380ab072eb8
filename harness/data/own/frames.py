"""pandas frames: numbers and texts of their columns. pandas is loaded only if a frame came."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...dataset import DataSet
from ...errors import nearest
from .called import refusal
from .table import Features

if TYPE_CHECKING:
    import pandas as pd

# More texts than this in a column are names of rows, not categories.
_MOST_TEXTS = 1000
_SMALL = (np.dtype("float32"), np.dtype("float16"), np.dtype("bool"))


def is_frame(value: object) -> bool:
    """Whether it is a pandas frame."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def taken(of: DataSet, frame: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """These columns' values [n], or [n, k] of several. UserError if one is not there."""
    known = [str(name) for name in frame.columns]
    for name in names:
        if name not in known:
            raise refusal(of, f"its frame has no column {name!r}{nearest(name, known)}")
    found = [_values(frame.iloc[:, known.index(name)]) for name in names]
    return found[0] if len(found) == 1 else np.stack(found, axis=1)


def _values(series: pd.Series[Any]) -> np.ndarray:
    """NumPy's own types if they can hold the column, else objects."""
    import pandas as pd

    if isinstance(series.dtype, np.dtype):
        return series.to_numpy()
    if pd.api.types.is_numeric_dtype(series.dtype) and series.isna().any():
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        return series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    if pd.api.types.is_integer_dtype(series.dtype):
        return series.to_numpy(dtype=np.int64)
    return np.array(series.array, dtype=object)


def features(of: DataSet, frame: pd.DataFrame, left_out: Sequence[str]) -> Features:
    """The other columns. UserError names the column that holds no numbers."""
    names = [str(name) for name in frame.columns]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise refusal(of, f"its frame has two columns {doubled[0]!r}; rename one")
    kept = [place for place, name in enumerate(names) if name not in left_out]
    if not kept or not len(frame):
        raise refusal(of, f"its frame has {len(frame)} rows and {len(kept)} features")
    frame, names = frame.iloc[:, kept], [names[place] for place in kept]
    if of.tokens or all(_is_plain(kind) for kind in frame.dtypes):
        # pandas makes objects of truth beside numbers.
        kinds = [np.uint8 if kind == np.bool_ else kind for kind in frame.dtypes]
        return Features(frame.to_numpy(dtype=np.result_type(*kinds)), tuple(names))
    small = all(kind in _SMALL for kind in frame.dtypes)
    x = np.empty(frame.shape, dtype=np.float32 if small else np.float64)
    texts: dict[int, tuple[str, ...]] = {}
    for place, name in enumerate(names):
        series = frame.iloc[:, place]
        if _is_text(of, series, name):
            x[:, place], texts[place] = _codes(of, series, name)
        else:
            x[:, place] = series.to_numpy(dtype=x.dtype, na_value=np.nan)
    return Features(x, tuple(names), texts)


def _is_plain(kind: object) -> bool:
    return isinstance(kind, np.dtype) and kind.kind in "fiub"


def _is_text(of: DataSet, series: pd.Series[Any], name: str) -> bool:
    """UserError for columns that are neither numbers nor texts, and for texts if refused."""
    import pandas as pd

    types = pd.api.types
    if types.is_datetime64_any_dtype(series.dtype) or series.dtype.kind in "mM":
        raise refusal(
            of,
            f"column {name}: {series.dtype}; make numbers of it (such as .dt.year), leave it out,"
            f" or split by it: ByTime({name!r})",
        )
    if types.is_complex_dtype(series.dtype):
        raise refusal(of, f"column {name}: complex numbers; give their parts")
    is_category = isinstance(series.dtype, pd.CategoricalDtype)
    if types.is_numeric_dtype(series.dtype) and not is_category:
        return False
    kind = types.infer_dtype(series, skipna=True)
    if kind in ("integer", "floating", "mixed-integer-float", "boolean", "decimal", "empty"):
        return is_category
    if not is_category and kind not in ("string", "categorical"):
        raise refusal(of, f"column {name}: values of several kinds ({kind}); give numbers or texts")
    if of.categories == "refuse":
        some = series.dropna()
        example = f" such as {some.iloc[0]!r}" if len(some) else ""
        raise refusal(
            of,
            f"column {name}: texts{example}; leave it out, make numbers of it, or set"
            ' categories="one_hot"',
        )
    return True


def _codes(of: DataSet, series: pd.Series[Any], name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """float[n]: places among the sorted texts, NaN if missing; the texts."""
    gone = series.isna().to_numpy()
    texts = np.array([str(each) for each in series[~gone]], dtype=np.str_)
    known, places = np.unique(texts, return_inverse=True)
    if len(known) > _MOST_TEXTS:
        raise refusal(
            of,
            f"column {name}: {len(known)} different texts; at most {_MOST_TEXTS} can be one-hot."
            " Leave it out if it names the rows",
        )
    codes = np.full(len(series), np.nan)
    codes[~gone] = places
    return codes, tuple(map(str, known))

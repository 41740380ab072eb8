"""Which runs of a table are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..errors import UserError, near_miss

# A test on the table of runs: a bool for each of its rows.
Where = Callable[[pd.DataFrame], Any]


def matching(
    runs: pd.DataFrame, where: Where | None, conditions: Mapping[str, Any]
) -> pd.DataFrame:
    """The rows of which every named column has the value, or one of the values, and that pass
    `where`. UserError for an unknown column, a value that no run has, or a test of another
    length."""
    kept = np.ones(len(runs), dtype=bool)
    for name, wanted in conditions.items():
        kept &= _is_one_of(runs, name, wanted)
    if where is not None:
        passed = np.asarray(where(runs))
        if passed.shape != (len(runs),):
            raise UserError(
                f"where: gave {passed.shape} for {len(runs)} runs; expected a bool for each row of"
                " the table of runs, such as lambda runs: runs['learning_rate'] < 0.01"
            )
        kept &= passed.astype(bool)
    return runs[kept].reset_index(drop=True)


def _is_one_of(runs: pd.DataFrame, name: str, wanted: Any) -> np.ndarray:
    if name not in runs:
        raise UserError(
            f"filter: runs have no column {name!r}{near_miss(name, map(str, runs.columns))}"
        )
    several = isinstance(wanted, Iterable) and not isinstance(wanted, str)
    values = [*wanted] if several else [wanted]
    for value in values:
        if not (runs[name] == value).any():
            found = [str(each) for each in dict.fromkeys(runs[name])]
            known = near_miss(str(value), found) or _known(found)
            raise UserError(f"filter: no run has {name} {value!r}{known}")
    return runs[name].isin(values).to_numpy()


def _known(values: list[str], most: int = 12) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return f" (known: {', '.join(values[:most])}{more})" if values else ""

"""A user's samples after they were read, before they are split: checked arrays of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Features:
    """x[n, ...]: float32 or float64, NaN if missing, or int64 tokens.

    names: of the columns of a frame, else (). texts: column -> its sorted texts; the column then
    holds their places."""

    x: np.ndarray
    names: tuple[str, ...] = ()
    texts: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def column(self, place: tuple[int, ...]) -> str:
        """'column age', or 'column 3', or the place within a sample of more axes."""
        if self.names:
            return f"column {self.names[place[0]]}"
        return f"column {place[0]}" if len(place) == 1 else f"place {list(place)}"


@dataclass(frozen=True)
class Table:
    """features, y (int64 labels [n] or [n, time], or float numbers [n, k]) and by [n], if any.

    classes: 0 for numbers; labels: their names, () if they are whole numbers that stay.
    parts: the rows of splits that were given, if any."""

    features: Features
    y: np.ndarray
    classes: int
    labels: tuple[str, ...] = ()
    by: np.ndarray | None = None
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)

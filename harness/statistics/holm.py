"""Holm's correction of p values for many comparisons (Holm 1979)."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def holm(p: Array) -> Array:
    """Adjusted p values: at most alpha exactly if Holm's procedure rejects at alpha.

    p: float64[m], of any dependence, in any order.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted

"""Limits of axes that a few outliers cannot ruin, and the sentence that says what they leave out;
free of matplotlib."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

# The share of points at each end that may leave the picture if they lie far from the others.
_OUTSIDE = 0.04
# Room for them beyond the others, in ranges of these, and at least so many decades.
_ROOM, _DECADES = 0.6, 0.5

Limits = tuple[float, float]
TITLES = {"train_loss": "Training loss", "validation_loss": "Validation loss"}


def logarithmic(low: pd.Series, high: pd.Series) -> Limits | None:
    """Limits of a logarithmic axis for positive values between these; None without any."""
    bottom, top = (np.log10(_finite(values, positive=True)) for values in (low, high))
    if not len(bottom) or not len(top):
        return None
    least, most = _within(bottom, top, _DECADES)
    return 10**least, 10**most


def linear(values: pd.Series, room: float) -> Limits | None:
    """Limits of a linear axis for these values; `room` beyond the others' range is always kept."""
    found = _finite(values)
    return _within(found, found, room) if len(found) else None


def outside(name: str, low: pd.Series, high: pd.Series, limits: Limits | None) -> str:
    """'Training loss above 12 leaves the picture.', if any does; else empty."""
    if limits is None:
        return ""
    bottom, top = _finite(low), _finite(high)
    said = [
        f"below {limits[0]:.2g}" if (bottom < limits[0] * (1 - 1e-9)).any() else "",
        f"above {limits[1]:.2g}" if (top > limits[1] * (1 + 1e-9)).any() else "",
    ]
    said = [part for part in said if part]
    return f"{name} {' or '.join(said)} leaves the picture." if said else ""


def _finite(values: pd.Series, positive: bool = False) -> np.ndarray:
    found = values.to_numpy(dtype=np.float64)
    found = found[np.isfinite(found)]
    return found[found > 0] if positive else found


def _within(low: np.ndarray, high: np.ndarray, room: float) -> Limits:
    first, last = float(np.quantile(low, _OUTSIDE)), float(np.quantile(high, 1 - _OUTSIDE))
    room = max(room, _ROOM * (last - first))
    least, most = max(float(low.min()), first - room), min(float(high.max()), last + room)
    return (least, most) if math.isfinite(most - least) else (first, last)


def loss_limits(bands: pd.DataFrame, lost: pd.DataFrame) -> Limits | None:
    """Of the loss of runs that ended ok (min, max), with some room for those that diverged (value);
    None if it is not positive, or unknown."""
    low, high = _ends(bands, lost)
    if not (low > 0).all():
        return None
    found = logarithmic(low, high)
    if not found:
        return None
    bottom, top = found
    if len(bands) and len(lost):
        top = max(top, min(4 * top, float(lost["value"].max())))
    return bottom / 1.15, max(top, 1.5 * bottom) * 1.15


def rate_limits(rates: pd.DataFrame) -> Limits | None:
    """Of the means (mean, min, max) of a sweep, with room for crosses above the highest; None if
    losses are not positive, or unknown. One seed that ends near 0 must not flatten all lines: a
    band reaches down to a tenth of the lowest mean."""
    known = rates.dropna(subset=["mean"])
    diverged = bool((rates["diverged"] > 0).any())
    if known.empty or not (known["mean"] > 0).all():
        return None
    low = known["min"].clip(lower=known["mean"].min() / 10)
    found = logarithmic(low, known["max"].clip(upper=10 * known["mean"].max()))
    if not found:
        return None
    bottom, top = found
    crosses = (top / bottom) ** 0.25 if diverged else 1.0
    return bottom / 1.1, max(top * crosses, 1.2 * bottom) * 1.1


def metric_limits(bands: pd.DataFrame, lost: pd.DataFrame, target: float) -> Limits:
    """From the target, and the metric after the first quarter of the steps, up to 1, the best there
    is; the rise of the first steps may start below."""
    low, _ = _ends(bands, lost)
    late = low[bands["step"] >= bands["step"].max() / 4] if len(bands) else low
    found = linear(late, 0.05)
    least = [found[0]] if found else []
    least += [target] if math.isfinite(target) else []
    return min(least, default=0.0) - 0.02, 1.005


def _ends(bands: pd.DataFrame, lost: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    return (bands["min"], bands["max"]) if len(bands) else (lost["value"], lost["value"])

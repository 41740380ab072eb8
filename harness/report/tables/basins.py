"""The range of good learning rates around the best one, from losses at rates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .grouping import SERIES, groups

# A rate is good if its mean final validation loss is at most this factor of the best rate's.
FACTOR = 1.1


class Basin(NamedTuple):
    """The connected range of good rates around the best one.

    low, high: its ends. open_low, open_high: it reaches that end of the swept rates, so that more
    may lie beyond. width: decades, log10(high / low); a lower bound if an end is open. share: of
    the swept range's logarithm."""

    best: float
    loss: float
    low: float
    high: float
    open_low: bool
    open_high: bool
    share: float

    @property
    def width(self) -> float:
        return float(np.log10(self.high / self.low))


def basin(rates: np.ndarray, losses: np.ndarray, factor: float = FACTOR) -> Basin | None:
    """The basin of losses float[n] at rising learning rates float[n]; None without a positive
    finite loss.

    NaN is a rate at which a run did not end ok: it is not good, however well its other seeds did.
    Between two rates the logarithm of the loss is taken as a straight line over the logarithm of
    the rate; towards a rate that is NaN the basin ends at the last good one, since nothing is known
    between them."""
    losses = np.where(np.isfinite(losses) & (losses > 0), losses, np.nan)
    if np.isnan(losses).all():
        return None
    best = int(np.nanargmin(losses))
    x, y = np.log10(rates), np.log10(losses)
    threshold = y[best] + np.log10(factor)
    low, open_low = _end(x[: best + 1][::-1], y[: best + 1][::-1], threshold)
    high, open_high = _end(x[best:], y[best:], threshold)
    share = float((high - low) / (x[-1] - x[0])) if len(x) > 1 else np.nan
    ends = (10**low, 10**high, open_low, open_high)
    return Basin(float(rates[best]), float(losses[best]), *ends, share)


def _end(x: np.ndarray, y: np.ndarray, threshold: float) -> tuple[float, bool]:
    """Where y first crosses the threshold, going from the first point on; the last point and True
    if it never does."""
    for i in range(1, len(x)):
        if np.isnan(y[i]):
            return float(x[i - 1]), False
        if y[i] > threshold:
            step, rise = x[i] - x[i - 1], y[i] - y[i - 1]
            return float(x[i - 1] + step * (threshold - y[i - 1]) / rise), False
    return float(x[-1]), True


def basins(rates: pd.DataFrame) -> pd.DataFrame:
    """One row a task, setup and series of `tables.learning_rates`: rates, bad_rates (at which some
    run did not end ok), seeds (the fewest runs at a rate) and the fields of Basin, NaN if there is
    none."""
    rows: list[dict[str, Any]] = []
    for key, unsorted in groups(rates, SERIES):
        group = unsorted.sort_values("learning_rate")
        whole = (group["ok"] == group["runs"]).to_numpy()
        losses = np.where(whole, group["mean"].to_numpy(dtype=np.float64), np.nan)
        found = basin(group["learning_rate"].to_numpy(dtype=np.float64), losses)
        fields = {**found._asdict(), "width": found.width} if found else {}
        bad, seeds = int((~whole).sum()), int(group["runs"].min())
        rows.append({**key, "rates": len(group), "bad_rates": bad, "seeds": seeds, **fields})
    columns = [*SERIES, "rates", "bad_rates", "seeds", *Basin._fields, "width"]
    return pd.DataFrame(rows, columns=columns)

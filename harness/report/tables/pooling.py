"""The runs of setups that agree as one: each seed is its mean over them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def pooled(
    table: pd.DataFrame, panels: pd.DataFrame, means: Sequence[str], by: Sequence[str] = ()
) -> pd.DataFrame:
    """The table with the rows of each pool as one: `setup` becomes the panel, `digest` the pool,
    `means` are averaged, and other columns are those of the first. by: further columns that tell
    rows of one run apart, as the step. Rows of other runs stay, behind the others."""
    if panels.empty:
        return table
    known = panels.set_index("digest")
    inside = table["digest"].isin(known.index)
    rows = table[inside]
    rows = rows.assign(
        setup=rows["digest"].map(known["panel"]), digest=rows["digest"].map(known["pool"])
    )
    ways = {name: "mean" if name in means else "first" for name in rows if name not in by}
    del ways["digest"]
    joined = rows.groupby(["digest", *by], sort=False, as_index=False, dropna=False).agg(ways)
    kept = [part for part in (joined[list(table)], table[~inside]) if len(part)]
    return pd.concat(kept, ignore_index=True) if kept else table

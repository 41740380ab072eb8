"""The answer as a picture: for each task the optimizers' time to the target, a mark a setup."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from .. import text
from ..builder import Builder
from ..content import Figure
from ..draw.lazy import Lazy
from ..draw.looks import PALETTE, Look
from ..notes import described, joined
from ..tables.standings import EPOCHS, LOSS, METRIC, SECONDS, STEPS
from . import words
from .matrix import ranked

standing = Lazy("standing")
# Series and tasks that are drawn.
_SERIES, _TASKS = 8, 3
_AXES = {
    STEPS: "steps to target",
    EPOCHS: "epochs to target",
    SECONDS: "seconds to target",
    METRIC: "best validation metric",
    LOSS: "best validation loss",
}


_ALONE = Look(PALETTE[0], "", "o")


def picture(
    builder: Builder, standings: pd.DataFrame, costs: pd.DataFrame, small: bool = False
) -> Figure | None:
    """Time to target of the first series on the first tasks, else the ratios of step times; None
    if there is neither. small: a thumbnail, without words."""
    rows = _of_tasks(standings)
    if rows.empty and len(costs):
        rows = _of_costs(costs)
    if rows.empty:
        return None
    styles = {**builder.setups, "": _ALONE}
    drawn = partial(standing.standing, rows, styles, small)
    name = "answer-thumbnail" if small else "answer"
    title = f"{builder.frames.plans[builder.suite].title}: where they stand"
    said = described("Marks with ranges, a row each.", rows["panel"], rows["series"])
    return builder.figure(
        name, drawn, title, said, rows, _caption(rows, standings), "answer-picture.csv"
    )


def _of_tasks(standings: pd.DataFrame) -> pd.DataFrame:
    """By seconds if those of the first series are known, else by the other unit."""
    names = ranked(standings)[:_SERIES] if len(standings) else []
    kept = []
    for task in list(dict.fromkeys(standings["task"]))[:_TASKS]:
        rows = standings[(standings["task"] == task) & standings["series"].isin(names)]
        timed, other = rows[rows["unit"] == SECONDS], rows[rows["unit"] != SECONDS]
        found = timed if set(timed["series"]) == set(other["series"]) else other
        kept.append(found.assign(panel=task, label=found["unit"].map(_AXES)))
    if not kept:
        return pd.DataFrame()
    found = pd.concat(kept, ignore_index=True)
    known = np.isfinite(found["median"]) | np.isfinite(found["budget"])
    place = found["series"].map({name: i for i, name in enumerate(names)})
    panel = found["panel"].map({task: i for i, task in enumerate(dict.fromkeys(found["panel"]))})
    order = np.lexsort((place, panel))
    found = found.iloc[order][known.iloc[order]].reset_index(drop=True)
    return found.assign(series=found["series"].map(_unalike(names)))


def _unalike(names: list[str]) -> dict[str, str]:
    """Shorter names, if they still differ."""
    short = {name: words.name(name, 60) for name in names}
    return short if len(set(short.values())) == len(short) else {name: name for name in names}


def _of_costs(costs: pd.DataFrame) -> pd.DataFrame:
    """Ratios of the first machine and rule, in the columns of `standings`."""
    first = costs.iloc[0]
    rows = costs[(costs["machine"] == first["machine"]) & (costs["rule"] == first["rule"])]
    rows = rows[rows["ratio"].notna()]
    said = f"step time over {first['reference']}"
    return pd.DataFrame(
        {
            **{"panel": "Cost of a step", "label": said, "series": rows["setup"], "setup": ""},
            **{"median": rows["ratio"], "low": rows["ratio_low"], "high": rows["ratio_high"]},
            **{"budget": np.nan, "missed": 0, "runs": rows["launches"], "leads": True},
            "digests": rows["digests"],
        }
    )


def _caption(rows: pd.DataFrame, standings: pd.DataFrame) -> str:
    if "unit" not in rows:
        return "Step times over the cheapest, geometric means over cells; bars are 95% intervals."
    left = standings["series"].nunique() - rows["series"].nunique()
    tasks = standings["task"].nunique() - rows["task"].nunique()
    return joined(
        "Medians over seeds; bars reach from the lowest to the highest run.",
        "Open: shown to be worse than the best." if not rows["leads"].all() else "",
        "A triangle stands at the budget: half of the runs or more missed the target."
        if np.isinf(rows["median"]).any()
        else "",
        f"{left} more series and {text.plural(tasks, 'more task')} are below."
        if left and tasks
        else "",
        f"{left} more series are below." if left and not tasks else "",
        f"{text.plural(tasks, 'more task')} {'is' if tasks == 1 else 'are'} below."
        if tasks and not left
        else "",
    )

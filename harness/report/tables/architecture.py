"""Hidden sizes by their number of weights."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...layers import build
from ...results.frame import Frames
from ...spec import TaskSpec
from .. import text
from .grouping import texts
from .variations import summary


def sizes(frames: Frames, rows: pd.DataFrame) -> pd.DataFrame:
    """`variations.summary` by hidden, with weights (trainable parameters of the model), depth
    (how many sizes the entry names) and depth_text, by growing number of weights."""
    table = summary(rows, ["hidden"])
    specs = [frames.records[digests.split()[0]].spec.task for digests in table["digests"]]
    depths = [len(hidden.split("-")) for hidden in table["hidden"]]
    words = [f" · {text.plural(depth, 'size')}" if len(set(depths)) > 1 else "" for depth in depths]
    table = table.assign(
        weights=[_weights(spec) for spec in specs], depth=depths, depth_text=texts(table, words)
    )
    return table.sort_values("weights", kind="stable").reset_index(drop=True)


def _weights(task: TaskSpec) -> int:
    layers = build(task.model, task.input_shape)
    return sum(int(np.prod(p.shape)) for layer in layers for p in layer.parameters)

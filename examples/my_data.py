"""Your own CSV: `gradrace run quick --load examples/my_data.py -k iris` makes a report of it."""

from pathlib import Path

import pandas as pd
from gradrace import Activation, DataSet, Dense, TaskSpec

CSV = Path(__file__).with_name("iris.csv")
ORIGIN = {"source": "Fisher (1936), as in scikit-learn; UCI Iris", "licence": "CC BY 4.0"}
LAYERS = (Dense(units=16), Activation(function="relu"), Dense(units=3))
LENGTH = {"batch_size": 15, "steps": 140, "eval_every": 14, "target": 0.9, "target_origin": "mine"}

DATA = DataSet(name="iris", load=lambda: pd.read_csv(CSV), column="species", **ORIGIN)
TASK = TaskSpec(name="iris", title="Iris", data="iris", input_shape=(4,), model=LAYERS, **LENGTH)

"""Adding problem (Hochreiter & Schmidhuber, 1997): the sum of two marked numbers among 30."""

from ..layers import Dense, Gru, Lstm, SimpleRnn
from ..spec import TaskSpec
from ._grid import NARROW


def _task(name: str, title: str, layer: SimpleRnn | Lstm | Gru, target: float) -> TaskSpec:
    return TaskSpec(
        name=name,
        title=f"Adding problem of length 30, {title} of {layer.units} units",
        data="adding",
        input_shape=(30, 2),
        model=(layer, Dense(units=1)),
        loss="mean_squared_error",
        metric="r2",
        batch_size=32,
        steps=1280,
        eval_every=64,
        target=target,
        target_origin=NARROW,
    )


RNN = _task(
    "adding_rnn", "simple RNN", SimpleRnn(units=32, recurrent_initializer="orthogonal"), 0.685
)
LSTM = _task("adding_lstm", "LSTM", Lstm(units=32), 0.985)
GRU = _task("adding_gru", "GRU", Gru(units=32), 0.985)

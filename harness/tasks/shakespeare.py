"""The next character of Shakespeare: embedding, recurrent layer, dense layer.

Needs `gradrace fetch tiny_shakespeare`."""

from ..layers import Dense, Embedding, Gru, Lstm
from ..spec import TaskSpec


def _task(name: str, title: str, layer: Lstm | Gru) -> TaskSpec:
    """Four epochs of batches of 32 windows of 64 characters."""
    return TaskSpec(
        name=name,
        title=f"Shakespeare by characters, embedding of 32, {title} of {layer.units} units",
        data="tiny_shakespeare",
        input_shape=(64,),
        model=(Embedding(vocabulary=65, units=32), layer, Dense(units=65)),
        batch_size=32,
        steps=4 * 490,
        eval_every=245,
        target=0.5,
        target_origin=(
            "a round figure: every second character right; not calibrated: made without a network"
        ),
    )


LSTM = _task("shakespeare_lstm", "LSTM", Lstm(units=128, sequences=True))
GRU = _task("shakespeare_gru", "GRU", Gru(units=128, sequences=True))

"""Handwritten digits row by row: an LSTM over 8 steps of 8 pixels, a dense layer on its end."""

from ..layers import Dense, Lstm
from ..spec import TaskSpec
from ._grid import WIDE

TASK = TaskSpec(
    name="digits_lstm",
    title="Digits, LSTM of 64 units over 8 rows",
    data="digits",
    input_shape=(8, 8),
    model=(Lstm(units=64), Dense(units=10)),
    batch_size=32,
    steps=360,
    eval_every=36,
    target=0.97,
    target_origin=WIDE,
)

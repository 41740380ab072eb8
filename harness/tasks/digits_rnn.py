"""Handwritten digits row by row: a simple RNN over 8 steps of 8 pixels, then a dense layer."""

from ..layers import Dense, SimpleRnn
from ..spec import TaskSpec
from ._grid import WIDE

TASK = TaskSpec(
    name="digits_rnn",
    title="Digits, simple RNN of 64 units over 8 rows",
    data="digits",
    input_shape=(8, 8),
    model=(SimpleRnn(units=64, recurrent_initializer="orthogonal"), Dense(units=10)),
    batch_size=32,
    steps=360,
    eval_every=36,
    target=0.965,
    target_origin=WIDE,
)

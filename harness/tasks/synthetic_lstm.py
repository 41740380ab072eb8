"""LSTMs to be timed, in three sizes: over a sequence, with a dense layer on the last state."""

from ..layers import Dense, Lstm
from ._synthetic import timed_task

S = timed_task(
    "synthetic_lstm_s",
    "LSTM of 64 units over 20 x 32, batch 32: 0.1 GFLOP a step, some milliseconds on one CPU core",
    (20, 32),
    (Lstm(units=64), Dense(units=10)),
    32,
)
M = timed_task(
    "synthetic_lstm_m",
    "LSTM of 256 units over 32 x 64, batch 32: 2 GFLOP a step, tens of milliseconds on one CPU"
    " core",
    (32, 64),
    (Lstm(units=256), Dense(units=10)),
    32,
)
L = timed_task(
    "synthetic_lstm_l",
    "two LSTMs of 1024 units over 64 x 256, batch 256: 1.3 TFLOP a step, sized for a GPU",
    (64, 256),
    (Lstm(units=1024, sequences=True), Lstm(units=1024), Dense(units=10)),
    256,
)

"""The origin of calibrated targets; tests/benchmarks/targets.py made the runs."""

WIDE = (
    "one point below the best median over 5 seeds of a learning-rate grid (seven optimizers at 3 or"
    " 4 rates each, PyTorch; see docs/benchmarks.md), rounded down to a multiple of 0.005"
)
NARROW = (
    "one point below the best median over 3 seeds of a learning-rate grid (Adam and RMSprop at"
    " 0.003 and 0.01, PyTorch; see docs/benchmarks.md), rounded down to a multiple of 0.005"
)

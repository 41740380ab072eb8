"""What the digits tasks share."""

TARGET_ORIGIN = (
    "one point below the best median over 5 seeds of a learning-rate grid (seven optimizers at 3 or 4 rates each, "
    "PyTorch, 360 steps; see docs/benchmarks.md), rounded down to a multiple of 0.005"
)

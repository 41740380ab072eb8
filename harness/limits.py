"""The most that may be asked for. Each limit is far above any need: beyond it a slip of the
keyboard is likelier, and memory ends first. A message that refuses a number names the limit."""

from __future__ import annotations

from .errors import UserError

# Runs of one suite: so many take half a minute to plan.
RUNS = 200_000
SEEDS = 100_000
STEPS = 100_000_000
# Of samples in all batches of a run, drawn at once: 8 bytes each, 4 GB.
INDICES = 500_000_000
DRAWS = 1_000_000
GRID_POINTS = 1001
# Factors of 10 that a grid of learning rates spans.
DECADES = 30
LAUNCHES = 10_000
BLOCKS = 100_000
BLOCK_STEPS = 1_000_000
THREADS = 4096
UNITS = 1_000_000
DEPTH = 1000
TRIALS = 1_000_000
# Of one program: the weights of so many runs lie on a device together.
LANES = 65_536
FOLDS = 1000
# Seconds: 30 days.
SECONDS = 2_592_000.0
# Bytes of a suite's file.
SUITE_BYTES = 1_000_000


def check_indices(name: str, steps: int, batch_size: int) -> None:
    """UserError if the batches of a run would not fit into memory. name: the task's."""
    if steps * batch_size > INDICES:
        raise UserError(
            f"{name}: {steps} steps of {batch_size} samples are {steps * batch_size} samples to"
            f" draw; the limit is {INDICES}"
        )

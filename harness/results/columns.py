"""The columns of the tables of results."""

from __future__ import annotations


def words(line: str) -> list[str]:
    """The words of a line: a long list of names that reads as text."""
    return line.split()


# What makes two runs the same cell: everything but the seed and the launch.
CELL = words(
    "measure task framework mode optimizer rule hyper schedule schedule_params learning_rate"
    " variation device dtype threads batch_size input budget"
)
# What makes two timing runs the same cell, and is shared by the memory run of that cell: times of
# different machines are never pooled.
TIMING_CELL = words(
    "suite task framework mode optimizer rule hyper variation device dtype threads batch_size input"
    " setting host machine"
)
CURVE = words("digest step series value")
BLOCKS = words("digest block part steps wall_ns cpu_ns involuntary_switches steal_ticks")
NORMS = words("digest step parameter weight gradient update zeros")
# Figures of a launch of which the mean over launches is given with an interval.
SPREAD = words(
    "step_p25_s step_median_s step_p99_s step_mean_s forward_s backward_s optimizer_s remainder_s"
    " parts_covered"
)
# Those of which the median over launches is given.
MIDDLE = words("import_s start_s setup_s first_call_s first_call_steps state_bytes")
ENERGY = words("joules joules_per_1000_steps")
MEMORY = words("imported_bytes peak_bytes grown_bytes device_peak_bytes")
# Columns of numbers of every run, NaN if they are missing.
NUMBERS = [
    *words("steps_done final_train_loss final_validation_loss final_validation_metric"),
    *words("best_validation_loss best_validation_metric test_loss test_metric steps_to_target"),
    *("stopped_at", *ENERGY, *MIDDLE, *SPREAD, *MEMORY),
]

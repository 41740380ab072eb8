"""Pure functions, arrays in, numbers out; docs/statistics.md explains each figure.

intervals.py: the value of all, and Student's t. bootstrap.py: an interval for any aggregate.
aggregates.py: over tasks and seeds. comparisons.py: who improves on whom. leaders.py: who leads on
one task. profiles.py: performance profile and AlgoPerf score. arrivals.py, targets.py: time to
target, with censoring. ranks.py, holm.py: rank tests. tuning.py: the best of a budget.
step_times.py: step times and their parts. cost_ratios.py: one step time over another."""

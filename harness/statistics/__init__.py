"""What scores over tasks and seeds tell, and what they do not: pure functions, arrays in, numbers
out.

`bootstrap.py` gives any aggregate its interval; `aggregates.py` holds the aggregates,
`comparisons.py` who improves on whom, `profiles.py` the performance profile and the AlgoPerf score,
`targets.py` the time to target with censoring, `ranks.py` the rank tests and `tuning.py` the
expected best of a budget. docs/statistics.md says what each figure means. The estimators of step
times are in `stats.py`, beside this package."""

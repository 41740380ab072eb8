"""Stored runs as runs of other tools: one of ours is one of theirs, written by their own libraries.

Read `runs` first: what is told of a run. `tensorboard`, `wandb` and `mlflow` each write it; `words`
holds what they share. asv's files and plain tables are in `results`.
"""

"""Where the tasks' targets come from: the best median validation metric of a learning-rate grid,
less a little.

    python tests/benchmarks/targets.py [--group digits|small|memory] [--output results/targets]

PyTorch, canonical rules; resumable like any run. `digits` and `small`: seven optimizers, five
seeds. `memory`: two optimizers, three seeds, since its runs take ten times as long.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import gradrace

WIDE = {
    "sgd": [0.03, 0.1, 0.3, 1.0],
    "momentum": [0.01, 0.03, 0.1, 0.3],
    "nesterov": [0.01, 0.03, 0.1, 0.3],
    "adagrad": [0.01, 0.03, 0.1, 0.3],
    "rmsprop": [0.001, 0.003, 0.01],
    "adam": [0.001, 0.003, 0.01, 0.03],
    "adamw": [0.001, 0.003, 0.01, 0.03],
}
NARROW = {"rmsprop": [0.003, 0.01], "adam": [0.003, 0.01]}
CELL = ["task", "optimizer", "learning_rate"]


class Group(NamedTuple):
    """Tasks with the grid they were run on."""

    tasks: list[str]
    grid: dict[str, list[float]]
    seeds: int


GROUPS = {
    "digits": Group(["digits_mlp", "digits_cnn", "digits_lstm"], WIDE, 5),
    "small": Group(
        ["digits_rnn", "digits_gru", "breast_cancer_logreg", "wine_mlp", "diabetes_mlp"], WIDE, 5
    ),
    "memory": Group(
        ["adding_rnn", "adding_lstm", "adding_gru", "copy_rnn", "copy_lstm", "copy_gru"], NARROW, 3
    ),
}


def main() -> None:
    """Runs a group's grid and prints, per task, the best cells."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--group", choices=GROUPS, default="digits")
    parser.add_argument("--output", default="results/targets")
    given = parser.parse_args()
    group = GROUPS[given.group]
    suite = {
        "title": f"Targets, {given.group}",
        "tasks": group.tasks,
        "frameworks": ["torch"],
        "optimizers": [
            {"name": name, "learning_rate": rates} for name, rates in group.grid.items()
        ],
        "seeds": group.seeds,
    }
    runs = gradrace.run(suite, name=f"targets-{given.group}", output=given.output).runs
    print(runs["status"].value_counts().to_string())
    medians = runs.groupby(CELL)["best_validation_metric"].median().sort_values(ascending=False)
    for task, cells in medians.groupby("task"):
        print(
            task,
            "best median",
            f"{cells.max():.4f}:",
            ", ".join(f"{o} {lr:g}" for _, o, lr in cells.index[:3]),
        )


if __name__ == "__main__":
    main()

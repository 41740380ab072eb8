"""Where the digits tasks' targets come from: the best median validation accuracy of a learning-rate grid, less a point.

    python tests/benchmarks/targets.py [--output results/targets]

PyTorch, every built-in optimizer under its canonical rule, five seeds, 360 steps; resumable like any run.
"""

from __future__ import annotations

import argparse

import gradrace

GRID = {
    "sgd": [0.03, 0.1, 0.3, 1.0],
    "momentum": [0.01, 0.03, 0.1, 0.3],
    "nesterov": [0.01, 0.03, 0.1, 0.3],
    "adagrad": [0.01, 0.03, 0.1, 0.3],
    "rmsprop": [0.001, 0.003, 0.01],
    "adam": [0.001, 0.003, 0.01, 0.03],
    "adamw": [0.001, 0.003, 0.01, 0.03],
}
CELL = ["task", "optimizer", "learning_rate"]


def main() -> None:
    """Runs the grid and prints, per task, the best cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="results/targets")
    suite = {
        "title": "Targets of the digits tasks",
        "tasks": ["digits_mlp", "digits_cnn", "digits_lstm"],
        "frameworks": ["torch"],
        "optimizers": [{"name": name, "learning_rate": rates} for name, rates in GRID.items()],
        "seeds": 5,
    }
    runs = gradrace.run(suite, name="targets", output=parser.parse_args().output).runs
    print(runs["status"].value_counts().to_string())
    medians = runs.groupby(CELL)["best_validation_metric"].median().sort_values(ascending=False)
    for task, cells in medians.groupby("task"):
        print(task, "best median", f"{cells.max():.4f}:", ", ".join(f"{o} {lr:g}" for _, o, lr in cells.index[:3]))


if __name__ == "__main__":
    main()

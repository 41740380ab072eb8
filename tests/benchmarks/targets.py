"""The origin of the tasks' targets: the best median validation metric of a grid, less a little.

    python tests/benchmarks/targets.py [--group digits|small|memory|fashion_mlp|fashion_cnn]
        [--output results/targets]

Canonical rules, in PyTorch if nothing else is said; resumable like any run. `digits` and `small`:
seven optimizers, five seeds. `memory`: two optimizers, three seeds, since its runs take ten times
as long. `fashion_mlp` and `fashion_cnn`: Adam, three seeds, in several frameworks, on the images of
`gradrace fetch fashion_mnist`.
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import NamedTuple

import gradrace

LARGE, MIDDLE, SMALL = [0.03, 0.1, 0.3, 1.0], [0.01, 0.03, 0.1, 0.3], [0.001, 0.003, 0.01, 0.03]
WIDE = {"sgd": LARGE, "momentum": MIDDLE, "nesterov": MIDDLE, "adagrad": MIDDLE}
WIDE |= {"rmsprop": SMALL[:3], "adam": SMALL, "adamw": SMALL}
NARROW = {"rmsprop": [0.003, 0.01], "adam": [0.003, 0.01]}
CELL = ["task", "framework", "optimizer", "learning_rate"]


class Group(NamedTuple):
    """Tasks with the grid they were run on."""

    tasks: list[str]
    grid: dict[str, list[float]]
    seeds: int
    frameworks: list[str] = ["torch"]


DIGITS = ["digits_mlp", "digits_cnn", "digits_lstm"]
OTHERS = ["digits_rnn", "digits_gru", "breast_cancer_logreg", "wine_mlp", "diabetes_mlp"]
MEMORY = [f"{task}_{layer}" for task in ("adding", "copy") for layer in ("rnn", "lstm", "gru")]
GROUPS = {
    "digits": Group(DIGITS, WIDE, 5),
    "small": Group(OTHERS, WIDE, 5),
    "memory": Group(MEMORY, NARROW, 3),
    "fashion_mlp": Group(
        ["fashion_mlp"], {"adam": [0.0003, 0.001, 0.003]}, 3, ["torch", "tensorflow", "jax"]
    ),
    "fashion_cnn": Group(["fashion_cnn"], {"adam": [0.001]}, 3, ["torch", "jax"]),
}


def main() -> None:
    """Runs a group's grid and prints, per task, the best cells."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--group", choices=GROUPS, default="digits")
    parser.add_argument("--output", default="results/targets")
    given = parser.parse_args()
    group = GROUPS[given.group]
    grid = [{"name": name, "learning_rate": rates} for name, rates in group.grid.items()]
    suite = {"title": f"Targets, {given.group}", "tasks": group.tasks, "optimizers": grid}
    suite |= {"frameworks": group.frameworks, "seeds": group.seeds}
    name = f"targets-{given.group}"
    runs = gradrace.run(suite, name=name, output=given.output, verify=False).runs
    print(runs["status"].value_counts().to_string())
    medians = runs.groupby(CELL)["best_validation_metric"].median().sort_values(ascending=False)
    for task, cells in medians.groupby("task"):
        first = ", ".join(f"{' '.join(names)} {rate:g}" for _, *names, rate in cells.index[:3])
        print(f"{task} best median {cells.max():.4f}: {first}")


if __name__ == "__main__":
    main()

"""The runs of twelve.py as a benchmark of Benchopt, in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

VERSION = "1.10.0"
_OBJECTIVE = """
from benchopt import BaseObjective
from twelve import scores


class Objective(BaseObjective):
    name = "Validation loss"
    min_benchopt_version = "1.10"

    def set_data(self, training, validation):
        self.training, self.validation = training, validation

    def get_objective(self):
        return dict(training=self.training, validation=self.validation)

    def evaluate_result(self, logits):
        loss, accuracy = scores(logits, self.validation[1])
        return dict(value=loss, accuracy=accuracy)

    def get_one_result(self):
        import numpy as np

        return dict(logits=np.zeros((len(self.validation[1]), 10)))
"""
_DATASET = """
from benchopt import BaseDataset
from twelve import digits


class Dataset(BaseDataset):
    name = "digits"

    def get_data(self):
        training, validation = digits()
        return dict(training=training, validation=validation)
"""
_SOLVER = """
from benchopt import BaseSolver
from benchopt.stopping_criterion import NoCriterion
from twelve import NAMES, RATES, RUNS


class Solver(BaseSolver):
    name = "FRAMEWORK"
    sampling_strategy = "callback"
    stopping_criterion = NoCriterion(strategy="callback")
    parameters = dict(optimizer=list(NAMES), rate=list(RATES))

    def set_objective(self, training, validation):
        self.splits = training, validation

    @staticmethod
    def get_next(evaluation):
        return evaluation + 1

    def run(self, callback):
        def evaluated(logits):
            self.logits = logits
            callback()

        RUNS["FRAMEWORK"](self.optimizer, self.rate, self.splits, evaluated)

    def get_result(self):
        return dict(logits=self.logits())
"""


def environment(python: str, cache: Path) -> str:
    """`python` if it is given, else the Python of an environment below `cache` with Benchopt, which
    is made if it is missing, from the package index. It shares this environment's packages: torch
    and NumPy are the same."""
    if python:
        return python
    folder = cache / f"benchopt-{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"
    made = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, clear=True, with_pip=True)
        (site,) = folder.glob("lib/python*/site-packages")
        shared = (path for path in sys.path if path.endswith("site-packages"))
        (site / "shared.pth").write_text("\n".join(shared))
        install = [str(made), "-m", "pip", "install", "--quiet", f"benchopt=={VERSION}"]
        subprocess.run(install, check=True)
        (folder / "complete").touch()
    return str(made)


def write(folder: Path, framework: str) -> None:
    """The files of the benchmark."""
    (folder / "solvers").mkdir(parents=True)
    (folder / "datasets").mkdir()
    (folder / "objective.py").write_text(_OBJECTIVE)
    (folder / "datasets" / "digits.py").write_text(_DATASET)
    (folder / "solvers" / "trained.py").write_text(_SOLVER.replace("FRAMEWORK", framework))


def command(python: str, html: bool) -> list[str]:
    """Runs the benchmark of the working directory: every curve once, whole."""
    page = ["--plot", "--html"] if html else ["--no-plot"]
    once = ["-r", "1", "-n", "1000", "--timeout", "1000", "--no-display"]
    return [python, "-m", "benchopt", "run", ".", *once, *page]


def variables(env: Mapping[str, str]) -> dict[str, str]:
    """What its process needs besides `env`: to find twelve.py."""
    return {**env, "PYTHONPATH": str(Path(__file__).parent)}

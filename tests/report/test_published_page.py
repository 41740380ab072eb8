"""The folder that keeps a suite's results in the repository: tables, figures, no times or hosts."""

from __future__ import annotations

import csv
import subprocess
import sys
from xml.etree import ElementTree

import pandas as pd
from gradrace.sweep import execute
from paths import ROOT
from tiny import planned

sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
import publish


def test_a_suite_is_published_without_times(tmp_path):
    sweep = planned(tmp_path / "results", optimizers=[{"name": "adam", "learning_rate": [0.1, 1]}])
    execute(sweep)
    script = ROOT / "tests" / "benchmarks" / "publish.py"
    command = [sys.executable, script, "tiny", "--output", "results", "--to", "page"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "page"
    with (page / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["digest"] for row in rows} == {run.digest for run in sweep.plan}
    assert not [name for name in rows[0] if name.endswith("_s") or "host" in name]
    with (page / "curves.csv").open() as file:
        points = list(csv.DictReader(file))
    assert len(points) == 4 * 3, "four runs, evaluated at steps 0, 10 and 20"
    text = (page / "README.md").read_text()
    best = max(("0.1", "1"), key=lambda rate: median(rows, rate))
    assert f"| digits_mlp | adam | numpy | {best} | {median(rows, best):.4f} [" in text
    figures = sorted(file.name for file in page.glob("*.svg"))
    assert "digits_mlp-convergence.svg" in figures
    for name in figures:
        assert f"({name})" in text
        assert ElementTree.parse(page / name).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def median(rows, rate):
    """Of two seeds."""
    values = [
        float(r["best_validation_metric"]) for r in rows if float(r["learning_rate"]) == float(rate)
    ]
    assert len(values) == 2
    return sum(values) / 2


def test_a_rate_at_which_most_runs_diverge_is_never_the_best():
    """Though the run that did not diverge is better than all others."""
    runs = pd.DataFrame(
        [("t", "f", "o", rate, seed, *of) for rate, seed, *of in DIVERGING],
        columns=[*publish.CELL, "seed", "status", *FIGURES, "steps_to_target"],
    )
    *_, row = publish._table(runs)
    assert row == "| t | o | f | 0.1 | 0.8000 [0.8000, 0.8000] | 0.7000 [0.7000, 0.7000] | 3 of 3 |"


FIGURES = ["best_validation_metric", "test_metric"]
DIVERGING = [
    *((0.1, seed, "ok", 0.8, 0.7, 10.0) for seed in range(3)),
    (1.0, 0, "ok", 0.9, 0.8, 10.0),
    *((1.0, seed, "diverged", 0.85, 0.75, None) for seed in (1, 2)),
]

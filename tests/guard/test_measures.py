"""Two commits of a user's repository, compared by memory and first calls, with real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from gradrace.paired import PairedResult
from repositories import TIMED, commit, git
from tiny import toml

# At its first update `mine` takes so many MiB and keeps them, and so much CPU time.
MINE = """
import time
import numpy as np
from gradrace import Optimizer, ReferenceRule

KEPT = []

def update(p, g, state, lr, t, hyper):
    if not KEPT:
        KEPT.append(np.ones({mib} * 2**17))
        end = time.thread_time() + {seconds}
        while time.thread_time() < end:
            pass
    return p - lr * g, state

MINE = Optimizer(name="mine", title="Mine", paper="-", learning_rate=0.1, hyper={{}}, bindings={{}},
                 rule=ReferenceRule(init=lambda p, hyper: {{}}, update=update))
"""
PYPROJECT = '[project]\nname = "x"\nversion = "1"\ndependencies = ["numpy{0}"]\n'


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Commits `plain`, `large` (64 MiB more), `late` (a slower first call), then a dirty tree."""
    folder = tmp_path_factory.mktemp("measures") / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder.parent / "tiny.toml").write_text(toml(TIMED))
    commits = {"plain": (8, 0.1, ""), "large": (72, 0.1, ""), "late": (8, 1.0, ">=1")}
    for name, (mib, seconds, pin) in commits.items():
        (folder / "mine.py").write_text(MINE.format(mib=mib, seconds=seconds))
        (folder / "pyproject.toml").write_text(PYPROJECT.format(pin))
        commit(folder, name)
        git(folder, "tag", name)
    (folder / "mine.py").write_text(MINE.format(mib=500, seconds=3.0))
    return folder


@pytest.mark.parametrize(
    ("base", "head", "measure", "decisions", "low", "high"),
    [
        ("plain", "large", "memory", ("regression",), 4.0, 12.0),
        ("plain", "plain", "memory", ("ok",), 0.9, 1.1),
        # Three launches beside other work may lie too far apart to be sure.
        ("plain", "late", "first_call", ("regression", "suspected", "inconclusive"), 1.5, 30.0),
    ],
)
def test_two_commits(repository, base, head, measure, decisions, low, high):
    asked = f"--suite ../tiny.toml --load mine.py --base {base} --head {head} --measure {measure}"
    rule = "--launches 3 --alpha 0.2 --budget 60 --no-report --json"
    command = [sys.executable, "-m", "gradrace", "compare", *asked.split(), *rule.split()]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=200)
    assert done.returncode in (0, 4), done.stderr + done.stdout
    result = PairedResult.model_validate_json(done.stdout)
    (cell,) = result.cells
    assert result.quantity == measure and cell.decision in decisions, cell
    assert (done.returncode == 4) is (cell.decision == "regression")
    assert cell.ratio is not None and low < cell.ratio < high
    assert (result.a["commit"], result.b["commit"]) == (
        git(repository, "rev-parse", base),
        git(repository, "rev-parse", head),
    )
    assert ("pyproject.toml" in result.b.get("dependencies", "")) is (head == "late")
    assert len(git(repository, "worktree", "list").splitlines()) == 1

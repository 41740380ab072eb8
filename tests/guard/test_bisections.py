"""`gradrace bisect` for real: processes, worktrees, environments that pip makes. NumPy alone."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest
from gradrace.bisect.releases import Releases
from gradrace.errors import UserError
from repositories import commit, git

FILE = """
import time
from gradrace import Optimizer, ReferenceRule

# edit {number}
{broken}
def update(p, g, state, lr, t, hyper):
    end = time.thread_time_ns() + {spin_ns}
    while time.thread_time_ns() < end:
        pass
    return p - lr * g * {factor}, state

MINE = Optimizer(
    name="mine", title="Mine", paper="-", learning_rate=0.1, hyper={{}}, bindings={{}},
    rule=ReferenceRule(init=lambda p, hyper: {{}}, update=update),
)
"""
SUITE = """
title = "Small"
question = "Which commit?"
tasks = ["digits_mlp"]
frameworks = ["numpy"]
optimizers = ["mine"]
schedules = ["constant"]
seeds = 1
dtype = "float64"
[convergence]
rule = "canonical"
[timing]
rule = "canonical"
warmup_steps = 10
"""
COMMITS, SLOW, BROKEN, CHANGED = 6, 4, 3, 5


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Seven commits: one cannot be imported, the next is several times as slow, the next but one
    has other losses."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q", "-b", "main")
    (folder / "small.toml").write_text(SUITE)
    for number in range(COMMITS + 1):
        # Far more than a busy machine adds to one side of a pair.
        text = FILE.format(
            number=number,
            spin_ns=400_000 if number >= SLOW else 0,
            broken="import no_such_module_here" if number == BROKEN else "",
            factor=1 + 1e-9 if number >= CHANGED else 1,
        )
        (folder / "mine.py").write_text(text)
        commit(folder, f"edit {number}")
    return folder


def bisect(folder, *options):
    """Exit code and result."""
    good = git(folder, "rev-list", "--max-parents=0", "HEAD")
    command = [sys.executable, "-m", "gradrace", "bisect", good, "HEAD", "-k", "mine"]
    more = ["--suite", "small.toml", "--load", "mine.py", "--json", *options]
    done = subprocess.run([*command, *more], cwd=folder, capture_output=True, text=True)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_slow_commit_is_named_around_one_that_cannot_be_run(repository):
    code, found = bisect(repository, "--launches", "4", "--threshold", "0.2")
    (change,) = found["changes"]
    before, broken, slow = git(repository, "rev-list", "--reverse", "HEAD").splitlines()[2:5]
    assert (code, found["outcome"], change["confirmed"]) == (0, "found", True)
    # The broken commit may be the culprit, too.
    assert (change["before"], change["among"]) == (before, [broken, slow])
    assert change["ratio"] > change["low"] > 1.5
    page = (repository / "results" / "html" / "bisect.html").read_text()
    assert slow[:10] in page and "no_such_module_here" in page
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    # Finished: everything is in the log, and nothing is measured again.
    resumed = bisect(repository, "--launches", "4", "--threshold", "0.2", "--resume", found["log"])[
        1
    ]
    assert resumed["changes"] == found["changes"] and resumed["launches"] == found["launches"]


def test_the_commit_from_which_losses_differ(repository):
    code, found = bisect(repository, "--losses")
    (change,) = found["changes"]
    assert (code, change["about"], change["among"]) == (0, f"edit {CHANGED}", [])
    # The first step is taken from equal weights.
    assert change["step"] == 1 and change["loss"] != change["before_loss"]
    assert change["loss"] == pytest.approx(change["before_loss"], rel=1e-6)


def wheel(folder, version, python=">=3"):
    """A distribution of one module that says its version."""
    name = f"bisected_toy-{version}"
    meta = f"Metadata-Version: 2.1\nName: bisected-toy\nVersion: {version}\n"
    form = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {
        "bisected_toy.py": f"VERSION = {version!r}\n",
        f"{name}.dist-info/METADATA": f"{meta}Requires-Python: {python}\n",
        f"{name}.dist-info/WHEEL": form,
    }
    record = "".join(f"{path},,\n" for path in files) + f"{name}.dist-info/RECORD,,\n"
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as made:
        for path, content in {**files, f"{name}.dist-info/RECORD": record}.items():
            made.writestr(path, content)


def test_releases_have_environments_that_are_kept(tmp_path, monkeypatch):
    for version, python in (("1.0", ">=3"), ("1.1", "<3"), ("2.0", ">=3")):
        wheel(tmp_path, version, python)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    said = []
    row = Releases("bisected-toy", ("1.0", "2.0"), tmp_path / "envs", watch=said.append)
    assert list(row.ids) == ["1.0", "1.1", "2.0"]
    code = "import bisected_toy, numpy; print(bisected_toy.VERSION)"
    with row.sides(0, 2) as both:
        told = [subprocess.check_output([side.python, "-c", code], text=True) for side in both]
    assert told == ["1.0\n", "2.0\n"]
    assert sum("installing" in line for line in said) == sum("MiB" in line for line in said) == 2
    with pytest.raises(UserError, match="bisected-toy 1.1 cannot be installed on this Python"):
        row.sides(0, 1).__enter__()
    # Kept, but for the one that was not made.
    assert sum("installing" in line for line in said) == 3
    assert len(list((tmp_path / "envs").iterdir())) == 2

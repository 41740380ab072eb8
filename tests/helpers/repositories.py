"""Git repositories that tests make, with an optimizer and a suite that times it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tiny import TINY

TIMED: dict[str, Any] = {
    key: TINY[key] for key in ("title", "tasks", "frameworks", "optimizers", "dtype")
}
TIMED |= {"convergence": False, "timing": {"rule": "canonical", "warmup_steps": 5}}

# A step of `mine` takes a declared amount of CPU time more.
SLOWED = """
import time
from gradrace import Optimizer, ReferenceRule

def update(p, g, state, lr, t, hyper):
    end = time.thread_time() + {seconds}
    while time.thread_time() < end:
        pass
    return p - lr * g, state

MINE = Optimizer(name="mine", title="Mine", paper="-", learning_rate=0.1, hyper={{}}, bindings={{}},
                 rule=ReferenceRule(init=lambda p, hyper: {{}}, update=update))
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)

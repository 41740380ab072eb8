"""How often `gradrace bisect` names the commit that was planted, and how long it takes.

    python tests/benchmarks/bisections.py          10 histories with one slow commit, 5 clean ones
    ... --histories 20 --clean 0 --slowdown 0.03 --seed 7

A history is a repository with an optimizer file (torch.optim.Adam on digits_mlp) and so many
commits of small edits. One commit, drawn by chance, lets the file's step() spin for a share of a
step, which is measured once at the start. Prints a line a history as it ends, then the counts.
Nothing is asserted.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections import Counter
from pathlib import Path
from typing import Any

from gradrace.paired import Side, choose
from gradrace.paired.measure import Launch, Launcher
from gradrace.registry import load_registry

FILE = """
import time
from gradrace import Binding, Optimizer

# edit {edit}
SPIN_NS = {spin_ns}

def for_torch():
    import torch

    class Planted(torch.optim.Adam):
        def step(self, closure=None):
            found = super().step(closure)
            end = time.thread_time_ns() + SPIN_NS
            while time.thread_time_ns() < end:
                pass
            return found

    return Planted

OPTIMIZER = Optimizer(
    name="planted", title="Adam", paper="Kingma & Ba (2015)", learning_rate=1e-3,
    hyper={{}}, bindings={{"torch": Binding(for_torch)}},
)
"""
CELL = "planted torch digits_mlp"


def git(folder: Path, *arguments: str) -> str:
    """What git prints."""
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def history(folder: Path, commits: int, planted: int | None, spin_ns: int) -> list[str]:
    """Makes a repository; the hashes of GOOD and of so many commits. planted: 1 to commits."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    hashes = []
    for number in range(commits + 1):
        slow = planted is not None and number >= planted
        text = FILE.format(edit=number, spin_ns=spin_ns if slow else 0)
        (folder / "mine.py").write_text(text)
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", f"edit {number}")
        hashes.append(git(folder, "rev-parse", "HEAD"))
    return hashes


def step_ns(folder: Path) -> float:
    """Nanoseconds of a step without spinning."""
    file = folder / "mine.py"
    file.write_text(FILE.format(edit=0, spin_ns=0))
    part = choose.SuiteFilter("quick", CELL)
    pairs = choose.same_cells(load_registry([file]), part)
    assert len(pairs) == 1, [pair.name for pair in pairs]
    sides = [Side(label, sys.executable, plugins=(file,)) for label in "ab"]
    launch = Launcher(pairs, *sides, blocks=24)([0])[0]
    assert isinstance(launch, Launch), launch
    return launch.a_value * 1e9


def bisect(folder: Path, hashes: list[str], budget_s: float) -> tuple[int, dict[str, Any]]:
    """Exit code and result of the command."""
    command = [sys.executable, "-m", "gradrace", "bisect", hashes[0], hashes[-1], "-k", CELL]
    options = ["--load", "mine.py", "--json", "--no-report", "--budget", str(budget_s), "-q"]
    # A working tree of gradrace, if this interpreter has it on its path, comes first there too.
    done = subprocess.run(
        [*command, *options], cwd=folder, capture_output=True, text=True, env=dict(os.environ)
    )
    if not done.stdout.strip():
        return done.returncode, {"outcome": "error", "reason": done.stderr.strip()[-300:]}
    return done.returncode, json.loads(done.stdout)


def line(number: int, planted: int | None, hashes: list[str], found: dict[str, Any]) -> str:
    """One history: what was planted, what was named."""
    named = [
        f"{hashes.index(change['version'])} at {change['ratio']:.4f}"
        f" [{change['low']:.4f}, {change['high']:.4f}]"
        for change in found.get("changes", ())
        if change["confirmed"]
    ]
    whole = f"whole {found['ratio']:.4f}" if found.get("ratio") else ""
    tested = ", ".join(
        f"{each['version'][:4]} {each['place']} {each['launches']}"
        for each in found.get("tested", ())
    )
    return (
        f"{number:3} planted {planted or 'none'}: {found['outcome']}, named {named or 'none'};"
        f" {whole}; {found.get('launches', 0)} launches, {found.get('seconds', 0):.0f} s"
        f" ({tested}) {found.get('reason', '')}"
    )


def right(planted: int | None, hashes: list[str], found: dict[str, Any]) -> bool:
    """Whether exactly the planted commit was named."""
    confirmed = [change for change in found.get("changes", ()) if change["confirmed"]]
    named = [change["version"] for change in confirmed if not change["among"]]
    return named == ([] if planted is None else [hashes[planted]]) and found["outcome"] != "error"


def main() -> None:
    """Runs the histories one after the other."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=10)
    parser.add_argument("--clean", type=int, default=5)
    parser.add_argument("--commits", type=int, default=32)
    parser.add_argument("--slowdown", type=float, default=0.05, help="as a share of a step")
    parser.add_argument("--budget", type=float, default=720.0, help="seconds for each")
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args())


def run(given: Namespace) -> None:
    """All histories, with the culprits drawn from the seed."""
    rng, counts, slowest = random.Random(given.seed), Counter[str](), 0.0
    with tempfile.TemporaryDirectory() as place:
        spin_ns = round(given.slowdown * step_ns(Path(place)))
        print(f"{given.commits} commits, planted {given.slowdown:.0%}: {spin_ns} ns", flush=True)
        for number in range(given.histories + given.clean):
            clean = number >= given.histories
            planted = None if clean else rng.randint(1, given.commits)
            folder = Path(place) / str(number)
            hashes = history(folder, given.commits, planted, spin_ns)
            began = time.monotonic()
            _, found = bisect(folder, hashes, given.budget)
            slowest = max(slowest, time.monotonic() - began)
            kind = "clean" if clean else "planted"
            counts[f"{kind}: {'right' if right(planted, hashes, found) else 'WRONG'}"] += 1
            print(line(number, planted, hashes, found), flush=True)
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    print(f"{told}; the slowest took {slowest:.0f} s")


if __name__ == "__main__":
    main()

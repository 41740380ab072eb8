"""Certifies every optimizer class of seven packages: how many get a verdict, and why the rest none.

    python tests/benchmarks/census.py --output build/census --jobs 1
    python tests/benchmarks/census.py --only torch.optim,optax.contrib.muon

Each class is certified by the command itself, in processes of its own, in at most 60 seconds. A
line of OUTPUT/census.jsonl is written after each, and classes that have a line are not done again.
Then the counts are printed, and the classes without a verdict with their reasons.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# Package -> its framework, as an import path names it.
PACKAGES = {
    "torch.optim": "torch",
    "pytorch_optimizer": "torch",
    "heavyball": "torch",
    "schedulefree": "torch",
    "keras.optimizers": "keras",
    "optax": "optax",
    "optax.contrib": "optax",
}
# Each prints names as JSON. A class that another of these packages defines is left out.
_TORCH = """
import importlib, inspect, json, sys, torch
package = importlib.import_module(sys.argv[1])
names = [
    name for name, value in sorted(vars(package).items())
    if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer)
    and value is not torch.optim.Optimizer and not name.startswith("_")
    and value.__module__.partition(".")[0] == sys.argv[1].partition(".")[0]
]
"""
_KERAS = """
import inspect, keras
names = [
    name for name, value in sorted(vars(keras.optimizers).items())
    if inspect.isclass(value) and issubclass(value, keras.optimizers.Optimizer)
    and value is not keras.optimizers.Optimizer
]
"""
# Functions that take a learning rate: others give parts of an optimizer.
_OPTAX = """
import importlib, inspect, sys
package = importlib.import_module(sys.argv[1])
def rated(value):
    try:
        return {"learning_rate", "max_learning_rate"} & set(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return False
names = [
    name for name, value in sorted(vars(package).items())
    if callable(value) and not inspect.isclass(value) and not name.startswith("_")
    and not name.startswith(("scale_by", "inject")) and rated(value)
]
"""
_LISTS = {"torch": _TORCH, "keras": _KERAS, "optax": _OPTAX}
LIMIT_S = 60.0


def main() -> None:
    """Certifies what is asked for and not done yet; prints the counts."""
    args = _arguments()
    file = args.output / "census.jsonl"
    args.output.mkdir(parents=True, exist_ok=True)
    paths = [path for path in _paths() if _wanted(path, args.only)]
    done = {row["path"] for row in _rows(file)}
    left = [path for path in paths if path not in done][: args.most or None]
    with ThreadPoolExecutor(args.jobs) as pool, file.open("a", encoding="utf-8") as kept:
        for row in pool.map(lambda path: certified(path, args.output, args.timeout), left):
            kept.write(json.dumps(row) + "\n")
            kept.flush()
            print(f"{row['seconds']:5.0f} s  {row['verdict']:<16} {row['path']}", file=sys.stderr)
    summarise([row for row in _rows(file) if row["path"] in paths])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("build/census"))
    parser.add_argument("--only", default="", help="packages or classes, separated by commas")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--most", type=int, default=0, help="at most so many classes this time")
    parser.add_argument("--timeout", type=float, default=LIMIT_S, help="seconds for each class")
    return parser.parse_args()


def _paths() -> Iterator[str]:
    for package, framework in PACKAGES.items():
        script = f"{_LISTS[framework]}\nimport json; print(json.dumps(names))"
        command = [sys.executable, "-c", script, package]
        listed = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if listed.returncode:
            print(f"{package}: {listed.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        names = json.loads(listed.stdout.splitlines()[-1])
        yield from (f"{framework}:{package}.{name}" for name in names)


def _wanted(path: str, only: str) -> bool:
    dotted = path.partition(":")[2]
    names = list(filter(None, only.split(",")))
    return not names or any(name in (dotted, dotted.rpartition(".")[0]) for name in names)


def _rows(file: Path) -> list[dict[str, Any]]:
    """A line that a killed census left half written is not there."""
    if not file.exists():
        return []
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def certified(path: str, output: Path, timeout_s: float) -> dict[str, Any]:
    """One class. verdict: passed, failed, refused (bad input), not installed, crash, timeout."""
    command = [sys.executable, "-m", "gradrace", "certify", path, "--json", "--quiet"]
    command += ["--timeout", str(timeout_s), "--output", str(output)]
    began, before = time.monotonic(), os.times()
    try:
        # Starting and ending Python takes a moment more.
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s + 30.0)
    except subprocess.TimeoutExpired:
        done = None
    after = os.times()
    row = {
        "path": path,
        "seconds": round(time.monotonic() - began, 1),
        "cpu_s": round(sum(after[2:4]) - sum(before[2:4]), 1),
    }
    if done is None:
        return {**row, "verdict": "timeout", "reason": f"no end in {timeout_s + 30.0:g} s"}
    if done.returncode in (0, 1):
        return {**row, **_told(json.loads(done.stdout)["certificates"][0])}
    verdict = {2: "refused", 3: "nothing checked"}.get(done.returncode, "crash")
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    verdict = "crash" if "internal error" in last else verdict
    return {**row, "verdict": verdict, "reason": last[:500]}


def _told(certificate: dict[str, Any]) -> dict[str, Any]:
    failed = {f["check"]: f["text"] for f in certificate["findings"] if f["outcome"] == "failed"}
    late = [f["check"] for f in certificate["findings"] if "no time left" in f["text"]]
    died = [check for check, text in failed.items() if "did not survive" in text]
    nearest = [f["text"] for f in certificate["findings"] if f["check"] == "nearest known rule"]
    return {
        "verdict": certificate["result"],
        "counts": certificate["counts"],
        "failed": failed,
        "no time": late,
        "died in": died,
        "nearest": nearest[0] if nearest else "",
        "distribution": certificate["subject"]["distribution"],
    }


def summarise(rows: list[dict[str, Any]]) -> None:
    """Prints counts by package, and the classes without a verdict."""
    verdicts = ("passed", "failed")
    print(f"{'package':<20} {'classes':>7} {'verdict':>8}  of which")
    for package in PACKAGES:
        own = [row for row in rows if _wanted(row["path"], package)]
        if own:
            counts = Counter(row["verdict"] for row in own)
            told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
            print(f"{package:<20} {len(own):>7} {sum(counts[v] for v in verdicts):>8}  {told}")
    with_verdict = [row for row in rows if row["verdict"] in verdicts]
    slow = [row for row in rows if row["seconds"] > LIMIT_S]
    share = len(with_verdict) / len(rows) if rows else 0.0
    print(f"\n{len(with_verdict)} of {len(rows)} classes have a verdict ({share:.1%})")
    print(f"{len(slow)} took longer than {LIMIT_S:g} s")
    late = [row["path"] for row in with_verdict if row["no time"]]
    print(f"{len(late)} with checks that did not fit: {', '.join(late) or 'none'}")
    for row in rows:
        if row["verdict"] not in verdicts:
            print(f"  {row['path']}: {row['verdict']}: {row['reason']}")


if __name__ == "__main__":
    main()

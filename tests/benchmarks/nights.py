"""Nights of a history in which nothing changes: equal sides, six launches a night.

    python tests/benchmarks/nights.py [--nights 30] [--launches 6] FILE

Measures five cells of digits_mlp night after night, each night in new processes, and adds a JSON
line a night to FILE: {"night": 1, "cells": {name: [log ratios, one a launch]}}. histories.py draws
its noise from such a file (nights.jsonl beside it), so that it is that of real pairs. Nothing is
asserted.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

from gates import cell
from gradrace.paired import Side, StopRule
from gradrace.paired.measure import Launch, Launcher
from gradrace.registry import load_registry

CELLS = (
    *(("torch", "adam"), ("torch", "sgd"), ("jax", "adam"), ("jax", "sgd")),
    ("numpy", "adam"),
)


def main() -> None:
    """Measures the nights one after the other."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--launches", type=int, default=6)
    given = parser.parse_args()
    registry = load_registry()
    pairs = [cell(registry, framework, optimizer) for framework, optimizer in CELLS]
    sides = Side("a", sys.executable), Side("b", sys.executable)
    for night in range(1, given.nights + 1):
        began, launcher = time.monotonic(), Launcher(pairs, *sides, blocks=StopRule().pairs)
        ratios: dict[str, list[float]] = {pair.name: [] for pair in pairs}
        for _ in range(given.launches):
            for number, launch in launcher(range(len(pairs))).items():
                if isinstance(launch, Launch):
                    ratios[pairs[number].name].append(round(launch.log_ratio, 6))
        with given.file.open("a") as file:
            file.write(json.dumps({"night": night, "cells": ratios}) + "\n")
        print(f"night {night}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()

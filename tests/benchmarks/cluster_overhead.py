"""The cost of Ray: whole commands on a cluster that stands on this machine, against local ones.

    python tests/benchmarks/cluster_overhead.py [--pairs 6] [--seeds 60] [--steps 1000]
        [--framework numpy] [--json FILE]

Two nodes with half of the cores each, or one with a single core. A side is one command, `gradrace
run` of two optimizers and some seeds with as many workers as cores (-j), into an empty folder, from
its start to its end: with Ray it also connects, looks at the nodes and starts actors. The start of
the cluster does not count. Sides alternate (AB, BA, ...), and both must give the same curves. The
ratio Ray / local is the geometric mean over pairs, with a t interval on the logarithm. "beyond" is
the mean difference in seconds: most of it is paid once a command. Nothing is asserted about
speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

import numpy as np


def arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--framework", default="numpy")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def suite(given: Namespace) -> str:
    return "\n".join(
        [
            'title = "Overhead"',
            'tasks = ["digits_mlp"]',
            f"frameworks = [{given.framework!r}]",
            'optimizers = ["sgd", "adam"]',
            f"seeds = {given.seeds}",
            f"steps = {given.steps}",
            f"eval_every = {max(1, given.steps // 4)}",
            f'dtype = "{"float64" if given.framework == "numpy" else "float32"}"',
            "timing = false",
        ]
    )


def seconds(folder: Path, name: str, options: list[str]) -> float:
    """Of one command into folder/name. SystemExit unless all its runs are ok."""
    command = [sys.executable, "-m", "gradrace", "run", str(folder / "overhead.toml")]
    command += ["--output", str(folder / name), "--no-report", "--population", "off", *options]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return took


def curves(output: Path) -> Any:
    from gradrace.results import frame

    found = frame.load(output).curves
    return found.sort_values(list(found)).reset_index(drop=True)


def measured(given: Namespace, address: str, workers: int) -> np.ndarray:
    """float64[pairs, 2]: seconds of the local command and of that on Ray."""
    times = np.empty((given.pairs, 2))
    there = ["--executor", "ray", "--address", address, "-j", str(workers)]
    sides = [("local", ["-j", str(workers)]), ("ray", there)]
    for pair in range(given.pairs):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "overhead.toml").write_text(suite(given))
            for side in (0, 1) if pair % 2 == 0 else (1, 0):
                times[pair, side] = seconds(folder, *sides[side])
            if not curves(folder / "local").equals(curves(folder / "ray")):
                raise SystemExit("the two sides gave different curves")
        print(f"pair {pair + 1}: local {times[pair, 0]:.1f} s, Ray {times[pair, 1]:.1f} s")
    return times


def told(times: np.ndarray) -> dict[str, Any]:
    from gradrace.statistics.intervals import t_interval

    logs = t_interval(np.log(times[:, 1] / times[:, 0]))
    ratio, low, high = (float(np.exp(each)) for each in logs[:3])
    beyond = float((times[:, 1] - times[:, 0]).mean())
    print(f"Ray / local {ratio:.3f} [{low:.3f}, {high:.3f}], beyond {beyond:.1f} s a command")
    return {"ratio": ratio, "low": low, "high": high, "beyond_s": beyond, "times": times.tolist()}


def main() -> None:
    given = arguments()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cores = len(os.sched_getaffinity(0))
    share = {"num_cpus": max(1, cores // 2), "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**share, "include_dashboard": False})
    try:
        if cores > 1:
            cluster.add_node(**share)
        found = told(measured(given, cluster.address, max(1, cores // 2) * min(2, cores)))
    finally:
        cluster.shutdown()
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

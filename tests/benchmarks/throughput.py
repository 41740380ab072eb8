"""The cost of a sweep, beside one fresh process a configuration, and beside a script by hand.

    python tests/benchmarks/throughput.py [--framework torch] [--configurations 128] [--rounds 3]
        [PART ...]

PART is isolation, script or both (the default).

isolation: configurations of digits_mlp (batch 32, 560 steps, Adam: 8 learning rates, 4 values of
beta1, seeds), evaluated before and after (`--eval-every` sets more), as one cold `gradrace run -j N
--no-report` (`--jobs`, 1 by default, 0: as many as cores allow), against processes that do one of
them each, one after another: import, open, train, evaluate, write the curve. `--processes` of these
are measured, their median is scaled to the number of configurations.
script: 12 runs (SGD, momentum and Adam at 4 learning rates, 64-64-10, batch 64, 200 steps,
evaluation every 20; see twelve.py) as one cold `gradrace run`, without and with a report and with
everything cached, against a script without gradrace (torch and numpy), and against Benchopt 1.10
that trains by the same functions, without and with its page, cold and with everything cached.
Benchopt is taken from `--benchopt PYTHON`, or installed once into an environment below build/.

Rounds take turns; medians are printed, with the CPU seconds of all processes in brackets. `--cores
1` keeps everything on one core. Nothing is asserted."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

import benchopt_files
import twelve
from tiny import toml

ROOT = Path(__file__).parents[2]
RATES = (1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2)
BETAS = (0.8, 0.9, 0.95, 0.99)
TASK = """
from gradrace import TaskSpec
from gradrace.layers import Activation, Dense
TASK = TaskSpec(
    name="small_mlp", title="Small", data="digits", input_shape=(64,),
    model=(Dense(units=64, initializer="he_normal"), Activation(function="relu"), Dense(units=10)),
    batch_size=64, steps=200, eval_every=20, target=0.95, target_origin="-",
)
"""


class Cost(NamedTuple):
    """Seconds on the wall, and of CPU with all children."""

    wall: float
    cpu: float


def measured(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> Cost:
    """Runs it; it must succeed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=cwd, env=env, check=True, capture_output=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def middle(costs: list[Cost]) -> Cost:
    """Medians of both."""
    return Cost(median(cost.wall for cost in costs), median(cost.cpu for cost in costs))


def show(what: str, cost: Cost, note: str = "") -> None:
    print(f"{what:44} {cost.wall:9.2f} s  [{cost.cpu:8.2f} s]  {note}", flush=True)


# One process a configuration


def suite_of(framework: str, configurations: int, eval_every: int) -> dict[str, Any]:
    optimizer = {"name": "adam", "learning_rate": list(RATES), "hyper": {"beta1": list(BETAS)}}
    seeds = max(1, configurations // (len(RATES) * len(BETAS)))
    task = {"tasks": ["digits_mlp"], "steps": 560, "eval_every": eval_every, "timing": False}
    return plain("Isolation", framework) | task | {"optimizers": [optimizer], "seeds": seeds}


def plain(title: str, framework: str) -> dict[str, Any]:
    dtype = "float64" if framework == "numpy" else "float32"
    return {"title": title, "frameworks": [framework], "dtype": dtype}


def one(framework: str, configurations: int, eval_every: int, number: int, out: Path) -> None:
    """A process for one configuration: no persistent worker, no store, no report."""
    from gradrace.plan import initial_weights, make_plan
    from gradrace.registry import import_adapter, load_registry
    from gradrace.suite import expand, make_suite
    from gradrace.worker.train import train

    registry = load_registry()
    suite = make_suite("isolation", suite_of(framework, configurations, eval_every))
    run = expand(suite, registry)[number]
    optimizer = registry.optimizers[run.optimizer.name]
    adapter = import_adapter(registry.frameworks[framework])
    session = adapter.open(run, initial_weights(run.task, run.seed), make_plan(run, optimizer))
    out.write_text(json.dumps(train(session, run.task, schedule=run.schedule).curve.to_lists()))


def isolation(
    framework: str, counts: list[int], processes: int, rounds: int, jobs: int, folder: Path
) -> None:
    """The table of the first comparison."""
    from gradrace.executor.environment import environment
    from gradrace.registry import load_registry
    from gradrace.suite import expand, make_suite

    content = suite_of(framework, *counts)
    runs = expand(make_suite("isolation", content), load_registry())
    (folder / "isolation.toml").write_text(toml(content))
    env = environment(runs[0])
    fresh, swept, options = [], [], ("-j", str(jobs), "--no-report", "-q")
    for turn in range(rounds):
        sweep = gradrace("run", "isolation.toml", "--no-verify", *options, "-o", f"iso{turn}")
        swept.append(measured(sweep, folder))
        for i in range(turn, processes, rounds):
            ask = ["--one", i * len(runs) // processes, "--framework", framework]
            ask += ["--configurations", counts[0], "--eval-every", counts[1], folder / "one.json"]
            command = [sys.executable, __file__, *map(str, ask)]
            fresh.append(measured(command, folder, env))
    each, whole = middle(fresh), middle(swept)
    counted = f"{len(runs)} configurations, {processes} processes, {rounds} sweeps measured"
    print(f"isolation, {framework}: {counted}")
    show("a fresh process for one configuration", each)
    show("one cold command for all", whole, f"{whole.wall / len(runs):.3f} s a configuration")
    wall, cpu = (each[i] * len(runs) / whole[i] for i in (0, 1))
    print(f"{'processes (scaled) / command':44} {wall:9.1f} x  [{cpu:8.1f} x]", flush=True)


# A script by hand


def script(framework: str, rounds: int, benchopt: str, folder: Path) -> None:
    """The table of the second comparison."""
    if framework not in twelve.RUNS:
        print(f"script: no hand-written script for {framework}")
        return
    from gradrace.executor.environment import environment
    from gradrace.registry import load_registry
    from gradrace.suite import expand, make_suite

    (folder / "small.py").write_text(TASK)
    rates = list(twelve.RATES)
    optimizers = [{"name": name, "learning_rate": rates} for name in twelve.NAMES]
    content = plain("Twelve", framework) | {"seeds": 1, "timing": False, "optimizers": optimizers}
    known = make_suite("twelve", content | {"tasks": ["digits_mlp"]})
    env = environment(expand(known, load_registry())[0])
    (folder / "twelve.toml").write_text(toml(content | {"tasks": ["small_mlp"]}))
    other = benchopt_files.environment(benchopt, ROOT / "build")
    ways: dict[str, list[Cost]] = {}

    def timed(
        what: str, command: list[str], env: dict[str, str] | None = None, cwd: Path = folder
    ) -> None:
        ways.setdefault(what, []).append(measured(command, cwd, env))

    def sweep(*options: str) -> list[str]:
        return gradrace("run", "twelve.toml", "--load", "small.py", "--no-verify", "-q", *options)

    for turn in range(rounds):
        timed("a script by hand", [sys.executable, twelve.__file__, framework], env)
        timed("gradrace --no-report", sweep("--no-report", "-o", f"plain{turn}"))
        timed("gradrace", sweep("-o", f"report{turn}"))
        timed("gradrace, all cached", sweep("-o", f"report{turn}"))
        for html in (False, True):
            what = "benchopt with HTML" if html else "benchopt"
            files = folder / f"{what}-{turn}".replace(" ", "-")
            benchopt_files.write(files, framework)
            own, command = benchopt_files.variables(env), benchopt_files.command(other, html)
            timed(what, command, own, files)
            timed(f"{what}, all cached", command, own, files)
    print(f"script, {framework}: 12 runs, {rounds} rounds")
    hand = middle(ways["a script by hand"])
    for what, costs in ways.items():
        cost = middle(costs)
        show(what, cost, f"{cost.wall / hand.wall:.2f} x [{cost.cpu / hand.cpu:.2f} x]")


def gradrace(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gradrace", *arguments]


def main() -> None:
    """Measures and prints."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parts = ["isolation", "script"]
    parser.add_argument("what", nargs="*", default=parts, help="isolation, script, or both")
    parser.add_argument("--framework", default="torch")
    for name, default, said in (
        ("--configurations", 128, "a multiple of 32"),
        ("--eval-every", 560, "isolation: 560 is at the ends only"),
        ("--jobs", 1, "isolation: workers of the one command"),
        ("--processes", 6, "how many fresh processes are measured"),
        ("--rounds", 3, None),
        ("--cores", 0, "how many of the usable cores; all of them by default"),
        ("--one", None, SUPPRESS),
    ):
        parser.add_argument(name, type=int, default=default, help=said)
    parser.add_argument("--benchopt", default="", help="a Python that has Benchopt 1.10")
    given = parser.parse_args()
    if given.one is not None:
        one(given.framework, given.configurations, given.eval_every, given.one, Path(given.what[0]))
        return
    cores = sorted(os.sched_getaffinity(0))
    cores = cores[: given.cores or len(cores)]
    os.sched_setaffinity(0, cores)
    load = f"{len(cores)} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{load}: other work on this machine disturbs these figures")
    for what in given.what:
        with TemporaryDirectory() as folder:
            if what == "isolation":
                counts = [given.configurations, given.eval_every]
                cost = (given.processes, given.rounds, given.jobs)
                isolation(given.framework, counts, *cost, Path(folder))
            elif what == "script":
                script(given.framework, given.rounds, given.benchopt, Path(folder))
            else:
                parser.error(f"{what}: expected isolation or script")


if __name__ == "__main__":
    main()

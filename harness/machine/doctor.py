"""Checks this machine and installation: abilities, problems, and how to mend them."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..process import NoAnswer, ask
from ..registry import Framework, Registry
from ..spec import Device
from ..version import installation
from . import cuda, energy, this_machine, usable_cores

# A look at a GPU must not take its memory.
_SMALL = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
# Above this, step times are not accurate to a few per cent.
NOISY = 0.10


@dataclass(frozen=True)
class Diagnosis:
    """Facts, and problems as (problem, how to mend it).

    gradrace: the version that runs, and its origin: a wheel, a commit, a checkout.
    cards: see `cuda.cards`. sharing: whether frameworks built for CUDA can live side by side here.
    energy: of each device the counter of joules, or why there is none."""

    gradrace: dict[str, str]
    machine: dict[str, Any]
    frameworks: list[dict[str, Any]]
    clock: dict[str, float]
    problems: list[tuple[str, str]]
    cards: list[dict[str, str]]
    sharing: str
    energy: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def diagnose(registry: Registry, output: Path) -> Diagnosis:
    """Loads each installed framework in its own process, and watches the clock for a second."""
    frameworks = [_probe(framework) for framework in registry.frameworks.values()]
    clock = clock_noise()
    problems = [(f["name"] + ": " + f["problem"], f["mend"]) for f in frameworks if f["problem"]]
    cards, overwritten = cuda.cards(), cuda.clashes(cuda.libraries())
    problems += cuda.problems(frameworks, cards, overwritten)
    problems += _machine_problems(clock, output)
    machine = {**this_machine().to_json(), "usable_cores": list(usable_cores()), "load": _load()}
    sharing = cuda.sharing(frameworks, overwritten)
    counters = _counters(bool(cards))
    own = dict(zip(("version", "origin"), installation(), strict=True))
    return Diagnosis(own, machine, frameworks, clock, problems, cards, sharing, counters)


def _counters(gpu: bool) -> dict[str, str]:
    devices: tuple[Device, ...] = ("cpu", "gpu") if gpu else ("cpu",)
    found = {device: energy.find(device) for device in devices}
    return {
        device: counter if isinstance(counter, str) else counter.source
        for device, counter in found.items()
    }


def clock_noise(pieces: int = 200, piece_ns: int = 5_000_000) -> dict[str, float]:
    """How steadily `pieces` equal pieces of work, each about `piece_ns`, are done.

    tick_ns: between two readings of the clock. iqr: interquartile range over median. worst: slowest
    over median. cpu_share: CPU time over wall time."""
    ticks = np.diff([time.perf_counter_ns() for _ in range(1000)])
    rounds = _calibrate(piece_ns)
    taken, cpu, wall = np.empty(pieces), time.process_time_ns(), time.perf_counter_ns()
    for piece in range(pieces):
        start = time.perf_counter_ns()
        _spin(rounds)
        taken[piece] = time.perf_counter_ns() - start
    share = (time.process_time_ns() - cpu) / (time.perf_counter_ns() - wall)
    low, middle, high = np.percentile(taken, [25, 50, 75])
    return {
        "tick_ns": float(np.median(ticks)),
        "iqr": float((high - low) / middle),
        "worst": float(taken.max() / middle),
        "cpu_share": float(share),
    }


def _calibrate(piece_ns: int) -> int:
    _spin(10_000)
    start = time.perf_counter_ns()
    _spin(50_000)
    return max(1, int(50_000 * piece_ns / (time.perf_counter_ns() - start)))


def _spin(rounds: int) -> int:
    total = 0
    for value in range(rounds):
        total += value & 7
    return total


def _probe(framework: Framework) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": framework.name,
        "title": framework.title,
        "modes": list(framework.modes),
        "installed": framework.versions() is not None,
        "versions": {},
        "devices": [],
        "accelerator": {},
        "problem": "",
        "mend": "",
    }
    if not facts["installed"]:
        mend = f"pip install 'gradrace[{framework.name}]'"
        return facts | {"problem": "not installed; its cells will be skipped", "mend": mend}
    command = [sys.executable, "-m", "gradrace.probe", framework.name]
    try:
        return facts | ask(command, {**os.environ, **_SMALL}, timeout_s=160)
    except NoAnswer as error:
        mend = "reinstall it, or mend what the message names; see if it imports by hand"
        return facts | {"problem": f"does not load: {error}", "mend": mend}


def _machine_problems(clock: dict[str, float], output: Path) -> list[tuple[str, str]]:
    problems, cores = [], len(usable_cores())
    if clock["iqr"] > NOISY or clock["cpu_share"] < 0.95:
        noisy = (
            f"the clock is noisy: equal work varies by {clock['iqr']:.0%} (interquartile range),"
            f" {clock['cpu_share']:.0%} of a core is ours"
        )
        mend = "stop other programs, or read step times as upper bounds; training is not affected"
        problems.append((noisy, mend))
    if _load() > cores:
        quiet = "wait until the machine is quiet"
        problems.append((f"load {_load():.1f} on {cores} cores", quiet))
    above = output.resolve()
    while not above.exists():
        above = above.parent
    if not os.access(above, os.W_OK):
        problems.append((f"{output} cannot be written", "choose another folder with --output"))
    return problems


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0

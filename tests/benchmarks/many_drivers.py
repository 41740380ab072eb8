"""Four drivers at once in one results folder, two of which are killed: is every run there once?

    python tests/benchmarks/many_drivers.py [--rounds 10] [--runs 200] [--seed 0]

Each round: four `gradrace run` begin together; two are killed with SIGKILL at random moments; the
others end, or are killed as well in every second round; one more `gradrace run` ends it. Then every
run must be there, none done twice but those that a killed driver had begun, no process left, and
the tables and curves equal, to the last bit, to those of a run that nobody disturbed."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

import drivers

PAUSE = "0.01"


def main() -> None:
    """Prints a line a round, and how many failed."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = drivers.make_suite(Path(place), given.runs)
        drivers.all_end([drivers.start(folder, folder / "calm")])
        failed = 0
        for number in range(given.rounds):
            began = time.perf_counter()
            chance = random.Random(f"{given.seed} {number}")
            try:
                said = _round(folder, folder / f"round{number}", given.runs, chance, number % 2)
            except AssertionError as error:
                failed += 1
                said = f"FAILED: {error}"
            print(f"round {number + 1}: {said}, {time.perf_counter() - began:.0f} s", flush=True)
        print(f"{given.rounds} rounds of {given.runs} runs, {failed} failed")


def _round(folder: Path, output: Path, runs: int, chance: random.Random, all_die: int) -> str:
    started = drivers.together(folder, output, [[]] * 4, PAUSE=PAUSE)
    victims = chance.sample(started, 4 if all_die else 2)
    moments = sorted(chance.randrange(4, 3 * runs // 4) for _ in victims)
    for victim, moment in zip(victims, moments, strict=True):
        drivers.until_begun(output, moment)
        victim.kill()
    killed = [driver for driver in started if drivers.end(driver)[0] == -9]
    before = len(drivers.times_begun(output))
    drivers.all_end(drivers.together(folder, output, [[]]))
    drivers.check_done_once(output, runs, [driver.pid for driver in killed])
    drivers.check_equal(output, folder / "calm")
    assert not drivers.left_over(output), drivers.left_over(output)
    assert not _workers(output), "workers live on"
    again = len(drivers.begun(output)) - runs
    return (
        f"{len(killed)} of 4 killed after {', '.join(map(str, moments))} runs had begun;"
        f" {before} begun before the last run; {again} begun twice; equal"
    )


def _workers(output: Path) -> list[int]:
    mine = str(drivers.runs_file(output))
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RUNS") == mine and process.status() != "zombie":
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


if __name__ == "__main__":
    main()

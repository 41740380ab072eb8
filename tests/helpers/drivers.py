"""Several drivers in one folder of results, as processes: started, killed, counted, compared.

Their suite has short runs of the NumPy reference, each at a learning rate of its own. A plug-in
file keeps a line for every run that is begun, so that nothing can be done twice unseen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from gradrace.record import RunRecord
from gradrace.results import frame
from gradrace.sweep.store import read_records
from tiny import toml
from waiting import wait_for

# In a worker, `RUNS` names the file of lines "<driver's process> <learning rate>". The first run of
# each driver waits until TOGETHER drivers have begun one. PAUSE: seconds of a step.
PLUGIN = textwrap.dedent("""
    import os, time
    from gradrace import Optimizer, ReferenceRule

    # Asked early: a process whose parent is killed gets another one.
    PARENT = os.getppid()

    def lines():
        with open(os.environ["RUNS"]) as file:
            return file.read().splitlines()

    def begin(rate):
        line = f"{PARENT} {rate!r}\\n".encode()
        file = os.open(os.environ["RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line)
        os.close(file)
        end = time.monotonic() + 120
        while len({line.split()[0] for line in lines()}) < int(os.environ.get("TOGETHER", 1)):
            assert time.monotonic() < end, "the others do not come"
            time.sleep(0.01)

    def update(p, g, state, lr, t, hyper):
        if p.shape[0] == 64:
            if t == 1 and "RUNS" in os.environ:
                begin(lr)
            time.sleep(float(os.environ.get("PAUSE", 0)))
        return p - lr * g, state

    COUNTED = Optimizer(
        name="counted", title="Counted", paper="-", learning_rate=0.1, hyper={}, bindings={},
        rule=ReferenceRule(init=lambda p, hyper: {}, update=update))
""")
STEPS = 10
# Columns that follow from a run's specification alone.
SAME = ["suite", "id", "status", "reason", "steps_done", "final_train_loss", "test_loss"]
SAME += ["final_validation_loss", "final_validation_metric", "best_validation_loss"]


def make_suite(folder: Path, runs: int = 48, **changes: Any) -> Path:
    """Writes many.toml and counted.py into the folder."""
    rates = [0.01 * (1 + number) for number in range(runs)]
    content = {
        **{"title": "Many", "tasks": ["digits_mlp"], "frameworks": ["numpy"], "seeds": 1},
        **{"optimizers": [{"name": "counted", "learning_rate": rates}], "dtype": "float64"},
        **{"steps": STEPS, "eval_every": STEPS // 2, "timing": False, **changes},
    }
    (folder / "many.toml").write_text(toml(content))
    (folder / "counted.py").write_text(PLUGIN)
    return folder


def command(folder: Path, output: Path, *options: str) -> list[str]:
    """`gradrace run` of the suite in the folder, one worker a driver."""
    usual = ["--load", str(folder / "counted.py"), "-o", str(output), "-q", "-j", "1"]
    suite = str(folder / "many.toml")
    return [sys.executable, "-m", "gradrace", "run", suite, *usual, "--no-report", *options]


def start(
    folder: Path,
    output: Path,
    *options: str,
    env: Mapping[str, str] | None = None,
    before: Any = None,
) -> subprocess.Popen[str]:
    """A driver, which heeds Ctrl-C also if this process was started in the background.

    before: called in the new process."""

    def ready() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if before:
            before()

    return subprocess.Popen(
        command(folder, output, *options),
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=ready,
    )


def together(
    folder: Path, output: Path, options: Sequence[Sequence[str]], **env: str
) -> list[subprocess.Popen[str]]:
    """A driver for each list of options. Each has begun a run before any goes on."""
    env = {"RUNS": str(runs_file(output)), "TOGETHER": str(len(options)), **env}
    return [start(folder, output, *each, env=env) for each in options]


def end(driver: subprocess.Popen[str]) -> tuple[int, str]:
    """Waits for its end: exit code and standard error."""
    _, said = driver.communicate(timeout=300)
    return driver.returncode, said


def all_end(started: Sequence[subprocess.Popen[str]]) -> None:
    """Waits for them. They must end well."""
    ends = [end(driver) for driver in started]
    assert [code for code, _ in ends] == [0] * len(ends), ends


def runs_file(output: Path) -> Path:
    """Where the lines of all runs of this folder are kept."""
    return output.with_name(f"{output.name}-runs.txt")


def begun(output: Path) -> list[tuple[int, float]]:
    """Of every run that was begun, in order: the driver's process and the learning rate."""
    file = runs_file(output)
    lines = file.read_text().splitlines() if file.exists() else []
    return [(int(pid), float(rate)) for pid, rate in map(str.split, lines)]


def times_begun(output: Path) -> Counter[float]:
    """Learning rate -> how often its run was begun."""
    return Counter(rate for _, rate in begun(output))


def until_begun(output: Path, runs: int, by: int = 1) -> None:
    """Waits until so many runs were begun, by so many drivers."""
    wait_for(
        lambda: len(found := begun(output)) >= runs and len({driver for driver, _ in found}) >= by,
        seconds=180,
    )


def until_written(output: Path, by: int) -> None:
    """Waits until the results of so many drivers are there."""
    wait_for(lambda: len({record.driver for record in _records(output)}) >= by, seconds=180)


def _records(output: Path) -> list[RunRecord]:
    return read_records(output, "many") if (output / "runs/many/plan.json").exists() else []


def check_done_once(output: Path, runs: int, killed: Collection[int] = ()) -> None:
    """Every run was begun, and again only if a driver died that had begun it. killed: processes."""
    of: dict[float, list[int]] = {}
    for driver, rate in begun(output):
        of.setdefault(rate, []).append(driver)
    assert len(of) == runs
    again = {rate: by for rate, by in of.items() if not {*by[:-1]} <= {*killed}}
    assert not again, f"done twice, and nobody died: {again}"
    assert all(len(set(by)) == len(by) for by in of.values()), "twice by the same driver"


def table(output: Path) -> pd.DataFrame:
    """What does not depend on who did a run, nor when."""
    return frame.load(output).runs.set_index("digest")[SAME].sort_index()


def curves(output: Path) -> pd.DataFrame:
    """All points of all curves."""
    order = ["digest", "series", "step"]
    return frame.load(output).curves.sort_values(order, ignore_index=True)


def check_equal(output: Path, calm: Path) -> None:
    """The same runs with the same numbers, to the last bit."""
    pd.testing.assert_frame_equal(table(output), table(calm), check_exact=True)
    pd.testing.assert_frame_equal(curves(output), curves(calm), check_exact=True)


def left_over(output: Path) -> list[str]:
    """Files of drivers and claims that are still there."""
    suite = output / "runs" / "many"
    found = [*suite.glob("drivers/*"), *suite.glob("claims/*"), *suite.glob(".log-*")]
    return sorted(str(file.relative_to(suite)) for file in found)

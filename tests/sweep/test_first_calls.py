"""First calls do not depend on the order of the cells: exactly for declared times, and in torch."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from fake_clock import MS, FakeClock, FakeSession
from first_calls import SUITE
from gradrace.registry import load_registry
from gradrace.spec import RunSpec, TimingSpec
from gradrace.suite import expand, make_suite, with_classes
from gradrace.worker import start
from gradrace.worker.clock import CellTimes, time_cells
from hypothesis import given
from hypothesis import strategies as st
from paths import HELPERS

COMPILE_MS = {"sgd": 10, "momentum": 20, "adam": 40}


def planned(tasks: list[str], optimizers: list[str], **timing: Any) -> list[RunSpec]:
    content = {**SUITE, "tasks": tasks, "optimizers": optimizers}
    suite = make_suite("first", {**content, "timing": {**SUITE["timing"], **timing}})
    return list(expand(suite, with_classes(suite, load_registry())))


class Process:
    """An adapter whose first operation takes 10 s, and the first of every task and shape 1 s."""

    def __init__(self, refused: str = "") -> None:
        self.clock, self.used, self.refused = FakeClock(), set[Any](), refused
        self.trained = list[str]()

    def use(self, what: Any, seconds: int) -> None:
        if what not in self.used:
            self.used.add(what)
            self.clock.wall += seconds * 1000 * MS

    def open(self, run: RunSpec, weights: Any, inputs: Any) -> FakeSession:
        if run.optimizer.name == self.refused:
            raise ValueError("not here")
        process = self

        class Session(FakeSession):
            def train(self, steps: range) -> None:
                process.trained.append(run.task.name)
                process.use("process", 10)
                process.use(run.task, 1)
                super().train(steps)

            def gradients(self, step: int) -> dict[str, Any]:
                process.use("process", 10)
                process.use(run.task, 1)
                return {}

            def close(self) -> None:
                pass

        compile_ns = COMPILE_MS[run.optimizer.name] * MS
        return Session(self.clock, 0, compile_ns, name=run.optimizer.name)


def first_calls(process: Process, runs: list[RunSpec]) -> dict[tuple[str, str], float]:
    timing = TimingSpec(warmup_steps=0, blocks=1, block_steps=1)
    sessions = [process.open(run, None, None) for run in runs]
    timed = time_cells(sessions, timing, clock=process.clock)
    assert all(isinstance(cell, CellTimes) for cell in timed)
    keys = [(run.task.name, run.optimizer.name) for run in runs]
    return {key: cell.first_call_s for key, cell in zip(keys, timed, strict=True)}


RUNS = planned(["digits_mlp", "digits_lstm"], list(COMPILE_MS))
OWN = {
    (task, optimizer): pytest.approx(COMPILE_MS[optimizer] * 1e-3)
    for task in ("digits_mlp", "digits_lstm")
    for optimizer in COMPILE_MS
}


@pytest.mark.parametrize("refused", ["", "sgd"])
def test_no_order_of_the_cells_changes_a_first_call(refused):
    """Also if the first cell of a task cannot be opened: another one's gradient does as well."""
    for order in itertools.islice(itertools.permutations(RUNS), 0, None, 23):
        process = Process(refused)
        start.start(process, order[0], "eager", lambda run: None)
        start.first_uses(process, order, "eager", lambda run: None)
        assert process.trained == ([] if refused else ["start"]), "no cell's program was used"
        process.refused = ""
        assert first_calls(process, list(order)) == OWN
    assert first_calls(Process(), RUNS) != OWN, "without, the first cells pay"


def test_the_start_is_the_first_set_up_and_step():
    process = Process()
    assert start.start(process, RUNS[0], "eager", lambda run: None) is not None
    assert "process" in process.used
    assert start.start(Process("sgd"), RUNS[0], "eager", lambda run: None) is None


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 20))
def test_each_cell_is_at_each_place_of_its_task_equally_often(cells, tasks, first):
    names = ["digits_mlp", "digits_cnn", "digits_lstm"][:tasks]
    optimizers = ["sgd", "momentum", "rmsprop", "adam"][:cells]
    runs = [run.model_copy() for run in ALL if run.task.name in names]
    runs = [run for run in runs if run.optimizer.name in optimizers]
    places, firsts = Counter[Any](), Counter[str]()
    for launch in range(first, first + cells * tasks):
        moved = [run.model_copy(update={"launch": launch}) for run in runs]
        order = start.turned(moved)
        assert sorted(order) == list(range(len(runs)))
        firsts[runs[order[0]].task.name] += 1
        for name in names:
            of = [i for i in order if runs[i].task.name == name]
            places.update((name, runs[i].optimizer.name, at) for at, i in enumerate(of))
    assert set(places.values()) == {tasks} and len(places) == tasks * cells * cells
    assert set(firsts.values()) == {cells}


ALL = planned(["digits_mlp", "digits_cnn", "digits_lstm"], ["sgd", "momentum", "rmsprop", "adam"])


@pytest.mark.slow
def test_a_first_call_of_torch_is_the_same_first_and_last():
    """Without `worker.start` the first one took 15 to 30 times the second's time."""
    script = HELPERS / "first_calls.py"

    def measured(*optimizers: str) -> dict[str, float]:
        command = [sys.executable, str(script), *optimizers]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    one, other = measured("sgd", "momentum"), measured("momentum", "sgd")
    for name in one:
        assert max(one[name], other[name]) < 6 * min(one[name], other[name])

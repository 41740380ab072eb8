"""Paired launches and whole comparisons with real processes, run by the NumPy reference: what is
found, and what goes wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import gradrace
import numpy as np
import psutil
import pytest
from gradrace.adapter import Unsupported
from gradrace.commands.compare import exit_code
from gradrace.commands.printing import print_result
from gradrace.errors import UserError
from gradrace.paired import Pair, PairedResult, Side, choose
from gradrace.paired.measure import Launch, Launcher, _Taken, lengths, portable, table_steps
from gradrace.paired.processes import Failure
from gradrace.paired.worker import SLOWDOWN_BLOCKS, TRY_STEPS, TimedSession, _refusal
from gradrace.registry import load_registry
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec, TimingSpec
from hypothesis import given
from hypothesis import strategies as st
from paired_results import Scripted, comparison, verdict
from processes import until_gone
from repositories import SLOWED, TIMED, commit, git
from tiny import toml

FAULTY = """
import os, signal
from gradrace import Optimizer, ReferenceRule

def raising(p, g, state, lr, t, hyper):
    if t == 8: raise ValueError("cannot go on")
    return p - lr * g, state
def dying(p, g, state, lr, t, hyper):
    if t == 8: os.kill(os.getpid(), signal.SIGKILL)
    return p - lr * g, state
def frozen(p, g, state, lr, t, hyper):
    return p, state

def make(name, update):
    rule = update and ReferenceRule(init=lambda p, hyper: {}, update=update)
    own = dict(name=name, title=name, paper="-", learning_rate=0.1, hyper={}, bindings={})
    return Optimizer(**own, rule=rule)
a, b, c = make("raising", raising), make("dying", dying), make("frozen", frozen)
d = make("without_rule", None)
"""


# The parts of this framework take declared milliseconds of CPU time a block, and compile when first
# taken.
PARTED = """
import time
from gradrace.adapters.numpy import NumpyAdapter, NumpySession

FRAMEWORK = "parted"
TITLE = "Parted"
REQUIRES = ("numpy",)
MODES = ("m",)
CONVERGENCE_MODE = "m"
COST = {"forward": 1, "gradient": 3, "update": 2}

class Session(NumpySession):
    compiled = 0
    def compilations(self):
        return self.compiled
    def parts(self):
        return tuple(COST)
    def probe(self, part, steps):
        self.compiled += 1
        end = time.thread_time() + COST[part] * 1e-3
        while time.thread_time() < end:
            pass

class Adapter(NumpyAdapter):
    def open(self, run, start, plan):
        return Session(run, start, plan)

ADAPTER = Adapter()
"""


@pytest.fixture
def timed(make_run):
    """A timing run of the NumPy reference."""

    def make(**changes: Any) -> RunSpec:
        return make_run(**{"measure": "timing", "timing": TimingSpec(warmup_steps=5), **changes})

    return make


@pytest.fixture
def side():
    return lambda label, *plugins: Side(label, sys.executable, None, plugins)


# -- figures of a launch


def test_figures_of_declared_blocks_come_out_exactly():
    taken = _Taken(parts=[("forward", "gradient", "update"), ("forward",)])
    for wall_a, wall_b, cpu_b in ((100, 110, 105), (200, 260, 210), (300, 360, 900)):
        taken.add("step", 0, {"wall_ns": wall_a, "cpu_ns": wall_a, "switches": 0})
        taken.add("step", 1, {"wall_ns": wall_b, "cpu_ns": cpu_b, "switches": 0})
    for part, side, wall in zip(
        ("forward", "gradient", "update", "forward"), (0, 0, 0, 1), (20, 70, 15, 30), strict=True
    ):
        taken.add(part, side, {"wall_ns": wall, "cpu_ns": wall, "switches": 0})
    launch = taken.launch(block_steps=10)
    # Pairs of 1.1, 1.3 and 1.2: medians of every second. Steps are medians.
    begun_by_a, begun_by_b = np.log(1.1 * 1.2) / 2, np.log(1.3)
    assert launch.log_ratio == pytest.approx((begun_by_a + begun_by_b) / 2)
    assert launch.cpu_log_ratio == pytest.approx((np.log(1.05 * 3.0) / 2 + np.log(1.05)) / 2)
    assert (launch.a_value, launch.b_value) == pytest.approx((200e-10, 260e-10))
    assert launch.a_parts_s == pytest.approx(
        {"forward": 2e-9, "backward": 5e-9, "optimizer": 1.5e-9, "remainder": 6.5e-9}
    )
    assert launch.b_parts_s == pytest.approx({"forward": 3e-9})
    assert not launch.contended


@pytest.mark.parametrize(
    ("cpu", "switches", "contended"), [(100, 5, False), (60, 5, True), (60, 0, False)]
)
def test_a_launch_is_contended_when_one_side_was_pushed_off_its_core(cpu, switches, contended):
    taken = _Taken()
    for side, used, pushed in ((0, 100, 0), (1, cpu, switches)):
        taken.add("step", side, {"wall_ns": 100, "cpu_ns": used, "switches": pushed})
    assert taken.launch(1).contended == contended


def test_blocks_are_taken_in_abba_order_with_the_cells_in_rotation(timed, side):
    pairs = [Pair(str(n), timed(), timed()) for n in range(3)]
    launcher = Launcher(pairs, side("a"), side("b"), blocks=4)
    processes = Scripted({0: (10**8, 2 * 10**8), 2: (10**7, 10**7)})
    outcomes: dict[int, Any] = {}
    launcher._measure(processes, [0, 2], outcomes)  # type: ignore[arg-type]
    expected = [(0, 0), (0, 1), (2, 0), (2, 1), (2, 1), (2, 0), (0, 1), (0, 0)] * 2
    assert [(cell, one) for do, cell, one in processes.asked if do == "block"] == expected
    lengths_found = ["try", "try", "warm", "warm"] * 2
    kinds = ["open"] * 4 + lengths_found + ["block"] * 16 + ["check"] * 4
    assert [do for do, _, _ in processes.asked] == kinds
    assert outcomes[0].log_ratio == pytest.approx(np.log(2)) and outcomes[2].log_ratio == 0
    # A step of cell 0 takes longer than a block may; cell 2 has two steps a block.
    assert (outcomes[0].a_value, outcomes[0].b_value) == pytest.approx((0.1, 0.2))
    assert outcomes[2].a_value == pytest.approx(0.005)
    launcher._measure(processes, [0], outcomes)  # type: ignore[arg-type]
    assert [do for do, _, _ in processes.asked].count("try") == 4, "lengths are found once"


def test_the_sides_change_places_from_launch_to_launch(timed, side, monkeypatch):
    begun: list[int] = []
    scripted = Scripted({0: (10**8, 2 * 10**8)})
    scripted.about = [{"versions": {}}] * 2

    def processes(pair: Pair, sides: tuple[Side, Side], first: int) -> Any:
        begun.append(first)
        return nullcontext(scripted)

    monkeypatch.setattr("gradrace.paired.measure.Processes", processes)
    launcher = Launcher([Pair("x", timed(), timed())], side("a"), side("b"), blocks=4)
    for first in (0, 1, 0):
        scripted.asked.clear()
        assert launcher([0])[0].log_ratio == pytest.approx(np.log(2)), "b over a, whoever begins"
        assert begun[-1] == first
        assert [one for do, _, one in scripted.asked if do == "open"] == [first, 1 - first]
        blocks = [one for do, _, one in scripted.asked if do == "block"]
        assert blocks == [first, 1 - first, 1 - first, first] * 2


def test_what_only_a_try_shows_to_be_impossible_is_skipped():
    assert _refusal(Unsupported("no graph")) == {"event": "skipped", "reason": "no graph"}
    assert _refusal(ValueError("no graph"))["event"] == "failed"


def test_pairs_that_are_alone_have_processes_of_their_own(timed, side, monkeypatch):
    started: list[str] = []
    scripted = Scripted({number: (10**8, 10**8) for number in range(4)})
    scripted.about = [{"versions": {}}] * 2

    def processes(pair: Pair, sides: tuple[Side, Side], first: int) -> Any:
        started.append(pair.name)
        return nullcontext(scripted)

    monkeypatch.setattr("gradrace.paired.measure.Processes", processes)
    pairs = [Pair(name, timed(), timed(), alone=name in "bd") for name in "abcd"]
    launcher = Launcher(pairs, side("a"), side("b"), blocks=4)
    assert sorted(launcher(range(4))) == [0, 1, 2, 3] and sorted(started) == ["a", "b", "d"]


# -- how a launch is cut


@pytest.mark.parametrize(
    ("step_s", "batch_size", "block_steps", "warmup"),
    [
        (1e-3, 32, 20, 100),
        (0.3e-3, 32, 67, 100),
        (0.5, 32, 1, 20),
        (30.0, 32, 1, 1),
        (1e-6, 32, 583, 100),
        (1e-6, 1024, 55, 100),
    ],
)
def test_block_lengths_by_hand(timed, step_s, batch_size, block_steps, warmup):
    """20 ms, within a table of 20 000 steps or 2^21 entries."""
    run = timed(timing=TimingSpec())
    run = run.model_copy(update={"task": run.task.model_copy(update={"batch_size": batch_size})})
    assert lengths(Pair("x", run, run), 24, step_s) == (block_steps, warmup)


@given(
    step_s=st.floats(1e-7, 100),
    batch_size=st.integers(1, 5000),
    blocks=st.integers(4, 200),
    warmup=st.integers(0, 2000),
)
def test_a_launch_never_outruns_its_table(step_s, batch_size, blocks, warmup):
    task = load_registry().tasks["digits_mlp"].model_copy(update={"batch_size": batch_size})
    run = RunSpec(
        measure="timing",
        timing=TimingSpec(warmup_steps=warmup),
        task=task,
        optimizer=OptimizerSpec(name="sgd"),
        schedule=ScheduleSpec(kind="constant", base_lr=0.1),
        framework="numpy",
        mode="reference",
    )
    pair = Pair("x", run, run)
    block_steps, warm = lengths(pair, blocks, step_s)
    warmed = -(-warm // block_steps) * block_steps
    taken = TRY_STEPS + warmed + (SLOWDOWN_BLOCKS + blocks) * block_steps
    assert taken <= table_steps(pair, blocks)


def test_every_run_reaches_an_older_gradrace_as_it_is(registry, timed):
    """Defaults are left out: what is new among them does not matter. The kinds of layers stay."""
    for task in registry.tasks.values():
        run = timed(dtype="float32").model_copy(update={"task": task})
        spec = portable(run, 500)
        assert not {"input", "device", "dtype", "variations"} & set(spec)
        read = RunSpec.model_validate(json.loads(json.dumps(spec)))
        assert 500 <= read.steps <= 510 and read.model_copy(update={"timing": run.timing}) == run


# -- the worker's cells, without a process


class Sleeping:
    """Its steps take a declared amount of CPU time; weights change unless it is frozen."""

    def __init__(self, step_s=1e-3, frozen=False, compiles_at=10**9) -> None:
        self._step_s, self._frozen, self._compiles_at = step_s, frozen, compiles_at
        self.trained: list[range] = []

    def train(self, steps: range) -> None:
        self.trained.append(steps)
        end = time.thread_time() + self._step_s * len(steps)
        while time.thread_time() < end:
            pass

    def sync(self) -> None:
        pass

    def losses(self) -> np.ndarray:
        return np.zeros(1)

    def weights(self) -> dict[str, np.ndarray]:
        return {"w": np.array([0.0 if self._frozen else len(self.trained)])}

    def compilations(self) -> int:
        return int(self.trained[-1].stop > self._compiles_at)


def test_a_slowdown_is_a_share_of_the_cells_own_step():
    session = Sleeping()
    cell = TimedSession(session, one_thread=True)
    plain = cell.warm(10, 20, 0.0)["delay_ns"]
    delay = cell.warm(10, 20, 2.0)["delay_ns"]
    assert plain == 0 and delay > 1.9 * 10e6, "twice ten steps of a millisecond of CPU time"
    block = cell.block("step")
    assert block["wall_ns"] > delay + 0.95 * 10e6 and block["cpu_ns"] > 1.9 / 2 * delay
    each_once = list(range(0, 10 * len(session.trained), 10))
    assert [steps.start for steps in session.trained] == each_once


@pytest.mark.parametrize(
    ("session", "reason"),
    [
        (Sleeping(frozen=True), "nothing was trained"),
        (Sleeping(compiles_at=21), "1 programs were compiled during"),
    ],
)
def test_cells_that_train_nothing_or_compile_late_are_refused(session, reason):
    cell = TimedSession(session, one_thread=True)
    cell.warm(10, 20, 0.0)
    cell.block("step")
    with pytest.raises(RuntimeError, match=reason):
        cell.check()


# -- launches with processes


@pytest.fixture
def of_file(tmp_path, side):
    """Launches pairs, both sides with a plug-in of this text; also the Launcher."""

    def launch(pairs: list[Pair], name: str, text: str, **options: Any) -> tuple[Any, Launcher]:
        (tmp_path / name).write_text(text)
        sides = [side(label, tmp_path / name) for label in ("one", "two")]
        launcher = Launcher(pairs, *sides, blocks=4, **options)
        return launcher(range(len(pairs))), launcher

    return launch


def test_one_cell_that_fails_or_dies_costs_no_other(timed, of_file):
    names = ["sgd", "raising", "dying", "frozen", "without_rule", "nowhere", "adam"]
    runs = [timed().model_copy(update={"optimizer": OptimizerSpec(name=name)}) for name in names]
    pairs = [Pair(name, run, run) for name, run in zip(names, runs, strict=True)]
    outcomes, launcher = of_file(pairs, "faulty.py", FAULTY, breakdown=True)
    found = {pairs[index].name: outcome for index, outcome in outcomes.items()}
    whole = {name for name, outcome in found.items() if isinstance(outcome, Launch)}
    assert whole == {"sgd", "adam"}
    assert found["raising"] == Failure("one: ValueError: cannot go on (faulty.py, line 6)")
    assert found["dying"] == Failure("one: the process died: SIGKILL")
    assert "nothing was trained (worker.py, line" in found["frozen"].reason
    assert found["without_rule"] == Failure("one: without_rule has no reference rule", skipped=True)
    assert found["nowhere"] == Failure("one: there is no optimizer 'nowhere' here", skipped=True)
    assert launcher.versions[0]["numpy"] == np.__version__
    assert all(abs(found[name].log_ratio) < 1 for name in ("sgd", "adam"))
    assert not workers_of(os.getpid())


def test_parts_of_a_step_are_taken_in_the_same_launch(timed, of_file):
    run = timed(framework="parted", mode="m")
    outcomes, launcher = of_file([Pair("x", run, run)], "parted.py", PARTED, breakdown=True)
    launch = outcomes[0]
    assert isinstance(launch, Launch), launch
    block_steps = launcher._lengths[0].block_steps
    for parts in (launch.a_parts_s, launch.b_parts_s):
        assert set(parts) == {"forward", "backward", "optimizer", "remainder"}
        assert parts["forward"] >= 1e-3 / block_steps and parts["optimizer"] >= 2e-3 / block_steps
        assert parts["forward"] + parts["backward"] >= 3e-3 / block_steps * (1 - 1e-9)


def test_an_optimizer_that_only_the_second_side_lacks_has_failed(tmp_path, timed, side):
    (tmp_path / "faulty.py").write_text(FAULTY)
    run = timed().model_copy(update={"optimizer": OptimizerSpec(name="raising")})
    lost, gained = side("with", tmp_path / "faulty.py"), side("without")
    for pair, sides, skipped in (
        (Pair("lost", run, run), (lost, gained), False),
        (Pair("gained", run, run), (gained, lost), True),
    ):
        outcome = Launcher([pair], *sides, blocks=4)([0])[0]
        assert outcome == Failure("without: there is no optimizer 'raising' here", skipped)


ABSENT = """
FRAMEWORK = "absent"
TITLE = "Absent"
REQUIRES = ("no-such-distribution",)
MODES = ("m",)
CONVERGENCE_MODE = "m"
"""


def test_a_mode_that_may_have_to_be_alone_makes_pairs_alone(registry, suite_of):
    torch = {"framework": "torch", "mode": "compile"}
    pairs = choose.against_each_other(registry, suite_of(), {}, torch)
    assert pairs and all(pair.alone for pair in pairs)
    others = choose.against_each_other(registry, suite_of(), {}, {"rule": "native"})
    assert others and not any(pair.alone for pair in others)


def test_a_framework_that_is_not_installed_is_skipped(timed, of_file):
    run = timed().model_copy(update={"framework": "absent", "mode": "m"})
    outcome = of_file([Pair("x", run, run)], "absent.py", ABSENT)[0][0]
    assert isinstance(outcome, Failure)
    assert outcome.skipped
    assert "absent is not installed for" in outcome.reason


def test_a_side_that_imports_another_gradrace_is_not_measured(tmp_path, timed, side, monkeypatch):
    package, without = Path(gradrace.__file__).parent, shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, tmp_path / "gradrace", ignore=without)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    another = "its gradrace should come from .*, and comes from"
    with pytest.raises(UserError, match=another) as caught:
        Launcher([Pair("x", timed(), timed())], side("a"), side("b"), 4)([0])
    assert caught.value.exit_code == 3


def test_more_threads_than_cores(timed, side):
    run = timed(threads=512)
    with pytest.raises(UserError, match=r"512 threads on \d+ usable cores"):
        Launcher([Pair("x", run, run)], side("a"), side("b"), 4)


# -- which cells


@pytest.fixture
def suite_of(tmp_path):
    """The cells of TIMED with these changes."""

    def of(keyword: str = "", **changes: Any) -> choose.SuiteFilter:
        (tmp_path / "tiny.toml").write_text(toml({**TIMED, **changes}))
        return choose.SuiteFilter(str(tmp_path / "tiny.toml"), keyword)

    return of


def chosen(text: str) -> dict[str, str]:
    return dict(item.split("=") for item in text.split())


@pytest.mark.parametrize(
    ("a", "b", "keyword", "name"),
    [
        ("optimizer=sgd", "optimizer=adam", "", "digits_mlp/numpy-reference/SGD|adam-canonical"),
        ("", "batch_size=64", "adam", "digits_mlp/numpy-reference/ADAM/batch32|batch64"),
        ("", "optimizer=adam", "", "digits_mlp/numpy-reference/SGD|adam-canonical"),
        ("task=wine_mlp", "task=wine_mlp", "!sgd", "wine_mlp/numpy-reference/ADAM/batch16"),
        ("framework=torch", "framework=jax", "sgd", "digits_mlp/torch-eager|jax-jit/SGD"),
        ("framework=jax mode=scan", "framework=jax", "sgd", "digits_mlp/jax-scan|jax-jit/SGD"),
        ("mode=reference", "rule=native", "sgd", "digits_mlp/numpy-reference/SGD|sgd-native"),
    ],
)
def test_cells_against_each_other(registry, suite_of, a, b, keyword, name):
    (pair,) = choose.against_each_other(registry, suite_of(keyword), chosen(a), chosen(b))
    short = pair.name.removesuffix("/float64").replace("/batch32/", "/").removesuffix("/batch32")
    assert short == name.replace("SGD", "sgd-canonical").replace("ADAM", "adam-canonical")


def test_a_chosen_value_leaves_no_name_of_the_old_one(registry, suite_of):
    """A suite names its cells by its sweep; a value chosen instead leaves no such name."""
    momenta = [{"name": "momentum", "hyper": {"momentum": [0.5, 0.9]}}]
    swept = suite_of(threads=[1, 2], optimizers=momenta)
    pairs = choose.against_each_other(registry, swept, {}, {"optimizer": "sgd", "threads": "1"})
    assert len(pairs) == 4 and len({pair.name for pair in pairs}) == 4
    assert {str(pair.b.variations) for pair in pairs} == {"{}"}
    asked = {(threads, momentum) for threads in (1, 2) for momentum in (0.5, 0.9)}
    assert {(pair.a.threads, pair.a.optimizer.hyper["momentum"]) for pair in pairs} == asked


def test_a_suite_is_compared_by_the_rule_that_its_timing_part_names(registry, suite_of):
    """A pair of processes for each rule that it trains would double the cost of a comparison."""
    both = suite_of(convergence={"rule": "canonical"}, timing={"rule": "native"})
    pairs = choose.same_cells(registry, both)
    assert {pair.a.optimizer.rule for pair in pairs} == {"native"}


def test_every_key_is_set(registry, suite_of):
    values = chosen(
        "task=wine_mlp batch_size=7 framework=jax mode=scan optimizer=lion rule=native"
        " dtype=bfloat16 device=gpu threads=2 input=pipeline"
    )
    assert set(values) == set(choose._SETTERS)
    pair = choose.against_each_other(registry, suite_of("sgd"), {}, values)[0]
    run = pair.b.to_json()
    told = run | {
        "task": run["task"]["name"],
        "batch_size": run["task"]["batch_size"],
        "optimizer": run["optimizer"]["name"],
        "rule": run["optimizer"]["rule"],
    }
    assert {key: str(told[key]) for key in values} == values
    assert pair.b.optimizer.hyper == {}
    assert pair.b.schedule.base_lr == registry.optimizers["lion"].learning_rate


@pytest.mark.parametrize(
    ("a", "keyword", "code", "message"),
    [
        (["framework=troch"], "", 5, "did you mean 'torch'"),
        (["mode=compiled"], "", 5, "no mode 'compiled'"),
        (["dtype=int8"], "", 5, "no dtype 'int8'"),
        (["batch_size=0"], "", 2, "whole number from 1"),
        (["frame=torch"], "", 2, "did you mean 'framework'"),
        (["framework"], "", 2, "expected KEY=VALUE"),
        (["rule=native", "rule=canonical"], "", 2, "chosen twice"),
        (["rule=native"], "lstm", 5, "no cell of .* matches 'lstm'; there are\n  digits_mlp"),
    ],
)
def test_choices_that_cannot_be_made(registry, suite_of, a, keyword, code, message):
    with pytest.raises(UserError, match=message) as caught:
        choose.against_each_other(registry, suite_of(keyword), choose.parse_choice("--a", a), {})
    assert caught.value.exit_code == code


def test_two_files_with_an_optimizer_each(tmp_path, registry, suite_of):
    mine, other, faulty = (tmp_path / f"{name}.py" for name in ("mine", "other", "faulty"))
    mine.write_text(SLOWED.format(seconds=0))
    other.write_text(mine.read_text().replace('"mine"', '"other"'))
    faulty.write_text(FAULTY)
    (pair,) = choose.of_two_files(registry, suite_of(), mine, other)
    assert (pair.a.optimizer.name, pair.b.optimizer.name) == ("mine", "other")
    several = "mine.py has mine and .*faulty.py has raising, dying"
    with pytest.raises(UserError, match=several) as caught:
        choose.of_two_files(registry, suite_of(), mine, faulty)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("timed", [{}, {"optimizers": ["sgd"]}], ids=["timed as trained", "named"])
def test_a_users_own_optimizer_stands_in_place_of_the_suites(tmp_path, suite_of, timed):
    """Also in the place of those that the timing part names."""
    (tmp_path / "mine.py").write_text(SLOWED.format(seconds=0))
    part = suite_of(optimizers=["sgd", "adam"], timing={**TIMED["timing"], **timed})
    pairs = choose.same_cells(load_registry([tmp_path / "mine.py"]), part)
    assert [(pair.a.optimizer.name, pair.a == pair.b) for pair in pairs] == [("mine", True)]


# -- exit codes


@pytest.mark.parametrize(
    ("decisions", "versions", "strict", "code"),
    [
        ("ok improvement", True, True, 0),
        ("ok regression failed inconclusive", True, True, 4),
        ("ok regression", False, False, 0),
        ("ok failed regression inconclusive", False, True, 1),
        ("ok inconclusive", True, False, 0),
        ("ok inconclusive", True, True, 6),
        ("ok suspected", True, False, 0),
        ("ok suspected", True, True, 6),
        ("ok skipped", True, True, 0),
        ("failed skipped", True, False, 3),
    ],
)
def test_exit_codes(decisions, versions, strict, code):
    result = comparison(*(verdict(str(n), d) for n, d in enumerate(decisions.split())))
    assert exit_code(result, versions, strict) == code
    assert PairedResult.model_validate(result.to_json()) == result


MEASURED = {"ratio": 1.08, "low": 1.06, "high": 1.1, "detectable": 0.07}
PARTS = {"a_parts_s": {"forward": 2e-4, "optimizer": 1e-4}, "b_parts_s": {"forward": 3e-4}}
STEPS = {"a_value": 1e-3, "b_value": 1.08e-3, "launches": 6, **PARTS}
FOUND_TWICE = {"decision": "regression", "confirmed": True, "contended": True}


@pytest.mark.parametrize(
    ("versions", "word"), [(True, "regression (found twice)"), (False, "slower (found twice)")]
)
def test_the_printed_result_names_sides_cells_and_cautions(capsys, versions, word):
    slower = verdict("digits", **FOUND_TWICE, **MEASURED, **STEPS)
    failed = verdict("other", "failed", reason="b: it broke")
    absent = [verdict(f"tf{n}", "skipped", reason="no tensorflow") for n in range(3)]
    about = {"commit": "0123", "versions": {"numpy": "2.0"}}
    a, b = (about | {"label": label} for label in ("HEAD~1", "working tree"))
    print_result(comparison(slower, failed, *absent, a=a, b=b), versions)
    printed = " ".join(capsys.readouterr().out.split())
    for expected in (
        "A HEAD~1 (commit 0123, numpy 2.0) B working tree",
        f"digits {word} 1.080 [1.060, 1.100] 1000.0 1080.0 6 7.0%",
        "digits forward 200.0 300.0 1.500",
        "digits optimizer 100.0",
        "other: failed: b: it broke",
        "skipped: 3 cells: no tensorflow",
        "warning: in 1 of 5 cells",
        "(up to 7.0%)",
        "other processes held the core in 1 of 5 cells",
    ):
        assert expected in printed
    assert "tf1" not in printed, "rows that say nothing are one line"


# -- whole comparisons, from the command line


@pytest.fixture
def repository(tmp_path):
    """A repository with one optimizer and a suite beside it; `mine` is as slow as it is told."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (tmp_path / "tiny.toml").write_text(toml(TIMED))
    for seconds in (0.0, 0.001):
        (folder / "mine.py").write_text(SLOWED.format(seconds=seconds))
        commit(folder, f"{seconds} s a tensor")
    return folder


COMPARE = (sys.executable, "-m", "gradrace", "compare", "--suite", "../tiny.toml")


def call(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """gradrace compare with these arguments."""
    command = [*COMPARE, *text.split()]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def worktrees(folder: Path) -> int:
    return len(git(folder, "worktree", "list").splitlines())


@pytest.mark.slow
def test_a_commit_that_slows_an_optimizer_down_is_a_regression(repository):
    done = call(repository, "--base HEAD~1 --load mine.py --launches 3 --alpha 0.2 --json")
    assert done.returncode == 4, done.stderr + done.stdout
    result = PairedResult.model_validate_json(done.stdout)
    (cell,) = result.cells
    assert (cell.decision, cell.confirmed) == ("regression", True) and "mine" in cell.cell
    assert cell.ratio is not None and cell.low is not None and 1 < cell.low < cell.ratio
    assert result.a["commit"] == git(repository, "rev-parse", "HEAD~1")
    assert "numpy" in result.b["versions"]
    assert worktrees(repository) == 1


@pytest.mark.slow
def test_equal_files_are_no_regression(repository):
    for name in ("one.py", "two.py"):
        (repository / name).write_text(SLOWED.format(seconds=0.0))
    sides = "--a-load one.py --b-load two.py"
    done = call(repository, f"{sides} --launches 3 --threshold 0.5 --budget 1")
    assert done.returncode == 0, done.stderr + done.stdout
    row = next(line for line in done.stdout.splitlines() if "mine-canonical" in line)
    assert " ok " in row or " inconclusive " in row
    assert done.stdout.startswith("A  one.py")
    assert "B against A, paired, threshold 0.5" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(repository, number):
    temporary = repository.parent / "temporary"
    temporary.mkdir()
    # A runner that was started in the background ignores SIGINT, and its children would too.
    listen = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    command = [*COMPARE, "--base", "HEAD~1", "--load", "mine.py"]
    env = os.environ | {"TMPDIR": str(temporary)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    driver = subprocess.Popen(command, cwd=repository, env=env, preexec_fn=listen, **pipes)
    deadline = time.monotonic() + 120
    while len(workers := workers_of(driver.pid)) < 2 and driver.poll() is None:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    driver.send_signal(number)
    _, told = driver.communicate(timeout=120)
    assert driver.returncode == 130 and "gradrace: interrupted" in told
    assert len(workers) == 2
    until_gone(*(worker.pid for worker in workers))
    assert worktrees(repository) == 1
    assert not list(temporary.iterdir())


def workers_of(pid: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(pid).children():
        with suppress(psutil.Error):
            found += [child] if any(word.endswith("worker.py") for word in child.cmdline()) else []
    return found


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("", 2, "nothing to compare"),
        ("--base HEAD --a framework=torch", 2, "--a/--b and --base: give one of"),
        ("one --base HEAD", 2, "not both"),
        ("--a-load mine.py", 2, "belong together"),
        ("--base nowhere", 2, "no commit of that name"),
        ("--base HEAD --threshold 1", 2, "--threshold: expected a number less than 1, not 1.0"),
        ("--base HEAD --launches 2", 2, "Invalid value for '--launches': 2 is less than 3"),
        ("--b-python /no/such/python", 3, "no such interpreter"),
        ("--base HEAD -k lstm", 5, "matches 'lstm'"),
    ],
)
def test_misuse(repository, arguments, code, message):
    done = call(repository, arguments)
    assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr

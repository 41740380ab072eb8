"""First calls, memory and energy: launches with declared answers, and what cannot be measured."""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from gradrace import compare
from gradrace.errors import UserError
from gradrace.machine import energy
from gradrace.machine.energy import Meter
from gradrace.paired import UNITS, Pair, Quantity, Side, StopRule, fresh, processes, quantities
from gradrace.paired.dependencies import changed
from gradrace.paired.measure import BlockRule, Launch, Launcher
from gradrace.paired.processes import Failure, Lost, Refused
from gradrace.paired.run import search
from gradrace.paired.text import figures, warnings, word
from gradrace.paired.words import WORDS
from gradrace.paired.worker import TimedSession, Worker
from gradrace.spec import RunSpec, TimingSpec
from paired_results import Scripted, comparison, verdict
from repositories import commit, git

SIDES = (Side("a", sys.executable, None), Side("b", sys.executable, None))


@pytest.fixture
def pairs(make_run) -> Callable[..., list[Pair]]:
    """Pairs of equal runs, one for each framework."""

    def make(*frameworks: str, **changes: Any) -> list[Pair]:
        made = []
        for number, framework in enumerate(frameworks):
            timing = TimingSpec(warmup_steps=5)
            run: RunSpec = make_run(measure="timing", timing=timing)
            run = run.model_copy(update={"framework": framework, **changes})
            made.append(Pair(f"{framework} {number}", run, run))
        return made

    return make


def test_each_quantity_has_a_unit_a_threshold_and_words():
    names = set(get_args(Quantity))
    assert names == set(UNITS) == set(quantities.THRESHOLDS) == set(WORDS)
    assert all(quantities.quantity_of(name) == name for name in names)


@pytest.mark.parametrize(
    ("quantity", "a", "shown", "larger", "outcome"),
    [
        ("step", 1e-3, "1000.0", "slower", "x is slower by 30.0%"),
        ("first_call", 1e-3, "1.0", "slower", "the first call of x is slower by 30.0%"),
        ("memory", 2.0**20, "1.0", "larger", "x takes 30.0% more memory"),
        ("energy", 1e-3, "1.0", "larger", "x draws 30.0% more energy a step"),
    ],
)
def test_values_and_verdicts_are_in_the_words_of_the_quantity(quantity, a, shown, larger, outcome):
    measured = {"ratio": 1.3, "low": 1.2, "high": 1.4, "detectable": 0.2}
    cell = verdict("x", "regression", a_value=a, b_value=2 * a, **measured)
    columns = figures(cell, quantity)
    unit = WORDS[quantity].unit
    assert columns[f"a, {unit}"] == shown and columns[f"b, {unit}"] == f"{2 * float(shown):.1f}"
    assert word(cell, True, quantity) == "regression" and word(cell, False, quantity) == larger
    assert WORDS[quantity].regressed(cell) == outcome
    (caution,) = warnings(comparison(cell, quantity=quantity))
    assert f"find only {WORDS[quantity].more}s above the threshold" in caution


# -- quantities that a process shows once


class OneProcess:
    """Both sides' processes of a launch: answers by side, and all that was asked."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = answers
        self.about = [{"versions": {"numpy": "2"}}, {"versions": {"numpy": "3"}}]
        self.asked: list[tuple[str, int]] = []
        self.started: list[tuple[str, int]] = []
        self.caches: list[Path] = []

    def __call__(
        self, pair: Pair, sides: Sequence[Side], first: int, caches: Path
    ) -> nullcontext[OneProcess]:
        assert caches.is_dir() and not list(caches.iterdir()), (
            "nothing is left of an earlier launch"
        )
        self.started.append((pair.name, first))
        self.caches.append(caches)
        return nullcontext(self)

    def ask(self, side: int, request: dict[str, Any], differ: bool = True) -> dict[str, Any]:
        self.asked.append((request["do"], side))
        answer = self.answers[side]
        if isinstance(answer, Exception):
            raise answer
        return answer


def first_call(wall_ns: int, cpu_ns: int, switches: int = 0) -> dict[str, int]:
    return {"wall_ns": wall_ns, "cpu_ns": cpu_ns, "switches": switches}


def grown(bytes_: int, on_device: int | None = None) -> dict[str, int | None]:
    return {"bytes": bytes_, "device_bytes": on_device}


def test_every_launch_of_every_pair_has_processes_of_its_own(pairs, monkeypatch):
    both = OneProcess(first_call(2 * 10**9, 10**9), first_call(3 * 10**9, 10**9))
    monkeypatch.setattr("gradrace.paired.fresh.Processes", both)
    launcher = quantities.launcher("first_call", pairs("torch", "torch", "jax"), SIDES, StopRule())
    outcomes = launcher([0, 1, 2])
    # The first launch of a framework reads its files from the disk, and does not count.
    assert both.started == [
        (name, 0) for name in ("torch 0", "torch 0", "torch 1", "jax 2", "jax 2")
    ]
    assert len(set(both.caches)) == 5 and not any(folder.exists() for folder in both.caches)
    assert both.asked[:4] == [("open", 0), ("first", 0), ("open", 1), ("first", 1)]
    for launch in outcomes.values():
        assert launch[:5] == pytest.approx((np.log(1.5), 0.0, 2.0, 3.0, False))
    assert launcher.versions == ({"numpy": "2"}, {"numpy": "3"})
    both.asked.clear()
    launcher([1])
    assert both.started[5:] == [("torch 1", 1)], "the sides change places"
    assert [side for _, side in both.asked] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("cpu_ns", "switches", "contended"), [(10**9, 9, False), (5 * 10**8, 9, True)]
)
def test_a_first_call_is_contended_if_its_process_was_pushed_off(
    pairs, monkeypatch, cpu_ns, switches, contended
):
    both = OneProcess(first_call(10**9, cpu_ns, switches), first_call(10**9, 10**9))
    monkeypatch.setattr("gradrace.paired.fresh.Processes", both)
    outcome = fresh.FreshLauncher(pairs("torch"), *SIDES, fresh.first_call)([0])[0]
    assert isinstance(outcome, Launch) and outcome.contended is contended


UNCOUNTED = Failure("numpy does not count the memory of this device", skipped=True)


@pytest.mark.parametrize(
    ("device", "a", "b", "expected"),
    [
        ("cpu", grown(10**7), grown(2 * 10**7), (10**7, 2 * 10**7)),
        ("cpu", grown(0), grown(0), (4096, 4096)),
        ("cpu", grown(10**7, 5), grown(10**7, 9), (10**7, 10**7)),
        ("gpu", grown(10**7, 10**8), grown(2 * 10**7, 10**8), (10**8, 10**8)),
        ("gpu", grown(10**7), grown(10**7, 10**8), UNCOUNTED),
        ("cpu", Refused(Failure("no")), grown(10**7), Failure("no")),
        ("cpu", grown(10**7), Lost(Failure("b: it died"), 0), Failure("b: it died")),
    ],
)
def test_memory_is_growth_or_the_devices_own_peak(pairs, monkeypatch, device, a, b, expected):
    both = OneProcess(a, b)
    monkeypatch.setattr("gradrace.paired.fresh.Processes", both)
    launcher = quantities.launcher("memory", pairs("numpy", device=device), SIDES, StopRule())
    outcome = launcher([0])[0]
    assert len(both.started) == 1
    if isinstance(expected, Failure):
        assert outcome == expected
    else:
        assert (outcome.a_value, outcome.b_value) == expected
        assert outcome.log_ratio == pytest.approx(np.log(expected[1] / expected[0]))


@pytest.mark.parametrize(
    ("ratio", "decision"),
    [(1.0, "ok"), (1.01, "ok"), (1.3, "regression"), (1 / 1.3, "improvement")],
)
def test_values_without_any_spread_are_judged(ratio, decision):
    """Memory may be the same to the byte in every launch."""
    launch = Launch(float(np.log(ratio)), 0.0, 1e7, ratio * 1e7)
    (cell,) = search(1, lambda cells: dict.fromkeys(cells, launch), StopRule(threshold=0.05))
    assert cell.decision == decision
    assert cell.judged is not None and cell.judged.ratio == pytest.approx(ratio)
    assert cell.judged.low == pytest.approx(ratio) == pytest.approx(cell.judged.high)
    assert 0 < cell.judged.detectable < 0.05


def test_each_side_begins_with_empty_compile_caches(pairs, monkeypatch, tmp_path):
    """Also if the user keeps such caches: a first call out of a cache compiles nothing."""
    for name in ("JAX_COMPILATION_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "/kept/by/the/user")
    seen: list[dict[str, str]] = []

    class Recorded:
        def __init__(self, command: list[str], env: dict[str, str]) -> None:
            seen.append(env)

        def send(self, message: Any) -> None:
            pass

        def receive(self, timeout_s: float) -> dict[str, Any]:
            return {"event": "failed", "reason": "enough"}

        def kill(self) -> None:
            pass

    monkeypatch.setattr(processes, "Child", Recorded)
    (pair,) = pairs("torch")
    for caches, kept in ((tmp_path, False), (None, True)):
        seen.clear()
        with pytest.raises(Lost), processes.Processes(pair, SIDES, 0, caches):
            pass
        inductors = [env["TORCHINDUCTOR_CACHE_DIR"] for env in seen]
        assert len(set(inductors)) == (1 if kept else 2)
        assert all(("kept" in folder) is kept for folder in inductors)
        assert not any("JAX_COMPILATION_CACHE_DIR" in env for env in seen)


# -- the worker's part


class OlderSession:
    """A session that does not count its device's memory, as older ones; it holds 64 MiB a step."""

    def __init__(self) -> None:
        self.held: list[np.ndarray] = []

    def train(self, steps: range) -> None:
        self.held += [np.ones(2**23) for _ in steps]

    def sync(self) -> None:
        pass

    def losses(self) -> np.ndarray:
        return np.zeros(1)


def test_growth_counts_the_opening_and_the_steps(monkeypatch):
    worker = object.__new__(Worker)
    opened: list[OlderSession] = []

    def ready(spec: dict[str, Any]) -> Callable[[], TimedSession]:
        # What the harness prepares is in memory before.
        prepared = np.ones(2**24)

        def open_() -> TimedSession:
            opened.append(OlderSession())
            opened[0].held.append(np.ones(2**22 + 0 * len(prepared)))
            return TimedSession(opened[0], one_thread=True)

        return open_

    monkeypatch.setattr(worker, "_ready", ready, raising=False)
    gc.collect()
    answer = worker.answer({"do": "grow", "spec": {}, "steps": 2})
    assert answer["event"] == "done" and answer["device_bytes"] is None
    if "reset" in answer["method"]:
        assert 150 * 2**20 < answer["bytes"] < 200 * 2**20, "32 MiB to open, twice 64 to train"


def test_a_first_call_is_one_step(monkeypatch):
    worker = object.__new__(Worker)
    session = OlderSession()
    monkeypatch.setattr(worker, "_sessions", {0: TimedSession(session, True)}, raising=False)
    answer = worker.answer({"do": "first", "cell": 0})
    assert len(session.held) == 1 and answer["wall_ns"] > 0


# -- energy


class Planted:
    """A counter of joules that declared blocks push on."""

    source, tick_s, every_s = "a planted counter", 0.0, float("inf")

    def __init__(self) -> None:
        self.total = 0.0
        self.broken = False

    def read(self) -> list[float]:
        if self.broken:
            raise energy.Unreadable("it came off")
        return [self.total]

    def joules(self, before: Sequence[float], after: Sequence[float], seconds: float) -> float:
        return after[0] - before[0]


class Drawing(Scripted):
    """Blocks that take equal times and draw declared joules, by side."""

    def __init__(self, counter: Planted, joules: tuple[float, float]) -> None:
        super().__init__({0: (10**7, 10**7), 1: (10**7, 10**7)})
        self._counter, self._joules = counter, joules

    def ask(self, side: int, request: dict[str, Any], differ: bool = True) -> dict[str, Any]:
        if request["do"] == "block":
            self._counter.total += self._joules[side]
        elif request["do"] != "check":
            self._counter.total += 1000.0
        return super().ask(side, request, differ)


def test_energy_is_compared_block_by_block(pairs):
    counter = Planted()
    launcher = Launcher(
        pairs("numpy", "numpy"),
        *SIDES,
        blocks=4,
        rule=BlockRule(block_s=0.1),
        joules=lambda device: Meter(counter),
    )
    drawing, outcomes = Drawing(counter, (2.0, 3.0)), dict[int, Any]()
    launcher._measure(drawing, [0, 1], outcomes)  # type: ignore[arg-type]
    for launch in outcomes.values():
        # Ten steps of 10 ms a block. Equal times, and what the warm-up drew does not count.
        assert launch[:4] == pytest.approx((np.log(1.5), 0.0, 0.2, 0.3))


def test_a_counter_that_fails_meanwhile_costs_the_pair(pairs):
    counter = Planted()
    launcher = Launcher(pairs("numpy"), *SIDES, blocks=4, joules=lambda device: Meter(counter))
    counter.broken = True
    outcomes = dict[int, Any]()
    launcher._measure(Drawing(counter, (1.0, 1.0)), [0], outcomes)  # type: ignore[arg-type]
    assert outcomes == {0: Failure("the energy of a block is unknown: it came off")}


@pytest.mark.parametrize(
    ("tick_s", "block_s", "blocks"), [(0.0, 0.02, 24), (0.001, 0.1, 24), (0.1, 2.0, 4)]
)
def test_blocks_are_long_enough_for_the_counter(pairs, monkeypatch, tick_s, block_s, blocks):
    counter = Planted()
    counter.tick_s = tick_s
    monkeypatch.setattr(quantities, "find", lambda device, holders: counter)
    launcher = quantities.launcher("energy", pairs("numpy"), SIDES, StopRule())
    assert isinstance(launcher, Launcher)
    assert (launcher._rule.block_s, launcher._blocks) == pytest.approx((block_s, blocks))


def test_energy_without_a_counter_is_refused_with_the_reason(pairs, tmp_path):
    def absent(device: Any) -> Any:
        return energy.find(device, powercap=tmp_path)

    with pytest.raises(UserError, match="energy of the cpu .*: no RAPL on this") as caught:
        quantities.check("energy", pairs("numpy"), absent)
    assert caught.value.exit_code == 3
    for quantity in ("step", "first_call", "memory"):
        quantities.check(quantity, pairs("numpy"), absent)


@pytest.mark.parametrize(("holders", "on_it", "read"), [(1, 1, True), (1, 2, False), (2, 2, True)])
def test_a_gpu_is_read_while_both_sides_hold_it(monkeypatch, holders, on_it, read):
    nvml = types.SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda handle: "GPU",
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: 7000,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [None] * on_it,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    counter = energy.find("gpu", environment={}, holders=holders)
    assert not isinstance(counter, str)
    if read:
        assert counter.read() == [7000.0]
    else:
        with pytest.raises(energy.Unreadable, match="other processes used GPU"):
            counter.read()


# -- two commits


PYPROJECT = '[project]\nname = "x"\nversion = "{0}"\ndependencies = [{1}]\n'


@pytest.mark.parametrize(
    ("name", "a", "b", "differ"),
    [
        ("pyproject.toml", PYPROJECT.format(1, ""), PYPROJECT.format(2, ""), False),
        ("pyproject.toml", PYPROJECT.format(1, ""), PYPROJECT.format(1, '"jax"'), True),
        ("pyproject.toml", None, PYPROJECT.format(1, '"jax"'), True),
        ("pyproject.toml", None, "[tool.ruff]\n", False),
        ("pyproject.toml", "[tool.ruff]\n", "project = 3\n", False),
        ("pyproject.toml", "[project\n", "[project\nx", True),
        ("requirements.txt", "jax==1\n", "# newer\njax==2\n", True),
        ("requirements.txt", "jax==1\n", "\n# pinned\njax==1", False),
        ("uv.lock", "a", "b", True),
        ("notes.txt", "jax==1", "jax==2", False),
    ],
)
def test_other_dependencies_are_noticed(tmp_path, name, a, b, differ):
    for folder, text in (("a", a), ("b", b)):
        (tmp_path / folder).mkdir()
        if text is not None:
            (tmp_path / folder / name).write_text(text)
    assert changed(tmp_path / "a", tmp_path / "b") == ((name,) if differ else ())


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        ({"head": "HEAD"}, 2, "--head HEAD: --base must name the commit"),
        ({"head": "HEAD", "a": {"framework": "numpy"}}, 2, "--base must name the commit"),
        ({"base": "HEAD", "head": "nowhere"}, 2, "--head nowhere: no commit of that name"),
        ({"base": "nowhere", "head": "HEAD"}, 2, "--base nowhere: no commit of that name"),
        ({"base": "HEAD", "head": ""}, 2, "--head : no commit of that name"),
        ({"base": "HEAD", "measure": "enrgy"}, 2, "--measure enrgy: .*did you mean 'energy'"),
    ],
)
def test_what_cannot_be_compared(tmp_path, monkeypatch, asked, code, message):
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a").write_text("a")
    commit(tmp_path, "first")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        compare(keyword="digits_mlp sgd", **asked)
    assert caught.value.exit_code == code

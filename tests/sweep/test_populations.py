"""Runs that are trained many at once: the loop over lanes, the job, and what becomes of a bad one.

The frameworks' own populations are tested with their adapters; here it is the referee's, and fakes
with declared losses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from fake_session import FakeSession
from gradrace.adapter import LanesImpossible, Metrics
from gradrace.errors import ExitCode, UserError
from gradrace.report.record_text import described
from gradrace.results.frame import load
from gradrace.spec import POPULATION, EarlyStopping, ScheduleSpec
from gradrace.sweep import Options, prepare
from gradrace.sweep import lanes as lanes_module
from gradrace.sweep.lanes import (
    Measured,
    add_measured,
    in_lanes,
    lanes_that_fit,
    read_measured,
)
from gradrace.sweep.store import stored
from gradrace.worker import populate
from gradrace.worker.memory import lane_bytes
from gradrace.worker.populate import Member, train_together
from gradrace.worker.train import LaneTask, train, train_lanes
from hypothesis import given, settings
from hypothesis import strategies as st
from records import page_of
from waiting import wait_for

STEPS, EVERY = 40, 10


class FakePopulation:
    """Fake sessions side by side."""

    def __init__(self, sessions: list[FakeSession]) -> None:
        self.sessions = sessions
        self.tables: dict[int, list[np.ndarray]] = {}

    def train(self, steps: range) -> None:
        for session in self.sessions:
            session.train(steps)

    def losses(self) -> np.ndarray:
        return np.stack([session.losses() for session in self.sessions])

    def evaluate(self, split: str) -> list[Metrics]:
        return [session.evaluate(split) for session in self.sessions]

    def set_learning_rates(self, lane: int, rates: np.ndarray) -> None:
        self.sessions[lane].set_learning_rates(rates)

    def weights(self, lane: int) -> Any:
        return self.sessions[lane].weights()

    def state_bytes(self) -> int:
        return 8

    def close(self) -> None:
        pass


class Declared(FakeSession):
    """Losses of steps and of evaluations as declared; keeps the tables that it is given."""

    def __init__(self, losses: Any, validation: Any) -> None:
        super().__init__(losses)
        self.tables: list[np.ndarray] = []
        self.validation = lambda step: Metrics(validation[step // EVERY], step / 100)

    def set_learning_rates(self, rates: np.ndarray) -> None:
        self.tables.append(rates)


GOOD = st.sampled_from([1.0, 0.5, 2.0, 1e-3])
BAD = st.sampled_from([2e7, float("nan"), float("inf")])


def mostly_good(count: int) -> st.SearchStrategy[list[float]]:
    """So many good losses; or one of them is bad."""
    good = st.lists(GOOD, min_size=count, max_size=count)
    spoilt = st.tuples(good, st.integers(0, count - 1), BAD).map(
        lambda drawn: [*drawn[0][: drawn[1]], drawn[2], *drawn[0][drawn[1] + 1 :]]
    )
    return st.one_of(good, good, spoilt)


LANE = st.tuples(
    mostly_good(STEPS),
    mostly_good(STEPS // EVERY + 1),
    st.sampled_from([None, 1, 2]),
    st.booleans(),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(LANE, min_size=1, max_size=4))
def test_a_lane_ends_as_the_run_does_by_itself_whatever_the_others_do(base_task, drawn):
    plateau = ScheduleSpec(kind="plateau", base_lr=0.1, params={"patience": 1.0})
    alone, beside, tasks = [], [], []
    for losses, validation, patience, follows in drawn:
        early = patience and EarlyStopping(patience=patience)
        task = base_task.model_copy(update={"early_stopping": early})
        alone.append(Declared(losses, validation))
        beside.append(Declared(losses, validation))
        tasks.append(LaneTask(task, plateau if follows else None))
    singles = [
        train(session, lane.task, schedule=lane.schedule)
        for session, lane in zip(alone, tasks, strict=True)
    ]
    found = train_lanes(FakePopulation(beside), tasks)
    for single, lane, one, other in zip(singles, found, alone, beside, strict=True):
        assert (single.status, single.reason, single.summary) == (
            lane.status,
            lane.reason,
            lane.summary,
        )
        for name, values in vars(single.curve).items():
            assert np.array_equal(values, getattr(lane.curve, name), equal_nan=True), name
        assert all(map(np.array_equal, one.tables, other.tables)), "the same rates were set"
        assert len(one.tables) == len(other.tables)


@pytest.fixture(scope="module")
def base_task(registry):
    return registry.tasks["digits_mlp"].model_copy(
        update={"steps": STEPS, "eval_every": EVERY, "target": 0.2}
    )


def test_training_ends_when_all_lanes_have_ended(base_task):
    sessions = [Declared([float("nan")] * STEPS, [1.0] * 5) for _ in range(2)]
    train_lanes(FakePopulation(sessions), [LaneTask(base_task)] * 2)
    assert [session._taken for session in sessions] == [EVERY, EVERY]


# -- a job's runs


class Drafted:
    """A draft as `train_together` needs it."""

    def __init__(self, spec: Any) -> None:
        self.spec, self.note, self.lanes = spec, "", 1


class Adapter:
    """Its populations have at most `most` lanes; `refused` seeds are trained by themselves."""

    def __init__(self, most: int = 100, refused: int = -1, error: Any = None) -> None:
        self.most, self.refused, self.error, self.opened = most, refused, error, []

    def policy(self, run: Any) -> dict[str, str]:
        return {"how": run.mode}

    def lane_key(self, run: Any, inputs: Any) -> str:
        if run.seed == self.refused:
            raise LanesImpossible("it counts in Python")
        return run.optimizer.name

    def open_population(self, runs: Any, starts: Any, inputs: Any, lanes: int) -> FakePopulation:
        assert len(runs) == len(starts) == len(inputs) <= lanes
        self.opened.append((lanes, [run.seed for run in runs]))
        if lanes > self.most:
            raise MemoryError
        if self.error:
            raise self.error
        return FakePopulation([Declared([1.0] * STEPS, [1.0] * 5) for _ in runs])


def members(base_task, make_run, seeds: int, optimizers=("sgd",)) -> list[Member]:
    runs = [
        make_run(name=name).model_copy(
            update={"task": base_task, "seed": seed, "mode": POPULATION, "lanes": 8}
        )
        for name in optimizers
        for seed in range(seeds)
    ]
    return [Member(index, Drafted(run), None) for index, run in enumerate(runs)]


def outcomes(adapter, given, lanes=8):
    return list(train_together(adapter, given, lanes, lambda step: None))


def test_runs_share_programs_by_their_key(base_task, make_run):
    adapter = Adapter()
    found = outcomes(adapter, members(base_task, make_run, 10, ("sgd", "adam")))
    assert [lanes for lanes, _ in adapter.opened] == [8] * 4, "padded, never smaller"
    assert [len(outcome.members) for outcome in found] == [8, 2, 8, 2]
    drafts = [member.draft for outcome in found for member in outcome.members]
    assert {draft.lanes for draft in drafts} == {8} and {draft.note for draft in drafts} == {""}
    assert {draft.state_bytes for draft in drafts} == {8}
    assert drafts[0].policy == {"how": POPULATION}


def test_a_run_that_cannot_share_is_left_with_its_reason(base_task, make_run):
    found = outcomes(Adapter(refused=3), members(base_task, make_run, 5))
    assert [len(outcome.members) for outcome in found] == [4, 1]
    assert found[1].reason == "it counts in Python" and not found[1].trainings


def test_too_many_lanes_for_the_memory_are_halved_and_said(base_task, make_run, capfd):
    adapter = Adapter(most=3)
    found = outcomes(adapter, members(base_task, make_run, 5))
    assert adapter.opened == [
        (8, [0, 1, 2, 3, 4]),
        *[(4, [0, 1, 2, 3]), (2, [0, 1]), (2, [2, 3])],
        *[(4, [4]), (2, [4])],
    ]
    seeds = [m.draft.spec.seed for outcome in found for m in outcome.members]
    assert sorted(seeds) == list(range(5)), "every run once"
    drafts = [member.draft for outcome in found for member in outcome.members]
    assert {draft.lanes for draft in drafts} == {2}
    assert {draft.note for draft in drafts} == {"4 lanes did not fit into memory"}
    assert "8 lanes did not fit into memory; going on with 4" in capfd.readouterr().err


def test_lanes_that_a_cpu_cannot_hold_are_not_even_tried(base_task, make_run, monkeypatch):
    """A system that gives out more memory than it has would end some process."""
    given = members(base_task, make_run, 3)
    for have, lanes in [(2, 2), (3.9, 2), (8, 8)]:
        size = int(have * lane_bytes(given[0].draft.spec))
        monkeypatch.setattr(populate, "available_bytes", lambda size=size: size)
        adapter = Adapter()
        outcomes(adapter, given)
        assert {opened for opened, _ in adapter.opened} == {lanes}


def test_not_one_lane_in_memory(base_task, make_run):
    found = outcomes(Adapter(most=0), members(base_task, make_run, 2))
    assert [outcome.reason for outcome in found] == ["not even one lane fits into memory"] * 2


def test_a_program_that_fails_leaves_its_runs_to_themselves(base_task, make_run, capfd):
    found = outcomes(Adapter(error=ValueError("no such axis")), members(base_task, make_run, 3))
    assert [outcome.reason for outcome in found] == [
        "its program failed: ValueError: no such axis"
    ] * 3
    assert "no such axis" in capfd.readouterr().err, "the log has the traceback"


@pytest.mark.parametrize(
    ("change", "reason"), [({"diagnose": True}, "norms"), ({"input": "pipeline"}, "pipeline")]
)
def test_what_a_population_cannot_do_is_never_asked_of_an_adapter(
    base_task, make_run, change, reason
):
    (member,) = members(base_task, make_run, 1)
    member.draft.spec = member.draft.spec.model_copy(update=change)
    adapter = Adapter()
    (outcome,) = outcomes(adapter, [member])
    assert reason in outcome.reason and not adapter.opened


def test_an_adapter_without_populations(base_task, make_run):
    class Plain:
        pass

    (outcome,) = outcomes(Plain(), members(base_task, make_run, 1))
    assert "trains no populations" in outcome.reason


# -- whole sweeps of the referee


def runs_of(output, population, keyword="", **content):
    options = Options(output=output, population=population, keyword=keyword, workers=1)
    return tiny.swept(output, [], options, **{"seeds": 6, **content})


def table(frames) -> pd.DataFrame:
    """Curves of all runs, in an order that only their setting decides."""
    columns = ["optimizer", "seed", "series", "step"]
    runs = frames.runs.set_index("digest")[["optimizer", "seed"]]
    joined = frames.curves.join(runs, on="digest")
    return joined.sort_values(columns)[[*columns, "value"]].reset_index(drop=True)


def test_a_population_gives_the_referee_s_single_runs_and_is_a_mode_of_its_own(tmp_path):
    single, alone = runs_of(tmp_path, "off")
    lanes, together = runs_of(tmp_path, 4)
    assert single.counts == lanes.counts and lanes.cached == 0, "never mixed in a cache"
    assert set(together.runs["mode"]) == {POPULATION} and set(alone.runs["mode"]) == {"reference"}
    pd.testing.assert_frame_equal(table(alone), table(together))
    again, _ = runs_of(tmp_path, 4)
    other, _ = runs_of(tmp_path, 3)
    assert again.cached == sum(again.counts.values()) and other.cached == 0


def test_a_lane_that_kills_its_process_costs_its_own_run(tmp_path):
    """Found by halves: the others keep their lanes, and so their bits."""
    body = "os.abort() if IN_A_WORKER and abs(lr - 0.25) < 1e-9 else None"
    rates = [0.1, 0.2, 0.25, 0.3, 0.35]
    outcome, runs = killed(tmp_path, body, rates)
    assert outcome.counts == {"ok": 4, "failed": 1}
    assert runs.loc[0.25, "status"] == "failed" and "SIGABRT" in runs.loc[0.25, "reason"]


def test_a_process_ended_for_want_of_memory_is_tried_with_half_the_lanes(tmp_path):
    flag = tmp_path / "once"
    body = f"""
    import pathlib
    if IN_A_WORKER and not pathlib.Path({str(flag)!r}).exists():
        pathlib.Path({str(flag)!r}).touch()
        os.kill(os.getpid(), 9)
    """
    outcome, runs = killed(tmp_path, body, [0.1, 0.2, 0.3])
    assert outcome.counts == {"ok": 3}
    records = [runs.loc[rate] for rate in (0.1, 0.2, 0.3)]
    assert {record["lanes"] for record in records} == {4}
    assert all("8 lanes were tried" in record["note"] for record in records)


RULE = textwrap.dedent("""
    import os, sys
    from gradrace import Optimizer, ReferenceRule
    IN_A_WORKER = sys.argv[0].endswith("worker/__main__.py")
    def update(p, g, state, lr, t, hyper):
    {body}
        return p - lr * g, state
    O = Optimizer(
        name="mine", title="Mine", paper="-", learning_rate=0.1, hyper={{}}, bindings={{}},
        rule=ReferenceRule(init=lambda p, hyper: {{}}, update=update))
""")


@pytest.mark.parametrize(
    ("lanes", "note", "said"),
    [
        (4, "", "in a program with 4 lanes"),
        (2, "4 lanes did not fit", "in a program with 2 lanes; 4 lanes did not fit"),
        (1, "trained by itself: it counts", "trained by itself: it counts"),
        (1, "", "in a program with 1 lane"),
    ],
)
def test_show_and_the_report_say_how_a_run_was_trained(tmp_path, lanes, note, said):
    content = {"optimizers": ["sgd"], "seeds": 2, "steps": 2, "eval_every": 2}
    _, frames = runs_of(tmp_path, 4, **content)
    records = {
        digest: record.model_copy(update={"lanes": lanes, "note": note})
        for digest, record in frames.records.items()
    }
    assert dict(described(next(iter(records.values()))))["population"] == said
    page = page_of(replace(frames, records=records), tmp_path)
    assert ("2 runs in programs of" in page) == (lanes > 1) and note in page


def killed(folder, body, rates):
    file = folder / "mine.py"
    file.write_text(RULE.format(body=textwrap.indent(textwrap.dedent(body).strip(), "    ")))
    options = Options(output=folder, population=8, workers=1)
    optimizers = [{"name": "mine", "learning_rate": rates}]
    outcome, frames = tiny.swept(folder, [file], options, seeds=1, optimizers=optimizers)
    return outcome, frames.runs.set_index("learning_rate")


# -- which runs are trained in lanes


@pytest.mark.parametrize("choice", [0, -1, 10**9, True, 1.5, "owto", "", None, "8"])
def test_a_wrong_number_of_lanes_is_refused(tmp_path, choice):
    with pytest.raises(UserError, match="--population") as caught:
        prepare("quick", options=Options(output=tmp_path, population=choice))
    assert caught.value.exit_code == ExitCode.USAGE


def specs(make_run, count, **changes):
    return [make_run().model_copy(update={"seed": seed, **changes}) for seed in range(count)]


MODES = {"numpy": "reference"}


def test_auto_takes_no_lanes_on_a_cpu_unless_it_was_measured_here_that_they_pay(make_run, tmp_path):
    given = specs(make_run, 8)
    chosen = lambda runs: {run.lanes for run in in_lanes(runs, "auto", MODES, tmp_path)}
    assert chosen(given) == {1}
    add(tmp_path, given[0], share=0.5)
    assert chosen(given) == {16}
    assert chosen(given[:7]) == {1}, "too few of a shape"
    add(tmp_path, given[0], share=0.95)
    assert chosen(given) == {1}, "the latest counts"
    add(tmp_path, given[0], share=0.5, machine_type="another")
    assert chosen(given) == {1}
    assert len(read_measured(tmp_path).measured) == 2


def add(folder, spec, share, machine_type=None):
    found = Measured(
        machine_type=machine_type or lanes_module.machine_type(),
        framework=spec.framework,
        shape=lanes_module.shape(spec),
        task=spec.task.name,
        optimizer=spec.optimizer.name,
        lanes=16,
        runs=32,
        share=share,
    )
    add_measured(folder, found)


@pytest.mark.parametrize(
    "change",
    [{"mode": "other"}, {"input": "pipeline"}, {"diagnose": True}, {"measure": "memory"}],
)
def test_only_what_lanes_can_do_is_put_into_them(make_run, tmp_path, change):
    (run,) = in_lanes(specs(make_run, 1, **change), 8, MODES, tmp_path)
    assert run.lanes == 1 and run.mode != POPULATION


def test_lanes_on_a_gpu_follow_its_memory(make_run, tmp_path, monkeypatch):
    given = specs(make_run, 8, device="gpu")
    bytes_ = lane_bytes(given[0])
    for mebibytes, lanes in [(80_000, 128), (2 * 8 * bytes_ // 2**20 + 1, 8), (1, 1)]:
        monkeypatch.setattr(lanes_module, "gpu_properties", lambda *names, m=mebibytes: [[str(m)]])
        assert {run.lanes for run in in_lanes(given, "auto", MODES, tmp_path)} == {lanes}
    monkeypatch.setattr(lanes_module, "gpu_properties", lambda *names: [])
    assert {run.mode for run in in_lanes(given, "auto", MODES, tmp_path)} == {"reference"}


def test_lanes_that_fit_are_a_power_of_two(make_run):
    run = make_run()
    sizes = [lanes_that_fit(run, lane_bytes(run) * lanes) for lanes in (7, 8, 15, 16, 127, 10_000)]
    assert sizes == [0, 8, 8, 16, 64, 128]


def test_a_file_of_measurements_that_is_not_ours(make_run, tmp_path):
    (tmp_path / "lanes.json").write_text("{}{")
    with pytest.raises(UserError, match="lanes.json"):
        in_lanes(specs(make_run, 8), "auto", MODES, tmp_path)


def test_whether_lanes_pay_is_measured_and_kept(gradrace, tmp_path):
    """On the referee, whose lanes cost what single runs cost; its share decides nothing here."""
    (tmp_path / "s.toml").write_text(tiny.toml({**tiny.TINY, "timing": False}))
    arguments = ("calibrate", "s.toml", "--population", "3", "-k", "adam", "--json")
    done = gradrace(*arguments)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert (found["framework"], found["lanes"], found["runs"]) == ("numpy", 3, 12)
    assert found["share"] > 0 and found["pays"] == (found["share"] <= 0.9)
    (kept,) = read_measured(tmp_path / "results").measured
    assert kept.to_json() == {name: value for name, value in found.items() if name != "pays"}
    assert gradrace(*arguments).returncode == 0
    assert len(read_measured(tmp_path / "results").measured) == 1, "the latest counts"


def test_lanes_that_cannot_be_measured_are_said(gradrace, tmp_path):
    (tmp_path / "s.toml").write_text(tiny.toml({**tiny.TINY, "dtype": "float32", "timing": False}))
    done = gradrace("calibrate", "s.toml", "--population", "3", "-k", "adam")
    assert done.returncode == ExitCode.NOTHING_MEASURED
    assert "float64 only" in done.stderr
    assert gradrace("calibrate", "s.toml", "--population", "3", "-k", "nix").returncode == 5


def test_a_killed_driver_loses_no_finished_population(gradrace, tmp_path):
    (tmp_path / "s.toml").write_text(
        tiny.toml({**tiny.TINY, "timing": False, "seeds": 30, "steps": 200, "eval_every": 50})
    )
    command = [
        sys.executable,
        "-m",
        "gradrace",
        "run",
        "s.toml",
        "--population",
        "5",
        "--no-report",
    ]
    driver = subprocess.Popen([*command, "-j", "1"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    folder = tmp_path / "results" / "runs" / "s"
    kept = lambda: {name for name in stored(tmp_path / "results", "s").digests()}
    wait_for(lambda: folder.is_dir() and len(kept()) >= 5)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    before = kept()
    assert before and len(before) % 5 == 0, "whole populations"
    done = gradrace("run", "s.toml", "--population", "5", "--no-report", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cached"] == len(before)
    clean = gradrace("run", "s.toml", "--population", "5", "--no-report", "-o", "clean")
    assert clean.returncode == 0, clean.stderr
    one, other = (table(load(tmp_path / name)) for name in ("results", "clean"))
    pd.testing.assert_frame_equal(one, other)
    shards = [
        gradrace(
            "run", "s.toml", "--population", "5", "--no-report", "-o", "parts", "--shard", f"{i}/3"
        )
        for i in (3, 1, 2)
    ]
    assert [shard.returncode for shard in shards] == [0, 0, 0]
    gradrace("run", "s.toml", "--population", "5", "--no-report", "-o", "parts")
    pd.testing.assert_frame_equal(table(load(tmp_path / "parts")), other)

"""Calibration: a replay of kept launches is the rule itself; rates, intervals, the file, quotes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from gate_cases import make_repository
from gradrace.errors import UserError
from gradrace.gate import calibrate
from gradrace.gate.calibrate import (
    CalibrationFile,
    Gate,
    add,
    file_in,
    here,
    quoted,
    rates,
    read,
    replay,
    rows,
)
from gradrace.machine.place import machine_type
from gradrace.paired import StopRule
from gradrace.paired.measure import Launch
from gradrace.paired.processes import Failure
from gradrace.paired.run import search
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta


def launches(ratios):
    return [
        Launch(float(np.log(ratio)), float(np.log(ratio)), 1e-4, 1e-4 * ratio, False)
        for ratio in ratios
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from([1.0, 1.03, 1.1]),
    st.sampled_from([0.005, 0.03]),
    st.sampled_from([30.0, 100.0]),
)
def test_a_replay_is_the_gate_itself(seed, ratio, spread, budget):
    """Launches of 5 s each, judged live and from the file: the same verdict."""
    rule, rng = StopRule(budget_s=budget), np.random.default_rng(seed)
    taken = launches(ratio * np.exp(rng.normal(0, spread, 200)))
    count = 0

    def live(_):
        nonlocal count
        count += 1
        return {0: taken[count - 1]}

    cell = search(1, live, rule, clock=lambda: 5.0 * count)[0]
    ended = [5.0 * (number + 1) for number in range(200)]
    found = replay(taken[:count], ended[:count], rule)
    assert found is not None and found.launches == count
    assert (found.pair.decision, found.pair.confirmed) == (cell.decision, cell.confirmed)
    fewer = replay(taken[: count - 1], ended[: count - 1], rule)
    assert fewer is None, "with one less, it asks for more"


def test_thresholds_share_launches_and_end_apart():
    taken = iter(launches([1.05, 1.051, 1.049, 1.05, 1.05, 1.051] * 40))
    outcomes, ended, found = calibrate._launch_until_decided(
        lambda: next(taken), [0.03, 0.2], StopRule(), lambda line: None
    )
    assert {t: at.pair.decision for t, at in found.items()} == {0.03: "regression", 0.2: "ok"}
    assert found[0.03].launches == 12
    assert found[0.2].launches == 6
    assert len(outcomes) == len(ended) == 12


def test_a_side_that_fails_ends_its_gate():
    outcomes, _, found = calibrate._launch_until_decided(
        lambda: Failure("broken"), [0.05, 0.1], StopRule(), lambda line: None
    )
    assert len(outcomes) == 1 and {at.pair.decision for at in found.values()} == {"failed"}


LAUNCHES = {"log_ratios": (0.0,) * 6, "cpu_log_ratios": (0.0,) * 6, "contended": 0}
LAUNCHES |= {"ended_s": tuple(range(5, 35, 5)), "launches": {"0.05": 6}}
PLACE = {"machine_type": machine_type(), "versions": {}, "framework": "torch", "rule": StopRule()}
PLACE |= {"cell": "digits_mlp/torch-eager/sgd", "started_at": "2026-03-01T10:00:00.000+00:00"}


def make_gate(slowdown=0.0, decision="ok", **changes):
    made = {**PLACE, **LAUNCHES, "slowdown": slowdown, "decisions": {"0.05": decision}}
    return Gate(**{**made, **changes})


def test_rates_have_the_exact_interval():
    decisions = ["ok"] * 38 + ["regression", "inconclusive", "failed"]
    gates = [make_gate(decision=decision) for decision in decisions]
    gates += [make_gate(0.05, decision) for decision in ["regression"] * 19 + ["ok"]]
    equal, slower = rates(gates)
    assert (equal.gates, equal.regressions, equal.inconclusive, equal.longest_s) == (40, 1, 1, 30.0)
    interval = (beta.ppf(0.025, 1, 40), beta.ppf(0.975, 2, 39))
    assert (equal.low, equal.high) == pytest.approx(interval)
    assert (slower.gates, slower.regressions, slower.slowdown) == (20, 19, 0.05)
    assert equal.improvements == 0 and "called an improvement" in rows([equal])[0]
    assert rows([equal, slower])[0]["rate [95%]"] == "2.5% [0.1%, 13.2%]" and rates([]) == []


QUOTE = (
    "0 false alarms in 1 A/A gates of one cell (95% interval of the rate 0.0% to 97.5%);"
    " 5% slower found in 1 of 1; threshold 5%, measured 2026-03-01 to 2026-03-01"
)


def test_gates_are_added_and_quoted(tmp_path):
    assert read(tmp_path) == CalibrationFile()
    assert quoted(tmp_path, 0.05).startswith("not calibrated on this type of machine")
    on_mars = make_gate(machine_type="Mars", decision="regression")
    for gate in (make_gate(), make_gate(0.05, "regression"), on_mars):
        add(tmp_path, gate)
    assert len(read(tmp_path).gates) == 3 and len(here(tmp_path)) == 2
    assert quoted(tmp_path, 0.04) == QUOTE
    assert len(file_in(tmp_path).read_text().splitlines()) == 5 + 3, "a gate a line"


BROKEN = [
    ("{", "truncated"),
    ('{"schema": 2}', "newer"),
    ('{"schema": 1, "gates": [1]}', "gates.0"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_a_broken_calibration_is_refused(tmp_path, content, message):
    file_in(tmp_path).write_text(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def command(tmp_path, monkeypatch, options):
    """Calls `gradrace calibrate` with these options in a repository."""
    from gradrace.cli import app
    from typer.testing import CliRunner

    monkeypatch.chdir(make_repository(tmp_path / "repository"))
    words = ["calibrate", "tiny.toml", *options.split(), "-q"]
    return lambda *more: CliRunner().invoke(app, [*words, *more])


def test_ctrl_c_keeps_finished_gates_and_a_second_call_adds(tmp_path, monkeypatch):
    """Whole gates are made up here; launches of real ones are below."""
    call = command(tmp_path, monkeypatch, "--load mine.py --gates 2 --slowdowns 0.1")
    file = tmp_path / "repository/results/calibration.json"
    measured = []

    def measure(pair, side, slowdown, thresholds, rule, watch):
        measured.append(pair.name)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return make_gate(slowdown, cell=pair.name)

    monkeypatch.setattr(calibrate, "measure", measure)
    done = call()
    assert done.exit_code == 130 and "finished gates are kept" in done.output
    assert len(json.loads(file.read_text())["gates"]) == 2
    assert call("--json").exit_code == 0
    assert len(json.loads(file.read_text())["gates"]) == 6
    assert len(set(measured)) == 2, "cells take turns"


@pytest.mark.slow
def test_a_gate_of_real_launches(tmp_path, monkeypatch):
    options = "-k sgd --gates 1 --launches 3 --thresholds 0.9 --json"
    done = command(tmp_path, monkeypatch, options)("--slowdowns", "")
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    assert found["gates"] == 1 and found["slowdown"] == 0.0 and found["regressions"] == 0
    (kept,) = read(tmp_path / "repository/results").gates
    assert len(kept.log_ratios) == kept.launches["0.9"] and kept.versions and shutil.which("git")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"launches": {}}, "launches: threshold"),
        ({"ended_s": []}, "launches: threshold"),
        ({"decisions": {"x": "ok"}}, "decisions: 'x' is no threshold"),
        ({"slowdown": float("nan")}, "slowdown: expected a finite number"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(tmp_path, changes, says):
    gate = json.loads(make_gate(0.0).model_dump_json()) | changes
    (tmp_path / "calibration.json").write_text(json.dumps({"schema": 1, "gates": [gate]}))
    with pytest.raises(UserError, match=f"calibration.json: not a calibration .*{says}"):
        calibrate.read(tmp_path)

"""Results of several machines in one folder: their times are never pooled, nor mixed in a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import records
from gradrace.record import Curve, Energy, Memory
from gradrace.report import page, record_text, tables, timing_text
from gradrace.results import frame
from gradrace.spec import RunSpec
from hypothesis import given, settings
from hypothesis import strategies as st
from records import MACHINE, MEMORY, make_results, make_specs, make_task

A1, B2 = (MACHINE.model_copy(update={"host": host}) for host in ("a1", "b2"))
ON_A1, ON_B2 = "a1: Test Processor 3000, 2 cores", "b2: Test Processor 3000, 2 cores"
TASK = make_task("mlp", steps=60, target=0.85)
Where = Callable[[RunSpec], str]


def curve(spec: RunSpec) -> Curve:
    """The same for every seed: the target is reached at step 30."""
    at = np.arange(0, 61, 6)
    metrics = np.where(at >= 30, 0.9, 0.5)
    return Curve(np.linspace(2.0, 1.0, 60), at, 2.0 - metrics, metrics)


def fields(host: str) -> dict[str, Any]:
    """Of a record of this host: b2 is twice as slow, and takes twice the memory."""
    factor = {"a1": 1, "b2": 2}[host]
    peak = MEMORY.imported_bytes + factor * 2**24
    return {
        "machine": {"a1": A1, "b2": B2}[host],
        **{"import_s": 1.0 * factor, "setup_s": 0.5 * factor, "first_call_s": 0.25 * factor},
        "memory": Memory(imported_bytes=MEMORY.imported_bytes, peak_bytes=peak, method="made up"),
        "energy": Energy(joules=10.0 * factor, source="made up"),
    }


def of_measure(spec: RunSpec, host: str) -> dict[str, Any]:
    found = fields(host)
    for name, measure in (("memory", "memory"), ("energy", "convergence")):
        found[name] = found[name] if spec.measure == measure else None
    return found


def load(output: Path, specs: list[RunSpec], where: Where) -> frame.Frames:
    make_results(
        output, specs=specs, curve=curve, fields=lambda spec: of_measure(spec, where(spec))
    )
    return frame.load(output)


@pytest.fixture(autouse=True)
def _launches_differ(monkeypatch):
    """So that each set of launches has figures of its own."""
    monkeypatch.setattr(records, "LAUNCH_FACTOR", 1.3)


def suite(seeds: Collection[int] = range(6), launches: int = 6) -> list[RunSpec]:
    return make_specs(
        [TASK, TASK.model_copy(update={"batch_size": 32})],
        ["torch", "jax"],
        ["adam"],
        seeds,
        launches=launches,
        breakdown=True,
        memory=True,
    )


def by_half(spec: RunSpec) -> str:
    """Even seeds, launches and all memory runs on a1."""
    number = spec.seed if spec.measure == "convergence" else spec.launch
    return "b2" if number % 2 else "a1"


TIME = re.compile(r"(_s|seconds|_bytes|per_s|parts_covered)(_low|_high|_min|_max|_mean)?$")
# Exact numbers of the optimizer and of its mode, alike on every machine.
COUNTS = ("first_call_steps", "state_bytes")


def times_of(table: pd.DataFrame) -> list[str]:
    return [name for name in table if TIME.search(name) and name not in COUNTS]


def rows_of(table: pd.DataFrame, machine: str) -> pd.DataFrame:
    """The figures that are of this machine, row by row."""
    named = "machine" if "machine" in table else "timed_on"
    assert named in table, list(table)
    return table.loc[table[named] == machine, times_of(table)].reset_index(drop=True)


@pytest.mark.parametrize(("machine", "host"), [(ON_A1, "a1"), (ON_B2, "b2")])
def test_every_table_has_the_times_of_a_machine_as_if_it_were_alone(tmp_path, machine, host):
    of_host = [spec for spec in suite() if by_half(spec) == host]
    alone = load(tmp_path / "alone", of_host, lambda spec: host)
    both = load(tmp_path / "both", suite(), by_half)
    (_, data), (_, own) = page.build(both), page.build(alone)
    data["timing_cells"], own["timing_cells"] = map(frame.timing_cells, (both, alone))
    timed = {name: table for name, table in data.items() if times_of(table)}
    assert len(timed) >= 8
    for name, table in timed.items():
        found, expected = rows_of(table, machine), rows_of(own[name], machine)
        if "timed_on" in table:
            # One machine for a whole task; of b2 alone it is b2.
            assert set(table["timed_on"]) == {ON_A1}, name
        if "digest" in table:
            found = rows_of(table[table["digest"].isin(own[name]["digest"])], machine)
        if name == "demo/arrivals.csv":
            # Limits are over seeds, which are pooled.
            found, expected = found[["seconds"]], expected[["seconds"]]
        if "timed_on" not in table or machine == ON_A1:
            assert len(expected), name
            pd.testing.assert_frame_equal(found, expected, obj=name)


WHERE = st.lists(st.sampled_from(["a1", "b2"]), min_size=12, max_size=12)


@settings(max_examples=10, deadline=None)
@given(hosts=WHERE)
def test_timed_cells_of_any_mixture_are_those_of_each_machine_alone(tmp_path_factory, hosts):
    specs = make_specs([TASK], ["torch", "jax"], ["adam"], [], launches=5, memory=True)
    on = dict(zip((spec.id for spec in specs), hosts, strict=True))
    both = load(tmp_path_factory.mktemp("both"), specs, lambda spec: on[spec.id])
    for host, machine in (("a1", ON_A1), ("b2", ON_B2)):
        own = [spec for spec in specs if on[spec.id] == host]
        for table in (frame.timing_cells, lambda frames: tables.step_times(frames, "demo")):
            found = rows_of(table(both), machine)
            assert found.empty == (not own)
            if own:
                alone = load(tmp_path_factory.mktemp(host), own, lambda spec, host=host: host)
                pd.testing.assert_frame_equal(found, rows_of(table(alone), machine))


def test_rows_say_host_driver_and_machine(tmp_path):
    frames = load(tmp_path, suite(), by_half)
    runs = frames.runs
    assert set(zip(runs["host"], runs["machine"], strict=True)) == {("a1", ON_A1), ("b2", ON_B2)}
    # Whoever keeps a record says so in it.
    drivers = [frames.records[digest].driver for digest in runs["digest"]]
    assert list(runs["driver"]) == drivers and all(drivers)
    found = dict(record_text.lines(record_text.find(tmp_path, str(runs["digest"][0]))))
    assert found["driver"] == drivers[0] and found["machine"].startswith("a1: Test Processor 3000")


def test_the_page_of_one_machine_does_not_name_it(tmp_path):
    def shown(host: str) -> str:
        changed = {"machine": MACHINE.model_copy(update={"host": host})}
        folder = tmp_path / f"on{host}"
        make_results(folder, specs=suite(), curve=curve, fields=lambda spec: changed)
        return page.build(frame.load(folder))[0]["suite-demo.html"]

    assert shown("a1") == shown("")


def test_the_page_names_machines_and_warns(tmp_path):
    shown = page.build(load(tmp_path, suite(), by_half))[0]["suite-demo.html"]
    assert "Timed on several machines (a1, b2), 4 cells on more than one" in shown
    counts = pd.Series([by_half(spec) for spec in suite()]).value_counts()
    for host, runs in counts.items():
        assert re.search(rf"{host}: Test Processor 3000, .* — {runs} runs", shown), host
    assert "jax (scan) on a1" in shown and "jax (scan) on b2" in shown
    assert "mlp: outcome and cost; steps timed on a1" in shown


def test_one_machine_for_a_task_is_that_which_timed_most_of_its_settings(tmp_path):
    """torch and jax are timed on b2, torch on a1 as well; tensorflow on a1 alone."""
    specs = make_specs([TASK], ["torch", "tensorflow", "jax"], ["adam"], range(2), launches=2)
    hosts = {"torch": ("a1", "b2"), "jax": ("b2", "b2"), "tensorflow": ("a1", "a1")}

    def where(spec: RunSpec) -> str:
        numbers = {"timing": spec.launch, "convergence": spec.seed}
        pair = hosts[spec.framework] if spec.measure == "timing" else ("a1", "b2")
        return pair[numbers[spec.measure]]

    def only_jax_more(spec: RunSpec) -> RunSpec:
        mode = "jit" if spec.framework == "jax" else spec.mode
        return spec.model_copy(update={"mode": mode})

    more = [only_jax_more(spec) for spec in specs if spec.framework == "jax"]
    frames = load(tmp_path, [*specs, *more], where)
    summary = tables.summary(frames, "demo")
    on = dict(zip(summary["framework"] + summary["mode"], summary["timed_on"], strict=True))
    assert on == {"torcheager": ON_B2, "jaxscan": ON_B2, "jaxjit": ON_B2, "tensorflowgraph": ""}
    lost = summary[summary["framework"] == "tensorflow"].iloc[0]
    assert np.isnan(lost["seconds_to_target"])
    assert lost["timed_instead"] == f"only graph, canonical, on {ON_A1}"
    tried = tables.attempts(frames, "demo").groupby("framework")
    assert tried["other_machine"].all().to_dict() == {
        "torch": False,
        "tensorflow": True,
        "jax": False,
    }
    compact = tables.summary_compact(frames, "demo").set_index("framework")
    assert compact.loc["torch (eager)", "step µs p25"] == "520 on b2"


def test_joules_of_several_machines_are_not_averaged(tmp_path):
    name = "joules_per_1000_steps_mean"
    both = load(tmp_path / "both", suite(), by_half)
    assert tables.summary(both, "demo")[name].isna().all()
    shown = page.build(both)[0]["suite-demo.html"]
    assert "Not averaged in 4 cells whose runs are of several machines." in shown
    each = load(tmp_path / "each", suite(), lambda spec: "b2")
    assert list(tables.summary(each, "demo")[name]) == pytest.approx([1000 * 20 / 60] * 4)


def test_a_terminal_names_the_machine_of_a_cell(tmp_path):
    cells = frame.timing_cells(load(tmp_path, suite(), by_half))
    names = timing_text.names(cells)
    assert len(set(names)) == len(names) and all(re.search(r" on (a1|b2)$", of) for of in names)
    assert any("several machines" in note for note in timing_text.notes(cells))
    one = frame.timing_cells(load(tmp_path / "one", suite(), lambda spec: "b2"))
    assert not any(" on " in name for name in timing_text.names(one))
    assert not any("machine" in note for note in timing_text.notes(one))


CARDS = ["H100, index 0", "H100, index 1"]


@pytest.mark.parametrize(
    ("gpus", "names"),
    [
        ([""], {"jax (jit)"}),
        (CARDS[:1], {"jax (jit)"}),
        (CARDS, {f"jax (jit) on {ON_A1}, {card}" for card in CARDS}),
    ],
)
def test_cards_of_a_machine_are_kept_apart(tmp_path, gpus, names):
    """Launches of a GPU take turns on these cards; one that failed does not know its card."""
    specs = make_specs([TASK], ["jax"], ["adam"], [], launches=4, native=True)
    specs = [spec.model_copy(update={"device": "gpu"}) for spec in specs]

    def judge(spec: RunSpec) -> records.Verdict:
        return ("failed", "no memory") if spec.launch == 3 and len(gpus) == 1 else ("ok", "")

    def changed(spec: RunSpec) -> dict[str, Any]:
        gpu = gpus[spec.launch % len(gpus)] if judge(spec)[0] == "ok" else ""
        return {"machine": A1, "gpu": gpu}

    make_results(tmp_path, specs=specs, judge=judge, fields=changed)
    found = tables.step_times(frame.load(tmp_path), "demo")
    assert len(found) == len(names) and set(found["setup"]) == names


def test_seeds_of_several_machines_are_one_cell(tmp_path):
    """Losses and steps do not depend on the machine."""
    both = tables.summary(load(tmp_path, suite(), by_half), "demo")
    assert len(both) == 4 and set(both["runs"]) == {6} and set(both["attempts"]) == {6}

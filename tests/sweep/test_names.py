"""Runs of a suite are told apart by what they are: none is lost because two names are alike."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.record import RunRecord, RunResult
from gradrace.registry import load_registry
from gradrace.report import tables
from gradrace.results import frame
from gradrace.results.columns import CELL
from gradrace.schedules import complete
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec, digest, number_text, step_setting
from gradrace.suite import expand, make_suite
from gradrace.suite.names import told_apart
from gradrace.sweep.store import PlanFile, Store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import MACHINE
from tiny import TINY

REGISTRY = load_registry()
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def expanded(**changes):
    return expand(make_suite("tiny", {**TINY, "seeds": 1, "timing": False, **changes}), REGISTRY)


def adam(**hyper):
    return {"name": "adam", "learning_rate": 1e-3, "hyper": hyper}


def multi_step(factor):
    return {"kind": "multi_step", "params": {"milestones": [0.5], "factor": factor}}


def sgd(*rates):
    return {"optimizers": [{"name": "sgd", "learning_rate": list(rates)}]}


FACTORS = [multi_step(0.1), multi_step(0.1000001)]
PENALTIES = [{"l2": 1e-4}, {"l2": 1.0000001e-4}]
BETAS = [adam(beta1=0.8, beta2=0.9), adam(beta1=0.8, beta2=0.99)]
DIFFERENT = [
    ({"optimizers": [adam(epsilon=1e-8), adam(epsilon=0.1)]}, "epsilon=1e-08", "epsilon=0.1"),
    ({"optimizers": [{"name": "adam"}, adam(beta1=0.8)]}, "", "beta1=0.8"),
    ({"optimizers": BETAS}, "beta2=0.9", "beta2=0.99"),
    (sgd(0.1, 0.1000001), "lr0.1/", "lr0.1000001/"),
    (sgd(1234567.0, 1234568.0), "lr1234567/", "lr1234568/"),
    ({"schedules": FACTORS}, "factor=0.1)", "=0.1000001)"),
    ({"train_fractions": [0.5, 0.5000001]}, "fraction=0.5/", "fraction=0.5000001/"),
    ({"regularization": PENALTIES}, "l2=0.0001/", "0.00010000001/"),
]


@pytest.mark.parametrize(("swept", "one", "other"), DIFFERENT)
def test_settings_that_differ_are_runs_of_their_own(swept, one, other):
    ids = [run.id for run in expanded(**{"optimizers": ["sgd"], **swept})]
    assert len(set(ids)) == len(ids) == 2
    assert one in ids[0] and other in ids[1], ids


def test_the_difference_of_two_entries_is_named_in_all_runs_of_the_optimizer():
    two_rates = {**adam(epsilon=0.1), "learning_rate": [1e-3, 1e-2]}
    runs = expanded(optimizers=[adam(epsilon=1e-8), two_rates, "sgd"])
    small, large = {"epsilon": 1e-8}, {"epsilon": 0.1}
    assert [run.variations for run in runs] == [small, large, large, {}]


def test_what_is_said_twice_is_run_once():
    alike = [
        ["sgd", "sgd"],
        [adam(epsilon=0.1), adam(epsilon=0.1)],
        [{"name": "adam"}, adam()],
        [adam(beta1=[0.8, 0.8])],
    ]
    for optimizers in alike:
        own = [e if isinstance(e, str) else {"learning_rate": 1e-3, **e} for e in optimizers]
        assert len(expanded(optimizers=own)) == 1, optimizers
    runs = expanded(optimizers=["sgd"], depth=[1], hidden=[64, [64]])
    assert len(runs) == 1, "one size, written in two ways"


def test_a_hyperparameter_may_be_called_as_a_variation_is(make_run):
    spec = make_run().model_copy(update={"variations": {"depth": 4}})
    both = [OptimizerSpec(name="strange", hyper={"depth": depth}) for depth in (1.0, 2.0)]
    runs = told_apart(
        (spec.model_copy(update={"optimizer": optimizer}) for optimizer in both), "mine.toml"
    )
    assert [run.variations for run in runs] == [
        {"depth": 4, "hyper.depth": 1.0},
        {"depth": 4, "hyper.depth": 2.0},
    ]


def test_two_runs_that_no_name_tells_apart_are_an_error_that_names_both(make_run):
    one = make_run()
    other = one.model_copy(update={"task": one.task.model_copy(update={"target": 0.123})})
    said = "mine.toml: two different runs have the same name, convergence/"
    with pytest.raises(UserError, match=f"{said}.*task.target is .* 0.123"):
        told_apart([one, other], "mine.toml")


@given(st.lists(NUMBERS, min_size=2, max_size=2, unique=True) | st.just([0.1, 0.1000001]))
def test_different_numbers_have_different_texts(pair):
    assert number_text(pair[0]) != number_text(pair[1])
    assert [float(number_text(value)) for value in pair] == pair, "the text gives the number back"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.001, "0.001"),
        (1e-5, "1e-05"),
        (1.0, "1"),
        (0.1000001, "0.1000001"),
        (1234567.0, "1234567"),
        (2**60 + 1, str(2**60 + 1)),
        (np.float64(0.1000001), "0.1000001"),
        ((2.0, 0.5), "2+0.5"),
    ],
)
def test_numbers_are_written_shortly(value, text):
    assert number_text(value) == text


CLOSE = st.sampled_from([0.1, 0.1000001, 0.10000001, 0.5, 0.9])
ENTRY = st.fixed_dictionaries(
    {"name": st.just("adam"), "learning_rate": st.lists(CLOSE, min_size=1, max_size=2)},
    optional={
        "hyper": st.dictionaries(
            st.sampled_from(["beta1", "beta2"]), CLOSE | st.lists(CLOSE, min_size=1, max_size=2)
        )
    },
)
SUITE = st.fixed_dictionaries(
    {"optimizers": st.lists(ENTRY, min_size=1, max_size=3)},
    optional={
        "schedules": st.lists(st.builds(multi_step, CLOSE), min_size=1, max_size=2),
        "threads": st.lists(st.sampled_from([1, 2]), min_size=1, max_size=2),
        "dtype": st.lists(st.sampled_from(["float32", "float64"]), min_size=1, max_size=2),
        "batch_sizes": st.lists(st.sampled_from([8, 16]), min_size=1, max_size=2),
    },
)


def many(value):
    return value if isinstance(value, list) else [value]


def wanted(content):
    """Every setting that the suite asks for, worked out by itself."""
    rates_and_hypers = {
        (rate, *REGISTRY.optimizers["adam"].hypers(dict(zip(hyper, values, strict=True))).values())
        for entry in content["optimizers"]
        for hyper in [entry.get("hyper", {})]
        for rate in entry["learning_rate"]
        for values in itertools.product(*map(many, hyper.values()))
    }
    kinds = {str(schedule) for schedule in content.get("schedules", ["constant"])}
    others = [set(content.get(key, [None])) for key in ("threads", "dtype", "batch_sizes")]
    return set(itertools.product(rates_and_hypers, kinds, *others))


@settings(max_examples=60, deadline=None)
@given(SUITE)
def test_every_setting_is_run_once_under_a_name_of_its_own(content):
    runs = expanded(seeds=1, **content)
    assert len({run.id for run in runs}) == len(runs)
    different = {run.model_dump_json(exclude={"variations"}) for run in runs}
    assert len(different) == len(runs) == len(wanted(content))


@settings(max_examples=30, deadline=None)
@given(SUITE)
def test_every_setting_that_is_trained_is_timed_once(content):
    timing = {"launches": 1, "rule": "native"}
    runs = expanded(timing=timing, **content)
    trained, timed = ([run for run in runs if run.measure == m] for m in ("convergence", "timing"))
    assert len({run.id for run in runs}) == len(runs)
    keys = [step_setting(run) for run in timed]
    native = {step_setting(run) for run in timed if run.optimizer.rule == "native"}
    assert len(set(keys)) == len(keys) and set(keys) - native == {
        step_setting(run) for run in trained
    }
    assert all(run.optimizer.hyper == {} for run in timed if run.optimizer.rule == "native")


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(SUITE)
def test_tables_tell_apart_what_was_run(tmp_path, content):
    """No row of the summary, series of a figure or compared cell stands for two settings."""
    runs = expanded(timing={"launches": 1}, **content)
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    made = [digest(run, {}, {}) for run in runs]
    with Store(folder, "s") as store:
        store.write_plan(PlanFile(suite="s", title="t", question="", digests=tuple(made)))
        for run, key in zip(runs, made, strict=True):
            record = RunRecord(
                **{"digest": key, "spec": run, "status": "skipped", "reason": "made up"},
                **{"started_at": "2026-01-01T00:00:00+00:00", "wall_s": 0.0, "machine": MACHINE},
                **{"versions": {}, "sources": {}, "cores": ()},
            )
            store.write(RunResult(record, None, None))
    frames = frame.load(folder)
    trained = [run for run in runs if run.measure == "convergence"]
    summary = tables.summary(frames, "s")
    assert len(summary) == len(trained)
    compact = tables.summary_compact(frames, "s")
    named = compact["task"] + compact["framework"] + compact["optimizer"]
    assert named.is_unique, list(named)
    rows = tables.runs(frames, "s", "convergence")
    assert not rows.duplicated(["task", "setup", "series", "learning_rate"]).any()
    assert len(tables.step_times(frames, "s")) == len(runs) - len(trained)
    assert frames.runs.groupby(CELL).size().max() == 1
    assert frame.timing_cells(frames)["digests"].str.split().map(len).max() == 1


def test_the_setting_of_a_step_leaves_out_what_changes_numbers_alone(make_run):
    run = make_run()

    def task(**changes):
        return {"task": run.task.model_copy(update=changes)}

    def optimizer(**changes):
        return {"optimizer": run.optimizer.model_copy(update=changes)}

    same = [
        *({"seed": 7}, {"schedule": complete(ScheduleSpec(kind="cosine", base_lr=0.7))}),
        {"variations": {"epsilon": 0.1}},
        task(steps=9, eval_every=3, target=0.1, train_fraction=0.5),
    ]
    other = [
        *({"mode": "another"}, {"framework": "jax"}, {"dtype": "bfloat16"}, {"threads": 2}),
        *({"device": "gpu"}, {"input": "pipeline"}, task(batch_size=7)),
        optimizer(rule="native"),
        optimizer(hyper={**run.optimizer.hyper, "epsilon": 0.1}),
    ]
    assert {step_setting(run.model_copy(update=change)) for change in same} == {step_setting(run)}
    settings = [step_setting(RunSpec.model_validate({**dict(run), **change})) for change in other]
    assert len({*settings, step_setting(run)}) == len(other) + 1

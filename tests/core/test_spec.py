"""Specs: JSON and back, refusals, and a digest that changes with everything that matters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec, TaskSpec, TimingSpec, digest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

CHANGES: list[dict[str, Any]] = [
    {"seed": 1},
    {"dtype": "float32"},
    {"threads": 2},
    {"device": "gpu"},
    {"mode": "other"},
    {"framework": "other"},
    {"optimizer": OptimizerSpec(name="adam", hyper={"beta1": 0.8})},
    {"optimizer": OptimizerSpec(name="adam", rule="native")},
    {"schedule": ScheduleSpec(kind="constant", base_lr=0.5)},
    {"schedule": ScheduleSpec(kind="cosine", base_lr=1e-3)},
    {"measure": "timing", "timing": TimingSpec()},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_digest_changes_with_each_field(make_run, change):
    before, after = make_run(), make_run(**change)
    assert digest(before, {}, {}) != digest(after, {}, {})


def test_digest_changes_with_versions_and_sources(make_run):
    run = make_run()
    assert (
        len({digest(run, {}, {}), digest(run, {"torch": "1"}, {}), digest(run, {}, {"clock": "a"})})
        == 3
    )


def test_digest_does_not_depend_on_the_order_of_keys(make_run):
    one = make_run(optimizer=OptimizerSpec(name="adam", hyper={"beta1": 0.8, "beta2": 0.9}))
    two = make_run(optimizer=OptimizerSpec(name="adam", hyper={"beta2": 0.9, "beta1": 0.8}))
    assert digest(one, {"a": "1", "b": "2"}, {}) == digest(two, {"b": "2", "a": "1"}, {})


@given(
    seed=st.integers(0, 2**40),
    rate=st.floats(1e-300, 1e300),
    hyper=st.dictionaries(
        st.text("abc", min_size=1, max_size=3), st.floats(allow_nan=False, allow_infinity=False)
    ),
)
def test_json_and_back_is_the_same_value(registry, seed, rate, hyper):
    run = RunSpec(
        task=registry.tasks["digits_cnn"],
        optimizer=OptimizerSpec(name="adam", hyper=hyper),
        schedule=ScheduleSpec(kind="constant", base_lr=rate),
        framework="torch",
        mode="eager",
        seed=seed,
    )
    again = RunSpec.model_validate(json.loads(json.dumps(run.to_json())))
    assert again == run
    assert digest(again, {}, {}) == digest(run, {}, {})


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"threads": 0},
        {"dtype": "float16"},
        {"framework": "../escape"},
        {"schedule": {"kind": "constant", "base_lr": 0.0}},
        {"schedule": {"kind": "constant", "base_lr": float("nan")}},
        {"optimizer": {"name": "adam", "hyper": {"beta1": float("inf")}}},
        {"surprise": 1},
        {"measure": "timing"},
        {"timing": {"blocks": 5}},
    ],
    ids=str,
)
def test_impossible_values_are_refused(make_run, change):
    with pytest.raises(ValidationError):
        RunSpec.model_validate({**make_run().to_json(), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "huber"}, "accuracy cannot be the metric of huber; r2 can"),
        ({"loss": "output"}, "accuracy cannot be the metric of output; negative_loss can"),
        ({"metric": "r2"}, "r2 cannot be the metric of softmax_cross_entropy; accuracy can"),
        (
            {"loss": "mean_squared_error", "metric": "r2", "label_smoothing": 0.1},
            "label_smoothing needs labels",
        ),
    ],
    ids=str,
)
def test_losses_and_metrics_that_do_not_fit_are_refused(registry, change, message):
    with pytest.raises(ValidationError, match=message):
        TaskSpec.model_validate({**registry.tasks["digits_mlp"].to_json(), **change})


def test_specs_cannot_be_changed(make_run):
    with pytest.raises(ValidationError):
        make_run().seed = 3


def test_a_model_whose_shapes_do_not_fit_is_refused(registry):
    task = registry.tasks["digits_cnn"].to_json()
    with pytest.raises(ValidationError, match="5_max_pool2d"):
        type(registry.tasks["digits_cnn"]).model_validate({**task, "input_shape": [3, 3, 1]})

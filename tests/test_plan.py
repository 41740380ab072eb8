"""What is drawn once for all frameworks: batches and initial weights."""

from __future__ import annotations

import numpy as np
import pytest
from gradrace.plan import draw_batches, initial_weights, make_plan
from hypothesis import given
from hypothesis import strategies as st


@given(
    samples=st.integers(1, 60), batch=st.integers(1, 60), steps=st.integers(1, 30), seed=st.integers(0, 2**32)
)
def test_batches_visit_every_row_at_most_once_an_epoch(samples, batch, steps, seed):
    if batch > samples:
        with pytest.raises(ValueError, match="larger than the training split"):
            draw_batches(samples, batch, steps, seed)
        return
    batches = draw_batches(samples, batch, steps, seed)
    assert batches.shape == (steps, batch)
    per_epoch = samples // batch
    for start in range(0, steps, per_epoch):
        epoch = batches[start : start + per_epoch].ravel()
        assert len(set(epoch)) == len(epoch)
        assert epoch.min() >= 0 and epoch.max() < samples
    longer = draw_batches(samples, batch, steps + 7, seed)
    assert np.array_equal(longer[:steps], batches), "a longer run begins with the same batches"


def test_epochs_and_seeds_differ():
    batches = draw_batches(1152, 32, 72, seed=0)
    assert not np.array_equal(batches[:36], batches[36:])
    assert not np.array_equal(batches, draw_batches(1152, 32, 72, seed=1))


def test_initial_weights_follow_their_laws(registry):
    weights = initial_weights(registry.tasks["digits_mlp"], seed=0)
    he, glorot = weights["0_dense.kernel"], weights["4_dense.kernel"]
    assert he.std() == pytest.approx(np.sqrt(2 / 64), rel=0.03)
    limit = np.sqrt(6 / (128 + 10))
    assert np.abs(glorot).max() <= limit and glorot.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
    assert not weights["0_dense.bias"].any()


def test_initial_weights_depend_on_seed_and_name_alone(registry):
    task = registry.tasks["digits_mlp"]
    shorter = task.model_copy(update={"model": (*task.model[:2], task.model[4])})
    full, cut = initial_weights(task, 0), initial_weights(shorter, 0)
    assert np.array_equal(full["0_dense.kernel"], cut["0_dense.kernel"])
    assert not np.array_equal(full["0_dense.kernel"], initial_weights(task, 1)["0_dense.kernel"])


def test_a_plan_is_a_pure_function_of_the_run(make_run, registry):
    run = make_run()
    one, two = (make_plan(run, registry.optimizers["adam"]) for _ in range(2))
    assert np.array_equal(one.batches, two.batches) and np.array_equal(one.learning_rates, two.learning_rates)
    assert one.batches.shape == (20, 32) and one.learning_rates.shape == (20,)

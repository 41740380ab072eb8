"""What is drawn once for all frameworks: batches and initial weights."""

from __future__ import annotations

import numpy as np
import pytest
from gradrace.data import Data, Split
from gradrace.plan import draw_batches, initial_weights, kept_samples, make_plan, training_rows
from hypothesis import given
from hypothesis import strategies as st


@given(
    samples=st.integers(1, 60),
    batch=st.integers(1, 60),
    steps=st.integers(1, 30),
    seed=st.integers(0, 2**32),
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
    assert np.abs(glorot).max() <= limit and glorot.std() == pytest.approx(
        limit / np.sqrt(3), rel=0.05
    )
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
    assert np.array_equal(one.batches, two.batches) and np.array_equal(
        one.learning_rates, two.learning_rates
    )
    assert one.batches.shape == (20, 32) and one.learning_rates.shape == (20,)


def labelled(labels, classes, name="drawn"):
    """A data set of these labels alone."""
    split = Split(np.zeros((len(labels), 1)), np.asarray(labels))
    return Data(name, {"train": split}, classes, "made for the test")


FRACTIONS = st.floats(0.001, 1.0)


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=80),
    fractions=st.tuples(FRACTIONS, FRACTIONS),
)
def test_smaller_shares_lie_within_larger_ones_and_keep_every_labels_share(labels, fractions):
    data = labelled(labels, 5)
    small, large = (training_rows(data, fraction) for fraction in sorted(fractions))
    assert set(small) <= set(large)
    for fraction, rows in zip(sorted(fractions), (small, large), strict=True):
        assert rows.dtype == np.int64 and len(set(rows)) == len(rows) == kept_samples(
            len(labels), fraction
        )
        counts, whole = (
            np.bincount(data.train.y[rows], minlength=5),
            np.bincount(data.train.y, minlength=5),
        )
        # Within one sample where labels are equally frequent, and never further than rounding every
        # label's count carries.
        assert np.abs(
            counts - len(rows) / len(labels) * whole
        ).max() <= 1 + 2.5 * whole.max() / len(labels)


def test_a_share_of_the_digits_has_all_ten_digits_in_proportion():
    labels = np.repeat(np.arange(10), 100)
    counts = np.bincount(labels[training_rows(labelled(labels, 10), 0.05)])
    assert counts.tolist() == [5] * 10


@pytest.mark.parametrize(
    "task", ["diabetes_mlp", "copy_rnn", "digits_mlp"], ids=["numbers", "sequences", "labels"]
)
def test_the_share_does_not_depend_on_the_seed_and_is_that_of_the_data_set(
    registry, make_run, task
):
    """What is seen in many epochs of any seed is the share, of whatever kind the targets are."""
    seen = []
    for seed in (0, 1):
        run = make_run(task=task, seed=seed, steps=60)
        run = run.model_copy(
            update={
                "task": run.task.model_copy(
                    update={"train_fraction": 0.1, "batch_size": 8, "steps": 200}
                )
            }
        )
        plan = make_plan(run, registry.optimizers["adam"])
        rows = set(plan.batches.ravel().tolist())
        assert rows == set(training_rows(plan.data, 0.1).tolist()), (
            "every sample of the share, and no other"
        )
        seen.append((rows, plan.batches))
    assert seen[0][0] == seen[1][0] and not np.array_equal(seen[0][1], seen[1][1])
    assert len(seen[0][0]) == kept_samples(len(plan.data.train.y), 0.1)


def test_all_of_the_data_is_drawn_as_without_a_share(registry, make_run):
    run = make_run()
    plan = make_plan(run, registry.optimizers["adam"])
    assert np.array_equal(plan.batches, draw_batches(len(plan.data.train.y), 32, 20, 0))


def test_a_batch_larger_than_the_share_is_refused(registry, make_run):
    run = make_run()
    few = run.model_copy(update={"task": run.task.model_copy(update={"train_fraction": 0.01})})
    with pytest.raises(ValueError, match="batch size 32 is larger than the training split of 12"):
        make_plan(few, registry.optimizers["adam"])

"""The loop on a fake session of declared losses, so that all is exact."""

from __future__ import annotations

from itertools import pairwise, starmap

import numpy as np
import pytest
from fake_session import FakeSession
from gradrace.adapter import Metrics
from gradrace.spec import EarlyStopping
from gradrace.statistics.arrivals import first_reaching
from gradrace.worker.train import train


def task_of(make_run, steps=100, every=25):
    return make_run().task.model_copy(update={"steps": steps, "eval_every": every, "target": 0.5})


def test_a_run_is_trained_in_chunks_and_evaluated_between_them(make_run):
    log, losses, pieces = [], np.linspace(2, 1, 90), []
    keep = lambda step, piece: pieces.append((step, piece))
    result = train(FakeSession(losses, log=log), task_of(make_run, 90), keep)
    assert log == [range(0, 25), range(25, 50), range(50, 75), range(75, 90)]
    assert result.status == "ok"
    assert np.array_equal(result.curve.train_losses, losses)
    assert result.curve.eval_steps.tolist() == [0, 25, 50, 75, 90]
    assert result.summary.steps_to_target == 50
    assert result.summary.final_validation_metric == 0.9
    assert result.summary.best_validation_loss == 1 / 91
    assert [step for step, _ in pieces] == [0, 25, 50, 75, 90]
    assert np.array_equal(np.concatenate([piece.train_losses for _, piece in pieces]), losses)


@pytest.mark.parametrize(
    ("bad_step", "value"), [(0, np.nan), (10, np.nan), (30, np.inf), (30, 2.0001e4), (99, -np.inf)]
)
def test_a_diverged_run_ends_early_and_keeps_its_curve(make_run, bad_step, value):
    losses = np.full(100, 2.0)
    losses[bad_step] = value
    result = train(FakeSession(losses), task_of(make_run))
    assert result.status == "diverged"
    assert f"step {bad_step}" in result.reason
    assert len(result.curve.train_losses) == bad_step + 1
    assert (result.curve.eval_steps <= bad_step).all()
    assert result.summary.test_loss is None


def test_a_large_loss_below_the_bound_is_not_divergence(make_run):
    losses = np.full(100, 2.0)
    losses[30] = 1.9999e4
    assert train(FakeSession(losses), task_of(make_run)).status == "ok"


def test_weights_gone_bad_in_the_last_step_are_divergence(make_run):
    session = FakeSession(np.ones(100))
    session.validation = lambda step: Metrics(np.nan if step == 50 else 1.0, 0.1)
    result = train(session, task_of(make_run))
    assert result.status == "diverged" and "validation loss after step 50" in result.reason


def stopping(make_run, losses, **rule):
    """A run of 5 evaluations with these validation losses, under this rule of early stopping."""
    task = task_of(make_run, steps=50, every=10)
    task = task.model_copy(update={"early_stopping": EarlyStopping(**rule)})
    session = FakeSession(np.ones(50))
    session.validation = lambda step: Metrics(losses[step // 10], 0.1)
    return train(session, task)


@pytest.mark.parametrize(
    ("losses", "rule", "step"),
    [
        ([5, 4, 3, 2, 1, 0], {"patience": 1}, None),
        ([5, 4, 4, 3, 3, 3], {"patience": 2}, None),
        ([5, 4, 4, 3, 3, 3], {"patience": 1}, 20),
        ([5, 6, 6, 6, 0, 0], {"patience": 3}, 30),
        ([5, 4, 5, 3, 4, 4], {"patience": 2}, None),
        ([5, 4.5, 4, 3.5, 3, 2], {"patience": 2, "min_delta": 0.6}, None),
        ([5, 4.5, 4.45, 3.9, 3.8, 3.7], {"patience": 2, "min_delta": 0.6}, 20),
        ([5, 4.5, 4, 3, 2.9, 2.8], {"patience": 2, "min_delta": 1.0}, 20),
    ],
)
def test_early_stopping_waits_for_a_lower_validation_loss(make_run, losses, rule, step):
    result = stopping(make_run, losses, **rule)
    assert result.status == "ok" and result.summary.stopped_at == step
    assert result.summary.steps_done == len(result.curve.train_losses) == (step or 50)
    assert result.summary.test_loss is not None
    assert (f"stopped early after step {step}" in result.reason) if step else result.reason == ""


def test_a_run_stopped_early_says_what_it_waited_for(make_run):
    result = stopping(make_run, [5, 4, 4.5, 4.25, 4.5, 0], patience=2)
    waited = "2 evaluations in a row with no validation loss lower than 4 after step 10"
    assert result.reason == f"stopped early after step 30: {waited}"
    assert result.curve.eval_steps.tolist() == [0, 10, 20, 30]


def test_first_reaching():
    steps, metric = np.array([0, 10, 20]), np.array([0.1, 0.9, 0.8])
    assert first_reaching(steps, metric, 0.9) == 10
    assert first_reaching(steps, metric, 0.95) is None


class Descending(FakeSession):
    """Step t takes t + 1 off two parameters: the loss is their norm before the step."""

    def __init__(self, log=None) -> None:
        super().__init__([], log)
        self._weights = {"0_dense.kernel": np.array([300.0, 400.0]), "0_dense.bias": np.zeros(2)}
        self._weights["1_norm.mean"] = np.ones(1)

    def train(self, steps):
        assert steps.start == self._taken and steps, "steps are taken in order, each once"
        self._log.append(steps)
        for step in steps:
            self._pending.append(np.linalg.norm(self._weights["0_dense.kernel"]))
            self._weights = {
                name: array - (step + 1) * ("kernel" in name)
                for name, array in self._weights.items()
            }
        self._taken = steps.stop

    def weights(self):
        return dict(self._weights)

    def gradients(self, step):
        assert step == self._taken, "the gradient of the step that comes next"
        return {"0_dense.kernel": np.array([0.0, step + 2.0]), "0_dense.bias": np.zeros(2)}


def test_diagnosing_takes_norms_at_every_evaluated_step_but_the_last(make_run):
    log, task = [], task_of(make_run, 90)
    norms = train(Descending(log), task, diagnose=True).norms
    assert log == list(starmap(range, pairwise([0, 1, 25, 26, 50, 51, 75, 76, 90])))
    of_kernel = norms.parameter == "0_dense.kernel"
    assert set(norms.parameter) == {"0_dense.bias", "0_dense.kernel"}, "only these are trained"
    assert norms.step[of_kernel].tolist() == norms.step[~of_kernel].tolist() == [0, 25, 50, 75]
    assert norms.gradient[of_kernel].tolist() == [2, 27, 52, 77]
    assert norms.update[of_kernel] == pytest.approx(np.sqrt(2) * np.array([1, 26, 51, 76]))
    assert norms.weight[of_kernel][0] == 500
    assert set(norms.zeros[of_kernel]) == {0.5} and set(norms.zeros[~of_kernel]) == {1.0}


def test_diagnosing_changes_no_loss_and_is_off_by_default(make_run):
    task = task_of(make_run, 90)
    plain, diagnosed = train(Descending(), task), train(Descending(), task, diagnose=True)
    assert np.array_equal(plain.curve.train_losses, diagnosed.curve.train_losses)
    assert plain.norms is None


def test_chunks_of_a_single_step_leave_nothing_to_train(make_run):
    log = []
    norms = train(Descending(log), task_of(make_run, 3, 1), diagnose=True).norms
    assert norms.step.tolist() == [0, 0, 1, 1, 2, 2]
    assert log == [range(0, 1), range(1, 2), range(2, 3)]


def test_a_diverged_run_keeps_the_norms_that_it_had(make_run):
    session = Descending()
    session.validation = lambda step: Metrics(np.inf if step else 1.0, 0.0)
    result = train(session, task_of(make_run), diagnose=True)
    assert result.status == "diverged" and result.norms.step.tolist() == [0, 0]


def test_a_diagnosed_run_of_the_reference_has_the_same_bits(make_run, open_numpy):
    run = make_run(steps=40)
    plain = train(open_numpy(run), run.task)
    diagnosed = train(open_numpy(run), run.task, diagnose=True)
    assert np.array_equal(plain.curve.train_losses, diagnosed.curve.train_losses)
    assert np.array_equal(plain.curve.validation_losses, diagnosed.curve.validation_losses)
    norms, layers = diagnosed.norms, ("0_dense", "2_dense", "4_dense")
    trained = {f"{layer}.{part}" for layer in layers for part in ("kernel", "bias")}
    assert set(norms.parameter) == trained
    assert sorted(set(norms.step.tolist())) == [0, 10, 20, 30]
    assert (norms.gradient > 0).all() and (norms.update > 0).all()
    assert np.isfinite(norms.weight).all()

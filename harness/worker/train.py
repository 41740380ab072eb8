"""The training loop over any Session: chunks of steps, evaluations between them, early ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from .. import schedules
from ..adapter import Session
from ..layers import Point
from ..record import Curve, Norms, Status, Summary
from ..spec import ScheduleSpec, TaskSpec
from ..statistics import arrivals
from .norms import NormTaker

# A run whose loss is this many times its first will not come back: it ends as `diverged`.
DIVERGENCE_FACTOR = 1e4


class Training(NamedTuple):
    """The outcome of a convergence run; norms if it was told to diagnose."""

    status: Status
    reason: str
    curve: Curve
    summary: Summary
    norms: Norms | None = None


class _Evaluation(NamedTuple):
    step: int
    loss: float
    metric: float
    point: np.ndarray


def train(
    session: Session,
    task: TaskSpec,
    progress: Callable[[int, Curve], None] = lambda step, piece: None,
    schedule: ScheduleSpec | None = None,
    diagnose: bool = False,
    rates: np.ndarray | None = None,
) -> Training:
    """Trains for `task.steps` updates; evaluates the validation split first and each `eval_every`.

    A run that `task.early_stopping` ends has status ok and a reason. progress: called after every
    chunk with the steps done and that chunk's piece of the curve. schedule: needed if it follows
    the validation loss. diagnose: also take norms, of every evaluated step but the last. rates: the
    learning rate of every step, if the curve is to hold it."""
    if not diagnose:
        return _train(session, session.train, task, progress, schedule, rates)
    taker = NormTaker()
    training = _train(session, partial(taker.train, session), task, progress, schedule, rates)
    return training._replace(norms=taker.norms())


def _train(
    session: Session,
    take: Callable[[range], None],
    task: TaskSpec,
    progress: Callable[[int, Curve], None],
    schedule: ScheduleSpec | None,
    planned: np.ndarray | None,
) -> Training:
    """take: enqueues a chunk of steps."""
    losses, reason = np.empty(0), ""
    status: Status = "ok"
    rates = _Rates(session, schedule, task.steps, planned)
    evaluations = [_evaluate(session, task, 0)]
    progress(0, _curve(losses, evaluations))
    for start in range(0, task.steps, task.eval_every):
        chunk = range(start, min(start + task.eval_every, task.steps))
        take(chunk)
        fresh = session.losses()
        losses = np.concatenate([losses, fresh])
        if reason := _diverged(losses):
            status, losses = "diverged", losses[: _first_bad(losses) + 1]
            break
        evaluations.append(_evaluate(session, task, chunk.stop))
        progress(chunk.stop, _curve(fresh, evaluations[-1:], rates.of(chunk.start, chunk.stop)))
        if not np.isfinite(evaluations[-1].loss):
            status = "diverged"
            reason = f"the validation loss after step {chunk.stop} is {evaluations[-1].loss}"
            break
        if reason := _stopped_early(task, evaluations):
            break
        rates.follow(evaluations)
    curve = _curve(losses, evaluations, rates.of(0, len(losses)))
    stopped_at = evaluations[-1].step if status == "ok" and reason else None
    return _finish(session, task, status, reason, curve, stopped_at)


class _Rates:
    """The learning rates that the curve holds: those of a schedule that follows the validation
    loss, else those planned, if they are given."""

    def __init__(
        self,
        session: Session,
        schedule: ScheduleSpec | None,
        steps: int,
        planned: np.ndarray | None,
    ) -> None:
        self._session = session
        self._schedule = schedule if schedule and schedule.kind == "plateau" else None
        self._table = np.empty(0) if planned is None else planned
        if self._schedule:
            self._table = schedules.table(self._schedule, steps)

    def follow(self, evaluations: list[_Evaluation]) -> None:
        """Hands the session a new table if the last evaluation changes the steps to come."""
        if not self._schedule:
            return
        losses = np.array([evaluation.loss for evaluation in evaluations])
        table = schedules.reduced(self._schedule, self._table, losses, evaluations[-1].step)
        if not np.array_equal(table, self._table):
            self._table = table
            self._session.set_learning_rates(table.copy())

    def of(self, start: int, stop: int) -> np.ndarray:
        """The rates of these steps."""
        return self._table[start:stop]


def _finish(
    session: Session,
    task: TaskSpec,
    status: Status,
    reason: str,
    curve: Curve,
    stopped_at: int | None = None,
) -> Training:
    test = session.evaluate("test") if status == "ok" else None
    summary = summarise(curve, task.target).model_copy(update={"stopped_at": stopped_at})
    if test:
        summary = summary.model_copy(
            update={"test_loss": finite(test.loss), "test_metric": finite(test.metric)}
        )
    return Training(status, reason, curve, summary)


def summarise(curve: Curve, target: float) -> Summary:
    """The scalars of a curve, whole or cut short (see record.Summary)."""
    losses, metrics = curve.validation_losses, curve.validation_metrics
    done = np.isfinite(losses)
    return Summary(
        steps_done=len(curve.train_losses),
        final_train_loss=finite(curve.train_losses[-1]) if len(curve.train_losses) else None,
        final_validation_loss=finite(losses[-1]) if len(losses) else None,
        final_validation_metric=finite(metrics[-1]) if len(metrics) else None,
        best_validation_loss=finite(losses[done].min()) if done.any() else None,
        best_validation_metric=finite(metrics[done].max()) if done.any() else None,
        steps_to_target=arrivals.first_reaching(curve.eval_steps, metrics, target),
    )


def finite(value: float) -> float | None:
    """The value, or None for NaN and infinities, which JSON cannot hold."""
    return float(value) if np.isfinite(value) else None


def _evaluate(session: Session, task: TaskSpec, step: int) -> _Evaluation:
    """Keeps the point too if the whole model is one in the plane: reports draw its path."""
    first = task.model[0] if task.model else None
    plane = isinstance(first, Point) and len(first.start) == 2
    point = (
        np.concatenate(list(session.weights().values())).astype(np.float64)
        if plane
        else np.empty(0)
    )
    return _Evaluation(step, *session.evaluate("validation"), point)


def _curve(
    losses: np.ndarray, evaluations: list[_Evaluation], rates: np.ndarray | None = None
) -> Curve:
    steps, validation_losses, metrics, points = zip(*evaluations, strict=True)
    kept = np.array([point for point in points if len(point)], dtype=np.float64)
    applied = np.empty(0) if rates is None else rates
    return Curve(
        losses,
        np.array(steps, np.int64),
        np.array(validation_losses),
        np.array(metrics),
        applied,
        kept,
    )


def _stopped_early(task: TaskSpec, evaluations: list[_Evaluation]) -> str:
    """Why training ends after the last of these evaluations, or "". A whole budget is not early."""
    rule = task.early_stopping
    if rule is None or evaluations[-1].step >= task.steps:
        return ""
    best = evaluations[0]
    for evaluation in evaluations:
        if evaluation.loss < best.loss - rule.min_delta:
            best = evaluation
    waited = sum(evaluation.step > best.step for evaluation in evaluations)
    if waited < rule.patience:
        return ""
    lower = f"lower by {rule.min_delta:g}" if rule.min_delta else "lower"
    return (
        f"stopped early after step {evaluations[-1].step}: {waited} evaluations in a row with no"
        f" validation loss {lower} than {best.loss:.4g} after step {best.step}"
    )


def _bad(losses: np.ndarray) -> np.ndarray:
    return ~np.isfinite(losses) | (losses > DIVERGENCE_FACTOR * losses[0])


def _first_bad(losses: np.ndarray) -> int:
    return int(np.flatnonzero(_bad(losses))[0])


def _diverged(losses: np.ndarray) -> str:
    if not _bad(losses).any():
        return ""
    step = _first_bad(losses)
    return f"the training loss at step {step} is {losses[step]:.4g}, the first was {losses[0]:.4g}"

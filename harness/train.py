"""The training loop, over any Session: chunks of steps, evaluation between them, an early end for what diverges."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import stats
from .adapter import Session
from .record import Curve, Status, Summary
from .spec import TaskSpec

# A loss this many times the first one will not come back; the run ends with status `diverged`.
DIVERGENCE_FACTOR = 1e4


class Training(NamedTuple):
    """What came of a convergence run."""

    status: Status
    reason: str
    curve: Curve
    summary: Summary


class _Evaluation(NamedTuple):
    step: int
    loss: float
    metric: float


def train(session: Session, task: TaskSpec, progress: Callable[[int, Curve], None] = lambda step, piece: None) -> Training:
    """Trains for `task.steps` updates, evaluating on the validation split before the first and every `eval_every`.

    With `task.early_stopping` a run may end before; its status stays ok and its reason says where and why.
    `progress` is called after every chunk with the steps done and that chunk's piece of the curve.
    """
    losses = np.empty(0)
    evaluations = [_evaluate(session, 0)]
    progress(0, _curve(losses, evaluations))
    for start in range(0, task.steps, task.eval_every):
        chunk = range(start, min(start + task.eval_every, task.steps))
        session.train(chunk)
        fresh = session.losses()
        losses = np.concatenate([losses, fresh])
        reason = _diverged(losses)
        if reason:
            losses = losses[: _first_bad(losses) + 1]
            return _finish(session, task, "diverged", reason, losses, evaluations)
        evaluations.append(_evaluate(session, chunk.stop))
        progress(chunk.stop, _curve(fresh, evaluations[-1:]))
        if not np.isfinite(evaluations[-1].loss):
            reason = f"the validation loss after step {chunk.stop} is {evaluations[-1].loss}"
            return _finish(session, task, "diverged", reason, losses, evaluations)
        stopped = _stopped_early(task, evaluations)
        if stopped:
            return _finish(session, task, "ok", stopped, losses, evaluations, stopped_at=chunk.stop)
    return _finish(session, task, "ok", "", losses, evaluations)


def _finish(
    session: Session, task: TaskSpec, status: Status, reason: str, losses: np.ndarray, evaluations: list[_Evaluation],
    stopped_at: int | None = None,
) -> Training:  # fmt: skip
    curve = _curve(losses, evaluations)
    test = session.evaluate("test") if status == "ok" else None
    summary = summarise(curve, task.target).model_copy(update={"stopped_at": stopped_at})
    if test:
        summary = summary.model_copy(update={"test_loss": finite(test.loss), "test_metric": finite(test.metric)})
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
        steps_to_target=stats.first_reaching(curve.eval_steps, metrics, target),
    )


def finite(value: float) -> float | None:
    """The value, or None for NaN and infinities, which JSON cannot hold."""
    return float(value) if np.isfinite(value) else None


def _evaluate(session: Session, step: int) -> _Evaluation:
    return _Evaluation(step, *session.evaluate("validation"))


def _curve(losses: np.ndarray, evaluations: list[_Evaluation]) -> Curve:
    steps, validation_losses, metrics = zip(*evaluations, strict=True)
    return Curve(losses, np.array(steps, np.int64), np.array(validation_losses), np.array(metrics))


def _stopped_early(task: TaskSpec, evaluations: list[_Evaluation]) -> str:
    """Why training ends after the last of these evaluations, or nothing. The end of the budget is not early."""
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
        f"stopped early after step {evaluations[-1].step}: {waited} evaluations in a row with no validation loss {lower} "
        f"than {best.loss:.4g} after step {best.step}"
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

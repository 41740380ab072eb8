"""The training loop over lanes: chunks of steps, evaluations between them, early ends.

A run by itself is a population of one lane. A lane that ends, whatever its reason, stops counting
and stops no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from .. import schedules
from ..adapter import Metrics, Population, Session
from ..layers import Point
from ..plan import Weights
from ..record import Curve, Norms, Status, Summary
from ..spec import ScheduleSpec, TaskSpec
from ..statistics import arrivals
from .norms import NormTaker

# A run whose loss is this many times its first will not come back: it ends as `diverged`.
DIVERGENCE_FACTOR = 1e4

# Hears the steps done and that chunk's piece of the curve.
Hear = Callable[[int, Curve], None]


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


@dataclass(frozen=True)
class LaneTask:
    """What one lane is trained for.

    schedule: needed if it follows the validation loss. rates: the learning rate of every step, if
    the curve is to hold it. progress: called after every chunk."""

    task: TaskSpec
    schedule: ScheduleSpec | None = None
    rates: np.ndarray | None = None
    progress: Hear = lambda step, piece: None


class OneLane:
    """A session as a population of one; see gradrace.adapter.Population.

    take: enqueues a chunk of steps, by default the session's own way."""

    def __init__(self, session: Session, take: Callable[[range], None] | None = None) -> None:
        self._session = session
        self.train = take or session.train

    def sync(self) -> None:
        self._session.sync()

    def losses(self) -> np.ndarray:
        return self._session.losses()[np.newaxis]

    def evaluate(self, split: str) -> list[Metrics]:
        return [self._session.evaluate(split)]

    def set_learning_rates(self, lane: int, rates: np.ndarray) -> None:
        self._session.set_learning_rates(rates)

    def weights(self, lane: int) -> Weights:
        return self._session.weights()

    def state_bytes(self) -> int | None:
        return self._session.state_bytes()

    def close(self) -> None:
        self._session.close()


def train(
    session: Session,
    task: TaskSpec,
    progress: Hear = lambda step, piece: None,
    schedule: ScheduleSpec | None = None,
    diagnose: bool = False,
    rates: np.ndarray | None = None,
) -> Training:
    """Trains a session by itself; see LaneTask and `train_lanes`. diagnose: also take norms, of
    every evaluated step but the last."""
    lane = LaneTask(task, schedule, rates, progress)
    if not diagnose:
        return train_lanes(OneLane(session), [lane])[0]
    taker = NormTaker()
    (training,) = train_lanes(OneLane(session, partial(taker.train, session)), [lane])
    return training._replace(norms=taker.norms())


def train_lanes(
    population: Population,
    lanes: Sequence[LaneTask],
    tell: Callable[[int], None] = lambda step: None,
) -> list[Training]:
    """Trains for `task.steps` updates; evaluates the validation split first and each `eval_every`,
    which are the same for all lanes.

    A run that `task.early_stopping` ends has status ok and a reason. tell: hears the steps done
    after every chunk."""
    task = lanes[0].task
    running = [_Lane(population, index, lane) for index, lane in enumerate(lanes)]
    for lane, metrics in zip(running, population.evaluate("validation"), strict=True):
        lane.begin(metrics)
    tell(0)
    for start in range(0, task.steps, task.eval_every):
        chunk = range(start, min(start + task.eval_every, task.steps))
        population.train(chunk)
        _hear(population, [lane for lane in running if not lane.ended], chunk)
        tell(chunk.stop)
        if all(lane.ended for lane in running):
            break
    return [lane.training() for lane in running]


def _hear(population: Population, running: Sequence[_Lane], chunk: range) -> None:
    """Takes the losses and evaluations of a chunk, and the tests of lanes that end with it."""
    fresh = population.losses()
    for lane in running:
        lane.hear(fresh[lane.index])
    running = [lane for lane in running if not lane.ended]
    if not running:
        return
    found = population.evaluate("validation")
    for lane in running:
        lane.evaluated(chunk, fresh[lane.index], found[lane.index])
    done = [lane for lane in running if lane.status == "ok" and lane.ended]
    if done:
        tests = population.evaluate("test")
        for lane in done:
            lane.test = tests[lane.index]


class _Lane:
    """One run on its way through the loop. ended: whether it has nothing more to learn."""

    def __init__(self, population: Population, index: int, given: LaneTask) -> None:
        self.index = index
        self.status: Status = "ok"
        self.ended = False
        self.test: Metrics | None = None
        self._population, self._given, self._task = population, given, given.task
        self._reason = ""
        self._losses: list[np.ndarray] = []
        self._first_loss = np.nan
        self._evaluations: list[_Evaluation] = []
        set_rates = partial(population.set_learning_rates, index)
        self._rates = _Rates(set_rates, given.schedule, given.task.steps, given.rates)

    def begin(self, metrics: Metrics) -> None:
        """The evaluation before the first step."""
        self._evaluations = [self._evaluation(0, metrics)]
        self._given.progress(0, _curve(np.empty(0), self._evaluations))

    def hear(self, fresh: np.ndarray) -> None:
        """The losses of a chunk; a bad one ends the lane there."""
        if not self._losses:
            self._first_loss = fresh[0]
        bad = np.flatnonzero(_bad(fresh, self._first_loss))
        if len(bad):
            step = sum(map(len, self._losses)) + int(bad[0])
            self._end("diverged", _diverged(step, fresh[bad[0]], self._first_loss))
            fresh = fresh[: bad[0] + 1]
        self._losses.append(fresh)

    def evaluated(self, chunk: range, fresh: np.ndarray, metrics: Metrics) -> None:
        """The evaluation after a chunk, and what follows from it."""
        self._evaluations.append(self._evaluation(chunk.stop, metrics))
        rates = self._rates.of(chunk.start, chunk.stop)
        self._given.progress(chunk.stop, _curve(fresh, self._evaluations[-1:], rates))
        if not np.isfinite(metrics.loss):
            reason = f"the validation loss after step {chunk.stop} is {metrics.loss}"
            self._end("diverged", reason)
        elif reason := _stopped_early(self._task, self._evaluations):
            self._end("ok", reason)
        elif chunk.stop == self._task.steps:
            self._end("ok", "")
        else:
            self._rates.follow(self._evaluations)

    def training(self) -> Training:
        """The whole outcome."""
        losses = np.concatenate([np.empty(0), *self._losses])
        curve = _curve(losses, self._evaluations, self._rates.of(0, len(losses)))
        stopped = self.status == "ok" and bool(self._reason)
        found: dict[str, float | None] = {
            "stopped_at": self._evaluations[-1].step if stopped else None
        }
        if self.test:
            found |= {"test_loss": finite(self.test.loss), "test_metric": finite(self.test.metric)}
        summary = summarise(curve, self._task.target).model_copy(update=found)
        return Training(self.status, self._reason, curve, summary)

    def _end(self, status: Status, reason: str) -> None:
        self.status, self._reason, self.ended = status, reason, True

    def _evaluation(self, step: int, metrics: Metrics) -> _Evaluation:
        """Keeps the point too if the whole model is one in the plane: reports draw its path."""
        first = self._task.model[0] if self._task.model else None
        point = np.empty(0)
        if isinstance(first, Point) and len(first.start) == 2:
            arrays = self._population.weights(self.index).values()
            point = np.concatenate(list(arrays)).astype(np.float64)
        return _Evaluation(step, *metrics, point)


class _Rates:
    """The learning rates that the curve holds: those of a schedule that follows the validation
    loss, else those planned, if they are given."""

    def __init__(
        self,
        replace: Callable[[np.ndarray], None],
        schedule: ScheduleSpec | None,
        steps: int,
        planned: np.ndarray | None,
    ) -> None:
        self._replace = replace
        self._schedule = schedule if schedule and schedule.kind == "plateau" else None
        self._table = np.empty(0) if planned is None else planned
        if self._schedule:
            self._table = schedules.table(self._schedule, steps)

    def follow(self, evaluations: list[_Evaluation]) -> None:
        """Hands over a new table if the last evaluation changes the steps to come."""
        if not self._schedule:
            return
        losses = np.array([evaluation.loss for evaluation in evaluations])
        table = schedules.reduced(self._schedule, self._table, losses, evaluations[-1].step)
        if not np.array_equal(table, self._table):
            self._table = table
            self._replace(table.copy())

    def of(self, start: int, stop: int) -> np.ndarray:
        """The rates of these steps."""
        return self._table[start:stop]


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


def _bad(losses: np.ndarray, first: float) -> np.ndarray:
    return ~np.isfinite(losses) | (losses > DIVERGENCE_FACTOR * first)


def _diverged(step: int, loss: float, first: float) -> str:
    return f"the training loss at step {step} is {loss:.4g}, the first was {first:.4g}"

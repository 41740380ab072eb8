"""Whether an optimizer trains: a descent on functions of two numbers, and a short race on
digits_mlp against a tuned AdamW. Findings of the part "training"."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from ..adapter import Adapter, Unsupported
from ..optimizer import Optimizer
from ..plan import initial_weights, make_plan
from ..registry import Framework
from ..spec import OptimizerSpec, RunSpec, ScheduleSpec, TaskSpec
from ..tasks.digits_mlp import TASK as DIGITS
from ..tasks.points import BEALE, QUADRATIC, ROSENBROCK
from ..worker.train import Training, train
from .finding import Finding, Outcome

DESCENTS = (QUADRATIC, ROSENBROCK, BEALE)
_DESCENT_STEPS = 200
# The default learning rate times these, in this order, until the loss has fallen to this share.
_DESCENT_FACTORS, _FALLEN = (1.0, 10.0, 100.0, 0.1, 0.01, 0.001), 0.5
# Both racers try as many rates; the seeds after the first are for the best rate alone.
_RACE_FACTORS, _RACE_SEEDS = (1.0, 0.1, 10.0, 0.3), (0, 1)
# The default rate of a class that has none.
_ANY_RATE = 1e-3
# Ten classes of like size: an accuracy below this is no training.
_LEARNT = 0.5


class NoTime(Exception):
    """The seconds are used up."""


@dataclass(frozen=True)
class Entrant:
    """An optimizer in its framework, under the native rule.

    hyper: arguments of its class. rate: its default learning rate."""

    adapter: Adapter
    framework: Framework
    optimizer: Optimizer
    hyper: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """The default learning rate."""
        rate = self.optimizer.learning_rate
        return rate if isfinite(rate) and rate > 0.0 else _ANY_RATE

    def train(self, task: TaskSpec, rate: float, seed: int, deadline: float) -> Training:
        """One run. Unsupported with the reason if the framework cannot do it; NoTime once
        `time.perf_counter()` is past the deadline."""
        run = RunSpec(
            task=task,
            optimizer=OptimizerSpec(name=self.optimizer.name, hyper=self.hyper, rule="native"),
            schedule=ScheduleSpec(kind="constant", base_lr=rate),
            framework=self.framework.name,
            mode=self.framework.convergence_mode,
            seed=seed,
        )
        if reason := self.adapter.supports(run, self.optimizer):
            raise Unsupported(reason)
        start = initial_weights(task, seed)
        session = self.adapter.open(run, start, make_plan(run, self.optimizer))
        try:
            return train(session, task, lambda step, piece: _check(deadline))
        finally:
            session.close()


def training(entrant: Entrant, adamw: Optimizer, seconds: float) -> Iterator[Finding]:
    """The descents, then the race. seconds: of wall clock, for all of it; what does not fit is not
    applicable."""
    deadline = time.perf_counter() + seconds
    for task in DESCENTS:
        yield descent(entrant, task, deadline - time.perf_counter())
    yield race(entrant, adamw, deadline - time.perf_counter())


def descent(entrant: Entrant, task: TaskSpec, seconds: float) -> Finding:
    """Whether the loss of a function of two numbers falls within 200 steps, at one of six rates.

    It fails if it rises, or becomes no number, at each."""
    deadline = time.perf_counter() + seconds
    short = task.model_copy(update={"steps": _DESCENT_STEPS, "eval_every": _DESCENT_STEPS})
    check = f"descent on {task.name}"

    def work() -> Finding:
        tried = []
        for factor in _DESCENT_FACTORS:
            course = entrant.train(short, factor * entrant.rate, 0, deadline)
            tried.append(_Fall.of(factor * entrant.rate, course))
            if tried[-1].share < _FALLEN:
                break
        best = min(tried, key=lambda fall: fall.share)
        outcome: Outcome = "passed" if best.share < 1.0 else "failed"
        return _finding(check, outcome, best.text(len(tried)), _number(best.share))

    return _done(check, work)


class _Fall(NamedTuple):
    """share: the last loss by the first, which is above 0; inf if it was no number."""

    rate: float
    first: float
    last: float
    share: float

    @classmethod
    def of(cls, rate: float, course: Training) -> _Fall:
        losses = course.curve.validation_losses
        first, last = float(losses[0]), float(losses[-1])
        share = last / first if course.status == "ok" and np.isfinite(last) else np.inf
        return cls(rate, first, last, share)

    def text(self, tried: int) -> str:
        """For people."""
        verb = "falls" if self.share < 1.0 else "does not fall"
        return (
            f"the loss {verb}: from {self.first:.4g} to {self.last:.4g} in {_DESCENT_STEPS} steps"
            f" at learning rate {self.rate:g}, the best of {tried} tried"
        )


def race(entrant: Entrant, adamw: Optimizer, seconds: float) -> Finding:
    """digits_mlp, 360 steps: test accuracies over two seeds beside those of AdamW.

    Both take the rate, of four each, that gives the lowest validation loss with the first seed.
    It fails if the optimizer learns hardly anything, not if AdamW is better."""
    deadline = time.perf_counter() + seconds
    check = f"race on {DIGITS.name}"

    def work() -> Finding:
        theirs = _raced(entrant, entrant.rate, deadline)
        against = Entrant(entrant.adapter, entrant.framework, adamw)
        ours = _raced(against, against.rate, deadline)
        outcome: Outcome = "passed" if theirs.accuracy >= _LEARNT else "failed"
        text = (
            f"test accuracy {theirs.text} against AdamW's {ours.text}: {DIGITS.steps} steps,"
            f" {len(_RACE_SEEDS)} seeds, the best of {len(_RACE_FACTORS)} rates for each"
        )
        return _finding(check, outcome, text, _number(theirs.accuracy))

    return _done(check, work)


class _Raced(NamedTuple):
    rate: float
    accuracies: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def text(self) -> str:
        each = " and ".join(f"{accuracy:.3f}" for accuracy in self.accuracies)
        return f"{self.accuracy:.3f} ({each}; learning rate {self.rate:g})"


def _raced(entrant: Entrant, around: float, deadline: float) -> _Raced:
    first, *others = _RACE_SEEDS
    found = {
        rate: entrant.train(_RACE, rate, first, deadline)
        for rate in (factor * around for factor in _RACE_FACTORS)
    }
    rate = min(found, key=lambda each: _validation(found[each]))
    runs = [found[rate], *(entrant.train(_RACE, rate, seed, deadline) for seed in others)]
    return _Raced(rate, tuple(run.summary.test_metric or 0.0 for run in runs))


_RACE = DIGITS.model_copy(update={"eval_every": DIGITS.steps // 2})


def _validation(course: Training) -> float:
    loss = course.summary.final_validation_loss
    return loss if course.status == "ok" and loss is not None else np.inf


def _check(deadline: float) -> None:
    if time.perf_counter() > deadline:
        raise NoTime


def _done(check: str, work: Callable[[], Finding]) -> Finding:
    """The finding of work that may not be possible."""
    try:
        return work()
    except NoTime:
        return _finding(check, "not applicable", "no time left")
    except Unsupported as error:
        return _finding(check, "not applicable", str(error))
    except Exception as error:
        line = (str(error).strip().splitlines() or [""])[0][:200]
        return _finding(check, "failed", f"it raises {type(error).__name__}: {line}")


def _number(size: float) -> float | None:
    return size if isfinite(size) else None


def _finding(check: str, outcome: Outcome, text: str, size: float | None = None) -> Finding:
    return Finding(part="training", check=check, outcome=outcome, text=text, size=size)

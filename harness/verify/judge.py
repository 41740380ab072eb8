"""Two sides' arrays -> a verdict. Pure functions.

How a difference is scaled, by level:

weights, rates   not at all: bit for bit.
layers, losses   by the largest magnitude of the tensor.
updates          at every step, by the largest distance of the tensor from its start.
trajectories     each loss by itself, or by a thousandth of the first loss if that is more: a loss
                 is a sum of terms that do not shrink with it, nor do their rounding errors. The
                 weights at the end and the last evaluation by the largest magnitude of the tensor
                 or by 1 (a bias before batch normalisation is nothing but rounding), with a
                 tolerance of their own.
populations      as trajectories, lane by lane; lanes alone in their program bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..optimizer import Optimizer
from ..spec import Device
from .cases import (
    FLOAT32_TOLERANCE,
    LONG_STEPS,
    LONG_TOLERANCE,
    LOSS_TOLERANCE,
    PIECE_TOLERANCE,
    Case,
    PopulationCase,
    RatesCase,
    TrajectoryCase,
    UpdateCase,
    WeightsCase,
)
from .hint import hint
from .verdict import REFEREE, TF32_NOTE, FirstDifference, Outcome, Side, Verdict

Array = np.ndarray

# The end of a run: weights that the loss hardly depends on may differ more than the losses.
END_TOLERANCE, LONG_END_TOLERANCE = 1e-9, 1e-6
LOSS_FLOOR = 1e-3
# Cases whose arrays are the losses of every step, and the run's end.
Trained = TrajectoryCase | PopulationCase


@dataclass(frozen=True)
class Answer:
    """Arrays by name, or why there are none."""

    arrays: Mapping[str, Array] | None = None
    unavailable: str = ""
    failed: str = ""


# A side, and what it answers.
Answered = tuple[Side, Answer]


@dataclass(frozen=True)
class Difference:
    """The worst scaled difference of two sides, inf if they cannot be compared.

    within: all is within tolerance. place: the first place that is not."""

    worst: float
    within: bool
    place: FirstDifference | None = None
    reason: str = ""


def judge(
    case: Case, sides: Sequence[Answered], optimizers: Mapping[str, Optimizer]
) -> Iterator[Verdict]:
    """The verdicts of one case: against the harness if it knows the result, else of every pair
    that is to agree.
    """
    answers = dict(sides)
    if isinstance(case, WeightsCase | RatesCase):
        answers[_HARNESS] = Answer(_expected(case))
    for one, other in compared(case, [side for side, _ in sides]):
        yield _verdict(case, (one, answers[one]), (other, answers[other]), optimizers)


def compared(case: Case, sides: Sequence[Side]) -> Iterator[tuple[Side, Side]]:
    """The pairs that have a verdict."""
    if isinstance(case, WeightsCase | RatesCase):
        yield from ((side, _HARNESS) for side in sides)
        return
    device: Device = "gpu" if any(side.device == "gpu" for side in sides) else "cpu"
    yield from (pair for pair in combinations(sides, 2) if _compared(case, *pair, device))


_HARNESS = Side(framework="harness")


def _compared(case: Case, one: Side, other: Side, device: Device) -> bool:
    """Whether these sides are to agree, and it is this device's proof that says so.

    Populations agree with their own framework's runs. A GPU agrees with other GPUs, with the
    referee, and with the same framework and mode on the CPU."""
    same = one.framework == other.framework
    if isinstance(case, PopulationCase) and not same:
        return False
    if isinstance(case, TrajectoryCase) and case.tf32:
        return same and one.tf32 != other.tf32
    if device == "cpu" or one.device == other.device == "gpu":
        return True
    if one.device == other.device:
        return False
    return (same and one.mode == other.mode) or REFEREE in (one.framework, other.framework)


def _expected(case: WeightsCase | RatesCase) -> dict[str, Array]:
    """The exact result, which the harness knows."""
    if isinstance(case, WeightsCase):
        return case.draw()
    return {"rates": case.rates().astype(case.dtype)}


def _verdict(
    case: Case,
    one: Answered,
    other: Answered,
    optimizers: Mapping[str, Optimizer],
) -> Verdict:
    (a, found_a), (b, found_b) = one, other
    about: dict[str, Any] = {
        "level": case.level,
        "case": case.name,
        "task": _task(case),
        "optimizer": getattr(case, "optimizer", ""),
        "rule": getattr(case, "rule", "canonical" if isinstance(case, TrajectoryCase) else ""),
        "a": a,
        "b": b,
        "tolerance": tolerance(case),
    }
    for side, answer in (one, other):
        if answer.failed:
            return Verdict(**about, verdict="FAILED", reason=f"{side.label}: {answer.failed}")
    for side, answer in (one, other):
        if answer.unavailable:
            reason = f"{side.label}: {answer.unavailable}"
            return Verdict(**about, verdict="unavailable", reason=reason)
    assert found_a.arrays is not None and found_b.arrays is not None, "neither has a reason"
    found = compare(case, found_a.arrays, found_b.arrays)
    about["worst"] = found.worst if np.isfinite(found.worst) else None
    if found.within:
        return Verdict(**about, verdict="equal")
    declared = "" if found.reason else _declared(case, a, b, optimizers)
    outcome: Outcome = "differs by definition" if declared else "FAILED"
    reason = declared or found.reason
    if not reason and isinstance(case, UpdateCase):
        right, of = (a, b) if a.framework == REFEREE else (b, a)
        arrays = {a: found_a.arrays, b: found_b.arrays}
        reason = hint(case, arrays[of], arrays[right], optimizers[case.optimizer])
        reason = reason and f"{of.framework}, with {right.framework} as right: {reason}"
    return Verdict(**about, verdict=outcome, place=found.place, reason=reason)


def _task(case: Case) -> str:
    if isinstance(case, TrajectoryCase | PopulationCase | WeightsCase):
        return case.task.name
    return ""


def _declared(case: Case, a: Side, b: Side, optimizers: Mapping[str, Optimizer]) -> str:
    """Why the optimizer's declaration lets these two sides differ; '' if they have to agree."""
    if isinstance(case, TrajectoryCase) and case.tf32:
        return TF32_NOTE
    if not isinstance(case, UpdateCase | TrajectoryCase) or a.framework == b.framework:
        return ""
    if isinstance(case, UpdateCase) and case.rule == "native":
        return optimizers[case.optimizer].note or "libraries' own defaults"
    names = case.optimizers if isinstance(case, TrajectoryCase) else (case.optimizer,)
    found = [(side, optimizers[name].differs) for side in (a, b) for name in dict.fromkeys(names)]
    return "; ".join(
        f"{side.framework}: {differs[side.framework]}"
        for side, differs in found
        if side.framework in differs
    )


def tolerance(case: Case) -> float:
    """Up to which a scaled difference counts as equal."""
    match case:
        case WeightsCase() | RatesCase() | PopulationCase(bits=True):
            return 0.0
        case TrajectoryCase(tf32=True):
            return 0.0  # whatever it changes is shown
        case TrajectoryCase(dtype="float32"):
            return FLOAT32_TOLERANCE
        case TrajectoryCase(steps=steps):
            return LONG_TOLERANCE if steps >= LONG_STEPS else LOSS_TOLERANCE
        case PopulationCase():
            return LOSS_TOLERANCE
        case UpdateCase():
            return case.tolerance
    return PIECE_TOLERANCE


def compare(case: Case, a: Mapping[str, Array], b: Mapping[str, Array]) -> Difference:
    """The worst difference of all arrays, and the first place (step, tensor) out of tolerance."""
    if reason := _unlike(case, a, b):
        return Difference(np.inf, False, reason=reason)
    worst, places = 0.0, []
    for name in a:
        both = (np.asarray(side[name], np.float64) for side in (a, b))
        scaled, allowed = _scaled(case, name, *both), _allowed(case, name)
        # The worst is of the losses; the run's end has a tolerance of its own and is not shown.
        if allowed == tolerance(case):
            worst = max(worst, float(scaled.max(initial=0.0)))
        if (scaled > allowed).any():
            places.append((name, _first(case, name, scaled > allowed, scaled), float(scaled.max())))
    if not places:
        return Difference(worst, True)

    def order(place: tuple[str, tuple[int, ...], float]) -> tuple[float, int]:
        step = _step(case, place[0], place[1])
        # The end of a run comes after its steps.
        return np.inf if step is None else step, list(a).index(place[0])

    name, entry, size = min(places, key=order)
    step = _step(case, name, entry)
    place = FirstDifference(
        step=step,
        tensor=name,
        entry=entry[1:] if step is not None else entry,
        a=f"{float(a[name][entry]):.17g}",
        b=f"{float(b[name][entry]):.17g}",
    )
    return Difference(max(worst, size), False, place)


def _unlike(case: Case, a: Mapping[str, Array], b: Mapping[str, Array]) -> str:
    """Why the arrays cannot be compared: names, shapes, or dtypes of what must be equal."""
    for name in (*a, *b):
        if name not in a or name not in b:
            return f"only one side has {name!r}"
        if a[name].shape != b[name].shape:
            return f"{name!r} is {list(a[name].shape)} and {list(b[name].shape)}"
        if tolerance(case) == 0.0 and a[name].dtype != b[name].dtype:
            return f"{name!r} is {a[name].dtype} and {b[name].dtype}"
    return ""


def _allowed(case: Case, name: str) -> float:
    bits = isinstance(case, PopulationCase) and case.bits
    if isinstance(case, Trained) and not _are_losses(name) and not bits:
        return LONG_END_TOLERANCE if case.steps >= LONG_STEPS else END_TOLERANCE
    return tolerance(case)


def _scaled(case: Case, name: str, a: Array, b: Array) -> Array:
    """|a - b| in the scale of the case; inf if one or both are no number."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(a - b)
        scale = np.maximum(_scale(case, name, a, b), np.finfo(np.float64).tiny)
        scaled = np.where(a == b, 0.0, difference / scale)
    return np.where(np.isnan(scaled), np.inf, scaled)


def _scale(case: Case, name: str, a: Array, b: Array) -> Array | float:
    size = np.maximum(np.abs(a), np.abs(b))
    match case:
        case WeightsCase() | RatesCase():
            return size
        case UpdateCase():
            start = case.draw()[0][name]
            distance = np.maximum(np.abs(a - start), np.abs(b - start))
            travelled = distance.max(axis=tuple(range(1, a.ndim)), keepdims=True)
            return np.where(travelled > 0.0, travelled, 1.0)
        case TrajectoryCase() | PopulationCase() if _are_losses(name):
            return np.maximum(size, LOSS_FLOOR * size[0])
        case TrajectoryCase() | PopulationCase():
            return max(size.max(initial=0.0), 1.0)
    return size.max(initial=0.0)


def _are_losses(name: str) -> bool:
    """Of a trajectory ('losses'), or of a lane of a population ('losses of lane 2')."""
    return name.partition(" ")[0] == "losses"


def _has_steps(case: Case, name: str) -> bool:
    return isinstance(case, UpdateCase) or (isinstance(case, Trained) and _are_losses(name))


def _first(case: Case, name: str, out: Array, scaled: Array) -> tuple[int, ...]:
    """The entry that differs most, of the first step out of tolerance if there are steps."""
    if _has_steps(case, name):
        step = int(np.argmax(out.reshape(len(out), -1).any(axis=1)))
        inner = np.unravel_index(int(np.argmax(scaled[step])), scaled[step].shape)
        return (step, *map(int, inner))
    return tuple(int(index) for index in np.unravel_index(int(np.argmax(scaled)), scaled.shape))


def _step(case: Case, name: str, entry: tuple[int, ...]) -> int | None:
    return entry[0] if _has_steps(case, name) else None

"""Gradients that are zero: all of them, some rows, and after others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....plan import Weights
from ....stepping.instance import NotApplicable
from ....stepping.scenario import Course
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import amount, finite, parting
from ..said import Said, failed, passed

Array = np.ndarray
# Rows of the matrix that get no gradient.
_ROWS = 2
# A move that is no rounding, as a share of that of other elements.
_MOVES = 1e-6
_ROUNDING = 1e-6


def _zeros(weights: Weights) -> dict[str, Array]:
    return {name: np.zeros_like(value) for name, value in weights.items()}


def _all_zero(bench: Bench) -> Iterator[Said]:
    scenario = bench.scenario([_zeros(bench.start)] * len(bench.gradients))
    course = bench.run(scenario)
    if _largest_change(bench, course.steps[-1]) <= _ROUNDING:
        yield passed("Zero gradients move nothing.", 0.0)
    elif not all(map(finite, course.steps)):
        yield failed("Zero gradients make weights NaN or infinite.", scenario)
    elif _as_the_rule(bench, course, bench.expected(scenario)):
        yield passed("Zero gradients move the weights as the rule says.")
    elif problem := _no_decay(bench, course.steps[-1]):
        yield failed(problem, scenario, _largest_change(bench, course.steps[-1]))
    else:
        shrunk = _largest_change(bench, course.steps[-1])
        yield passed(f"Zero gradients leave decay alone: weights shrink by {shrunk:.2g}.", shrunk)


def _as_the_rule(bench: Bench, course: Course, expected: Course | None) -> bool:
    if expected is None or _largest_change(bench, expected.steps[-1]) <= _ROUNDING:
        return False
    found = parting(expected.steps, course.steps, bench.start)
    return found is None or found.size < 1e-3


def _no_decay(bench: Bench, last: Weights) -> str:
    """Why the move is none of weight decay; "" if it is."""
    ratios = np.concatenate([np.ravel(last[n] / bench.start[n]) for n in bench.start])
    if np.all(ratios == 0.0):
        return "The start is lost: zero gradients turn all weights into 0."
    if ratios.max() > 1.0 + _ROUNDING:
        grown = amount(ratios.max() - 1.0)
        return f"Zero gradients move weights away from 0, by {grown} of their size."
    if ratios.min() < 0.0:
        return f"Zero gradients move weights past 0, to {amount(ratios.min())} of the start."
    place = bench.places.get("weight_decay")
    # A decay of another name shrinks all weights alike.
    spread = max(float(np.ptp(last[name] / bench.start[name])) for name in bench.start)
    if place and not place.value(bench.facts.defaults) and spread > _ROUNDING:
        return "Zero gradients move the weights, though weight decay is 0."
    return ""


def _largest_change(bench: Bench, last: Weights) -> float:
    return max(float(np.max(np.abs(last[n] / bench.start[n] - 1.0))) for n in bench.start)


def _zero_rows(bench: Bench) -> Iterator[Said]:
    """As an embedding has them. Without weight decay, if it can be set."""
    try:
        making = bench.making(hyper=bench.weight_decay(0.0))
    except NotApplicable:
        making = bench.making()
    given = [{**g, "kernel": _with_zero_rows(g["kernel"])} for g in bench.gradients]
    scenario = bench.scenario(given, making=making)
    moved = _moved_rows(bench, bench.run(scenario))
    expected = bench.expected(scenario)
    rule = _moved_rows(bench, expected) if expected else None
    if moved <= _MOVES:
        yield passed("Rows of zero gradients stay, while others move.", moved)
    elif not np.isfinite(moved) or (rule is not None and moved > 10.0 * rule + _MOVES):
        text = f"Rows of zero gradients move {amount(moved)} times as far as others."
        yield failed(text, scenario, moved)
    else:
        yield passed(f"Rows of zero gradients move {amount(moved)} times as far as others.", moved)


def _with_zero_rows(gradient: Array | None) -> Array:
    copy = np.array(gradient)
    copy[:_ROWS] = 0.0
    return copy


def _moved_rows(bench: Bench, course: Course) -> float:
    moved = np.abs(course.steps[-1]["kernel"] - bench.start["kernel"])
    return float(moved[:_ROWS].max() / max(moved[_ROWS:].max(), 1e-300))


def _zero_later(bench: Bench) -> Iterator[Said]:
    given = [*bench.gradients, *[_zeros(bench.start)] * 3]
    scenario = bench.scenario(given)
    steps = bench.run(scenario).steps
    if not all(map(finite, steps)):
        yield failed("Zero gradients after others make weights NaN or infinite.", scenario)
        return
    goes_on = any(np.any(steps[-1][n] != steps[-4][n]) for n in bench.start)
    yield passed(f"After other gradients, zero ones {'let it go on' if goes_on else 'stop it'}.")


CHECKS = (
    Inquiry("zero gradients", _all_zero, compares=False),
    Inquiry("rows of zero gradients", _zero_rows, compares=False),
    Inquiry("zero gradients after others", _zero_later, compares=False),
)

"""Float32 and bfloat16 against float64; and whether float64 is float64 to the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from ....plan import Weights
from ....spec import Dtype
from ....stepping.instance import Gradients, NotApplicable
from ....stepping.scenario import Scenario
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import amount, finite
from ..said import Raised, Said, failed, passed, told

Array = np.ndarray
# The spacing of numbers above 1.
_ULP: Mapping[Dtype, float] = {"float32": 2.0**-23, "bfloat16": 2.0**-7}
# What rounding may do: ulps of a weight in each step, and ulps of the way.
_OF_WEIGHT = 4.0
# Steps of fewer ulps of a weight have too few digits for a rule that looks back at them.
_SMALLEST = 256.0
_OF_WAY: Mapping[Dtype, float] = {"float32": 4096.0, "bfloat16": 64.0}
# Shares by which gradients and weights are changed, to see whether the change gets through.
_COARSE, _FINE, _FINEST = 3e-2, 1e-10, 1e-12
_LINEAR = "It takes gradients of a linear loss here: their difference is nothing but rounding."
# A change of a weight that is more than rounding in float64.
_SEEN = 2e-14


def _narrow(bench: Bench, dtype: Dtype) -> Iterator[Said]:
    if bench.dtype != "float64":
        raise NotApplicable(f"It steps in {bench.dtype} only: there is no float64 beside it.")
    start, wide = bench.start, bench.plain.steps
    scenario = bench.scenario(making=bench.making(dtype=dtype))
    narrow = bench.run(scenario).steps
    if not all(map(finite, narrow)):
        yield failed(f"In {dtype} the weights become NaN or infinite.", scenario)
        return
    if bench.own_gradients:
        raise NotApplicable(_LINEAR)
    errors = [_error(a, b) for a, b in zip(narrow, wide, strict=True)]
    ulps = errors[-1] / (_ULP[dtype] * _size(start))
    text = f"In {dtype} the weights are {amount(ulps)} ulps off float64 after {len(wide)} steps"
    allowed = _ULP[dtype] * (
        _OF_WEIGHT * len(wide) * _size(start) + _OF_WAY[dtype] * _error(wide[-1], start)
    )
    first = errors[0] / (_ULP[dtype] * _size(start))
    if errors[-1] > allowed and _small(wide, start) < _SMALLEST * _ULP[dtype] * _size(start):
        yield passed(f"{text}: its smallest steps are lost in the rounding of weights.", ulps)
    elif errors[-1] > allowed:
        rounding = amount(allowed / (_ULP[dtype] * _size(start)))
        text = f"{text}; rounding explains {rounding}: it computes with fewer digits."
        yield failed(text, scenario, ulps)
    else:
        yield passed(f"{text} ({amount(first)} after the first).", ulps)


def _error(a: Weights, b: Weights) -> float:
    return max(float(np.max(np.abs(a[name] - b[name]))) for name in a)


def _small(steps: Sequence[Weights], start: Weights) -> float:
    """The largest change of a weight in the step in which that is least, of those that move."""
    changes = [_error(now, then) for then, now in pairwise([start, *steps])]
    return min(filter(None, changes), default=0.0)


def _size(weights: Weights) -> float:
    return max(float(np.max(np.abs(value))) for value in weights.values())


def _float32(bench: Bench) -> Iterator[Said]:
    yield from _narrow(bench, "float32")


def _bfloat16(bench: Bench) -> Iterator[Said]:
    try:
        yield from _narrow(bench, "bfloat16")
    except Raised as raised:
        raise NotApplicable(f"It takes no bfloat16 ({told(raised.error)}).") from raised


def _float64(bench: Bench) -> Iterator[Said]:
    """A change of 1e-10 must get through as a change of 3% does, only smaller."""
    if bench.dtype != "float64":
        raise NotApplicable("It steps in float32 only.")
    if bench.own_gradients:
        raise NotApplicable(_LINEAR)
    for where in ("gradients", "weights"):
        problem = _lost(bench, where)
        if problem:
            scenario = _changed(bench, where, _FINE)
            yield failed(
                f"A change of the {where} by 1e-10 {problem}: it computes in less than float64.",
                scenario,
                hint="Compare with the same numbers without their last digits.",
            )
            return
    yield passed("Changes of 1e-10 get through: it computes in float64.")


def _lost(bench: Bench, where: str) -> str:
    coarse, fine = _response(bench, where, _COARSE), _response(bench, where, _FINE)
    # Signs do not answer to small changes; a small answer is lost in the rounding of weights.
    answering = coarse > max(1e-3 * coarse.max(initial=0.0), _SEEN / _FINE)
    if answering.sum() < 0.25 * len(coarse) or not np.isfinite(coarse).all():
        return ""
    share = float(np.median(fine[answering] / coarse[answering]))
    if share < 0.1:
        return "does not get through"
    finest = _response(bench, where, _FINEST)
    # A kink answers in proportion to the change; a rounding error is as large for any.
    if share > 30.0 and np.median(finest[answering]) > 10.0 * np.median(fine[answering]):
        return "is lost in rounding errors"
    return ""


def _response(bench: Bench, where: str, share: float) -> Array:
    """Changes of the final weights, by the share by which something was changed."""
    last = bench.run(_changed(bench, where, share)).steps[-1]
    usual = bench.plain.steps[-1]
    return np.concatenate([np.ravel(np.abs(last[n] - usual[n])) for n in bench.start]) / share


def _changed(bench: Bench, where: str, share: float) -> Scenario:
    draw = np.random.default_rng(5)
    if where == "weights":
        return bench.scenario(start=_stirred(bench.start, share, draw))
    return bench.scenario(_each_stirred(bench.gradients, share, draw))


def _each_stirred(
    given: Sequence[Gradients], share: float, draw: np.random.Generator
) -> list[dict[str, Array]]:
    return [_stirred(g, share, draw) for g in given]


def _stirred(
    named: Mapping[str, Array | None], share: float, draw: np.random.Generator
) -> dict[str, Array]:
    return {
        name: np.asarray(value) * (1.0 + share * draw.uniform(0.5, 1.0, np.asarray(value).shape))
        for name, value in named.items()
    }


CHECKS = (
    Inquiry("float64", _float64),
    Inquiry("float32 against float64", _float32),
    Inquiry("bfloat16 against float64", _bfloat16),
)

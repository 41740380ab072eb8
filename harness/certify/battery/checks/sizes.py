"""Gradients of 1e-30 and 1e30: finite numbers, so the weights must stay finite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ....spec import Dtype
from ....stepping.instance import NotApplicable
from ....stepping.scenario import Scenario
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import finite, length
from ..said import Raised, Said, failed, passed

TINY, HUGE = 1e-30, 1e30
_NAMES: Mapping[float, str] = {TINY: "1e-30", HUGE: "1e30"}


def _scenario(bench: Bench, factor: float, dtype: Dtype) -> Scenario:
    given = [{n: factor * np.asarray(v) for n, v in g.items()} for g in bench.gradients]
    return bench.scenario(given, making=replace(bench.making(), dtype=dtype))


def _of(bench: Bench, factor: float) -> Iterator[Said]:
    size = _NAMES[factor]
    scenario = _scenario(bench, factor, bench.dtype)
    steps = bench.run(scenario).steps
    expected = bench.expected(scenario)
    if not all(map(finite, steps)):
        if expected and not all(map(finite, expected.steps)):
            yield passed(f"Gradients of {size} make weights infinite or NaN, as in the rule.")
        elif bench.dtype != "float64" and factor == HUGE:
            yield passed(f"In {bench.dtype} gradients of {size} overflow; weights become NaN.")
        else:
            text = f"Gradients of {size} make weights NaN or infinite in {bench.dtype}."
            yield failed(text, scenario)
        return
    way = _way(bench, steps[-1]) / max(_way(bench, bench.plain.steps[-1]), 1e-300)
    narrow = "" if bench.dtype == "float32" else _in_float32(bench, factor)
    yield passed(f"With gradients of {size} it goes {way:.2g} times as far as with 1.{narrow}", way)


def _way(bench: Bench, last: Mapping[str, np.ndarray]) -> float:
    return length({name: last[name] - bench.start[name] for name in bench.start})


def _in_float32(bench: Bench, factor: float) -> str:
    try:
        steps = bench.run(_scenario(bench, factor, "float32")).steps
    except (Raised, NotApplicable):
        return ""
    if not all(map(finite, steps)):
        return " In float32 weights become NaN or infinite."
    return " In float32 it stands still." if not _way(bench, steps[-1]) else ""


def _tiny(bench: Bench) -> Iterator[Said]:
    yield from _of(bench, TINY)


def _huge(bench: Bench) -> Iterator[Said]:
    yield from _of(bench, HUGE)


CHECKS = (
    Inquiry("tiny gradients", _tiny, compares=False),
    Inquiry("huge gradients", _huge, compares=False),
)

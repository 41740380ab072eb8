"""Tensors without dimensions, without elements, and not contiguous in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....plan import Weights
from ....stepping.instance import NotApplicable
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import finite, parting, same
from ..said import Said, failed, passed


def _without_dimensions(bench: Bench) -> Iterator[Said]:
    if bench.facts.matrices_only:
        raise NotApplicable("It takes matrices only.")
    start: Weights = {**bench.start, "scale": np.array(0.75)}
    given = [{**g, "scale": np.array(1.0 + 0.1 * k)} for k, g in enumerate(bench.gradients)]
    scenario = bench.scenario(given, start)
    steps = bench.run(scenario).steps
    if not all(map(finite, steps)):
        yield failed("A tensor without dimensions makes weights NaN or infinite.", scenario)
    elif same(steps[-1]["scale"], start["scale"]):
        yield failed("A tensor without dimensions never moves.", scenario)
    else:
        yield passed("A tensor without dimensions moves.")


def _empty(bench: Bench) -> Iterator[Said]:
    nothing = np.zeros((0, 3))
    start: Weights = {**bench.start, "empty": nothing}
    scenario = bench.scenario([{**g, "empty": nothing} for g in bench.gradients], start)
    steps = bench.run(scenario).steps
    found = parting(bench.plain.steps, steps, bench.start)
    if bench.close(found):
        yield passed("A tensor without elements changes nothing for others.")
    elif found:
        text = f"A tensor without elements changes the others, {found}."
        hint = "Without that tensor the others print other numbers."
        yield failed(text, scenario, found.size, hint)


def _strided(bench: Bench) -> Iterator[Said]:
    scenario = bench.scenario(making=bench.making(strided=True))
    found = bench.differs(bench.run(scenario))
    if found is None:
        yield passed("Tensors that are not contiguous in memory get the same bits.", 0.0)
    elif bench.close(found):
        yield passed("Tensors that are not contiguous in memory get the same numbers.", found.size)
    else:
        text = f"Tensors that are not contiguous in memory get other numbers, {found}."
        yield failed(text, scenario, found.size, "Contiguous tensors print other numbers.")


CHECKS = (
    Inquiry("tensor without dimensions", _without_dimensions, refusing=True, compares=False),
    Inquiry("empty tensor", _empty, refusing=True),
    Inquiry("non-contiguous tensors", _strided, refusing=True),
)

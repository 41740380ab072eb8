"""Two instances in one process, and two groups in one instance: neither knows of the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....plan import Weights
from ....stepping.instance import NotApplicable
from ....stepping.scenario import Scenario
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import amount, length, parting, same
from ..said import Raised, Said, failed, passed

_IN_TURNS = (
    "Do this once alone, and once in turns with a second instance of other tensors, gradients and"
    " learning rate: the printed numbers differ."
)


def _second_instance(bench: Bench) -> Iterator[Said]:
    scenario = bench.scenario()
    steps = bench.tried(lambda: _in_turns(bench), scenario)
    found = parting(bench.plain.steps, steps, bench.start)
    if found:
        text = f"A second instance in the same process changes what the first does, {found}."
        yield failed(text, scenario, found.size, _IN_TURNS)
    else:
        yield passed("A second instance in the same process changes nothing.", 0.0)


def _in_turns(bench: Bench) -> list[Weights]:
    first = bench.maker.make(bench.start, bench.making())
    second = bench.maker.make(bench.start, bench.making(rate=0.25 * bench.rate))
    steps: list[Weights] = []
    for number, gradients in enumerate(bench.gradients):
        second.step({name: -3.0 * np.asarray(g) for name, g in gradients.items()})
        first.step(gradients)
        if number % 2:
            second.step({name: 0.5 * np.asarray(g) for name, g in gradients.items()})
        steps.append(first.weights())
    return steps


def _groups(bench: Bench) -> Iterator[Said]:
    """A group with the learning rate 0 stays, if that is rest for this rule."""
    if not _rests_at_zero(bench):
        raise NotApplicable("The learning rate 0 is no rest for it.")
    scenario = bench.scenario(making=bench.making(resting=("bias",)))
    steps = bench.run(scenario).steps
    moved = _moved(bench, steps)
    others = parting(bench.plain.steps, steps, bench.start, ["kernel"])
    if moved:
        text = f"A group with the learning rate 0 moves, {amount(moved)} times as far as usual."
        yield failed(text, scenario, moved)
    elif others and not bench.close(others) and not bench.coupled:
        text = f"A second group with the learning rate 0 changes the first, {others}."
        yield failed(text, scenario, others.size)
    else:
        yield passed("A group with the learning rate 0 rests; the other moves as before.", 0.0)


def _rests_at_zero(bench: Bench) -> bool:
    scenario: Scenario = bench.scenario(making=bench.making(rate=0.0))
    try:
        steps = bench.run(scenario).steps
    except Raised:
        # Some refuse such an instance, and take such a group.
        return True
    return all(same(steps[-1][name], bench.start[name]) for name in bench.start)


def _moved(bench: Bench, steps: tuple[Weights, ...]) -> float:
    usual = length({"bias": bench.plain.steps[-1]["bias"] - bench.start["bias"]})
    return length({"bias": steps[-1]["bias"] - bench.start["bias"]}) / max(usual, 1e-300)


CHECKS = (
    Inquiry("a second instance", _second_instance),
    Inquiry("a resting group", _groups, refusing=True),
)

"""Gradients that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ....stepping.instance import NotApplicable
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import amount, parting, same
from ..said import Said, failed, passed


def _absent(bench: Bench) -> Iterator[Said]:
    """The vector never has a gradient."""
    scenario = bench.scenario([{**g, "bias": None} for g in bench.gradients])
    course = bench.run(scenario)
    moved = next(
        (k for k, s in enumerate(course.steps, 1) if not same(s["bias"], bench.start["bias"])), None
    )
    if moved:
        yield failed(f"A tensor without a gradient moves in step {moved}.", scenario)
        return
    without = {"kernel": bench.start["kernel"]}
    gradients = [{"kernel": g["kernel"]} for g in bench.gradients]
    alone = bench.run(replace(scenario, start=without, actions=bench.scenario(gradients).actions))
    found = parting(alone.steps, course.steps, without)
    if bench.close(found) or found is None:
        yield passed("A tensor without a gradient rests; others move as if it were not there.", 0.0)
    elif bench.coupled:
        text = f"A tensor without a gradient rests, and counts for others: by {amount(found.size)}."
        yield passed(text, found.size)
    else:
        text = f"A tensor without a gradient changes the way of others, by {amount(found.size)}."
        yield failed(text, scenario, found.size)


def _now_and_then(bench: Bench) -> Iterator[Said]:
    """The vector lacks a gradient in the first step, and in one later."""
    lacking = {0, len(bench.gradients) - 2}
    scenario = bench.scenario(
        [{**g, "bias": None} if k in lacking else g for k, g in enumerate(bench.gradients)]
    )
    steps = [bench.start, *bench.run(scenario).steps]
    for step in sorted(lacking):
        if not same(steps[step]["bias"], steps[step + 1]["bias"]):
            text = f"A tensor that lacks its gradient in step {step + 1} moves all the same"
            whole = f"{text}, as the rule takes all tensors together."
            by_rule = bench.coupled or bench.own_gradients
            yield passed(whole) if by_rule else failed(f"{text}.", scenario)
            return
    if same(steps[-1]["bias"], bench.start["bias"]):
        yield failed("A tensor that lacked its first gradient never moves.", scenario)
        return
    yield passed("A tensor that lacks its gradient in some steps rests in those.")


def _none(bench: Bench) -> Iterator[Said]:
    """No tensor has a gradient."""
    scenario = bench.scenario([dict.fromkeys(bench.start), *bench.gradients])
    first = bench.run(scenario).steps[0]
    if all(same(first[name], bench.start[name]) for name in bench.start):
        yield passed("A step without any gradient moves nothing.")
    else:
        raise NotApplicable("It moves without any gradient, or takes the last ones again.")


CHECKS = (
    Inquiry("absent gradients", _absent, refusing=True),
    Inquiry("gradients absent now and then", _now_and_then, refusing=True, compares=False),
    Inquiry("no gradient at all", _none, refusing=True, compares=False),
)

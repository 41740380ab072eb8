"""The weights that a user evaluates: looking at them changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ....stepping.scenario import Evaluate, Scenario, Step
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import finite, parting
from ..said import Said, failed, passed

_UNSEEN = "Compare with the same steps without evaluations: they print other numbers."


def _looked_at(bench: Bench) -> Iterator[Said]:
    """Before the first step, after every step, and twice at the end."""
    looks = [action for g in bench.gradients for action in (Step(g), Evaluate())]
    scenario = bench.scenario(actions=(Evaluate(), *looks, Evaluate()))
    course = bench.run(scenario)
    *_, before, last = course.evaluated
    twice = parting([before], [last], bench.start)
    if found := bench.differs(course):
        text = f"Evaluating changes the training, {found}."
        yield failed(text, scenario, found.size, _UNSEEN)
    elif twice:
        yield failed("Two evaluations in a row see different weights.", scenario, twice.size)
    elif not finite(last):
        yield failed("The weights to evaluate are NaN or infinite.", scenario)
    else:
        yield _same_or_not(bench, parting(course.steps[-1:], [last], bench.start) is None, scenario)


def _same_or_not(bench: Bench, same: bool, scenario: Scenario) -> Said:
    averages = bench.known is not None and bench.known.rule and bench.known.rule.evaluation
    if averages and same:
        text = "The rule evaluates averaged weights; here there is no way to them."
        return failed(text, scenario)
    what = "the weights that it trains" if same else "other weights than it trains"
    return passed(f"Evaluating sees {what}, and changes no bit of the training.", 0.0)


CHECKS = (Inquiry("evaluation in between", _looked_at),)

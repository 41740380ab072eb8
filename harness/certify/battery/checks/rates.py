"""The learning rate: whether it counts, and what happens if it is changed in mid-run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....stepping.instance import NotApplicable
from ....stepping.scenario import Course, Scenario, SetRate, Step
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import amount, finite, length, moves, parting
from ..said import Said, failed, passed

# Steps that are taken after the change, and the share within which the answer is the rule's.
_AFTER, _SHARE = 4, 0.05


def _need_rate(bench: Bench) -> None:
    if bench.facts.rate_argument is None:
        raise NotApplicable("It takes no learning rate.")


def _counts(bench: Bench) -> Iterator[Said]:
    _need_rate(bench)
    scenario = bench.scenario(making=bench.making(rate=16.0 * bench.rate))
    less = bench.scenario(making=bench.making(rate=bench.rate / 16.0))
    found = bench.differs(bench.run(scenario))
    if found:
        yield passed("The learning rate that it is made with counts.", found.size)
    elif found := bench.differs(bench.run(less)):
        text = f"A learning rate below {bench.rate:g} counts; above, it is held there."
        yield passed(text, found.size)
    elif _unmoved(bench.expected(scenario), bench.expected(bench.scenario())):
        yield passed("The learning rate that it is made with has no effect, as in the rule.")
    else:
        yield failed(
            f"The learning rate has no effect: {bench.rate:g} and {16 * bench.rate:g} give the"
            " same bits.",
            scenario,
            0.0,
            f"With the learning rate {bench.rate:g} it prints the same.",
        )


def _unmoved(one: Course | None, other: Course | None) -> bool:
    """Whether both took the same way."""
    return bool(one and other and parting(one.steps, other.steps, one.steps[0]) is None)


def _changed(bench: Bench, rate: float) -> Scenario:
    """The usual course, with this learning rate for its last steps."""
    steps = tuple(map(Step, bench.gradients))
    return bench.scenario(actions=(*steps[:-_AFTER], SetRate(rate), *steps[-_AFTER:]))


def _doubled(bench: Bench) -> Iterator[Said]:
    _need_rate(bench)
    scenario = _changed(bench, 2.0 * bench.rate)
    course, expected = bench.run(scenario), bench.expected(scenario)
    usual = bench.expected(bench.scenario())
    ratio = _next(bench, course, bench.plain)
    rule = _next(bench, expected, usual) if expected and usual else None
    late = rule is not None and _near(_next(bench, course, bench.plain, 1), rule)
    dead = bench.differs(course) is None
    if dead and bench.differs(bench.run(_changed(bench, bench.rate / 16.0))):
        yield passed("A lower learning rate in mid-run counts; doubled, it is held.", 1.0)
        return
    text = f"After the learning rate is doubled in mid-run, the next step is {amount(ratio)} times"
    if dead and not _unmoved(expected, usual):
        text = "A change of the learning rate in mid-run has no effect."
        yield failed(text, scenario, 1.0, "Without the change it prints the same.")
    elif dead:
        yield passed("A change of the learning rate in mid-run has no effect, as in the rule.")
    elif rule is not None and not _near(ratio, rule) and _near(ratio, 1.0) and late:
        yield passed("A change of the learning rate in mid-run takes effect one step late.", 1.0)
    elif rule is not None and not _near(ratio, rule):
        text = f"{text} as long; by the rule {amount(rule)} times."
        yield failed(text, scenario, ratio)
    else:
        yield passed(f"{text} as long.", ratio)


def _near(ratio: float, rule: float) -> bool:
    return abs(ratio - rule) <= _SHARE * rule


def _next(bench: Bench, course: Course, usual: Course, late: int = 0) -> float:
    """The first step after the change, or a later one, in steps of the course without it."""
    number = len(bench.gradients) - _AFTER + late
    one, other = (length(moves(bench.start, c.steps)[number]) for c in (course, usual))
    return one / max(other, 1e-300)


def _zero(bench: Bench) -> Iterator[Said]:
    _need_rate(bench)
    scenario = _changed(bench, 0.0)
    course, expected = bench.run(scenario), bench.expected(scenario)
    share = _share(bench, course, bench.plain)
    if not finite(course.steps[-1]):
        if expected and not finite(expected.steps[-1]):
            yield passed("At the learning rate 0 the weights become NaN, as by the rule.")
        else:
            yield failed("At the learning rate 0 the weights become NaN or infinite.", scenario)
        return
    usual = bench.expected(bench.scenario())
    rule = _share(bench, expected, usual) if expected and usual else None
    late = [np.any(one) for one in moves(bench.start, course.steps)[-1].values()]
    if share and rule == 0.0 and not any(late):
        yield passed("At the learning rate 0 it rests, one step late.", share)
    elif rule is not None and not abs(share - rule) <= _SHARE * rule + 1e-9:
        text = f"At the learning rate 0 it goes {amount(share)} times as far as usual; by the rule"
        yield failed(f"{text} {amount(rule)} times.", scenario, share)
    elif share:
        text = f"At the learning rate 0 it still goes {amount(share)} times as far as usual."
        yield passed(text, share)
    else:
        yield passed("At the learning rate 0 it rests.", 0.0)


def _share(bench: Bench, course: Course, usual: Course) -> float:
    """The way after the change, by that of the usual course."""
    one, other = (
        length({n: c.steps[-1][n] - c.steps[-_AFTER - 1][n] for n in bench.start})
        for c in (course, usual)
    )
    return one / max(other, 1e-300)


def _before_the_first(bench: Bench) -> Iterator[Said]:
    """As a scheduler with a warm-up does."""
    _need_rate(bench)
    steps = tuple(map(Step, bench.gradients))
    making = bench.making(rate=0.25 * bench.rate)
    scenario = bench.scenario(making=making, actions=(SetRate(bench.rate), *steps))
    found = bench.differs(bench.run(scenario))
    if bench.close(found):
        yield passed("A learning rate set before the first step counts as if it was made with it.")
        return
    assert found
    expected, usual = bench.expected(scenario), bench.expected(bench.scenario())
    text = f"A learning rate set before the first step is not what it is made with: {found}."
    said = failed(text, scenario, found.size)
    yield said if _unmoved(expected, usual) else passed(text, _number(found.size))


def _number(size: float) -> float | None:
    return size if np.isfinite(size) else None


CHECKS = (
    Inquiry("learning rate counts", _counts),
    Inquiry("learning rate doubled", _doubled),
    Inquiry("learning rate 0", _zero, compares=False),
    Inquiry("learning rate set before the first step", _before_the_first),
)

"""State saved in mid-training and loaded into a new instance: not a bit may change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ....stepping.scenario import Action, Evaluate, Reload, SetRate, Step
from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import parting
from ..said import Said, failed, passed

_UNBROKEN = "Compare with the same steps without saving and loading: they print other numbers."


def _resumed(bench: Bench) -> Iterator[Said]:
    steps = tuple(map(Step, bench.gradients))
    for after in sorted({0, 1, bench.idle + 3}, reverse=True):
        scenario = bench.scenario(actions=(*steps[:after], Reload(), *steps[after:]))
        if found := bench.differs(bench.run(scenario)):
            yield failed(
                f"Resumed after step {after}, it goes another way than without a break: {found}.",
                scenario,
                found.size,
                _UNBROKEN,
            )
            return
    yield passed("Resumed training equals uninterrupted training, bit for bit.", 0.0)


def _rate_resumed(bench: Bench) -> Iterator[Said]:
    """After a change of the learning rate, and with a look at the weights before saving."""
    steps = tuple(map(Step, bench.gradients))
    begin: tuple[Action, ...] = (*steps[:-3], SetRate(0.5 * bench.rate), steps[-3], Evaluate())
    whole = bench.scenario(actions=(*begin, *steps[-2:]))
    scenario = replace(whole, actions=(*begin, Reload(), *steps[-2:]))
    found = parting(bench.run(whole).steps, bench.run(scenario).steps, bench.start)
    if found:
        text = f"Resumed after its learning rate was changed, it goes another way: {found}."
        yield failed(text, scenario, found.size, _UNBROKEN)
    else:
        yield passed("Resumed after a change of the learning rate, not a bit differs.", 0.0)


CHECKS = (
    Inquiry("saved and loaded", _resumed),
    Inquiry("saved and loaded with another rate", _rate_resumed),
)

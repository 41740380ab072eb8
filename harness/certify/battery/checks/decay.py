"""Weight decay shrinks weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..bench import Bench
from ..inquiry import Inquiry
from ..measure import amount, finite
from ..said import Said, failed, passed


def _shrinks(bench: Bench) -> Iterator[Said]:
    """With zero gradients; the zero gradients of a rule that moves anyway tell nothing."""
    making = bench.making(hyper=bench.weight_decay(0.1))
    zeros = [{name: np.zeros_like(value) for name, value in bench.start.items()}]
    scenario = bench.scenario(zeros * len(bench.gradients), making=making)
    last = bench.run(scenario).steps[-1]
    ratios = {name: np.ravel(last[name] / bench.start[name]) for name in bench.start}
    largest = max(float(ratio.max()) for ratio in ratios.values())
    # Rounding may let a weight grow by an ulp.
    if not finite(last) or largest > 1.0 + 1e-6:
        text = "Weight decay makes weights grow: with zero gradients one gets to"
        yield failed(f"{text} {amount(largest)} times its start.", scenario, largest)
    elif all(np.array_equal(last[name], bench.start[name]) for name in last):
        yield passed("With zero gradients weight decay does nothing.")
    else:
        spread = max(float(np.ptp(ratio)) for ratio in ratios.values())
        same = "in proportion" if spread < 1e-5 else "each by its own share"
        yield passed(f"With zero gradients weight decay shrinks weights, {same}.", spread)


def _counts(bench: Bench) -> Iterator[Said]:
    gradients = bench.gradients
    with_decay = bench.scenario(gradients, making=bench.making(hyper=bench.weight_decay(0.5)))
    without = bench.scenario(gradients, making=bench.making(hyper=bench.weight_decay(0.0)))
    one, other = bench.run(with_decay).steps, bench.run(without).steps
    if all(np.array_equal(one[-1][name], other[-1][name]) for name in bench.start):
        yield failed("Weight decay has no effect: 0.5 and 0 give the same bits.", with_decay, 0.0)
    else:
        yield passed("Weight decay counts.")


CHECKS = (
    Inquiry("weight decay shrinks", _shrinks, compares=False),
    Inquiry("weight decay counts", _counts),
)

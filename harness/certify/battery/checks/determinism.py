"""Equal instances, equal bits; the global generators of NumPy and Python as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np

from ..bench import Bench
from ..inquiry import Inquiry
from ..said import Said, failed, passed

_GLOBAL = ("random", "numpy.random")
_TWICE = "Do all of this twice: the printed numbers differ."


def _equal_bits(bench: Bench) -> Iterator[Said]:
    if found := bench.again:
        text = f"Two equal instances part {found}: its steps are random."
        yield failed(text, bench.scenario(), found.size, _TWICE)
    else:
        yield passed("Two equal instances give equal bits.", 0.0)


def _generators(bench: Bench) -> Iterator[Said]:
    before = random.getstate(), _numpy_state()
    scenario = bench.scenario()
    bench.run(scenario)
    after = random.getstate(), _numpy_state()
    changed = [name for name, a, b in zip(_GLOBAL, before, after, strict=True) if a != b]
    if changed:
        hint = "Compare the state of the global generator before and after."
        text = f"It draws from the global generator of {' and '.join(changed)}."
        yield failed(text, scenario, hint=hint)
    else:
        yield passed("The global generators of NumPy and Python are left alone.")


def _numpy_state() -> str:
    return repr([np.asarray(part).tolist() for part in np.random.get_state(legacy=True)])


CHECKS = (
    Inquiry("determinism", _equal_bits, compares=False),
    Inquiry("global generators", _generators, compares=False),
)

"""Who is the odd one out of several sides, and common causes of a difference, from the numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradrace import schedules
from gradrace.registry import Registry
from gradrace.verify.cases import Selection, UpdateCase, known
from gradrace.verify.hint import hint
from gradrace.verify.odd import failures
from gradrace.verify.verdict import FirstDifference, Side, Verdict

PLACE = FirstDifference(step=7, tensor="0_dense.kernel", entry=(1, 2), a="1.5", b="2.5")


def verdict(a: str, b: str, equal: bool, reason: str = "") -> Verdict:
    found: dict[str, Any] = {"verdict": "equal", "worst": 1e-15}
    if not equal:
        found = {"verdict": "FAILED", "worst": 0.5, "place": PLACE, "reason": reason}
    sides = {"a": Side(framework=a), "b": Side(framework=b)}
    return Verdict(level="updates", case="adam/canonical", tolerance=1e-12, **sides, **found)


def told(*pairs: tuple[str, str, bool]) -> list[str]:
    return list(failures([verdict(*pair) for pair in pairs]))


def test_the_odd_one_is_named_once_beside_those_that_agree():
    (line,) = told(("torch", "jax", False), ("torch", "numpy", False), ("jax", "numpy", True))
    assert line.startswith("updates/adam/canonical: torch differs, jax and the NumPy rule agree, ")
    assert "first at step 7, 0_dense.kernel[1, 2]: 1.5 and 2.5 (torch, numpy)" in line


@pytest.mark.parametrize(
    ("pairs", "lines"),
    [
        ([("torch", "numpy", False)], 1),
        ([("a", "b", True), ("c", "d", True), ("a", "c", False), ("b", "d", False)], 2),
        ([("a", "b", False), ("a", "c", False), ("b", "c", False)], 3),
        ([("a", "b", True)], 0),
    ],
    ids=["two sides", "two against two", "nobody agrees", "all agree"],
)
def test_where_nobody_stands_alone_pairs_are_told(pairs, lines):
    found = told(*pairs)
    assert len(found) == lines and not any("differs" in line for line in found)


def test_who_cannot_compute_a_case_is_told_once():
    def broken(b: str) -> Verdict:
        found = verdict("torch", b, False).model_copy(update={"place": None, "worst": None})
        return found.model_copy(update={"reason": "torch: RuntimeError: lost"})

    assert list(failures([broken("jax"), broken("numpy")])) == [
        "updates/adam/canonical: torch: RuntimeError: lost"
    ]


Fault = Callable[[Any, Any, Any, np.ndarray, int], Any]


def stepped(registry: Registry, case: UpdateCase, fault: Fault) -> dict[str, np.ndarray]:
    """Adam's reference rule with a fault, in every update."""
    adam = registry.optimizers["adam"]
    hyper, rates = adam.hypers({}), schedules.table(case.schedule, case.steps)
    start, gradients = case.draw()
    after = {}
    for name, p in start.items():
        state, steps = adam.rule.init(p, hyper), []
        for number, gradient in enumerate(gradients):
            now = (p, gradient[name], state)
            p, state = fault(lambda *g: adam.rule.update(*g, hyper), p, now, rates, number)
            steps.append(p)
        after[name] = np.stack(steps)
    return after


def right(rule: Any, p: Any, now: Any, rates: np.ndarray, n: int) -> Any:
    return rule(*now, float(rates[n]), n + 1)


def sign(rule: Any, p: Any, now: Any, rates: np.ndarray, n: int) -> Any:
    after, state = right(rule, p, now, rates, n)
    return 2 * p - after, state


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (sign, "its step 0 is -1 times the right one: the sign?"),
        (lambda r, p, now, rates, n: r(*now, 0.5 * float(rates[n]), n + 1), "a factor of 2?"),
        (lambda r, p, now, rates, n: r(*now, float(rates[min(n + 1, 49)]), n + 1), "next step?"),
        (lambda r, p, now, rates, n: r(*now, float(rates[max(n - 1, 0)]), n + 1), "last step?"),
        (lambda r, p, now, rates, n: r(*now, float(rates[n]), 10**6), "the bias corrections?"),
        (lambda r, p, now, rates, n: r(*now, float(rates[n]), n + 2), "off by one step?"),
        (lambda r, p, now, rates, n: r(*now, 1.3 * float(rates[n]), n + 1), "1.3 times the right"),
    ],
    ids=[
        "sign",
        "half",
        "next rate",
        "last rate",
        "no bias correction",
        "late count",
        "any factor",
    ],
)
def test_a_common_cause_is_named_if_the_numbers_show_it(registry, fault, says):
    case = known(registry, Selection())["updates/adam/canonical/decaying"]
    wanted = stepped(registry, case, right)
    assert says in hint(case, stepped(registry, case, fault), wanted, registry.optimizers["adam"])


def test_no_cause_is_guessed(registry):
    case = known(registry, Selection())["updates/adam/canonical/decaying"]

    def decayed(rule: Any, p: Any, now: Any, rates: np.ndarray, n: int) -> Any:
        return rule(p, now[1] + 1e-3 * p, now[2], float(rates[n]), n + 1)

    found, wanted = (stepped(registry, case, fault) for fault in (decayed, right))
    assert hint(case, found, wanted, registry.optimizers["adam"]) == ""

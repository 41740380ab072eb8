"""A scenario of a reference rule as a short script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from gradrace.optimizer import Optimizer
from gradrace.stepping.scenario import Evaluate, Reload, Scenario, SetRate, Step

_HEAD = """\
import numpy as np
from numpy import array, inf, nan
from gradrace.registry import load_registry

np.set_printoptions(floatmode="unique", threshold=10**9)
optimizer = load_registry([]).optimizers[{name!r}]
rule, hyper = optimizer.rule, {hyper!r}
weights = {start}
rate = {{name: {rate!r} for name in weights}}{resting}
state = {{name: rule.init(weight, hyper) for name, weight in weights.items()}}
taken = dict.fromkeys(weights, 0)


def step(gradients):
    for name, gradient in gradients.items():
        taken[name] += 1
        weights[name], state[name] = rule.update(
            weights[name], gradient, state[name], rate[name], taken[name], hyper
        )
    print(weights)

"""


def script_of(optimizer: Optimizer, hyper: Mapping[str, Any], scenario: Scenario) -> str:
    """Does the scenario with the rule alone, and prints the tensors after each step.

    The reader gives load_registry the file of a rule of his own. Reloading is left out: a rule's
    state is values, and saving gives them back. A joint rule gets one vector, named "all"."""
    making, joint = scenario.making, optimizer.rule is not None and optimizer.rule.joint
    head = _HEAD.format(
        name=optimizer.name,
        hyper=optimizer.hypers({**hyper, **making.hyper}),
        start=_arrays(scenario.start, joint),
        rate=making.rate,
        resting="".join(f"\nrate[{name!r}] = 0.0" for name in making.resting),
    )
    return head + "".join(f"{line}\n" for line in _lines(scenario, joint))


def _lines(scenario: Scenario, joint: bool) -> Iterator[str]:
    resting = scenario.making.resting
    for action in scenario.actions:
        match action:
            case Step():
                given = {key: g for key, g in action.gradients.items() if g is not None}
                yield f"step({_arrays(given, joint)})"
            case SetRate():
                yield f"rate = {{n: 0.0 if n in {resting!r} else {action.rate!r} for n in weights}}"
            case Reload():
                yield "# Here the state is saved and loaded."
            case Evaluate():
                yield (
                    "print({n: rule.evaluation(weights[n], state[n], hyper) if rule.evaluation else"
                    " weights[n] for n in weights})"
                )


def _arrays(named: Mapping[str, np.ndarray], joint: bool) -> str:
    if joint:
        named = {"all": np.concatenate([np.ravel(value) for value in named.values()])}
    # repr of a long array leaves out numbers.
    with np.printoptions(threshold=10**9, floatmode="unique"):
        texts = (f"{name!r}: {_array(value)}" for name, value in named.items())
        return "{" + ", ".join(texts) + "}"


def _array(value: np.ndarray) -> str:
    if not value.size:
        return f"np.zeros({value.shape})"
    return " ".join(repr(np.asarray(value, dtype=np.float64)).split())

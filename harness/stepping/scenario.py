"""What is done with an instance, as data: run it here, or print it as a script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..plan import Weights
from .instance import Gradients, Instance, Maker, Making


@dataclass(frozen=True)
class Step:
    """One update with these gradients."""

    gradients: Gradients


@dataclass(frozen=True)
class SetRate:
    """The learning rate from here on."""

    rate: float


@dataclass(frozen=True)
class Reload:
    """Saves the state, makes a second instance of the tensors as they are, and loads it there."""


@dataclass(frozen=True)
class Evaluate:
    """Looks at the weights that a user evaluates, as between two epochs."""


Action = Step | SetRate | Reload | Evaluate


@dataclass(frozen=True)
class Scenario:
    """An instance's start and making, and what is done with it, in order."""

    start: Weights
    making: Making
    actions: tuple[Action, ...]


class Course(NamedTuple):
    """What a scenario did: copies of the tensors after each step, of the weights at each Evaluate,
    and of the state after the last action."""

    steps: tuple[Weights, ...]
    evaluated: tuple[Weights, ...]
    state: Mapping[str, np.ndarray]


def run(maker: Maker, scenario: Scenario) -> Course:
    """Does the scenario. What the library raises passes; so does NotApplicable."""
    instance = maker.make(scenario.start, scenario.making)
    steps: list[Weights] = []
    evaluated: list[Weights] = []
    rate = scenario.making.rate
    for action in scenario.actions:
        match action:
            case Step():
                instance.step(action.gradients)
                steps.append(instance.weights())
            case SetRate():
                rate = action.rate
                instance.set_rate(rate)
            case Reload():
                instance = _reloaded(maker, scenario.making, instance, rate)
            case Evaluate():
                evaluated.append(instance.evaluated())
    return Course(tuple(steps), tuple(evaluated), instance.state())


def _reloaded(maker: Maker, making: Making, old: Instance, rate: float) -> Instance:
    new = maker.make(old.weights(), making)
    new.load(old.save())
    if rate != making.rate:
        new.set_rate(rate)
    return new

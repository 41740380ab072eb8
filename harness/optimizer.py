"""What an optimizer is to gradrace: its paper, hyperparameters, NumPy reference rule and name in
each framework.

Nothing here imports a framework. A binding names a framework's class by its dotted path and says,
as data, which arguments make it compute the canonical rule, and which corrections it needs beside
its own class to do so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray
Hypers = Mapping[str, float]
State = dict[str, Array]


@dataclass(frozen=True)
class Hyper:
    """A hyperparameter: default, meaning, and the closed range of values that make sense."""

    default: float
    meaning: str
    low: float = 0.0
    high: float = float("inf")


@dataclass(frozen=True)
class Range:
    """Where a search looks for a hyperparameter, the closed range [low, high].

    log: evenly in the logarithm. below_one: the range is that of 1 - value (decays such as 0.9 to
    0.9999 are 1e-4 to 0.1)."""

    low: float
    high: float
    log: bool = False
    below_one: bool = False


@dataclass(frozen=True)
class SearchSpace:
    """What `gradrace tune` searches: "learning_rate" and hyperparameters by name; `source` says who
    proposed the ranges.
    """

    ranges: Mapping[str, Range]
    source: str


@dataclass(frozen=True)
class HyperCorrection:
    """Sets a constructor argument of the framework's optimizer anew before every step.

    `values(hyper, steps)` gives float64[steps].
    """

    name: str
    why: str
    argument: str
    values: Callable[[Hypers, int], Array]


@dataclass(frozen=True)
class StateCorrection:
    """Replaces a state buffer b of the framework's optimizer by b * scale[t] + shift[t] before step
    t.

    `scale(hyper, lr)` and `shift(hyper, lr)` take the float64[steps] table of learning rates that
    the framework is given (after any RateCorrection) and give float64[steps]. The first entry
    applies to the buffer as the framework initialises it, to zeros unless it says otherwise.
    """

    name: str
    why: str
    state: str
    scale: Callable[[Hypers, Array], Array]
    shift: Callable[[Hypers, Array], Array] = lambda hyper, lr: np.zeros_like(lr)


@dataclass(frozen=True)
class RateCorrection:
    """Gives the framework's optimizer the learning rate times a factor of the step.

    `factor(hyper, steps)` gives float64[steps].
    """

    name: str
    why: str
    factor: Callable[[Hypers, int], Array]


Correction = HyperCorrection | StateCorrection | RateCorrection


@dataclass(frozen=True)
class Binding:
    """How one framework computes the rule.

    Every field holds in every framework that reads bindings (torch, tensorflow, jax), or `supports`
    refuses the run and names the field. The NumPy reference takes `Optimizer.rule` and refuses an
    optimizer with a binding of its own.

    target: dotted path of the framework's class or factory ("torch.optim.Adam"), or a function
    without arguments that
        imports the framework itself and returns the class (for an optimizer that no library ships).
        It is called once a process. PyTorch and Keras construct the class with the schedule's base
        learning rate and set the rate of each step afterwards. Optax' factory is called with the
        rate of the step itself, a traced number, as optax.inject_hyperparams does: a product of
        rate and decay then follows the schedule.
    canonical: hyperparameters -> keyword arguments for which the class follows the reference rule.
    native: keyword arguments that pick the algorithm; everything else is left at the library's
    default.
    corrections: named pieces beside the class that the canonical rule needs; never applied under
    the native rule.
    native_target: the class under the native rule, if the canonical rule is built of the library's
    parts instead.
    matrices_only: the class takes parameters of two dimensions and no others.
    asks_for_loss: the class evaluates the loss itself, so that it cannot run on given gradients:
    the class of the native
        rule, and that of the canonical rule too unless `native_target` names another. In torch
        `step` is then given a closure, and otherwise nothing; Optax' `update` has the loss at hand
        in any case; Keras' optimizers cannot take one, and are refused.
    evaluation: dotted path of a function (optimizer state, parameters) -> parameters to evaluate,
    if those are not the
        ones at which gradients are taken. It holds under both rules and computes with the
        framework's tensors.
        torch: state is laid out as `Optimizer.state_dict()`, with canonical names for indices:
        {"state": {name: {key: tensor, ...}}, "param_groups": [{"params": [name, ...], "lr": ...,
        ...}]}; parameters are {name: tensor}.
        tensorflow: state is {attribute of the Keras optimizer: tensor, or {name: tensor} for one
        buffer a parameter, as "_momentums"}; parameters are {name: tensor}. jax: state is Optax's,
        parameters the same tree as it has for them. Tensors are as the optimizer holds them, and
        copies: training goes on with the bits that it had. In torch, where classes make their state
        in their first step, it is called from then on. A torch class with methods `train()` and
        `eval()` (Schedule-Free) needs no function: `eval()` is called before each evaluation,
        `train()` after it.
    """

    target: str | Callable[[], Callable[..., Any]]
    canonical: Callable[[Hypers], dict[str, Any]] = lambda hyper: dict(hyper)
    native: Mapping[str, Any] = field(default_factory=dict)
    corrections: tuple[Correction, ...] = ()
    native_target: str | None = None
    matrices_only: bool = False
    asks_for_loss: bool = False
    evaluation: str | None = None

    def loss_asked_for(self, rule: str) -> bool:
        """Whether the class of this rule evaluates the loss itself."""
        return self.asks_for_loss and (rule == "native" or self.native_target is None)

    @property
    def label(self) -> str:
        """The name to show a reader."""
        if self.native_target:
            return self.native_target
        if isinstance(self.target, str):
            return self.target
        return f"{self.target.__module__}.{getattr(self.target, '__name__', type(self.target).__name__)}"


@dataclass(frozen=True)
class ReferenceRule:
    """The update in NumPy float64, on one tensor; the referee for every framework.

    init(parameter, hyper) -> state
    update(parameter, gradient, state, lr, t, hyper) -> (new parameter, new state), t counting from
    1. evaluation(parameter, state, hyper) -> what is evaluated, where that is not the parameter
       itself.
    joint: the rule takes all tensors as one vector (float64[n], C order, in the order of the
    weights). Pure functions: arguments are not changed in place.
    """

    init: Callable[[Array, Hypers], State]
    update: Callable[[Array, Array, State, float, int, Hypers], tuple[Array, State]]
    evaluation: Callable[[Array, State, Hypers], Array] | None = None
    joint: bool = False


@dataclass(frozen=True)
class Optimizer:
    """An optimizer, as one file declares it (in gradrace/optimizers/, or the user's own given by
    --load).

    paper: where the canonical rule is from, and every departure of `rule` from it. What all
    libraries compute in another way
        than the paper, the canonical rule computes in theirs (RAdam's threshold, NAdam's constant
        momentum).
    differs: framework -> why its library cannot compute the canonical rule. Such a framework may
    still have a binding,
        whose `canonical` then gives the nearest settings; runs refuse it under the canonical rule,
        not under the native.
    per_tensor: the update of an element depends on the tensor around it, and so on how weights are
    stored. Under the
        canonical rule every framework then gives its optimizer tensors in canonical layout; under
        the native, its own.
    full_batch: the rule compares gradients of successive steps, so that they must be of one
    function: of the same batch.
    imprecise: framework -> why its float32 is off by more than the rounding of tensors, though its
    float64 is right.
    space: where to search for good settings, with its source; None where nobody has proposed one.
    """

    name: str
    title: str
    paper: str
    learning_rate: float
    hyper: Mapping[str, Hyper]
    bindings: Mapping[str, Binding]
    rule: ReferenceRule | None = None
    note: str = ""
    differs: Mapping[str, str] = field(default_factory=dict)
    per_tensor: bool = False
    full_batch: bool = False
    imprecise: Mapping[str, str] = field(default_factory=dict)
    space: SearchSpace | None = None

    def hypers(self, given: Hypers) -> dict[str, float]:
        """The defaults with `given` over them. ValueError names an unknown or impossible one."""
        for key, value in given.items():
            if key not in self.hyper:
                from .errors import nearest

                raise ValueError(
                    f"{self.name} has no hyperparameter {key!r}{nearest(key, self.hyper)}"
                )
            known = self.hyper[key]
            if not known.low <= value <= known.high:
                raise ValueError(
                    f"{self.name}: {key} = {value:g} is outside [{known.low:g}, {known.high:g}]"
                )
        return {key: float(given.get(key, known.default)) for key, known in self.hyper.items()}

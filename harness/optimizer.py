"""An optimizer: its paper, hyperparameters, NumPy rule, and class in each framework.

Nothing here imports a framework. A binding names a framework's class by its dotted path and says,
as data, which arguments and which corrections beside the class make it compute the canonical rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import nearest
from .importpath import ImportPath
from .strict import given as shown

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
class Argument:
    """An argument of a library's class, as its signature has it.

    default: in JSON's types, a list as a tuple; None if it is none of these. shown: the default
    for people."""

    default: Any = None
    required: bool = False
    shown: str = ""


@dataclass(frozen=True)
class Range:
    """The closed range [low, high] in which a search looks for a hyperparameter.

    log: evenly in the logarithm. below_one: the range is that of 1 - value (decays of 0.9 to 0.9999
    are 1e-4 to 0.1)."""

    low: float
    high: float
    log: bool = False
    below_one: bool = False


@dataclass(frozen=True)
class SearchSpace:
    """The ranges that `gradrace tune` searches, of "learning_rate" and hyperparameters by name;
    `source` says who proposed them."""

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

    `scale(hyper, lr)` and `shift(hyper, lr)` take the table of learning rates that the framework is
    given (float64[steps], after any RateCorrection) and give float64[steps]. The first entry
    applies to the buffer as the framework initialises it, as a rule to zeros."""

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
        without arguments that imports the framework and returns the class (for an optimizer that no
        library ships). It is called once a process. PyTorch and Keras construct the class with the
        schedule's base learning rate and set the rate of each step afterwards. Optax' factory is
        called with the rate of the step, a traced number, as optax.inject_hyperparams does: a
        product of rate and decay then follows the schedule.
    canonical: hyperparameters -> keyword arguments for which the class follows the reference rule.
    native: keyword arguments that pick the algorithm; the rest stays at the library's defaults.
    corrections: named pieces beside the class that the canonical rule needs; never applied under
        the native rule.
    native_target: the class under the native rule, if the canonical one is built of parts instead.
    matrices_only: the class takes parameters of two dimensions and no others: the class of the
        native rule, and that of the canonical rule unless `native_target` names another.
    asks_for_loss: the class evaluates the loss itself, so that it cannot run on given gradients:
        the class of the native rule, and that of the canonical rule unless `native_target` names
        another. In torch `step` is then given a closure, and otherwise nothing; Optax' `update` has
        the loss at hand in any case; Keras' optimizers cannot take one, and are refused.
    evaluation: dotted path of a function (optimizer state, parameters) -> parameters to evaluate,
        if gradients are taken at others. It holds under both rules and computes with the
        framework's tensors. These are copies, so training goes on with the bits that it had.
        torch: state as in `Optimizer.state_dict()`, with canonical names for indices: {"state":
            {name: {key: tensor, ...}}, "param_groups": [{"params": [name, ...], "lr": ..., ...}]};
            parameters {name: tensor}. It is called after the first step, which makes the state. A
            class with `train()` and `eval()` (Schedule-Free) needs no function: `eval()` is called
            before each evaluation, `train()` after it.
        tensorflow: state {attribute of the Keras optimizer: tensor, or {name: tensor} for one
            buffer a parameter, as "_momentums"}; parameters {name: tensor}.
        jax: Optax' state; parameters are the same tree as it has for them.
    requires: distributions beside the framework's own, such as ("pytorch_optimizer",). Their
        versions enter digests; without them runs are skipped.
    """

    target: str | Callable[[], Callable[..., Any]]
    canonical: Callable[[Hypers], dict[str, Any]] = lambda hyper: dict(hyper)
    native: Mapping[str, Any] = field(default_factory=dict)
    corrections: tuple[Correction, ...] = ()
    native_target: str | None = None
    matrices_only: bool = False
    asks_for_loss: bool = False
    evaluation: str | None = None
    requires: tuple[str, ...] = ()

    def loss_asked_for(self, rule: str) -> bool:
        """Whether the class of this rule evaluates the loss itself."""
        return self.asks_for_loss and self._is_of(rule)

    def takes_matrices_only(self, rule: str) -> bool:
        """Whether the class of this rule takes no other parameters than matrices."""
        return self.matrices_only and self._is_of(rule)

    def _is_of(self, rule: str) -> bool:
        """Whether what the fields say of the library's class holds for the class of this rule."""
        return rule == "native" or self.native_target is None

    @property
    def label(self) -> str:
        """The name to show a reader."""
        if self.native_target:
            return self.native_target
        if isinstance(self.target, str):
            return self.target
        if label := getattr(self.target, "label", None):
            return str(label)
        name = getattr(self.target, "__name__", type(self.target).__name__)
        return f"{self.target.__module__}.{name}"


@dataclass(frozen=True)
class ReferenceRule:
    """The update in NumPy float64, on one tensor; the referee for every framework.

    init(parameter, hyper) -> state
    update(parameter, gradient, state, lr, t, hyper) -> (new parameter, new state), t from 1
    evaluation(parameter, state, hyper) -> the parameter to evaluate, if it is another
    joint: the rule takes all tensors as one vector (float64[n], C order, in the order of the
        weights).
    Pure functions: arguments are not changed in place."""

    init: Callable[[Array, Hypers], State]
    update: Callable[[Array, Array, State, float, int, Hypers], tuple[Array, State]]
    evaluation: Callable[[Array, State, Hypers], Array] | None = None
    joint: bool = False


@dataclass(frozen=True)
class Optimizer:
    """An optimizer, as one file declares it (in gradrace/optimizers/, or a user's, by --load).

    paper: the source of the canonical rule, and every departure of `rule` from it. If all libraries
        depart from the paper alike, so does the canonical rule (RAdam's threshold, NAdam's constant
        momentum).
    differs: framework -> why its library cannot compute the canonical rule. Its binding, if any,
        then has the nearest settings as `canonical`; runs refuse it under the canonical rule alone.
    per_tensor: the update of an element depends on the tensor around it, and so on the layout.
        Under the canonical rule every framework then gives its optimizer tensors in canonical
        layout; under the native rule, its own.
    full_batch: the rule compares gradients of successive steps, which must be of the same batch.
    imprecise: framework -> why its float32 is off by more than the rounding of tensors, though its
        float64 is right.
    space: the ranges to search for good settings; None if nobody has proposed any.
    imported: the import path that it stands for; it then has no rule, and `hyper` holds the
        numbers among the arguments of its class.
    arguments: framework -> arguments of its native class but parameters and learning rate, if that
        class was looked at (see imported/described).
    absent: why its class cannot be had here: "not installed: ...".
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
    imported: ImportPath | None = None
    arguments: Mapping[str, Mapping[str, Argument]] = field(default_factory=dict)
    absent: str = ""

    def hypers(self, given: Mapping[str, Any]) -> dict[str, float]:
        """The defaults with `given` over them. ValueError names an unknown or impossible one."""
        for key, value in given.items():
            if key not in self.hyper:
                raise ValueError(
                    f"{self.name} has no hyperparameter {key!r}{nearest(key, self.hyper)}"
                )
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{self.name}: {key}: expected a number, not {shown(value)}")
            known = self.hyper[key]
            if not known.low <= value <= known.high:
                raise ValueError(
                    f"{self.name}: {key} = {value:g} is outside [{known.low:g}, {known.high:g}]"
                )
        return {key: float(given.get(key, known.default)) for key, known in self.hyper.items()}

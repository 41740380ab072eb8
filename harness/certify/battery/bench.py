"""The bench on which an optimizer is checked: tensors, gradients, and the courses that many checks
look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...adapters.numpy.instance import rule_maker
from ...imported.aliases import Place, places
from ...optimizer import Optimizer
from ...plan import Weights
from ...spec import Dtype
from ...stepping.instance import Gradients, Maker, MakerFacts, Making, NotApplicable
from ...stepping.scenario import Action, Course, Scenario, Step, run
from .measure import Parting, moves, parting, same
from .said import Deadline, Raised

# Steps in which an optimizer must have begun to move, and steps of a course after that.
PATIENCE, MORE_STEPS = 24, 12
_REPEATS = 3
# By how much courses may differ that are the same but for the order of sums, by dtype.
TOLERANCE: Mapping[Dtype, float] = {"float64": 1e-11, "float32": 1e-3, "bfloat16": 0.5}


@dataclass(frozen=True)
class Bench:
    """maker: of the optimizer. known: the optimizer of ours whose rule it claims to be. dtype: that
    of most checks."""

    maker: Maker
    known: Optimizer | None
    dtype: Dtype = "float64"
    deadline: Deadline = field(default_factory=Deadline)

    @cached_property
    def facts(self) -> MakerFacts:
        """Of the maker."""
        return self.maker.facts()

    @cached_property
    def rate(self) -> float:
        """The library's own learning rate, within reason."""
        default = self.facts.defaults.get(self.facts.rate_argument or "")
        if isinstance(default, float | int) and 0.0 < default < math.inf:
            return float(min(max(default, 1e-3), 1.0))
        return 0.01

    @cached_property
    def start(self) -> Weights:
        """A matrix and a vector, or two matrices; no entry is near 0. Small, for short scripts."""
        draw = np.random.default_rng(14)
        shapes = {"kernel": (3, 2), "bias": (1, 2) if self.facts.matrices_only else (2,)}
        return {name: _apart(draw, shape) for name, shape in shapes.items()}

    @cached_property
    def many(self) -> tuple[Gradients, ...]:
        """More gradients than any course takes."""
        return self.drawn(self.start, PATIENCE)

    @staticmethod
    def drawn(start: Weights, steps: int, seed: int = 1) -> tuple[Gradients, ...]:
        """Gradients of these tensors; each has a direction of its own beside the noise."""
        draw = np.random.default_rng(seed)
        slope = {name: _apart(draw, value.shape) for name, value in start.items()}
        return tuple(
            {name: _rounded(g + 0.3 * draw.normal(size=g.shape)) for name, g in slope.items()}
            for _ in range(steps)
        )

    @cached_property
    def first(self) -> Course:
        """Of PATIENCE steps."""
        return self.run(self.scenario(self.many))

    @cached_property
    def idle(self) -> int:
        """Steps at the beginning in which some tensor has not moved yet; PATIENCE if it never
        does."""
        waiting = set(self.start)
        for number, step in enumerate(moves(self.start, self.first.steps)):
            waiting -= {name for name, move in step.items() if np.any(move)}
            if not waiting:
                return number
        return PATIENCE

    @cached_property
    def gradients(self) -> tuple[Gradients, ...]:
        """Of the usual course: it moves for MORE_STEPS."""
        return self.many[: min(self.idle, PATIENCE - MORE_STEPS) + MORE_STEPS]

    @cached_property
    def plain(self) -> Course:
        """The usual course."""
        return self.run(self.scenario())

    @cached_property
    def again(self) -> Parting | None:
        """How other equal instances' usual courses differ from the first's. Random steps may agree
        by chance, so there are several."""
        found = (self.differs(self.run(self.scenario())) for _ in range(_REPEATS))
        return next(filter(None, found), None)

    @cached_property
    def coupled(self) -> bool:
        """Whether a tensor's way depends on other tensors' gradients: on their size, or sign and
        direction, as some rules take either away; or whether its state does, for a start."""
        drawn = self.drawn(self.start, len(self.many), seed=2)
        for factor in (1.0, -1e-6, 1e6):
            given = [
                {**g, "bias": factor * (-1.0) ** step * np.asarray(new["bias"])}
                for step, (g, new) in enumerate(zip(self.many, drawn, strict=True))
            ]
            other = self.run(self.scenario(given))
            if parting(self.first.steps, other.steps, self.start, ["kernel"]):
                return True
            if _shared(self.first.state, other.state):
                return True
        return False

    @property
    def per_tensor(self) -> bool:
        """Whether the known rule's update of an element depends on its whole tensor, or on all."""
        known = self.known
        return known is not None and (known.per_tensor or bool(known.rule and known.rule.joint))

    @cached_property
    def own_gradients(self) -> bool:
        """Whether the class evaluates the loss itself, in a closure or a function that it is given:
        it is linear here."""
        return any(word in self.facts.drive for word in ("closure", "_fn"))

    def making(self, **changes: Any) -> Making:
        """The usual one with changes."""
        usual = Making(self.rate, hyper=self._no_decay, dtype=self.dtype)
        return replace(usual, **changes)

    @cached_property
    def _no_decay(self) -> Mapping[str, Any]:
        """Turns weight decay off if the known rule has none."""
        if self.known is None or "weight_decay" in self.known.hyper:
            return {}
        with suppress(NotApplicable):
            return self.weight_decay(0.0)
        return {}

    def scenario(
        self,
        gradients: Any = None,
        start: Weights | None = None,
        making: Making | None = None,
        actions: tuple[Action, ...] = (),
    ) -> Scenario:
        """The usual course with changes; `actions` take the place of the gradients' steps."""
        given = self.gradients if gradients is None else gradients
        steps = actions or tuple(map(Step, given))
        return Scenario(self.start if start is None else start, making or self.making(), steps)

    def run(self, scenario: Scenario) -> Course:
        """Raised if the library raises. NotApplicable passes."""
        return self.tried(lambda: run(self.maker, scenario), scenario)

    @staticmethod
    def tried(call: Callable[[], Any], scenario: Scenario) -> Any:
        """The call's value. Raised: it raised."""
        try:
            return call()
        except NotApplicable:
            raise
        except Exception as error:
            raise Raised(error, scenario) from error

    def differs(self, other: Course, names: Any = ()) -> Parting | None:
        """From the usual course."""
        return parting(self.plain.steps, other.steps, self.start, names)

    def close(self, found: Parting | None, factor: float = 1.0) -> bool:
        """Whether a difference is one of rounding."""
        return found is None or found.size <= factor * TOLERANCE[self.dtype]

    @cached_property
    def places(self) -> Mapping[str, Place]:
        """Which argument means what."""
        return places(self.facts.defaults)

    @cached_property
    def reference(self) -> Maker | None:
        """The known rule, with the class's hyperparameters if it has them."""
        if self.known is None or self.known.rule is None:
            return None
        hyper: dict[str, float] = {}
        for name in self.known.hyper:
            value = self.places[name].value(self.facts.defaults) if name in self.places else None
            if isinstance(value, float | int) and not isinstance(value, bool):
                with suppress(ValueError):
                    self.known.hypers({name: value})
                    hyper[name] = float(value)
        return rule_maker(self.known, hyper)

    def expected(
        self, scenario: Scenario, hyper: Mapping[str, float] | None = None
    ) -> Course | None:
        """What the known rule does in this scenario; None if there is no rule, or if it has no
        such thing. hyper: by our names; the making's own, which are the library's, are left out."""
        if self.reference is None:
            return None
        making = replace(scenario.making, dtype="float64", variant="", hyper=hyper or {})
        with suppress(NotApplicable, ArithmeticError, np.linalg.LinAlgError):
            return run(self.reference, replace(scenario, making=making))
        return None

    def weight_decay(self, value: float) -> Mapping[str, Any]:
        """Arguments that set it. NotApplicable: the class takes none."""
        place = self.places.get("weight_decay")
        if place is None or place.entry is not None:
            raise NotApplicable("it takes no weight decay")
        return {place.argument: value}


def _shared(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether states differ, but for the vector's own."""
    own = {path for path in one if path.startswith("bias.")}
    return any(not same(one[path], other[path]) for path in (one.keys() - own) & other.keys())


def _apart(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of both signs between 0.5 and 1.5."""
    return _rounded(draw.choice([-1.0, 1.0], shape) * draw.uniform(0.5, 1.5, shape))


def _rounded(array: np.ndarray) -> np.ndarray:
    """To few digits: short in a script, and exact in bfloat16 below 4."""
    return np.asarray(np.round(64.0 * array) / 64.0)

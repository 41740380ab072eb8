"""The optimizers of a run's parameter groups, driven as one inside a traced step."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapters.tensorflow import optimizer as optimizers
from gradrace.adapters.tensorflow.optimizer import Updater
from gradrace.binding import Bound, bind
from gradrace.plan import RunInputs
from gradrace.roles import Trainer
from gradrace.spec import RunSpec


@dataclass(frozen=True)
class GroupedBound:
    """The optimizers of one run, each with the parameters that it trains."""

    parts: tuple[tuple[Trainer, Bound], ...]


AnyBound = Bound | GroupedBound


class AnyUpdater(Protocol):
    """What a program asks of `Updater` and `GroupedUpdater`; bounds are of its own kind."""

    @property
    def step(self) -> tf.Tensor: ...

    @property
    def others(self) -> list[keras.Variable]: ...

    @property
    def untracked(self) -> bool: ...

    def restart(self, bound: Any) -> None: ...

    def fits(self, bound: Any) -> bool: ...

    def set_tables(self, bound: Any) -> None: ...

    def apply(self, gradients: Sequence[tf.Tensor]) -> None: ...

    def go_to(self, step: int) -> None: ...

    def evaluated(self, names: Sequence[str]) -> AbstractContextManager[None]: ...

    def state_bytes(self) -> int | None: ...


def bound_of(run: RunSpec, inputs: RunInputs, rates: np.ndarray) -> AnyBound:
    """The run's optimizer, or its optimizers, under these learning rates of the run."""
    if not run.optimizer.groups:
        return bind(run, inputs.optimizer, rates)
    found = inputs.trainers(run)
    return GroupedBound(
        tuple((each, bind(each.run, each.optimizer, each.rates(rates))) for each in found)
    )


def at_rest(bound: AnyBound) -> AnyBound:
    """The same with learning rates of 0."""
    if isinstance(bound, Bound):
        return replace(bound, learning_rates=np.zeros_like(bound.learning_rates))
    parts = ((each, replace(b, learning_rates=0.0 * b.learning_rates)) for each, b in bound.parts)
    return GroupedBound(tuple(parts))


def traced_with(run: RunSpec, bound: AnyBound) -> Hashable:
    """All of the optimizers that a traced step holds as constants."""
    if isinstance(bound, Bound):
        return optimizers.traced_with(run, bound)
    return tuple((t.names, optimizers.traced_with(t.run, own)) for t, own in bound.parts)


def updater_of(
    run: RunSpec, bound: AnyBound, names: Sequence[str], variables: Sequence[keras.Variable]
) -> AnyUpdater:
    """What updates these variables of the run, of these canonical names."""
    if isinstance(bound, Bound):
        return Updater(run, bound, variables)
    return GroupedUpdater(bound, names, variables)


class GroupedUpdater:
    """Several of Keras' optimizers, each of its own variables; see `Updater` for the methods."""

    def __init__(
        self, bound: GroupedBound, names: Sequence[str], variables: Sequence[keras.Variable]
    ) -> None:
        place, own = {name: number for number, name in enumerate(names)}, list(variables)
        self._names = [trainer.names for trainer, _ in bound.parts]
        self._places = [[place[name] for name in each] for each in self._names]
        self._updaters = [
            Updater(trainer.run, part, [own[number] for number in places])
            for (trainer, part), places in zip(bound.parts, self._places, strict=True)
        ]

    def restart(self, bound: GroupedBound) -> None:
        """Sets the optimizers back to step 0, from the variables' present values."""
        for updater, own in self._with(bound):
            updater.restart(own)

    def fits(self, bound: GroupedBound) -> bool:
        """Whether a step traced with this updater can follow `bound`."""
        return all(updater.fits(own) for updater, own in self._with(bound))

    def set_tables(self, bound: GroupedBound) -> None:
        """Takes over arguments, rates and corrections."""
        for updater, own in self._with(bound):
            updater.set_tables(own)

    def _with(self, bound: GroupedBound) -> Iterator[tuple[Updater, Bound]]:
        yield from zip(self._updaters, (own for _, own in bound.parts), strict=True)

    def apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """The next update of the variables."""
        for updater, places in zip(self._updaters, self._places, strict=True):
            updater.apply([gradients[place] for place in places])

    @property
    def step(self) -> tf.Tensor:
        """The number of updates so far, inside a step that is being traced."""
        return self._updaters[0].step

    @property
    def others(self) -> list[keras.Variable]:
        """The optimizers' variables but for the numbers of updates so far."""
        return [variable for updater in self._updaters for variable in updater.others]

    def go_to(self, step: int) -> None:
        """Takes rates and corrections from this step on; the optimizers' buffers stay."""
        for updater in self._updaters:
            updater.go_to(step)

    @contextmanager
    def evaluated(self, names: Sequence[str]) -> Iterator[None]:
        """Inside, the variables hold the weights to evaluate."""
        with ExitStack() as stack:
            for updater, own in zip(self._updaters, self._names, strict=True):
                stack.enter_context(updater.evaluated(own))
            yield

    def state_bytes(self) -> int | None:
        """The sum; None if one of them is not known."""
        found = [updater.state_bytes() for updater in self._updaters]
        known = [each for each in found if each is not None]
        return sum(known) if len(known) == len(found) else None

    @property
    def untracked(self) -> bool:
        """Whether one of them holds variables that `restart` cannot set back."""
        return any(updater.untracked for updater in self._updaters)

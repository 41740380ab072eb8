"""The optimizers of a run's parameter groups, driven as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
from gradrace.adapter import Unsupported
from gradrace.adapters.torch.layers import Layout
from gradrace.adapters.torch.optimizer import Updater
from gradrace.plan import RunInputs
from gradrace.roles import Trainer
from gradrace.spec import RunSpec
from torch import Tensor


def updater_of(
    run: RunSpec, inputs: RunInputs, tensors: Mapping[str, Tensor], layouts: Sequence[Layout]
) -> Updater | GroupedUpdater:
    """What updates these tensors of the run: by canonical name, with their layouts."""
    if not run.optimizer.groups:
        return Updater(run, inputs.optimizer, tensors, inputs.learning_rates, layouts)
    return GroupedUpdater(inputs.trainers(run), tensors, inputs.learning_rates, layouts)


class GroupedUpdater:
    """Several optimizers, each of its own tensors; see `Updater` for the methods."""

    # No class among them does: it would have to evaluate the loss between others' steps.
    asks_for_loss = curved = False

    def __init__(
        self,
        trainers: Sequence[Trainer],
        tensors: Mapping[str, Tensor],
        rates: np.ndarray,
        layouts: Sequence[Layout],
    ) -> None:
        layout_of = dict(zip(tensors, layouts, strict=True))
        self._parts = [
            (each, _updater(each, tensors, each.rates(rates), layout_of)) for each in trainers
        ]
        self._updaters = [updater for _, updater in self._parts]
        if any(updater.asks_for_loss or updater.curved for updater in self._updaters):
            raise Unsupported("an optimizer that evaluates the loss cannot train a part of a model")

    def set_learning_rates(self, rates: np.ndarray) -> None:
        """Replaces every optimizer's table by that of the run times its factor."""
        for trainer, updater in self._parts:
            updater.set_learning_rates(trainer.rates(rates))

    def rest(self) -> None:
        """Sets every learning rate to 0."""
        for updater in self._updaters:
            updater.rest()

    @property
    def zero_grad(self) -> Callable[[], None]:
        """Drops the gradients of the step before."""
        own = [updater.zero_grad for updater in self._updaters]

        def drop() -> None:
            for each in own:
                each()

        return drop

    def step(self, step: int | Tensor, closure: Callable[[], Tensor] | None = None) -> None:
        """Update number `step` of every optimizer; there is no closure."""
        for updater in self._updaters:
            updater.step(step)

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Inside, the tensors hold the weights to evaluate."""
        with ExitStack() as stack:
            for updater in self._updaters:
                stack.enter_context(updater.evaluated())
            yield

    @property
    def inseparable(self) -> bool:
        """Whether the update cannot be timed apart."""
        return any(updater.inseparable for updater in self._updaters)

    @property
    def stepped(self) -> bool:
        """Whether a step was taken."""
        return self._updaters[0].stepped

    def moved(self) -> list[Tensor]:
        """All tensors that a step moves."""
        return [tensor for updater in self._updaters for tensor in updater.moved()]

    def on_host(self) -> dict[str, str]:
        """What the optimizers keep on the host, see `graph.on_host`."""
        return {
            f"optimizer {number}: {place}": value
            for number, updater in enumerate(self._updaters)
            for place, value in updater.on_host().items()
        }

    def state_bytes(self) -> int | None:
        """The sum; None if one of them is not known."""
        found = [updater.state_bytes() for updater in self._updaters]
        known = [each for each in found if each is not None]
        return sum(known) if len(known) == len(found) else None


def _updater(
    trainer: Trainer,
    tensors: Mapping[str, Tensor],
    rates: np.ndarray,
    layout_of: Mapping[str, Layout],
) -> Updater:
    own = {name: tensors[name] for name in trainer.names}
    layouts = [layout_of[name] for name in trainer.names]
    return Updater(trainer.run, trainer.optimizer, own, rates, layouts)

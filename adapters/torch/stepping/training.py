"""The optimizer of a run that names it by its import path."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import torch
from gradrace.adapter import Unsupported
from gradrace.adapters.torch.modes import MODES, Mode
from gradrace.adapters.torch.stepping.making import Recipe, Wanted, inside
from gradrace.adapters.torch.stepping.trying import recipe_of
from gradrace.binding import Bound, bind
from gradrace.errors import UserError
from gradrace.optimizer import Optimizer
from gradrace.plan import RunInputs
from gradrace.spec import RunSpec
from torch import Tensor

# Found by trying, once in a process: (class, arguments as text) -> recipe.
_RECIPES: dict[Hashable, Recipe] = {}


def recipe_for(run: RunSpec, optimizer: Optimizer, bound: Bound) -> Recipe:
    """Unsupported, with the reason, if the class cannot train this run."""
    label = optimizer.bindings[run.framework].label
    key = (bound.make, repr(sorted(bound.arguments.items())))
    if key not in _RECIPES:
        try:
            _RECIPES[key] = recipe_of(bound.make, label, bound.arguments)
        except UserError as error:
            raise Unsupported(str(error)) from error
    if reason := _impossible(run, _RECIPES[key]):
        raise Unsupported(f"{label} {reason}")
    return _RECIPES[key]


def _impossible(run: RunSpec, recipe: Recipe) -> str | None:
    if run.dtype not in recipe.dtypes:
        return f"does not compute in {run.dtype}, only in {' and '.join(recipe.dtypes)}"
    if recipe.drive == "fused_backward(loss, lr)":
        return "updates the weights while gradients are computed, which no session does"
    if recipe.drive == "step()":
        return None
    if MODES[run.mode].captured:
        return "evaluates the loss or its gradients itself; no CUDA graph can do that"
    if recipe.drive == "backward(create_graph=True), step()" and MODES[run.mode].compiled:
        return "needs second derivatives, which torch.compile does not give"
    return None


def needs_loss(run: RunSpec, inputs: RunInputs) -> str | None:
    """Why given gradients are not enough for the class, or None."""
    bound = bind(run, inputs.optimizer, inputs.learning_rates)
    try:
        drive = recipe_for(run, inputs.optimizer, bound).drive
    except Unsupported as error:
        return f"cannot train this run: {error}"
    return None if drive == "step()" else "evaluates the loss itself, or its second derivatives"


def new_optimizer(
    recipe: Recipe, run: RunSpec, tensors: Mapping[str, Tensor], mode: Mode, rate: float
) -> Any:
    """The optimizer of these tensors as the mode wants it; the user's arguments win."""
    if recipe.grouping == "matrices":
        other = next((name for name, tensor in tensors.items() if tensor.dim() != 2), None)
        if other:
            shape = list(tensors[other].shape)
            label = recipe.target.__name__
            raise Unsupported(f"{label} takes matrices only, and {other} has shape {shape}")
    given = recipe.arguments
    more = {name: True for name in _chosen(recipe, mode) if name not in given}
    # Each sample counts as often as it is drawn: an optimizer does not see the data.
    wanted = Wanted(run.steps, run.steps * run.task.batch_size)
    return recipe.make(tensors, rate, more, run.dtype, wanted=wanted)


def _chosen(recipe: Recipe, mode: Mode) -> Iterator[str]:
    """Arguments that choose an implementation of the same numbers."""
    if mode.fused and "fused" in recipe.variants:
        yield "fused"
    if mode.captured and "capturable" in recipe.signature.defaults:
        yield "capturable"


class Watched:
    """Notices an optimizer that trains tensors of its own instead of the model's."""

    def __init__(self, optimizer: Any, tensors: Mapping[str, Tensor]) -> None:
        self._optimizer, self._tensors = optimizer, tensors
        self._kept: dict[str, Tensor] = {}
        self._steps = 0

    def stepped(self) -> None:
        """After each step. ValueError names a tensor that is not trained any more."""
        self._steps += 1
        if self._steps % (5 if self._steps <= 20 else 100):
            return
        for name, before in self._kept.items():
            tensor = self._tensors[name]
            if tensor.grad is not None and tensor.grad.any() and torch.equal(tensor, before):
                raise ValueError(
                    f"{type(self._optimizer).__name__} trains tensors of its own, not the model's:"
                    f" {name} is in none of its parameter groups, and does not move"
                )
        self._kept = {name: self._tensors[name].detach().clone() for name in self._strangers()}

    def _strangers(self) -> Iterator[str]:
        """Names of tensors that are in no parameter group."""
        held = {
            id(tensor)
            for holder in (self._optimizer, *inside(self._optimizer))
            for group in getattr(holder, "param_groups", ())
            for tensor in group["params"]
        }
        return (name for name, tensor in self._tensors.items() if id(tensor) not in held)

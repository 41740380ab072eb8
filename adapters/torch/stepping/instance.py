"""PyTorch's part of `gradrace certify`: one optimizer with its tensors, stepped by hand."""

from __future__ import annotations

import importlib.metadata
import io
import pickle
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from gradrace.adapters.torch.layers import as_array
from gradrace.adapters.torch.policy import DTYPES
from gradrace.adapters.torch.stepping.driving import Driver, place, plain_defaults
from gradrace.adapters.torch.stepping.flat_state import flat_state
from gradrace.adapters.torch.stepping.making import Recipe, set_rate
from gradrace.adapters.torch.stepping.script import script_of
from gradrace.adapters.torch.stepping.trying import not_applicable, recipe_of, said
from gradrace.binding import target_of
from gradrace.errors import UserError
from gradrace.imported.optimizers import optimizer_of
from gradrace.importpath import ImportPath
from gradrace.plan import Weights
from gradrace.stepping.instance import Gradients, MakerFacts, Making, NotApplicable
from gradrace.stepping.scenario import Scenario


class TorchMaker:
    """See gradrace.stepping.instance.Maker."""

    def __init__(self, path: ImportPath, hyper: Mapping[str, Any]) -> None:
        """UserError if the class cannot be made, or cannot be stepped here."""
        binding = optimizer_of(path).bindings[path.framework]
        try:
            target = target_of(binding, "native")
        except ValueError as error:
            raise UserError(str(error)) from error
        self.path = path
        self.recipe = recipe_of(target, binding.label, hyper)
        self._label = binding.label

    def facts(self) -> MakerFacts:
        return self._facts

    @cached_property
    def _facts(self) -> MakerFacts:
        recipe = self.recipe
        drive = f"train(), {recipe.drive}" if recipe.switches else recipe.drive
        return MakerFacts(
            label=self._label,
            distribution="" if self.path.file else _distribution(self.path.dotted),
            rate_argument=recipe.signature.rate,
            defaults={name: _plain(each) for name, each in recipe.signature.defaults.items()},
            drive=drive,
            switches=recipe.switches,
            inner=recipe.inner,
            matrices_only=recipe.grouping == "matrices",
        )

    def variants(self) -> tuple[str, ...]:
        return self.recipe.variants

    def make(self, start: Weights, making: Making) -> TorchInstance:
        if making.dtype not in self.recipe.dtypes:
            raise NotApplicable(f"{self._label} does not compute in {making.dtype}")
        if self.recipe.grouping == "matrices" and any(np.ndim(a) != 2 for a in start.values()):
            raise NotApplicable(f"{self._label} takes matrices only")
        return TorchInstance(self.recipe, start, making)

    def script(self, scenario: Scenario) -> str:
        """See gradrace.stepping.instance.Maker."""
        return script_of(self.path, self.recipe, scenario)


class TorchInstance:
    """See gradrace.stepping.instance.Instance."""

    def __init__(self, recipe: Recipe, start: Weights, making: Making) -> None:
        self._recipe, self._making = recipe, making
        self._tensors = {
            name: place(values, DTYPES[making.dtype], making.strided)
            for name, values in start.items()
        }
        self.optimizer = self._made()
        self._driver = Driver(self.optimizer, recipe, self._tensors, making.rate)

    def _made(self) -> Any:
        making = self._making
        more = {**making.hyper, **({making.variant: True} if making.variant else {})}
        try:
            with plain_defaults():
                return self._recipe.make(
                    self._tensors, making.rate, more, making.dtype, making.resting
                )
        except Exception as error:
            # Not every class has groups or variants, so a refusal is no fault.
            if making.resting or making.variant:
                raise not_applicable(error) from error
            raise

    def step(self, gradients: Gradients) -> None:
        self._driver.step(gradients)

    def weights(self) -> Weights:
        return {name: _copied(tensor) for name, tensor in self._tensors.items()}

    def evaluated(self) -> Weights:
        with self._driver.evaluated():
            return self.weights()

    def set_rate(self, rate: float) -> None:
        self._driver.rate = rate
        resting = [self._tensors[name] for name in self._making.resting]
        if not set_rate(self.optimizer, rate, resting):
            raise NotApplicable("its parameter groups have no learning rate to set")

    def state(self) -> Mapping[str, np.ndarray]:
        known = set(self._recipe.signature.defaults) | set(self._recipe.signature.required)
        return flat_state(self.optimizer, self._tensors, known)

    def gradients(self) -> Gradients:
        return {
            name: None if tensor.grad is None else _copied(tensor.grad)
            for name, tensor in self._tensors.items()
        }

    def save(self) -> bytes:
        buffer = io.BytesIO()
        try:
            torch.save(self.optimizer.state_dict(), buffer)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise NotApplicable(f"its state_dict cannot be saved: {said(error)}") from error
        return buffer.getvalue()

    def load(self, saved: bytes) -> None:
        with plain_defaults():
            self.optimizer.load_state_dict(_loaded(saved))
        self._driver.loaded()


def _loaded(saved: bytes) -> Any:
    try:
        return torch.load(io.BytesIO(saved), weights_only=True)
    except pickle.UnpicklingError:
        # Objects of its own are in it; this process wrote them.
        return torch.load(io.BytesIO(saved), weights_only=False)


def _copied(tensor: torch.Tensor) -> np.ndarray:
    return as_array(tensor.detach()).astype(np.float64)


def _distribution(dotted: str) -> str:
    """ "schedulefree 1.4.1"; "" if no distribution has the package."""
    top = dotted.partition(".")[0]
    for name in importlib.metadata.packages_distributions().get(top, []):
        return f"{name} {importlib.metadata.version(name)}"
    return ""


def _plain(value: Any) -> Any:
    """In JSON's types; others as their repr."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return repr(value)

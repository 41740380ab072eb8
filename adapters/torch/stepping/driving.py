"""Steps an optimizer with given gradients, in the way that its class needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gradrace.adapters.torch.stepping.making import Recipe
from gradrace.stepping.instance import Gradients
from torch import Tensor, nn


class Driver:
    """Steps one optimizer of these tensors."""

    def __init__(
        self, optimizer: Any, recipe: Recipe, tensors: Mapping[str, Tensor], rate: float
    ) -> None:
        self.optimizer, self._drive, self._tensors = optimizer, recipe.drive, tensors
        # For a class that is handed the rate at each step.
        self.rate = rate
        self._switches, self._training = recipe.switches, False

    def step(self, gradients: Gradients) -> None:
        """One update; see gradrace.stepping.instance."""
        self.train()
        given = {
            name: gradient_like(tensor, gradients[name])
            for name, tensor in self._tensors.items()
            if gradients.get(name) is not None
        }
        with plain_defaults():
            self._take(given)

    def _take(self, given: Mapping[str, Tensor]) -> None:
        for name, tensor in self._tensors.items():
            tensor.grad = given.get(name)
        if self._drive == "step()":
            self.optimizer.step()
        elif self._drive == "fused_backward(loss, lr)":
            self._drop()
            self.optimizer.fused_backward(self._loss(given), self.rate)
        elif self._drive == "step(closure)":
            self.optimizer.step(self._closure(given))
        else:
            self._drop()
            self._curved(given).backward(create_graph=True)
            self.optimizer.step()

    def _drop(self) -> None:
        for tensor in self._tensors.values():
            tensor.grad = None

    def _closure(self, given: Mapping[str, Tensor]) -> Callable[[], Tensor]:
        def closure() -> Tensor:
            with torch.enable_grad():
                self._drop()
                loss = self._loss(given)
                loss.backward()
                return loss.detach()

        return closure

    def _loss(self, given: Mapping[str, Tensor]) -> Tensor:
        """sum(gradient * tensor)."""
        return sum(
            ((self._tensors[name] * each).sum() for name, each in given.items()),
            start=torch.zeros((), requires_grad=True),
        )

    def _curved(self, given: Mapping[str, Tensor]) -> Tensor:
        """A loss of these gradients at the tensors as they are, whose second derivatives are 1."""
        bowls = (
            (self._tensors[name] - self._tensors[name].detach()).square().sum() / 2
            for name in given
        )
        return sum(bowls, start=self._loss(given))

    def train(self) -> None:
        """Before steps: the class's switch, if it has one."""
        if self._switches and not self._training:
            self.optimizer.train()
        self._training = True

    def loaded(self) -> None:
        """A state was loaded; a user calls train() after it."""
        self._training = False

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Inside, the tensors hold the weights to evaluate; afterwards their own.

        train() alone may round: what differs by a rounding is set back, more is left as it is."""
        if not (self._switches and self._training):
            yield
            return
        kept = {name: tensor.detach().clone() for name, tensor in self._tensors.items()}
        self.optimizer.eval()
        yield
        self.optimizer.train()
        with torch.no_grad():
            for name, tensor in self._tensors.items():
                if _rounded(tensor, kept[name]):
                    tensor.copy_(kept[name])


def _rounded(one: Tensor, other: Tensor) -> bool:
    slack = 64 * torch.finfo(one.dtype).eps
    return torch.allclose(one, other, rtol=slack, atol=slack, equal_nan=True)


def place(values: np.ndarray, dtype: torch.dtype, strided: bool = False) -> nn.Parameter:
    """A new parameter with these values. strided: its memory is not contiguous."""
    tensor = torch.tensor(np.asarray(values), dtype=dtype)
    if strided and tensor.dim() > 1:
        tensor = tensor.mT.contiguous().mT
    elif strided and tensor.dim() == 1:
        tensor = torch.stack([tensor, tensor], 1)[:, 0]
    return nn.Parameter(tensor)


def gradient_like(tensor: Tensor, values: np.ndarray | None) -> Tensor:
    """A gradient with these values in the dtype of the tensor, laid out as backward() does it."""
    assert values is not None
    made = torch.empty_like(tensor, requires_grad=False)
    return made.copy_(torch.tensor(np.asarray(values), dtype=torch.float64))


@contextmanager
def plain_defaults() -> Iterator[None]:
    """Inside, the default dtype is float32, as in a script; sessions set another."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)

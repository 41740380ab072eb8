"""Canonical rules that need a piece of ours beside torch's class, and canonical storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from gradrace.adapters.torch.layers import Layout
from torch import Tensor


class OneStepLBFGS(torch.optim.LBFGS):
    """torch.optim.LBFGS with one iteration a step and no tolerances, on the parameters' gradients.

    While its memory is empty the step is lr * min(1, 1 / |g|) times the gradient. The class alone
    would take the sum of magnitudes for the norm in the first step, and 1 in later ones.
    """

    def __init__(self, params: Sequence[Tensor], lr: float, history_size: int) -> None:
        super().__init__(
            params,
            lr,
            max_iter=1,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            history_size=history_size,
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Needs no closure: one iteration takes no more than the gradients at hand."""
        group = self.param_groups[0]
        rate = group["lr"]
        group["lr"] = rate * self._factor()
        loss = super().step(closure or (lambda: 0.0))
        group["lr"] = rate
        return loss

    def _factor(self) -> float:
        gradient, state = self._gather_flat_grad(), self.state[self._params[0]]
        capped = min(1.0, 1.0 / max(float(gradient.norm()), 1e-300))
        if not state.get("n_iter"):
            return capped / min(1.0, 1.0 / max(float(gradient.abs().sum()), 1e-300))
        if state["old_dirs"]:
            return 1.0
        curvature = (gradient - state["prev_flat_grad"]).dot(state["d"] * state["t"])
        return 1.0 if curvature > 1e-10 else capped


class Muon(torch.optim.Adam):
    """Muon in the dtype of the parameters; torch.optim.Adam for all tensors but matrices.

    torch.optim.Muon orthogonalises in bfloat16 and takes matrices only.
    """

    # Jordan's quintic; 1e-7 and 0.2 are Keras'.
    _COEFFICIENTS, _STEPS, _NORM_EPSILON, _RMS = (3.4445, -4.7750, 2.0315), 5, 1e-7, 0.2

    def __init__(
        self,
        params: Sequence[Tensor],
        lr: float,
        momentum: float,
        beta1: float,
        beta2: float,
        epsilon: float,
    ) -> None:
        super().__init__(params, lr, betas=(beta1, beta2), eps=epsilon)
        for group in self.param_groups:
            group["momentum"] = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Moves the matrices; then Adam moves the tensors that still have a gradient."""
        held = [(group, p) for group in self.param_groups for p in group["params"]]
        kept = [(group, p, p.grad) for group, p in held if p.ndim == 2 and p.grad is not None]
        for group, matrix, gradient in kept:
            self._move(group, matrix, gradient)
            matrix.grad = None
        loss = super().step(closure)
        for _, matrix, gradient in kept:
            matrix.grad = gradient
        return loss

    def _move(self, group: dict[str, Any], matrix: Tensor, gradient: Tensor) -> None:
        buffer = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix))
        buffer.mul_(group["momentum"]).add_(gradient)
        ahead = gradient + group["momentum"] * buffer
        scale = self._RMS * max(matrix.shape) ** 0.5
        matrix.sub_(group["lr"] * scale * self._orthogonalised(ahead))

    def _orthogonalised(self, x: Tensor) -> Tensor:
        """Newton-Schulz towards the nearest matrix with orthonormal rows or columns."""
        a, b, c = self._COEFFICIENTS
        tall = x.shape[0] > x.shape[1]
        wide = x.T if tall else x
        wide = wide / (wide.norm() + self._NORM_EPSILON)
        for _ in range(self._STEPS):
            gram = wide @ wide.T
            wide = a * wide + (b * gram + c * gram @ gram) @ wide
        return wide.T if tall else wide


class NorMuon(Muon):
    """Muon without Nesterov momentum; each neuron's step over the root of its mean square."""

    def __init__(self, params: Sequence[Tensor], lr: float, **given: float) -> None:
        decay = given.pop("neuron_decay")
        super().__init__(params, lr, **given)
        for group in self.param_groups:
            group["neuron_decay"] = decay

    def _move(self, group: dict[str, Any], matrix: Tensor, gradient: Tensor) -> None:
        state = self.state[matrix]
        mean = state.setdefault("momentum_buffer", torch.zeros_like(matrix))
        mean.lerp_(gradient, 1.0 - group["momentum"])
        step = self._orthogonalised(mean)
        # In canonical layout, [in, out], a neuron's weights are a column.
        squares = state.setdefault("neurons", matrix.new_zeros(matrix.shape[1]))
        squares.lerp_(step.square().mean(dim=0), 1.0 - group["neuron_decay"])
        step = step / (squares.sqrt() + group["eps"])
        scale = self._RMS * matrix.numel() ** 0.5 / (step.norm() + group["eps"])
        matrix.sub_(group["lr"] * scale * step)


class GrokFastAdamW(torch.optim.AdamW):
    """torch.optim.AdamW on gradients to which a multiple of their slow mean is added."""

    def __init__(
        self,
        params: Sequence[Tensor],
        lr: float,
        beta1: float,
        beta2: float,
        epsilon: float,
        weight_decay: float,
        alpha: float,
        amplification: float,
    ) -> None:
        super().__init__(params, lr, betas=(beta1, beta2), eps=epsilon, weight_decay=weight_decay)
        for group in self.param_groups:
            group.update(alpha=alpha, amplification=amplification)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """AdamW's step; afterwards the gradients are as they were."""
        held = [(group, p) for group in self.param_groups for p in group["params"]]
        kept = [
            (p, p.grad, self._amplify(group, p, p.grad)) for group, p in held if p.grad is not None
        ]
        loss = super().step(closure)
        for p, gradient, slow in kept:
            p.grad, self.state[p]["slow"] = gradient, slow
        return loss

    def _amplify(self, group: dict[str, Any], p: Tensor, gradient: Tensor) -> Tensor:
        """The mean, taken out of the state: AdamW makes its own only if there is none."""
        slow: Tensor | None = self.state[p].pop("slow", None)
        slow = gradient.clone() if slow is None else slow.lerp_(gradient, 1.0 - group["alpha"])
        p.grad = gradient + group["amplification"] * slow
        return slow


class CanonicalStorage:
    """Twins of a model's tensors in canonical layout, which the optimizer holds instead.

    gather() copies values and gradients to the twins, scatter() copies values back, bit for bit.
    """

    def __init__(self, tensors: Sequence[Tensor], layouts: Sequence[Layout]) -> None:
        self._tensors = list(tensors)
        self.twins = [
            torch.zeros(layout.canonical, dtype=tensor.dtype, device=tensor.device).requires_grad_()
            for tensor, layout in zip(tensors, layouts, strict=True)
        ]
        gradients = [torch.zeros_like(twin) for twin in self.twins]
        for twin, gradient in zip(self.twins, gradients, strict=True):
            twin.grad = gradient
        # The same elements, as torch's tensors order them.
        self._shapes = [[layout.inner[axis] for axis in layout.axes] for layout in layouts]
        self._values = [
            _seen(twin, layout) for twin, layout in zip(self.twins, layouts, strict=True)
        ]
        self._gradients = [
            _seen(gradient, layout) for gradient, layout in zip(gradients, layouts, strict=True)
        ]
        self._gather_values()

    def gather(self) -> None:
        """Copies values and gradients to the twins; no gradient counts as zeros."""
        self._gather_values()
        given = [
            tensor.new_zeros(tensor.shape) if tensor.grad is None else tensor.grad
            for tensor in self._tensors
        ]
        torch._foreach_copy_(self._gradients, self._shaped(given))

    def scatter(self) -> None:
        """Copies the optimizer's values back."""
        torch._foreach_copy_(self._shaped(self._tensors), self._values)

    @contextmanager
    def seen(self) -> Iterator[None]:
        """Inside, the twins hold the present values; afterwards they give theirs back."""
        self._gather_values()
        try:
            yield
        finally:
            self.scatter()

    def _gather_values(self) -> None:
        torch._foreach_copy_(self._values, self._shaped(self._tensors))

    def _shaped(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return [
            tensor.detach().view(shape) for tensor, shape in zip(tensors, self._shapes, strict=True)
        ]


def _seen(canonical: Tensor, layout: Layout) -> Tensor:
    return canonical.detach().view(layout.inner).permute(layout.axes)

"""The optimizer's part of a step in PyTorch, apart from the rest of it."""

from __future__ import annotations

from collections.abc import Sequence

from gradrace.adapters import _torch_losses as torch_losses
from gradrace.adapters._torch_layers import Layout
from gradrace.adapters._torch_optimizer import Updater
from gradrace.plan import Plan
from gradrace.spec import RunSpec
from torch import Tensor


class UpdateProbe:
    """The run's optimizer on twins of the model's tensors, which hold the gradients of one batch
    for ever.

    What is done between gradients and update (clipping, decoupled decay) belongs to it; the
    learning rate is 0. Neither the model's tensors nor the state of its own optimizer are touched,
    not even by rules that move without a learning rate (Rprop) or by corrections that scale the
    state."""

    def __init__(
        self,
        run: RunSpec,
        plan: Plan,
        tensors: Sequence[Tensor],
        kernels: Sequence[Tensor],
        layouts: Sequence[Layout],
    ) -> None:
        twins = [tensor.detach().clone().requires_grad_() for tensor in tensors]
        of_kernels = {id(kernel) for kernel in kernels}
        twin_kernels = [
            twin for twin, tensor in zip(twins, tensors, strict=True) if id(tensor) in of_kernels
        ]
        named = {str(place): twin for place, twin in enumerate(twins)}
        self._updater = Updater(run, plan.optimizer, named, plan.learning_rates, layouts)
        self._updater.rest()
        # After the updater, which drops gradients where it makes the optimizer's state beforehand.
        for twin, tensor in zip(twins, tensors, strict=True):
            twin.grad = None if tensor.grad is None else tensor.grad.clone()
        self._before_update = torch_losses.before_update(
            run.task.regularization, twins, twin_kernels
        )

    def take(self, steps: range) -> None:
        """The updates of these steps, as `train` makes them."""
        updater, before_update = self._updater, self._before_update
        for step in steps:
            if before_update:
                before_update(0.0)
            updater.step(step)

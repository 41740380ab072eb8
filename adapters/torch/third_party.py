"""Classes of other packages, mended so that they follow the canonical rule.

Importing this needs pytorch_optimizer; only the bindings of its optimizers do so.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import Any

import pytorch_optimizer
import torch
from torch import Tensor


class Yogi(pytorch_optimizer.Yogi):
    """The first moment starts at 0; the class starts it where the second moment starts."""

    def init_group(self, group: Any, **given: Any) -> None:
        """Makes the state of a parameter group."""
        fresh = [p for p in group["params"] if p.grad is not None and not self.state[p]]
        super().init_group(group, **given)
        for parameter in fresh:
            self.state[parameter]["exp_avg"].zero_()


class Mars(pytorch_optimizer.MARS):
    """Epsilon is all that is added to the root; the class adds 1e-15 under it."""

    @staticmethod
    def apply_ams_bound(
        ams_bound: bool,
        exp_avg_sq: Tensor,
        max_exp_avg_sq: Tensor | None,
        eps: float,
        exp_avg_sq_eps: float = 0.0,
    ) -> Tensor:
        """The denominator of one tensor, before the correction of bias."""
        return exp_avg_sq.sqrt().add_(eps)

    @staticmethod
    def apply_ams_bound_foreach(
        ams_bound: bool,
        exp_avg_sqs: list[Tensor],
        max_exp_avg_sqs: list[Tensor],
        eps: float,
        exp_avg_sq_eps: float = 0.0,
    ) -> Sequence[Tensor]:
        """The denominators of many tensors, before the correction of bias."""
        return [Mars.apply_ams_bound(ams_bound, each, None, eps) for each in exp_avg_sqs]


class Kron(pytorch_optimizer.Kron):
    """Random numbers of its own: neither dropout nor a run beside it changes them.

    The class takes them from torch's generator and one from NumPy's, which no run has seeded.
    """

    _taken = 0

    def step(self, closure: Any = None) -> Any:
        """Step number n draws from the seed n."""
        probability, device = self.balance_prob, self.param_groups[0]["params"][0].device
        generator = torch.default_generator
        if device.type == "cuda":
            generator = torch.cuda.default_generators[device.index]
        kept = generator.get_state()
        generator.manual_seed(self._taken)
        self._taken += 1
        # NumPy's number lies below 1 and not below 0: it decides nothing any more.
        self.balance_prob = float(torch.rand((), device=device) < probability)
        try:
            return super().step(closure)
        finally:
            self.balance_prob = probability
            generator.set_state(kept)


class SophiaH(pytorch_optimizer.SophiaH):
    """The rate is the paper's, of steps clipped at 1; the class clips at p, and not at 1.

    It takes products with the Hessian, from gradients that can be differentiated once more.
    """

    curved = True

    def step(self, closure: Any = None, hessian: list[Tensor] | None = None) -> Any:
        """A step of at most the rate."""
        kept = [(group, group["lr"], group["weight_decay"]) for group in self.param_groups]
        for group, rate, decay in kept:
            group.update(lr=rate / group["p"], weight_decay=decay * group["p"])
        loss = super().step(closure, hessian)
        for group, rate, decay in kept:
            group.update(lr=rate, weight_decay=decay)
        return loss


@wraps(pytorch_optimizer.NorMuon)
def nor_muon(params: Sequence[Tensor], lr: float, **given: Any) -> torch.optim.Optimizer:
    """pytorch_optimizer.NorMuon, and its own AdamW for all tensors but matrices."""
    held = list(params)
    groups: list[dict[str, Any]] = []
    for matrix in (True, False):
        own = [each for each in held if (each.ndim == 2) == matrix]
        if own:
            groups.append({"params": own, "use_muon": matrix})
    return pytorch_optimizer.NorMuon(groups, lr, adamw_lr=lr, **given)


class Soap(pytorch_optimizer.SOAP):
    """QR decompositions in the dtype of the parameters; the class takes them in float32."""

    def get_orthogonal_matrix_qr(
        self, state: Any, max_precondition_dim: int = 10000, merge_dims: bool = False
    ) -> list[Any]:
        """The bases after one power iteration, the largest eigenvalue first."""
        found: list[Any] = []
        for axis, (moments, basis) in enumerate(zip(state["GG"], state["Q"], strict=True)):
            if len(moments) == 0:
                found.append([])
                continue
            product = moments @ basis
            order = torch.argsort((basis * product).sum(dim=0), descending=True)
            state["exp_avg_sq"] = state["exp_avg_sq"].index_select(axis, order)
            found.append(torch.linalg.qr(product.index_select(1, order))[0])
        return found

"""PSGD Kron: momentum through a preconditioner that is learned from random probes."""

from __future__ import annotations

from ..optimizer import Binding, Optimizer, Range, SearchSpace

OPTIMIZER = Optimizer(
    name="psgd_kron",
    title="PSGD Kron",
    paper=(
        "Li (2018), Preconditioned Stochastic Gradient Descent, arXiv:1512.04202, with the"
        " Kronecker-factored preconditioner of Li (2024), Stochastic Hessian Fittings with Lie"
        " Groups, arXiv:2402.11858, fitted to momentum"
    ),
    learning_rate=1e-3,
    hyper={},
    bindings={
        "torch": Binding(
            "gradrace.adapters.torch.third_party.Kron", requires=("pytorch_optimizer",)
        ),
    },
    differs={
        "torch": (
            "it learns its preconditioner from random numbers of the library's own, so that no rule"
            " can be its referee"
        )
    },
    note=(
        "pytorch_optimizer.Kron draws from torch's generator and from NumPy's, which nobody seeds;"
        " gradrace gives it a seed for each step, the same ones in every run. The preconditioner is"
        " updated at every step for the first 500, then ever more rarely, and kept in float32."
    ),
    space=SearchSpace(
        {"learning_rate": Range(1e-5, 1e-2, log=True)},
        "proposed here: two decades below the default of 1e-3 and one above",
    ),
)

"""Measures, with minimal numbers, where optimizers of other packages than torch's leave the rule.

A program of its own, because it imports torch: `python tests/helpers/third_party_rules.py` prints
{"<function>": what it found} as JSON. test_third_party_rules.py says what is found today.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import dadaptation
import lion_pytorch
import numpy as np
import prodigyopt
import pytorch_optimizer
import torch
from gradrace.registry import load_registry

FACTS: list[Callable[[], Any]] = []


def fact(function: Callable[[], Any]) -> Callable[[], Any]:
    """Registers a function."""
    FACTS.append(function)
    return function


def moved(
    make: Callable[..., Any], start: Any, gradients: Sequence[Any], lr: float = 1.0, **given: Any
) -> list[np.ndarray]:
    """How far the parameter goes in each step, in float64."""
    tensor = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = make([tensor], lr=lr, **given)
    places = [tensor.detach().numpy().copy()]
    for gradient in gradients:
        tensor.grad = torch.tensor(gradient, dtype=torch.float64)
        with contextlib.redirect_stdout(io.StringIO()):
            optimizer.step()
        places.append(tensor.detach().numpy().copy())
    return list(np.diff(places, axis=0))


@fact
def lamb_steps_in_weight_norms() -> list[float]:
    """Steps 1 and 2 for equal gradients, over lr |w|; 1 by the paper."""
    steps = moved(pytorch_optimizer.Lamb, [3.0, 4.0], [[1.0, 1.0]] * 2, 1e-3, eps=0.0)
    return [float(np.linalg.norm(step)) / 5e-3 for step in steps]


@fact
def lamb_s_longest_weight_norm() -> float:
    """The first step over lr for a parameter of norm 500, times 1 - beta1; 500 by the paper."""
    (step,) = moved(pytorch_optimizer.Lamb, [300.0, 400.0], [[1.0, 1.0]], 1e-3, eps=0.0)
    return float(np.linalg.norm(step)) / 1e-3 * 0.1


@fact
def lars_step_of_a_vector() -> list[float]:
    """Length of the first step over lr: of a vector, and of the same numbers as a matrix."""
    of_vector = moved(pytorch_optimizer.LARS, [3.0, 4.0], [[0.6, 0.8]])[0]
    of_matrix = moved(pytorch_optimizer.LARS, [[3.0, 4.0]], [[[0.6, 0.8]]])[0]
    return [float(np.linalg.norm(step)) for step in (of_vector, of_matrix)]


@fact
def yogi_without_a_gradient() -> float:
    """The first step over lr for a gradient of 0."""
    return float(moved(pytorch_optimizer.Yogi, [1.0], [[0.0]])[0][0])


@fact
def adopt_s_first_limits() -> list[float]:
    """The most that steps 2 and 3 may go, over lr (1 - beta1), after a first gradient of 1."""
    huge = [[1.0], [1e6], [0.0]]
    steps = moved(pytorch_optimizer.ADOPT, [0.0], huge, betas=(0.0, 0.9999))
    return [-float(steps[1][0])]


@fact
def mars_at_a_small_gradient() -> float:
    """The first step over lr at g = 1e-8 with eps=0; 1 by the paper."""
    given = {"eps": 0.0, "optimize_1d": True, "gamma": 0.0}
    return -float(moved(pytorch_optimizer.MARS, [0.0], [[1e-8]], **given)[0][0])


@fact
def mars_step_of_a_vector() -> float:
    """The first step at lr 1, of a class made at this rate: lr_1d has a rate of its own."""
    return -float(moved(pytorch_optimizer.MARS, [0.0], [[1.0]], weight_decay_1d=0.0)[0][0])


@fact
def first_steps_of_estimated_rates() -> dict[str, float]:
    """Over d0, of Prodigy and D-Adapted Adam at their defaults; 1 if the bias is corrected."""
    makes = {"prodigy": prodigyopt.Prodigy, "dadapt_adam": dadaptation.DAdaptAdam}
    return {n: -float(moved(make, [0.0], [[1.0]])[0][0]) / 1e-6 for n, make in makes.items()}


@fact
def lion_with_and_without_decoupled_decay() -> list[float]:
    """What a weight of 1 loses for a gradient of 0 and a decay of 0.1 at lr 0.5."""
    given = {"weight_decay": 0.1}
    return [
        -float(
            moved(lion_pytorch.Lion, [1.0], [[0.0]], 0.5, **given, decoupled_weight_decay=d)[0][0]
        )
        for d in (False, True)
    ]


@fact
def soap_s_rounding() -> list[float]:
    """Largest distance from the rule in 30 steps of full rank, relative to the distance travelled:
    of the class, whose QR is in float32, and of the mended one."""
    from gradrace.adapters.torch.third_party import Soap

    rule = load_registry().optimizers["soap"]
    rng, hyper = np.random.default_rng(0), rule.hypers({})
    start, gradients = rng.normal(size=(4, 4)), rng.normal(size=(30, 4, 4))
    p, state = start, rule.rule.init(start, hyper)
    for t, gradient in enumerate(gradients, 1):
        p, state = rule.rule.update(p, gradient, state, 0.01, t, hyper)
    ends = []
    for make in (pytorch_optimizer.SOAP, Soap):
        given = {"betas": (0.95, 0.95), "weight_decay": 0.01}
        end = start + np.sum(moved(make, start, gradients, 0.01, **given), axis=0)
        ends.append(float(np.abs(end - p).max() / np.abs(p - start).max()))
    return ends


@fact
def shampoo_against_its_rule() -> float:
    """As above, of pytorch_optimizer's class at epsilon 1e-4."""
    rule = load_registry().optimizers["shampoo"]
    rng, hyper = np.random.default_rng(0), rule.hypers({})
    start, gradients = rng.normal(size=(4, 3)), rng.normal(size=(30, 4, 3))
    p, state = start, rule.rule.init(start, hyper)
    for t, gradient in enumerate(gradients, 1):
        p, state = rule.rule.update(p, gradient, state, 0.1, t, hyper)
    steps = moved(pytorch_optimizer.Shampoo, start, gradients, 0.1, matrix_eps=1e-4)
    return float(np.abs(start + np.sum(steps, axis=0) - p).max() / np.abs(p - start).max())


@fact
def grokfast_steps_at_a_given_and_a_set_rate() -> list[float]:
    """The first step for a rate of 1: given to the class, and set afterwards."""
    steps = []
    for rate in (None, 1.0):
        tensor = torch.zeros(1, requires_grad=True)
        optimizer = pytorch_optimizer.GrokFastAdamW([tensor], lr=1.0)
        if rate is not None:
            optimizer.param_groups[0]["lr"] = rate
        tensor.grad = torch.ones(1)
        optimizer.step()
        steps.append(-tensor.item())
    return steps


@fact
def sophia_s_longest_steps() -> list[float]:
    """Over the rate, of the class and of the mended one, without curvature."""
    from gradrace.adapters.torch.third_party import SophiaH

    steps = []
    for make in (pytorch_optimizer.SophiaH, SophiaH):
        tensor = torch.zeros(1, requires_grad=True)
        optimizer = make([tensor], lr=0.5)
        tensor.grad = torch.ones(1)
        optimizer.step(hessian=[torch.zeros(1)])
        assert optimizer.param_groups[0]["lr"] == 0.5
        steps.append(-tensor.item() / 0.5)
    return steps


@fact
def normuon_s_rounding() -> float:
    """Distance from the rule in a first step without Nesterov momentum, at the paper's scale."""
    rule = load_registry().optimizers["normuon"]
    gradient = np.random.default_rng(0).normal(size=(4, 3))
    hyper, start = rule.hypers({}), np.zeros((4, 3))
    right, _ = rule.rule.update(start, gradient, rule.rule.init(start, hyper), 1.0, 1, hyper)
    # A neuron is a row to the class.
    tensor = torch.zeros((3, 4), dtype=torch.float64, requires_grad=True)
    groups = [{"params": [tensor], "use_muon": True}]
    given = {"nesterov": False, "update_scale": "match_rms"}
    optimizer = pytorch_optimizer.NorMuon(groups, lr=1.0, **given)
    tensor.grad = torch.tensor(gradient.T.copy())
    optimizer.step()
    return float(np.abs(tensor.detach().numpy().T - right).max() / np.abs(right).max())


@fact
def kron_with_other_random_numbers() -> list[float]:
    """How far apart two paths end whose generators differ: of the class, and of the mended one."""
    from gradrace.adapters.torch.third_party import Kron

    gradients = np.random.default_rng(0).normal(size=(8, 4, 3))
    apart = []
    for make in (pytorch_optimizer.Kron, Kron):
        ends = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            ends.append(np.sum(moved(make, np.zeros((4, 3)), gradients, balance_prob=0.5), axis=0))
            drawn = float(torch.rand(()))
            torch.manual_seed(seed)
            assert make is pytorch_optimizer.Kron or drawn == float(torch.rand(()))
        apart.append(float(np.abs(ends[0] - ends[1]).max()))
    return apart


def main() -> None:
    """Prints all facts."""
    print(json.dumps({function.__name__: function() for function in FACTS}))


if __name__ == "__main__":
    main()

"""Rules on the norms of a diagnosed run: gradients that vanish or explode, and dead units."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..layers import BuiltLayer, Parameter, build
from ..record import Norms
from ..spec import TaskSpec
from .finding import Finding

# The root mean square of a gradient, over that of the strongest kernel nearer to the output.
VANISHING = 1e-3
# A kernel's gradient, over the whole gradient at the first recorded step.
EXPLODING = 100.0
# The share of a layer's units without any gradient.
DEAD = 0.5


class _Kernel(NamedTuple):
    """A kernel's gradient at the recorded steps: its norm, and the root mean square of entries that
    are not exactly 0 (rows of inputs that are always 0 say nothing of the layer)."""

    name: str
    norms: np.ndarray
    sizes: np.ndarray


def judge(task: TaskSpec, norms: Norms) -> list[Finding]:
    """Findings, one a parameter and rule, in the order of the model."""
    layers = build(task.model, task.input_shape)
    norms = _until_nothing_is_left(norms)
    steps = np.unique(norms.step)
    parameters = (parameter for layer in layers for parameter in layer.parameters)
    kernels = [_kernel(p, norms) for p in parameters if _is_taken(p, norms, "kernel", steps)]
    if not len(steps) or not kernels:
        return []
    unreached = {k.name.rpartition(".")[0] for k in kernels if not k.norms.any()}
    hidden = [layer for layer in layers[:-1] if layer.name not in unreached]
    dead = [finding for layer in hidden for finding in _dead(layer, norms, steps)]
    return [*_exploding(kernels, norms, steps), *_vanishing(kernels, steps), *dead]


def _until_nothing_is_left(norms: Norms) -> Norms:
    """Without the last steps at which the whole gradient is exactly 0, if it was not from the
    start: the loss is at its least, and neither layers nor units are to blame."""
    moving = norms.step[norms.gradient != 0.0]
    if not len(moving):
        return norms
    kept = norms.step <= moving.max()
    return Norms(**{name: getattr(norms, name)[kept] for name in Norms.DTYPES})


def _is_taken(parameter: Parameter, norms: Norms, role: str, steps: np.ndarray) -> bool:
    return parameter.role == role and int((norms.parameter == parameter.name).sum()) == len(steps)


def _kernel(parameter: Parameter, norms: Norms) -> _Kernel:
    of = norms.parameter == parameter.name
    entries = float(np.prod(parameter.shape)) * (1.0 - norms.zeros[of])
    sizes = norms.gradient[of] / np.sqrt(np.maximum(entries, 1.0))
    return _Kernel(parameter.name, norms.gradient[of], sizes)


def _vanishing(kernels: list[_Kernel], steps: np.ndarray) -> list[Finding]:
    """Kernels whose gradient at most recorded steps is 0, or a tiny part of a later one's."""
    found = []
    for place, kernel in enumerate(kernels):
        none = kernel.norms == 0.0
        if none.mean() > 0.5:
            reason = (
                f"The gradient of {kernel.name} is exactly 0 at {none.sum()} of {len(steps)}"
                " recorded steps."
            )
            found.append(Finding("vanishing gradients", "warning", int(steps[none][0]), reason))
            continue
        strongest = max(kernels[place:], key=lambda other: float(np.median(other.sizes)))
        with np.errstate(all="ignore"):
            ratios = kernel.sizes / strongest.sizes
        small = ratios < VANISHING
        if small.mean() > 0.5:
            reason = (
                f"The gradient of {kernel.name} is {np.nanmedian(ratios):.1e} times that of"
                f" {strongest.name} (root mean square, median of {len(steps)} recorded steps)."
            )
            found.append(Finding("vanishing gradients", "warning", int(steps[small][0]), reason))
    return found


def _exploding(kernels: list[_Kernel], norms: Norms, steps: np.ndarray) -> list[Finding]:
    """Kernels whose gradient is not finite, or far above that of the whole model at the first
    recorded step."""
    first = float(np.linalg.norm(norms.gradient[norms.step == steps[0]]))
    found = []
    for kernel in kernels:
        bad = ~np.isfinite(kernel.norms) | ((kernel.norms > EXPLODING * first) & (first > 0))
        if bad.any():
            reason = (
                f"The norm of the gradient of {kernel.name} is {kernel.norms[bad][0]:.3g} at step"
                f" {steps[bad][0]}, that of the whole model {first:.3g} at step {steps[0]}."
            )
            found.append(Finding("exploding gradients", "error", int(steps[bad][0]), reason))
    return found


def _dead(layer: BuiltLayer, norms: Norms, steps: np.ndarray) -> list[Finding]:
    """Units that no sample of the batch moves: their entries of the bias have a gradient of exactly
    0."""
    found = []
    for parameter in layer.parameters:
        if not _is_taken(parameter, norms, "bias", steps) or len(steps) < 2:
            continue
        zeros = norms.zeros[norms.parameter == parameter.name]
        late = zeros[len(zeros) // 2 :]
        if late.min() < DEAD:
            continue
        since = int(np.flatnonzero(zeros < DEAD)[-1]) + 1 if (zeros < DEAD).any() else 0
        reason = (
            f"At least {late.min():.0%} of the units of {layer.name} had no gradient at each of the"
            f" last {len(late)} recorded steps."
        )
        found.append(Finding("dead units", "warning", int(steps[since]), reason))
    return found

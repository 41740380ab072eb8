"""What a class does on a scene, and what a rule does there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...optimizer import Array, Hypers, ReferenceRule
from ...plan import Weights
from ...spec import Dtype
from ...stepping.instance import Maker, NotApplicable
from ...stepping.scenario import run
from .scenes import Scene

# Up to which scaled differences courses are equal, by the dtype in which the class computes.
TOLERANCES: Mapping[Dtype, float] = {"float64": 1e-12, "float32": 2e-5}
# Up to which a class that says float64 is equal but for numbers that it keeps in float32.
ROUNDED = 2e-6
# The rule divides by products of differences that nearly cancel, which amplifies rounding.
JOINT = 1e-9


class Observed(NamedTuple):
    """The tensors after each step, float64, and the dtype in which the class computed them."""

    steps: tuple[Weights, ...]
    dtype: Dtype = "float64"

    @property
    def tolerance(self) -> float:
        """Up to which scaled differences are equal."""
        return TOLERANCES[self.dtype]


def observe(maker: Maker, scene: Scene, arguments: Mapping[str, Any]) -> Observed:
    """What the class does; in float32 if it refuses float64.

    NotApplicable, with the reason, if it can be stepped in neither."""
    try:
        return Observed(run(maker, scene.scenario(arguments)).steps)
    except Exception as error:
        return _in_float32(maker, scene, arguments, error)


def _in_float32(
    maker: Maker, scene: Scene, arguments: Mapping[str, Any], first: Exception
) -> Observed:
    try:
        return Observed(run(maker, scene.scenario(arguments, "float32")).steps, "float32")
    except Exception:
        if isinstance(first, NotApplicable):
            raise first from None
        raise NotApplicable(f"it raises {type(first).__name__}: {_line(first)}") from first


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]


class _Stepped:
    """The rule's steps, one by one."""

    def __init__(self, rule: ReferenceRule, hyper: Hypers, scene: Scene) -> None:
        self._rule, self._hyper, self._scene = rule, hyper, scene
        self._parts = self._taken(scene.start)
        self._states = {key: rule.init(part, hyper) for key, part in self._parts.items()}
        self._step = 0

    def __iter__(self) -> _Stepped:
        return self

    def __next__(self) -> Weights:
        if self._step == len(self._scene.gradients):
            raise StopIteration
        given, rate = self._taken(self._scene.gradients[self._step]), self._scene.rates[self._step]
        self._step += 1
        with np.errstate(all="ignore"):
            for key, part in self._parts.items():
                self._parts[key], self._states[key] = self._rule.update(
                    part, given[key], self._states[key], rate, self._step, self._hyper
                )
        return self._whole()

    def _taken(self, arrays: Weights) -> dict[str, Array]:
        if not self._rule.joint:
            return dict(arrays)
        return {"": np.concatenate([arrays[name].ravel() for name in self._scene.start])}

    def _whole(self) -> Weights:
        if not self._rule.joint:
            return dict(self._parts)
        tensors = self._scene.start
        ends = np.cumsum([tensor.size for tensor in tensors.values()])[:-1]
        pieces = np.split(self._parts[""], ends)
        return {
            name: piece.reshape(tensor.shape)
            for (name, tensor), piece in zip(tensors.items(), pieces, strict=True)
        }


def stepped(rule: ReferenceRule, hyper: Hypers, scene: Scene) -> Iterator[Weights]:
    """The tensors after each step of the rule in float64, a step at a time."""
    return _Stepped(rule, hyper, scene)


def rule_course(rule: ReferenceRule, hyper: Hypers, scene: Scene) -> list[Weights]:
    """All of them."""
    return list(stepped(rule, hyper, scene))

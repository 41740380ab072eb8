"""One optimizer object of a library on given tensors, stepped by hand.

Every adapter that takes part has `maker(path)`, see CertifyingAdapter. Arrays cross this boundary
as NumPy arrays in the layout in which they were given: no layout is translated, since a library's
optimizer never sees layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..adapter import Adapter
from ..importpath import ImportPath
from ..plan import Weights
from ..spec import Dtype

# By the tensor's name; None is a gradient that is absent.
Gradients = Mapping[str, np.ndarray | None]


class NotApplicable(Exception):
    """The framework or this optimizer cannot be asked that; the message says why, for people."""


@dataclass(frozen=True)
class Making:
    """How an instance is made.

    rate: the learning rate given at construction. hyper: arguments by the library's own names.
    variant: "", or one of Maker.variants(). resting: names of the tensors in a second parameter
    group, whose rate is 0. strided: the tensors are not contiguous in memory."""

    rate: float
    hyper: Mapping[str, Any] = field(default_factory=dict)
    dtype: Dtype = "float64"
    variant: str = ""
    resting: tuple[str, ...] = ()
    strided: bool = False


@dataclass(frozen=True)
class MakerFacts:
    """What making and stepping the class takes.

    label: the dotted path. distribution: as "schedulefree 1.4.1"; "" if none has it.
    rate_argument: None if it takes no learning rate. defaults: argument -> default, in JSON's types
    (others as their repr). drive: how it is stepped, for people: "step()", "step(closure)",
    "train(), step(closure) with create_graph". switches: it has train() and eval().
    inner: the optimizer that a wrapper was given, "" if it wraps none.
    matrices_only: tensors of other than two dimensions are refused."""

    label: str
    distribution: str
    rate_argument: str | None
    defaults: Mapping[str, Any]
    drive: str
    switches: bool = False
    inner: str = ""
    matrices_only: bool = False


class Instance(Protocol):
    """One optimizer object with its tensors. Whatever the library raises passes through."""

    def step(self, gradients: Gradients) -> None:
        """One update. Arrays are cast to the dtype. A class that takes a closure gets the loss
        sum(gradient * tensor), whose gradients are these wherever it is evaluated. NotApplicable
        for an absent gradient if the library has no such thing."""

    def weights(self) -> Weights:
        """The tensors as they are, copied, as float64."""

    def evaluated(self) -> Weights:
        """The tensors that a user evaluates: after eval(), or by the library's function for it; as
        `weights` if there is no such thing. Training goes on with the bits that it had."""

    def set_rate(self, rate: float) -> None:
        """As a user sets it between steps, of all groups but the resting one."""

    def state(self) -> Mapping[str, np.ndarray]:
        """Copies of all numbers that the optimizer keeps, counters included, by a readable path:
        "kernel.exp_avg", "step". Numbers of Python are arrays without dimensions."""

    def gradients(self) -> Gradients:
        """The gradients as the last step left them."""

    def save(self) -> bytes:
        """The state as the library saves it (state_dict, variables, pytree), the tensors left out.
        NotApplicable if it cannot be written."""

    def load(self, saved: bytes) -> None:
        """Takes over a state that another instance of the same making saved."""


class Maker(Protocol):
    """Makes instances of one class."""

    def facts(self) -> MakerFacts:
        """See MakerFacts. Trying it out may step an instance of its own."""

    def variants(self) -> tuple[str, ...]:
        """Named ways to compute the same: "foreach", "fused", "capturable", "compiled"."""

    def make(self, start: Weights, making: Making) -> Instance:
        """An optimizer of new tensors with these values. NotApplicable: see there."""

    def script(self, scenario: Any) -> str:
        """A short script that does the scenario with the library alone, without gradrace, and
        prints the tensors after each step. scenario: see `scenario.Scenario`."""


class CertifyingAdapter(Adapter, Protocol):
    """An adapter whose library's optimizers can be certified."""

    def maker(self, path: ImportPath, hyper: Mapping[str, Any]) -> Maker:
        """For the class of this path. hyper: arguments that every instance is made with.

        UserError, with what is wrong and how to mend it, for a path that cannot be imported, is no
        optimizer, is abstract, or wants arguments that nobody gave. ImportError passes."""

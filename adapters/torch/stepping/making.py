"""How a class of any package is made of named tensors, and how it is stepped.

`trying` finds out which recipe a class takes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from gradrace.binding import target_of
from gradrace.errors import UserError, nearest
from gradrace.imported.aliases import learning_rate_argument
from gradrace.imported.signature import parameters_of
from gradrace.optimizer import Binding
from gradrace.spec import Dtype
from torch import Tensor, nn

Grouping = Literal["all", "by use_muon", "matrices"]
Drive = Literal[
    "step()",
    "step(closure)",
    "backward(create_graph=True), step()",
    "fused_backward(loss, lr)",
]
DRIVES: tuple[Drive, ...] = (
    "step()",
    "step(closure)",
    "backward(create_graph=True), step()",
)

# What an argument without a default is given, by its name.
GIVEN_PARTS: Mapping[str, str] = {
    "model": "model",
    "optimizer": "inner",
    "base": "inner",
    "base_optimizer": "inner class",
    "num_iterations": "steps",
    "num_data": "examples",
}
# What a wrapper wraps, unless the user names another class.
INNER = torch.optim.SGD


class Wanted(NamedTuple):
    """For classes that ask: how many steps training has, and how many examples there are."""

    steps: int = 100
    examples: int = 32


# For an optimizer that is stepped by hand.
BY_HAND = Wanted()


@dataclass(frozen=True)
class Signature:
    """What a class takes. required: arguments without a default, the first one first. defaults: of
    the others. open: unknown arguments are taken too."""

    required: tuple[str, ...]
    defaults: Mapping[str, Any]
    open: bool

    @property
    def rate(self) -> str | None:
        """The learning rate's argument; a wrapper of a class hands `lr` on."""
        found = learning_rate_argument([*self.required, *self.defaults])
        wraps = any(GIVEN_PARTS.get(name) == "inner class" for name in self.required)
        return found or ("lr" if wraps and self.open else None)

    @property
    def known(self) -> tuple[str, ...]:
        """All names but those of the tensors and the learning rate."""
        tensors = {"params", *(name for name in self.required[:1] if name not in GIVEN_PARTS)}
        names = (*self.required, *self.defaults)
        return tuple(name for name in names if name not in {*tensors, self.rate})


def signature_of(target: Callable[..., Any]) -> Signature:
    """ValueError for a class written in C that does not tell."""
    parameters = inspect.signature(target).parameters.values()
    plain = parameters_of(target).values()
    return Signature(
        tuple(p.name for p in plain if p.default is p.empty),
        {p.name: p.default for p in plain if p.default is not p.empty},
        any(p.kind is p.VAR_KEYWORD for p in parameters),
    )


@dataclass(frozen=True)
class Recipe:
    """How a class is made and stepped.

    arguments: of the user, in the class's own kinds. grouping: of the tensors: all in one group; in
    two by their dimensions, marked by `use_muon`; matrices alone. dtypes: in which it computes."""

    target: Callable[..., Any]
    signature: Signature
    arguments: Mapping[str, Any] = field(default_factory=dict)
    grouping: Grouping = "all"
    drive: Drive = "step()"
    switches: bool = False
    dtypes: tuple[Dtype, ...] = ("float64", "float32", "bfloat16")
    variants: tuple[str, ...] = ()

    @property
    def inner(self) -> str:
        """The dotted path of the optimizer that it wraps; "" for none."""
        if not any(each in ("inner", "inner class") for each in self.given().values()):
            return ""
        return public_path(self._inner_class())

    def given(self) -> dict[str, str]:
        """Argument without a default -> what it gets: "params", "model", "inner", ..."""
        required, found = self.signature.required, {}
        for place, name in enumerate(required):
            if name in GIVEN_PARTS:
                found[name] = GIVEN_PARTS[name]
            elif place == 0 or name == "params":
                found[name] = "params"
        return found

    def make(
        self,
        tensors: Mapping[str, Tensor],
        rate: float,
        more: Mapping[str, Any],
        dtype: Dtype,
        resting: Sequence[str] = (),
        wanted: Wanted = BY_HAND,
    ) -> Any:
        """The optimizer of these tensors, with the user's arguments and `more`.

        resting: names of tensors whose group has rate 0."""
        ready(self.target)
        parts = {
            "params": lambda: self._parameters(tensors, resting),
            "model": lambda: model_of(tensors),
            "inner": lambda: self._inner_class()(self._parameters(tensors, resting), lr=rate),
            "inner class": self._inner_class,
            "steps": lambda: wanted.steps,
            "examples": lambda: wanted.examples,
        }
        supplied = {name: parts[part]() for name, part in self.supplied(more).items()}
        made = self.target(**supplied, **self.keywords(rate, more, dtype))
        still = [tensors[name] for name in resting]
        if not self.signature.rate:
            set_rate(made, rate, still)
        if not _rest(made, still):
            raise ValueError("its parameter groups are its own: none with the learning rate 0")
        return made

    def supplied(self, more: Mapping[str, Any]) -> dict[str, str]:
        """Argument -> the part that it gets, for those that the user gave no value."""
        given = {**self.arguments, **more}
        return {
            name: part
            for name, part in self.given().items()
            if part == "inner" or name not in given
        }

    def keywords(self, rate: float, more: Mapping[str, Any], dtype: Dtype) -> dict[str, Any]:
        """The other arguments, the learning rate first."""
        rates = {self.signature.rate: rate} if self.signature.rate else {}
        inner = {name for name, part in self.given().items() if part == "inner"}
        given = {**rates, **self.fitting(dtype), **self.arguments, **more}
        return {name: value for name, value in given.items() if name not in inner}

    def fitting(self, dtype: Dtype) -> dict[str, Any]:
        """Arguments that a class needs to keep its state as precisely as its tensors."""
        keeps = "storage_dtype" in self.signature.defaults and dtype == "float64"
        return {"storage_dtype": "float64"} if keeps else {}

    def _inner_class(self) -> Callable[..., Any]:
        names = [name for name, part in self.given().items() if part.startswith("inner")]
        return next((self.arguments[name] for name in names if name in self.arguments), INNER)

    def _parameters(self, tensors: Mapping[str, Tensor], resting: Sequence[str]) -> list[Any]:
        """The tensors, or parameter groups if they are not all alike."""
        groups = self.groups({name: tensor.dim() for name, tensor in tensors.items()}, resting)
        found = [
            {"params": [tensors[name] for name in names], **options} for names, options in groups
        ]
        return found[0]["params"] if len(found) == 1 and not groups[0][1] else found

    def groups(
        self, dimensions: Mapping[str, int], resting: Sequence[str]
    ) -> list[tuple[list[str], dict[str, Any]]]:
        """(names, options) of each parameter group that is not empty."""
        found: dict[tuple[bool, bool], list[str]] = {}
        for name, dim in dimensions.items():
            found.setdefault((name in resting, dim == 2), []).append(name)
        if self.grouping != "by use_muon":
            moving = [name for name in dimensions if name not in resting]
            still = [name for name in dimensions if name in resting]
            found = {(False, True): moving, (True, True): still}
        return [(names, self._options(*key)) for key, names in sorted(found.items()) if names]

    def _options(self, rests: bool, matrix: bool) -> dict[str, Any]:
        marks = {"use_muon": matrix} if self.grouping == "by use_muon" else {}
        return {**marks, **({"lr": 0.0} if rests else {})}


def public_path(kind: Any) -> str:
    """The shortest dotted path of a class: torch.optim.SGD, not torch.optim.sgd.SGD."""
    name, parts = kind.__name__, str(kind.__module__).split(".")
    folders = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return next(
        f"{each}.{name}"
        for each in folders
        if each == folders[-1] or getattr(sys.modules.get(each), name, None) is kind
    )


def model_of(tensors: Mapping[str, Tensor]) -> nn.Module:
    """A model that only holds the tensors, for classes that take a model."""
    model = nn.Module()
    for name, tensor in tensors.items():
        parameter = tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor)
        model.register_parameter(name.replace(".", "_"), parameter)
    return model


def ready(target: Callable[..., Any]) -> None:
    """heavyball compiles each step for minutes unless it is told not to."""
    if getattr(target, "__module__", "").partition(".")[0] == "heavyball":
        utils = sys.modules["heavyball.utils"]
        utils.compile_mode = None  # type: ignore[attr-defined]
        utils.compile_mode_recommended_to_none = None  # type: ignore[attr-defined]


def groups_of(optimizer: Any) -> list[dict[str, Any]]:
    """The parameter groups that hold the rates: its own, or those of the optimizer inside."""
    for holder in (optimizer, *inside(optimizer)):
        groups = getattr(holder, "param_groups", None)
        if isinstance(groups, list) and any(rate_key(group) for group in groups):
            return groups
    return []


def rate_key(group: Mapping[str, Any]) -> str | None:
    """The name of the learning rate in a parameter group; None if it has none."""
    return "lr" if "lr" in group else learning_rate_argument(group)


def inside(optimizer: Any) -> list[Any]:
    """The optimizers that it holds."""
    held = getattr(optimizer, "__dict__", {}).values()
    return [each for each in held if isinstance(each, torch.optim.Optimizer)]


def set_rate(optimizer: Any, rate: float | Tensor, resting: Sequence[Tensor] = ()) -> bool:
    """Sets the rate of all groups but that of the resting tensors; False if no group has one."""
    still, found = {id(tensor) for tensor in resting}, False
    for group in groups_of(optimizer):
        if any(id(tensor) in still for tensor in group["params"]):
            continue
        if key := rate_key(group):
            group[key], found = rate, True
    return found


def _rest(optimizer: Any, tensors: Sequence[Tensor]) -> bool:
    """Whether each of the tensors is in a group whose rate is 0."""
    groups = [group for group in groups_of(optimizer) if group.get("lr") == 0.0]
    held = {id(tensor) for group in groups for tensor in group["params"]}
    return all(id(tensor) in held for tensor in tensors)


def has_switches(optimizer: Any) -> bool:
    """Whether the class switches between weights to train and to evaluate (Schedule-Free)."""
    return all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))


def check_arguments(label: str, signature: Signature, given: Mapping[str, Any]) -> None:
    """UserError for a name that the signature lacks, though a class with **kwargs would take it,
    and for arguments that nobody gave."""
    for name in given:
        if name == signature.rate:
            raise UserError(f"{label}: {name} is the learning rate, which the schedule gives")
        if name not in signature.known:
            raise UserError(f"{label} has no argument {name!r}{nearest(name, signature.known)}")
    known = (*GIVEN_PARTS, *given, signature.rate)
    missing = [name for name in signature.required[1:] if name not in known and name != "params"]
    if missing:
        raise UserError(
            f"{label} wants arguments that nobody gave: {', '.join(missing)}; give them in hyper"
        )


def own_kind(name: str, value: Any, default: Any) -> Any:
    """A value of JSON in the kind that the class wants: tuples, dtypes and classes, which JSON
    lacks. ValueError for a wrapped class that cannot be imported."""
    if isinstance(value, list | tuple):
        return list(value) if isinstance(default, list) else tuple(value)
    if not isinstance(value, str):
        return value
    if GIVEN_PARTS.get(name, "").startswith("inner"):
        return target_of(Binding(value), "native")
    dtype = getattr(torch, value.removeprefix("torch."), None)
    wanted = isinstance(default, torch.dtype) or value.startswith("torch.")
    return dtype if wanted and isinstance(dtype, torch.dtype) else value

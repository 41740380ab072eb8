"""Variations of tasks: pure functions TaskSpec -> TaskSpec, with a name for each.

The output layer is never varied: a layer is hidden if one with a kernel follows it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, FiniteFloat

from .. import limits
from ..errors import nearest
from ..layers import (
    Activation,
    ActivationFunction,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Gru,
    Initializer,
    Layer,
    LayerNorm,
    Lstm,
    SimpleRnn,
)
from ..spec import EarlyStopping, Frozen, NonNegative, Regularization, TaskSpec

NONE = "none"
Units = Annotated[int, Field(gt=0, le=limits.UNITS)]
Depth = Annotated[int, Field(gt=0, le=limits.DEPTH)]
_Sized = Dense | SimpleRnn | Lstm | Gru
_Recurrent = SimpleRnn | Lstm | Gru
_Parametrised = Dense | Conv2D | Embedding | SimpleRnn | Lstm | Gru
Model = tuple[Layer, ...]


class RegularizationEntry(Frozen):
    """One entry of a suite's `regularization`; a key left out stays as in the task.

    dropout: the rate of Dropout layers inserted after hidden activations and recurrent layers.
    early_stopping: the patience in evaluations. The others: see `spec.Regularization`."""

    l1: NonNegative | None = None
    l2: NonNegative | None = None
    decay: NonNegative | None = None
    clip_norm: NonNegative | None = None
    dropout: Annotated[FiniteFloat, Field(gt=0.0, lt=1.0)] | None = None
    early_stopping: Annotated[int, Field(gt=0, le=limits.STEPS)] | None = None

    @property
    def label(self) -> str:
        """All its keys, such as 'l2=0.0001+dropout=0.5', or 'none'."""
        given = {name: value for name, value in self if value is not None}
        return "+".join(f"{name}={value!r}" for name, value in given.items()) or NONE


class TaskVariations(Frozen):
    """The keys of a suite that vary its tasks, crossed; see the function of each name below."""

    activation: Annotated[list[str], Field(min_length=1)] | None = None
    initializer: Annotated[list[str], Field(min_length=1)] | None = None
    hidden: (
        Annotated[list[Units | Annotated[list[Units], Field(min_length=1)]], Field(min_length=1)]
        | None
    ) = None
    depth: Annotated[list[Depth], Field(min_length=1)] | None = None
    normalization: Annotated[list[str], Field(min_length=1)] | None = None
    regularization: (
        Annotated[list[Literal["none"] | RegularizationEntry], Field(min_length=1)] | None
    ) = None


class VariedTask(NamedTuple):
    """A task, and its values for `RunSpec.variations`."""

    task: TaskSpec
    variations: dict[str, str | int]


def vary(task: TaskSpec, sweep: TaskVariations) -> Iterator[VariedTask]:
    """Every combination of the sweep's entries, applied to the task.

    ValueError "<key>[<position>]: ..." if an entry is unknown or fits no layer of the task."""
    axes = [[(key, *entry) for entry in enumerate(entries)] for key, entries in _given(sweep)]
    for combination in itertools.product(*axes):
        varied, names = task, dict[str, str | int]()
        for key, position, entry in combination:
            try:
                varied = VARIATIONS[key](varied, entry)
            except ValueError as error:
                raise ValueError(f"{key}[{position}]: {error}") from None
            names[key] = label(entry)
        yield VariedTask(varied, names)


def label(entry: Any) -> str | int:
    """The name of an entry: itself, sizes joined by '-', or a table's keys."""
    if isinstance(entry, list):
        return "-".join(map(str, entry))
    return entry.label if isinstance(entry, RegularizationEntry) else entry


def activation(task: TaskSpec, function: str) -> TaskSpec:
    """Every hidden Activation layer computes this function."""
    _known("activation", function, get_args(ActivationFunction))
    places = [i for i in _hidden(task.model) if isinstance(task.model[i], Activation)]
    _need(places, task, "hidden Activation layer")
    return _with_layers(
        task, {i: [task.model[i].model_copy(update={"function": function})] for i in places}
    )


def initializer(task: TaskSpec, name: str) -> TaskSpec:
    """Every kernel starts from this initialiser, recurrent ones and the output layer's too."""
    _known("initializer", name, get_args(Initializer))
    places = [i for i, layer in enumerate(task.model) if isinstance(layer, _Parametrised)]
    _need(places, task, "kernel")
    replaced = {}
    for i in places:
        fields = [
            field
            for field in ("initializer", "recurrent_initializer")
            if hasattr(task.model[i], field)
        ]
        replaced[i] = [task.model[i].model_copy(update=dict.fromkeys(fields, name))]
    return _with_layers(task, replaced)


def hidden(task: TaskSpec, units: int | Sequence[int]) -> TaskSpec:
    """Sizes of the hidden dense and recurrent layers: one for all, or one for each in order."""
    places = [i for i in _hidden(task.model) if isinstance(task.model[i], _Sized)]
    _need(places, task, "hidden dense or recurrent layer")
    sizes = [units] * len(places) if isinstance(units, int) else list(units)
    if len(sizes) != len(places):
        raise ValueError(
            f"{task.name} has {len(places)} hidden dense or recurrent layers, not {len(sizes)}"
        )
    return _with_layers(
        task,
        {
            i: [task.model[i].model_copy(update={"units": size})]
            for i, size in zip(places, sizes, strict=True)
        },
    )


def depth(task: TaskSpec, layers: int) -> TaskSpec:
    """This many hidden dense and recurrent layers, each with the layers up to the next one.

    The last is repeated, or the last are left out."""
    model = task.model
    starts = [i for i in _hidden(model) if isinstance(model[i], _Sized)]
    _need(starts, task, "hidden dense or recurrent layer")
    end = len(_hidden(model))
    blocks = [model[i:j] for i, j in zip(starts, [*starts[1:], end], strict=True)]
    chosen = [blocks[min(k, len(blocks) - 1)] for k in range(layers)]
    stacked: list[Layer] = []
    for block, after in zip(chosen, [*chosen[1:], ()], strict=True):
        first, last = block[0], blocks[-1][0]
        if isinstance(first, _Recurrent) and isinstance(last, _Recurrent):
            # A recurrent layer before another returns every step; the last keeps the task's way.
            sequences = bool(after) or last.sequences
            first = first.model_copy(update={"sequences": sequences})
        stacked += [first, *block[1:]]
    return TaskSpec(**{**dict(task), "model": (*model[: starts[0]], *stacked, *model[end:])})


def normalization(task: TaskSpec, kind: str) -> TaskSpec:
    """batch, layer: that layer before every hidden Activation. weight: of every dense layer. none.

    A layer right before a new BatchNorm, which would remove its bias again, gets none."""
    _known("normalization", kind, (NONE, "batch", "layer", "weight"))
    if kind == NONE:
        return task
    if kind == "weight":
        dense = [i for i, layer in enumerate(task.model) if isinstance(layer, Dense)]
        _need(dense, task, "dense layer")
        return _with_layers(
            task, {i: [task.model[i].model_copy(update={"weight_norm": True})] for i in dense}
        )
    places = [i for i in _hidden(task.model) if isinstance(task.model[i], Activation)]
    _need(places, task, "hidden Activation layer")
    new: Layer = BatchNorm() if kind == "batch" else LayerNorm()
    replaced: dict[int, list[Layer]] = {i: [new, task.model[i]] for i in places}
    for i in places if kind == "batch" else ():
        before = task.model[i - 1] if i else None
        if isinstance(before, Dense | Conv2D):
            replaced[i - 1] = [before.model_copy(update={"bias": False})]
    return _with_layers(task, replaced)


def regularization(task: TaskSpec, entry: str | RegularizationEntry) -> TaskSpec:
    """The entry's penalties, decay, clipping, dropout and early stopping."""
    if isinstance(entry, str):
        return task
    fields = Regularization.model_fields
    penalties = {name: value for name, value in entry if value is not None and name in fields}
    changes: dict[str, Any] = {"regularization": task.regularization.model_copy(update=penalties)}
    if entry.early_stopping:
        changes["early_stopping"] = EarlyStopping(patience=entry.early_stopping)
    task = task.model_copy(update=changes)
    return task if entry.dropout is None else _with_dropout(task, entry.dropout)


def _with_dropout(task: TaskSpec, rate: float) -> TaskSpec:
    places = [i for i in _hidden(task.model) if isinstance(task.model[i], Activation | _Recurrent)]
    _need(places, task, "hidden Activation or recurrent layer for dropout to follow")
    return _with_layers(task, {i: [task.model[i], Dropout(rate=rate)] for i in places})


# In order: depth before sizes; normalisation goes before activations, dropout after them.
VARIATIONS: Mapping[str, Callable[[TaskSpec, Any], TaskSpec]] = {
    "activation": activation,
    "initializer": initializer,
    "depth": depth,
    "hidden": hidden,
    "normalization": normalization,
    "regularization": regularization,
}


def _given(sweep: TaskVariations) -> list[tuple[str, list[Any]]]:
    return [(key, getattr(sweep, key)) for key in VARIATIONS if getattr(sweep, key)]


def _hidden(model: Model) -> list[int]:
    """Positions of all layers that are followed by one with a kernel."""
    last = max((i for i, layer in enumerate(model) if isinstance(layer, _Parametrised)), default=0)
    return list(range(last))


def _with_layers(task: TaskSpec, replaced: Mapping[int, list[Layer]]) -> TaskSpec:
    """The task with these positions of its model replaced, checked anew."""
    model = [new for i, layer in enumerate(task.model) for new in replaced.get(i, [layer])]
    return TaskSpec(**{**dict(task), "model": tuple(model)})


def _known(what: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise ValueError(f"no {what} {name!r}{nearest(name, names)}")


def _need(places: list[int], task: TaskSpec, what: str) -> None:
    if not places:
        raise ValueError(f"{task.name} has no {what}")

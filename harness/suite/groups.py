"""Parameter groups of a suite's optimizers: their keys, checked and completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, FiniteFloat

from ..errors import UserError, nearest
from ..optimizer import Optimizer
from ..roles import check_roles, groups_text
from ..spec import (
    Frozen,
    HyperScalar,
    OptimizerSpec,
    ParameterGroup,
    ParameterRole,
    TaskSpec,
)
from . import hyper


class GroupEntry(Frozen):
    """Parameters of some roles, which an optimizer of their own trains.

    optimizer: by default the entry's own. hyper: over the defaults, or if it is the entry's own
    optimizer, over the entry's; nothing is swept. learning_rate_factor: its rates are this times
    the entry's."""

    roles: Annotated[list[ParameterRole], Field(min_length=1)]
    optimizer: str | None = None
    hyper: dict[str, HyperScalar | list[HyperScalar]] = {}
    learning_rate_factor: Annotated[FiniteFloat, Field(gt=0)] = 1.0


def with_groups(
    spec: OptimizerSpec,
    entries: Sequence[GroupEntry],
    optimizers: Mapping[str, Optimizer],
    frameworks: Sequence[str],
    place: str,
) -> OptimizerSpec:
    """The optimizer with these groups. UserError, which begins with `place`, for an unknown
    optimizer, an unknown or impossible hyperparameter, or an optimizer without the entry's rule."""
    found = tuple(
        _group(entry, spec, optimizers, frameworks, f"{place}: groups[{number}]")
        for number, entry in enumerate(entries)
    )
    return spec.model_copy(update={"groups": found}) if found else spec


def _group(
    entry: GroupEntry,
    spec: OptimizerSpec,
    optimizers: Mapping[str, Optimizer],
    frameworks: Sequence[str],
    place: str,
) -> ParameterGroup:
    name = entry.optimizer or spec.name
    if name not in optimizers:
        raise UserError(f"{place}.optimizer: no optimizer {name!r}{nearest(name, optimizers)}")
    if optimizers[name].imported and spec.rule == "canonical":
        raise UserError(
            f"{place}.optimizer: {name} has no canonical rule, and {spec.name} is trained under it;"
            ' give convergence.rule = "native"'
        )
    given = {**(spec.hyper if name == spec.name else {}), **entry.hyper}
    found = hyper.combinations(optimizers[name], spec.rule, given, frameworks, f"{place}.hyper")
    chosen = list(found)
    if len(chosen) > 1:
        raise UserError(
            f"{place}.hyper: a list of {len(chosen)} values, but groups are not swept; write an"
            " entry of the optimizer for each"
        )
    return ParameterGroup(
        roles=tuple(entry.roles), name=name, hyper=chosen[0], rate_factor=entry.learning_rate_factor
    )


def offered(
    spec: OptimizerSpec, optimizers: Mapping[str, Optimizer], frameworks: Sequence[str]
) -> list[str]:
    """Those of the frameworks for which all of its optimizers are planned, see hyper.offered."""
    own = [optimizers[name] for name in spec.names]
    return [name for name in frameworks if all(hyper.offered(each, [name]) for each in own)]


def check_groups(task: TaskSpec, optimizer: OptimizerSpec, place: str) -> None:
    """UserError, which begins with `place`, if the task's model and the groups do not fit."""
    try:
        check_roles(task, optimizer)
    except UserError as error:
        raise UserError(f"{place}: {optimizer.name}: {error}") from None


def named(optimizer: OptimizerSpec, optimizers: Mapping[str, Optimizer]) -> dict[str, str]:
    """The variation that names an optimizer's groups; none without."""
    return {"groups": groups_text(optimizer, optimizers)} if optimizer.groups else {}

"""What each parameter of a model is for, and which optimizer of a run trains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, get_args

import numpy as np

from .errors import UserError, nearest
from .layers import BuiltLayer, Embedding, Parameter, build
from .optimizer import Optimizer
from .spec import (
    OptimizerSpec,
    ParameterGroup,
    ParameterRole,
    RunSpec,
    TaskSpec,
    hyper_text,
    number_text,
)

ROLES: tuple[ParameterRole, ...] = get_args(ParameterRole)
_NORMS = ("batch_norm", "layer_norm", "group_norm")
_KERNELS = ("kernel", "direction")


def role_of(layers: Sequence[BuiltLayer]) -> dict[str, ParameterRole]:
    """The role of every trained parameter by its full name; the first line that fits decides.

    norm: gain and bias of BatchNorm, LayerNorm and GroupNorm, and the gain of weight norm;
    bias: every other bias;
    embedding: the table of an Embedding;
    recurrent_kernel: what a recurrent layer multiplies its hidden state by;
    head: the kernel (with weight norm, its direction) of the last layer that has one;
    kernel: the rest, points included."""
    heads = [p.name for built in layers for p in built.parameters if _own_name(p) in _KERNELS]
    head = heads[-1] if heads else ""
    return {
        p.name: _role(built, p, p.name == head)
        for built in layers
        for p in built.parameters
        if p.trainable
    }


def _own_name(parameter: Parameter) -> str:
    return parameter.name.rpartition(".")[2]


def _role(built: BuiltLayer, parameter: Parameter, last: bool) -> ParameterRole:
    if built.layer.kind in _NORMS or parameter.role == "gain":
        return "norm"
    if parameter.role == "bias":
        return "bias"
    if isinstance(built.layer, Embedding):
        return "embedding"
    if _own_name(parameter) == "recurrent_kernel":
        return "recurrent_kernel"
    return "head" if last else "kernel"


@dataclass(frozen=True)
class Trainer:
    """One of a run's optimizers with the parameters that it trains, on a state of its own.

    run: the run as this optimizer sees it: `run.optimizer` is its own, and `run.optimizer.groups`
        are the roles that others train. names: its parameters, in the order of the model.
    rate_factor: its learning rates are this times the run's."""

    run: RunSpec
    optimizer: Optimizer
    names: tuple[str, ...]
    rate_factor: float = 1.0

    def rates(self, of_run: np.ndarray) -> np.ndarray:
        """Its learning rates, from those of the run, both float64[steps]."""
        return of_run if self.rate_factor == 1.0 else self.rate_factor * of_run


def trainers(
    run: RunSpec, optimizer: Optimizer, others: Mapping[str, Optimizer]
) -> tuple[Trainer, ...]:
    """The run's own optimizer with all that is in no group, then that of every group.

    optimizer: of the run; others: those of the groups, by name. The run has passed `check_roles`.
    """
    found = [Trainer(run, optimizer, own_names(run))]
    for group in run.optimizer.groups:
        seen = _seen_by(group, run)
        own = optimizer if group.name == optimizer.name else _known(group.name, others)
        found.append(Trainer(seen, own, own_names(seen), group.rate_factor))
    return tuple(found)


class Supporting(Protocol):
    """An adapter, as far as it is asked what it supports. One that may have parameter groups also
    has `trains_groups = True`, see adapter.Adapter."""

    name: str

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        """None, or the reason why it cannot do this run with this optimizer."""


def refused(
    adapter: Supporting, run: RunSpec, optimizer: Optimizer, optimizers: Mapping[str, Optimizer]
) -> str | None:
    """The reason why an adapter cannot do the run, by one of its optimizers, or None.

    optimizer: of the run; optimizers: all by name."""
    if not run.optimizer.groups:
        return adapter.supports(run, optimizer)
    if not getattr(adapter, "trains_groups", False):
        return f"the {adapter.name} adapter knows no parameter groups"
    check_roles(run.task, run.optimizer)
    found = trainers(run, optimizer, others_of(run, optimizers))
    reasons = (adapter.supports(each.run, each.optimizer) for each in found)
    return next((reason for reason in reasons if reason), None)


def others_of(run: RunSpec, optimizers: Mapping[str, Optimizer]) -> dict[str, Optimizer]:
    """The optimizers of a run's groups by name. UserError if there is none of a name."""
    names = {group.name for group in run.optimizer.groups} - {run.optimizer.name}
    return {name: _known(name, optimizers) for name in sorted(names)}


def own_names(run: RunSpec) -> tuple[str, ...]:
    """The parameters that `run.optimizer` itself trains: those whose role is in no group; in the
    order of the model."""
    grouped = {role for group in run.optimizer.groups for role in group.roles}
    roles = role_of(build(run.task.model, run.task.input_shape))
    return tuple(name for name, role in roles.items() if role not in grouped)


def check_roles(task: TaskSpec, optimizer: OptimizerSpec) -> None:
    """UserError if two groups name one role, if a group has no parameter in this task's model, or
    if none is left to the optimizer itself."""
    if not optimizer.groups:
        return
    seen: set[ParameterRole] = set()
    for group in optimizer.groups:
        for role in group.roles:
            if role in seen:
                raise UserError(f"groups: the role {role!r} is listed twice; leave one of them out")
            seen.add(role)
    present = set(role_of(build(task.model, task.input_shape)).values())
    has = f"{task.name} has the roles {', '.join(r for r in ROLES if r in present)}"
    for group in optimizer.groups:
        if not present & set(group.roles):
            raise UserError(f"groups: no parameter for the group {'+'.join(group.roles)}; {has}")
    if not present - seen:
        raise UserError(
            f"groups: no parameter is left to {optimizer.name}; {has}, and all are in groups."
            " Leave one of them out, and give its settings to the optimizer itself"
        )


def _seen_by(group: ParameterGroup, run: RunSpec) -> RunSpec:
    """The run as the optimizer of this group sees it."""
    rest: tuple[ParameterRole, ...] = tuple(role for role in ROLES if role not in group.roles)
    others = (ParameterGroup(roles=rest, name=run.optimizer.name),)
    own = OptimizerSpec(name=group.name, hyper=group.hyper, rule=run.optimizer.rule, groups=others)
    # A class is constructed with the base rate, which must not be 0.
    base = run.schedule.base_lr * (group.rate_factor or 1.0)
    schedule = run.schedule.model_copy(update={"base_lr": base})
    return run.model_copy(update={"optimizer": own, "schedule": schedule})


def _known(name: str, optimizers: Mapping[str, Optimizer]) -> Optimizer:
    if name not in optimizers:
        raise UserError(f"groups: no optimizer {name!r}{nearest(name, optimizers)}")
    return optimizers[name]


def groups_text(optimizer: OptimizerSpec, optimizers: Mapping[str, Optimizer] = {}) -> str:
    """The groups for people: 'bias+norm(weight_decay=0),embedding(adam,rate*0.1)'.

    A hyperparameter is named unless it is the run's own optimizer's, or of another optimizer its
    default, by `optimizers`."""
    return ",".join(_group_text(group, optimizer, optimizers) for group in optimizer.groups)


def _group_text(
    group: ParameterGroup, optimizer: OptimizerSpec, optimizers: Mapping[str, Optimizer]
) -> str:
    said = [] if group.name == optimizer.name else [group.name]
    usual: Mapping[str, object] = optimizer.hyper
    if group.name != optimizer.name and group.name in optimizers:
        usual = {name: hyper.default for name, hyper in optimizers[group.name].hyper.items()}
    said += [f"{k}={hyper_text(v)}" for k, v in group.hyper.items() if usual.get(k) != v]
    if group.rate_factor != 1.0:
        said.append(f"rate*{number_text(group.rate_factor)}")
    return f"{'+'.join(group.roles)}({','.join(said) or 'own state'})"

"""Parameter groups that are proven: which roles, by which optimizer, at which rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..optimizer import Optimizer
from ..spec import ParameterGroup, ParameterRole


class Group(NamedTuple):
    """hyper: over the optimizer's defaults."""

    roles: tuple[ParameterRole, ...]
    optimizer: str
    rate_factor: float = 1.0
    hyper: Mapping[str, float] = {}


class Grouped(NamedTuple):
    """A task, the run's own optimizer, and the groups. what: for people. replaced: the rates are
    halved on the way."""

    task: str
    optimizer: str
    label: str
    what: str
    groups: tuple[Group, ...]
    replaced: bool = False


GROUPS = (
    Grouped(
        *("digits_mlp+all_penalties", "adamw", "no_decay", "biases without decay"),
        groups=(Group(("bias", "norm"), "adamw", hyper={"weight_decay": 0.0}),),
    ),
    Grouped(
        *("digits_mlp+batch_norm", "momentum", "four_rules", "three others by role"),
        groups=(
            Group(("norm",), "momentum", 0.1),
            Group(("bias",), "rmsprop", 0.02),
            Group(("head",), "amsgrad", 0.05),
        ),
        replaced=True,
    ),
    Grouped(
        *("digits_cnn+strided", "muon", "adam_for_the_rest", "adam but for hidden kernels"),
        groups=(Group(("embedding", "head", "norm", "bias"), "adam", 0.2),),
    ),
    Grouped(
        *("digits_lstm", "adam", "recurrent_kernel", "a recurrent kernel by momentum"),
        groups=(Group(("recurrent_kernel",), "momentum", 5.0), Group(("head",), "adam", 0.5)),
    ),
    Grouped(
        *("shakespeare_gru", "adam", "embedding", "an embedding by adagrad"),
        groups=(Group(("embedding",), "adagrad", 3.0), Group(("bias",), "sgd", 10.0)),
    ),
    # It takes all parameters of a group together: the biases' step size is their own.
    Grouped(
        *("digits_mlp", "prodigy", "own_coupling", "biases by a prodigy of their own"),
        groups=(Group(("bias",), "prodigy"),),
    ),
)


def in_groups(case: Grouped, optimizers: Mapping[str, Optimizer]) -> tuple[ParameterGroup, ...]:
    """The groups as a run has them, under the canonical rule."""
    return tuple(
        ParameterGroup(
            roles=each.roles,
            name=each.optimizer,
            hyper=optimizers[each.optimizer].hypers(each.hyper),
            rate_factor=each.rate_factor,
        )
        for each in case.groups
    )

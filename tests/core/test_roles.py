"""Which role each parameter has, which optimizer of a run trains it, and what suites say of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Embedding,
    Flatten,
    GroupNorm,
    LayerNorm,
    Lstm,
    Point,
    build,
)
from gradrace.plan import make_plan
from gradrace.registry import load_registry
from gradrace.report.record_text import described
from gradrace.roles import ROLES, groups_text, refused, role_of, trainers
from gradrace.spec import OptimizerSpec, ParameterGroup, RunSpec
from gradrace.suite import expand, make_suite
from gradrace.sweep.planner import Planner
from hypothesis import given
from hypothesis import strategies as st
from records import make_curve, make_result
from runs import spec_of

REGISTRY = load_registry()
OPTIMIZERS = REGISTRY.optimizers


def group(*roles: Any, name: str = "adam", factor: float = 1.0, **hyper: float) -> ParameterGroup:
    complete = OPTIMIZERS[name].hypers(hyper)
    return ParameterGroup(roles=roles, name=name, hyper=complete, rate_factor=factor)


def run_of(*groups: ParameterGroup, name: str = "adam", task: str = "digits_mlp") -> RunSpec:
    run = spec_of(REGISTRY.tasks[task], name)
    own = OptimizerSpec(name=name, hyper=OPTIMIZERS[name].hypers({}), groups=groups)
    return run.model_copy(update={"optimizer": own})


# -- roles


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        ((Dense(units=2),), (3,), {"0_dense.kernel": "head", "0_dense.bias": "bias"}),
        (
            (Conv2D(filters=2), BatchNorm(), Flatten(), Dense(units=2, bias=False)),
            (4, 4, 1),
            {
                "0_conv2d.kernel": "kernel",
                "0_conv2d.bias": "bias",
                "1_batch_norm.gain": "norm",
                "1_batch_norm.bias": "norm",
                "3_dense.kernel": "head",
            },
        ),
        (
            (Dense(units=4), LayerNorm(), GroupNorm(groups=2)),
            (3,),
            {
                "0_dense.kernel": "head",
                "0_dense.bias": "bias",
                "1_layer_norm.gain": "norm",
                "1_layer_norm.bias": "norm",
                "2_group_norm.gain": "norm",
                "2_group_norm.bias": "norm",
            },
        ),
        (
            (Dense(units=2, weight_norm=True), Dense(units=2, weight_norm=True)),
            (3,),
            {
                "0_dense.direction": "kernel",
                "0_dense.gain": "norm",
                "0_dense.bias": "bias",
                "1_dense.direction": "head",
                "1_dense.gain": "norm",
                "1_dense.bias": "bias",
            },
        ),
        (
            (Embedding(vocabulary=5, units=3), Lstm(units=2)),
            (6,),
            {
                "0_embedding.kernel": "embedding",
                "1_lstm.kernel": "head",
                "1_lstm.recurrent_kernel": "recurrent_kernel",
                "1_lstm.bias": "bias",
            },
        ),
        ((Embedding(vocabulary=5, units=3),), (6,), {"0_embedding.kernel": "embedding"}),
        ((Point(objective="beale", start=(1.0, 1.0)),), (1,), {"0_point.point": "kernel"}),
    ],
    ids=["one layer", "conv", "norms", "weight norm", "recurrent head", "embedding", "point"],
)
def test_roles_by_the_table(model, shape, expected):
    assert role_of(build(model, shape)) == expected


@pytest.mark.parametrize("task", REGISTRY.tasks.values(), ids=lambda task: task.name)
def test_every_trained_parameter_has_one_role(task):
    layers = build(task.model, task.input_shape)
    roles = role_of(layers)
    assert list(roles) == [p.name for b in layers for p in b.parameters if p.trainable]
    assert list(roles.values()).count("head") <= 1 and set(roles.values()) <= set(ROLES)


# -- trainers


@given(st.lists(st.sampled_from(["bias", "head", "norm"]), unique=True, min_size=1))
def test_each_parameter_is_trained_once_and_state_is_apart(roles):
    groups = [group(role, factor=0.5) for role in roles if role != "norm"]
    run = run_of(*groups)
    found = trainers(run, OPTIMIZERS["adam"], {})
    names = [name for each in found for name in each.names]
    every = role_of(build(run.task.model, run.task.input_shape))
    assert sorted(names) == sorted(every) and len(found) == 1 + len(groups)
    assert found[0].rate_factor == 1.0 and found[0].run == run
    for each, own in zip(found[1:], groups, strict=True):
        assert {every[name] for name in each.names} == set(own.roles)
        assert each.run.optimizer.hyper == own.hyper
        assert each.run.schedule.base_lr == 0.5 * run.schedule.base_lr
        assert np.array_equal(each.rates(np.array([2.0, 4.0])), [1.0, 2.0])


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([group("bias"), group("head", "bias")], "the role 'bias' is listed twice"),
        ([group("norm")], "no parameter for the group norm; digits_mlp has the roles kernel, bias"),
        ([group("kernel", "head"), group("bias")], "no parameter is left to adam"),
        ([ParameterGroup(roles=("bias",), name="adamm")], "'adamm' (did you mean 'adam'?)"),
    ],
    ids=["twice", "none", "all", "unknown"],
)
def test_groups_that_do_not_fit_the_model(groups, said):
    run = run_of(*groups)
    with pytest.raises(UserError, match="^groups: ") as error:
        make_plan(run, OPTIMIZERS["adam"], optimizers=OPTIMIZERS)
    assert said in str(error.value)


def test_a_framework_is_asked_for_each_optimizer_with_its_own_parameters():
    run, asked = run_of(group("head", "bias", name="sgd"), name="momentum"), []

    class Fake:
        name, trains_groups = "fake", True

        def supports(self, seen: RunSpec, optimizer: Any) -> str | None:
            asked.append((seen.optimizer.name, optimizer.name))
            return "it lacks sgd" if optimizer.name == "sgd" else None

    assert refused(Fake(), run, OPTIMIZERS["momentum"], OPTIMIZERS) == "it lacks sgd"
    assert asked == [("momentum", "momentum"), ("sgd", "sgd")]
    Fake.trains_groups = False
    told = refused(Fake(), run, OPTIMIZERS["momentum"], OPTIMIZERS)
    assert told == "the fake adapter knows no parameter groups"


def test_matrices_only_asks_about_the_optimizers_own_parameters():
    from gradrace.binding import unavailable

    muon = OPTIMIZERS["muon"]
    native = {"framework": "torch", "mode": "eager"}
    alone = spec_of(REGISTRY.tasks["digits_mlp"], "muon", rule="native", **native)
    others = (ParameterGroup(roles=("bias", "head"), name="adam"),)
    own = alone.optimizer.model_copy(update={"groups": others})
    assert "matrices only, and 0_dense.bias" in (unavailable(alone, muon) or "")
    assert unavailable(alone.model_copy(update={"optimizer": own}), muon) is None


def test_an_optimizer_that_evaluates_the_loss_trains_no_part():
    from gradrace.binding import unavailable

    lbfgs = OPTIMIZERS["lbfgs"]
    run = spec_of(REGISTRY.tasks["digits_mlp"], "lbfgs", rule="native", framework="torch")
    biases = ParameterGroup(roles=("bias",), name="adam")
    own = run.optimizer.model_copy(update={"groups": (biases,)})
    assert unavailable(run, lbfgs) is None
    reason = unavailable(run.model_copy(update={"optimizer": own}), lbfgs)
    assert reason and reason.endswith("so cannot train a part of a model")


# -- suites

TINY = {"title": "", "tasks": ["digits_mlp"], "frameworks": ["numpy"], "seeds": 1}
NO_DECAY = {"roles": ["bias"], "hyper": {"weight_decay": 0.0}}


def expanded(*optimizers: Any, **changes: Any) -> list[RunSpec]:
    return list(expand(make_suite("s", {**TINY, "optimizers": optimizers, **changes}), REGISTRY))


def test_a_suites_groups_are_completed_and_named():
    slow = {"roles": ["head", "norm"], "optimizer": "sgd", "learning_rate_factor": 0.1}
    entry = {"name": "adamw", "hyper": {"beta1": 0.8}}
    plain, grouped = expanded(entry, {**entry, "groups": [NO_DECAY, slow]})
    assert plain.optimizer.groups == () and "groups" not in plain.id
    first, second = grouped.optimizer.groups
    assert first == group("bias", name="adamw", beta1=0.8, weight_decay=0.0)
    assert second == group("head", "norm", name="sgd", factor=0.1)
    assert "/groups=bias(weight_decay=0),head+norm(sgd,rate*0.1)/" in grouped.id


def test_groups_are_timed_too():
    runs = expanded(
        {"name": "adamw", "groups": [NO_DECAY]}, timing={"launches": 1, "rule": "canonical"}
    )
    assert [run.measure for run in runs] == ["convergence", "timing"]
    assert all(run.optimizer.groups and "groups" in run.variations for run in runs)


def test_two_entries_with_other_groups_are_told_apart():
    factors = (0.1, 0.1000001)
    groups = [{"roles": ["bias"], "learning_rate_factor": factor} for factor in factors]
    runs = expanded(*({"name": "adam", "groups": [each]} for each in groups))
    assert len({run.id for run in runs}) == 2


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ({"roles": ["biass"]}, "groups[0].roles[0]: 'biass' is none of"),
        ({"roles": []}, "groups[0].roles"),
        ({"role": ["bias"]}, "unknown key 'optimizers[0].groups[0].role' (did you mean 'roles'?)"),
        ({**NO_DECAY, "optimizer": "adm"}, "groups[0].optimizer: no optimizer 'adm' (did you mean"),
        ({"roles": ["bias"], "hyper": {"bata1": 0.1}}, "groups[0].hyper: adamw has no"),
        ({"roles": ["bias"], "hyper": {"beta1": [0.1, 0.2]}}, "groups[0].hyper: a list of 2"),
        ({"roles": ["bias"], "learning_rate_factor": 0.0}, "groups[0].learning_rate_factor"),
        ({"roles": ["norm"]}, "adamw: groups: no parameter for the group norm; digits_mlp has"),
    ],
    ids=["role", "no role", "key", "optimizer", "hyper", "swept", "factor", "not there"],
)
def test_mistakes_in_a_suites_groups(group, said):
    with pytest.raises(UserError) as error:
        expanded({"name": "adamw", "groups": [group]})
    assert said in str(error.value)


def test_texts_name_what_differs():
    own = run_of(group("bias", beta1=0.5), group("head", name="sgd", factor=2.0)).optimizer
    assert groups_text(own, OPTIMIZERS) == "bias(beta1=0.5),head(sgd,rate*2)"
    assert groups_text(run_of(group("bias")).optimizer, OPTIMIZERS) == "bias(own state)"


def test_a_record_shows_its_groups():
    run = run_of(group("bias", "norm", name="sgd", factor=0.1))
    run = run.model_copy(update={"framework": "torch"})
    shown = dict(described(make_result(run, "0" * 24, "skipped", "no", make_curve(run)).record))
    assert shown["parameter group"] == "bias, norm: sgd, learning rate times 0.1"


# -- digests


def test_the_digest_follows_a_groups_optimizer():
    planner = Planner(REGISTRY, {})
    plain, grouped = planner.plan(run_of()), planner.plan(run_of(group("bias", name="sgd")))
    assert plain.digest != grouped.digest
    assert "gradrace.optimizers.sgd" in grouped.sources.keys() - plain.sources.keys()


def test_tables_always_name_groups():
    from gradrace.report.tables.naming import variants
    from pandas import DataFrame

    rows = DataFrame({"task": ["t", "t"], "variation": ["groups=bias(own state)"] * 2})
    same = {"rule": "native", "batch_size": 1, "schedule": "constant", "schedule_params": ""}
    rows = rows.assign(measure="convergence", optimizer="adam", hyper="", **same)
    assert variants(rows) == ["groups=bias(own state)"] * 2
    assert variants(rows.assign(variation="seen=1")) == ["", ""]

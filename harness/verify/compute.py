"""One case in one framework: from a case to arrays, through the adapter. Runs in the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .. import schedules
from ..adapter import Adapter, LanesImpossible
from ..errors import UserError
from ..layers import Dense
from ..optimizer import Optimizer
from ..plan import RunInputs, initial_weights, make_plan
from ..registry import Framework
from ..roles import refused
from ..spec import Device, Dtype, OptimizerSpec, RunSpec, ScheduleSpec, TaskSpec, UpdateRule
from .cases import (
    Case,
    LayerCase,
    LossCase,
    PopulationCase,
    RatesCase,
    TrajectoryCase,
    UpdateCase,
    WeightsCase,
    bare_task,
)
from .populations import lanes_of, population_modes, trained
from .verdict import REFEREE

Arrays = dict[str, np.ndarray]


class Unavailable(Exception):
    """This framework cannot do the case; the message says why."""


def modes(case: Case, framework: Framework) -> tuple[str, ...]:
    """The modes in which the framework computes the case; ('',) if the mode plays no part."""
    match case:
        case LayerCase():
            return framework.proof_modes
        case TrajectoryCase(modes="every"):
            return framework.modes
        case TrajectoryCase(modes="proof"):
            return framework.proof_modes
        case TrajectoryCase():
            return (framework.convergence_mode,)
        case PopulationCase():
            return population_modes(case, framework)
    return ("",)


class Setting(NamedTuple):
    """Where a framework computes: a process of its own each. tf32: see verdict.Side."""

    device: Device = "cpu"
    tf32: bool = False

    def variables(self) -> dict[str, str]:
        """Of the process, beside its ordinary environment. Adapters read the first one."""
        on = {"NVIDIA_TF32_OVERRIDE": "1", "JAX_DEFAULT_MATMUL_PRECISION": "tensorfloat32"}
        return on if self.tf32 else {}


CPU, GPU, TF32 = Setting(), Setting("gpu"), Setting("gpu", tf32=True)


def settings(case: Case, framework: Framework, device: Device) -> tuple[Setting, ...]:
    """Where the framework computes the case if this device is proven."""
    referee = framework.name == REFEREE
    if device == "cpu":
        return (CPU,)
    match case:
        # The harness knows the result, or the framework is compared with itself.
        case WeightsCase() | RatesCase() | PopulationCase():
            return () if referee else (GPU,)
        case TrajectoryCase(tf32=True):
            return () if referee else (GPU, TF32)
    return (CPU,) if referee else (CPU, GPU)


@dataclass(frozen=True)
class _Asked:
    """Who computes a case, and where. mode: '' for that of convergence runs."""

    adapter: Adapter
    framework: Framework
    mode: str
    device: Device

    def run(
        self,
        task: TaskSpec,
        optimizer: Optimizer,
        schedule: ScheduleSpec,
        steps: int,
        dtype: Dtype = "float64",
        rule: UpdateRule = "canonical",
    ) -> RunSpec:
        """A run of the case. Unavailable if the framework cannot do it."""
        hyper = optimizer.hypers({}) if rule == "canonical" else {}
        own = OptimizerSpec(name=optimizer.name, hyper=hyper, rule=rule)
        run = self.of(task, own, schedule, steps, dtype)
        _ask(self.adapter, run, optimizer)
        return run

    def of(
        self,
        task: TaskSpec,
        optimizer: OptimizerSpec,
        schedule: ScheduleSpec,
        steps: int,
        dtype: Dtype,
    ) -> RunSpec:
        """A run of the case, possible or not."""
        return RunSpec(
            task=task.model_copy(update={"steps": steps, "eval_every": steps}),
            optimizer=optimizer,
            schedule=schedule,
            framework=self.framework.name,
            mode=self.mode or self.framework.convergence_mode,
            device=self.device,
            dtype=dtype,
        )


def compute(
    case: Case,
    adapter: Adapter,
    framework: Framework,
    mode: str,
    optimizers: Mapping[str, Optimizer],
    device: Device = "cpu",
) -> Arrays:
    """The case's arrays by name. Raises Unavailable; anything else is a failure of the adapter.

    Pieces that no run places are computed on a GPU if this process sees one: `device` says so."""
    asked = _Asked(adapter, framework, mode, device)
    match case:
        case WeightsCase():
            return _weights(case, asked, optimizers["sgd"])
        case LayerCase():
            return _layer(case, asked)
        case LossCase():
            return _loss(case, adapter)
        case UpdateCase():
            return _updates(case, asked, optimizers[case.optimizer])
        case TrajectoryCase():
            return _trajectory(case, asked, optimizers)
        case PopulationCase():
            return _population(case, asked, optimizers[case.optimizer])
        case RatesCase():
            return _rates(case, asked, optimizers["sgd"])
    raise TypeError(f"no case {type(case).__name__}")


def _weights(case: WeightsCase, asked: _Asked, sgd: Optimizer) -> Arrays:
    schedule = ScheduleSpec(kind="constant", base_lr=sgd.learning_rate)
    run = asked.run(case.task, sgd, schedule, steps=1)
    session = asked.adapter.open(run, case.draw(), _inputs(run, sgd))
    weights = {name: np.array(value) for name, value in session.weights().items()}
    session.close()
    return weights


def _layer(case: LayerCase, asked: _Asked) -> Arrays:
    weights, x, upstream, mask = case.draw()
    given = (case.built(), weights, x, upstream, case.training, mask)
    try:
        found = asked.adapter.differentiate(*given, mode=asked.mode)
    except NotImplementedError as error:
        raise Unavailable(str(error) or f"no {case.layer.kind} layer") from None
    arrays = {"output": found.output}
    if found.input_gradient is not None:
        arrays["input gradient"] = found.input_gradient
    arrays |= {f"gradient of {name}": value for name, value in found.gradients.items()}
    return arrays | {f"state {name}": value for name, value in found.state.items()}


def _loss(case: LossCase, adapter: Adapter) -> Arrays:
    outputs, y = case.draw()
    value, gradient = adapter.loss(case.task, outputs, y)
    metric = adapter.metric(case.task, outputs, y)
    return {"loss": np.array(value), "gradient": np.asarray(gradient), "metric": np.array(metric)}


def _updates(case: UpdateCase, asked: _Asked, optimizer: Optimizer) -> Arrays:
    rule: UpdateRule = "canonical" if asked.framework.name == REFEREE else case.rule
    task = any_task(bias=not case.matrices)
    run = asked.run(task, optimizer, case.schedule, case.steps, rule=rule)
    binding = optimizer.bindings.get(asked.framework.name)
    if binding and binding.loss_asked_for(rule):
        raise Unavailable(
            f"{binding.label} evaluates the loss itself, and cannot run on given gradients"
        )
    start, gradients = case.draw()
    rates = schedules.table(case.schedule, case.steps)
    after = asked.adapter.updates(run, optimizer, start, gradients, rates)
    return {name: np.stack([step[name] for step in after]) for name in start}


def _trajectory(case: TrajectoryCase, asked: _Asked, optimizers: Mapping[str, Optimizer]) -> Arrays:
    optimizer = optimizers[case.optimizer]
    own = OptimizerSpec(name=optimizer.name, hyper=optimizer.hypers({}), groups=case.groups)
    run = asked.of(case.task, own, case.schedule, case.steps, case.dtype)
    _ask(asked.adapter, run, optimizer, optimizers)
    inputs = _inputs(run, optimizer, optimizers)
    session = asked.adapter.open(run, initial_weights(run.task, run.seed), inputs)
    # In pieces, as the training loop does: stages and programs of a call must not show in the
    # numbers. Equal pieces, because some sessions compile anew for every length.
    bounds = sorted({0, case.replaced_from, case.steps // 2, case.steps})
    for first, last in pairwise(bounds):
        if first == case.replaced_from > 0:
            halved = np.where(np.arange(case.steps) < first, 1.0, 0.5) * inputs.learning_rates
            session.set_learning_rates(halved)
        session.train(range(first, last))
    arrays = {"losses": np.asarray(session.losses())}
    if case.dtype == "float64":
        arrays["validation loss and metric"] = np.array(session.evaluate("validation"))
        arrays |= {f"weight {name}": np.array(value) for name, value in session.weights().items()}
    session.close()
    return arrays


def _population(case: PopulationCase, asked: _Asked, optimizer: Optimizer) -> Arrays:
    try:
        lanes = lanes_of(case, asked.framework, optimizer, asked.device)
        _ask(asked.adapter, lanes[0].run, optimizer)
        return trained(case, asked.adapter, lanes, asked.mode)
    except (LanesImpossible, UserError) as reason:
        raise Unavailable(str(reason)) from None


def _rates(case: RatesCase, asked: _Asked, sgd: Optimizer) -> Arrays:
    run = asked.run(any_task(), sgd, case.schedule, case.steps, case.dtype)
    zeros = np.zeros(case.steps)
    gradients = [{"0_point.point": row} for row in np.eye(case.steps)]
    after = asked.adapter.updates(run, sgd, {"0_point.point": zeros}, gradients, case.rates())
    return {"rates": -np.asarray(after[-1]["0_point.point"])}


def _ask(
    adapter: Adapter,
    run: RunSpec,
    optimizer: Optimizer,
    optimizers: Mapping[str, Optimizer] = {},
) -> None:
    known = {name: _nearest(each, run) for name, each in optimizers.items()}
    if reason := refused(adapter, run, _nearest(optimizer, run), known):
        raise Unavailable(reason)


def _nearest(optimizer: Optimizer, run: RunSpec) -> Optimizer:
    """One that differs by definition is refused in runs; here its nearest settings give the
    difference a size."""
    bound = run.framework in optimizer.bindings and run.framework in optimizer.differs
    return (
        replace(optimizer, differs={}) if bound and run.optimizer.rule == "canonical" else optimizer
    )


def _inputs(
    run: RunSpec, optimizer: Optimizer, optimizers: Mapping[str, Optimizer] = {}
) -> RunInputs:
    """The run's inputs. Unavailable if its data have to be downloaded first."""
    try:
        return make_plan(run, optimizer, optimizers=optimizers)
    except UserError as error:
        raise Unavailable(str(error)) from None


def any_task(bias: bool = True) -> TaskSpec:
    """For RunSpecs of update rules, which only ask whether all parameters are matrices."""
    return bare_task("updates", Dense(units=1, bias=bias), batch_size=1)

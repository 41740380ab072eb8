"""JAX: models of Flax nnx layers, trained by Optax; read modes and session first. In bfloat16 runs
parameters, activations and state have that type; rates, running statistics and losses are float32.

`program`: compiled programs, by `functional` (jit, scan) or `module` (nnx). `layers`, `losses`,
`batches`, `optimizer` (with `pieces`, `hypers`, `groups`): its parts. `policy`: precision.
`population`: many runs at once, by `lanes`. `imported`, `making`, `extra`, `schedule_free`:
optimizers by import path, which `instance` steps by hand, as a `script` does. `profiling`: the
operators of a step.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gradrace.adapter import Differentials, LanesImpossible
from gradrace.adapters.jax import layers, losses, modes
from gradrace.adapters.jax import optimizer as optimizers
from gradrace.adapters.jax.batches import Noise, fed, keys
from gradrace.adapters.jax.instance import OptaxMaker, maker
from gradrace.adapters.jax.lanes import check_lanes, lane_of
from gradrace.adapters.jax.optimizer import Parameters, optimizer_of
from gradrace.adapters.jax.policy import accelerator, device_of, gpus, policy, precision
from gradrace.adapters.jax.population import JaxPopulation
from gradrace.adapters.jax.program import hashable
from gradrace.adapters.jax.session import JaxSession
from gradrace.binding import bind, unavailable
from gradrace.importpath import ImportPath
from gradrace.layers import BuiltLayer
from gradrace.objective import Objective, amounts, dropouts, metric_of, takes_integers, targets
from gradrace.optimizer import Optimizer
from gradrace.plan import RunInputs, Weights
from gradrace.spec import Dtype, RunSpec, TaskSpec

FRAMEWORK = "jax"
TITLE = "JAX/Flax/Optax"
REQUIRES = ("jax", "jaxlib", "flax", "optax")
MODES = ("jit", "scan", "nnx")
CONVERGENCE_MODE = "scan"
PROOF_MODES = ("jit", "scan")
LOOPED_MODES = ("scan",)
MEMORY_MIB = 200
# Measured on two cores of an AMD EPYC on 2026-11-27: medians of the suite `quick`.
FIRST_RUN_S = (0.5, 0.95, 2e-4)


class JaxAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK
    trains_groups = True

    def versions(self) -> dict[str, str]:
        return {package: importlib.metadata.version(package) for package in (*REQUIRES, "numpy")}

    def devices(self) -> tuple[str, ...]:
        return ("cpu", "gpu") if gpus() else ("cpu",)

    def accelerator(self) -> dict[str, str]:
        return accelerator()

    def policy(self, run: RunSpec) -> dict[str, str]:
        return policy(run)

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if run.mode not in MODES:
            return f"JAX has no mode {run.mode!r} (known: {', '.join(MODES)})"
        if run.device == "gpu" and not gpus():
            return "no GPU visible to JAX"
        return unavailable(run, optimizer)

    def open(self, run: RunSpec, start: Weights, inputs: RunInputs) -> JaxSession:
        return JaxSession(run, start, inputs)

    def lane_key(self, run: RunSpec, inputs: RunInputs) -> Hashable:
        if run.input == "pipeline":
            raise LanesImpossible("batches come from the host, one run at a time")
        if run.optimizer.groups:
            raise LanesImpossible("a run with parameter groups has several optimizers")
        if run.diagnose:
            raise LanesImpossible("norms are taken of one run at a time")
        try:
            with precision(run):
                lane = lane_of(run, inputs, inputs.learning_rates)
                check_lanes(lane)
        except ValueError as error:
            # By itself the run fails with the same words.
            raise LanesImpossible(str(error)) from error
        return lane.recipe, run.task.batch_size

    def open_population(
        self,
        runs: Sequence[RunSpec],
        starts: Sequence[Weights],
        inputs: Sequence[RunInputs],
        lanes: int,
    ) -> JaxPopulation:
        return JaxPopulation(runs, starts, inputs, lanes)

    def updates(
        self,
        run: RunSpec,
        optimizer: Optimizer,
        start: Weights,
        gradients: Sequence[Weights],
        rates: np.ndarray,
    ) -> list[Weights]:
        bound, device = bind(run, optimizer, rates), device_of(run.device)
        shapes = tuple((name, np.shape(value)) for name, value in start.items())

        def place(arrays: Weights) -> Parameters:
            return {
                name: jax.device_put(np.array(arrays[name], dtype=run.dtype), device)
                for name in start
            }

        with precision(run):
            recipe = optimizer_of(run, bound, shapes)
            numbers = optimizers.numbers(bound, recipe, run.dtype)
            rows = [numbers._replace(of_step=row) for row in numbers.of_step]
            compiled = optimizers.kept if hashable(recipe) else optimizers.compiled
            init, update = compiled(recipe)
            parameters = place(start)
            state, taken = init(parameters, rows[0]), list[Weights]()
            for step, given in enumerate(gradients):
                parameters, state = update(place(given), state, parameters, rows[step])
                taken.append({name: np.array(value) for name, value in parameters.items()})
        return taken

    def differentiate(
        self,
        layer: BuiltLayer,
        weights: Weights,
        x: np.ndarray,
        upstream: np.ndarray,
        training: bool,
        mask: np.ndarray | None = None,
        dtype: Dtype = "float64",
        mode: str | None = None,
    ) -> Differentials:
        drawn = (built for built in dropouts((layer,)) if not fed(built))
        noise = {built.name: keys(built, 0, range(1))[0] for built in drawn}
        noise |= {} if mask is None else {layer.name: mask}
        state = {p.name for p in layer.parameters if not p.trainable}

        def pulled(
            parameters: Parameters, x: jax.Array, statistics: Parameters, noise: Noise
        ) -> Any:
            outputs, moved = apply(parameters | statistics, x, training, noise)
            total = (outputs * jnp.asarray(upstream, dtype)).sum()
            return total, (outputs, statistics | dict(moved))

        with jax.enable_x64(dtype == "float64"):
            apply = layers.network((layer,), dtype, modes.MODES[mode or MODES[0]].looped)
            given = {name: jnp.asarray(value, dtype) for name, value in weights.items()}
            statistics = {name: given.pop(name) for name in state}
            integers = takes_integers((layer.layer,))
            samples = jnp.asarray(x, jnp.int32 if integers else dtype)
            slope = jax.jit(jax.grad(pulled, argnums=0 if integers else (0, 1), has_aux=True))
            gradients, (outputs, moved) = jax.device_get(slope(given, samples, statistics, noise))
        of_parameters, of_input = (gradients, None) if integers else gradients
        return Differentials(outputs, of_input, of_parameters, moved)

    def loss(
        self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64"
    ) -> tuple[float, np.ndarray]:
        objective, numbers = Objective.of(task), amounts(task, outputs.shape[-1])
        with jax.enable_x64(dtype == "float64"):
            labels = jnp.asarray(targets(task.loss, y, dtype, outputs.shape[1:]))
            slope = jax.jit(
                jax.value_and_grad(lambda given: losses.loss(objective, numbers, given, labels))
            )
            loss, gradient = jax.device_get(slope(jnp.asarray(outputs, dtype)))
        return float(loss), gradient

    def metric(
        self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64"
    ) -> float:
        objective, labels = Objective.of(task), targets(task.loss, y, dtype, outputs.shape[1:])
        loss = self.loss(task, outputs, y, dtype)[0]
        with jax.enable_x64(dtype == "float64"):
            total = losses.metric_total(objective, jnp.asarray(outputs, dtype), jnp.asarray(labels))
        return metric_of(objective, float(total), loss, labels)

    def maker(self, path: ImportPath, hyper: Mapping[str, Any]) -> OptaxMaker:
        """See gradrace.stepping.instance.CertifyingAdapter."""
        return maker(path, hyper)


ADAPTER = JaxAdapter()

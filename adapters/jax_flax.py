"""JAX: models of Flax nnx layers, trained by Optax.

Mode "jit" calls one compiled function a step, of arrays alone, as most JAX code does. Mode "scan"
compiles all the steps of a `train` call into one loop: the same updates without the cost of
calling. Mode "nnx" is what Flax teaches: an `nnx.Module` and an `nnx.Optimizer` that an
`nnx.jit`-compiled step changes in place.

bfloat16 is the type of parameters, activations and the optimizer's state; learning rates,
statistics of batch normalisation and losses stay float32.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import math
import os
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gradrace.adapter import Differentials, Metrics, Part
from gradrace.adapters import _flax_layers, _flax_objective, _optax_optimizer
from gradrace.adapters._jax_programs import (
    PARTS,
    Batch,
    Held,
    Noise,
    Programs,
    Recipe,
    Resident,
    Window,
    kept,
    traced,
)
from gradrace.adapters._optax_optimizer import Numbers, Parameters, Shapes, number_dtype
from gradrace.binding import Bound, bind, unavailable
from gradrace.data import Data
from gradrace.layers import BuiltLayer, Dropout, build
from gradrace.objective import (
    Objective,
    amounts,
    dropouts,
    metric_of,
    takes_integers,
    targets,
    without_amounts,
)
from gradrace.optimizer import Optimizer
from gradrace.plan import Plan, Weights, dropout_masks
from gradrace.spec import Dtype, RunSpec, TaskSpec

FRAMEWORK = "jax"
TITLE = "JAX/Flax/Optax"
REQUIRES = ("jax", "jaxlib", "flax", "optax")
MODES = ("jit", "scan", "nnx")
CONVERGENCE_MODE = "scan"
PROOF_MODES = ("jit", "scan")
LOOPED_MODES = ("scan",)

_CONFIG: Any = jax.config
_STAGED_BYTES = 64 * 2**20
_EVALUATED_ROWS = 4096


class _Staged(NamedTuple):
    """What these steps take, on the device. resident: None where the host feeds batches."""

    steps: range
    window: Window
    resident: Resident | None


class JaxSession:
    """Trains with compiled functions whose state (parameters, optimizer) is donated: updated in
    place (but for mode nnx).
    """

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        self._run, self._plan = run, plan
        self._objective = Objective.of(run.task)
        self._layers = build(run.task.model, run.task.input_shape)
        self._device = _device(run.device)
        self._dropouts = tuple(dropouts(self._layers))
        self._splits: dict[str, tuple[jax.Array, jax.Array]] = {}
        self._looped = run.mode in LOOPED_MODES
        # A loop is compiled for the length of what it is given, so that runs of any length share
        # it; nothing is left to be placed while a clock runs.
        self._by_chunk = self._looped and run.measure == "convergence"
        self._staged: _Staged | None = None
        self._still: Window | None = None
        self._losses: list[jax.Array] = []
        self._probed: list[jax.Array] = []
        self._twin: Held = None
        with _precision(run):
            self._take_rates(plan.learning_rates)
            parameters, statistics = jax.device_put(
                [self._arrays(start, kind) for kind in (True, False)], self._device
            )
            self._held = self._programs.open(parameters, statistics, self._first_numbers())
            if not self._by_chunk:
                self._stage_around(0)
            # Made ahead: every argument that comes from the host with a call would cost some
            # percent of a small step.
            counts = [] if self._looped else list(np.arange(self._room, dtype=np.int32))
            self._counts: list[jax.Array] = jax.device_put(counts, self._device)

    def train(self, steps: range) -> None:
        with _precision(self._run):
            self._held = self._take(self._programs.step, self._held, steps, self._losses)

    def gradients(self, step: int) -> Weights:
        with _precision(self._run):
            staged = self._place(range(step, step + 1))
            source = staged.resident or self._batch(self._plan.batches[step])
            found = jax.device_get(self._programs.gradients(self._held, staged.window, source))
        return self._canonical(
            found, [p.name for built in self._layers for p in built.parameters if p.trainable]
        )

    def probe(self, part: Part, steps: range) -> None:
        if part not in self.parts():
            raise ValueError(
                f"{part} cannot be timed apart in mode {self._run.mode} with"
                f" {self._run.optimizer.name}"
            )
        self._probed.clear()
        with _precision(self._run):
            if self._twin is None:
                staged, _ = next(self._pieces(steps))
                source = staged.resident or self._batch(self._plan.batches[staged.steps.start])
                self._twin = self._programs.twin(self._held, staged.window, source)
            self._twin = self._take(
                self._programs.parts[part], self._twin, steps, self._probed, part
            )

    def _take(
        self,
        program: Callable[..., Any],
        held: Held,
        steps: range,
        found: list[jax.Array],
        part: Part | None = None,
    ) -> Held:
        """Calls a program for these steps, once each, or in a looped mode once for all that are
        staged together.
        """
        for staged, some in self._pieces(steps):
            window, first = (
                (self._unmoving(staged) if part == "update" else staged.window),
                some.start - staged.steps.start,
            )
            rows = self._plan.batches[some.start : some.stop]
            if self._looped:
                source = None if part == "update" else staged.resident or self._batch(rows)
                held, losses = program(held, window, source, np.int32(first), len(some))
                found.append(losses)
                continue
            sources = (
                itertools.repeat(staged.resident)
                if staged.resident or part == "update"
                else map(self._batch, rows)
            )
            for t, source in zip(self._counts[first : first + len(some)], sources, strict=False):
                held, loss = program(held, window, source, t)
                found.append(loss)
        return held

    def _pieces(self, steps: range) -> Iterator[tuple[_Staged, range]]:
        """These steps in runs of those that are staged together."""
        first = steps.start
        while first < steps.stop:
            if self._by_chunk:
                staged = self._stage(range(first, min(steps.stop, first + self._room)))
            else:
                staged = self._stage_around(first)
            some = range(first, min(steps.stop, staged.steps.stop))
            yield staged, some
            first = some.stop

    def _batch(self, rows: np.ndarray) -> Batch:
        """These rows [..., batch] of the training split, from the host."""
        x, y = self._host
        return Batch(x[rows], y[rows])

    @cached_property
    def _room(self) -> int:
        """How many steps can be staged together: all, or as many as have masks of 64 MiB."""
        total = len(self._plan.batches)
        masks = (
            sum(math.prod(built.input_shape) for built in self._dropouts)
            * self._run.task.batch_size
        )
        return min(total, max(1, _STAGED_BYTES // masks)) if masks else total

    def _stage_around(self, wanted: int) -> _Staged:
        """Steps from `wanted` on, as many as there is room for.

        Always the same number, though that may begin before `wanted`: another shape would be
        compiled anew."""
        if self._staged and wanted in self._staged.steps:
            return self._staged
        first = min(wanted, len(self._plan.batches) - self._room)
        return self._stage(range(first, first + self._room))

    def _stage(self, steps: range) -> _Staged:
        if self._staged is None or self._staged.steps != steps:
            self._staged, self._still = self._place(steps), None
        return self._staged

    def _place(self, steps: range) -> _Staged:
        """Puts on the device what these steps take."""
        these = slice(steps.start, steps.stop)
        rows = None if self._fed else self._plan.batches[these].astype(np.int32)
        numbers = self._numbers._replace(of_step=self._numbers.of_step[these])
        given = numbers, rows, self._noise(steps), self._amounts
        numbers, rows, noise, found = jax.device_put(given, self._device)
        resident = None if rows is None else Resident(*self._resident("train"), rows)
        return _Staged(steps, Window(numbers, noise, found), resident)

    def _unmoving(self, staged: _Staged) -> Window:
        """What the staged steps take, with learning rates of 0."""
        if self._still is None:
            of_step = self._numbers.of_step[staged.steps.start : staged.steps.stop] * self._moving
            numbers = staged.window.numbers._replace(of_step=jax.device_put(of_step, self._device))
            self._still = staged.window._replace(numbers=numbers)
        return self._still

    def _noise(self, steps: range) -> dict[str, np.ndarray]:
        """[steps, ...] of each dropout layer: the harness's masks, or keys that Flax draws from."""
        seed, batch_size = self._plan.seed, self._run.task.batch_size
        return {
            built.name: (
                dropout_masks(built, seed, steps, batch_size)
                if _fed(built)
                else _keys(built, seed, steps)
            )
            for built in self._dropouts
        }

    @property
    def _fed(self) -> bool:
        return self._run.input == "pipeline"

    def sync(self) -> None:
        wait: Callable[[Any], Any] = jax.block_until_ready
        wait(self._held)
        if self._twin is not None:
            wait((self._twin, self._probed))

    def losses(self) -> np.ndarray:
        if self._looped:
            joined = np.concatenate([np.empty(0), *map(np.asarray, self._losses)])
        else:
            joined = np.array(jax.device_get(self._losses))
        self._losses.clear()
        return joined.astype(np.float64)

    def evaluate(self, split: str) -> Metrics:
        with _precision(self._run):
            x, y = self._resident(split)
            parts = [
                slice(first, first + _EVALUATED_ROWS) for first in range(0, len(y), _EVALUATED_ROWS)
            ]
            whole = len(parts) == 1
            evaluate = partial(self._programs.evaluate, self._held, self._amounts)
            found = [evaluate(*((x, y) if whole else (x[part], y[part]))) for part in parts]
            losses, totals = np.array(jax.device_get(found), dtype=np.float64).T
            rows = [len(range(len(y))[part]) for part in parts]
        loss = float(np.average(losses, weights=rows))
        return Metrics(loss, metric_of(self._objective, float(totals.sum()), loss, np.asarray(y)))

    def set_learning_rates(self, rates: np.ndarray) -> None:
        with _precision(self._run):
            self._take_rates(rates)
            self._held, self._twin = self._programs.adopt(self._held), None
            before, self._staged = self._staged, None
            if before and not self._by_chunk:
                self._stage(before.steps)

    def _take_rates(self, rates: np.ndarray) -> None:
        # A correction that only the new rates need is compiled in now.
        bound = bind(self._run, self._plan.optimizer, rates)
        optimizer = _recipe(self._run, bound, self._shapes)
        self._programs, self._amounts = _programs(self._run, optimizer)
        self._numbers = _optax_optimizer.numbers(bound, optimizer, self._run.dtype)
        # What a column is multiplied by where nothing is to move: the learning rates are its first,
        # and its last.
        self._moving = np.ones(optimizer.columns, self._numbers.of_step.dtype)
        self._moving[0] = 0.0
        if self._run.task.regularization.decay:
            of_step = self._numbers.of_step
            self._numbers = self._numbers._replace(
                of_step=np.column_stack([of_step, rates.astype(of_step.dtype)])
            )
            self._moving = np.append(self._moving, self._moving[:1])

    @property
    def _shapes(self) -> Shapes:
        return tuple(
            (p.name, p.shape) for built in self._layers for p in built.parameters if p.trainable
        )

    def _first_numbers(self) -> Numbers:
        return self._numbers._replace(of_step=self._numbers.of_step[0])

    def weights(self) -> Weights:
        present = self._programs.arrays(self._held)
        return self._canonical(
            present, [p.name for built in self._layers for p in built.parameters]
        )

    def _canonical(self, arrays: Mapping[str, Any], names: Iterable[str]) -> Weights:
        kind = None if self._run.dtype != "bfloat16" else np.float32
        return {name: np.array(arrays[name], dtype=kind) for name in names}

    def state_bytes(self) -> int | None:
        return sum(
            leaf.nbytes for leaf in jax.tree.leaves(self._programs.state(self._held)) if leaf.ndim
        )

    def compilations(self) -> int:
        return self._programs.compilations()

    def parts(self) -> tuple[Part, ...]:
        # What evaluates the loss on its way has no update apart from it.
        binding = self._plan.optimizer.bindings[self._run.framework]
        return () if binding.loss_asked_for(self._run.optimizer.rule) else PARTS

    def peak_bytes(self) -> int | None:
        # None on a CPU.
        counted = self._device.memory_stats()
        return int(counted["peak_bytes_in_use"]) if counted else None

    def close(self) -> None:
        self._held = self._twin = self._staged = self._still = None
        self._losses.clear()
        self._probed.clear()

    def _arrays(self, start: Weights, trainable: bool) -> Weights:
        """The parameters, or the statistics, in the types that they have on the device."""
        dtype = self._run.dtype if trainable else number_dtype(self._run.dtype)
        found = (
            p.name for built in self._layers for p in built.parameters if p.trainable == trainable
        )
        return {name: np.array(start[name], dtype=jnp.dtype(dtype)) for name in found}

    @cached_property
    def _host(self) -> tuple[np.ndarray, np.ndarray]:
        return self._host_split("train")

    def _host_split(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        task, dtype = self._run.task, self._run.dtype
        x = self._plan.data.shaped(split, task.input_shape)
        x = x.astype(np.int32 if takes_integers(task.model) else jnp.dtype(dtype))
        y = targets(
            task.loss,
            self._plan.data.splits[split].y,
            number_dtype(dtype),
            self._layers[-1].output_shape,
        )
        return x, y.astype(np.int32) if y.dtype == np.int64 else y

    def _resident(self, split: str) -> tuple[jax.Array, jax.Array]:
        """The whole split on the device, placed once a process."""
        if split not in self._splits:
            self._splits[split] = self._placed(split)
        return self._splits[split]

    def _placed(self, split: str) -> tuple[jax.Array, jax.Array]:
        data, task = self._plan.data, self._run.task
        samples = (task.input_shape, takes_integers(task.model), self._run.dtype)
        key = (id(data), split, samples, task.loss, self._layers[-1].output_shape, self._device)
        if key not in _RESIDENT:
            _RESIDENT[key] = (data, jax.device_put(self._host_split(split), self._device))
        return _RESIDENT[key][1]


# Data is kept beside its arrays, so that its id stays its own.
_RESIDENT: dict[tuple[Hashable, ...], tuple[Data, tuple[jax.Array, jax.Array]]] = {}


def _recipe(run: RunSpec, bound: Bound, shapes: Shapes) -> _optax_optimizer.Recipe:
    """Real hyperparameters are arguments of what trains for its results, so that it is compiled
    once for all of them, and constants of what is timed, as they are where somebody writes his
    training step."""
    free = run.measure == "convergence" and run.optimizer.rule == "canonical"
    return (
        _optax_optimizer.open_recipe(bound, shapes, run.dtype)
        if free
        else _optax_optimizer.recipe(bound)
    )


def _programs(
    run: RunSpec, optimizer: _optax_optimizer.Recipe
) -> tuple[Programs, dict[str, float]]:
    """Compiled code of earlier runs where there is some, and the task's numbers that it takes as
    arguments.

    Never for timing: its first step is to show compilation, and numbers are constants, as where
    somebody writes his own."""
    task, arguments = run.task, run.measure == "convergence"
    found = amounts(task, build(task.model, task.input_shape)[-1].output_shape[-1])
    constants = tuple((name, None if arguments else value) for name, value in found.items())
    model = without_amounts(task.model) if arguments else task.model
    recipe = Recipe(
        model, task.input_shape, Objective.of(task), constants, optimizer, run.dtype, run.mode
    )
    programs = kept(recipe) if run.measure != "timing" and _hashable(recipe) else traced(recipe)
    return programs, found if arguments else {}


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


class JaxAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK

    def versions(self) -> dict[str, str]:
        return {package: importlib.metadata.version(package) for package in (*REQUIRES, "numpy")}

    def devices(self) -> tuple[str, ...]:
        return ("cpu", "gpu") if _gpus() else ("cpu",)

    def policy(self, run: RunSpec) -> dict[str, str]:
        return {
            "jax_default_matmul_precision": str(_CONFIG.jax_default_matmul_precision),
            "jax_enable_x64": str(run.dtype == "float64"),
            "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
            "donate_argnums": (
                "none" if run.mode == "nnx" else "parameters, optimizer state, statistics"
            ),
        }

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if run.mode not in MODES:
            return f"JAX has no mode {run.mode!r} (known: {', '.join(MODES)})"
        if run.device == "gpu" and not _gpus():
            return "no GPU visible to JAX"
        return unavailable(run, optimizer)

    def open(self, run: RunSpec, start: Weights, plan: Plan) -> JaxSession:
        return JaxSession(run, start, plan)

    def updates(
        self,
        run: RunSpec,
        optimizer: Optimizer,
        start: Weights,
        gradients: Sequence[Weights],
        rates: np.ndarray,
    ) -> list[Weights]:
        bound, device = bind(run, optimizer, rates), _device(run.device)
        shapes = tuple((name, np.shape(value)) for name, value in start.items())

        def place(arrays: Weights) -> Parameters:
            return {
                name: jax.device_put(np.array(arrays[name], dtype=run.dtype), device)
                for name in start
            }

        with _precision(run):
            recipe = _recipe(run, bound, shapes)
            numbers = _optax_optimizer.numbers(bound, recipe, run.dtype)
            rows = [numbers._replace(of_step=row) for row in numbers.of_step]
            init, update = (
                _optax_optimizer.kept if _hashable(recipe) else _optax_optimizer.compiled
            )(recipe)
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
        if mask is None:
            noise = {
                built.name: _keys(built, 0, range(1))[0]
                for built in dropouts((layer,))
                if not _fed(built)
            }
        else:
            noise = {layer.name: mask}
        state = {p.name for p in layer.parameters if not p.trainable}

        def pulled(
            parameters: Parameters, x: jax.Array, statistics: Parameters, noise: Noise
        ) -> Any:
            outputs, moved = apply(parameters | statistics, x, training, noise)
            return (outputs * jnp.asarray(upstream, dtype)).sum(), (
                outputs,
                statistics | dict(moved),
            )

        with jax.enable_x64(dtype == "float64"):
            apply = _flax_layers.network((layer,), dtype, mode or MODES[0])
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
                jax.value_and_grad(
                    lambda given: _flax_objective.loss(objective, numbers, given, labels)
                )
            )
            loss, gradient = jax.device_get(slope(jnp.asarray(outputs, dtype)))
        return float(loss), gradient

    def metric(
        self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64"
    ) -> float:
        objective, labels = Objective.of(task), targets(task.loss, y, dtype, outputs.shape[1:])
        loss = self.loss(task, outputs, y, dtype)[0]
        with jax.enable_x64(dtype == "float64"):
            total = _flax_objective.metric_total(
                objective, jnp.asarray(outputs, dtype), jnp.asarray(labels)
            )
        return metric_of(objective, float(total), loss, labels)


ADAPTER = JaxAdapter()


def _fed(built: BuiltLayer) -> bool:
    return isinstance(built.layer, Dropout) and built.layer.masks == "harness"


def _keys(built: BuiltLayer, seed: int, steps: Iterable[int]) -> np.ndarray:
    """uint32[steps, 2]: keys of the random numbers that a dropout layer draws itself."""
    name = zlib.crc32(built.name.encode())
    return np.stack(
        [np.random.SeedSequence([seed, name, step]).generate_state(2) for step in steps]
    )


def _precision(run: RunSpec) -> AbstractContextManager[Any]:
    """float64 needs 64-bit types; elsewhere they are off, as they change Optax's bias corrections
    of float32.
    """
    wanted = run.dtype == "float64"
    # A setting of the thread's own is compared at every call of a compiled function, 2% of a small
    # step.
    return nullcontext() if _CONFIG.jax_enable_x64 == wanted else jax.enable_x64(wanted)


def _gpus() -> list[jax.Device]:
    try:
        return jax.devices("gpu")
    except RuntimeError:
        return []


def _device(kind: str) -> jax.Device:
    return jax.devices(kind)[0]

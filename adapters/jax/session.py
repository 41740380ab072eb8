"""One model and its optimizer, trained by compiled functions in one of the modes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gradrace.adapter import Metrics, Part
from gradrace.adapters.jax.batches import Batch, Resident, Stage, Staged
from gradrace.adapters.jax.groups import AnyRecipe, recipe_of
from gradrace.adapters.jax.modes import MODES, kept, traced
from gradrace.adapters.jax.optimizer import OptimizerNumbers, Shapes, needs_loss, number_dtype
from gradrace.adapters.jax.policy import device_of, precision
from gradrace.adapters.jax.program import PARTS, Held, ProgramRecipe, Programs, hashable
from gradrace.adapters.large_data import pieces, rows_at_once
from gradrace.layers import build
from gradrace.objective import Objective, amounts, metric_of, without_amounts
from gradrace.plan import RunInputs, Weights
from gradrace.spec import RunSpec

# Splits are evaluated at most this many rows at a time, to bound the memory.
_EVALUATED_ROWS = 4096


class JaxSession:
    """Parameters and optimizer state are donated, so updated in place, but for mode nnx."""

    def __init__(self, run: RunSpec, start: Weights, inputs: RunInputs) -> None:
        self._run, self._inputs = run, inputs
        self._objective = Objective.of(run.task)
        self._layers = build(run.task.model, run.task.input_shape)
        self._device, self._looped = device_of(run.device), MODES[run.mode].looped
        # A loop is compiled for its length: by chunk, runs of any length share it. A clock wants
        # everything placed before it runs.
        by_chunk = self._looped and run.measure == "convergence"
        self._stage = Stage(run, inputs, self._layers, self._device, by_chunk)
        self._losses: list[jax.Array] = []
        self._probed: list[jax.Array] = []
        self._twin: Held = None
        with precision(run):
            first = self._take_rates(inputs.learning_rates)
            arrays = [self._arrays(start, trainable) for trainable in (True, False)]
            parameters, statistics = jax.device_put(arrays, self._device)
            self._held = self._programs.open(parameters, statistics, first)
            if not by_chunk:
                self._stage.around(0)
            # Made ahead: an argument from the host costs some percent of a small step.
            counts = list(np.arange(1 if by_chunk else self._stage.room, dtype=np.int32))
            self._counts: list[jax.Array] = jax.device_put(counts, self._device)

    def train(self, steps: range) -> None:
        with precision(self._run):
            self._held = self._take(self._programs.step, self._held, steps, self._losses)

    def gradients(self, step: int) -> Weights:
        with precision(self._run):
            staged = self._stage.place(range(step, step + 1))
            found = self._programs.gradients(self._held, staged.window, self._source(staged, step))
            return self._canonical(jax.device_get(found), self._names(trainable=True))

    def probe(self, part: Part, steps: range) -> None:
        if part not in self.parts():
            how = f"mode {self._run.mode} with {self._run.optimizer.name}"
            raise ValueError(f"{part} cannot be timed apart in {how}")
        self._probed.clear()
        with precision(self._run):
            if self._twin is None:
                staged, _ = next(self._stage.pieces(steps))
                source = self._source(staged, staged.steps.start)
                self._twin = self._programs.twin(self._held, staged.window, source)
            program = self._programs.parts[part]
            self._twin = self._take(program, self._twin, steps, self._probed, part)

    def _source(self, staged: Staged, step: int) -> Resident | Batch:
        return staged.resident or self._stage.batch(self._inputs.batches[step])

    def _take(
        self,
        program: Callable[..., Any],
        held: Held,
        steps: range,
        found: list[jax.Array],
        part: Part | None = None,
    ) -> Held:
        """Calls a program once a step, or in a looped mode once for all steps staged together."""
        update, batch = part == "update", self._stage.batch
        for staged, some in self._stage.pieces(steps):
            window = self._stage.still(staged) if update else staged.window
            first = some.start - staged.steps.start
            rows = self._inputs.batches[some.start : some.stop]
            if self._looped:
                whole = None if update else staged.resident or batch(rows)
                held, losses = program(held, window, whole, self._counts[first], len(some))
                if some.start > steps.start and isinstance(whole, Batch):
                    # Else the batches of all pieces would wait in memory.
                    jax.block_until_ready(found[-1])
                found.append(losses)
                continue
            fixed = staged.resident or update
            sources = itertools.repeat(staged.resident) if fixed else map(batch, rows)
            for t, source in zip(self._counts[first : first + len(some)], sources, strict=False):
                held, loss = program(held, window, source, t)
                found.append(loss)
        return held

    def sync(self) -> None:
        wait: Callable[[Any], Any] = jax.block_until_ready
        wait(self._held)
        if self._twin is not None:
            wait((self._twin, self._probed))

    def losses(self) -> np.ndarray:
        if self._looped:
            found = [np.asarray(each) for each in self._losses]
            joined = found[0] if len(found) == 1 else np.concatenate([np.empty(0), *found])
        else:
            joined = np.array(jax.device_get(self._losses))
        self._losses.clear()
        return joined.astype(np.float64)

    def evaluate(self, split: str) -> Metrics:
        with precision(self._run):
            x, y = self._stage.split(split)
            entry = jnp.dtype(self._run.dtype).itemsize
            parts = pieces(len(y), rows_at_once(self._layers, _EVALUATED_ROWS, entry))
            evaluate = partial(self._programs.evaluate, self._held, self._amounts)
            whole = len(parts) == 1
            # Fetched at once: slices of a whole split must not wait in memory.
            found = [
                jax.device_get(evaluate(*((x, y) if whole else (x[part], y[part]))))
                for part in parts
            ]
            losses, totals = np.array(found, dtype=np.float64).T
        rows = [len(range(len(y))[part]) for part in parts]
        loss = float(np.average(losses, weights=rows))
        return Metrics(loss, metric_of(self._objective, float(totals.sum()), loss, np.asarray(y)))

    def set_learning_rates(self, rates: np.ndarray) -> None:
        with precision(self._run):
            self._take_rates(rates)
            self._held, self._twin = self._programs.adopt(self._held), None

    def _take_rates(self, rates: np.ndarray) -> OptimizerNumbers:
        """Gives the first step's numbers. Compiles in a correction that only these rates need."""
        optimizer, numbers = recipe_of(self._run, self._inputs, rates, self._shapes)
        self._optimizer = optimizer
        self._programs, self._amounts = _programs(self._run, optimizer)
        of_step = numbers.of_step
        # 0 stands for learning rates: the optimizers' own, and the last column if kernels decay.
        moving = np.ones(optimizer.columns, of_step.dtype)
        moving[list(optimizer.rates)] = 0.0
        if self._run.task.regularization.decay:
            of_step = np.column_stack([of_step, rates.astype(of_step.dtype)])
            moving = np.append(moving, moving[:1])
        self._stage.use(numbers._replace(of_step=of_step), moving, self._amounts)
        return numbers._replace(of_step=of_step[0])

    @property
    def _shapes(self) -> Shapes:
        own = (p for built in self._layers for p in built.parameters if p.trainable)
        return tuple((p.name, p.shape) for p in own)

    def weights(self) -> Weights:
        names = [p.name for built in self._layers for p in built.parameters]
        return self._canonical(self._programs.arrays(self._held), names)

    def _names(self, trainable: bool) -> list[str]:
        own = (p for built in self._layers for p in built.parameters)
        return [p.name for p in own if p.trainable == trainable]

    def _canonical(self, arrays: Mapping[str, Any], names: Iterable[str]) -> Weights:
        kind = None if self._run.dtype != "bfloat16" else np.float32
        return {name: np.array(arrays[name], dtype=kind) for name in names}

    def _arrays(self, start: Weights, trainable: bool) -> Weights:
        """The parameters, or the statistics, in the types that they have on the device."""
        dtype = self._run.dtype if trainable else number_dtype(self._run.dtype)
        return {n: np.array(start[n], dtype=jnp.dtype(dtype)) for n in self._names(trainable)}

    def state_bytes(self) -> int | None:
        leaves = jax.tree.leaves(self._programs.state(self._held))
        return sum(leaf.nbytes for leaf in leaves if leaf.ndim)

    def compilations(self) -> int:
        return self._programs.compilations()

    def parts(self) -> tuple[Part, ...]:
        # An optimizer that evaluates the loss on its way has no update apart from it.
        binding = self._inputs.optimizer.bindings[self._run.framework]
        asked = binding.loss_asked_for(self._run.optimizer.rule)
        return () if asked or self._asks_for_loss() else PARTS

    def _asks_for_loss(self) -> bool:
        """Of an optimizer by import path nobody says so: it is tried."""
        if self._run.optimizer.rule != "native":
            return False
        with precision(self._run):
            return needs_loss(self._optimizer, self._shapes, self._run.dtype)

    def peak_bytes(self) -> int | None:
        # None on a CPU.
        counted = self._device.memory_stats()
        return int(counted["peak_bytes_in_use"]) if counted else None

    def close(self) -> None:
        self._held = self._twin = None
        self._stage.clear()
        self._losses.clear()
        self._probed.clear()


def _programs(run: RunSpec, optimizer: AnyRecipe) -> tuple[Programs, dict[str, float]]:
    """Compiled code, an earlier run's if there is some, and the task's numbers that it takes.

    A timing run compiles its own: its first step shows compilation, and numbers are constants, as
    in anybody's own step.
    """
    task, arguments = run.task, run.measure == "convergence"
    found = amounts(task, build(task.model, task.input_shape)[-1].output_shape[-1])
    constants = tuple((name, None if arguments else value) for name, value in found.items())
    model = without_amounts(task.model) if arguments else task.model
    objective = Objective.of(task)
    recipe = ProgramRecipe(
        model, task.input_shape, objective, constants, optimizer, run.dtype, run.mode
    )
    programs = kept(recipe) if run.measure != "timing" and hashable(recipe) else traced(recipe)
    return programs, found if arguments else {}

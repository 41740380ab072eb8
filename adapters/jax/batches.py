"""Batches, dropout's masks or keys, and the optimizer's numbers, placed on the device in time."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gradrace.adapters.jax.optimizer import OptimizerNumbers, number_dtype
from gradrace.adapters.large_data import GATHERED_BYTES, Placed, Placing, aligned, fixed
from gradrace.layers import BuiltLayer, Dropout
from gradrace.objective import Amounts, dropouts, takes_integers, targets
from gradrace.plan import RunInputs, dropout_masks
from gradrace.spec import RunSpec

# Masks or keys by dropout layer.
Noise = dict[str, jax.Array]

_STAGED_BYTES = 64 * 2**20


class Resident(NamedTuple):
    """A split on the device, x[n, *input_shape] and y[n, ...]; steps take rows[steps, batch]."""

    x: jax.Array
    y: jax.Array
    rows: jax.Array


class Batch(NamedTuple):
    """One step's x[batch, *input_shape] and y[batch, ...] from the host; for a loop all steps'."""

    x: Any
    y: Any


class Window(NamedTuple):
    """The other inputs of some steps.

    numbers: of_step is [steps, k] as of `optimizer.tables`; if kernels decay, the planned learning
    rate is a last column. noise: each dropout layer's [steps, ...]. amounts: the task's, if they
    are no constants.
    """

    numbers: OptimizerNumbers
    noise: Noise
    amounts: Amounts


class Staged(NamedTuple):
    """The inputs of these steps, on the device. resident: None if the host feeds batches."""

    steps: range
    window: Window
    resident: Resident | None


def batch_at(source: Resident | Batch, t: Any) -> Batch:
    """The batch of step t."""
    if isinstance(source, Batch):
        return source
    rows = _at(source.rows, t)
    return Batch(source.x[rows], source.y[rows])


def numbers_at(window: Window, t: Any) -> tuple[OptimizerNumbers, Noise]:
    """The rest of step t's inputs."""
    numbers = window.numbers._replace(of_step=_at(window.numbers.of_step, t))
    return numbers, {name: _at(table, t) for name, table in window.noise.items()}


def _at(table: jax.Array, t: Any) -> jax.Array:
    found: jax.Array = jax.lax.dynamic_index_in_dim(table, t, keepdims=False)
    return found


class Stage:
    """Puts a run's inputs on the device, as many steps at a time as there is room for.

    by_chunk: exactly the steps that are asked for; else windows of one length. `use` comes first.
    """

    def __init__(
        self,
        run: RunSpec,
        inputs: RunInputs,
        layers: Sequence[BuiltLayer],
        device: jax.Device,
        by_chunk: bool,
    ) -> None:
        self._run, self._inputs, self._device, self._by_chunk = run, inputs, device, by_chunk
        self._output_shape, self._dropouts = layers[-1].output_shape, tuple(dropouts(layers))
        self._splits: dict[str, Placed[tuple[jax.Array, jax.Array]]] = {}
        self._staged: Staged | None = None
        self._still: Window | None = None

    def use(self, numbers: OptimizerNumbers, moving: np.ndarray, amounts: Amounts) -> None:
        """From now on, a whole run's numbers. moving: 0 for columns that are learning rates."""
        self._of_step, self._moving = np.asarray(numbers.of_step), moving
        self._constant = jax.device_put((numbers.of_run, amounts), self._device)
        before, self._staged = self._staged, None
        if before and not self._by_chunk:
            self._stage(before.steps)

    def pieces(self, steps: range) -> Iterator[tuple[Staged, range]]:
        """These steps in runs of those that are staged together."""
        first = steps.start
        while first < steps.stop:
            wanted = range(first, min(steps.stop, first + self.room))
            staged = self._stage(wanted) if self._by_chunk else self.around(first)
            some = range(first, min(steps.stop, staged.steps.stop))
            yield staged, some
            first = some.stop

    def around(self, wanted: int) -> Staged:
        """Steps from `wanted` on, always as many as there is room for: another number would be
        compiled anew. So they may begin before `wanted`."""
        if self._staged and wanted in self._staged.steps:
            return self._staged
        first = min(wanted, len(self._inputs.batches) - self.room)
        return self._stage(range(first, first + self.room))

    def place(self, steps: range) -> Staged:
        """Puts these steps' inputs on the device; chunks' tables stay on the host until the call,
        because a compiled function takes NumPy's arrays over sooner than `device_put` does."""
        these = slice(steps.start, steps.stop)
        rows = None
        if self._run.input != "pipeline":
            rows = self._inputs.batches[these].astype(np.int32)
        given: Any = self._of_step[these], rows, self._noise(steps)
        of_step, rows, noise = given if self._by_chunk else jax.device_put(given, self._device)
        resident = None if rows is None else Resident(*self.split("train"), rows)
        of_run, amounts = self._constant
        return Staged(steps, Window(OptimizerNumbers(of_step, of_run), noise, amounts), resident)

    def still(self, staged: Staged) -> Window:
        """The staged steps' inputs with learning rates of 0."""
        if self._still is None:
            of_step = self._of_step[staged.steps.start : staged.steps.stop] * self._moving
            numbers = staged.window.numbers._replace(of_step=jax.device_put(of_step, self._device))
            self._still = staged.window._replace(numbers=numbers)
        return self._still

    def clear(self) -> None:
        """Frees the staged inputs, and the splits for another data set to come."""
        self._staged = self._still = None
        self._splits.clear()
        self.__dict__.pop("_host", None)

    def batch(self, rows: np.ndarray) -> Batch:
        """These rows [..., batch] of the training split, from the host."""
        x, y = self._host
        return Batch(x[rows], y[rows])

    def split(self, name: str) -> tuple[jax.Array, jax.Array]:
        """The whole split on the device, placed once a process."""
        if name not in self._splits:
            self._splits[name] = self._placed(name)
        return self._splits[name].value

    @cached_property
    def room(self) -> int:
        """How many steps can be staged together: all, or as many as have masks of 64 MiB, and in a
        chunk batches of 16 MiB if the host hands them over."""
        total, batch = len(self._inputs.batches), self._run.task.batch_size
        masks = batch * sum(math.prod(built.input_shape) for built in self._dropouts)
        most = max(1, _STAGED_BYTES // masks) if masks else total
        if self._by_chunk and self._run.input == "pipeline":
            of_step = batch * sum(part[:1].nbytes for part in self._host)
            most = min(most, max(1, GATHERED_BYTES // of_step))
        return min(total, most)

    def _stage(self, steps: range) -> Staged:
        if self._staged is None or self._staged.steps != steps:
            self._staged, self._still = self.place(steps), None
        return self._staged

    def _noise(self, steps: range) -> dict[str, np.ndarray]:
        """[steps, ...] of each dropout layer: the harness's masks, or keys that Flax draws from."""
        seed, size = self._inputs.seed, self._run.task.batch_size
        return {
            built.name: (
                dropout_masks(built, seed, steps, size) if fed(built) else keys(built, seed, steps)
            )
            for built in self._dropouts
        }

    @cached_property
    def _host(self) -> tuple[np.ndarray, np.ndarray]:
        return self._host_split("train")

    def _host_split(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        task, dtype, data = self._run.task, self._run.dtype, self._inputs.data
        x = data.shaped(split, task.input_shape)
        kind = np.dtype(np.int32 if takes_integers(task.model) else jnp.dtype(dtype))
        # A CPU's device takes this memory over.
        x = x if x.dtype == kind and fixed(x) else aligned(x, kind)
        y = targets(task.loss, data.splits[split].y, number_dtype(dtype), self._output_shape)
        return np.asarray(x), y.astype(np.int32) if y.dtype == np.int64 else np.array(y)

    def _placed(self, split: str) -> Placed[tuple[jax.Array, jax.Array]]:
        task = self._run.task
        samples = (task.input_shape, takes_integers(task.model), self._run.dtype)
        key = (split, samples, task.loss, self._output_shape, self._device)

        def make() -> tuple[jax.Array, jax.Array]:
            found: tuple[jax.Array, jax.Array] = jax.device_put(
                self._host_split(split), self._device
            )
            return found

        return _PLACING.placed(self._inputs.data, key, make)


_PLACING = Placing[tuple[jax.Array, jax.Array]]()


def fed(built: BuiltLayer) -> bool:
    """Whether the harness draws this layer's masks."""
    return isinstance(built.layer, Dropout) and built.layer.masks == "harness"


def keys(built: BuiltLayer, seed: int, steps: Iterable[int]) -> np.ndarray:
    """uint32[steps, 2]: keys of the random numbers that a dropout layer draws itself."""
    name = zlib.crc32(built.name.encode())
    sequences = (np.random.SeedSequence([seed, name, step]) for step in steps)
    return np.stack([sequence.generate_state(2) for sequence in sequences])

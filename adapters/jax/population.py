"""Many runs of one shape in one compiled loop, a lane each; see lanes for its programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from gradrace.adapter import Metrics
from gradrace.adapters.jax.batches import Resident, Stage, Window, fed, keys
from gradrace.adapters.jax.lanes import Lane, kept, lane_of, weakly
from gradrace.adapters.jax.optimizer import OptimizerNumbers, number_dtype
from gradrace.adapters.jax.policy import device_of, precision
from gradrace.adapters.large_data import pieces
from gradrace.layers import BuiltLayer, build
from gradrace.objective import Objective, dropouts, metric_of
from gradrace.plan import RunInputs, Weights, dropout_masks
from gradrace.spec import RunSpec

# Of the inputs of all lanes that lie on the device together.
_STAGED_BYTES = 64 * 2**20
# Of the largest array in an evaluation, which takes so many rows of a split at a time.
_EVALUATED_BYTES = 256 * 2**20
_EVALUATED_ROWS = 4096


class JaxPopulation:
    """See gradrace.adapter.Population. Arrays on the device have a leading axis of lanes, and are
    updated in place."""

    def __init__(
        self,
        runs: Sequence[RunSpec],
        starts: Sequence[Weights],
        inputs: Sequence[RunInputs],
        lanes: int,
    ) -> None:
        self._run, self._runs, self._inputs, self._lanes = runs[0], runs, inputs, lanes
        self._objective = Objective.of(self._run.task)
        self._layers = build(self._run.task.model, self._run.task.input_shape)
        self._device = device_of(self._run.device)
        self._losses: list[jax.Array] = []
        self._fetched: Weights | None = None
        with _memory_errors(), precision(self._run):
            found = [
                lane_of(run, own, own.learning_rates) for run, own in zip(runs, inputs, strict=True)
            ]
            self._programs = kept(found[0].recipe, lanes)
            self._stage = _LaneStage(runs, inputs, found, lanes, self._device)
            arrays = [self._stacked(starts, trainable) for trainable in (True, False)]
            parameters, statistics = jax.device_put(arrays, self._device)
            self._held = self._programs.open(parameters, statistics, self._stage.first())

    def train(self, steps: range) -> None:
        self._fetched = None
        with _memory_errors(), precision(self._run):
            for window, source in self._stage.pieces(steps):
                self._held, losses = self._programs.train(self._held, window, source)
                self._losses.append(losses)

    def sync(self) -> None:
        wait: Any = jax.block_until_ready
        with _memory_errors():
            wait((self._held, self._losses))

    def losses(self) -> np.ndarray:
        with _memory_errors():
            found = jax.device_get(self._losses)
        self._losses.clear()
        joined = np.concatenate([np.empty((0, self._lanes)), *found])
        return np.ascontiguousarray(joined[:, : len(self._runs)].T, dtype=np.float64)

    def evaluate(self, split: str) -> list[Metrics]:
        with _memory_errors(), precision(self._run):
            x, y = self._stage.split(split)
            most = _rows_at_once(self._layers, self._run, self._lanes)
            parts = pieces(len(y), most)
            amounts, evaluate = self._stage.amounts, self._programs.evaluate
            # Fetched at once: slices of a whole split must not wait in memory.
            found = [
                jax.device_get(evaluate(self._held, amounts, x[part], y[part])) for part in parts
            ]
            losses, totals = np.moveaxis(np.array(found, dtype=np.float64), 1, 0)
        rows = [len(range(len(y))[part]) for part in parts]
        loss: Any = np.average(losses, axis=0, weights=rows)[: len(self._runs)]
        total: Any = totals.sum(axis=0)[: len(self._runs)]
        metric: Any = metric_of(self._objective, total, loss, np.asarray(y))
        return [Metrics(*each) for each in zip(loss.tolist(), metric.tolist(), strict=True)]

    def set_learning_rates(self, lane: int, rates: np.ndarray) -> None:
        with precision(self._run):
            self._stage.use(lane, lane_of(self._runs[lane], self._inputs[lane], rates).numbers)

    def weights(self, lane: int) -> Weights:
        if self._fetched is None:
            # Of all lanes at once: a call for every lane would cost more than the copies.
            with _memory_errors():
                arrays = jax.device_get({**self._held[0], **self._held[2]})
            kind = None if self._run.dtype != "bfloat16" else np.float32
            names = [p.name for built in self._layers for p in built.parameters]
            self._fetched = {name: np.array(arrays[name], dtype=kind) for name in names}
        return {name: value[lane].copy() for name, value in self._fetched.items()}

    def state_bytes(self) -> int | None:
        leaves = jax.tree.leaves(self._held[1])
        return sum(leaf.nbytes // self._lanes for leaf in leaves if leaf.ndim > 1)

    def close(self) -> None:
        self._held = self._fetched = None
        self._stage.clear()
        self._losses.clear()

    def _stacked(self, starts: Sequence[Weights], trainable: bool) -> dict[str, np.ndarray]:
        """The parameters, or the statistics, in the types that they have on the device."""
        dtype = jax.numpy.dtype(self._run.dtype if trainable else number_dtype(self._run.dtype))
        own = [p for built in self._layers for p in built.parameters if p.trainable == trainable]
        return {
            p.name: _filled([start[p.name].astype(dtype) for start in starts], self._lanes)
            for p in own
        }


class _LaneStage:
    """Puts the inputs of all lanes on the device, as many steps at a time as there is room for."""

    def __init__(
        self,
        runs: Sequence[RunSpec],
        inputs: Sequence[RunInputs],
        found: Sequence[Lane],
        lanes: int,
        device: jax.Device,
    ) -> None:
        self._inputs, self._lanes, self._device = inputs, lanes, device
        run, tasks = runs[0], [run.task for run in runs]
        self._size, layers = run.task.batch_size, build(run.task.model, run.task.input_shape)
        # Each run's own: their rates may differ, and the masks with them.
        self._dropouts = [dropouts(build(task.model, task.input_shape)) for task in tasks]
        self._splits = Stage(run, inputs[0], layers, device, by_chunk=True)
        self.split = self._splits.split
        # Fields of one run after another -> each field of all runs.
        of_run = zip(*(lane.numbers.of_run for lane in found), strict=True)
        self._of_run = [self._scalars(each, run.dtype) for each in of_run]
        self.amounts = {
            name: self._scalars([lane.amounts[name] for lane in found], run.dtype)
            for name in found[0].amounts
        }
        self._of_step = [lane.numbers.of_step for lane in found]

    def first(self) -> OptimizerNumbers:
        """The first step's, of_step [lanes, k]."""
        of_step = _filled([table[0] for table in self._of_step], self._lanes)
        return OptimizerNumbers(jax.device_put(of_step, self._device), self._of_run)

    def use(self, lane: int, numbers: OptimizerNumbers) -> None:
        """From now on, one run's whole table."""
        self._of_step[lane] = numbers.of_step

    def pieces(self, steps: range) -> Iterator[tuple[Window, Resident]]:
        """These steps' inputs, in pieces of one length or nearly: each is compiled for its own."""
        count = -(-len(steps) // self._room())
        for part in np.array_split(np.asarray(steps), count):
            yield self._placed(range(int(part[0]), int(part[-1]) + 1))

    def clear(self) -> None:
        """Frees what lies on the device for this population alone."""
        self._of_run, self.amounts = [], {}
        self._splits.clear()

    def _placed(self, steps: range) -> tuple[Window, Resident]:
        these = slice(steps.start, steps.stop)
        rows = self._tables([own.batches[these].astype(np.int32) for own in self._inputs])
        of_step = self._tables([table[these] for table in self._of_step])
        noise = {
            of_runs[0].name: self._tables(
                [
                    self._noise(built, own, steps)
                    for built, own in zip(of_runs, self._inputs, strict=True)
                ]
            )
            for of_runs in zip(*self._dropouts, strict=True)
        }
        rows, of_step, noise = jax.device_put((rows, of_step, noise), self._device)
        numbers = OptimizerNumbers(of_step, self._of_run)
        return Window(numbers, noise, self.amounts), Resident(*self.split("train"), rows)

    def _noise(self, built: BuiltLayer, inputs: RunInputs, steps: range) -> np.ndarray:
        """[steps, ...]: the harness's masks, or keys that Flax draws from."""
        if fed(built):
            return dropout_masks(built, inputs.seed, steps, self._size)
        return keys(built, inputs.seed, steps)

    def _tables(self, of_runs: Sequence[np.ndarray]) -> np.ndarray:
        """[steps, ...] of each run -> [steps, lanes, ...]."""
        return np.stack([*of_runs, *[of_runs[0]] * (self._lanes - len(of_runs))], axis=1)

    def _scalars(self, of_runs: Sequence[float], dtype: str) -> jax.Array:
        return jax.device_put(weakly(_filled(of_runs, self._lanes), dtype), self._device)

    def _room(self) -> int:
        """How many steps can be staged together."""
        masked = (built for built in self._dropouts[0] if fed(built))
        masks = sum(math.prod(built.input_shape) for built in masked) * self._size
        numbers = self._of_step[0][0].nbytes + 4 * self._size
        return max(1, _STAGED_BYTES // ((masks + numbers) * self._lanes))


def _filled(of_runs: Sequence[Any], lanes: int) -> np.ndarray:
    """[lanes, ...]: free lanes train the first run once more, and nobody reads them."""
    return np.stack([*of_runs, *[of_runs[0]] * (lanes - len(of_runs))])


def _rows_at_once(layers: Sequence[BuiltLayer], run: RunSpec, lanes: int) -> int:
    """As many as there is room for; a training batch has room in any case."""
    widest = max(_width(built) for built in layers) * lanes * jax.numpy.dtype(run.dtype).itemsize
    return min(_EVALUATED_ROWS, max(run.task.batch_size, _EVALUATED_BYTES // widest))


def _width(built: BuiltLayer) -> int:
    """How many numbers of a sample lie in a layer together; windows of images are copied out."""
    window = getattr(built.layer, "kernel", 1) if len(built.input_shape) == 3 else 1
    return max(math.prod(built.input_shape) * window**2, math.prod(built.output_shape))


@contextmanager
def _memory_errors() -> Iterator[None]:
    """MemoryError, as the harness knows it, if XLA says that the device's memory is exhausted."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise MemoryError(str(error).splitlines()[0]) from error

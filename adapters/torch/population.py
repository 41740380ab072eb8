"""Runs of one shape trained side by side, a lane each; see gradrace.adapter.Population.

The sum of the lanes' losses, differentiated once, gives every lane its own gradient.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from gradrace.adapter import Metrics
from gradrace.adapters.large_data import Placed, rows_at_once
from gradrace.adapters.torch import batches, lane_losses, lane_trials
from gradrace.adapters.torch.lane_network import LaneNetwork
from gradrace.adapters.torch.lane_stacked import Stacked
from gradrace.adapters.torch.lane_updates import LaneUpdate, OneByOne
from gradrace.adapters.torch.layers import to_torch
from gradrace.adapters.torch.policy import DTYPES, prepare
from gradrace.adapters.torch.session import OUTPUTS_HELD
from gradrace.layers import build
from gradrace.objective import Objective, amounts, fed_dropouts, metric_of, scale_of
from gradrace.plan import RunInputs, Weights, dropout_masks
from gradrace.spec import RunSpec
from torch import Tensor

# An evaluation takes so many samples of all lanes together at a time, to bound the memory.
_EVALUATED_AT_ONCE = 65536


@contextmanager
def memory_errors() -> Iterator[None]:
    """A MemoryError if torch cannot get the memory that something inside needs."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        # A CPU has no class of its own for it.
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise MemoryError(str(error)) from error


class TorchPopulation:
    """See gradrace.adapter.Population. Free lanes repeat the first run."""

    def __init__(
        self,
        runs: Sequence[RunSpec],
        starts: Sequence[Weights],
        inputs: Sequence[RunInputs],
        lanes: int,
    ) -> None:
        self._count, spare = len(runs), lanes - len(runs)
        self._runs = [*runs, *[runs[0]] * spare]
        self._inputs = [*inputs, *[inputs[0]] * spare]
        self._device, self._dtype = prepare(runs[0]), DTYPES[runs[0].dtype]
        self._wide = torch.promote_types(self._dtype, torch.float32)
        self._task = runs[0].task
        with memory_errors():
            self._build([*starts, *[starts[0]] * spare])

    def _build(self, starts: Sequence[Weights]) -> None:
        layers, task = build(self._task.model, self._task.input_shape), self._task
        self._output_shape = layers[-1].output_shape
        most = max(1, _EVALUATED_AT_ONCE // len(self._runs))
        bits = self._dtype.itemsize
        self._evaluated = rows_at_once(layers, most, bits, len(self._runs))
        self._held: dict[Hashable, tuple[Placed[Tensor], Placed[Tensor]]] = {}
        self._network = LaneNetwork(layers, task.batch_size, starts, self._dtype, self._device)
        self._trained = list(self._network.trained.values())
        self._kernels = self._network.kernels()
        self._amounts = self._amounts_of_lanes()
        self._criterion = lane_losses.criterion(task, self._amounts)
        self._penalty = lane_losses.penalty(self._amounts, self._kernels)
        self._fed = [
            fed_dropouts(build(run.task.model, run.task.input_shape))
            for run in self._runs[: self._count]
        ]
        self._x, self._y = self._split("train", self._dtype)
        self._rows = batches.LaneRows([each.batches for each in self._inputs], self._device)
        self._decays = self._decay_factors()
        self._update = self._new_update()
        self._gradients: list[Tensor | None] = []
        self._losses: list[Tensor] = []

    def _new_update(self) -> LaneUpdate:
        optimizer = self._inputs[0].optimizer
        rates = [each.learning_rates for each in self._inputs]
        trained = self._network.trained
        # Runs of one lane_key have one recipe.
        if found := lane_trials.recipe(self._runs[0], self._inputs[0]):
            return Stacked(self._runs, optimizer, rates, trained, found.counters)
        return OneByOne(self._runs, optimizer, rates, trained, self._network.layouts)

    def _amounts_of_lanes(self) -> dict[str, Tensor]:
        found = [amounts(run.task, self._output_shape[-1]) for run in self._runs]
        return {name: self._numbers([each[name] for each in found]) for name in found[0]}

    def _numbers(self, values: Any) -> Tensor:
        return torch.tensor(np.asarray(values), dtype=self._wide, device=self._device)

    def _decay_factors(self) -> Tensor | None:
        """[steps, lanes]; None without decay."""
        if "decay" not in self._amounts:
            return None
        columns = [
            self._decays_of(lane, each.learning_rates) for lane, each in enumerate(self._inputs)
        ]
        return torch.stack(columns, 1)

    def _decays_of(self, lane: int, rates: np.ndarray) -> Tensor:
        return self._numbers(1.0 - rates * self._runs[lane].task.regularization.decay)

    def train(self, steps: range) -> None:
        with memory_errors():
            self._begin()
            for step in steps:
                self._losses.append(self._take(step))

    def _begin(self) -> None:
        self._network.train(True)
        self._update.begin()

    def _take(self, step: int | Tensor) -> Tensor:
        """One step of all lanes; their losses. step: int64[1] if it is captured."""
        rows = self._rows.at(step)
        losses = self._lane_losses(self._x[rows], self._y[rows], self._factors(step))
        self._differentiate(losses)
        gradients = [gradient for gradient in self._gradients if gradient is not None]
        if "clip_norm" in self._amounts:
            lane_losses.clip(gradients, self._amounts["clip_norm"])
        if self._decays is not None:
            lane_losses.decay(self._kernels, _at(self._decays, step))
        self._update.step(step, self._gradients)
        return losses.detach()

    def _lane_losses(self, x: Tensor, y: Tensor, factors: dict[str, Tensor]) -> Tensor:
        losses = self._criterion(self._network(x, factors), y)
        return losses if self._penalty is None else losses + self._penalty()

    def _differentiate(self, losses: Tensor) -> None:
        """Leaves every lane's gradient in the same tensors at each step."""
        found = torch.autograd.grad(losses.sum(), self._trained, allow_unused=True)
        if not self._gradients:
            self._gradients = [
                None if each is None else torch.empty_like(p)
                for each, p in zip(found, self._trained, strict=True)
            ]
        held = [gradient for gradient in self._gradients if gradient is not None]
        torch._foreach_copy_(held, [each for each in found if each is not None])

    def _factors(self, step: int | Tensor) -> dict[str, Tensor]:
        """See LaneNetwork."""
        assert isinstance(step, int)
        return self._drawn_factors(step)

    def _drawn_factors(self, step: int) -> dict[str, Tensor]:
        """By the name of a dropout whose masks the harness draws: [lanes, batch, ...]."""
        found = {}
        for place, built in enumerate(self._fed[0]):
            drawn = [
                dropout_masks(fed[place], each.seed, range(step, step + 1), self._task.batch_size)
                for fed, each in zip(self._fed, self._inputs, strict=False)
            ]
            drawn += drawn[:1] * (len(self._runs) - self._count)
            masks = torch.from_numpy(np.concatenate(drawn)).to(self._device)
            kept = to_torch(masks.flatten(0, 1)).unflatten(0, masks.shape[:2])
            scale = self._amounts[scale_of(built.name)]
            scaled = kept * scale.view(-1, *(1 for _ in kept.shape[1:]))
            found[built.name] = scaled.to(self._dtype)
        return found

    def sync(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def losses(self) -> np.ndarray:
        taken, self._losses = self._losses, []
        if not taken:
            return np.empty((self._count, 0))
        stacked: np.ndarray = torch.stack(taken, 1).double().cpu().numpy()
        return stacked[: self._count]

    def evaluate(self, split: str) -> list[Metrics]:
        with memory_errors(), self._update.evaluated():
            losses, metrics = self._evaluate(split)
        pairs = zip(losses.tolist(), metrics.tolist(), strict=True)
        return [Metrics(*pair) for pair in pairs][: self._count]

    @torch.no_grad()
    def _evaluate(self, split: str) -> tuple[Tensor, Tensor]:
        """Loss and metric [lanes]; see TorchSession."""
        x, y = self._split(split, self._wide)
        self._network.train(False)
        lanes = len(self._runs)
        # A lane's samples are its own: vmap would make one product of all lanes' kernels, and then
        # a lane's bits could depend on its place.
        found = (
            self._network(piece.expand(lanes, *piece.shape), {}).to(self._wide)
            for piece in x.split(self._evaluated)
        )
        if lanes * len(y) * prod(self._output_shape) <= OUTPUTS_HELD:
            outputs = torch.cat(list(found), 1)
            losses = self._criterion(outputs, y.expand(lanes, *y.shape))
            return losses, lane_losses.metric(self._task, outputs, y, losses)
        losses, totals = torch.zeros(2, lanes, dtype=torch.float64, device=self._device)
        for outputs, own in zip(found, y.split(self._evaluated), strict=True):
            losses += self._criterion(outputs, own.expand(lanes, *own.shape)) * len(own)
            totals += lane_losses.metric_totals(self._task, outputs, own)
        losses /= len(y)
        given: tuple[Any, Any] = totals.cpu().numpy(), losses.cpu().numpy()
        metric: Any = metric_of(Objective.of(self._task), *given, y.cpu().numpy())
        return losses, torch.from_numpy(metric)

    def _split(self, split: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Features in the runs' dtype, targets in this one."""
        if (split, dtype) not in self._held:
            data, task, device = self._inputs[0].data, self._task, self._device
            shape, y = self._output_shape, data.splits[split].y
            make = partial(lane_losses.prepared, task, shape, y, dtype)
            x = batches.features(data, split, task.input_shape, self._dtype, device)
            found = batches.labels(data, split, ("lanes", task.loss, shape, dtype), make, device)
            self._held[split, dtype] = x, found
        x, found = self._held[split, dtype]
        return x.value, found.value

    def set_learning_rates(self, lane: int, rates: np.ndarray) -> None:
        if self._decays is not None:
            self._decays[:, lane] = self._decays_of(lane, rates)
        self._update.set_learning_rates(lane, rates)

    def weights(self, lane: int) -> Weights:
        return self._network.weights(lane)

    def state_bytes(self) -> int | None:
        return self._update.state_bytes()

    def close(self) -> None:
        self._losses.clear()
        self._gradients.clear()
        self._held.clear()
        self._x = self._y = torch.empty(0)


def _at(table: Tensor, step: int | Tensor) -> Tensor:
    """The entry of a step, whose number may lie on the device."""
    return table.index_select(0, step).squeeze(0) if isinstance(step, Tensor) else table[step]

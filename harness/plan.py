"""What the harness draws once and hands to every framework: initial weights, batches and learning rates."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from . import data as data_sets
from . import schedules
from .layers import Parameter, build
from .optimizer import Optimizer
from .spec import RunSpec, TaskSpec

Weights = Mapping[str, np.ndarray]

# Streams of random numbers are told apart by name, so that adding one never shifts another.
_WEIGHTS, _BATCHES = 1, 2


@dataclass(frozen=True)
class Plan:
    """batches: int64[steps, batch] rows of the training split; learning_rates: float64[steps]; data: all splits."""

    optimizer: Optimizer
    data: data_sets.Data
    batches: np.ndarray
    learning_rates: np.ndarray


def make_plan(run: RunSpec, optimizer: Optimizer) -> Plan:
    """Everything about the run that is drawn: a pure function of the spec.

    ValueError where the batch is larger than the training split.
    """
    data = data_sets.load(run.task.data)
    batches = draw_batches(len(data.train.y), run.task.batch_size, run.steps, run.seed)
    return Plan(optimizer, data, batches, schedules.table(run.schedule, run.steps))


def draw_batches(samples: int, batch_size: int, steps: int, seed: int) -> np.ndarray:
    """int64[steps, batch_size]: a fresh permutation every epoch, the incomplete last batch of an epoch dropped."""
    per_epoch = samples // batch_size
    if per_epoch == 0:
        raise ValueError(f"batch size {batch_size} is larger than the training split of {samples}")
    rng = np.random.default_rng([seed, _BATCHES])
    epochs = -(-steps // per_epoch)
    order = [rng.permutation(samples)[: per_epoch * batch_size].reshape(per_epoch, batch_size) for _ in range(epochs)]
    return np.concatenate(order)[:steps].astype(np.int64)


def initial_weights(task: TaskSpec, seed: int) -> dict[str, np.ndarray]:
    """The start of every framework's run: `<layer>.<parameter>` -> float64, canonical layout (see layers.py)."""
    parameters = [p for layer in build(task.model, task.input_shape) for p in layer.parameters]
    return {p.name: _draw(p, np.random.default_rng([seed, _WEIGHTS, zlib.crc32(p.name.encode())])) for p in parameters}


def _draw(parameter: Parameter, rng: np.random.Generator) -> np.ndarray:
    """He et al. (2015), eq. 10: N(0, 2 / fan_in). Glorot & Bengio (2010), eq. 16: U(+-sqrt(6 / (in + out)))."""
    match parameter.initializer:
        case "he_normal":
            return rng.normal(0.0, np.sqrt(2.0 / parameter.fan_in), parameter.shape)
        case "glorot_uniform":
            limit = np.sqrt(6.0 / (parameter.fan_in + parameter.fan_out))
            return rng.uniform(-limit, limit, parameter.shape)
        case "zeros":
            return np.zeros(parameter.shape)

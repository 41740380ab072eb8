"""Drawn once and handed to every framework: initial weights, batches and learning rates."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import numpy as np

from . import data as data_sets
from . import schedules
from .layers import BuiltLayer, Dense, Dropout, Parameter, build
from .optimizer import Optimizer
from .roles import Trainer, check_roles, others_of, trainers
from .schedule import Schedule
from .spec import RunSpec, TaskSpec

Weights = Mapping[str, np.ndarray]
Initialize = Callable[[np.random.Generator, tuple[int, ...], int, int], np.ndarray]

# Streams of random numbers are told apart by name, so that adding one never shifts another.
_WEIGHTS, _BATCHES, _MASKS, _SHARE = 1, 2, 3, 4


# Of runs that are open: lanes that differ in their learning rates have the same batches.
_TABLES: WeakValueDictionary[tuple[object, ...], np.ndarray] = WeakValueDictionary()


@dataclass(frozen=True)
class RunInputs:
    """batches: int64[steps, batch] rows of the training split, read-only; learning_rates:
    float64[steps]; data: all splits.

    `seed` is the run's, for `dropout_masks`. `others`: the optimizers of the run's parameter groups
    by name, but for `optimizer`.
    """

    optimizer: Optimizer
    data: data_sets.Data
    batches: np.ndarray
    learning_rates: np.ndarray
    seed: int = 0
    others: Mapping[str, Optimizer] = field(default_factory=dict)

    def trainers(self, run: RunSpec) -> tuple[Trainer, ...]:
        """The optimizers of this run, each with the parameters that it trains."""
        return trainers(run, self.optimizer, self.others)


def make_plan(
    run: RunSpec,
    optimizer: Optimizer,
    known: Mapping[str, Schedule] = schedules.SCHEDULES,
    optimizers: Mapping[str, Optimizer] | None = None,
) -> RunInputs:
    """Everything about the run that is drawn: a pure function of the spec.

    known: the schedules by kind. optimizers: all by name, for parameter groups. ValueError if the
    batch is larger than the training split, or than the share of it that is trained on. UserError:
    see `schedules.table` and `roles.trainers`."""
    check_roles(run.task, run.optimizer)
    others = others_of(run, optimizers or {})
    data = data_sets.load(run.task.data)
    rows = training_rows(data, run.task.train_fraction)
    given = (run.task.batch_size, run.steps, run.seed)
    key = (id(data), run.task.train_fraction, *given)
    batches = _TABLES.get(key)
    if batches is None:
        batches = draw_batches(len(rows), *given)
        batches = batches if len(rows) == len(data.train.y) else rows[batches]
        batches.flags.writeable = False
        _TABLES[key] = batches
    rates = schedules.table(run.schedule, run.steps, known)
    return RunInputs(optimizer, data, batches, rates, run.seed, others)


def training_rows(data: data_sets.Data, fraction: float) -> np.ndarray:
    """int64[n]: the rows of the training split that a run with this `TaskSpec.train_fraction` sees.

    They are the first of an order that the data set alone decides, so smaller shares are within
    larger ones. If samples have one label each, every label keeps its share, to a sample or so."""
    labels = data.train.y
    samples = len(labels)
    if fraction == 1.0:
        return np.arange(samples, dtype=np.int64)
    order = (
        np.random.default_rng([_SHARE, zlib.crc32(data.name.encode())])
        .permutation(samples)
        .astype(np.int64)
    )
    if data.classes and labels.ndim == 1:
        # A sample's place among those of its label, from 0 to 1. Sorted by it, labels take turns.
        place = np.empty(samples)
        for label in np.unique(labels):
            of_label = np.flatnonzero(labels[order] == label)
            place[of_label] = (np.arange(len(of_label)) + 0.5) / len(of_label)
        order = order[np.argsort(place, kind="stable")]
    return order[: kept_samples(samples, fraction)]


def kept_samples(samples: int, fraction: float) -> int:
    """The number of samples that are trained on, of a training split of this size; at least one."""
    return max(1, round(fraction * samples))


def draw_batches(samples: int, batch_size: int, steps: int, seed: int) -> np.ndarray:
    """int64[steps, batch_size]: a fresh permutation every epoch, without its incomplete last batch.

    ValueError if the batch is larger than the training split."""
    per_epoch = samples // batch_size
    if per_epoch == 0:
        raise ValueError(f"batch size {batch_size} is larger than the training split of {samples}")
    rng = np.random.default_rng([seed, _BATCHES])
    table = np.empty((steps, batch_size), np.int64)
    for first in range(0, steps, per_epoch):
        epoch = table[first : first + per_epoch]
        epoch[:] = rng.permutation(samples)[: epoch.size].reshape(epoch.shape)
    return table


def dropout_masks(layer: BuiltLayer, seed: int, steps: range, batch_size: int) -> np.ndarray:
    """bool[k, batch_size, *sample]: the units that a dropout layer keeps at each of these steps;
    any range, in any order."""
    assert isinstance(layer.layer, Dropout), layer.name
    shape = (batch_size, *layer.input_shape)
    keep, name = 1.0 - layer.layer.rate, zlib.crc32(layer.name.encode())
    drawn = [
        np.random.default_rng([seed, _MASKS, name, step]).random(shape) < keep for step in steps
    ]
    return np.stack(drawn) if drawn else np.empty((0, *shape), dtype=bool)


def initial_weights(task: TaskSpec, seed: int) -> dict[str, np.ndarray]:
    """The start in every framework: `<layer>.<parameter>` -> float64 in canonical layout."""
    built = build(task.model, task.input_shape)
    weights = {p.name: _draw(p, seed) for layer in built for p in layer.parameters}
    for layer in built:
        if isinstance(layer.layer, Dense) and layer.layer.weight_norm:
            weights[f"{layer.name}.gain"] = np.linalg.norm(
                weights[f"{layer.name}.direction"], axis=0
            )
    return weights


def _draw(parameter: Parameter, seed: int) -> np.ndarray:
    if parameter.values is not None:
        return np.array(parameter.values, dtype=np.float64).reshape(parameter.shape)
    rng = np.random.default_rng([seed, _WEIGHTS, zlib.crc32(parameter.name.encode())])
    return INITIALIZERS[parameter.initializer](
        rng, parameter.shape, parameter.fan_in, parameter.fan_out
    )


def _scaled(law: str, variance: Callable[[int, int], float]) -> Initialize:
    """Untruncated normal, or uniform, of mean 0 and this variance."""

    def draw(
        rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
    ) -> np.ndarray:
        spread = np.sqrt(variance(fan_in, fan_out))
        if law == "normal":
            return rng.normal(0.0, spread, shape)
        return rng.uniform(-np.sqrt(3.0) * spread, np.sqrt(3.0) * spread, shape)

    return draw


def _orthogonal(
    rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
) -> np.ndarray:
    """Saxe et al. (2014): rows or columns of [all but the last axis, last axis] are orthonormal."""
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return (q if rows >= columns else q.T).reshape(shape)


# Glorot & Bengio (2010), eqs. 12 and 16; He et al. (2015), eq. 10; LeCun et al. (1998), 4.6.
INITIALIZERS: Mapping[str, Initialize] = {
    "zeros": lambda rng, shape, fan_in, fan_out: np.zeros(shape),
    "constant": lambda rng, shape, fan_in, fan_out: np.full(shape, 0.05),
    "normal": _scaled("normal", lambda fan_in, fan_out: 0.05**2),
    "uniform": _scaled("uniform", lambda fan_in, fan_out: 0.05**2 / 3.0),
    "glorot_normal": _scaled("normal", lambda fan_in, fan_out: 2.0 / (fan_in + fan_out)),
    "glorot_uniform": _scaled("uniform", lambda fan_in, fan_out: 2.0 / (fan_in + fan_out)),
    "he_normal": _scaled("normal", lambda fan_in, fan_out: 2.0 / fan_in),
    "he_uniform": _scaled("uniform", lambda fan_in, fan_out: 2.0 / fan_in),
    "lecun_normal": _scaled("normal", lambda fan_in, fan_out: 1.0 / fan_in),
    "lecun_uniform": _scaled("uniform", lambda fan_in, fan_out: 1.0 / fan_in),
    "orthogonal": _orthogonal,
}

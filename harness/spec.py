"""The frozen values that say what is to be run: TaskSpec, OptimizerSpec, ScheduleSpec, RunSpec.

All are JSON and back (`to_json`, `model_validate`), reject unknown keys, and never name a
framework's own objects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from numbers import Integral
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, model_validator

from . import limits
from .layers import Layer, build
from .strict import Strict

UpdateRule = Literal["canonical", "native"]
Measure = Literal["convergence", "timing", "memory"]
Dtype = Literal["float32", "float64", "bfloat16"]
Device = Literal["cpu", "gpu"]
Input = Literal["resident", "pipeline"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
# Of a run: the name of its folder.
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")]


class Frozen(Strict):
    """A value: immutable, no unknown keys, strict types; JSON and back."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; `type(self).model_validate` takes them back."""
        return self.model_dump(mode="json")


Loss = Literal[
    "softmax_cross_entropy", "binary_cross_entropy", "mean_squared_error", "huber", "output"
]
Metric = Literal["accuracy", "r2", "negative_loss"]
LABEL_LOSSES = ("softmax_cross_entropy", "binary_cross_entropy")
NUMBER_LOSSES = ("mean_squared_error", "huber")
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
NonNegative = Annotated[FiniteFloat, Field(ge=0.0)]


class Regularization(Frozen):
    """What is added to a loss or done to its gradients, the same in every framework. 0 is none.

    l1, l2: the loss gains l1 * sum|w| + l2 / 2 * sum w^2 over all parameters of role "kernel" (so
    the gradient gains
        l2 * w: the coupled weight decay of the papers). Reported losses of batches hold the
        penalty, evaluations do not.
    decay: decoupled; before the optimizer's update every kernel becomes kernel * (1 - learning rate
    * decay).
    clip_norm: gradients, penalties included, are scaled by min(1, clip_norm / their global norm).
    """

    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    decay: NonNegative = 0.0
    clip_norm: NonNegative = 0.0


class EarlyStopping(Frozen):
    """Ends a run when `patience` evaluations in a row did not lower the best validation loss by
    `min_delta`.
    """

    patience: PositiveInt
    min_delta: NonNegative = 0.0


class TaskSpec(Frozen):
    """A data set, a model, a loss, and how long to train.

    loss, a mean over the batch and all further axes: softmax_cross_entropy of logits [n, ...,
    classes] with labels
        int64[n, ...]; binary_cross_entropy of logits [n, 1] with labels int64[n] of 0 and 1;
        mean_squared_error and huber (delta 1) of [n, k] with targets float64[n, k]; output: the
        model's output itself is the loss.
    label_smoothing s: the targets become 1 - s at the label plus s / classes everywhere; a binary
    task has two classes. metric, the higher the better: accuracy; r2, the coefficient of
    determination over all entries; negative_loss. `target` is the validation metric that counts as
    reached; `target_origin` says where that figure comes from. `input_shape` is the shape of one
    sample: the data's features are reshaped to it.
    train_fraction: the share of the training split that batches are drawn from, the same samples in
    every framework and
        seed; smaller shares are within larger ones.
    """

    name: Name
    title: str
    data: Name
    input_shape: tuple[PositiveInt, ...]
    model: tuple[Layer, ...]
    loss: Loss = "softmax_cross_entropy"
    label_smoothing: Share = 0.0
    metric: Metric = "accuracy"
    regularization: Regularization = Regularization()
    early_stopping: EarlyStopping | None = None
    batch_size: PositiveInt
    steps: Annotated[PositiveInt, Field(le=limits.STEPS)]
    eval_every: PositiveInt
    target: FiniteFloat
    target_origin: str
    train_fraction: Annotated[FiniteFloat, Field(gt=0.0, le=1.0)] = 1.0

    @model_validator(mode="after")
    def _shapes_fit(self) -> Self:
        build(self.model, self.input_shape)
        return self

    @model_validator(mode="after")
    def _loss_fits(self) -> Self:
        """Labels have an accuracy and can be smoothed, numbers have an r2."""
        if self.label_smoothing and self.loss not in LABEL_LOSSES:
            raise ValueError(f"label_smoothing needs labels, which {self.loss} does not have")
        fitting = "negative_loss"
        if self.loss in (*LABEL_LOSSES, *NUMBER_LOSSES):
            fitting = "accuracy" if self.loss in LABEL_LOSSES else "r2"
        if self.metric not in (fitting, "negative_loss"):
            raise ValueError(f"{self.metric} cannot be the metric of {self.loss}; {fitting} can")
        return self


class OptimizerSpec(Frozen):
    """Which update rule, with which hyperparameters.

    canonical: the paper's update, but for the departures that Optimizer.paper names, with every
    hyperparameter given here;
        equal in every framework.
    native: the library's own class and defaults, only the learning rate aligned; `hyper` is then
    empty."""

    name: Name
    hyper: dict[str, FiniteFloat] = {}
    rule: UpdateRule = "canonical"


class ScheduleSpec(Frozen):
    """A learning rate as a pure function of the step: `schedules.table(self, steps)`."""

    kind: Name
    base_lr: Annotated[FiniteFloat, Field(gt=0)]
    params: dict[str, FiniteFloat | tuple[FiniteFloat, ...]] = {}


class TimingSpec(Frozen):
    """How a cell is timed: warm-up steps, then blocks of steps; the device is synchronised at block
    edges only.

    Slow steps make shorter blocks: one takes as many steps, up to block_steps, as fit in
    longest_block_s, at least one; warm-up ends after longest_warmup_s, or after warmup_steps.
    breakdown: blocks of a step's parts are timed as well."""

    warmup_steps: Annotated[NonNegativeInt, Field(le=limits.STEPS)] = 100
    blocks: Annotated[PositiveInt, Field(le=limits.BLOCKS)] = 30
    block_steps: Annotated[PositiveInt, Field(le=limits.BLOCK_STEPS)] = 25
    longest_block_s: Annotated[FiniteFloat, Field(gt=0)] = 0.5
    longest_warmup_s: Annotated[FiniteFloat, Field(gt=0)] = 10.0
    breakdown: bool = False

    @property
    def total_steps(self) -> int:
        """Steps that a launch takes at most: the warm-up and all blocks, and in modes that compile
        whole blocks, one for the first call, one that the warm-up may overrun by, and two that warm
        up shorter blocks."""
        return self.warmup_steps + (self.blocks + 4) * self.block_steps


# How many steps a memory run takes: enough for every buffer to have been made, and for one chunk of
# a compiled loop.
MEMORY_STEPS = 25


class RunSpec(Frozen):
    """One run: everything that can change its outcome, apart from versions, machine and source.

    input: `resident`, the data lie on the device before the first step; `pipeline`, every batch
    comes through the library's own input pipeline (DataLoader, tf.data, NumPy arrays handed to the
    compiled step), in the plan's order.
    diagnose: also record norms of each layer's gradients and updates, see record.Norms.
    """

    measure: Measure = "convergence"
    task: TaskSpec
    optimizer: OptimizerSpec
    schedule: ScheduleSpec
    framework: Name
    mode: Name
    device: Device = "cpu"
    dtype: Dtype = "float32"
    threads: PositiveInt = 1
    input: Input = "resident"
    seed: NonNegativeInt = 0
    launch: NonNegativeInt = 0
    timing: TimingSpec | None = None
    diagnose: bool = False
    variations: dict[str, str | int | float] = {}

    @model_validator(mode="after")
    def _timing_given(self) -> Self:
        if (self.timing is not None) != (self.measure == "timing"):
            raise ValueError("a timing run, and only a timing run, needs `timing`")
        return self

    @property
    def steps(self) -> int:
        """Optimizer steps this run takes when nothing stops it."""
        if self.measure == "memory":
            return MEMORY_STEPS
        return self.timing.total_steps if self.timing else self.task.steps

    @property
    def id(self) -> str:
        """A readable name of the run, the one that `-k` filters on.

        Unique within a suite: `names.told_apart` adds to `variations` whatever this text does not
        say. It never decides which run is meant; the digest does.
        """
        params = ",".join(
            f"{key}={number_text(value)}" for key, value in self.schedule.params.items()
        )
        rate = f"{self.schedule.kind}{f'({params})' if params else ''}-lr{number_text(self.schedule.base_lr)}"
        last = f"seed{self.seed}" if self.measure == "convergence" else f"launch{self.launch}"
        varied = [f"{key}={value}" for key, value in self.variations.items()]
        optimizer = f"{self.optimizer.name}-{self.optimizer.rule}"
        return "/".join(
            [
                self.measure,
                self.task.name,
                f"{self.framework}-{self.mode}",
                optimizer,
                rate,
                *varied,
                last,
            ]
        )


def number_text(value: float | tuple[float, ...]) -> str:
    """A parameter for people: 0.1, or several joined by '+'. Different numbers have different
    texts.

    Six significant digits if they give the number back, else as many as do: 0.001, 1e-05,
    0.1000001."""
    if isinstance(value, tuple):
        return "+".join(map(number_text, value))
    short = f"{value:g}"
    if float(short) == value:
        return short
    return str(value) if isinstance(value, Integral) else repr(float(value)).removesuffix(".0")


# Task fields that a step's time does not depend on.
_NOT_IN_A_STEP = {
    "title",
    "steps",
    "eval_every",
    "target",
    "target_origin",
    "early_stopping",
    "train_fraction",
}


def step_setting(run: RunSpec) -> str:
    """12 hex digits of everything that the time and memory of a training step depend on, as far as
    the run says it.

    Equal for a training run and the timing run that stands for its step time. Seed, learning rate
    and schedule are not in
    it: they change numbers, not what is computed. Nor are the run's length, its evaluations and the
    share of the data."""
    task = run.task.model_dump(mode="json", exclude=_NOT_IN_A_STEP, exclude_defaults=True)
    where = (run.framework, run.mode, run.device, run.dtype, run.threads, run.input)
    text = canonical_json([task, run.optimizer.to_json(), where])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def canonical_json(value: Any) -> str:
    """The one text of a JSON value: sorted keys, no spaces, shortest round-trip floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(spec: RunSpec, versions: Mapping[str, str], sources: Mapping[str, str]) -> str:
    """24 hex digits that change with anything that can change the outcome of `spec`.

    `versions` are the libraries that compute it, `sources` the hashes of our own files that do.
    """
    text = canonical_json(
        {"spec": spec.to_json(), "versions": dict(versions), "sources": dict(sources)}
    )
    return hashlib.sha256(text.encode()).hexdigest()[:24]

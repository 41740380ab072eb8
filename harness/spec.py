"""The frozen values that describe a run: TaskSpec, OptimizerSpec, ScheduleSpec, RunSpec.

All go to JSON and back (`to_json`, `model_validate`), reject unknown keys, and never name a
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

# What a parameter is for; every trained parameter has one role, see `roles`.
ParameterRole = Literal["kernel", "bias", "norm", "embedding", "head", "recurrent_kernel"]
UpdateRule = Literal["canonical", "native"]
Measure = Literal["convergence", "timing", "memory"]
Dtype = Literal["float32", "float64", "bfloat16"]
DTYPE_BYTES: Mapping[Dtype, int] = {"float64": 8, "float32": 4, "bfloat16": 2}
Device = Literal["cpu", "gpu"]
Input = Literal["resident", "pipeline"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
# Of an optimizer: a name, or an import path as `importpath.ImportPath.name` gives it.
OptimizerName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*(:[\w.+ -]+){0,2}$", max_length=200)
]
HyperScalar = bool | int | FiniteFloat | Annotated[str, Field(max_length=200)]
HyperValue = HyperScalar | tuple[HyperScalar, ...]
# The mode of runs that are trained many at once, a lane each, in one program.
POPULATION = "population"
# Of a run: the name of its folder.
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")]


class Frozen(Strict):
    """An immutable value with strict types and no unknown keys; to JSON and back."""

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
    """Penalties of the loss, decay and clipping, the same in every framework. 0 is none.

    l1, l2: the loss gains l1 * sum|w| + l2 / 2 * sum w^2 over all parameters of role "kernel" (the
        gradient gains l2 * w, the coupled weight decay of the papers). Reported losses of batches
        hold the penalty, evaluations do not.
    decay: decoupled; before the update every kernel becomes kernel * (1 - learning rate * decay).
    clip_norm: gradients, penalties included, are scaled by min(1, clip_norm / their global norm).
    """

    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    decay: NonNegative = 0.0
    clip_norm: NonNegative = 0.0


class EarlyStopping(Frozen):
    """Ends a run after `patience` evaluations in a row without a validation loss lower than the
    best by `min_delta`."""

    patience: PositiveInt
    min_delta: NonNegative = 0.0


class TaskSpec(Frozen):
    """A data set, a model, a loss, and how long to train.

    loss, a mean over the batch and all further axes:
        softmax_cross_entropy of logits [n, ..., classes] with labels int64[n, ...];
        binary_cross_entropy of logits [n, 1] with labels int64[n] of 0 and 1;
        mean_squared_error and huber (delta 1) of [n, k] with targets float64[n, k];
        output: the model's output is the loss.
    label_smoothing s: targets become 1 - s at the label plus s / classes everywhere; a binary task
        has two classes.
    metric, the higher the better: accuracy; r2, the coefficient of determination over all entries;
        negative_loss. `target` is the validation metric to be reached, `target_origin` its source.
    input_shape: of one sample; the data's features are reshaped to it.
    train_fraction: the share of the training split that batches are drawn from, the same samples in
        every framework and seed; smaller shares are within larger ones.
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


class ParameterGroup(Frozen):
    """The parameters of some roles, which an optimizer of their own trains, on its own state.

    roles: see `roles.role_of`. name, hyper: that optimizer, under the same rule; hyper is complete
    under the canonical one. rate_factor: its learning rate is this times the run's."""

    roles: Annotated[tuple[ParameterRole, ...], Field(min_length=1)]
    name: OptimizerName
    hyper: Mapping[str, HyperValue] = {}
    rate_factor: NonNegative = 1.0


class OptimizerSpec(Frozen):
    """An optimizer, its rule, and its hyperparameters.

    canonical: the paper's update, but for the departures that Optimizer.paper names, with every
        hyperparameter given here; equal in every framework.
    native: the library's own class and defaults, only the learning rate aligned. `hyper` is handed
        over uncorrected: of an import path, arguments of its class; else our names of
        hyperparameters, as the library's arguments that they belong to, or its own names.
    groups: parameters with other settings; the optimizer has the rest.
    """

    name: OptimizerName
    hyper: Mapping[str, HyperValue] = {}
    rule: UpdateRule = "canonical"
    groups: tuple[ParameterGroup, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all optimizers that take part, the run's own first, each once."""
        return tuple(dict.fromkeys([self.name, *(group.name for group in self.groups)]))


class ScheduleSpec(Frozen):
    """A kind of schedule, built in or a user's, with its base rate: see `schedules.table`."""

    kind: Name
    base_lr: Annotated[FiniteFloat, Field(gt=0)]
    params: dict[str, FiniteFloat | tuple[FiniteFloat, ...]] = {}

    @property
    def label(self) -> str:
        """For people: 'step(every=0.5,factor=0.1)-lr0.01'."""
        params = f"({self.params_text(',')})" if self.params else ""
        return f"{self.kind}{params}-lr{number_text(self.base_lr)}"

    def params_text(self, separator: str) -> str:
        """'every=0.5, factor=0.1'."""
        return separator.join(f"{key}={number_text(value)}" for key, value in self.params.items())


class TimingSpec(Frozen):
    """How a cell is timed: warm-up steps, then blocks of steps, synchronised at their edges only.

    A block takes block_steps, or as many steps as fit in longest_block_s, at least one. The warm-up
    ends after warmup_steps or longest_warmup_s. breakdown: blocks of a step's parts are timed too.
    """

    warmup_steps: Annotated[NonNegativeInt, Field(le=limits.STEPS)] = 100
    blocks: Annotated[PositiveInt, Field(le=limits.BLOCKS)] = 30
    block_steps: Annotated[PositiveInt, Field(le=limits.BLOCK_STEPS)] = 25
    longest_block_s: Annotated[FiniteFloat, Field(gt=0)] = 0.5
    longest_warmup_s: Annotated[FiniteFloat, Field(gt=0)] = 10.0
    breakdown: bool = False

    @property
    def total_steps(self) -> int:
        """The most steps of a launch: the warm-up, all blocks, and four more blocks in modes
        that compile whole ones (first call, overrun of the warm-up, two to warm up shorter ones).
        """
        return self.warmup_steps + (self.blocks + 4) * self.block_steps


# Of a memory run: every buffer has been made by then, and one chunk of a compiled loop was taken.
MEMORY_STEPS = 25


class RunSpec(Frozen):
    """One run: everything that can change its outcome, apart from versions, machine and source.

    input: `resident`, the data lie on the device before the first step; `pipeline`, every batch
        comes through the library's own input pipeline (DataLoader, tf.data, NumPy arrays handed to
        the compiled step), in the planned order.
    diagnose: also record norms of each layer's gradients and updates, see record.Norms.
    lanes: of the program that trains the run in mode `population`, free ones included; else 1. The
        last bits of a result may depend on it."""

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
    lanes: Annotated[PositiveInt, Field(le=limits.LANES)] = 1
    variations: dict[str, str | int | float] = {}

    @model_validator(mode="after")
    def _timing_given(self) -> Self:
        if (self.timing is not None) != (self.measure == "timing"):
            raise ValueError("a timing run, and only a timing run, needs `timing`")
        return self

    @model_validator(mode="after")
    def _lanes_fit(self) -> Self:
        if self.mode != POPULATION and self.lanes != 1:
            raise ValueError(f"mode {self.mode!r} has no lanes; mode {POPULATION!r} has")
        if self.mode == POPULATION and self.measure != "convergence":
            raise ValueError(f"mode {POPULATION!r} trains runs; it times nothing")
        return self

    @property
    def steps(self) -> int:
        """Optimizer steps that this run takes if nothing stops it."""
        if self.measure == "memory":
            return MEMORY_STEPS
        return self.timing.total_steps if self.timing else self.task.steps

    @property
    def id(self) -> str:
        """The readable name that `-k` filters on.

        Unique within a suite: `told_apart` adds to `variations` what it would not say. The digest
        alone decides which run is meant."""
        last = f"seed{self.seed}" if self.measure == "convergence" else f"launch{self.launch}"
        varied = [f"{key}={value}" for key, value in self.variations.items()]
        setup, optimizer = f"{self.framework}-{self.mode}", self.optimizer
        rule = f"{optimizer.name}-{optimizer.rule}"
        parts = [self.measure, self.task.name, setup, rule, self.schedule.label, *varied, last]
        return "/".join(parts)


def number_text(value: float | tuple[float, ...]) -> str:
    """A parameter for people, several joined by '+'; different numbers have different texts.

    Six significant digits if they give the number back, else as many as do: 0.001, 1e-05,
    0.1000001."""
    if isinstance(value, tuple):
        return "+".join(map(number_text, value))
    short = f"{value:g}"
    if float(short) == value:
        return short
    return str(value) if isinstance(value, Integral) else repr(float(value)).removesuffix(".0")


def hyper_text(value: HyperValue) -> str:
    """A hyperparameter for people, the entries of a tuple joined by '+'; texts and truth values as
    they are."""
    if isinstance(value, tuple):
        return "+".join(map(hyper_text, value))
    return str(value) if isinstance(value, bool | str) else number_text(value)


# Task fields that a step's time does not depend on.
NOT_IN_A_STEP = frozenset(
    ["title", "steps", "eval_every", "target", "target_origin", "early_stopping", "train_fraction"]
)


def step_setting(run: RunSpec) -> str:
    """12 hex digits of everything in a run that the time and memory of a training step depend on.

    Equal for a training run and the timing run that stands for its step time. Seed, learning rate,
    schedule, length, evaluations and share of the data are left out: they change numbers, not the
    computation."""
    task = run.task.model_dump(mode="json", exclude=set(NOT_IN_A_STEP), exclude_defaults=True)
    setup = (run.framework, run.mode, run.device, run.dtype, run.threads, run.input)
    text = canonical_json([task, run.optimizer.to_json(), setup])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def canonical_json(value: Any) -> str:
    """The one text of a JSON value: sorted keys, no spaces, shortest round-trip floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(spec: RunSpec, versions: Mapping[str, str], sources: Mapping[str, str]) -> str:
    """24 hex digits that change with anything that can change the outcome of `spec`.

    `versions` are the libraries that compute it, `sources` the hashes of our own files that do.
    """
    return _digest(spec.to_json(), versions, sources)


def is_digest_of(
    found: str, spec: RunSpec, versions: Mapping[str, str], sources: Mapping[str, str]
) -> bool:
    """Whether `found` stands for these.

    A specification that an earlier version wrote lacks fields that were added since, and its digest
    does not count them."""
    if found == digest(spec, versions, sources):
        return True
    return found == _digest(spec.model_dump(mode="json", exclude_unset=True), versions, sources)


def _digest(spec: dict[str, Any], versions: Mapping[str, str], sources: Mapping[str, str]) -> str:
    text = canonical_json({"spec": spec, "versions": dict(versions), "sources": dict(sources)})
    return hashlib.sha256(text.encode()).hexdigest()[:24]

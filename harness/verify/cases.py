"""The table of all cases. A case draws its inputs from its name, alike in every process."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..data.generated import SYNTHETIC
from ..layers import (
    Activation,
    ActivationFunction,
    AvgPool2D,
    BatchNorm,
    BuiltLayer,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    Gru,
    Layer,
    LayerNorm,
    Lstm,
    MaxPool2D,
    Point,
    Shape,
    SimpleRnn,
    build,
)
from ..optimizer import Optimizer
from ..plan import Weights
from ..registry import Registry
from ..schedule import Schedule
from ..schedules import SCHEDULES
from ..schedules import table as rates_table
from ..spec import (
    Device,
    Dtype,
    ParameterGroup,
    Regularization,
    ScheduleSpec,
    TaskSpec,
    UpdateRule,
)
from .groups import GROUPS, in_groups
from .verdict import Level

Modes = Literal["convergence", "proof", "every"]

# Up to which scaled differences count as equal; see judge.py for the scales.
PIECE_TOLERANCE, LOSS_TOLERANCE, LONG_TOLERANCE, FLOAT32_TOLERANCE = 1e-12, 1e-12, 1e-9, 1e-5
# L-BFGS divides by products of differences, which nearly cancel for arbitrary gradients: it
# amplifies rounding, on these gradients to 5e-11 (measured between torch and the others).
JOINT_TOLERANCE = 1e-9
# SOAP's bases are eigenvectors of matrices whose eigenvalues lie eight decades apart on these
# gradients: rounding moves some by 4e-9 (measured between torch and NumPy). In training, a layer's
# first gradient has fewer ranks than rows, and bases of the rest are arbitrary.
AMPLIFIED = {"soap": 1e-7}
# These evaluate the function itself, which given gradients do not have: only training shows them.
CLOSED_LOOP: dict[str, tuple[UpdateRule, ...]] = {
    "lbfgs": ("native",),
    "sophia": ("canonical", "native"),
}

# Every optimizer trains these tasks; these optimizers train every task. Any other pair is proven by
# its parts.
CORE_TASKS = ("digits_mlp", "digits_cnn", "digits_lstm")
CORE_OPTIMIZERS = ("sgd", "momentum", "adam")
# Their state starts as the weights. A library that makes it in the first step sees weights that a
# task's own decay has moved.
FROM_WEIGHTS = ("schedule_free_adamw", "schedule_free_sgd", "prodigy")
# The optimizers' learning rates are made for digits. On these tasks they would diverge (losses
# beyond 1e50) or amplify rounding by 1e5 in a hundred steps; these are the largest rates used.
_LARGEST_RATES = dict(quadratic=1e-3, rosenbrock=5e-4, beale=1e-3, adding_rnn=0.01, copy_rnn=0.01)
STEPS, LONG_STEPS, UPDATE_STEPS, RATE_STEPS, MODES_STEPS = 100, 1000, 50, 200, 20
# A few steps show that tasks made to be timed are wired: they are known layers at other widths.
JOINT_STEPS, FLOAT32_STEPS, TIMED_STEPS, GROUPS_STEPS = 10, 10, 10, 20

# Populations: these tasks, lanes in a program, steps of a case that compares bits.
POPULATION_TASKS = (*CORE_TASKS, "digits_gru")
LANES, BITS_STEPS = 5, 20
# Trained beside others, this lane soon has no finite numbers, which must not show in them.
WILD_LANE, WILD_RATE = 2, 1e30
# Of the penalties of a task that has none, in populations: the first lane's.
_LANE_PENALTIES = Regularization(l2=1e-4, decay=1e-3)


@dataclass(frozen=True)
class Case:
    """One computation for all sides. `name` is unique within the level; `what` is for people."""

    level: Level
    name: str
    what: str

    @property
    def id(self) -> str:
        """The text that `-k` filters."""
        return f"{self.level}/{self.name}"

    def random(self) -> np.random.Generator:
        """This case's own stream."""
        return np.random.default_rng([20_261_121, zlib.crc32(self.id.encode())])


@dataclass(frozen=True)
class WeightsCase(Case):
    """Weights into a session and back; not the initial ones, whose zeros would hide much."""

    task: TaskSpec

    def draw(self) -> dict[str, np.ndarray]:
        """Every parameter, by its full name."""
        rng, layers = self.random(), build(self.task.model, self.task.input_shape)
        return {
            p.name: rng.uniform(0.1, 1.0, p.shape) for layer in layers for p in layer.parameters
        }


@dataclass(frozen=True)
class LayerCase(Case):
    """One layer on one batch. inputs: 'integers' are below the vocabulary, 'ties' few values."""

    layer: Layer
    input_shape: Shape
    training: bool = True
    inputs: Literal["normal", "integers", "ties"] = "normal"
    samples: int = 5

    def built(self) -> BuiltLayer:
        """The layer in its place."""
        return build((self.layer,), self.input_shape)[0]

    def draw(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray | None]:
        """weights, x, upstream and mask (dropout's, or None), for `Adapter.differentiate`."""
        rng, built = self.random(), self.built()
        weights = {p.name: 0.5 * rng.normal(size=p.shape) for p in built.parameters}
        for p in built.parameters:
            # Variances and weight-norm gains are positive; other gains stay near 1.
            if p.role == "gain" or p.name.endswith("variance"):
                weights[p.name] = rng.uniform(0.5, 1.5, p.shape)
            if p.role == "point":
                weights[p.name] = np.array(p.values, dtype=np.float64).reshape(p.shape)
        shape = (self.samples, *self.input_shape)
        if isinstance(self.layer, Embedding):
            x: np.ndarray = rng.integers(0, self.layer.vocabulary, shape)
        elif self.inputs == "ties":
            x = rng.integers(-2, 3, shape).astype(np.float64)
        else:
            x = rng.normal(size=shape)
        mask = (
            rng.random(shape) < 1.0 - self.layer.rate if isinstance(self.layer, Dropout) else None
        )
        return weights, x, rng.normal(size=(self.samples, *built.output_shape)), mask


@dataclass(frozen=True)
class LossCase(Case):
    """A task's loss and metric of given outputs [n, ...] with standard deviation `spread`."""

    task: TaskSpec
    shape: Shape
    spread: float = 2.0

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """outputs and y, for `Adapter.loss` and `Adapter.metric`."""
        rng = self.random()
        outputs = self.spread * rng.normal(size=self.shape)
        match self.task.loss:
            case "softmax_cross_entropy":
                return outputs, rng.integers(0, self.shape[-1], self.shape[:-1])
            case "binary_cross_entropy":
                return outputs, rng.integers(0, 2, self.shape[:1])
        return outputs, rng.normal(size=self.shape)


@dataclass(frozen=True)
class UpdateCase(Case):
    """An optimizer on given gradients; the referee computes the canonical rule in any case.

    matrices: on matrices alone, for a class that takes nothing else. tolerance: see judge.py."""

    optimizer: str
    rule: UpdateRule
    schedule: ScheduleSpec
    steps: int = UPDATE_STEPS
    matrices: bool = False
    tolerance: float = PIECE_TOLERANCE

    def draw(self) -> tuple[dict[str, np.ndarray], list[Weights]]:
        """Start and gradients: entries over four decades, some rows always or sometimes zero."""
        # Not from the name: every optimizer and rule gets the same gradients.
        rng = np.random.default_rng(20_261_121)
        every = _UPDATED.items()
        shapes = {name: shape for name, shape in every if len(shape) == 2 or not self.matrices}
        start = {name: 0.5 * rng.normal(size=shape) for name, shape in shapes.items()}
        scales = {name: 10.0 ** rng.uniform(-4.0, 0.0, shape) for name, shape in shapes.items()}
        gradients: list[Weights] = []
        for step in range(self.steps):
            drawn = {name: scale * rng.normal(size=scale.shape) for name, scale in scales.items()}
            for gradient in drawn.values():
                gradient[0] = 0.0
                if step % 3 == 2:
                    gradient[1] = 0.0
            gradients.append(drawn)
        return start, gradients


_UPDATED: dict[str, Shape] = {
    "0_dense.kernel": (6, 5),
    "0_dense.bias": (5,),
    "1_conv2d.kernel": (3, 3, 2, 4),
    "1_conv2d.bias": (4,),
}


@dataclass(frozen=True)
class TrajectoryCase(Case):
    """A training run in the mode of convergence runs, in all modes with proofs, or in every mode.

    replaced_from: `Session.set_learning_rates` halves the rates from this step on, as a plateau
    does; 0 is never. tf32: on a GPU, with TF32 beside without. groups: parameters with optimizers
    of their own."""

    task: TaskSpec
    optimizer: str
    schedule: ScheduleSpec
    steps: int = STEPS
    dtype: Dtype = "float64"
    modes: Modes = "convergence"
    replaced_from: int = 0
    tf32: bool = False
    groups: tuple[ParameterGroup, ...] = ()

    @property
    def optimizers(self) -> tuple[str, ...]:
        """The names of all that take part."""
        return (self.optimizer, *(group.name for group in self.groups))


@dataclass(frozen=True)
class PopulationCase(Case):
    """Runs of one shape side by side in one program, a lane each: every lane against its run by
    itself; or, with `bits`, against the lane alone in its program.

    The lanes differ in all that a lane owns: seed, rate, schedule, real hyperparameters, penalties.
    replaced_from: `set_learning_rates` halves lane k's rates k times from there on; 0 is never."""

    task: TaskSpec
    optimizer: str
    rule: UpdateRule = "canonical"
    steps: int = STEPS
    replaced_from: int = 0
    bits: bool = False

    def schedules(self, rate: float) -> Iterator[ScheduleSpec]:
        """Of every lane, around the optimizer's own rate."""
        for lane in range(LANES):
            kind = "constant" if lane % 2 else "warmup_cosine"
            yield ScheduleSpec(kind=kind, base_lr=rate * (0.4 + 0.2 * lane))

    def tasks(self) -> Iterator[TaskSpec]:
        """Of every lane: with penalties of its own."""
        given = self.task.regularization
        first = _LANE_PENALTIES if given == Regularization() else given
        for lane in range(LANES):
            own = {name: size * (1.0 + 0.5 * lane) for name, size in first.to_json().items()}
            yield self.task.model_copy(
                update={
                    "steps": self.steps,
                    "eval_every": self.steps // 2,
                    "regularization": Regularization(**own),
                }
            )

    def hypers(self, defaults: Mapping[str, float]) -> Iterator[dict[str, float]]:
        """Of every lane: what lies between 0 and 1 a little smaller than in the lane before."""
        for lane in range(LANES):
            smaller = 1.0 - 0.01 * lane
            yield {k: v * smaller if 0.0 < v < 1.0 else v for k, v in defaults.items()}


@dataclass(frozen=True)
class RatesCase(Case):
    """A schedule's rates as updates use them: gradient e_t at step t turns a zero into -rate_t."""

    schedule: ScheduleSpec
    dtype: Dtype
    known: Mapping[str, Schedule]
    steps: int = RATE_STEPS

    def rates(self) -> np.ndarray:
        """The table: float64[steps]. UserError if a user's schedule gives none."""
        return rates_table(self.schedule, self.steps, self.known)


@dataclass(frozen=True)
class Selection:
    """A part of the table: only the user's own things, if files are loaded, and without a keyword a
    part of the populations. device: the one that is proven; 'gpu' beside the CPU. cells: these
    cases alone, by their ids and in this order, trained in the mode of convergence runs."""

    keyword: str = ""
    quick: bool = False
    long: bool = False
    frameworks: tuple[str, ...] = ()
    device: Device = "cpu"
    cells: tuple[str, ...] = ()


def table(registry: Registry, selection: Selection) -> tuple[Case, ...]:
    """Every selected case, in the order of the levels."""
    from ..sweep import matches

    if selection.cells:
        found = known(registry, selection)
        return tuple(found[name] for name in selection.cells if name in found)
    every = everything(registry, selection.long, selection.device)
    cases = [case for case in every if matches(case.id, selection.keyword)]
    if not selection.keyword:
        cases = [case for case in cases if _unasked(case, registry)]
    if selection.quick:
        cases = [case for case in cases if _quick(case, registry)]
    if any(registry.loaded.values()):
        cases = [case for case in cases if _loaded(case, registry)]
    return tuple(cases)


def known(registry: Registry, selection: Selection) -> dict[str, Case]:
    """Every case by its id, as the selection has it."""
    every = everything(registry, selection.long, selection.device)
    return {case.id: _in_one_mode(case) if selection.cells else case for case in every}


def _in_one_mode(case: Case) -> Case:
    return replace(case, modes="convergence") if isinstance(case, TrajectoryCase) else case


def everything(registry: Registry, long: bool = False, device: Device = "cpu") -> Iterator[Case]:
    """The whole table."""
    small = {
        name: task
        for name, task in registry.tasks.items()
        if task.data not in SYNTHETIC or name.endswith("_s")
    }
    tasks = {**small, **{task.name: task for task in variants(registry)}}
    for task in tasks.values():
        yield WeightsCase("weights", task.name, f"weights of {task.name}", task)
    yield from layer_cases()
    yield from loss_cases()
    yield from _update_cases(registry)
    yield from _trajectory_cases(registry, tasks, long)
    yield from _group_cases(registry, tasks)
    dtypes: tuple[Dtype, ...] = ("float64", "float32")
    for kind in registry.schedules:
        for dtype in dtypes:
            name, what = f"{kind}/{dtype}", f"{kind}, the rates of {RATE_STEPS} updates in {dtype}"
            schedule = ScheduleSpec(kind=kind, base_lr=0.1)
            yield RatesCase("rates", name, what, schedule, dtype, registry.schedules)
    yield from _float32_cases(registry, tasks)
    if device == "gpu":
        yield from _tf32_cases(registry, tasks)
    yield from _population_cases(registry, tasks)


def _quick(case: Case, registry: Registry) -> bool:
    """A part of every level: each layer kind and loss, common optimizers, few trajectories."""
    match case:
        case WeightsCase():
            return case.task.name in CORE_TASKS
        case LayerCase():
            return case.name in QUICK_LAYERS
        case UpdateCase():
            shared = len(registry.optimizers[case.optimizer].bindings) > 1
            return shared and case.rule == "canonical" and "decaying" in case.name
        case TrajectoryCase(level="trajectories"):
            return case.name in QUICK_TRAJECTORIES
        case TrajectoryCase() | PopulationCase():
            return case.name in ("digits_mlp/adam", "digits_mlp/adam/tf32")
        case RatesCase():
            kind = case.schedule.kind
            return kind in ("constant", "step", "cosine", "one_cycle") or kind not in SCHEDULES
    return True


QUICK_LEFT_OUT = (
    "--quick looks at the weights of three tasks, one case of each layer kind, canonical update"
    " rules that two libraries have under a decaying rate, ten trajectories, four schedules and"
    " one population; native rules, all other tasks and combinations are left out"
)
CELLS_LEFT_OUT = (
    "with a suite's run, only what its own tasks, optimizers and schedules need is verified, each"
    " in the mode of its training; `gradrace verify` looks at everything"
)
FULL_LEFT_OUT = (
    f"trajectories cross every optimizer with {', '.join(CORE_TASKS)}, and every task with"
    f" {', '.join(CORE_OPTIMIZERS)}; any other pair of task and optimizer is proven by its parts,"
    f" the update rule and the task; modes that only timing uses train {', '.join(CORE_TASKS)} by"
    f" adam; L-BFGS and SOAP, which amplify rounding, train {JOINT_STEPS} steps of functions of a"
    f" point; of the tasks made to be timed, the small ones are trained by adam for {TIMED_STEPS}"
    f" steps; parameter groups are trained for {GROUPS_STEPS} steps, in {len(GROUPS)} cases"
)


def _unasked(case: Case, registry: Registry) -> bool:
    """Whether a run without -k holds the case: of the populations a part, as each is compiled."""
    if not isinstance(case, PopulationCase):
        return True
    own = case.task.name in ("digits_mlp", *registry.loaded.get("tasks", ()))
    return own or case.name in SOME_POPULATIONS


SOME_POPULATIONS = {
    *(f"{task}/{name}" for task in POPULATION_TASKS for name in ("momentum", "adam")),
    "digits_cnn/adam/alone",
    "digits_mlp+batch_norm/adam",
    "digits_mlp+dropout/adam",
    "digits_mlp+all_penalties/adam",
}
POPULATIONS_LEFT_OUT = (
    "populations train digits_mlp by every optimizer that is equal in all libraries, and"
    f" {', '.join(POPULATION_TASKS[1:])} by momentum and adam; -k populations trains all of these"
    " tasks by all of these optimizers"
)


def _loaded(case: Case, registry: Registry) -> bool:
    """Whether the case is about something of the user's files."""
    loaded = registry.loaded
    if loaded.get("frameworks"):
        return True
    task = getattr(case, "task", None)
    is_task = isinstance(task, TaskSpec) and task.name in loaded.get("tasks", ())
    if isinstance(case, RatesCase) and case.schedule.kind in loaded.get("schedules", ()):
        return True
    return is_task or getattr(case, "optimizer", "") in loaded.get("optimizers", ())


# -- layers

ACTIVATIONS: tuple[ActivationFunction, ...] = (
    *("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh"),
)


def layer_cases() -> Iterator[LayerCase]:
    """Every kind of layer with every option that changes its numbers."""
    image: Shape = (7, 6, 3)
    series: Shape = (6, 4)
    entries: list[tuple[str, Layer, Shape]] = [
        ("dense", Dense(units=4), (6,)),
        ("dense/no_bias", Dense(units=4, bias=False), (6,)),
        ("dense/square", Dense(units=6), (6,)),
        ("dense/over_time", Dense(units=3), series),
        ("dense/weight_norm", Dense(units=4, weight_norm=True), (6,)),
        ("dense/weight_norm_no_bias", Dense(units=4, weight_norm=True, bias=False), (6,)),
        ("conv2d/no_bias", Conv2D(filters=4, bias=False), image),
        *(
            (
                f"conv2d/{padding}_stride{stride}_kernel{kernel}",
                Conv2D(filters=4, kernel=kernel, stride=stride, padding=padding),
                image,
            )
            for padding in ("same", "valid")
            for stride in (1, 2)
            for kernel in (1, 2, 3)
        ),
        ("conv2d/same_stride2_even_image", Conv2D(filters=4, stride=2), (8, 8, 2)),
        *(
            (
                f"{kind}/{padding}_window{window}_stride{stride or window}",
                make(window=window, stride=stride, padding=padding),
                image,
            )
            for kind, make in (("max_pool2d", MaxPool2D), ("avg_pool2d", AvgPool2D))
            for padding in ("same", "valid")
            for window, stride in ((2, None), (3, 1), (3, 2))
        ),
        ("flatten", Flatten(), image),
        ("flatten/series", Flatten(), series),
        ("layer_norm", LayerNorm(), (6,)),
        ("layer_norm/epsilon", LayerNorm(epsilon=1e-2), (6,)),
        ("layer_norm/over_time", LayerNorm(), series),
        ("group_norm", GroupNorm(groups=3), (6,)),
        ("group_norm/epsilon", GroupNorm(groups=2, epsilon=1e-2), (6,)),
        ("group_norm/over_time", GroupNorm(groups=2), series),
        ("group_norm/image", GroupNorm(groups=3), image),
        *(
            (f"activation/{function}", Activation(function=function), (6,))
            for function in ACTIVATIONS
        ),
        *(
            (
                f"{kind}/{'sequences' if sequences else 'last'}{'_square' if square else ''}",
                make(units=4 if square else 5, sequences=sequences),
                series,
            )
            for kind, make in (("simple_rnn", SimpleRnn), ("lstm", Lstm), ("gru", Gru))
            for sequences, square in ((False, False), (True, False), (False, True))
        ),
        *(
            (f"point/{objective}", Point(objective=objective, start=(1.3, 0.4)), (1,))
            for objective in ("rosenbrock", "beale", "branin")
        ),
        (
            "point/quadratic",
            Point(objective="quadratic", start=(1.0, -2.0, 0.5, 3.0), condition=1e3),
            (1,),
        ),
    ]
    for name, layer, shape in entries:
        yield LayerCase("layers", name, f"{layer.kind} on {list(shape)}", layer, shape)
    for name, layer, shape in _in_both_phases(image, series):
        for training in (True, False):
            phase = "training" if training else "evaluation"
            what = f"{layer.kind} on {list(shape)}, {phase}"
            yield LayerCase("layers", f"{name}/{phase}", what, layer, shape, training)
    for pool in (MaxPool2D(window=2), MaxPool2D(window=3, stride=2, padding="same")):
        name = f"max_pool2d/ties_window{pool.window}"
        yield LayerCase("layers", name, "equal values in a window", pool, image, inputs="ties")
    name, what = "activation/relu_at_zero", "relu with inputs of exactly 0"
    yield LayerCase("layers", name, what, Activation(), (6,), inputs="ties")
    embedding = Embedding(vocabulary=7, units=3)
    what = "embedding of 6 integers"
    yield LayerCase("layers", "embedding", what, embedding, (6,), inputs="integers")


def _in_both_phases(image: Shape, series: Shape) -> list[tuple[str, Layer, Shape]]:
    return [
        ("batch_norm", BatchNorm(), (6,)),
        ("batch_norm/image", BatchNorm(), image),
        ("batch_norm/series", BatchNorm(), series),
        ("batch_norm/options", BatchNorm(momentum=0.6, epsilon=1e-2), (6,)),
        ("dropout", Dropout(rate=0.3), (6,)),
        ("dropout/image", Dropout(rate=0.5), image),
    ]


QUICK_LAYERS = {
    "dense",
    "dense/weight_norm",
    "conv2d/same_stride1_kernel3",
    "conv2d/same_stride2_even_image",
    "conv2d/valid_stride1_kernel3",
    "max_pool2d/valid_window2_stride2",
    "avg_pool2d/same_window3_stride2",
    "flatten",
    "layer_norm",
    "group_norm/image",
    "batch_norm/training",
    "batch_norm/evaluation",
    "dropout/training",
    "embedding",
    "simple_rnn/last",
    "lstm/last",
    "gru/last",
    "point/rosenbrock",
    *(f"activation/{function}" for function in ACTIVATIONS),
}


# -- losses


def loss_cases() -> Iterator[LossCase]:
    """Every loss, with its options and over more axes than one, under every metric that fits it."""
    smoothed: dict[str, Any] = {"label_smoothing": 0.1}
    entries: list[tuple[str, dict[str, Any], Shape, float]] = [
        ("softmax_cross_entropy", {}, (8, 5), 2.0),
        ("softmax_cross_entropy/smoothing", smoothed, (8, 5), 2.0),
        ("softmax_cross_entropy/extreme", {}, (8, 5), 60.0),
        ("softmax_cross_entropy/over_time", {}, (4, 6, 5), 2.0),
        ("softmax_cross_entropy/over_time_smoothing", {"label_smoothing": 0.2}, (4, 6, 5), 2.0),
        ("binary_cross_entropy", {}, (9, 1), 2.0),
        ("binary_cross_entropy/smoothing", smoothed, (9, 1), 2.0),
        ("binary_cross_entropy/extreme", {}, (9, 1), 60.0),
        ("mean_squared_error", {"metric": "r2"}, (8, 3), 2.0),
        ("huber", {"metric": "r2"}, (8, 3), 1.5),
        ("output", {"metric": "negative_loss"}, (4, 1), 1.0),
    ]
    for name, given, shape, spread in entries:
        task = bare_task(
            "loss", Dense(units=shape[-1]), title=name, loss=name.split("/")[0], **given
        )
        what = f"{name} of outputs {list(shape)}, and {task.metric}"
        yield LossCase("losses", name, what, task, shape, spread)


def bare_task(name: str, layer: Layer, **fields: Any) -> TaskSpec:
    """A task that is never trained: something only needs its loss, or a spec that is valid."""
    needed = {"name": name, "title": "", "data": "digits", "input_shape": (64,), "model": (layer,)}
    numbers = {"batch_size": 8, "steps": 1, "eval_every": 1, "target": 0.0, "target_origin": ""}
    return TaskSpec(**{**needed, **numbers, **fields})


# -- update rules and trajectories


def _update_cases(registry: Registry) -> Iterator[UpdateCase]:
    for name, optimizer in registry.optimizers.items():
        rate = optimizer.learning_rate
        schedules = {
            "constant": ScheduleSpec(kind="constant", base_lr=rate),
            "decaying": ScheduleSpec(kind="cosine", base_lr=rate, params={"final_fraction": 0.01}),
        }
        rules: tuple[UpdateRule, ...] = ("canonical", "native")
        joint = JOINT_TOLERANCE if optimizer.rule and optimizer.rule.joint else PIECE_TOLERANCE
        allowed = AMPLIFIED.get(name, joint)
        for rule in (rule for rule in rules if rule not in CLOSED_LOOP.get(name, ())):
            for label, schedule in schedules.items():
                case, what = (
                    f"{name}/{rule}/{label}",
                    f"{optimizer.title}, {rule} rule, {label} rate",
                )
                given = (name, rule, schedule)
                yield UpdateCase("updates", case, what, *given, tolerance=allowed)
                if any(binding.matrices_only for binding in optimizer.bindings.values()):
                    case, what = f"{case}/matrices", f"{what}, matrices alone"
                    yield UpdateCase("updates", case, what, *given, matrices=True)


def variants(registry: Registry) -> tuple[TaskSpec, ...]:
    """The smallest tasks with features that no built-in task has: penalties, dropout and so on.

    Their names begin with the task that they vary.
    """
    mlp, cnn = registry.tasks["digits_mlp"], registry.tasks["digits_cnn"]
    hidden = Dense(units=32, initializer="he_normal")

    def varied(task: TaskSpec, name: str, **fields: Any) -> TaskSpec:
        return task.model_copy(update={"name": f"{task.name}+{name}", **fields})

    def penalised(name: str, **given: float) -> TaskSpec:
        return varied(mlp, name, regularization=Regularization(**given))

    def built(name: str, *model: Layer) -> TaskSpec:
        return varied(mlp, name, model=(*model, Dense(units=10)))

    return (
        penalised("l1", l1=1e-3),
        penalised("l2", l2=1e-2),
        penalised("decay", decay=0.1),
        penalised("clip_norm", clip_norm=0.5),
        penalised("all_penalties", l1=1e-4, l2=1e-3, decay=0.01, clip_norm=1.0),
        varied(mlp, "smoothing", label_smoothing=0.1),
        built("batch_norm", hidden, BatchNorm(), Activation()),
        built("layer_norm", hidden, LayerNorm(), Activation(function="gelu")),
        built("weight_norm", Dense(units=32, weight_norm=True), Activation(function="tanh")),
        built("dropout", hidden, Activation(), Dropout(rate=0.3)),
        varied(cnn, "strided", model=_strided()),
        varied(mlp, "sequences", input_shape=(8, 8), model=_stacked()),
    )


def _strided() -> tuple[Layer, ...]:
    return (
        Conv2D(filters=6, stride=2),
        BatchNorm(),
        Activation(function="silu"),
        AvgPool2D(window=2),
        Flatten(),
        Dense(units=10),
    )


def _stacked() -> tuple[Layer, ...]:
    return (Gru(units=12, sequences=True), SimpleRnn(units=12), Dense(units=10))


QUICK_TRAJECTORIES = {
    "digits_mlp/momentum",
    "digits_mlp/adam",
    "digits_mlp/adamw",
    "digits_cnn/adam",
    "digits_lstm/adam",
    "digits_mlp+all_penalties/adam",
    "digits_mlp+dropout/adam",
    "digits_mlp+batch_norm/adam",
    "digits_mlp/momentum/rates_replaced",
    "digits_mlp+all_penalties/adamw/groups/no_decay",
}


def _trajectory_cases(
    registry: Registry, tasks: dict[str, TaskSpec], long: bool
) -> Iterator[TrajectoryCase]:
    core_tasks = (*CORE_TASKS, *registry.loaded.get("tasks", ()))
    core_optimizers = (*CORE_OPTIMIZERS, *registry.loaded.get("optimizers", ()))
    for task in tasks.values():
        for name, optimizer in registry.optimizers.items():
            if optimizer.rule is None and len(optimizer.bindings) < 2:
                continue  # nobody to compare with
            rate = min(optimizer.learning_rate, _LARGEST_RATES.get(task.name, np.inf))
            trainers = _trainers_of_variant(task) if "+" in task.name else core_optimizers
            wanted, steps = name in trainers or task.name in core_tasks, STEPS
            if (optimizer.rule and optimizer.rule.joint) or name in AMPLIFIED:
                # L-BFGS is for functions without noise, and amplifies rounding even there, by 1e4
                # in 20 to 60 steps.
                smooth = isinstance(task.model[0], Point)
                wanted, steps = smooth or ("+" in task.name and name in trainers), JOINT_STEPS
                rate = optimizer.learning_rate
            if task.data in SYNTHETIC:
                wanted, steps = name == "adam", TIMED_STEPS
            if wanted:
                modes: Modes = "proof" if name in core_optimizers else "convergence"
                yield _trained(task, optimizer, steps, rate=rate, modes=modes)
    momentum, adam = registry.optimizers["momentum"], registry.optimizers["adam"]
    yield TrajectoryCase(
        "trajectories",
        "digits_mlp/momentum/rates_replaced",
        "rates halved on the way, as a plateau does",
        tasks["digits_mlp"],
        "momentum",
        ScheduleSpec(kind="constant", base_lr=momentum.learning_rate),
        modes="proof",
        replaced_from=STEPS // 2,
    )
    for task_name in CORE_TASKS:
        # The proof of modes that only timing runs use; they may have to compile for this.
        yield _trained(
            tasks[task_name], adam, MODES_STEPS, "/modes", " in every mode", modes="every"
        )
    for task_name in CORE_TASKS if long else ():
        for name in CORE_OPTIMIZERS:
            optimizer = registry.optimizers[name]
            yield _trained(tasks[task_name], optimizer, LONG_STEPS, f"/{LONG_STEPS}")


def _trainers_of_variant(task: TaskSpec) -> tuple[str, ...]:
    """Who trains a task that is a core task but for one thing."""
    decays = task.regularization.decay > 0.0
    return ("momentum", "adam", *(FROM_WEIGHTS if decays else ()))


def _trained(
    task: TaskSpec,
    optimizer: Optimizer,
    steps: int,
    suffix: str = "",
    how: str = "",
    rate: float | None = None,
    modes: Modes = "convergence",
) -> TrajectoryCase:
    name, rate = optimizer.name, optimizer.learning_rate if rate is None else rate
    what = f"{task.name} trained by {name}{how}, {steps} steps"
    schedule = ScheduleSpec(kind="warmup_cosine", base_lr=rate)
    case = f"{task.name}/{name}{suffix}"
    return TrajectoryCase("trajectories", case, what, task, name, schedule, steps, modes=modes)


def _group_cases(registry: Registry, tasks: dict[str, TaskSpec]) -> Iterator[TrajectoryCase]:
    """Parameter groups: other settings, rates and optimizers for some roles."""
    for each in GROUPS:
        optimizer = registry.optimizers[each.optimizer]
        case = _trained(
            *(tasks[each.task], optimizer, GROUPS_STEPS, f"/groups/{each.label}"),
            how=f" and {each.what}",
        )
        groups = in_groups(each, registry.optimizers)
        yield replace(case, groups=groups, replaced_from=each.replaced * GROUPS_STEPS // 2)


def _float32_cases(registry: Registry, tasks: dict[str, TaskSpec]) -> Iterator[TrajectoryCase]:
    for task_name in CORE_TASKS:
        for name in CORE_OPTIMIZERS:
            case = _trained(tasks[task_name], registry.optimizers[name], FLOAT32_STEPS)
            what = f"{task_name} trained by {name} in float32"
            yield replace(case, level="float32", what=what, dtype="float32")


def _tf32_cases(registry: Registry, tasks: dict[str, TaskSpec]) -> Iterator[TrajectoryCase]:
    """What TF32 changes on a GPU: for people to see, never judged."""
    for task_name in CORE_TASKS:
        case = _trained(tasks[task_name], registry.optimizers["adam"], FLOAT32_STEPS, "/tf32")
        what = f"{task_name} trained by adam in float32, with TF32 and without"
        yield replace(case, level="float32", what=what, dtype="float32", tf32=True)


def _population_cases(registry: Registry, tasks: dict[str, TaskSpec]) -> Iterator[PopulationCase]:
    """Every optimizer that is equal in all libraries and every loaded one, on every task here."""
    own = registry.loaded.get("optimizers", ())
    trained = [
        name
        for name, each in registry.optimizers.items()
        if _in_all_three(each) or (name in own and not (each.rule and each.rule.joint))
    ]
    for task_name in POPULATION_TASKS:
        for name in trained:
            yield _lanes(tasks[task_name], name)
        yield _lanes(tasks[task_name], "adam", "/alone", steps=BITS_STEPS, bits=True)
    for suffix in ("batch_norm", "dropout", "clip_norm", "all_penalties"):
        yield _lanes(tasks[f"digits_mlp+{suffix}"], "adam")
    yield _lanes(tasks["digits_cnn+strided"], "momentum")
    batch_norm = tasks["digits_mlp+batch_norm"]
    yield _lanes(batch_norm, "momentum", "/alone", steps=BITS_STEPS, bits=True)
    mlp = tasks["digits_mlp"]
    yield _lanes(mlp, "adam", "/rates_replaced", replaced_from=STEPS // 2)
    for name in ("momentum", "adam"):
        yield _lanes(mlp, name, "/native", rule="native")
    for task_name in registry.loaded.get("tasks", ()):
        yield _lanes(tasks[task_name], "adam")


def _in_all_three(optimizer: Optimizer) -> bool:
    return not optimizer.differs and {"torch", "tensorflow", "jax"} <= set(optimizer.bindings)


def _lanes(task: TaskSpec, name: str, suffix: str = "", **fields: Any) -> PopulationCase:
    case = PopulationCase("populations", f"{task.name}/{name}{suffix}", "", task, name, **fields)
    other = "alone in the program" if case.bits else "by itself"
    what = f"{LANES} runs of {task.name} by {name} in one program, each against the same {other}"
    return replace(case, what=what)


def by_id(cases: Sequence[Case]) -> dict[str, Case]:
    """The cases under their ids."""
    return {case.id: case for case in cases}

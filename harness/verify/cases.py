"""The table of all that is verified. A case draws its own inputs from its name, so every process
draws the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from ..plan import Weights
from ..registry import Registry
from ..schedule import Schedule
from ..schedules import SCHEDULES
from ..schedules import table as rates_table
from ..spec import Dtype, Regularization, ScheduleSpec, TaskSpec, UpdateRule
from .verdict import Level

# Up to which scaled differences count as equal; see judge.py for the scales.
PIECE_TOLERANCE, LOSS_TOLERANCE, LONG_TOLERANCE, FLOAT32_TOLERANCE = 1e-12, 1e-12, 1e-9, 1e-5
# L-BFGS divides by products of differences that nearly cancel where gradients are arbitrary:
# rounding is amplified, on these gradients to 5e-11 (measured between torch and the others).
JOINT_TOLERANCE = 1e-9
# These ask for the function itself, which given gradients do not have: only training runs can show
# them.
CLOSED_LOOP: dict[str, tuple[UpdateRule, ...]] = {
    "lbfgs": ("native",),
    "sophia": ("canonical", "native"),
}

# Every optimizer trains these; every task is trained by these. A cell outside is proven by its
# parts: its rule, its task.
CORE_TASKS = ("digits_mlp", "digits_cnn", "digits_lstm")
CORE_OPTIMIZERS = ("sgd", "momentum", "adam")
# On these the optimizers' learning rates, which are made for digits, would diverge (losses beyond
# 1e50) or amplify rounding by 1e5 in a hundred steps; they are trained with at most this one.
_LARGEST_RATES = {
    "quadratic": 1e-3,
    "rosenbrock": 5e-4,
    "beale": 1e-3,
    "adding_rnn": 0.01,
    "copy_rnn": 0.01,
}
STEPS, JOINT_STEPS, LONG_STEPS, FLOAT32_STEPS, UPDATE_STEPS, RATE_STEPS, MODES_STEPS = (
    100,
    10,
    1000,
    10,
    50,
    200,
    20,
)
# Tasks made to be timed are other tasks' layers at other widths: a few steps of the small ones show
# that they are wired.
TIMED_STEPS = 10


@dataclass(frozen=True)
class Case:
    """One thing that all sides compute. `name` is unique within the level; `what` is for people."""

    level: Level
    name: str
    what: str

    @property
    def id(self) -> str:
        """What `-k` filters on."""
        return f"{self.level}/{self.name}"

    def random(self) -> np.random.Generator:
        """This case's own stream."""
        return np.random.default_rng([20_261_121, zlib.crc32(self.id.encode())])


@dataclass(frozen=True)
class WeightsCase(Case):
    """Weights of a task's model into a session and back. Not its initial ones: those hold zeros,
    which hide much.
    """

    task: TaskSpec

    def draw(self) -> dict[str, np.ndarray]:
        """Every parameter, by its full name."""
        rng, layers = self.random(), build(self.task.model, self.task.input_shape)
        return {
            p.name: rng.uniform(0.1, 1.0, p.shape) for layer in layers for p in layer.parameters
        }


@dataclass(frozen=True)
class LayerCase(Case):
    """One layer on one batch of `samples`. inputs: 'normal', 'integers' (below the vocabulary),
    'ties' (few values).
    """

    layer: Layer
    input_shape: Shape
    training: bool = True
    inputs: Literal["normal", "integers", "ties"] = "normal"
    samples: int = 5

    def built(self) -> BuiltLayer:
        """The layer in its place."""
        return build((self.layer,), self.input_shape)[0]

    def draw(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray | None]:
        """weights, x, upstream and mask (None but for dropout), as `Adapter.differentiate` takes
        them.
        """
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
    """A task's loss and metric of given outputs [n, ...]; `spread` is the outputs' standard
    deviation.
    """

    task: TaskSpec
    shape: Shape
    spread: float = 2.0

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """outputs and y, as `Adapter.loss` and `Adapter.metric` take them."""
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
    """An optimizer on given gradients. Under the native rule, the referee still computes the
    canonical one.

    matrices: on matrices alone, for a class that takes nothing else. tolerance: of a difference as
    judge.py scales it."""

    optimizer: str
    rule: UpdateRule
    schedule: ScheduleSpec
    steps: int = UPDATE_STEPS
    matrices: bool = False
    tolerance: float = PIECE_TOLERANCE

    def draw(self) -> tuple[dict[str, np.ndarray], list[Weights]]:
        """Start and gradients: entries over four decades; of each tensor the first row always zero,
        the second at every third step."""
        # Not from the name: every optimizer and rule sees the same gradients.
        rng = np.random.default_rng(20_261_121)
        shapes = {
            name: shape for name, shape in _UPDATED.items() if len(shape) == 2 or not self.matrices
        }
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
    """A training run. modes: in that of convergence runs, in those in which everything is proven,
    or in every one.

    replaced_from: from this step on the rates are halved by `Session.set_learning_rates`, as a
    plateau does; 0 is never."""

    task: TaskSpec
    optimizer: str
    schedule: ScheduleSpec
    steps: int = STEPS
    dtype: Dtype = "float64"
    modes: Literal["convergence", "proof", "every"] = "convergence"
    replaced_from: int = 0


@dataclass(frozen=True)
class RatesCase(Case):
    """A schedule's rates as updates use them: gradient e_t at step t turns element t of a zero
    tensor into -rate_t.
    """

    schedule: ScheduleSpec
    dtype: Dtype
    known: Mapping[str, Schedule]
    steps: int = RATE_STEPS

    def rates(self) -> np.ndarray:
        """The table: float64[steps]. UserError if a user's schedule gives none."""
        return rates_table(self.schedule, self.steps, self.known)


@dataclass(frozen=True)
class Selection:
    """What of the table is wanted. loaded: only what the user's files brought, unless a keyword
    chooses.
    """

    keyword: str = ""
    quick: bool = False
    long: bool = False
    frameworks: tuple[str, ...] = ()


def table(registry: Registry, selection: Selection) -> tuple[Case, ...]:
    """Every case that the selection keeps, in the order of the levels."""
    from ..sweep import matches

    cases = [
        case for case in everything(registry, selection.long) if matches(case.id, selection.keyword)
    ]
    if selection.quick:
        cases = [case for case in cases if _quick(case, registry)]
    if any(registry.loaded.values()) and not selection.keyword:
        cases = [case for case in cases if _loaded(case, registry)]
    return tuple(cases)


def everything(registry: Registry, long: bool = False) -> Iterator[Case]:
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
    dtypes: tuple[Dtype, ...] = ("float64", "float32")
    for kind in registry.schedules:
        for dtype in dtypes:
            what = f"{kind}, the rates of {RATE_STEPS} updates in {dtype}"
            yield RatesCase(
                "rates",
                f"{kind}/{dtype}",
                what,
                ScheduleSpec(kind=kind, base_lr=0.1),
                dtype,
                registry.schedules,
            )
    yield from _float32_cases(registry, tasks)


def _quick(case: Case, registry: Registry) -> bool:
    """A representative part: every level, every layer kind and loss once, the common optimizers,
    few trajectories.
    """
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
        case TrajectoryCase():
            return case.name == "digits_mlp/adam"
        case RatesCase():
            kind = case.schedule.kind
            return kind in ("constant", "step", "cosine", "one_cycle") or kind not in SCHEDULES
    return True


QUICK_LEFT_OUT = (
    "--quick looks at the weights of three tasks, one case of each layer kind, canonical update"
    " rules that two libraries have under a decaying rate, nine trajectories and four schedules;"
    " native rules, all other tasks and combinations are left out"
)
FULL_LEFT_OUT = (
    f"trajectories cross every optimizer with {', '.join(CORE_TASKS)}, and every task with"
    f" {', '.join(CORE_OPTIMIZERS)}; any other pair of task and optimizer is proven by its parts,"
    f" the update rule and the task; modes that only timing uses train {', '.join(CORE_TASKS)} by"
    f" adam; L-BFGS, which amplifies rounding, trains {JOINT_STEPS} steps of functions of a point;"
    f" of the tasks made to be timed, the small ones are trained by adam for {TIMED_STEPS} steps"
)


def _loaded(case: Case, registry: Registry) -> bool:
    """Whether the case is about something that the user's files brought."""
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
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "sigmoid",
    "tanh",
)


def layer_cases() -> Iterator[LayerCase]:
    """Every kind of layer with every option that changes what it computes."""
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
            yield LayerCase(
                "layers",
                f"{name}/{phase}",
                f"{layer.kind} on {list(shape)}, {phase}",
                layer,
                shape,
                training,
            )
    for kind, pool in (
        ("max_pool2d", MaxPool2D(window=2)),
        ("max_pool2d", MaxPool2D(window=3, stride=2, padding="same")),
    ):
        name = f"{kind}/ties_window{pool.window}"
        yield LayerCase("layers", name, "equal values in a window", pool, image, inputs="ties")
    yield LayerCase(
        "layers",
        "activation/relu_at_zero",
        "relu with inputs of exactly 0",
        Activation(),
        (6,),
        inputs="ties",
    )
    yield LayerCase(
        "layers",
        "embedding",
        "embedding of 6 integers",
        Embedding(vocabulary=7, units=3),
        (6,),
        inputs="integers",
    )


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
    entries: list[tuple[str, dict[str, Any], Shape, float]] = [
        ("softmax_cross_entropy", {"loss": "softmax_cross_entropy"}, (8, 5), 2.0),
        (
            "softmax_cross_entropy/smoothing",
            {"loss": "softmax_cross_entropy", "label_smoothing": 0.1},
            (8, 5),
            2.0,
        ),
        ("softmax_cross_entropy/extreme", {"loss": "softmax_cross_entropy"}, (8, 5), 60.0),
        ("softmax_cross_entropy/over_time", {"loss": "softmax_cross_entropy"}, (4, 6, 5), 2.0),
        (
            "softmax_cross_entropy/over_time_smoothing",
            {"loss": "softmax_cross_entropy", "label_smoothing": 0.2},
            (4, 6, 5),
            2.0,
        ),
        ("binary_cross_entropy", {"loss": "binary_cross_entropy"}, (9, 1), 2.0),
        (
            "binary_cross_entropy/smoothing",
            {"loss": "binary_cross_entropy", "label_smoothing": 0.1},
            (9, 1),
            2.0,
        ),
        ("binary_cross_entropy/extreme", {"loss": "binary_cross_entropy"}, (9, 1), 60.0),
        ("mean_squared_error", {"loss": "mean_squared_error", "metric": "r2"}, (8, 3), 2.0),
        ("huber", {"loss": "huber", "metric": "r2"}, (8, 3), 1.5),
        ("output", {"loss": "output", "metric": "negative_loss"}, (4, 1), 1.0),
    ]
    for name, fields, shape, spread in entries:
        task = TaskSpec(
            name="loss",
            title=name,
            data="digits",
            input_shape=(64,),
            model=(Dense(units=shape[-1]),),
            batch_size=8,
            steps=1,
            eval_every=1,
            target=0.0,
            target_origin="",
            **fields,
        )
        yield LossCase(
            "losses",
            name,
            f"{name} of outputs {list(shape)}, and {task.metric}",
            task,
            shape,
            spread,
        )


# -- update rules and trajectories


def _update_cases(registry: Registry) -> Iterator[UpdateCase]:
    for name, optimizer in registry.optimizers.items():
        rate = optimizer.learning_rate
        schedules = {
            "constant": ScheduleSpec(kind="constant", base_lr=rate),
            "decaying": ScheduleSpec(kind="cosine", base_lr=rate, params={"final_fraction": 0.01}),
        }
        rules: tuple[UpdateRule, ...] = ("canonical", "native")
        allowed = JOINT_TOLERANCE if optimizer.rule and optimizer.rule.joint else PIECE_TOLERANCE
        for rule in (rule for rule in rules if rule not in CLOSED_LOOP.get(name, ())):
            for label, schedule in schedules.items():
                what = f"{optimizer.title}, {rule} rule, {label} rate"
                yield UpdateCase(
                    "updates",
                    f"{name}/{rule}/{label}",
                    what,
                    name,
                    rule,
                    schedule,
                    tolerance=allowed,
                )
                if any(binding.matrices_only for binding in optimizer.bindings.values()):
                    case = f"{name}/{rule}/{label}/matrices"
                    yield UpdateCase(
                        "updates",
                        case,
                        f"{what}, matrices alone",
                        name,
                        rule,
                        schedule,
                        matrices=True,
                    )


def variants(registry: Registry) -> tuple[TaskSpec, ...]:
    """The smallest tasks with what no built-in task has: penalties, decay, clipping, dropout, and
    so on.

    Their names begin with the task that they vary.
    """
    mlp, cnn = registry.tasks["digits_mlp"], registry.tasks["digits_cnn"]
    hidden = Dense(units=32, initializer="he_normal")

    def penalised(name: str, **given: float) -> TaskSpec:
        return mlp.model_copy(
            update={"name": f"digits_mlp+{name}", "regularization": Regularization(**given)}
        )

    def built(name: str, *model: Layer) -> TaskSpec:
        return mlp.model_copy(
            update={"name": f"digits_mlp+{name}", "model": (*model, Dense(units=10))}
        )

    return (
        penalised("l1", l1=1e-3),
        penalised("l2", l2=1e-2),
        penalised("decay", decay=0.1),
        penalised("clip_norm", clip_norm=0.5),
        penalised("all_penalties", l1=1e-4, l2=1e-3, decay=0.01, clip_norm=1.0),
        mlp.model_copy(update={"name": "digits_mlp+smoothing", "label_smoothing": 0.1}),
        built("batch_norm", hidden, BatchNorm(), Activation()),
        built("layer_norm", hidden, LayerNorm(), Activation(function="gelu")),
        built("weight_norm", Dense(units=32, weight_norm=True), Activation(function="tanh")),
        built("dropout", hidden, Activation(), Dropout(rate=0.3)),
        cnn.model_copy(update={"name": "digits_cnn+strided", "model": _strided()}),
        mlp.model_copy(
            update={"name": "digits_mlp+sequences", "input_shape": (8, 8), "model": _stacked()}
        ),
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
            steps = STEPS
            if optimizer.rule and optimizer.rule.joint:
                # L-BFGS is for functions without noise, and even there it amplifies rounding, by
                # 1e4 in 20 to 60 steps.
                wanted, rate, steps = (
                    isinstance(task.model[0], Point),
                    optimizer.learning_rate,
                    JOINT_STEPS,
                )
            else:
                wanted = (
                    name in (("momentum", "adam") if "+" in task.name else core_optimizers)
                    or task.name in core_tasks
                )
                rate = min(optimizer.learning_rate, _LARGEST_RATES.get(task.name, np.inf))
            if task.data in SYNTHETIC:
                wanted, steps = name == "adam", TIMED_STEPS
            if wanted:
                yield TrajectoryCase(
                    "trajectories",
                    f"{task.name}/{name}",
                    f"{task.name} trained by {name}, {steps} steps",
                    task,
                    name,
                    _rising_and_falling(rate),
                    steps,
                    modes="proof" if name in core_optimizers else "convergence",
                )
    mlp = tasks["digits_mlp"]
    level = ScheduleSpec(kind="constant", base_lr=registry.optimizers["momentum"].learning_rate)
    yield TrajectoryCase(
        "trajectories",
        "digits_mlp/momentum/rates_replaced",
        "rates halved on the way, as a plateau does",
        mlp,
        "momentum",
        level,
        modes="proof",
        replaced_from=STEPS // 2,
    )
    for task_name in CORE_TASKS:
        # The modes in which only timing runs are made have their proof here; they may have to
        # compile for this.
        yield TrajectoryCase(
            "trajectories",
            f"{task_name}/adam/modes",
            f"{task_name} trained by adam in every mode, {MODES_STEPS} steps",
            tasks[task_name],
            "adam",
            _rising_and_falling(registry.optimizers["adam"].learning_rate),
            MODES_STEPS,
            modes="every",
        )
    for task_name in CORE_TASKS if long else ():
        for name in CORE_OPTIMIZERS:
            yield TrajectoryCase(
                "trajectories",
                f"{task_name}/{name}/{LONG_STEPS}",
                f"{task_name} trained by {name}, {LONG_STEPS} steps",
                tasks[task_name],
                name,
                _rising_and_falling(registry.optimizers[name].learning_rate),
                LONG_STEPS,
            )


def _rising_and_falling(rate: float) -> ScheduleSpec:
    return ScheduleSpec(kind="warmup_cosine", base_lr=rate)


def _float32_cases(registry: Registry, tasks: dict[str, TaskSpec]) -> Iterator[TrajectoryCase]:
    for task_name in CORE_TASKS:
        for name in CORE_OPTIMIZERS:
            optimizer = registry.optimizers[name]
            yield TrajectoryCase(
                "float32",
                f"{task_name}/{name}",
                f"{task_name} trained by {name} in float32",
                tasks[task_name],
                name,
                _rising_and_falling(optimizer.learning_rate),
                FLOAT32_STEPS,
                "float32",
            )


def by_id(cases: Sequence[Case]) -> dict[str, Case]:
    """The cases under their ids."""
    return {case.id: case for case in cases}

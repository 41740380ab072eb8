"""PyTorch's populations beyond lanes.py: every layer and loss, one thread or two, odd classes.

`python tests/helpers/populations_torch.py SECTION OUT.npz`, because one process
holds one framework."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import gradrace.adapters.torch as torch_adapter
import numpy as np
import torch
from gradrace import data
from gradrace.adapter import LanesImpossible, Unsupported
from gradrace.adapters.torch import ADAPTER, lane_trials
from gradrace.adapters.torch.graph import CapturedStep
from gradrace.adapters.torch.lane_graph import CapturedPopulation
from gradrace.adapters.torch.lane_network import LaneNetwork
from gradrace.adapters.torch.layers import to_torch
from gradrace.adapters.torch.population import memory_errors
from gradrace.layers import Dense, Dropout
from gradrace.optimizer import Binding, Hyper, Optimizer
from gradrace.plan import initial_weights, make_plan
from gradrace.spec import RunSpec, TaskSpec
from lanes import alone, same_bits, together, varied, worst
from layer_cases import CASES, Case, prepare
from layer_table import TASKS, made_up
from layer_table import task as task_of
from runs import REGISTRY, spec_of

Found = Iterator[tuple[str, Any]]
LANES, MODE = 3, "eager-fused"
# State: two moments; a product; factors, in canonical storage; a correction at every step.
OPTIMIZERS = [
    name
    for name, each in REGISTRY.optimizers.items()
    if "torch" in each.bindings and "torch" not in each.differs
]
PAIRS = ("digits_mlp:adam", "digits_mlp:nadam", "digits_cnn:adafactor", "digits_gru:rmsprop")


def layers() -> Found:
    """Every case of layer_cases.py in lanes against one by one; every task of layer_table.py."""
    for case in CASES:
        yield f"layer|{case.name}", np.array(layer_difference(case))
    for spec in TASKS:
        runs = [of_lane(spec, lane) for lane in range(LANES)]
        singles = [alone(ADAPTER, run, MODE) for run in runs]
        found = together(ADAPTER, runs, LANES)
        yield f"task|{spec.name}", np.array(max(map(worst, singles, found)))


def layer_difference(case: Case) -> float:
    """The largest scaled difference of a lane from `differentiate`."""
    torch.set_default_dtype(torch.float64)
    given = prepare(case)
    shares = [1.0, -0.5, 1.7]
    weights = [
        {n: np.abs(w) * s**2 if "variance" in n else w * s for n, w in given.weights.items()}
        for s in shares
    ]
    network = LaneNetwork((given.layer,), len(given.x), weights, torch.float64, torch.device("cpu"))
    network.train(case.training)
    x = torch.stack([to_torch(torch.from_numpy(np.roll(given.x, s, 0))) for s in range(LANES)])
    x.requires_grad_(x.is_floating_point())
    outputs = network(x, factors_of(given))
    outputs.backward(torch.from_numpy(given.upstream).expand_as(outputs))
    kept = network.weights
    return max(
        difference(lane, given, weights[lane], x, outputs, network, kept(lane))
        for lane in range(LANES)
    )


def factors_of(given: Any) -> dict[str, torch.Tensor]:
    if given.mask is None:
        return {}
    mask = to_torch(torch.from_numpy(given.mask)).double() / (1.0 - given.layer.layer.rate)
    return {given.layer.name: mask.expand(LANES, *mask.shape)}


def difference(
    lane: int,
    given: Any,
    weights: dict[str, np.ndarray],
    x: torch.Tensor,
    outputs: torch.Tensor,
    network: LaneNetwork,
    after: Any,
) -> float:
    told = ADAPTER.differentiate(*given._replace(weights=weights, x=np.roll(given.x, lane, 0)))
    pairs = [(told.output, outputs[lane].detach().numpy())]
    if told.input_gradient is not None and x.grad is not None:
        own = x.grad[lane].numpy()
        moved = told.input_gradient
        pairs.append((moved.transpose(0, 3, 1, 2) if moved.ndim == 4 else moved, own))
    for (name, tensor), layout in zip(network.trained.items(), network.layouts, strict=True):
        gradient = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        pairs.append((told.gradients[name], layout.to_canonical(gradient[lane].numpy())))
    pairs += [(value, after[name]) for name, value in told.state.items()]
    return max(
        float(np.abs(one - other).max() / max(1.0, np.abs(one).max())) for one, other in pairs
    )


def of_lane(spec: TaskSpec, lane: int, name: str = "momentum", **fields: Any) -> RunSpec:
    """Another dropout, smoothing, penalty, clipping, rate and seed in every lane."""
    share = 1.0 - 0.3 * lane
    model = [
        layer.model_copy(update={"rate": layer.rate * share})
        if isinstance(layer, Dropout)
        else layer
        for layer in spec.model
    ]
    rules = {key: value * share for key, value in dict(spec.regularization).items()}
    own = {"steps": 12, "eval_every": 6, "label_smoothing": spec.label_smoothing * share}
    own |= {"model": [layer.model_dump() for layer in model], "regularization": rules}
    changed = TaskSpec.model_validate({**spec.to_json(), **own})
    fields = {"framework": "torch", "mode": MODE, "seed": lane, **fields}
    return spec_of(changed, name, 0.02 * share, **fields)


def pairs() -> Found:
    """Of built-in tasks and optimizers, in float64."""
    for pair in PAIRS:
        spec, name = pair.split(":")
        runs = varied(REGISTRY.tasks[spec], name, 5, 30, framework="torch", mode=MODE)
        singles = [alone(ADAPTER, run, MODE) for run in runs]
        found = together(ADAPTER, runs, 5)
        yield f"{pair}|worst", np.array(max(map(worst, singles, found)))
        yield f"{pair}|bits", np.array(same_bits(ADAPTER, runs, found))


def bits() -> Found:
    """No bit of a lane depends on others, beyond float64 and with two threads."""
    perceptron, images, recurrent = TASKS[0], TASKS[1], TASKS[4]
    for spec, name, dtype, threads in (
        (perceptron, "adam", "float32", 1),
        (images, "momentum", "float32", 1),
        (recurrent, "rmsprop", "float32", 1),
        (perceptron, "nadam", "float32", 2),
        (perceptron, "sgd", "bfloat16", 1),
    ):
        fields = {"dtype": dtype, "threads": threads}
        runs = [of_lane(spec, lane, name, **fields) for lane in range(4)]
        found = together(ADAPTER, runs, 5)
        same = same_bits(ADAPTER, runs, found)
        yield f"bits|{dtype}|{threads}|{spec.name}|{name}", np.array(same)


def stacked() -> Found:
    """As on a GPU: one optimizer for all lanes, in steps that could be captured."""
    image = TASKS[0]
    with mock.patch.object(lane_trials, "STACKED_ON", {"cpu"}), captured_on_a_cpu():
        for spec, name in (
            *((REGISTRY.tasks["digits_mlp"], name) for name in ("nadam", "amsgrad")),
            *((image, "rmsprop_momentum"), (image, "adamw"), (TASKS[4], "nesterov")),
        ):
            runs = [of_lane(spec, lane, name) for lane in range(4)]
            singles = [alone(ADAPTER, run, MODE) for run in runs]
            found = together(ADAPTER, runs, 5)
            yield f"{spec.name} {name}|worst", np.array(max(map(worst, singles, found)))
            yield f"{spec.name} {name}|bits", np.array(same_bits(ADAPTER, runs, found))
        with mock.patch.object(CapturedStep, "capture", side_effect=Unsupported("no")):
            again = together(ADAPTER, runs, 5)
        yield (
            "refused|bits",
            np.array(all(worst(a, b) == 0.0 for a, b in zip(found, again, strict=True))),
        )
        yield "together", np.array(json.dumps(sorted(filter(steps_together, OPTIMIZERS))))
        yield (
            "bytes",
            np.array(json.dumps([state_bytes(name) for name in ("sgd", "adam", "nadam")])),
        )


def captured_on_a_cpu() -> Any:
    return mock.patch.object(torch_adapter, "TorchPopulation", CapturedPopulation)


def steps_together(name: str) -> bool:
    run = of_lane(TASKS[0], 0, name)
    return lane_trials.recipe(run, make_plan(run, REGISTRY.optimizers[name])) is not None


def state_bytes(name: str) -> list[int | None]:
    """Of a single run and of a lane in either way, after a step."""
    run = of_lane(REGISTRY.tasks["digits_mlp"], 0, name)
    inputs = make_plan(run, REGISTRY.optimizers[name])
    start = initial_weights(run.task, 0)
    opened = [
        ADAPTER.open(run, start, inputs),
        ADAPTER.open_population([run], [start], [inputs], 3),
    ]
    with mock.patch.object(lane_trials, "STACKED_ON", set()):
        opened.append(ADAPTER.open_population([run], [start], [inputs], 3))
    for each in opened:
        each.train(range(1))
    return [each.state_bytes() for each in opened]


def memory() -> Found:
    """What torch raises on a CPU and on a GPU that are out of memory."""
    errors = [torch.OutOfMemoryError("CUDA out of memory"), ValueError("another")]
    for error in errors:
        try:
            with memory_errors():
                raise error
        except Exception as found:
            yield f"memory|{error}", np.array(type(found).__name__)
    try:
        with memory_errors():
            torch.empty(2**55)
    except Exception as found:
        yield "memory|cpu", np.array(type(found).__name__)


# Classes of users


class Counting(torch.optim.Optimizer):
    """Counts in Python, keeps a hyperparameter to itself, and has two sets of weights."""

    def __init__(self, params: Any, lr: float, share: float) -> None:
        super().__init__(params, {"lr": lr})
        self.share, self.taken, self.inside = share, 0, True

    def train(self) -> None:
        self._turn(True)

    def eval(self) -> None:
        self._turn(False)

    @torch.no_grad()
    def _turn(self, inside: bool) -> None:
        if inside != self.inside:
            for p in self.param_groups[0]["params"]:
                p.add_(self.share if inside else -self.share)
        self.inside = inside

    @torch.no_grad()
    def step(self) -> None:
        self.taken += 1
        for p in self.param_groups[0]["params"]:
            p.sub_(p.grad, alpha=self.param_groups[0]["lr"] * self.share / self.taken)


class Moving(Counting):
    """Gives its parameters other memory."""

    @torch.no_grad()
    def step(self) -> None:
        for p in self.param_groups[0]["params"]:
            p.data = p - self.param_groups[0]["lr"] * p.grad


class Noisy(Counting):
    """Draws from torch's one generator."""

    @torch.no_grad()
    def step(self) -> None:
        for p in self.param_groups[0]["params"]:
            p.sub_(p.grad + torch.randn_like(p), alpha=self.param_groups[0]["lr"])


class Sharing(Counting):
    """All instances count together."""

    counted = 0

    @torch.no_grad()
    def step(self) -> None:
        Sharing.counted += 1
        for p in self.param_groups[0]["params"]:
            p.sub_(p.grad, alpha=self.param_groups[0]["lr"] / Sharing.counted)


class Asking(Counting):
    """Evaluates the loss itself."""

    def step(self, closure: Callable[[], Any]) -> None:  # type: ignore[override]
        closure()


def declared(make: type, asks: bool = False) -> Optimizer:
    binding = Binding(lambda: make, lambda hyper: {"share": hyper["share"]}, asks_for_loss=asks)
    return Optimizer(
        name=make.__name__.lower(),
        title=make.__name__,
        paper="None",
        hyper={"share": Hyper(0.5, "of the gradient")},
        learning_rate=0.1,
        rule=None,
        bindings={"torch": binding},
    )


def classes() -> Found:
    """Lanes of a user's class, or why there are none; and runs that are trained alone."""
    for make in (Counting, Moving, Noisy, Sharing, Asking):
        optimizer = declared(make, make is Asking)
        REGISTRY.optimizers[optimizer.name] = optimizer  # type: ignore[index]
        runs = [
            of_lane(task_of("plain", (Dense(units=10),), input_shape=(64,)), lane, optimizer.name)
            for lane in range(LANES)
        ]
        try:
            found = together(ADAPTER, runs, LANES)
            singles = [alone(ADAPTER, run, MODE) for run in runs]
            yield f"class|{optimizer.name}", np.array(max(map(worst, singles, found)))
        except LanesImpossible as reason:
            yield f"class|{optimizer.name}", np.array(str(reason))
    native = (Dropout(rate=0.5, masks="native"), Dense(units=10))
    own = {
        "native dropout": of_lane(task_of("native", native, input_shape=(64,)), 0),
        "pipeline": of_lane(TASKS[0], 0, input="pipeline"),
        "diagnosis": of_lane(TASKS[0], 0, diagnose=True),
        "native lbfgs": of_lane(TASKS[0], 0, "lbfgs", rule="native"),
    }
    for what, run in own.items():
        try:
            ADAPTER.lane_key(run, make_plan(run, REGISTRY.optimizers[run.optimizer.name]))
        except LanesImpossible as reason:
            yield f"alone|{what}", np.array(str(reason))


def main() -> None:
    section, out = sys.argv[1:]
    load = data.load
    data.load = lambda name: made_up(name) if name in ("words", "numbers", "binary") else load(name)
    sections: list[Callable[[], Found]] = [pairs, layers, bits, stacked, memory, classes]
    np.savez(out, **dict({each.__name__: each for each in sections}[section]()))


if __name__ == "__main__":
    main()

"""Runs mode `cudagraph` of PyTorch on the CPU, with a stand-in for the CUDA graph.

The stand-in records torch's operations and does them again on the same memory, so that numbers of
Python stay as they were at the capture.

`python tests/helpers/captured_torch.py OUT.npz`, because one process holds one framework.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from gradrace.adapter import Unsupported
from gradrace.adapters.torch import ADAPTER, graph
from gradrace.optimizer import Binding, Optimizer
from gradrace.plan import initial_weights, make_plan
from gradrace.spec import RunSpec
from modes_torch import REGISTRY, STEPS, TASKS, gradients, outcome, run_of
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Found = Iterator[tuple[str, Any]]

CAPTURABLE = ("adadelta", "adam", "adamax", "asgd", "nadam", "radam", "rmsprop", "rprop")


@contextmanager
def capturable_on_the_cpu() -> Iterator[None]:
    """torch's classes refuse `capturable=True` for tensors of the CPU, and only there."""
    with ExitStack() as stack:
        for name in CAPTURABLE:
            module = importlib.import_module(f"torch.optim.{name}")
            devices = lambda supports_xla=True: ["cpu"]
            stack.enter_context(
                mock.patch.object(module, "_get_capturable_supported_devices", devices)
            )
        yield


class Recording(TorchDispatchMode):
    """Operations with their tensors, and the values of those that they overwrite."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self.overwritten: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # Batch normalisation moves its statistics, which its schema does not say.
        if func._schema.is_mutable or "batch_norm" in func.name():
            for tensor in tensors_of((args, kwargs)):
                self.overwritten.setdefault(id(tensor), (tensor, tensor.detach().clone()))
        out = func(*args, **kwargs)
        self.operations.append((func, args, kwargs, out))
        return out

    @torch.no_grad()
    def again(self) -> None:
        for func, args, kwargs, out in self.operations:
            fresh = func(*args, **kwargs)
            for before, after in zip(tensors_of(out), tensors_of(fresh), strict=True):
                if before.data_ptr() != after.data_ptr():
                    before.detach().copy_(after)


def tensors_of(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def recorded(self: graph.CapturedStep) -> Any:
    """As `capture`: takes no step."""
    with Recording() as recording, torch.random.fork_rng([]):
        self._take()
    # The first values come last: two of these tensors may share their memory.
    for tensor, values in reversed([*recording.overwritten.values()]):
        tensor.detach().copy_(values)
    self.replay = recording.again
    return self.replay


def opened(run: RunSpec, optimizer: Optimizer | None = None) -> Any:
    """A session, whether or not `supports` would refuse it here."""
    optimizer = optimizer or REGISTRY.optimizers[run.optimizer.name]
    return ADAPTER.open(run, initial_weights(run.task, run.seed), make_plan(run, optimizer))


def trained(run: RunSpec, optimizer: Optimizer | None = None) -> dict[str, np.ndarray]:
    """The first step by itself, as the clock takes it, then calls of several."""
    session = opened(run, optimizer)
    losses = []
    for steps in (range(0, 1), range(1, 5), range(5, run.steps)):
        session.train(steps)
        losses += [*session.losses()]
    return outcome(session) | {"losses": np.array(losses)}


def in_both(run: RunSpec) -> dict[str, np.ndarray] | str:
    """What the run gives, less what eager-fused gives; or why it cannot be captured."""
    plain = trained(run)
    try:
        captured = trained(run.model_copy(update={"mode": "cudagraph"}))
    except Unsupported as error:
        return str(error)
    return {name: captured[name] - plain[name] for name in plain}


def worst(run: RunSpec) -> float | str:
    found = in_both(run)
    return found if isinstance(found, str) else max(abs(each).max() for each in found.values())


def optimizers() -> Found:
    """Every class of torch's, at one rate and at others: the worst difference, or the reason."""
    for name, optimizer in REGISTRY.optimizers.items():
        for rule in ("canonical", "native"):
            run = run_of(TASKS["mlp"], name, "constant", rule)
            if "torch" in optimizer.bindings and not (
                ADAPTER.supports(run, optimizer) or optimizer.bindings["torch"].loss_asked_for(rule)
            ):
                for kind in ("constant", "cosine"):
                    run = run_of(TASKS["mlp"], name, kind, rule)
                    yield f"optimizers|{kind}|{name} {rule}", worst(run)
    for name in ("sgd", "nesterov", "adagrad", "adam"):
        run = run_of(TASKS["mlp"], name, "cosine", dtype="float32")
        yield f"float32|{name}", worst(run)


def tasks() -> Found:
    """Layers, penalties, clipping, decay, statistics, masks and native dropout; other inputs."""
    for name in ("everything", "lstm", "native dropout"):
        for source in ("resident", "pipeline"):
            run = run_of(TASKS[name], "rmsprop_momentum", "cosine", input=source)
            yield f"tasks|{name} {source}", worst(run)


def life() -> Found:
    """Rates that change on the way, counts, losses, and gradients between steps."""
    ends = []
    for mode in ("eager-fused", "cudagraph"):
        session = opened(run_of(TASKS["mlp"], "adam", "plateau", mode=mode))
        session.train(range(0, 4))
        session.set_learning_rates(np.r_[np.full(4, 1e-3), np.linspace(1e-3, 1e-4, STEPS - 4)])
        session.train(range(4, STEPS))
        ends.append(outcome(session))
    yield "new rates", max(abs(ends[1][name] - ends[0][name]).max() for name in ends[0])
    yield "new rates|programs", session.compilations()
    session = opened(run_of(TASKS["mlp"], mode="cudagraph"))
    counts = [session.compilations()]
    for steps in (range(0, 1), range(1, 3), range(3, 7)):
        session.train(steps)
        counts.append(session.compilations())
    yield "programs", counts
    yield "losses", [len(session.losses()), len(session.losses())]
    yield "parts", list(session.parts())
    with mock.patch("modes_torch.opened", opened):
        yield from gradients(("cudagraph",), ("everything", "native dropout"))


class Mine(torch.optim.Optimizer):
    """Plain descent, with a fault for a graph."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})
        self.taken = 0

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * self.scaled(p, self.state[p])

    def scaled(self, p: Any, state: dict[str, Any]) -> Any:
        return p.grad


class Counts(Mine):
    def scaled(self, p: Any, state: dict[str, Any]) -> Any:
        self.taken += 1
        return p.grad


class CountsInItsState(Mine):
    def scaled(self, p: Any, state: dict[str, Any]) -> Any:
        state["t"] = state.get("t", 0) + 1
        return p.grad


class NewTensors(Mine):
    def scaled(self, p: Any, state: dict[str, Any]) -> Any:
        state["mean"] = 0.5 * state.get("mean", p.grad) + 0.5 * p.grad
        return state["mean"]


class Reads(Mine):
    def scaled(self, p: Any, state: dict[str, Any]) -> Any:
        return p.grad / max(1.0, p.grad.norm().item())


class Asks(Mine):
    def scaled(self, p: Any, state: dict[str, Any]) -> Any:
        return p.grad if p.grad.sum() > 0 else 2.0 * p.grad


class Opaque(Mine):
    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        self.inner = (p.clone() for p in ())


def users() -> Found:
    """A user's classes: what a graph would repeat wrongly is found before there is one."""
    for kind in (Mine, Counts, CountsInItsState, NewTensors, Reads, Asks, Opaque):
        binding = Binding(target=lambda kind=kind: kind, canonical=lambda hyper: {})
        mine = Optimizer("sgd", "", "-", 0.1, {}, {"torch": binding})
        run = run_of(TASKS["mlp"], "sgd", "cosine", mode="cudagraph")
        try:
            plain = trained(run.model_copy(update={"mode": "eager"}), mine)
            captured = trained(run, mine)
            yield (
                f"users|{kind.__name__}",
                max(abs(captured[name] - plain[name]).max() for name in plain),
            )
        except Unsupported as error:
            yield f"users|{kind.__name__}", str(error)


def arguments() -> Found:
    """What the classes are asked for."""
    for name, kind in (("adam", "cosine"), ("adam", "constant"), ("rmsprop", "cosine")):
        session = opened(run_of(TASKS["mlp"], name, kind, mode="cudagraph"))
        defaults = session._updater.optimizer.defaults
        asked = ("capturable", "fused", "foreach")
        yield f"arguments|{name} {kind}", {key: defaults.get(key) for key in asked}


def refusals() -> Found:
    runs = {
        "cpu": run_of(TASKS["mlp"], mode="cudagraph"),
        "gpu": run_of(TASKS["mlp"], mode="cudagraph", device="gpu"),
        "asks for the loss": run_of(
            TASKS["mlp"], "lbfgs", rule="native", mode="cudagraph", device="gpu"
        ),
    }
    with mock.patch.object(type(ADAPTER), "devices", lambda self: ("cpu", "gpu")):
        for name, run in runs.items():
            optimizer = REGISTRY.optimizers[run.optimizer.name]
            yield f"refusals|{name}", ADAPTER.supports(run, optimizer)


def capture() -> Found:
    """The order of torch's documentation, on a stand-in for the GPU."""
    said: list[str] = []

    class Graph:
        def replay(self) -> None:
            said.append("replay")

    @contextmanager
    def capturing(given: Any) -> Iterator[None]:
        said.append(f"begin {type(given).__name__}")
        try:
            yield
        except RuntimeError:
            raise RuntimeError("the capture was broken before")  # noqa: B904 - as torch's own
        said.append("end")

    with mock.patch("torch.cuda.CUDAGraph", Graph), mock.patch("torch.cuda.graph", capturing):
        replay = graph._graph(lambda: said.append("take"))
        replay()
        yield "capture|order", said

        def refused() -> None:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

        try:
            graph._graph(refused)
        except Unsupported as error:
            yield "capture|refused", str(error)


def main() -> None:
    """Saves arrays as they are and everything else as JSON."""
    stand_in = mock.patch.object(graph.CapturedStep, "capture", recorded)
    with capturable_on_the_cpu(), stand_in:
        sections = (
            *(optimizers(), tasks(), life(), users(), arguments()),
            *(refusals(), capture()),
        )
        found = {name: value for section in sections for name, value in section}
    arrays = {
        n: v if isinstance(v, np.ndarray) else np.array(json.dumps(v)) for n, v in found.items()
    }
    np.savez(sys.argv[1], **arrays)


if __name__ == "__main__":
    main()

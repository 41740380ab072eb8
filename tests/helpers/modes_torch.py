"""Runs PyTorch's sessions beyond conform.py: modes, bfloat16, parts of a step, input, refusals.

`python tests/helpers/modes_torch.py eager|gradients|compile|older|refusals OUT.npz`, because one
process holds one framework.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from gradrace.adapter import Unsupported
from gradrace.adapters.torch import ADAPTER
from gradrace.layers import Activation, BatchNorm, Conv2D, Dense, Dropout, Flatten
from gradrace.spec import RunSpec, TaskSpec
from layer_extras import TASKS as EXTRAS
from layer_table import task
from runs import REGISTRY, opened, spec_of
from torch.optim.optimizer import register_optimizer_step_pre_hook

STEPS = 12
Found = Iterator[tuple[str, Any]]

TASKS = {
    "mlp": REGISTRY.tasks["digits_mlp"],
    "lstm": REGISTRY.tasks["digits_lstm"],
    # Batch norm, dropout by masks of the harness, both penalties, decay and clipping.
    "everything": EXTRAS["image"],
    "native dropout": task(
        "native dropout",
        (
            *(Conv2D(filters=4), BatchNorm(), Activation(function="relu"), Flatten()),
            *(Dropout(rate=0.5, masks="native"), Dense(units=10)),
        ),
    ),
    "one value a feature": task(
        "one value", (Flatten(), Dense(units=10), BatchNorm()), batch_size=1
    ),
}


def run_of(
    spec: TaskSpec,
    name: str = "adam",
    kind: str = "constant",
    rule: str = "canonical",
    steps: int = STEPS,
    **changes: Any,
) -> RunSpec:
    task = spec.model_copy(update={"steps": steps, "eval_every": steps})
    fields = {"framework": "torch", "mode": "eager-fused", **changes}
    return spec_of(task, name, kind=kind, rule=rule, **fields)


def outcome(session: Any) -> dict[str, np.ndarray]:
    """Losses since the last call, weights and an evaluation."""
    weights = {f"weight {name}": value for name, value in session.weights().items()}
    return {
        "losses": session.losses(),
        "evaluation": np.array(session.evaluate("validation")),
        **weights,
    }


def trained(run: RunSpec) -> dict[str, np.ndarray]:
    session = opened(run)
    for steps in (range(0, 2), range(2, run.steps)):
        session.train(steps)
    return outcome(session)


def in_modes(modes: tuple[str, ...]) -> Found:
    """Equal in every mode. A native step of L-BFGS is 20 iterations: roundings grow after three."""
    cases = [
        ("everything", "momentum", "canonical", STEPS),
        ("lstm", "adam", "canonical", STEPS),
        ("mlp", "lbfgs", "native", 3),
    ]
    for name, optimizer, rule, steps in cases:
        for mode in modes:
            run = run_of(TASKS[name], optimizer, "cosine", rule, steps, mode=mode)
            yield from (
                (f"modes|{mode}|{name} {optimizer}|{what}", value)
                for what, value in trained(run).items()
            )


def constructed(run: RunSpec, how: str) -> list[dict[str, Any]]:
    """The arguments of torch's classes while a session is opened, or while `updates` is asked."""
    seen: list[dict[str, Any]] = []
    honest = torch.optim.Optimizer.__init__

    def noted(self: Any, params: Any, defaults: dict[str, Any]) -> None:
        seen.append(defaults)
        honest(self, params, defaults)

    with mock.patch.object(torch.optim.Optimizer, "__init__", noted):
        if how == "open":
            opened(run)
        else:
            start = {"a.kernel": np.ones((2, 3))}
            ADAPTER.updates(
                run, REGISTRY.optimizers[run.optimizer.name], start, [start], np.full(STEPS, 0.1)
            )
    return seen


def classes() -> Found:
    """Whether a class was asked to be fused, to choose between loops and lists, or neither."""
    for mode in ("eager", "eager-fused"):
        for name in ("sgd", "adam", "adamw", "adagrad", "amsgrad", "rmsprop", "nadam", "adafactor"):
            for how in ("open", "updates"):
                (given,) = constructed(run_of(TASKS["mlp"], name, mode=mode), how)
                yield (
                    f"classes|{mode}|{name}|{how}",
                    json.dumps({key: given.get(key) for key in ("fused", "foreach")}),
                )


def in_bfloat16() -> Found:
    cases = [
        (name, mode) for name in ("mlp", "everything", "lstm") for mode in ("eager", "eager-fused")
    ]
    for name, mode in cases:
        run = run_of(TASKS[name], mode=mode, dtype="bfloat16")
        session = opened(run)
        yield f"bfloat16|{name} {mode}|start", np.array(session.evaluate("train"))
        session.train(range(STEPS))
        yield from (
            (f"bfloat16|{name} {mode}|{what}", value) for what, value in outcome(session).items()
        )
        yield f"bfloat16|{name} {mode}|end", np.array(session.evaluate("train"))
        state = [
            value for state in session._updater.optimizer.state.values() for value in state.values()
        ]
        held = [
            *session._model.parameters(),
            *(value for value in state if value.dim()),
            session._batches(range(1)),
        ]
        (x, _), tensors = next(iter(held[-1])), held[:-1]
        yield (
            f"bfloat16|{name} {mode}|dtypes",
            sorted({str(tensor.dtype) for tensor in [*tensors, x]}),
        )


def probes() -> Found:
    """A session probed between its steps, and one that is not: native dropout has one generator."""
    cases = [
        ("mlp", "sgd", "constant", "eager"),
        ("everything", "adam", "constant", "eager-fused"),
        ("native dropout", "momentum", "cosine", "eager-fused"),
        ("mlp", "rmsprop_momentum", "cosine", "eager"),
        ("mlp", "rprop", "constant", "eager"),
        ("mlp", "asgd", "constant", "eager"),
        ("mlp", "lbfgs", "constant", "eager"),
    ]
    for name, optimizer, kind, mode in cases:
        run, key = run_of(TASKS[name], optimizer, kind, mode=mode), f"probe|{name} {optimizer}"
        plain = trained(run)
        session, losses = opened(run), []
        yield f"{key}|parts", list(session.parts())
        for first, last in ((0, 5), (5, STEPS)):
            yield f"{key}|unmoved {first}", _unmoved(session, range(first, last))
            session.probe("forward", range(first, first + 1))
            forward = float(session._probed[0])
            session.probe("gradient", range(first, first + 1))
            gradients = [tensor.grad.clone() for tensor in session._trained]
            session.train(range(first, first + 1))
            yield (
                f"{key}|gradient {first}",
                _equal(gradients, session) or bool(run.task.regularization.clip_norm),
            )
            losses += list(session.losses())
            yield f"{key}|loss {first}", [forward, losses[-1]]
            session.train(range(first + 1, last))
            losses += list(session.losses())
        probed = outcome(session) | {"losses": np.array(losses)}
        yield f"{key}|as without", all(np.array_equal(plain[what], probed[what]) for what in plain)
        session.close()


def gradients(modes: tuple[str, ...], names: tuple[str, ...]) -> Found:
    """Of the step that comes and of others, in mid-training; and the weights with and without."""
    for name in names:
        for mode in modes:
            run, key = run_of(TASKS[name], mode=mode), f"gradients|{mode}|{name}"
            plain, session = trained(run), opened(run)
            yield from ((f"{key}|0 {what}", value) for what, value in session.gradients(0).items())
            session.train(range(0, 2))
            session.gradients(7)
            yield from ((f"{key}|2 {what}", value) for what, value in session.gradients(2).items())
            session.train(range(2, STEPS))
            with_them = outcome(session)
            yield (
                f"{key}|as without",
                all(np.array_equal(plain[what], with_them[what]) for what in plain),
            )


def _unmoved(session: Any, steps: range) -> bool:
    """Whether weights and state keep their bits while every part is probed twice."""
    before, state = session.weights(), copy.deepcopy(session._updater.optimizer.state_dict())
    for part in session.parts():
        for _ in range(2):
            session.probe(part, steps)
    after = session.weights()
    same_weights = all(np.array_equal(before[name], after[name]) for name in before)
    return same_weights and str(state) == str(session._updater.optimizer.state_dict())


def _equal(gradients: list[torch.Tensor], session: Any) -> bool:
    return all(torch.equal(a, b.grad) for a, b in zip(gradients, session._trained, strict=True))


def moves() -> Found:
    """A probed update: as many steps of torch's own class, at rate 0, of every parameter."""
    for name in ("adam", "rmsprop_momentum", "adafactor"):
        session, rates = opened(run_of(TASKS["everything"], name, "cosine")), []

        def noted(optimizer: Any, args: Any, kwargs: Any, rates: list[float] = rates) -> None:
            rates += [float(group["lr"]) for group in optimizer.param_groups]

        hook = register_optimizer_step_pre_hook(noted)
        session.probe("update", range(7))
        hook.remove()
        state = session._update_probe._updater.optimizer.state
        yield (
            f"moves|{name}",
            {
                "rates": rates,
                "taken": [float(of["step"]) for of in state.values()],
            },
        )
    try:
        session.probe("backward", range(1))
    except ValueError as error:
        yield "unknown part", str(error)


def inputs() -> Found:
    for name in ("mlp", "everything", "native dropout", "lstm"):
        for how in ("resident", "pipeline"):
            for what, value in trained(run_of(TASKS[name], input=how, dtype="float32")).items():
                yield f"input|{how}|{name}|{what}", value
    with mock.patch("torch.utils.data.TensorDataset.__getitem__", side_effect=KeyError):
        for how in ("resident", "pipeline"):
            try:
                trained(run_of(TASKS["mlp"], input=how))
            except KeyError:
                yield "input|through the dataset", how


def refusals() -> Found:
    cases: dict[str, tuple[TaskSpec, str, dict[str, Any]]] = {
        "mode": (TASKS["mlp"], "adam", {"mode": "graph"}),
        "device": (TASKS["mlp"], "adam", {"device": "gpu"}),
        "batch norm": (TASKS["one value a feature"], "adam", {}),
        "optimizer": (TASKS["mlp"], "ftrl", {}),
        "nothing": (TASKS["mlp"], "adam", {"dtype": "bfloat16", "mode": "eager"}),
        "compile": (TASKS["mlp"], "adam", {"mode": "compile"}),
        "compile anyway refused": (TASKS["mlp"], "ftrl", {"mode": "compile"}),
    }
    for name, (spec, optimizer, changes) in cases.items():
        yield (
            f"refusals|{name}",
            ADAPTER.supports(run_of(spec, optimizer, **changes), REGISTRY.optimizers[optimizer]),
        )


def policies() -> Found:
    for name, changes in {
        "cpu": {"threads": 1},
        "gpu": {"device": "gpu"},
        "timed": {"mode": "compile", "measure": "memory"},
        "compile": {"mode": "compile"},
    }.items():
        yield f"policy|{name}", ADAPTER.policy(run_of(TASKS["mlp"], **changes))


def compilations() -> Found:
    """Counts along a session's life; then more sessions than torch keeps programs for."""
    session = opened(run_of(TASKS["everything"], mode="compile"))
    counts = {"opened": session.compilations()}
    for name, act in {
        "first step": lambda: session.train(range(0, 1)),
        "more steps": lambda: session.train(range(1, 4)),
        "evaluated": lambda: (session.evaluate("validation"), session.weights()),
        "after that": lambda: session.train(range(4, 6)),
        "probed": lambda: [session.probe(part, range(0, 3)) for part in session.parts()],
        "longer call": lambda: session.train(range(6, STEPS)),
    }.items():
        act()
        counts[name] = session.compilations()
    mlp = opened(run_of(TASKS["mlp"], mode="compile"))
    batches = mlp._batches
    mlp.train(range(2))
    counts["of another session"], counts["after another session"] = (
        mlp.compilations(),
        session.compilations(),
    )
    mlp._batches = lambda steps: [(x[:7], y[:7]) for x, y in batches(steps)]
    mlp.train(range(2, 3))
    counts["another shape"] = mlp.compilations()
    yield "compilations", counts
    many = [opened(run_of(TASKS["mlp"], mode="compile", seed=seed)) for seed in range(12)]
    for each in many:
        each.train(range(2))
    yield "many", [each.compilations() for each in many]


def older() -> Found:
    """A torch.compile that cannot keep the programs of two sessions apart."""
    compile_ = torch.compile

    def old(model: Any = None, *, fullgraph: bool = False, backend: str = "inductor") -> Any:
        return compile_(model, fullgraph=fullgraph, backend="eager")

    with mock.patch("torch.compile", old):
        first = opened(run_of(TASKS["mlp"], mode="compile"))
        first.train(range(2))
        try:
            opened(run_of(TASKS["mlp"], mode="compile"))
        except Unsupported as error:
            yield "older|second", str(error)
        first.close()
        counts = [first.compilations()]
        # More than torch keeps programs of one function.
        for seed in range(12):
            session = opened(run_of(TASKS["mlp"], mode="compile", seed=seed))
            session.train(range(2))
            session.close()
            counts.append(session.compilations())
        yield "older|programs", counts
        broken = opened(run_of(TASKS["mlp"], mode="compile"))
        broken.itself = broken
        del broken
        opened(run_of(TASKS["mlp"], mode="compile")).close()
        yield "older|after a broken one", True


def main() -> None:
    """Saves arrays as they are and everything else as JSON."""
    which, out = sys.argv[1:]
    both = ("eager", "eager-fused")
    sections = {
        "eager": (
            *(in_modes(both), classes(), in_bfloat16(), probes()),
            *(moves(), inputs(), policies()),
        ),
        "gradients": (gradients(both, ("everything", "lstm", "native dropout")),),
        "compile": (
            *(in_modes(("eager-fused", "compile")), gradients(("compile",), ("everything",))),
            compilations(),
        ),
        "older": (older(),),
        "refusals": (refusals(),),
    }[which]
    found = {name: value for section in sections for name, value in section}
    arrays = {
        n: v if isinstance(v, np.ndarray) else np.array(json.dumps(v)) for n, v in found.items()
    }
    np.savez(out, **arrays)


if __name__ == "__main__":
    main()

"""Takes every field of a Binding through one adapter, which one process holds.

`python tests/helpers/binding_fields.py FRAMEWORK` prints JSON: check -> "", or the failure.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import layer_table
import numpy as np
from gradrace.layers import Dense, Dropout
from gradrace.optimizer import (
    Binding,
    Hyper,
    HyperCorrection,
    Optimizer,
    RateCorrection,
    StateCorrection,
)
from gradrace.plan import initial_weights, make_plan
from gradrace.registry import import_adapter, load_registry
from gradrace.spec import OptimizerSpec, Regularization, RunSpec, ScheduleSpec, TaskSpec

STEPS, RATE, MOMENTUM = 4, 0.1, 0.5
FRAMEWORK = sys.argv[1] if __name__ == "__main__" else ""
LINEAR = layer_table.task("linear", (Dense(units=10),), input_shape=(64,)).model_copy(
    update={"steps": STEPS}
)
DEEP = layer_table.task("deep", (Dense(units=4), Dense(units=10)), input_shape=(64,))
CALLS: list[str] = []


# -- one rule in three frameworks: buffer = MOMENTUM * buffer + g; p -= rate * factor * buffer --


def for_torch() -> Any:
    """Also the class that the other torch checks derive from."""
    import torch

    class Mine(torch.optim.Optimizer):
        def __init__(self, params: Any, lr: float, factor: float = 1.0) -> None:
            super().__init__(params, {"lr": lr, "factor": factor})

        @torch.no_grad()
        def step(self) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    buffer = self.state[p].setdefault("buffer", torch.zeros_like(p))
                    buffer.mul_(MOMENTUM).add_(p.grad)
                    p.sub_(buffer, alpha=group["lr"] * group["factor"])

    CALLS.append("torch")
    return Mine


def for_keras() -> Any:
    import keras

    class Mine(keras.optimizers.Optimizer):
        def __init__(self, learning_rate: float, factor: float = 1.0) -> None:
            super().__init__(learning_rate)
            self.factor = factor

        def build(self, variables: Any) -> None:
            super().build(variables)
            self.buffers = [self.add_variable_from_reference(v, name="buffer") for v in variables]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            buffer = self.buffers[self._get_variable_index(variable)]
            self.assign(buffer, buffer * MOMENTUM + gradient)
            self.assign_sub(variable, buffer * self.factor * learning_rate)

    CALLS.append("tensorflow")
    return Mine


def for_optax() -> Any:
    import jax
    import optax

    def mine(learning_rate: Any, factor: float = 1.0) -> Any:
        def init(params: Any) -> dict[str, Any]:
            return {"buffer": jax.tree.map(lambda p: p * 0.0, params)}

        def update(gradients: Any, state: Any, params: Any = None) -> Any:
            buffer = jax.tree.map(lambda b, g: MOMENTUM * b + g, state["buffer"], gradients)
            return jax.tree.map(lambda b: -(learning_rate * factor) * b, buffer), {"buffer": buffer}

        return optax.GradientTransformation(init, update)

    CALLS.append("jax")
    return mine


TARGETS = {"torch": for_torch, "tensorflow": for_keras, "jax": for_optax}


def native(*given: Any, **arguments: Any) -> Any:
    """What `native_target` names: the same rule, nine times as fast."""
    return TARGETS[framework()]()(*given, **{**arguments, "factor": 9.0})


def framework() -> str:
    return sys.argv[1]


def zeros(state: Any, parameters: Any) -> dict[str, Any]:
    """Evaluates a model of zeros; the loss is ln 10."""
    buffers = {
        "torch": lambda: {n: s.get("buffer") for n, s in state["state"].items()},
        "tensorflow": lambda: state["buffers"],
        "jax": lambda: state["buffer"],
    }[framework()]()
    assert set(buffers) == set(parameters), (list(buffers), list(parameters))
    return {name: value * 0.0 for name, value in parameters.items()}


def fails(state: Any, parameters: Any) -> None:
    raise RuntimeError("evaluation was called")


def declared(**fields: Any) -> Optimizer:
    """The rule above with these fields of its Binding."""
    fields = {
        "target": TARGETS[framework()],
        "canonical": lambda h: {"factor": h["factor"]},
        **fields,
    }
    return Optimizer(
        "mine", "Mine", "-", RATE, {"factor": Hyper(2.0, "-")}, {framework(): Binding(**fields)}
    )


class Tried:
    """A session of some steps: gradients and moves of every step."""

    def __init__(
        self, optimizer: Optimizer, rule: str = "canonical", task: TaskSpec = LINEAR, **fields: Any
    ) -> None:
        entry = load_registry().frameworks[framework()]
        self.adapter = import_adapter(entry)
        schedule = fields.pop("schedule", ScheduleSpec(kind="constant", base_lr=RATE))
        of = OptimizerSpec(name=optimizer.name, rule=rule, hyper=fields.pop("hyper", {}))
        run = self.run = RunSpec(
            task=task,
            optimizer=of,
            framework=framework(),
            schedule=schedule,
            dtype="float64",
            mode=fields.pop("mode", entry.convergence_mode),
            **fields,
        )
        self.refused = self.adapter.supports(run, optimizer)
        if self.refused is None:
            self.plan = make_plan(run, optimizer)
            self.session: Any = self.adapter.open(
                run, initial_weights(run.task, run.seed), self.plan
            )

    def steps(self, count: int = STEPS, evaluate: bool = False) -> tuple[list[Any], list[Any]]:
        """(gradients, moves) of the kernel, float64[64, 10] each step."""
        gradients, moves = [], []
        for step in range(count):
            before = self.session.weights()["0_dense.kernel"]
            gradients.append(self.session.gradients(step)["0_dense.kernel"])
            self.session.train(range(step, step + 1))
            if evaluate:
                self.session.evaluate("validation")
            moves.append(self.session.weights()["0_dense.kernel"] - before)
        return gradients, moves


def follows(
    tried: Tried, factors: Any = 2.0, kept: Any = MOMENTUM, rates: Any = RATE, count: int = STEPS
) -> None:
    """The moves follow the rule with these factors, decays and rates, one each step."""
    assert tried.refused is None, tried.refused
    gradients, moves = tried.steps(count)
    factors, kept, rates = (
        np.broadcast_to(np.asarray(each, float), (count,)) for each in (factors, kept, rates)
    )
    buffer = np.zeros_like(gradients[0])
    for step, (gradient, move) in enumerate(zip(gradients, moves, strict=True)):
        buffer = kept[step] * buffer + gradient
        np.testing.assert_allclose(
            move, -rates[step] * factors[step] * buffer, rtol=1e-9, atol=1e-13
        )


# -- the fields --


def target() -> None:
    optimizer, before = declared(), len(CALLS)
    for seed in (0, 1, 2):
        follows(Tried(optimizer, seed=seed))
    assert len(CALLS) - before <= 1, "called once a process"


def canonical() -> None:
    follows(Tried(declared(canonical=lambda h: {"factor": 3.0 * h["factor"]})), factors=6.0)


def native_arguments() -> None:
    optimizer = declared(native={"factor": 7.0})
    follows(Tried(optimizer), factors=2.0)
    follows(Tried(optimizer, "native"), factors=7.0)


def corrections() -> None:
    factors, rates, scale = (
        np.arange(1.0, 5.0),
        np.arange(4.0, 0.0, -1.0),
        np.linspace(1.0, 0.25, STEPS),
    )
    name = {"tensorflow": "buffers"}.get(framework(), "buffer")
    hyper = HyperCorrection("faster", "-", "factor", lambda h, steps: factors)
    rate = RateCorrection("rate", "-", lambda h, steps: rates)
    state = StateCorrection("less", "-", name, lambda h, lr: scale)
    again = StateCorrection("again", "-", name, lambda h, lr: scale)
    follows(Tried(declared(corrections=(hyper,))), factors=factors)
    follows(Tried(declared(corrections=(rate,))), rates=RATE * rates)
    follows(Tried(declared(corrections=(state,))), kept=MOMENTUM * scale)
    both = declared(corrections=(hyper, rate, state, again))
    follows(Tried(both), factors, MOMENTUM * scale**2, RATE * rates)
    follows(Tried(declared(corrections=(hyper, rate, state)), "native"), factors=1.0)
    try:
        Tried(declared(corrections=(hyper, hyper)))
    except ValueError as error:
        assert "two corrections set 'factor'" in str(error), error
    else:
        raise AssertionError("of two corrections one was ignored")
    for unknown in (
        HyperCorrection("-", "-", "unknown", lambda h, steps: factors),
        StateCorrection("-", "-", "unknown", lambda h, lr: scale),
    ):
        try:
            Tried(declared(corrections=(unknown,))).steps(2)
        except Exception as error:
            assert "unknown" in str(error), error
        else:
            raise AssertionError("a correction of what is not there was ignored")


def native_target() -> None:
    optimizer = declared(native_target="binding_fields.native")
    follows(Tried(optimizer), factors=2.0)
    follows(Tried(optimizer, "native"), factors=9.0)


def matrices_only() -> None:
    reason = Tried(declared(matrices_only=True)).refused
    assert reason and "matrices only" in reason and "0_dense.bias" in reason, reason
    free = LINEAR.model_copy(update={"model": (Dense(units=10, bias=False),)})
    follows(Tried(declared(matrices_only=True), task=free))


def evaluation() -> None:
    for rule in ("canonical", "native"):
        plain, tried = (
            Tried(declared(), rule),
            Tried(declared(evaluation="binding_fields.zeros"), rule),
        )
        if framework() == "torch":
            assert tried.session.evaluate("test") == plain.session.evaluate("test"), (
                "without a state yet"
            )
        else:
            assert abs(tried.session.evaluate("test").loss - np.log(10.0)) < 1e-12, (
                "before the first step"
            )
        ends = [each.steps(evaluate=True)[1] for each in (plain, tried)]
        assert np.array_equal(*ends), "training goes on with the same bits"
        assert abs(tried.session.evaluate("validation").loss - np.log(10.0)) < 1e-12
        assert abs(plain.session.evaluate("validation").loss - np.log(10.0)) > 1e-2
        try:
            third = Tried(declared(evaluation="binding_fields.fails"), rule)
            third.session.train(range(1))
            third.session.evaluate("validation")
        except RuntimeError as error:
            assert str(error) == "evaluation was called"
        else:
            raise AssertionError("evaluation was not called")


def asks_for_loss() -> None:
    if framework() == "tensorflow":
        reason = Tried(declared(asks_for_loss=True)).refused
        assert reason and "asks_for_loss" in reason, reason
    elif framework() == "torch":
        _torch_closures()
    else:
        _optax_losses()


def _torch_closures() -> None:
    import torch

    def declares(parameter: str, per_tensor: bool = False, **fields: Any) -> Optimizer:
        class Asking(for_torch()):
            """Calls the closure twice, at other weights the second time."""

            def step(self, closure: Any) -> Any:
                with torch.enable_grad():
                    first = closure()
                kept = [p.detach().clone() for g in self.param_groups for p in g["params"]]
                with torch.no_grad():
                    for group in self.param_groups:
                        for p in group["params"]:
                            p.mul_(0.0)
                with torch.enable_grad():
                    LOSSES.append((float(first), float(closure())))
                with torch.no_grad():
                    for p, value in zip(
                        (p for g in self.param_groups for p in g["params"]), kept, strict=True
                    ):
                        p.copy_(value)

        class Optional(for_torch()):
            def step(self, closure: Any = None) -> Any:
                assert (closure is not None) == (parameter == "given"), closure
                super().step()

        class Varied(for_torch()):
            def step(self, *given: Any, **more: Any) -> Any:
                assert not given and not more
                super().step()

        kinds = {"asking": Asking, "given": Optional, "not given": Optional, "varied": Varied}
        optimizer = declared(target=lambda: kinds[parameter], **fields)
        return Optimizer(
            "mine", "Mine", "-", RATE, optimizer.hyper, optimizer.bindings, per_tensor=per_tensor
        )

    for per_tensor in (False, True):
        LOSSES.clear()
        tried = Tried(declares("asking", per_tensor, asks_for_loss=True), task=DEEP)
        tried.session.train(range(2))
        assert tried.session.parts() == ("forward", "gradient")
        assert np.allclose([first for first, _ in LOSSES], tried.session.losses(), rtol=1e-12)
        assert np.allclose([second for _, second in LOSSES], np.log(10.0), rtol=1e-12), LOSSES
    Tried(declares("given", asks_for_loss=True)).session.train(range(1))
    Tried(declares("given", asks_for_loss=True), "native").session.train(range(1))
    follows(Tried(declares("not given")))
    follows(Tried(declares("varied")))
    split = declares("not given", asks_for_loss=True, native_target="binding_fields.native")
    follows(Tried(split))
    for optimizer in (declares("asking"), declared(asks_for_loss=True)):
        try:
            Tried(optimizer)
        except ValueError as error:
            assert "asks_for_loss" in str(error), error
        else:
            raise AssertionError(
                "a class that needs a closure was taken without one, or the reverse"
            )


LOSSES: list[tuple[float, float]] = []


def _optax_losses() -> None:
    import jax
    import optax

    def by_loss(learning_rate: Any, factor: float) -> Any:
        def update(
            gradients: Any, state: Any, params: Any = None, *, value: Any, value_fn: Any, **_: Any
        ) -> Any:
            # Equal: the loss that it was given, and the loss that it evaluates.
            share = value_fn(params) / value
            return jax.tree.map(lambda g: -learning_rate * factor * share * g, gradients), state

        return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)

    for rule, factor in (("canonical", 2.0), ("native", 5.0)):
        optimizer = declared(target=lambda: by_loss, asks_for_loss=True, native={"factor": 5.0})
        tried = Tried(optimizer, rule)
        assert tried.session.parts() == ()
        follows(tried, factors=factor, kept=0.0)


# -- the rate with which an optimizer is constructed --

WARM = ScheduleSpec(kind="constant", base_lr=RATE, params={"warmup": 2.0})


def base_rate() -> None:
    """A class that keeps a product of rate and decay is constructed with the base rate."""
    decay = 0.5

    def torch_class() -> Any:
        class Decaying(for_torch()):
            def __init__(self, params: Any, lr: float, factor: float) -> None:
                super().__init__(params, lr, factor)
                self.shrink = decay * lr

            def step(self) -> None:
                for group in self.param_groups:
                    for p in group["params"]:
                        p.data.mul_(1.0 - self.shrink)

        return Decaying

    def keras_class() -> Any:
        class Decaying(for_keras()):
            def __init__(self, learning_rate: float, factor: float) -> None:
                super().__init__(learning_rate, factor)
                self.shrink = decay * learning_rate

            def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
                self.assign(variable, variable * (1.0 - self.shrink))

        return Decaying

    def optax_factory() -> Any:
        import jax
        import optax

        def decaying(learning_rate: Any, factor: float) -> Any:
            shrink = decay * learning_rate
            update = lambda g, s, p: (jax.tree.map(lambda x: -shrink * x, p), s)
            return optax.GradientTransformation(lambda p: optax.EmptyState(), update)

        return decaying

    make = {"torch": torch_class, "tensorflow": keras_class, "jax": optax_factory}[framework()]
    optimizer = declared(target=make)
    for rate in (RATE, 3.0 * RATE):
        for rule in ("canonical", "native"):
            schedule = WARM.model_copy(update={"base_lr": rate})
            optimizer = declared(target=make, native={"factor": 1.0})
            tried = Tried(optimizer, rule, schedule=schedule)
            before = tried.session.weights()["0_dense.kernel"]
            moves = tried.steps()[1]
            assert tried.plan.learning_rates[0] < rate
            # Optax' factory sees each step's rate, the classes see the base rate.
            rates = tried.plan.learning_rates if framework() == "jax" else [rate] * STEPS
            for move, each in zip(moves, rates, strict=True):
                np.testing.assert_allclose(move, -decay * each * before, rtol=1e-9)
                before = before + move
            tried.session.close()


# -- what the optimizer holds --


def state_bytes() -> None:
    tried = Tried(declared())
    tried.session.train(range(2))
    assert tried.session.state_bytes() == 650 * 8, tried.session.state_bytes()
    {"torch": _torch_state, "tensorflow": _keras_state, "jax": _optax_state}[framework()]()


def _bytes_of(step: Callable[[Any, Any, Any], None]) -> int | None:
    """Of a torch class whose step does this to each parameter."""
    import torch

    class Keeping(torch.optim.Optimizer):
        def __init__(self, params: Any, lr: float, factor: float) -> None:
            super().__init__(params, {"lr": lr})

        @torch.no_grad()
        def step(self) -> None:
            for p in self.param_groups[0]["params"]:
                step(self, p, self.state[p])

    tried = Tried(declared(target=lambda: Keeping))
    tried.session.train(range(2))
    found: int | None = tried.session.state_bytes()
    tried.session.close()
    return found


def _torch_state() -> None:
    import torch

    class Holder:
        def __init__(self, tensor: Any) -> None:
            self.inner = {"deep": (tensor,)}

    class Slotted:
        __slots__ = ("tensor",)

        def __init__(self, tensor: Any) -> None:
            self.tensor = tensor

    def closed(tensor: Any) -> Callable[[], Any]:
        return lambda: tensor

    one = torch.zeros_like
    ways: dict[str, tuple[Callable[[Any, Any, Any], Any], int | None]] = {
        "dict of dicts": (
            lambda o, p, s: s.setdefault("a", {"b": {"c": one(p)}, "d": {1, "x"}}),
            1,
        ),
        "list": (lambda o, p, s: s.setdefault("a", [one(p), [one(p), "x", None]]), 2),
        "set": (lambda o, p, s: s.setdefault("a", {one(p)}), 1),
        "object": (lambda o, p, s: s.setdefault("a", Holder(one(p))), 1),
        "slots": (lambda o, p, s: s.setdefault("a", Slotted(one(p))), 1),
        "closure": (lambda o, p, s: s.setdefault("a", closed(one(p))), 1),
        "attribute of the optimizer": (
            lambda o, p, s: o.__dict__.setdefault("own", {}).setdefault(id(p), one(p)),
            1,
        ),
        "attribute of the parameter": (lambda o, p, s: setattr(p, "own", one(p)), 1),
        "the same twice": (
            lambda o, p, s: s.update(a=s.setdefault("b", one(p)), view=s["b"][:]),
            1,
        ),
        "the parameter itself": (lambda o, p, s: s.update(a=p, b=p.data, g=p.grad), 0),
        "counters": (lambda o, p, s: s.update(step=torch.zeros(()), k=3, name="x"), 0),
        "nothing": (lambda o, p, s: None, 0),
        "what cannot be looked into": (lambda o, p, s: s.setdefault("a", iter([one(p)])), None),
    }
    for name, (step, tensors) in ways.items():
        found = _bytes_of(step)
        assert found == (None if tensors is None else tensors * 650 * 8), (name, found)
    before = Tried(declared(target=for_torch))
    assert before.session.state_bytes() is None, "its state is made by its first step"


def _keras_state() -> None:
    import keras
    import tensorflow as tf

    class Hidden(for_keras()):
        """A buffer that Keras does not know of; it grows from run to run unless it starts anew."""

        def build(self, variables: Any) -> None:
            super().build(variables)
            with tf.init_scope():
                self.hidden = {
                    "deep": [
                        tf.Variable(tf.zeros(v.shape, v.dtype), trainable=False) for v in variables
                    ]
                }

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            buffer = self.hidden["deep"][self._get_variable_index(variable)]
            buffer.assign_add(gradient)
            self.assign_sub(variable, buffer.value() * learning_rate)

    optimizer, ends = declared(target=lambda: Hidden), []
    for _ in range(2):
        tried = Tried(optimizer)
        ends.append(tried.steps()[1])
        assert tried.session.state_bytes() == 2 * 650 * 8, tried.session.state_bytes()
        tried.session.close()
    assert np.array_equal(*ends), "a second run starts where the first did"
    plain = Tried(
        declared(target=lambda: lambda learning_rate, factor: keras.optimizers.SGD(learning_rate))
    )
    plain.session.train(range(1))
    assert plain.session.state_bytes() == 0


def _optax_state() -> None:
    import optax

    plain = Tried(declared(target=lambda: lambda learning_rate, factor: optax.sgd(learning_rate)))
    plain.session.train(range(1))
    assert plain.session.state_bytes() == 0


# -- torch classes with two kinds of weights --


def switches() -> None:
    """Evaluated after eval(), trained after train(); their rounding leaves no trace."""
    if framework() != "torch":
        return
    import torch

    class Switching(for_torch()):
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            self.training = False

        def _scale(self, factor: float) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    p.data.mul_(factor)

        def train(self) -> None:
            if not self.training:
                self._scale(3.0)
            self.training = True

        def eval(self) -> None:
            assert self.state, "not before its first step, that makes the state"
            if self.training:
                self._scale(1.0 / 3.0)
            self.training = False

        @torch.no_grad()
        def step(self) -> None:
            assert self.training
            super().step()

    for per_tensor in (False, True):
        ends, losses = [], []
        for evaluate in (False, True):
            given = declared(target=lambda: Switching)
            optimizer = Optimizer(
                "mine", "", "-", RATE, given.hyper, given.bindings, per_tensor=per_tensor
            )
            tried = Tried(optimizer)
            ends.append(tried.steps(evaluate=evaluate)[1])
            trained = tried.session.weights()
            losses.append(tried.session.evaluate("validation").loss)
            assert all(np.array_equal(v, tried.session.weights()[n]) for n, v in trained.items())
        assert np.array_equal(*ends) and losses[0] == losses[1]
        third = Tried(declared())
        third.session._model.load({name: value / 3.0 for name, value in trained.items()})
        assert abs(third.session.evaluate("validation").loss - losses[0]) < 1e-9


# -- what is compiled --


def compilations() -> None:
    """One program serves every seed, rate and number of the task, under a user's rule as well."""
    if framework() == "torch":
        # Nothing is compiled ahead in its modes but "compile", in which every session has programs
        # of its own.
        return
    registry = load_registry()
    layers = (Dense(units=6), Dropout(rate=0.4), Dense(units=10))
    task = layer_table.task("numbers", layers, input_shape=(64,)).model_copy(
        update={"steps": STEPS, "eval_every": STEPS}
    )
    rules = {"l1": 1e-3, "l2": 1e-2, "decay": 0.1, "clip_norm": 0.5}
    for optimizer in (registry.optimizers["adam"], _with_list()):
        for mode in {"tensorflow": ("loop", "graph"), "jax": ("scan", "jit")}[framework()]:
            counts = []
            for change in range(4):
                share = 1.0 - 0.2 * change
                regularization = Regularization(
                    **{name: value * share for name, value in rules.items()}
                )
                model = tuple(
                    each.model_copy(update={"rate": 0.4 * share} if each.kind == "dropout" else {})
                    for each in layers
                )
                changed = task.model_copy(
                    update={
                        "regularization": regularization,
                        "label_smoothing": 0.1 * share,
                        "model": model,
                    }
                )
                schedule = ScheduleSpec(
                    kind="constant", base_lr=RATE * share, params={"warmup": 2.0}
                )
                hyper = {
                    name: 0.9 * share for name in ("factor", "beta1") if name in optimizer.hyper
                }
                counts.append(_counted(changed, optimizer, mode, schedule, change, hyper))
            assert counts[0] > 0 and counts[1:] == [0, 0, 0], (optimizer.name, mode, counts)


def _with_list() -> Optimizer:
    """A rule with a new class for each call of its target, and in JAX an unhashable argument."""
    inner = TARGETS[framework()]
    if framework() == "tensorflow":
        return declared()

    def target() -> Any:
        made = inner()
        return lambda *given, factors, **more: made(*given, factor=factors[0], **more)

    return declared(target=target, canonical=lambda h: {"factors": [h["factor"], 1.0]})


COMPILED: list[str] = []


def _counted(
    task: TaskSpec,
    optimizer: Optimizer,
    mode: str,
    schedule: ScheduleSpec,
    seed: int,
    hyper: dict[str, float],
) -> int:
    """How many programs a run compiles; losses are held against NumPy's if it has the rule."""
    before = len(COMPILED)
    tried = Tried(optimizer, task=task, mode=mode, schedule=schedule, seed=seed, hyper=hyper)
    tried.session.train(range(STEPS))
    losses = [*tried.session.losses(), tried.session.evaluate("validation").loss]
    count = tried.session.compilations() if framework() == "tensorflow" else len(COMPILED) - before
    if optimizer.rule:
        from gradrace.adapters.numpy import ADAPTER

        run = tried.run.model_copy(update={"framework": "numpy", "mode": "reference"})
        other = ADAPTER.open(run, initial_weights(task, seed), make_plan(run, optimizer))
        other.train(range(STEPS))
        np.testing.assert_allclose(
            losses, [*other.losses(), other.evaluate("validation").loss], rtol=1e-12
        )
    tried.session.close()
    return count


CHECKS: dict[str, Callable[[], None]] = {
    "target": target,
    "canonical": canonical,
    "native": native_arguments,
    "corrections": corrections,
    "native_target": native_target,
    "matrices_only": matrices_only,
    "asks_for_loss": asks_for_loss,
    "evaluation": evaluation,
    "base rate": base_rate,
    "state_bytes": state_bytes,
    "switches": switches,
    "compilations": compilations,
}


def main() -> None:
    """All checks of one framework."""
    if framework() == "jax":
        import jax

        jax.monitoring.register_event_duration_secs_listener(
            lambda event, seconds, **_: (
                COMPILED.append(event) if event.endswith("backend_compile_duration") else None
            )
        )
    found: dict[str, str] = {}
    for name, check in CHECKS.items():
        try:
            check()
            found[name] = ""
        except Exception:
            found[name] = traceback.format_exc()
    print(json.dumps(found))


if __name__ == "__main__":
    main()

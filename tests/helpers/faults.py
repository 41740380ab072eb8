"""Faults as people make them, each planted in one adapter; `gradrace verify` must see all.

Nothing here imports a framework before a fault of it is planted.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
from gradrace.layers import BatchNorm, Gru, LayerNorm
from gradrace.optimizer import Optimizer

Array = np.ndarray


class Planting:
    """A fault may change the adapter, its modules, the framework and the optimizers."""

    def __init__(
        self, framework: str, adapter: Any, optimizers: dict[str, Optimizer], undo: ExitStack
    ) -> None:
        self.framework, self.adapter = framework, adapter
        self.optimizers, self._undo = dict(optimizers), undo
        self.layers = importlib.import_module(f"gradrace.adapters.{framework}.layers")

    def patch(self, target: Any, name: str, value: Any) -> None:
        """Until the fault is taken out again."""
        self._undo.enter_context(mock.patch.object(target, name, value))

    def method(self, name: str, change: Callable[..., Any]) -> None:
        """Replaces the adapter's method by change(honest method, *arguments)."""
        honest = getattr(self.adapter, name)
        self.patch(self.adapter, name, lambda *given, **more: change(honest, *given, **more))

    def opened(self, change: Callable[..., tuple[Any, Any, Any]]) -> None:
        """Sessions are opened with change(run, start, inputs)."""
        self.method("open", lambda honest, *given: honest(*change(*given)))

    def lanes(self, change: Callable[..., tuple[Any, Any, Any]]) -> None:
        """Populations are opened with change(runs, starts, inputs), lists of one length."""

        def open_(honest: Any, runs: Any, starts: Any, inputs: Any, lanes: int) -> Any:
            return honest(*change(list(runs), list(starts), list(inputs)), lanes)

        self.method("open_population", open_)

    def population(self, name: str, change: Callable[..., Any]) -> None:
        """A method of every population is replaced by change(honest method, *arguments)."""

        def open_(honest: Any, *given: Any) -> Any:
            population = honest(*given)
            own = getattr(population, name)
            setattr(population, name, lambda *arguments: change(own, *arguments))
            return population

        self.method("open_population", open_)

    def task(self, **changes: Any) -> None:
        """Sessions and losses see another task."""

        def other(run: Any, start: Any, inputs: Any) -> Any:
            return (
                run.model_copy(update={"task": run.task.model_copy(update=changes)}),
                start,
                inputs,
            )

        self.opened(other)
        for name in ("loss", "metric"):
            self.method(
                name, lambda honest, task, *given: honest(task.model_copy(update=changes), *given)
            )

    def layer(self, change: Callable[[Any], Any]) -> None:
        """Layers are built as others."""

        def other(honest: Any, built: Any, *given: Any, **more: Any) -> Any:
            return honest(built._replace(layer=change(built.layer)), *given, **more)

        self.method("differentiate", other)

    def rearranged(
        self, there: Callable[[str, Array], Array], back: Callable[[str, Array], Array]
    ) -> None:
        """A wrong layout, undone when weights are read, so that they come back bit for bit."""

        def differentiate(honest: Any, built: Any, weights: Any, *given: Any, **more: Any) -> Any:
            found = honest(
                built, {name: there(name, value) for name, value in weights.items()}, *given, **more
            )
            return found._replace(
                gradients={name: back(name, value) for name, value in found.gradients.items()}
            )

        def open_(honest: Any, run: Any, start: Any, inputs: Any) -> Any:
            session = honest(
                run, {name: there(name, value) for name, value in start.items()}, inputs
            )
            read = session.weights
            session.weights = lambda: {name: back(name, value) for name, value in read().items()}
            return session

        self.method("differentiate", differentiate)
        self.method("open", open_)

    def canonical(self, name: str) -> Callable[..., dict[str, Any]]:
        return self.optimizers[name].bindings[self.framework].canonical

    def binding(self, name: str, **changes: Any) -> None:
        """The optimizer is bound differently in the framework."""
        bindings = self.optimizers[name].bindings
        changed = {self.framework: replace(bindings[self.framework], **changes)}
        self.optimizers[name] = replace(self.optimizers[name], bindings={**bindings, **changed})

    def argument(self, name: str, **arguments: Any) -> None:
        """The optimizer's class gets other arguments under the canonical rule."""
        honest = self.canonical(name)
        self.binding(name, canonical=lambda hyper: {**honest(hyper), **arguments})


@dataclass(frozen=True)
class Fault:
    """A mistake in one framework's adapter, and the case (its id) that must fail.

    compiled: whether it is in the programs, which then have to be traced anew."""

    name: str
    framework: str
    case: str
    plant: Callable[[Planting], None]
    compiled: bool = True


def _columns(order: tuple[int, ...]) -> Callable[[str, Array], Array]:
    """Gates, side by side along the last axis, in another order."""

    def change(name: str, value: Array) -> Array:
        gates = np.split(value, len(order), axis=-1)
        return np.concatenate([gates[gate] for gate in order], axis=-1)

    return change


def _kernels(
    change: Callable[[Array], Array], name: str = "kernel", ndim: int = 2
) -> Callable[[str, Array], Array]:
    """A change of the kernels of this name and rank alone."""
    return lambda full, value: (
        change(value) if full.rpartition(".")[2] == name and value.ndim == ndim else value
    )


def _transposed(name: str = "kernel") -> Callable[[str, Array], Array]:
    return _kernels(lambda w: w.T if w.shape[0] == w.shape[1] else w, name)


def _flatten_order(p: Planting) -> None:
    def reordered(name: str, value: Array, axes: tuple[int, ...]) -> Array:
        if not (name.endswith("dense.kernel") and value.shape[0] == 128):
            return value
        shape = (2, 2, 32) if axes == (2, 0, 1, 3) else (32, 2, 2)
        return value.reshape(*shape, -1).transpose(axes).reshape(value.shape)

    p.rearranged(
        lambda n, v: reordered(n, v, (2, 0, 1, 3)), lambda n, v: reordered(n, v, (1, 2, 0, 3))
    )


def _symmetric_padding(p: Planting) -> None:
    def symmetric(size: int, window: int, stride: int) -> tuple[int, int]:
        return window // 2, window // 2

    p.patch(p.layers, "same_padding", symmetric)


def _unbiased_variance(p: Planting) -> None:
    class Unbiased(p.layers._BatchNorm):  # type: ignore[misc, name-defined]
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self._biased = 1.0

    p.patch(p.layers, "_BatchNorm", Unbiased)


def _second_bias_trained(p: Planting) -> None:
    """The gradient of one bias stands for two that move alike: the sum moves twice as far."""
    import torch

    def open_(honest: Any, *given: Any) -> Any:
        session = honest(*given)
        for module in session._model.modules():
            if isinstance(module, torch.nn.RNNBase):
                module.bias_ih_l0.register_hook(lambda gradient: 2.0 * gradient)
        return session

    p.method("open", open_)


def _bias_correction_late(p: Planting) -> None:
    def make() -> Any:
        import jax
        import optax

        def adam(learning_rate: Any, **arguments: Any) -> Any:
            honest = optax.adam(learning_rate, **arguments)

            def init(parameters: Any) -> Any:
                counted = lambda leaf: leaf + 1 if leaf.ndim == 0 else leaf
                return jax.tree.map(counted, honest.init(parameters))

            return optax.GradientTransformation(init, honest.update)

        return adam

    p.binding("adam", target=make)


def _float32_constants(p: Planting) -> None:
    honest = p.canonical("adam")
    rounded = lambda hyper: {k: float(np.float32(v)) for k, v in honest(hyper).items()}
    p.binding("adam", canonical=rounded)


def _late_rates(p: Planting) -> None:
    def late(rates: Array) -> Array:
        return np.concatenate([rates[:1], rates[:-1]])

    p.method(
        "updates", lambda honest, run, o, start, g, rates: honest(run, o, start, g, late(rates))
    )
    shifted = lambda inputs: replace(inputs, learning_rates=late(inputs.learning_rates))
    p.opened(lambda run, start, inputs: (run, start, shifted(inputs)))


def _repeated_batch(p: Planting) -> None:
    def repeat(run: Any, start: Any, inputs: Any) -> Any:
        batches = inputs.batches.copy()
        batches[5] = batches[4]
        return run, start, replace(inputs, batches=batches)

    p.opened(repeat)


def _rates_rounded(p: Planting) -> None:
    def rounded(honest: Any, run: Any, o: Any, start: Any, g: Any, rates: Array) -> Any:
        return honest(run, o, start, g, rates.astype(np.float32).astype(np.float64))

    p.method("updates", rounded)


def _rates_kept(p: Planting) -> None:
    def open_(honest: Any, *given: Any) -> Any:
        session = honest(*given)
        session.set_learning_rates = lambda rates: None
        return session

    p.method("open", open_)


def _regularized(change: Callable[[Any], dict[str, float]]) -> Callable[[Planting], None]:
    """Sessions see other penalties than the task's."""

    def changed(run: Any, start: Any, inputs: Any) -> Any:
        given = run.task.regularization
        task = run.task.model_copy(
            update={"regularization": given.model_copy(update=change(given))}
        )
        return run.model_copy(update={"task": task}), start, inputs

    return lambda p: p.opened(changed)


def _starts(change: Callable[[str, Array], Array]) -> Callable[[Planting], None]:
    """Sessions start from other weights."""
    return lambda p: p.opened(
        lambda run, start, inputs: (
            run,
            {n: change(n, value) for n, value in start.items()},
            inputs,
        )
    )


def _both_ways(change: Callable[[str, Array], Array]) -> Callable[[Planting], None]:
    """A wrong layout that is its own inverse."""
    return lambda p: p.rearranged(change, change)


def _bound(name: str, **changes: Any) -> Callable[[Planting], None]:
    return lambda p: p.binding(name, **changes)


def _argument(name: str, **arguments: Any) -> Callable[[Planting], None]:
    return lambda p: p.argument(name, **arguments)


def _gradients_pile_up(p: Planting) -> None:
    import torch

    p.patch(torch.optim.Optimizer, "zero_grad", lambda self, set_to_none=True: None)


def _phase(training: bool) -> Callable[[Planting], None]:
    """Training or evaluation whatever was asked for."""

    def plant(p: Planting) -> None:
        p.method(
            "differentiate",
            lambda honest, built, w, x, up, phase, mask=None, **more: honest(
                built, w, x, up, training, np.ones(x.shape, bool) if mask is None else mask, **more
            ),
        )

    return plant


def _activation(name: str, make: Callable[[], Any]) -> Callable[[Planting], None]:
    return lambda p: p.patch(p.layers, "_ACTIVATIONS", {**p.layers._ACTIVATIONS, name: make()})


def _jax_gelu() -> Any:
    from flax import nnx

    return nnx.gelu


def _torch_leaky() -> Any:
    import torch

    return lambda: torch.nn.LeakyReLU(0.2)


def _no_gates_permuted(p: Planting) -> None:
    kind = p.layers.LAYERS[Gru]._replace(swap=np.asarray)
    p.patch(p.layers, "LAYERS", {**p.layers.LAYERS, Gru: kind})


def _unscaled_dropout(p: Planting) -> None:
    import tensorflow as tf

    p.patch(p.layers, "_masked", lambda x, mask, rate: tf.where(mask, x, tf.zeros_like(x)))


def _keras_leaky(p: Planting) -> None:
    p.patch(p.layers, "LEAKY_SLOPE", 0.3)


def _padding_counted(p: Planting) -> None:
    from flax import nnx

    honest = nnx.avg_pool
    p.patch(
        nnx,
        "avg_pool",
        lambda *given, **more: honest(*given, **{**more, "count_include_pad": True}),
    )


def _loss(factor: float) -> Callable[[Planting], None]:
    """Losses and their gradients times a factor."""

    def scaled(honest: Any, *given: Any) -> Any:
        loss, gradient = honest(*given)
        return factor * loss, factor * gradient

    return lambda p: p.method("loss", scaled)


def _input_gradients_scaled(p: Planting) -> None:
    def scaled(honest: Any, *given: Any, **more: Any) -> Any:
        found = honest(*given, **more)
        return found._replace(input_gradient=found.input_gradient * (1.0 + 1e-9))

    p.method("differentiate", scaled)


def _inverted_mask(p: Planting) -> None:
    def inverted(
        honest: Any, b: Any, w: Any, x: Any, up: Any, phase: Any, mask: Any = None, **more: Any
    ) -> Any:
        return honest(b, w, x, up, phase, ~mask, **more)

    p.method("differentiate", inverted)


def _centred_outputs(p: Planting) -> None:
    def centred(honest: Any, task: Any, outputs: Array, y: Array, *more: Any) -> Any:
        return honest(task, outputs - outputs.mean(0), y, *more)

    p.method("metric", centred)


# Cases that more than one fault must fail.
ADAM, ADAMW = "updates/adam/canonical/constant", "updates/adamw/canonical"
CONV, NORM, DROPOUT = "layers/conv2d", "layers/batch_norm", "layers/dropout/training"
CROSS_ENTROPY, SQUARED = "losses/softmax_cross_entropy", "losses/mean_squared_error"
MLP, CNN, LSTM = "trajectories/digits_mlp", "trajectories/digits_cnn", "trajectories/digits_lstm"

# Framework -> name -> the case that must fail, and the fault.
PLANTED: dict[str, dict[str, tuple[str, Callable[[Planting], None]]]] = {
    "torch": {
        "LSTM gates i and f swapped": ("layers/lstm/last", _both_ways(_columns((1, 0, 2, 3)))),
        "flatten in the order C, H, W": (f"{CNN}/sgd", _flatten_order),
        "biases start at zero": (
            "weights/digits_mlp",
            _starts(lambda name, value: 0.0 * value if name.endswith("bias") else value),
        ),
        "symmetric padding at stride 2": (f"{CONV}/same_stride2_even_image", _symmetric_padding),
        "unbiased running variance": (f"{NORM}/training", _unbiased_variance),
        "layer norm with Flax's epsilon": (
            "layers/layer_norm",
            lambda p: p.layer(lambda layer: LayerNorm(epsilon=1e-6)),
        ),
        "dropout forgotten in training": (DROPOUT, _phase(training=False)),
        "leaky ReLU with slope 0.2": (
            "layers/activation/leaky_relu",
            _activation("leaky_relu", _torch_leaky),
        ),
        "loss summed over the batch": (CROSS_ENTROPY, _loss(8.0)),
        "Adam with Keras' epsilon": (ADAM, _argument("adam", eps=1e-7)),
        "Nesterov without look-ahead": (
            "updates/nesterov/canonical/constant",
            _argument("nesterov", nesterov=False),
        ),
        "coupled instead of decoupled decay": (
            f"{ADAMW}/constant",
            _bound("adamw", target="torch.optim.Adam"),
        ),
        "second RNN bias trained": (f"{LSTM}/sgd", _second_bias_trained),
        "gradients pile up": (f"{MLP}/sgd", _gradients_pile_up),
        "clipping with torch's 1e-6": (
            f"{MLP}+clip_norm/momentum",
            _regularized(lambda given: {"clip_norm": (1.0 - 1e-7) * given.clip_norm}),
        ),
        "rates one step late": ("rates/cosine/float32", _late_rates),
    },
    "tensorflow": {
        "GRU gates in Keras' own order": ("layers/gru/last", _no_gates_permuted),
        "recurrent kernel transposed": (
            "layers/simple_rnn/last",
            _both_ways(_transposed("recurrent_kernel")),
        ),
        "height and width of kernels swapped": (
            f"{CONV}/valid_stride1_kernel3",
            _both_ways(_kernels(lambda w: w.transpose(1, 0, 2, 3), ndim=4)),
        ),
        "weights pass through float32": (
            "weights/digits_mlp",
            _starts(lambda name, value: value.astype(np.float32).astype(float)),
        ),
        "batch norm's momentum the other way round": (
            f"{NORM}/options/training",
            lambda p: p.layer(
                lambda layer: BatchNorm(momentum=1.0 - layer.momentum, epsilon=layer.epsilon)
            ),
        ),
        "dropout not scaled up": (DROPOUT, _unscaled_dropout),
        "leaky ReLU with Keras' slope": ("layers/activation/leaky_relu", _keras_leaky),
        "gradient by the inputs not scaled": ("layers/layer_norm", _input_gradients_scaled),
        "label smoothing forgotten": (
            f"{CROSS_ENTROPY}/smoothing",
            lambda p: p.task(label_smoothing=0.0),
        ),
        "epsilon-hat not corrected": (ADAM, _bound("adam", corrections=())),
        "old rates in Keras' momentum": (
            "updates/momentum/canonical/decaying",
            _bound("momentum", corrections=()),
        ),
        "accumulator starts at zero": (
            "updates/adagrad/canonical/constant",
            _argument("adagrad", initial_accumulator_value=0.0),
        ),
        "float32 constants in Keras": (ADAM, _float32_constants),
        "L2 without its half": (
            f"{MLP}+l2/momentum",
            _regularized(lambda given: {"l2": 2.0 * given.l2}),
        ),
        "new rates not taken": (f"{MLP}/momentum/rates_replaced", _rates_kept),
        "rates in float32": ("rates/cosine/float64", _rates_rounded),
    },
    "jax": {
        "LSTM gates g and o swapped": ("layers/lstm/last", _both_ways(_columns((0, 1, 3, 2)))),
        "dense kernel transposed": ("layers/dense/square", _both_ways(_transposed())),
        "convolution kernel flipped": (
            f"{CONV}/valid_stride1_kernel3",
            _both_ways(_kernels(lambda w: w[::-1, ::-1], ndim=4)),
        ),
        "padding counted in means": ("layers/avg_pool2d/same_window3_stride2", _padding_counted),
        "batch norm with Keras' epsilon": (
            f"{NORM}/training",
            lambda p: p.layer(lambda layer: BatchNorm(momentum=layer.momentum, epsilon=1e-3)),
        ),
        "batch statistics in evaluation": (f"{NORM}/evaluation", _phase(training=True)),
        "dropout mask inverted": (DROPOUT, _inverted_mask),
        "GELU by tanh": ("layers/activation/gelu", _activation("gelu", _jax_gelu)),
        "squared error halved": (SQUARED, _loss(0.5)),
        "accuracy for R2": (SQUARED, _centred_outputs),
        "bias correction off by one": (ADAM, _bias_correction_late),
        "epsilon outside of the root": (
            "updates/rmsprop/canonical/constant",
            _argument("rmsprop", eps_in_sqrt=False),
        ),
        "learning rate one step late": ("updates/sgd/canonical/decaying", _late_rates),
        "beta2 0.99": (f"{ADAMW}/decaying", _argument("adamw", b2=0.99)),
        "one batch repeated": (f"{MLP}/sgd", _repeated_batch),
        "decoupled decay taken for L2": (
            f"{MLP}+decay/adam",
            _regularized(lambda given: {"decay": 0.0, "l2": given.decay}),
        ),
    },
}

# -- populations


def _neighbours(values: list[Any]) -> list[Any]:
    """Each lane's from the lane after it."""
    return [*values[1:], values[0]]


def _swapped(*names: str) -> Callable[[Planting], None]:
    """These fields of the inputs are the neighbour's."""

    def change(runs: Any, starts: Any, inputs: Any) -> Any:
        own = [
            replace(mine, **{name: getattr(other, name) for name in names})
            for mine, other in zip(inputs, _neighbours(inputs), strict=True)
        ]
        return runs, starts, own

    return lambda p: p.lanes(change)


def _one_seed(p: Planting) -> None:
    """Weights, batches and masks of all lanes are drawn from the first one's seed."""

    def change(runs: Any, starts: Any, inputs: Any) -> Any:
        first = {"batches": inputs[0].batches, "seed": inputs[0].seed}
        return runs, starts[:1] * len(runs), [replace(each, **first) for each in inputs]

    p.lanes(change)


def _from_first_run(part: Callable[[Any, Any], Any]) -> Callable[[Planting], None]:
    """part(run, first run) is trained instead of the run."""

    def change(runs: Any, starts: Any, inputs: Any) -> Any:
        return [part(run, runs[0]) for run in runs], starts, inputs

    return lambda p: p.lanes(change)


def _first_penalties(run: Any, first: Any) -> Any:
    task = run.task.model_copy(update={"regularization": first.task.regularization})
    return run.model_copy(update={"task": task})


def _first_hypers(run: Any, first: Any) -> Any:
    return run.model_copy(update={"optimizer": first.optimizer})


def _new_rates_to_the_first(p: Planting) -> None:
    p.population("set_learning_rates", lambda honest, lane, rates: honest(0, rates))


def _weights_of_the_neighbour(p: Planting) -> None:
    p.population("weights", lambda honest, lane: honest(lane ^ 1 if lane < 4 else lane))


def _mean_losses(p: Planting) -> None:
    def pooled(honest: Any) -> Array:
        found = honest()
        return np.broadcast_to(found.mean(0), found.shape)

    p.population("losses", pooled)


def _evaluations_in_reverse(p: Planting) -> None:
    p.population("evaluate", lambda honest, split: honest(split)[::-1])


POPULATION = "populations/digits_mlp"
# In any framework: name -> the case that must fail, and the fault.
LANES: dict[str, tuple[str, Callable[[Planting], None]]] = {
    "a lane's rates are its neighbour's": (f"{POPULATION}/adam", _swapped("learning_rates")),
    "a lane's batches are its neighbour's": (f"{POPULATION}/adam", _swapped("batches")),
    "one seed for all lanes": (f"{POPULATION}/adam", _one_seed),
    "the first lane's penalties": (f"{POPULATION}/adam", _from_first_run(_first_penalties)),
    "the first lane's hyperparameters": (f"{POPULATION}/adam", _from_first_run(_first_hypers)),
    "new rates go to the first lane": (
        f"{POPULATION}/adam/rates_replaced",
        _new_rates_to_the_first,
    ),
    "weights are the neighbour's": (f"{POPULATION}/adam", _weights_of_the_neighbour),
    "losses are the lanes' mean": (f"{POPULATION}/adam", _mean_losses),
    "evaluations in reverse": (f"{POPULATION}/adam", _evaluations_in_reverse),
}


class _Named:
    """The module jax, whose `vmap` gives the lanes' axis a name, so that lanes can be pooled."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def vmap(self, *given: Any, **more: Any) -> Any:
        return self._module.vmap(*given, **more, axis_name="lanes")


def _jax_pooled(change: Callable[[Planting], None]) -> Callable[[Planting], None]:
    """A change of what a step does that may pool over the axis `lanes`."""

    def plant(p: Planting) -> None:
        import jax

        p.patch(importlib.import_module("gradrace.adapters.jax.lanes"), "jax", _Named(jax))
        change(p)

    return plant


def _jax_clips_all(p: Planting) -> None:
    import jax
    import optax

    def clipped(amounts: Any, gradients: Any) -> Any:
        total = jax.lax.psum(optax.global_norm(gradients) ** 2, "lanes") ** 0.5
        factor = jax.numpy.minimum(1.0, amounts["clip_norm"] / total)
        return jax.tree.map(lambda gradient: factor * gradient, gradients)

    p.patch(importlib.import_module("gradrace.adapters.jax.losses"), "clipped", clipped)


def _jax_statistics_pooled(p: Planting) -> None:
    from flax import nnx

    honest = nnx.BatchNorm
    p.patch(nnx, "BatchNorm", lambda *given, **more: honest(*given, **more, axis_name="lanes"))


def _jax_after_a_step(change: Callable[[Any, Any, Any, Any], Any]) -> Callable[[Planting], None]:
    """change(parameters, state, statistics, loss) is kept instead."""

    def plant(p: Planting) -> None:
        functional = importlib.import_module("gradrace.adapters.jax.functional")
        honest = functional.FunctionalPrograms.whole

        def whole(self: Any, *given: Any) -> Any:
            carry, loss = honest(self, *given)
            return change(*carry, loss), loss

        p.patch(functional.FunctionalPrograms, "whole", whole)

    return plant


def _of_numbers(change: Callable[[Any], Any], tree: Any) -> Any:
    """The change of every array of a tree that holds no counts."""
    import jax

    number = lambda leaf: jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating)
    return jax.tree.map(lambda leaf: change(leaf) if number(leaf) else leaf, tree)


def _jax_state_shared(parameters: Any, state: Any, statistics: Any, loss: Any) -> Any:
    import jax

    return parameters, _of_numbers(lambda a: jax.lax.pmean(a, "lanes"), state), statistics


def _jax_poisoned(parameters: Any, state: Any, statistics: Any, loss: Any) -> Any:
    import jax

    nothing = 0.0 * jax.lax.psum(loss, "lanes")
    return _of_numbers(lambda a: a + nothing, parameters), state, statistics


def _torch_populations() -> Any:
    return importlib.import_module("gradrace.adapters.torch.population").TorchPopulation


def _torch_clips_all(p: Planting) -> None:
    import torch

    def clip(gradients: Any, norms: Any) -> None:
        total = torch.stack([gradient.norm() for gradient in gradients]).norm()
        for gradient in gradients:
            factors = (norms / total).clamp(max=1.0)
            gradient.mul_(factors.view(-1, *(1 for _ in gradient.shape[1:])))

    p.patch(importlib.import_module("gradrace.adapters.torch.lane_losses"), "clip", clip)


def _torch_statistics_pooled(p: Planting) -> None:
    population = _torch_populations()
    honest = population._take

    def take(self: Any, step: int) -> Any:
        losses = honest(self, step)
        for tensor in self._network.state.values():
            tensor.copy_(tensor.mean(0, keepdim=True).expand_as(tensor))
        return losses

    p.patch(population, "_take", take)


def _torch_poisoned(p: Planting) -> None:
    population = _torch_populations()
    honest = population._lane_losses

    def losses(self: Any, *given: Any) -> Any:
        found = honest(self, *given)
        return found + 0.0 * found.sum()

    p.patch(population, "_lane_losses", losses)


def _torch_mean_differentiated(p: Planting) -> None:
    population = _torch_populations()
    honest = population._differentiate
    p.patch(population, "_differentiate", lambda self, losses: honest(self, losses / len(losses)))


def _tensorflow_lanes(
    gradients: Callable[[Any], Any] = list, statistics: Callable[[Any], Any] = lambda stack: stack
) -> Callable[[Planting], None]:
    """Of all lanes, before the update: the gradients, and every running statistic [lanes, ...]."""

    def plant(p: Planting) -> None:
        lanes = importlib.import_module("gradrace.adapters.tensorflow.lanes")
        honest = lanes.update_lanes

        def update(*given: Any) -> Any:
            *others, variables, step, (slopes, values, tables) = given
            pairs = zip(variables, values, strict=True)
            moved = [statistics(v) if "moving_" in each.path else v for each, v in pairs]
            return honest(*others, variables, step, (gradients(slopes), moved, tables))

        p.patch(lanes, "update_lanes", update)

    return plant


def _tensorflow_clips_all(gradients: Any) -> Any:
    import tensorflow as tf

    # The smallest norm of the case: what the program does to each lane then changes nothing.
    return tf.clip_by_global_norm(gradients, 0.5)[0]


def _tensorflow_poisoned(gradients: Any) -> Any:
    import tensorflow as tf

    return [gradient + 0.0 * tf.reduce_sum(gradient) for gradient in gradients]


def _tensorflow_pooled(stack: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_mean(stack, 0, keepdims=True) + tf.zeros_like(stack)


def _tensorflow_mean_differentiated(gradients: Any) -> Any:
    return [gradient / gradient.shape[0] for gradient in gradients]


# The lanes of a population in the program itself.
IN_PROGRAMS: dict[str, dict[str, tuple[str, Callable[[Planting], None]]]] = {
    "torch": {
        "clipped by the norm of all lanes": (f"{POPULATION}+clip_norm/adam", _torch_clips_all),
        "statistics pooled over lanes": (
            f"{POPULATION}+batch_norm/adam",
            _torch_statistics_pooled,
        ),
        "a diverging lane poisons others": (f"{POPULATION}/adam/alone", _torch_poisoned),
        "the lanes' mean is differentiated": (f"{POPULATION}/adam", _torch_mean_differentiated),
    },
    "tensorflow": {
        "clipped by the norm of all lanes": (
            f"{POPULATION}+clip_norm/adam",
            _tensorflow_lanes(_tensorflow_clips_all),
        ),
        "statistics pooled over lanes": (
            f"{POPULATION}+batch_norm/adam",
            _tensorflow_lanes(statistics=_tensorflow_pooled),
        ),
        "a diverging lane poisons others": (
            f"{POPULATION}/adam/alone",
            _tensorflow_lanes(_tensorflow_poisoned),
        ),
        "the lanes' mean is differentiated": (
            f"{POPULATION}/adam",
            _tensorflow_lanes(_tensorflow_mean_differentiated),
        ),
    },
    "jax": {
        "clipped by the norm of all lanes": (
            f"{POPULATION}+clip_norm/adam",
            _jax_pooled(_jax_clips_all),
        ),
        "statistics pooled over lanes": (
            f"{POPULATION}+batch_norm/adam",
            _jax_pooled(_jax_statistics_pooled),
        ),
        "a diverging lane poisons others": (
            f"{POPULATION}/adam/alone",
            _jax_pooled(_jax_after_a_step(_jax_poisoned)),
        ),
        "moments shared by all lanes": (
            f"{POPULATION}/adam",
            _jax_pooled(_jax_after_a_step(_jax_state_shared)),
        ),
    },
}


# Parameter groups


def _roles() -> Any:
    return importlib.import_module("gradrace.roles")


def _head_and_kernel_swapped(p: Planting) -> None:
    honest, other = _roles().role_of, {"head": "kernel", "kernel": "head"}
    p.patch(_roles(), "role_of", lambda of: {n: other.get(r, r) for n, r in honest(of).items()})


def _factor_ignored(p: Planting) -> None:
    p.patch(_roles().Trainer, "rates", lambda self, of_run: of_run)


def _factor_forgotten_by_new_rates(p: Planting) -> None:
    first: list[Array] = []

    def rates(self: Any, of_run: Array) -> Array:
        first.append(of_run)
        return self.rate_factor * of_run if np.array_equal(of_run, first[0]) else of_run

    p.patch(_roles().Trainer, "rates", rates)


def _trainers(change: Callable[[list[Any]], list[Any]]) -> Callable[[Planting], None]:
    """A run has change(its trainers) instead."""

    def plant(p: Planting) -> None:
        inputs = importlib.import_module("gradrace.plan").RunInputs
        honest = inputs.trainers
        p.patch(inputs, "trainers", lambda self, run: tuple(change(list(honest(self, run)))))

    return plant


def _first_for_all(trainers: list[Any]) -> list[Any]:
    """One optimizer, on one state, for the parameters of all."""
    names = tuple(name for each in trainers for name in each.names)
    return [replace(trainers[0], names=names)]


def _rates_of_the_neighbour(trainers: list[Any]) -> list[Any]:
    factors = _neighbours([each.rate_factor for each in trainers])
    return [replace(each, rate_factor=own) for each, own in zip(trainers, factors, strict=True)]


def _names_of_the_neighbour(trainers: list[Any]) -> list[Any]:
    names = _neighbours([each.names for each in trainers])
    return [replace(each, names=own) for each, own in zip(trainers, names, strict=True)]


def _run_with_hypers_of_the_first(trainers: list[Any]) -> list[Any]:
    hyper = trainers[0].run.optimizer.hyper

    def like_the_first(each: Any) -> Any:
        spec = each.run.optimizer.model_copy(update={"hyper": hyper})
        return replace(each, run=each.run.model_copy(update={"optimizer": spec}))

    return [like_the_first(each) for each in trainers]


def _uncorrected(module: str, name: str) -> Callable[[Planting], None]:
    """The group that this optimizer trains goes without corrections."""

    def plant(p: Planting) -> None:
        place = importlib.import_module(f"gradrace.adapters.{module}")
        honest = place.bind

        def bind(run: Any, optimizer: Any, rates: Array) -> Any:
            bound = honest(run, optimizer, rates)
            plain = replace(bound, learning_rates=rates, hyper_tables={}, state_tables={})
            return plain if optimizer.name == name else bound

        p.patch(place, "bind", bind)

    return plant


NO_DECAY = "trajectories/digits_mlp+all_penalties/adamw/groups/no_decay"
FOUR_RULES = "trajectories/digits_mlp+batch_norm/momentum/groups/four_rules"
OWN_COUPLING = "trajectories/digits_mlp/prodigy/groups/own_coupling"
# In any framework.
IN_GROUPS: dict[str, tuple[str, Callable[[Planting], None]]] = {
    "head and kernel have each other's role": (FOUR_RULES, _head_and_kernel_swapped),
    "a group's factor is ignored": (FOUR_RULES, _factor_ignored),
    "new rates forget the factor": (FOUR_RULES, _factor_forgotten_by_new_rates),
    "a group has its neighbour's rates": (FOUR_RULES, _trainers(_rates_of_the_neighbour)),
    "a group has its neighbour's parameters": (FOUR_RULES, _trainers(_names_of_the_neighbour)),
    "a group's hyperparameters are the run's": (
        NO_DECAY,
        _trainers(_run_with_hypers_of_the_first),
    ),
}
# Where a group's optimizer is bound, and one that has corrections there.
CORRECTED = {
    "torch": _uncorrected("torch.optimizer", "rmsprop"),
    "tensorflow": _uncorrected("tensorflow.groups", "amsgrad"),
    "jax": _uncorrected("jax.groups", "amsgrad"),
}
FAULTS = (
    *(
        Fault(name, framework, *fault)
        for framework in CORRECTED
        for name, fault in IN_GROUPS.items()
    ),
    *(
        Fault("a group goes without corrections", framework, FOUR_RULES, plant)
        for framework, plant in CORRECTED.items()
    ),
    Fault("groups share a state", "jax", OWN_COUPLING, _trainers(_first_for_all)),
    *(
        Fault(name, framework, *fault)
        for planted in (PLANTED, IN_PROGRAMS)
        for framework, faults in planted.items()
        for name, fault in faults.items()
    ),
    *(
        Fault(name, framework, *fault, compiled=False)
        for framework in IN_PROGRAMS
        for name, fault in LANES.items()
    ),
)

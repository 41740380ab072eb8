"""Faults as people make them, each to be planted in one adapter while it computes; `gradrace
verify` must see all.

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
    """What a fault may change: the adapter's methods, its modules, the framework, the optimizers'
    declarations.
    """

    def __init__(
        self, framework: str, adapter: Any, optimizers: dict[str, Optimizer], undo: ExitStack
    ) -> None:
        self.adapter, self.optimizers, self._undo = adapter, dict(optimizers), undo
        self.layers = importlib.import_module(f"gradrace.adapters.{framework}.layers")

    def patch(self, target: Any, name: str, value: Any) -> None:
        """Until the fault is taken out again."""
        self._undo.enter_context(mock.patch.object(target, name, value))

    def method(self, name: str, change: Callable[..., Any]) -> None:
        """Replaces the adapter's method by change(honest method, *arguments)."""
        honest = getattr(self.adapter, name)
        self.patch(self.adapter, name, lambda *given, **more: change(honest, *given, **more))

    def opened(self, change: Callable[..., tuple[Any, Any, Any]]) -> None:
        """Sessions are opened with change(run, start, plan)."""
        self.method("open", lambda honest, *given: honest(*change(*given)))

    def task(self, **changes: Any) -> None:
        """Sessions and losses see another task."""

        def other(run: Any, start: Any, plan: Any) -> Any:
            return run.model_copy(update={"task": run.task.model_copy(update=changes)}), start, plan

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

        def open_(honest: Any, run: Any, start: Any, plan: Any) -> Any:
            session = honest(run, {name: there(name, value) for name, value in start.items()}, plan)
            read = session.weights
            session.weights = lambda: {name: back(name, value) for name, value in read().items()}
            return session

        self.method("differentiate", differentiate)
        self.method("open", open_)

    def binding(self, name: str, framework: str, **changes: Any) -> None:
        """The optimizer is bound differently in the framework."""
        optimizer = self.optimizers[name]
        changed = replace(optimizer.bindings[framework], **changes)
        self.optimizers[name] = replace(
            optimizer, bindings={**optimizer.bindings, framework: changed}
        )

    def argument(self, name: str, framework: str, **arguments: Any) -> None:
        """The optimizer's class gets other arguments under the canonical rule."""
        honest = self.optimizers[name].bindings[framework].canonical
        self.binding(name, framework, canonical=lambda hyper: {**honest(hyper), **arguments})


@dataclass(frozen=True)
class Fault:
    """A mistake in one framework's adapter, and the cases (ids) of which at least one must fail."""

    name: str
    framework: str
    cases: tuple[str, ...]
    plant: Callable[[Planting], None]


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


def _transposed(
    name: str = "kernel",
) -> tuple[Callable[[str, Array], Array], Callable[[str, Array], Array]]:
    square = _kernels(lambda w: w.T if w.shape[0] == w.shape[1] else w, name)
    return square, square


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

    p.binding("adam", "jax", target=make)


def _coupled_decay(p: Planting) -> None:
    p.binding("adamw", "torch", target="torch.optim.Adam")


def _float32_constants(p: Planting) -> None:
    honest = p.optimizers["adam"].bindings["tensorflow"].canonical
    p.binding(
        "adam",
        "tensorflow",
        canonical=lambda h: {k: float(np.float32(v)) for k, v in honest(h).items()},
    )


def _late_rates(p: Planting) -> None:
    def late(rates: Array) -> Array:
        return np.concatenate([rates[:1], rates[:-1]])

    p.method(
        "updates", lambda honest, run, o, start, g, rates: honest(run, o, start, g, late(rates))
    )
    p.opened(
        lambda run, start, plan: (
            run,
            start,
            replace(plan, learning_rates=late(plan.learning_rates)),
        )
    )


def _repeated_batch(p: Planting) -> None:
    def repeat(run: Any, start: Any, plan: Any) -> Any:
        batches = plan.batches.copy()
        batches[5] = batches[4]
        return run, start, replace(plan, batches=batches)

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


def _regularized(**changes: float) -> Callable[[Planting], None]:
    """Penalties of the session replaced by factors of themselves."""

    def plant(p: Planting) -> None:
        def change(run: Any, start: Any, plan: Any) -> Any:
            given = run.task.regularization
            new = given.model_copy(
                update={name: factor * getattr(given, name) for name, factor in changes.items()}
            )
            return (
                run.model_copy(
                    update={"task": run.task.model_copy(update={"regularization": new})}
                ),
                start,
                plan,
            )

        p.opened(change)

    return plant


def _decay_coupled(p: Planting) -> None:
    def change(run: Any, start: Any, plan: Any) -> Any:
        new = run.task.regularization.model_copy(
            update={"decay": 0.0, "l2": run.task.regularization.decay}
        )
        return (
            run.model_copy(update={"task": run.task.model_copy(update={"regularization": new})}),
            start,
            plan,
        )

    p.opened(change)


def _gradients_pile_up(p: Planting) -> None:
    import torch

    p.patch(torch.optim.Optimizer, "zero_grad", lambda self, set_to_none=True: None)


def _result(
    change: Callable[[Any], Any], method: str = "differentiate"
) -> Callable[[Planting], None]:
    return lambda p: p.method(method, lambda honest, *given, **more: change(honest(*given, **more)))


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


def _half_squared_error(p: Planting) -> None:
    _result(lambda found: (0.5 * found[0], 0.5 * found[1]), "loss")(p)


MLP, CNN, LSTM = "trajectories/digits_mlp", "trajectories/digits_cnn", "trajectories/digits_lstm"
_i_f_swapped = _columns((1, 0, 2, 3))

FAULTS = (
    # Weights and layouts
    Fault(
        "LSTM gates i and f swapped",
        "torch",
        ("layers/lstm/last",),
        lambda p: p.rearranged(_i_f_swapped, _i_f_swapped),
    ),
    Fault(
        "LSTM gates g and o swapped",
        "jax",
        ("layers/lstm/last",),
        lambda p: p.rearranged(_columns((0, 1, 3, 2)), _columns((0, 1, 3, 2))),
    ),
    Fault("GRU gates in Keras' own order", "tensorflow", ("layers/gru/last",), _no_gates_permuted),
    Fault("flatten in the order C, H, W", "torch", (f"{CNN}/sgd",), _flatten_order),
    Fault(
        "dense kernel transposed",
        "jax",
        ("layers/dense/square",),
        lambda p: p.rearranged(*_transposed()),
    ),
    Fault(
        "recurrent kernel transposed",
        "tensorflow",
        ("layers/simple_rnn/last",),
        lambda p: p.rearranged(*_transposed("recurrent_kernel")),
    ),
    Fault(
        "convolution kernel flipped",
        "jax",
        ("layers/conv2d/valid_stride1_kernel3",),
        lambda p: p.rearranged(*2 * (_kernels(lambda w: w[::-1, ::-1], ndim=4),)),
    ),
    Fault(
        "height and width of kernels swapped",
        "tensorflow",
        ("layers/conv2d/valid_stride1_kernel3",),
        lambda p: p.rearranged(*2 * (_kernels(lambda w: w.transpose(1, 0, 2, 3), ndim=4),)),
    ),
    Fault(
        "biases start at zero",
        "torch",
        ("weights/digits_mlp",),
        lambda p: p.opened(
            lambda run, start, plan: (
                run,
                {
                    name: 0.0 * value if name.endswith("bias") else value
                    for name, value in start.items()
                },
                plan,
            )
        ),
    ),
    Fault(
        "weights pass through float32",
        "tensorflow",
        ("weights/digits_mlp",),
        lambda p: p.opened(
            lambda run, start, plan: (
                run,
                {name: value.astype(np.float32).astype(float) for name, value in start.items()},
                plan,
            )
        ),
    ),
    # Layers
    Fault(
        "symmetric padding at stride 2",
        "torch",
        ("layers/conv2d/same_stride2_even_image",),
        _symmetric_padding,
    ),
    Fault(
        "padding counted in means",
        "jax",
        ("layers/avg_pool2d/same_window3_stride2",),
        _padding_counted,
    ),
    Fault(
        "unbiased running variance", "torch", ("layers/batch_norm/training",), _unbiased_variance
    ),
    Fault(
        "batch norm's momentum the other way round",
        "tensorflow",
        ("layers/batch_norm/options/training",),
        lambda p: p.layer(
            lambda layer: BatchNorm(momentum=1.0 - layer.momentum, epsilon=layer.epsilon)
        ),
    ),
    Fault(
        "batch norm with Keras' epsilon",
        "jax",
        ("layers/batch_norm/training",),
        lambda p: p.layer(lambda layer: BatchNorm(momentum=layer.momentum, epsilon=1e-3)),
    ),
    Fault(
        "batch statistics in evaluation",
        "jax",
        ("layers/batch_norm/evaluation",),
        _phase(training=True),
    ),
    Fault(
        "layer norm with Flax's epsilon",
        "torch",
        ("layers/layer_norm",),
        lambda p: p.layer(lambda layer: LayerNorm(epsilon=1e-6)),
    ),
    Fault("dropout not scaled up", "tensorflow", ("layers/dropout/training",), _unscaled_dropout),
    Fault(
        "dropout mask inverted",
        "jax",
        ("layers/dropout/training",),
        lambda p: p.method(
            "differentiate",
            lambda honest, b, w, x, up, phase, mask=None, **more: honest(
                b, w, x, up, phase, ~mask, **more
            ),
        ),
    ),
    Fault(
        "dropout forgotten in training",
        "torch",
        ("layers/dropout/training",),
        _phase(training=False),
    ),
    Fault(
        "leaky ReLU with Keras' slope",
        "tensorflow",
        ("layers/activation/leaky_relu",),
        _keras_leaky,
    ),
    Fault(
        "leaky ReLU with slope 0.2",
        "torch",
        ("layers/activation/leaky_relu",),
        _activation("leaky_relu", _torch_leaky),
    ),
    Fault("GELU by tanh", "jax", ("layers/activation/gelu",), _activation("gelu", _jax_gelu)),
    Fault(
        "gradient by the inputs not scaled",
        "tensorflow",
        ("layers/layer_norm",),
        _result(lambda found: found._replace(input_gradient=found.input_gradient * (1.0 + 1e-9))),
    ),
    # Losses
    Fault(
        "label smoothing forgotten",
        "tensorflow",
        ("losses/softmax_cross_entropy/smoothing",),
        lambda p: p.task(label_smoothing=0.0),
    ),
    Fault("squared error halved", "jax", ("losses/mean_squared_error",), _half_squared_error),
    Fault(
        "loss summed over the batch",
        "torch",
        ("losses/softmax_cross_entropy",),
        _result(lambda found: (8 * found[0], 8 * found[1]), "loss"),
    ),
    Fault(
        "accuracy for R2",
        "jax",
        ("losses/mean_squared_error",),
        lambda p: p.method(
            "metric",
            lambda honest, task, outputs, y, *more: honest(
                task, outputs - outputs.mean(0), y, *more
            ),
        ),
    ),
    # Update rules
    Fault(
        "Adam with Keras' epsilon",
        "torch",
        ("updates/adam/canonical/constant",),
        lambda p: p.argument("adam", "torch", eps=1e-7),
    ),
    Fault(
        "epsilon-hat not corrected",
        "tensorflow",
        ("updates/adam/canonical/constant",),
        lambda p: p.binding("adam", "tensorflow", corrections=()),
    ),
    Fault(
        "bias correction off by one",
        "jax",
        ("updates/adam/canonical/constant",),
        _bias_correction_late,
    ),
    Fault(
        "Nesterov without look-ahead",
        "torch",
        ("updates/nesterov/canonical/constant",),
        lambda p: p.argument("nesterov", "torch", nesterov=False),
    ),
    Fault(
        "old rates in Keras' momentum",
        "tensorflow",
        ("updates/momentum/canonical/decaying",),
        lambda p: p.binding("momentum", "tensorflow", corrections=()),
    ),
    Fault(
        "coupled instead of decoupled decay",
        "torch",
        ("updates/adamw/canonical/constant",),
        _coupled_decay,
    ),
    Fault(
        "epsilon outside of the root",
        "jax",
        ("updates/rmsprop/canonical/constant",),
        lambda p: p.argument("rmsprop", "jax", eps_in_sqrt=False),
    ),
    Fault(
        "accumulator starts at zero",
        "tensorflow",
        ("updates/adagrad/canonical/constant",),
        lambda p: p.argument("adagrad", "tensorflow", initial_accumulator_value=0.0),
    ),
    Fault(
        "float32 constants in Keras",
        "tensorflow",
        ("updates/adam/canonical/constant",),
        _float32_constants,
    ),
    Fault("learning rate one step late", "jax", ("updates/sgd/canonical/decaying",), _late_rates),
    Fault(
        "beta2 0.99",
        "jax",
        ("updates/adamw/canonical/decaying",),
        lambda p: p.argument("adamw", "jax", b2=0.99),
    ),
    # Training
    Fault("second RNN bias trained", "torch", (f"{LSTM}/sgd",), _second_bias_trained),
    Fault("gradients pile up", "torch", (f"{MLP}/sgd",), _gradients_pile_up),
    Fault("one batch repeated", "jax", (f"{MLP}/sgd",), _repeated_batch),
    Fault("L2 without its half", "tensorflow", (f"{MLP}+l2/momentum",), _regularized(l2=2.0)),
    Fault(
        "clipping with torch's 1e-6",
        "torch",
        (f"{MLP}+clip_norm/momentum",),
        _regularized(clip_norm=1.0 - 1e-7),
    ),
    Fault("decoupled decay taken for L2", "jax", (f"{MLP}+decay/adam",), _decay_coupled),
    Fault("new rates not taken", "tensorflow", (f"{MLP}/momentum/rates_replaced",), _rates_kept),
    Fault("rates in float32", "tensorflow", ("rates/cosine/float64",), _rates_rounded),
    Fault("rates one step late", "torch", ("rates/cosine/float32",), _late_rates),
)

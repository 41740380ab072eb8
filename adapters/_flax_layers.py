"""Every canonical layer as a pure function, made of Flax's own nnx layers.

Flax computes the canonical thing except: leaky_relu has slope 1 at 0; weight normalisation adds a
constant to the norm. Mode "scan" replaces convolution and pooling by equal forms that XLA runs
faster inside a loop on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from gradrace.layers import (
    LEAKY_SLOPE,
    Activation,
    AvgPool2D,
    BatchNorm,
    BuiltLayer,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Gru,
    LayerNorm,
    Lstm,
    MaxPool2D,
    Padding,
    Point,
    SimpleRnn,
    same_padding,
)
from gradrace.objective import scale_of

# Arrays by canonical name: parameters, or the running statistics that a layer moves on in training.
Arrays = Mapping[str, jax.Array]
# What one step's dropout needs, by the layer's name: a mask bool[n, ...], or where Flax draws, a
# key uint32[2]. Beside the masks, under `scale_of`, what they multiply by, unless it is a constant
# of the layer's own.
Noise = Mapping[str, jax.Array]
# (parameters and statistics, x[n, ...], in training, noise) -> outputs, the statistics that have
# changed.
Function = Callable[[Arrays, jax.Array, bool, Noise], tuple[jax.Array, Arrays]]
# (module, x, in training) -> outputs
Call = Callable[[Any, jax.Array, bool], jax.Array]
Plain = Callable[[jax.Array], jax.Array]

# Where Flax keeps a layer's parameters, where the name differs from the canonical one.
_INPUTS, _STATES = ("cell", "dense_i"), ("cell", "dense_h")
_PATHS: Mapping[type, Mapping[str, tuple[str, ...]]] = {
    BatchNorm: {"gain": ("scale",), "moving_mean": ("mean",), "moving_variance": ("var",)},
    LayerNorm: {"gain": ("scale",)},
    Embedding: {"kernel": ("embedding",)},
    SimpleRnn: {
        "kernel": (*_INPUTS, "kernel"),
        "recurrent_kernel": (*_STATES, "kernel"),
        "bias": (*_INPUTS, "bias"),
    },
    Gru: {
        "kernel": (*_INPUTS, "kernel"),
        "recurrent_kernel": (*_STATES, "kernel"),
        "bias": (*_INPUTS, "bias"),
    },
    Lstm: {
        "kernel": (*_INPUTS, "kernel"),
        "recurrent_kernel": (*_STATES, "kernel"),
        "bias": (*_STATES, "bias"),
    },
}


def network(layers: Sequence[BuiltLayer], dtype: str, mode: str) -> Function:
    """The layers one after another."""
    functions = [function(built, dtype, mode) for built in layers]

    def apply(
        arrays: Arrays, x: jax.Array, training: bool, noise: Noise
    ) -> tuple[jax.Array, Arrays]:
        moved: dict[str, jax.Array] = {}
        for layer in functions:
            x, own = layer(arrays, x, training, noise)
            moved |= own
        return x, moved

    return apply


def function(built: BuiltLayer, dtype: str, mode: str) -> Function:
    """One layer. Mode "scan" or any other."""
    kind, name = built.layer, built.name
    match kind:
        case Dense(weight_norm=True):
            return partial(_weight_norm_dense, name, kind.bias)
        case Dropout():
            return partial(_dropout, name, kind) if kind.rate else _plain(lambda x: x)
        case Point():
            return partial(_point, name, kind)
        case Flatten():
            return _plain(lambda x: x.reshape(len(x), -1))
        case Activation():
            return _plain(_ACTIVATIONS[kind.function])
        case MaxPool2D() | AvgPool2D():
            return _plain(_pool(kind, mode))
        case _:
            return _of_module(built, dtype, mode)


def _plain(elementwise: Plain) -> Function:
    """A layer without parameters that does the same in training and evaluation."""
    return lambda arrays, x, training, noise: (elementwise(x), {})


def _of_module(built: BuiltLayer, dtype: str, mode: str) -> Function:
    """A module of Flax's as a function of its arrays."""
    merged_with, call = (
        _blank(lambda: _module(built, jnp.dtype(dtype), mode), _names_by_path(built)),
        _call(built),
    )

    def apply(
        arrays: Arrays, x: jax.Array, training: bool, noise: Noise
    ) -> tuple[jax.Array, Arrays]:
        merged: Any = merged_with(arrays)
        outputs = call(merged, x, training)
        if not (training and isinstance(built.layer, BatchNorm)):
            return outputs, {}
        # Read from the module and handed on: it lives for this call only.
        return outputs, {
            f"{built.name}.moving_mean": merged.mean[...],
            f"{built.name}.moving_variance": merged.var[...],
        }

    return apply


def _blank(
    make: Callable[[], nnx.Module], names: Mapping[tuple[Any, ...], str]
) -> Callable[[Arrays], Any]:
    """arrays -> the module with these for its own, whose initial values are never computed."""
    graph, state = nnx.split(nnx.eval_shape(make))
    structure = jax.tree.structure(state)
    order = [names[path] for path, _ in nnx.to_flat_state(state)]
    return lambda arrays: nnx.merge(
        graph, jax.tree.unflatten(structure, [arrays[name] for name in order])
    )


class Network(nnx.Module):
    """The layers one after another, as a user of Flax builds a model; running statistics move in
    training.

    `paths`: where each parameter lies -> its canonical name.
    """

    def __init__(self, layers: Sequence[BuiltLayer], dtype: str) -> None:
        self.layers = nnx.List([_layer(built, dtype) for built in layers])

    def __call__(self, x: jax.Array, training: bool, noise: Noise) -> jax.Array:
        for layer in self.layers:
            x = layer(x, training, noise)
        return x

    @staticmethod
    def paths(layers: Sequence[BuiltLayer]) -> dict[tuple[Any, ...], str]:
        found: dict[tuple[Any, ...], str] = {}
        for place, built in enumerate(layers):
            if _has_module(built):
                own = {("module", *path): name for path, name in _names_by_path(built).items()}
            else:
                own = {("arrays", parameter.name): parameter.name for parameter in built.parameters}
            found |= {("layers", place, *path): name for path, name in own.items()}
        return found


def module(layers: Sequence[BuiltLayer], dtype: str, arrays: Arrays) -> Network:
    """The layers as one module with these parameters and statistics."""
    network: Network = _blank(lambda: Network(layers, dtype), Network.paths(layers))(arrays)
    return network


def _layer(built: BuiltLayer, dtype: str) -> nnx.Module:
    if _has_module(built):
        return _ModuleLayer(_module(built, jnp.dtype(dtype), "nnx"), _call(built))
    return _FunctionLayer(built, dtype)


class _ModuleLayer(nnx.Module):
    """A module of Flax's, called as all layers are."""

    def __init__(self, module: nnx.Module, call: Call) -> None:
        self.module, self._call = module, call

    def __call__(self, x: jax.Array, training: bool, noise: Noise) -> jax.Array:
        return self._call(self.module, x, training)


class _FunctionLayer(nnx.Module):
    """What Flax has no module for, with parameters of its own where it has some."""

    def __init__(self, built: BuiltLayer, dtype: str) -> None:
        self._function = function(built, dtype, "nnx")
        self.arrays = nnx.Dict(
            {p.name: nnx.Param(jnp.zeros(p.shape, dtype)) for p in built.parameters}
        )

    def __call__(self, x: jax.Array, training: bool, noise: Noise) -> jax.Array:
        return self._function(
            {name: value[...] for name, value in self.arrays.items()}, x, training, noise
        )[0]


def _has_module(built: BuiltLayer) -> bool:
    weight_norm = isinstance(built.layer, Dense) and built.layer.weight_norm
    return bool(built.parameters) and not weight_norm and not isinstance(built.layer, Point)


def _names_by_path(built: BuiltLayer) -> Mapping[tuple[Any, ...], str]:
    """Where Flax keeps each parameter -> its canonical name. The layouts are the same."""
    paths = _PATHS.get(type(built.layer), {})
    own = {
        parameter.name.removeprefix(f"{built.name}."): parameter.name
        for parameter in built.parameters
    }
    return {paths.get(short, (short,)): name for short, name in own.items()}


def _module(built: BuiltLayer, dtype: jnp.dtype, mode: str) -> nnx.Module:
    kind, channels = built.layer, built.input_shape[-1]
    types: dict[str, Any] = {"dtype": dtype, "param_dtype": dtype, "rngs": nnx.Rngs(0)}
    match kind:
        case Dense():
            return nnx.Linear(channels, kind.units, use_bias=kind.bias, **types)
        case Conv2D():
            convolve = _convolve_by_matmul if mode == "scan" else jax.lax.conv_general_dilated
            return nnx.Conv(
                channels,
                kind.filters,
                (kind.kernel, kind.kernel),
                kind.stride,
                padding=kind.padding.upper(),
                use_bias=kind.bias,
                conv_general_dilated=convolve,
                **types,
            )
        case BatchNorm():
            # The fast variance is E[x^2] - E[x]^2, which loses the digits of data far from 0.
            return nnx.BatchNorm(
                channels,
                momentum=kind.momentum,
                epsilon=kind.epsilon,
                use_fast_variance=False,
                **types,
            )
        case LayerNorm():
            return nnx.LayerNorm(channels, epsilon=kind.epsilon, use_fast_variance=False, **types)
        case Embedding():
            return nnx.Embed(kind.vocabulary, kind.units, **types)
        case SimpleRnn() | Lstm() | Gru():
            return nnx.RNN(_CELLS[type(kind)](channels, kind.units, **types), rngs=False)
    raise ValueError(f"no Flax layer for {kind.kind}")


_CELLS: Mapping[type, Callable[..., Any]] = {
    SimpleRnn: nnx.SimpleCell,
    Lstm: nnx.OptimizedLSTMCell,
    # Has no bias of the recurrent product, against its docstring: the canonical GRU.
    Gru: nnx.GRUCell,
}


def _call(built: BuiltLayer) -> Call:
    if isinstance(built.layer, SimpleRnn | Lstm | Gru):
        return partial(_run_cell, built.layer)
    if isinstance(built.layer, BatchNorm):
        return lambda module, x, training: module(x, use_running_average=not training)
    return lambda module, x, training: module(x)


def _run_cell(kind: SimpleRnn | Lstm | Gru, rnn: Any, x: jax.Array, training: bool) -> jax.Array:
    """Over x[n, time, features], from a state of zeros: the last hidden state [n, units], or all of
    them.
    """
    # Without a carry of its own, nnx.RNN draws random keys for it, which a pure function may not.
    zeros = jnp.zeros((len(x), kind.units), x.dtype)
    carry, hidden = rnn(
        x, initial_carry=(zeros, zeros) if isinstance(kind, Lstm) else zeros, return_carry=True
    )
    if kind.sequences:
        return hidden
    return carry[1] if isinstance(kind, Lstm) else carry


def _weight_norm_dense(
    name: str, bias: bool, arrays: Arrays, x: jax.Array, training: bool, noise: Noise
) -> tuple[jax.Array, Arrays]:
    direction = arrays[f"{name}.direction"]
    outputs = x @ (direction * (arrays[f"{name}.gain"] / jnp.linalg.norm(direction, axis=0)))
    return (outputs + arrays[f"{name}.bias"] if bias else outputs), {}


def _dropout(
    name: str, kind: Dropout, arrays: Arrays, x: jax.Array, training: bool, noise: Noise
) -> tuple[jax.Array, Arrays]:
    if not training:
        return x, {}
    if kind.masks == "native":
        return (
            nnx.Dropout(kind.rate)(
                x, deterministic=False, rngs=jax.random.wrap_key_data(noise[name])
            ),
            {},
        )
    scale = noise.get(scale_of(name), 1.0 / (1.0 - kind.rate))
    return jnp.where(noise[name], x * scale, 0.0), {}


def _point(
    name: str, kind: Point, arrays: Arrays, x: jax.Array, training: bool, noise: Noise
) -> tuple[jax.Array, Arrays]:
    return jnp.broadcast_to(_objective(kind, arrays[f"{name}.point"]), (len(x), 1)), {}


def _objective(kind: Point, point: jax.Array) -> jax.Array:
    if kind.objective == "quadratic":
        curvatures = np.geomspace(1.0, kind.condition, len(kind.start))
        return (jnp.asarray(curvatures, point.dtype) * point**2).sum() / 2.0
    x, y = point
    match kind.objective:
        case "rosenbrock":
            return (1.0 - x) ** 2 + 100.0 * (y - x**2) ** 2
        case "beale":
            return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2
        case _:
            # Python floats, that float32 may stay float32.
            parabola = y - 5.1 / (4.0 * float(np.pi) ** 2) * x**2 + 5.0 / float(np.pi) * x - 6.0
            return parabola**2 + 10.0 * (1.0 - 1.0 / (8.0 * float(np.pi))) * jnp.cos(x) + 10.0


def _leaky_relu(x: jax.Array) -> jax.Array:
    # nnx.leaky_relu gives 0 the slope of the positive side; PyTorch and TensorFlow, as here, that
    # of the other.
    return jnp.where(x > 0.0, x, LEAKY_SLOPE * x)


_ACTIVATIONS: Mapping[str, Plain] = {
    "relu": nnx.relu,
    "leaky_relu": _leaky_relu,
    "elu": nnx.elu,
    "gelu": partial(nnx.gelu, approximate=False),
    "silu": nnx.silu,
    "sigmoid": nnx.sigmoid,
    "tanh": nnx.tanh,
}


def _pool(kind: MaxPool2D | AvgPool2D, mode: str) -> Plain:
    if mode == "scan":
        by_windows = _max_pool_by_selects if isinstance(kind, MaxPool2D) else _avg_pool_by_sums
        return partial(by_windows, window=kind.window, stride=kind.step, padding=kind.padding)
    windows: dict[str, Any] = {
        "window_shape": (kind.window,) * 2,
        "strides": (kind.step,) * 2,
        "padding": kind.padding.upper(),
    }
    if isinstance(kind, MaxPool2D):
        return partial(nnx.max_pool, **windows)
    return partial(nnx.avg_pool, count_include_pad=False, **windows)


def _convolve_by_matmul(
    x: jax.Array, kernel: jax.Array, window_strides: Sequence[int], padding: str, **_: Any
) -> jax.Array:
    """Convolution of x[n, h, w, in] with kernel[k, k, in, out] as one product of matrices.

    Takes the place of `lax.conv_general_dilated`, which XLA runs about ten times slower inside a
    loop on a CPU."""
    k, channels, filters = kernel.shape[0], x.shape[-1], kernel.shape[-1]
    patches = jnp.concatenate(
        list(_shifted(x, k, window_strides[0], "same" if padding == "SAME" else "valid", 0.0)),
        axis=-1,
    )
    n, height, width = patches.shape[:3]
    products = patches.reshape(-1, k * k * channels) @ kernel.reshape(-1, filters)
    return products.reshape(n, height, width, filters)


def _max_pool_by_selects(x: jax.Array, window: int, stride: int, padding: Padding) -> jax.Array:
    """Maximum over windows of x[n, h, w, c]. As in `nnx.max_pool`, ties send the gradient to the
    first; NaN spreads.

    XLA's own gradient of pooling takes as long as the whole rest of a small step on a CPU;
    `reshape().max()` would be fast too, but shares the gradient out among ties.
    """
    first, *rest = _shifted(x, window, stride, padding, -jnp.inf)
    for other in rest:
        first = jnp.where((first >= other) | jnp.isnan(first), first, other)
    return first


def _avg_pool_by_sums(x: jax.Array, window: int, stride: int, padding: Padding) -> jax.Array:
    """Mean over windows of x[n, h, w, c], padding not counted."""
    total, *rest = _shifted(x, window, stride, padding, 0.0)
    for other in rest:
        total = total + other
    if padding == "valid":
        return total / float(window * window)
    rows, columns = (_counts(size, window, stride) for size in x.shape[1:3])
    return total / jnp.asarray(rows[:, None, None] * columns[None, :, None], x.dtype)


def _counts(size: int, window: int, stride: int) -> np.ndarray:
    """How many entries of an axis lie in each of its windows under padding 'same'."""
    starts = np.arange(-(-size // stride)) * stride - same_padding(size, window, stride)[0]
    return np.minimum(starts + window, size) - np.maximum(starts, 0)


def _shifted(
    x: jax.Array, window: int, stride: int, padding: Padding, fill: float
) -> Iterable[jax.Array]:
    """For every place in the window, in C order, what lies there in all windows of x[n, h, w, c]:
    [n, h', w', c].
    """
    if padding == "same":
        edges = [same_padding(size, window, stride) for size in x.shape[1:3]]
        x = jnp.pad(x, ((0, 0), *edges, (0, 0)), constant_values=fill)
    n, height, width, channels = x.shape
    rows, columns = ((size - window) // stride + 1 for size in (height, width))
    if window == stride:
        # Tiles: slicing a reshaped array has a cheaper gradient than slicing with strides.
        tiles = x[:, : rows * window, : columns * window].reshape(
            n, rows, window, columns, window, channels
        )
        return (tiles[:, :, i, :, j] for i in range(window) for j in range(window))
    last_row, last_column = (rows - 1) * stride + 1, (columns - 1) * stride + 1
    return (
        x[:, i : i + last_row : stride, j : j + last_column : stride]
        for i in range(window)
        for j in range(window)
    )

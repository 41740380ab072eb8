"""Every canonical layer as a pure function, or as a module, made of Flax's own nnx layers.

Flax computes the canonical function except: leaky_relu has slope 1 at 0; weight normalisation adds
a constant to the norm. Inside a loop (mode "scan") convolution and pooling take equal forms that
XLA runs faster there on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from gradrace import layers as kinds
from gradrace.layers import LEAKY_SLOPE, BuiltLayer, Padding, same_padding
from gradrace.objective import scale_of

# Arrays by canonical name: parameters, or the running statistics that a layer moves in training.
Arrays = Mapping[str, jax.Array]
# One step's dropout by the layer's name: a mask bool[n, ...], or, if Flax draws, a key uint32[2].
# Beside the masks, under `scale_of`, their factors, unless these are constants.
Noise = Mapping[str, jax.Array]
# (parameters and statistics, x[n, ...], in training, noise) -> outputs, the changed statistics.
Function = Callable[[Arrays, jax.Array, bool, Noise], tuple[jax.Array, Arrays]]
Plain = Callable[[jax.Array], jax.Array]
Path = tuple[Any, ...]


def network(layers: Sequence[BuiltLayer], dtype: str, looped: bool) -> Function:
    """The layers one after another. looped: for a step inside a loop."""
    functions = [_function(built, dtype, looped) for built in layers]

    def apply(
        arrays: Arrays, x: jax.Array, training: bool, noise: Noise
    ) -> tuple[jax.Array, Arrays]:
        moved: dict[str, jax.Array] = {}
        for layer in functions:
            x, own = layer(arrays, x, training, noise)
            moved |= own
        return x, moved

    return apply


def _function(built: BuiltLayer, dtype: str, looped: bool) -> Function:
    kind = _kind(built)
    return kind.function(built, looped) if kind.function else _of_module(built, dtype, looped)


def _of_module(built: BuiltLayer, dtype: str, looped: bool) -> Function:
    """A module of Flax's as a function of its arrays."""
    call, names = _kind(built).call, _names_by_path(built)
    merged_with = _blank(lambda: _module(built, dtype, looped), names)
    states = {p.name for p in built.parameters if not p.trainable}
    moving = {name: attrgetter(".".join(path)) for path, name in names.items() if name in states}

    def apply(
        arrays: Arrays, x: jax.Array, training: bool, noise: Noise
    ) -> tuple[jax.Array, Arrays]:
        merged: Any = merged_with(arrays)
        outputs = call(built.layer, merged, x, training)
        # Read from the module and handed on: it lives for this call only.
        moved = {name: of(merged)[...] for name, of in moving.items()} if training else {}
        return outputs, moved

    return apply


def _blank(make: Callable[[], nnx.Module], names: Mapping[Path, str]) -> Callable[[Arrays], Any]:
    """arrays -> the module that holds them; its initial values are never computed."""
    graph, state = nnx.split(nnx.eval_shape(make))
    structure = jax.tree.structure(state)
    order = [names[path] for path, _ in nnx.to_flat_state(state)]

    def merged(arrays: Arrays) -> Any:
        return nnx.merge(graph, jax.tree.unflatten(structure, [arrays[name] for name in order]))

    return merged


class FlaxNetwork(nnx.Module):
    """The layers as a user of Flax builds a model, an attribute for each that has parameters;
    running statistics move in training. Every further module would cost at each call."""

    def __init__(self, layers: Sequence[BuiltLayer], dtype: str) -> None:
        for built in layers:
            if _has_module(built):
                setattr(self, built.name, _module(built, dtype, looped=False))
            elif built.parameters:
                zeros = {p.name: nnx.Param(jnp.zeros(p.shape, dtype)) for p in built.parameters}
                setattr(self, built.name, nnx.Dict(zeros))
        self._apply = _applied(layers, dtype)

    def __call__(self, x: jax.Array, training: bool, noise: Noise) -> jax.Array:
        return self._apply(self, x, training, noise)


def _applied(layers: Sequence[BuiltLayer], dtype: str) -> Callable[..., jax.Array]:
    """All layers of a FlaxNetwork, one after another."""
    calls = [
        (_call_module if _has_module(each) else _call_function)(each, dtype) for each in layers
    ]

    def apply(network: FlaxNetwork, x: jax.Array, training: bool, noise: Noise) -> jax.Array:
        for call in calls:
            x = call(network, x, training, noise)
        return x

    return apply


def _call_module(built: BuiltLayer, dtype: str) -> Callable[..., jax.Array]:
    """A module of Flax's, called as all layers are."""
    call = _kind(built).call

    def called(network: FlaxNetwork, x: jax.Array, training: bool, noise: Noise) -> jax.Array:
        return call(built.layer, getattr(network, built.name), x, training)

    return called


def _call_function(built: BuiltLayer, dtype: str) -> Callable[..., jax.Array]:
    """A layer that Flax has no module for, with its own parameters if it has some."""
    function = _function(built, dtype, looped=False)

    def called(network: FlaxNetwork, x: jax.Array, training: bool, noise: Noise) -> jax.Array:
        own = getattr(network, built.name).items() if built.parameters else ()
        return function({name: value[...] for name, value in own}, x, training, noise)[0]

    return called


def paths_of(layers: Sequence[BuiltLayer]) -> dict[Path, str]:
    """Each parameter's place in a FlaxNetwork -> its canonical name."""
    found: dict[Path, str] = {}
    for built in layers:
        own = {(p.name,): p.name for p in built.parameters}
        names = _names_by_path(built) if _has_module(built) else own
        found |= {(built.name, *path): name for path, name in names.items()}
    return found


def module(layers: Sequence[BuiltLayer], dtype: str, arrays: Arrays) -> FlaxNetwork:
    """The layers as one module with these parameters and statistics."""
    filled: FlaxNetwork = _blank(lambda: FlaxNetwork(layers, dtype), paths_of(layers))(arrays)
    return filled


def _has_module(built: BuiltLayer) -> bool:
    return _kind(built).module is not None


def _module(built: BuiltLayer, dtype: str, looped: bool) -> nnx.Module:
    make, kind = _kind(built).module, jnp.dtype(dtype)
    assert make is not None, "the caller has asked"
    types = {"dtype": kind, "param_dtype": kind, "rngs": nnx.Rngs(0)}
    return make(built.layer, built.input_shape[-1], types, looped)


def _names_by_path(built: BuiltLayer) -> Mapping[Path, str]:
    """Flax's place of each parameter -> its canonical name. The layouts are the same."""
    paths = _kind(built).paths
    own = {p.name.removeprefix(f"{built.name}."): p.name for p in built.parameters}
    return {paths.get(short, (short,)): name for short, name in own.items()}


# The table of layers


def _called(layer: Any, module: Any, x: jax.Array, training: bool) -> jax.Array:
    outputs: jax.Array = module(x)
    return outputs


class Kind(NamedTuple):
    """A kind of layer as a module, module(layer, channels, types, looped), or as a function.

    paths: Flax's places of parameters that it calls something else. call: how the module is
    called, call(layer, module, x, training) -> outputs.
    """

    module: Callable[[Any, int, Mapping[str, Any], bool], nnx.Module] | None = None
    paths: Mapping[str, tuple[str, ...]] = {}
    call: Callable[[Any, Any, jax.Array, bool], jax.Array] = _called
    function: Callable[[BuiltLayer, bool], Function] | None = None


def _kind(built: BuiltLayer) -> Kind:
    weight_norm = isinstance(built.layer, kinds.Dense) and built.layer.weight_norm
    return _WEIGHT_NORM if weight_norm else LAYERS[type(built.layer)]


def _plain(function_of: Callable[[Any, bool], Plain]) -> Kind:
    """A layer without parameters, the same in training and evaluation."""

    def made(built: BuiltLayer, looped: bool) -> Function:
        function = function_of(built.layer, looped)
        return lambda arrays, x, training, noise: (function(x), {})

    return Kind(function=made)


def _as_function(function: Callable[..., tuple[jax.Array, Arrays]]) -> Kind:
    return Kind(function=lambda built, looped: partial(function, built.name, built.layer))


def _dense(kind: Any, channels: int, types: Mapping[str, Any], looped: bool) -> nnx.Module:
    return nnx.Linear(channels, kind.units, use_bias=kind.bias, **types)


def _conv2d(kind: Any, channels: int, types: Mapping[str, Any], looped: bool) -> nnx.Module:
    return nnx.Conv(
        channels,
        kind.filters,
        (kind.kernel, kind.kernel),
        kind.stride,
        padding=kind.padding.upper(),
        use_bias=kind.bias,
        conv_general_dilated=_convolve_by_matmul if looped else jax.lax.conv_general_dilated,
        **types,
    )


def _batch_norm(kind: Any, channels: int, types: Mapping[str, Any], looped: bool) -> nnx.Module:
    options = {"momentum": kind.momentum, "epsilon": kind.epsilon, **types}
    # The fast variance is E[x^2] - E[x]^2, which loses the digits of data far from 0.
    return nnx.BatchNorm(channels, use_fast_variance=False, **options)


def _call_batch_norm(layer: Any, module: Any, x: jax.Array, training: bool) -> jax.Array:
    outputs: jax.Array = module(x, use_running_average=not training)
    return outputs


def _layer_norm(kind: Any, channels: int, types: Mapping[str, Any], looped: bool) -> nnx.Module:
    return nnx.LayerNorm(channels, epsilon=kind.epsilon, use_fast_variance=False, **types)


def _group_norm(kind: Any, channels: int, types: Mapping[str, Any], looped: bool) -> nnx.Module:
    options = {"num_groups": kind.groups, "epsilon": kind.epsilon, **types}
    return nnx.GroupNorm(channels, use_fast_variance=False, **options)


def _embedding(kind: Any, channels: int, types: Mapping[str, Any], looped: bool) -> nnx.Module:
    return nnx.Embed(kind.vocabulary, kind.units, **types)


def _recurrent(cell: Callable[..., Any], bias: str = "dense_i") -> Kind:
    """bias: which of the cell's two products has it."""

    def made(kind: Any, channels: int, types: Mapping[str, Any], looped: bool) -> nnx.Module:
        return nnx.RNN(cell(channels, kind.units, **types), rngs=False)

    paths = {
        "kernel": ("cell", "dense_i", "kernel"),
        "recurrent_kernel": ("cell", "dense_h", "kernel"),
        "bias": ("cell", bias, "bias"),
    }
    return Kind(made, paths, _run_cell)


def _run_cell(layer: Any, rnn: Any, x: jax.Array, training: bool) -> jax.Array:
    """Over x[n, time, features], from zeros: the last hidden state [n, units], or all of them."""
    # Without a carry, nnx.RNN draws random keys for one, which a pure function may not.
    zeros, is_lstm = jnp.zeros((len(x), layer.units), x.dtype), isinstance(layer, kinds.Lstm)
    start = (zeros, zeros) if is_lstm else zeros
    carry, hidden = rnn(x, initial_carry=start, return_carry=True)
    if layer.sequences:
        return hidden
    return carry[1] if is_lstm else carry


def _weight_norm_dense(
    name: str, kind: kinds.Dense, arrays: Arrays, x: jax.Array, training: bool, noise: Noise
) -> tuple[jax.Array, Arrays]:
    direction = arrays[f"{name}.direction"]
    outputs = x @ (direction * (arrays[f"{name}.gain"] / jnp.linalg.norm(direction, axis=0)))
    return (outputs + arrays[f"{name}.bias"] if kind.bias else outputs), {}


def _dropout(
    name: str, kind: kinds.Dropout, arrays: Arrays, x: jax.Array, training: bool, noise: Noise
) -> tuple[jax.Array, Arrays]:
    if not training or not kind.rate:
        return x, {}
    if kind.masks == "native":
        keys = jax.random.wrap_key_data(noise[name])
        return nnx.Dropout(kind.rate)(x, deterministic=False, rngs=keys), {}
    scale = noise.get(scale_of(name), 1.0 / (1.0 - kind.rate))
    return jnp.where(noise[name], x * scale, 0.0), {}


def _point(
    name: str, kind: kinds.Point, arrays: Arrays, x: jax.Array, training: bool, noise: Noise
) -> tuple[jax.Array, Arrays]:
    return jnp.broadcast_to(_value(kind, arrays[f"{name}.point"]), (len(x), 1)), {}


def _value(kind: kinds.Point, point: jax.Array) -> jax.Array:
    if kind.objective == "quadratic":
        curvatures = np.geomspace(1.0, kind.condition, len(kind.start))
        return (jnp.asarray(curvatures, point.dtype) * point**2).sum() / 2.0
    x, y = point
    value: jax.Array = kind.of_two(x, y, jnp.cos)
    return value


def _leaky_relu(x: jax.Array) -> jax.Array:
    # nnx.leaky_relu has the positive side's slope at 0; PyTorch and TensorFlow, as here, the other.
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


def _max_pool(kind: kinds.MaxPool2D, looped: bool) -> Plain:
    if looped:
        return partial(_max_pool_by_selects, **_slid(kind))
    return partial(nnx.max_pool, **_windows(kind))


def _avg_pool(kind: kinds.AvgPool2D, looped: bool) -> Plain:
    if looped:
        return partial(_avg_pool_by_sums, **_slid(kind))
    return partial(nnx.avg_pool, count_include_pad=False, **_windows(kind))


def _slid(kind: Any) -> dict[str, Any]:
    return {"window": kind.window, "stride": kind.step, "padding": kind.padding}


def _windows(kind: Any) -> dict[str, Any]:
    sizes = {"window_shape": (kind.window,) * 2, "strides": (kind.step,) * 2}
    return {**sizes, "padding": kind.padding.upper()}


_GAIN = {"gain": ("scale",)}
_STATISTICS = {"moving_mean": ("mean",), "moving_variance": ("var",)}
_WEIGHT_NORM = _as_function(_weight_norm_dense)

LAYERS: Mapping[type, Kind] = {
    kinds.Dense: Kind(_dense),
    kinds.Conv2D: Kind(_conv2d),
    kinds.MaxPool2D: _plain(_max_pool),
    kinds.AvgPool2D: _plain(_avg_pool),
    kinds.Flatten: _plain(lambda kind, looped: lambda x: x.reshape(len(x), -1)),
    kinds.BatchNorm: Kind(_batch_norm, {**_GAIN, **_STATISTICS}, _call_batch_norm),
    kinds.LayerNorm: Kind(_layer_norm, _GAIN),
    kinds.GroupNorm: Kind(_group_norm, _GAIN),
    kinds.Dropout: _as_function(_dropout),
    kinds.Embedding: Kind(_embedding, {"kernel": ("embedding",)}),
    kinds.SimpleRnn: _recurrent(nnx.SimpleCell),
    kinds.Lstm: _recurrent(nnx.OptimizedLSTMCell, bias="dense_h"),
    # Against its docstring it has no bias of the recurrent product: the canonical GRU.
    kinds.Gru: _recurrent(nnx.GRUCell),
    kinds.Activation: _plain(lambda kind, looped: _ACTIVATIONS[kind.function]),
    kinds.Point: _as_function(_point),
}


# Convolution and pooling inside a loop


def _convolve_by_matmul(
    x: jax.Array, kernel: jax.Array, window_strides: Sequence[int], padding: str, **_: Any
) -> jax.Array:
    """Convolution of x[n, h, w, in] with kernel[k, k, in, out] as one product of matrices.

    Replaces `lax.conv_general_dilated`, which XLA runs ten times slower inside a loop on a CPU.
    """
    k, channels, filters = kernel.shape[0], x.shape[-1], kernel.shape[-1]
    edges: Padding = "same" if padding == "SAME" else "valid"
    patches = jnp.concatenate(list(_shifted(x, k, window_strides[0], edges, 0.0)), axis=-1)
    n, height, width = patches.shape[:3]
    products = patches.reshape(-1, k * k * channels) @ kernel.reshape(-1, filters)
    return products.reshape(n, height, width, filters)


def _max_pool_by_selects(x: jax.Array, window: int, stride: int, padding: Padding) -> jax.Array:
    """Maximum over windows of x[n, h, w, c]; as in `nnx.max_pool`, the first of equal values gets
    the gradient, and NaN spreads.

    On a CPU, XLA's own gradient of pooling takes as long as the rest of a small step;
    `reshape().max()` would be fast too, but shares the gradient among equal values.
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
    """For each place in the window, in C order: its values [n, h', w', c] in all windows of x."""
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

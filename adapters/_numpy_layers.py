"""Every layer of gradrace.layers in plain NumPy float64: forward and backward passes written from
the formulas.

This is what the frameworks are compared with, so it favours being read over being fast. A forward
pass gives the output and what the backward pass needs of it; a backward pass takes the gradient by
the output and gives the gradients by the input and by the layer's own parameters. `p` holds the
layer's parameters by their names without the layer's prefix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
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
    Point,
    SimpleRnn,
    same_padding,
)
from gradrace.plan import Weights
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import erf, expit

Array = np.ndarray
Parameters = Mapping[str, Array]
Gradients = dict[str, Array]


class Passed(NamedTuple):
    """A forward pass: the output, what the backward pass needs, and the new values of the layer's
    state, if any.
    """

    output: Array
    kept: Any = None
    state: Mapping[str, Array] = {}


class Passes(NamedTuple):
    """forward(built, p, x, training, mask) and backward(built, p, kept, upstream) of one kind of
    layer.
    """

    forward: Callable[[BuiltLayer, Parameters, Array, bool, Array | None], Passed]
    backward: Callable[[BuiltLayer, Parameters, Any, Array], tuple[Array | None, Gradients]]


def forward(
    built: BuiltLayer, weights: Weights, x: Array, training: bool, mask: Array | None = None
) -> Passed:
    """The layer on x[n, *input_shape]; `state` comes with the parameters' full names."""
    passed = PASSES[type(built.layer)].forward(built, _own(built, weights), x, training, mask)
    return passed._replace(state=_full(built, passed.state))


def backward(
    built: BuiltLayer, weights: Weights, kept: Any, upstream: Array
) -> tuple[Array | None, Gradients]:
    """Gradients by the input (None for integers) and by the trainable parameters, under their full
    names.
    """
    downstream, gradients = PASSES[type(built.layer)].backward(
        built, _own(built, weights), kept, upstream
    )
    return downstream, _full(built, gradients)


def _own(built: BuiltLayer, weights: Weights) -> Parameters:
    return {
        parameter.name.rpartition(".")[2]: weights[parameter.name] for parameter in built.parameters
    }


def _full(built: BuiltLayer, values: Mapping[str, Array]) -> Gradients:
    return {f"{built.name}.{name}": value for name, value in values.items()}


def _rows(x: Array) -> Array:
    """[..., k] as a matrix [rows, k]."""
    return x.reshape(-1, x.shape[-1])


# Dense


def _dense(
    built: BuiltLayer, p: Parameters, x: Array, training: bool, mask: Array | None
) -> Passed:
    y = x @ _kernel(p)
    return Passed(y + p["bias"] if "bias" in p else y, x)


def _dense_back(
    built: BuiltLayer, p: Parameters, x: Array, upstream: Array
) -> tuple[Array, Gradients]:
    by_kernel = _rows(x).T @ _rows(upstream)
    gradients = {"kernel": by_kernel} if "kernel" in p else _normed_back(p, by_kernel)
    if "bias" in p:
        gradients["bias"] = _rows(upstream).sum(axis=0)
    return upstream @ _kernel(p).T, gradients


def _kernel(p: Parameters) -> Array:
    """Salimans & Kingma (2016), eq. 2, by column, where the layer has weight normalisation."""
    return (
        p["kernel"]
        if "kernel" in p
        else p["gain"] * p["direction"] / np.linalg.norm(p["direction"], axis=0)
    )


def _normed_back(p: Parameters, by_kernel: Array) -> Gradients:
    """Salimans & Kingma (2016), eq. 3."""
    length = np.linalg.norm(p["direction"], axis=0)
    by_gain = (by_kernel * p["direction"]).sum(axis=0) / length
    by_direction = p["gain"] / length * by_kernel - p["gain"] * by_gain / length**2 * p["direction"]
    return {"direction": by_direction, "gain": by_gain}


# Sliding windows over images [n, H, W, C]


class _Slide(NamedTuple):
    """Where windows lie: padding (before, after) of height and width, window and stride, size after
    sliding.
    """

    pads: tuple[tuple[int, int], tuple[int, int]]
    window: int
    stride: int
    size: tuple[int, int]

    def pad(self, x: Array, fill: float) -> Array:
        return np.pad(x, ((0, 0), *self.pads, (0, 0)), constant_values=fill)

    def windows(self, padded: Array) -> Array:
        """[n, out_h, out_w, C, window, window], a view."""
        every = sliding_window_view(padded, (self.window, self.window), axis=(1, 2))
        return every[:, :: self.stride, :: self.stride]

    def at(self, i: int, j: int) -> tuple[slice, slice, slice]:
        """The positions of the padded images that are element (i, j) of the windows."""
        (rows, columns), step = self.size, self.stride
        return slice(None), slice(i, i + rows * step, step), slice(j, j + columns * step, step)

    def unpad(self, padded: Array) -> Array:
        (top, bottom), (left, right) = self.pads
        return padded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]


def _slide(built: BuiltLayer, window: int, stride: int, padding: str) -> _Slide:
    height, width, _ = built.input_shape
    pads = ((0, 0), (0, 0))
    if padding == "same":
        pads = (same_padding(height, window, stride), same_padding(width, window, stride))
    rows, columns = (
        (size + sum(pad) - window) // stride + 1
        for size, pad in zip((height, width), pads, strict=True)
    )
    return _Slide(pads, window, stride, (rows, columns))


def _conv_slide(built: BuiltLayer) -> _Slide:
    assert isinstance(built.layer, Conv2D)
    return _slide(built, built.layer.kernel, built.layer.stride, built.layer.padding)


def _conv(built: BuiltLayer, p: Parameters, x: Array, training: bool, mask: Array | None) -> Passed:
    slide = _conv_slide(built)
    padded = slide.pad(x, 0.0)
    y = np.tensordot(slide.windows(padded), p["kernel"], axes=((3, 4, 5), (2, 0, 1)))
    return Passed(y + p["bias"] if "bias" in p else y, padded)


def _conv_back(
    built: BuiltLayer, p: Parameters, padded: Array, upstream: Array
) -> tuple[Array, Gradients]:
    slide, by_padded = _conv_slide(built), np.zeros_like(padded)
    by_kernel = np.empty_like(p["kernel"])
    for i, j in np.ndindex(slide.window, slide.window):
        by_kernel[i, j] = _rows(padded[slide.at(i, j)]).T @ _rows(upstream)
        by_padded[slide.at(i, j)] += upstream @ p["kernel"][i, j].T
    gradients = {"kernel": by_kernel}
    if "bias" in p:
        gradients["bias"] = _rows(upstream).sum(axis=0)
    return slide.unpad(by_padded), gradients


def _pool_slide(built: BuiltLayer) -> _Slide:
    assert isinstance(built.layer, MaxPool2D | AvgPool2D)
    return _slide(built, built.layer.window, built.layer.step, built.layer.padding)


def _max_pool(
    built: BuiltLayer, p: Parameters, x: Array, training: bool, mask: Array | None
) -> Passed:
    slide = _pool_slide(built)
    windows = slide.windows(slide.pad(x, -np.inf))
    flat = windows.reshape(*windows.shape[:4], -1)
    return Passed(flat.max(axis=-1), flat.argmax(axis=-1))


def _max_pool_back(
    built: BuiltLayer, p: Parameters, first: Array, upstream: Array
) -> tuple[Array, Gradients]:
    slide = _pool_slide(built)
    by_padded = slide.pad(np.zeros((len(upstream), *built.input_shape)), 0.0)
    for i, j in np.ndindex(slide.window, slide.window):
        by_padded[slide.at(i, j)] += upstream * (first == i * slide.window + j)
    return slide.unpad(by_padded), {}


def _inside(built: BuiltLayer, slide: _Slide) -> Array:
    """[out_h, out_w, 1]: how many elements of each window are not padding."""
    ones = np.ones((1, *built.input_shape[:2], 1))
    return slide.windows(slide.pad(ones, 0.0)).sum(axis=(4, 5))[0]


def _avg_pool(
    built: BuiltLayer, p: Parameters, x: Array, training: bool, mask: Array | None
) -> Passed:
    slide = _pool_slide(built)
    return Passed(slide.windows(slide.pad(x, 0.0)).sum(axis=(4, 5)) / _inside(built, slide))


def _avg_pool_back(
    built: BuiltLayer, p: Parameters, kept: None, upstream: Array
) -> tuple[Array, Gradients]:
    slide = _pool_slide(built)
    by_padded = slide.pad(np.zeros((len(upstream), *built.input_shape)), 0.0)
    for i, j in np.ndindex(slide.window, slide.window):
        by_padded[slide.at(i, j)] += upstream / _inside(built, slide)
    return slide.unpad(by_padded), {}


def _flatten(
    built: BuiltLayer, p: Parameters, x: Array, training: bool, mask: Array | None
) -> Passed:
    return Passed(x.reshape(len(x), -1))


def _flatten_back(
    built: BuiltLayer, p: Parameters, kept: None, upstream: Array
) -> tuple[Array, Gradients]:
    return upstream.reshape(len(upstream), *built.input_shape), {}


# Normalisation


def _batch_norm(
    built: BuiltLayer, p: Parameters, x: Array, training: bool, mask: Array | None
) -> Passed:
    layer = built.layer
    assert isinstance(layer, BatchNorm)
    mean, variance, state = p["moving_mean"], p["moving_variance"], {}
    if training:
        mean, variance = _rows(x).mean(axis=0), _rows(x).var(axis=0)
        fresh = {"moving_mean": mean, "moving_variance": variance}
        state = {
            name: layer.momentum * p[name] + (1.0 - layer.momentum) * value
            for name, value in fresh.items()
        }
    scale = 1.0 / np.sqrt(variance + layer.epsilon)
    normal = (x - mean) * scale
    return Passed(p["gain"] * normal + p["bias"], (normal, scale, training), state)


def _batch_norm_back(
    built: BuiltLayer, p: Parameters, kept: tuple[Array, Array, bool], upstream: Array
) -> tuple[Array, Gradients]:
    """Ioffe & Szegedy (2015), section 3; with running statistics the layer is affine."""
    normal, scale, training = kept
    gradients = {"gain": _rows(upstream * normal).sum(axis=0), "bias": _rows(upstream).sum(axis=0)}
    by_normal = upstream * p["gain"]
    if not training:
        return by_normal * scale, gradients
    axes = tuple(range(upstream.ndim - 1))
    return scale * _centred(by_normal, normal, axes), gradients


def _layer_norm(
    built: BuiltLayer, p: Parameters, x: Array, training: bool, mask: Array | None
) -> Passed:
    assert isinstance(built.layer, LayerNorm)
    scale = 1.0 / np.sqrt(x.var(axis=-1, keepdims=True) + built.layer.epsilon)
    normal = (x - x.mean(axis=-1, keepdims=True)) * scale
    return Passed(p["gain"] * normal + p["bias"], (normal, scale))


def _layer_norm_back(
    built: BuiltLayer, p: Parameters, kept: tuple[Array, Array], upstream: Array
) -> tuple[Array, Gradients]:
    normal, scale = kept
    gradients = {"gain": _rows(upstream * normal).sum(axis=0), "bias": _rows(upstream).sum(axis=0)}
    return scale * _centred(upstream * p["gain"], normal, (-1,)), gradients


def _centred(by_normal: Array, normal: Array, axes: tuple[int, ...]) -> Array:
    """What is left of a gradient behind a normalisation: its mean and its part along the normalised
    values are gone.
    """
    mean = by_normal.mean(axis=axes, keepdims=True)
    return by_normal - mean - normal * (by_normal * normal).mean(axis=axes, keepdims=True)


def _dropout(
    built: BuiltLayer, p: Parameters, x: Array, training: bool, mask: Array | None
) -> Passed:
    assert isinstance(built.layer, Dropout)
    if not training:
        return Passed(x, 1.0)
    if mask is None:
        raise ValueError(f"{built.name}: dropout needs a mask in training")
    factor = mask / (1.0 - built.layer.rate)
    return Passed(x * factor, factor)


def _dropout_back(
    built: BuiltLayer, p: Parameters, factor: Array | float, upstream: Array
) -> tuple[Array, Gradients]:
    return upstream * factor, {}


# Sequences


def _embedding(
    built: BuiltLayer, p: Parameters, x: Array, training: bool, mask: Array | None
) -> Passed:
    return Passed(p["kernel"][x], x)


def _embedding_back(
    built: BuiltLayer, p: Parameters, x: Array, upstream: Array
) -> tuple[None, Gradients]:
    by_kernel = np.zeros_like(p["kernel"])
    np.add.at(by_kernel, x, upstream)
    return None, {"kernel": by_kernel}


class _Cell(NamedTuple):
    """One time step of a recurrent layer.

    step(a, r, carry) -> (new carry, kept): a = x @ kernel + bias, r = h @ recurrent_kernel, both
    with the gates side by side; the carry is (h,) or (h, c). back(kept, by_carry) -> (gradients by
    a, by r, by the carry besides through r)."""

    step: Callable[..., tuple[tuple[Array, ...], Any]]
    back: Callable[..., tuple[Array, Array, tuple[Array, ...]]]
    carries: int = 1


def _simple_step(a: Array, r: Array, carry: tuple[Array]) -> tuple[tuple[Array], Array]:
    h = np.tanh(a + r)
    return (h,), h


def _simple_back(h: Array, by_carry: tuple[Array]) -> tuple[Array, Array, tuple[Array]]:
    by_a = by_carry[0] * (1.0 - h * h)
    return by_a, by_a, (np.zeros_like(h),)


def _lstm_step(a: Array, r: Array, carry: tuple[Array, Array]) -> tuple[tuple[Array, Array], Any]:
    before = carry[1]
    zi, zf, zg, zo = np.split(a + r, 4, axis=1)
    i, f, g, o = expit(zi), expit(zf), np.tanh(zg), expit(zo)
    c = f * before + i * g
    return (o * np.tanh(c), c), (i, f, g, o, before, c)


def _lstm_back(
    kept: Any, by_carry: tuple[Array, Array]
) -> tuple[Array, Array, tuple[Array, Array]]:
    (i, f, g, o, before, c), (by_h, by_c) = kept, by_carry
    squashed = np.tanh(c)
    by_c = by_c + by_h * o * (1.0 - squashed**2)
    by_gates = (
        by_c * g * i * (1.0 - i),
        by_c * before * f * (1.0 - f),
        by_c * i * (1.0 - g * g),
        by_h * squashed * o * (1.0 - o),
    )
    by_a = np.concatenate(by_gates, axis=1)
    return by_a, by_a, (np.zeros_like(by_h), by_c * f)


def _gru_step(a: Array, r: Array, carry: tuple[Array]) -> tuple[tuple[Array], Any]:
    ar, az, an = np.split(a, 3, axis=1)
    rr, rz, rn = np.split(r, 3, axis=1)
    reset, update = expit(ar + rr), expit(az + rz)
    new = np.tanh(an + reset * rn)
    return ((1.0 - update) * new + update * carry[0],), (reset, update, new, rn, carry[0])


def _gru_back(kept: Any, by_carry: tuple[Array]) -> tuple[Array, Array, tuple[Array]]:
    reset, update, new, rn, before = kept
    (by_h,) = by_carry
    by_an = by_h * (1.0 - update) * (1.0 - new * new)
    by_az = by_h * (before - new) * update * (1.0 - update)
    by_ar = by_an * rn * reset * (1.0 - reset)
    by_a = np.concatenate([by_ar, by_az, by_an], axis=1)
    by_r = np.concatenate([by_ar, by_az, by_an * reset], axis=1)
    return by_a, by_r, (by_h * update,)


_CELLS: Mapping[type, _Cell] = {
    SimpleRnn: _Cell(_simple_step, _simple_back),
    Lstm: _Cell(_lstm_step, _lstm_back, carries=2),
    Gru: _Cell(_gru_step, _gru_back),
}


def _recurrent(
    built: BuiltLayer, p: Parameters, x: Array, training: bool, mask: Array | None
) -> Passed:
    cell, units = _CELLS[type(built.layer)], built.layer.units  # type: ignore[union-attr]
    carry: tuple[Array, ...] = (np.zeros((len(x), units)),) * cell.carries
    hidden, kept = [carry[0]], []
    for t in range(x.shape[1]):
        a = x[:, t] @ p["kernel"] + p["bias"]
        carry, of_step = cell.step(a, carry[0] @ p["recurrent_kernel"], carry)
        hidden.append(carry[0])
        kept.append(of_step)
    output = np.stack(hidden[1:], axis=1) if built.layer.sequences else hidden[-1]  # type: ignore[union-attr]
    return Passed(output, (x, hidden, kept))


def _recurrent_back(
    built: BuiltLayer, p: Parameters, kept: Any, upstream: Array
) -> tuple[Array, Gradients]:
    """Back through time: at every step the gradient by h comes from the output and from the step
    after.
    """
    x, hidden, steps = kept
    cell = _CELLS[type(built.layer)]
    by_hidden = _at_every_step(upstream, x.shape[1], built.layer.sequences)  # type: ignore[union-attr]
    by_x, gradients = np.empty_like(x), {name: np.zeros_like(value) for name, value in p.items()}
    by_carry = tuple(np.zeros_like(hidden[0]) for _ in range(cell.carries))
    for t in reversed(range(x.shape[1])):
        by_a, by_r, passed_on = cell.back(steps[t], (by_carry[0] + by_hidden[:, t], *by_carry[1:]))
        gradients["kernel"] += x[:, t].T @ by_a
        gradients["bias"] += by_a.sum(axis=0)
        gradients["recurrent_kernel"] += hidden[t].T @ by_r
        by_x[:, t] = by_a @ p["kernel"].T
        by_carry = (passed_on[0] + by_r @ p["recurrent_kernel"].T, *passed_on[1:])
    return by_x, gradients


def _at_every_step(upstream: Array, steps: int, sequences: bool) -> Array:
    """The gradient by the hidden states [n, time, units], which is 0 but for the last where only
    the last comes out.
    """
    if sequences:
        return upstream
    spread = np.zeros((len(upstream), steps, upstream.shape[-1]))
    spread[:, -1] = upstream
    return spread


# Activations: function -> (value, derivative), both of the input


def _normal_cdf(x: Array) -> Array:
    return 0.5 * (1.0 + erf(x / np.sqrt(2.0)))


def _normal_density(x: Array) -> Array:
    return np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)


_Function = Callable[[Array], Array]
ACTIVATIONS: Mapping[str, tuple[_Function, _Function]] = {
    "relu": (lambda x: np.maximum(x, 0.0), lambda x: (x > 0.0) * 1.0),
    "leaky_relu": (
        lambda x: np.where(x > 0.0, x, LEAKY_SLOPE * x),
        lambda x: np.where(x > 0.0, 1.0, LEAKY_SLOPE),
    ),
    "elu": (
        lambda x: np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0))),
        lambda x: np.where(x > 0.0, 1.0, np.exp(np.minimum(x, 0.0))),
    ),
    "gelu": (lambda x: x * _normal_cdf(x), lambda x: _normal_cdf(x) + x * _normal_density(x)),
    "silu": (lambda x: x * expit(x), lambda x: expit(x) * (1.0 + x * (1.0 - expit(x)))),
    "sigmoid": (expit, lambda x: expit(x) * (1.0 - expit(x))),
    "tanh": (np.tanh, lambda x: 1.0 - np.tanh(x) ** 2),
}


def _activation(
    built: BuiltLayer, p: Parameters, x: Array, training: bool, mask: Array | None
) -> Passed:
    assert isinstance(built.layer, Activation)
    return Passed(ACTIVATIONS[built.layer.function][0](x), x)


def _activation_back(
    built: BuiltLayer, p: Parameters, x: Array, upstream: Array
) -> tuple[Array, Gradients]:
    assert isinstance(built.layer, Activation)
    return upstream * ACTIVATIONS[built.layer.function][1](x), {}


# Functions of the parameters alone: (value, gradient)


def _rosenbrock(x: float, y: float) -> tuple[float, tuple[float, float]]:
    off = y - x * x
    return (1.0 - x) ** 2 + 100.0 * off**2, (-2.0 * (1.0 - x) - 400.0 * x * off, 200.0 * off)


def _beale(x: float, y: float) -> tuple[float, tuple[float, float]]:
    value = by_x = by_y = 0.0
    for power, constant in enumerate((1.5, 2.25, 2.625), start=1):
        rest = constant - x + x * y**power
        value += rest**2
        by_x += 2.0 * rest * (y**power - 1.0)
        by_y += 2.0 * rest * x * power * y ** (power - 1)
    return value, (by_x, by_y)


def _branin(x: float, y: float) -> tuple[float, tuple[float, float]]:
    a, b, c = 5.1 / (4.0 * np.pi**2), 5.0 / np.pi, 10.0 * (1.0 - 1.0 / (8.0 * np.pi))
    rest = y - a * x**2 + b * x - 6.0
    return rest**2 + c * np.cos(x) + 10.0, (
        2.0 * rest * (b - 2.0 * a * x) - c * np.sin(x),
        2.0 * rest,
    )


def objective(layer: Point, point: Array) -> tuple[float, Array]:
    """Value and gradient of a Point layer's function."""
    if layer.objective == "quadratic":
        curvatures = np.geomspace(1.0, layer.condition, len(point))
        return float(0.5 * (curvatures * point**2).sum()), curvatures * point
    try:
        value, gradient = {"rosenbrock": _rosenbrock, "beale": _beale, "branin": _branin}[
            layer.objective
        ](*point.tolist())
    except OverflowError:
        # Python's floats raise where NumPy's become infinite: such a run has diverged.
        return np.inf, np.full(len(point), np.nan)
    return float(value), np.array(gradient)


def _point(
    built: BuiltLayer, p: Parameters, x: Array, training: bool, mask: Array | None
) -> Passed:
    assert isinstance(built.layer, Point)
    return Passed(np.full((len(x), 1), objective(built.layer, p["point"])[0]), x)


def _point_back(
    built: BuiltLayer, p: Parameters, x: Array, upstream: Array
) -> tuple[Array | None, Gradients]:
    assert isinstance(built.layer, Point)
    gradient = upstream.sum() * objective(built.layer, p["point"])[1]
    return (np.zeros_like(x) if x.dtype.kind == "f" else None), {"point": gradient}


PASSES: Mapping[type, Passes] = {
    Dense: Passes(_dense, _dense_back),
    Conv2D: Passes(_conv, _conv_back),
    MaxPool2D: Passes(_max_pool, _max_pool_back),
    AvgPool2D: Passes(_avg_pool, _avg_pool_back),
    Flatten: Passes(_flatten, _flatten_back),
    BatchNorm: Passes(_batch_norm, _batch_norm_back),
    LayerNorm: Passes(_layer_norm, _layer_norm_back),
    Dropout: Passes(_dropout, _dropout_back),
    Embedding: Passes(_embedding, _embedding_back),
    SimpleRnn: Passes(_recurrent, _recurrent_back),
    Lstm: Passes(_recurrent, _recurrent_back),
    Gru: Passes(_recurrent, _recurrent_back),
    Activation: Passes(_activation, _activation_back),
    Point: Passes(_point, _point_back),
}

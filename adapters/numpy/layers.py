"""Every layer of gradrace.layers in NumPy float64: forward and backward passes from the formulas.

The frameworks are compared with this, so it favours being read over being fast. A forward pass
gives the output and what the backward pass needs; a backward pass turns the gradient by the output
into the gradients by the input and by the layer's own parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from gradrace import layers as kinds
from gradrace.layers import LEAKY_SLOPE, BuiltLayer, same_padding
from gradrace.plan import Weights
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import erf, expit

Array = np.ndarray
Gradients = dict[str, Array]
# Gradients by the input (None for integers) and by the parameters.
Back = tuple[Array | None, Gradients]


class Call(NamedTuple):
    """A layer being called. p: its parameters by their names without the layer's prefix."""

    built: BuiltLayer
    p: Mapping[str, Array]
    training: bool = False
    mask: Array | None = None

    @property
    def layer(self) -> Any:
        """The layer itself; each kind knows its own fields."""
        return self.built.layer


class Passed(NamedTuple):
    """A forward pass: output, what the backward pass needs, and the layer's new state."""

    output: Array
    kept: Any = None
    state: Mapping[str, Array] = {}


class Passes(NamedTuple):
    """forward(call, x) and backward(call, kept, upstream) of one kind of layer."""

    forward: Callable[[Call, Array], Passed]
    backward: Callable[[Call, Any, Array], Back]


def forward(
    built: BuiltLayer, weights: Weights, x: Array, training: bool, mask: Array | None = None
) -> Passed:
    """The layer on x[n, *input_shape]; `state` comes with the parameters' full names."""
    call = Call(built, _own(built, weights), training, mask)
    passed = LAYERS[type(built.layer)].forward(call, x)
    return passed._replace(state=_full(built, passed.state))


def backward(built: BuiltLayer, weights: Weights, kept: Any, upstream: Array) -> Back:
    """Gradients by the input (None for integers) and by the parameters, under their full names."""
    call = Call(built, _own(built, weights))
    downstream, gradients = LAYERS[type(built.layer)].backward(call, kept, upstream)
    return downstream, _full(built, gradients)


def _own(built: BuiltLayer, weights: Weights) -> Mapping[str, Array]:
    return {p.name.rpartition(".")[2]: weights[p.name] for p in built.parameters}


def _full(built: BuiltLayer, values: Mapping[str, Array]) -> Gradients:
    return {f"{built.name}.{name}": value for name, value in values.items()}


def _rows(x: Array) -> Array:
    """[..., k] as a matrix [rows, k]."""
    return x.reshape(-1, x.shape[-1])


# Dense


def _dense(call: Call, x: Array) -> Passed:
    return Passed(_biased(call, x @ _kernel(call.p)), x)


def _dense_back(call: Call, x: Array, upstream: Array) -> Back:
    by_kernel = _rows(x).T @ _rows(upstream)
    gradients = {"kernel": by_kernel} if "kernel" in call.p else _normed_back(call.p, by_kernel)
    return upstream @ _kernel(call.p).T, gradients | _bias_back(call, upstream)


def _biased(call: Call, y: Array) -> Array:
    return y + call.p["bias"] if "bias" in call.p else y


def _bias_back(call: Call, upstream: Array) -> Gradients:
    return {"bias": _rows(upstream).sum(axis=0)} if "bias" in call.p else {}


def _kernel(p: Mapping[str, Array]) -> Array:
    """With weight normalisation, Salimans & Kingma (2016), eq. 2, by column."""
    if "kernel" in p:
        return p["kernel"]
    return p["gain"] * p["direction"] / np.linalg.norm(p["direction"], axis=0)


def _normed_back(p: Mapping[str, Array], by_kernel: Array) -> Gradients:
    """Salimans & Kingma (2016), eq. 3."""
    length = np.linalg.norm(p["direction"], axis=0)
    by_gain = (by_kernel * p["direction"]).sum(axis=0) / length
    by_direction = p["gain"] / length * by_kernel - p["gain"] * by_gain / length**2 * p["direction"]
    return {"direction": by_direction, "gain": by_gain}


# Sliding windows over images [n, H, W, C]


class _Slide(NamedTuple):
    """Windows: padding (before, after) of height and width, window, stride, size after sliding."""

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


def _slide(call: Call, window: int, stride: int) -> _Slide:
    height, width, _ = call.built.input_shape
    pads = ((0, 0), (0, 0))
    if call.layer.padding == "same":
        pads = (same_padding(height, window, stride), same_padding(width, window, stride))
    rows, columns = (
        (size + sum(pad) - window) // stride + 1
        for size, pad in zip((height, width), pads, strict=True)
    )
    return _Slide(pads, window, stride, (rows, columns))


def _conv_slide(call: Call) -> _Slide:
    return _slide(call, call.layer.kernel, call.layer.stride)


def _conv2d(call: Call, x: Array) -> Passed:
    slide = _conv_slide(call)
    padded = slide.pad(x, 0.0)
    y = np.tensordot(slide.windows(padded), call.p["kernel"], axes=((3, 4, 5), (2, 0, 1)))
    return Passed(_biased(call, y), padded)


def _conv2d_back(call: Call, padded: Array, upstream: Array) -> Back:
    slide, kernel, by_padded = _conv_slide(call), call.p["kernel"], np.zeros_like(padded)
    by_kernel = np.empty_like(kernel)
    for i, j in np.ndindex(slide.window, slide.window):
        by_kernel[i, j] = _rows(padded[slide.at(i, j)]).T @ _rows(upstream)
        by_padded[slide.at(i, j)] += upstream @ kernel[i, j].T
    return slide.unpad(by_padded), {"kernel": by_kernel} | _bias_back(call, upstream)


def _pool_slide(call: Call) -> _Slide:
    return _slide(call, call.layer.window, call.layer.step)


def _pool_back(call: Call, upstream: Array, share: Callable[[int], Array | float]) -> Back:
    """share: which part of the gradient goes to the element of this number in its window."""
    slide = _pool_slide(call)
    by_padded = slide.pad(np.zeros((len(upstream), *call.built.input_shape)), 0.0)
    for i, j in np.ndindex(slide.window, slide.window):
        by_padded[slide.at(i, j)] += upstream * share(i * slide.window + j)
    return slide.unpad(by_padded), {}


def _max_pool(call: Call, x: Array) -> Passed:
    slide = _pool_slide(call)
    windows = slide.windows(slide.pad(x, -np.inf))
    flat = windows.reshape(*windows.shape[:4], -1)
    return Passed(flat.max(axis=-1), flat.argmax(axis=-1))


def _max_pool_back(call: Call, first: Array, upstream: Array) -> Back:
    return _pool_back(call, upstream, lambda element: first == element)


def _avg_pool(call: Call, x: Array) -> Passed:
    slide = _pool_slide(call)
    return Passed(slide.windows(slide.pad(x, 0.0)).sum(axis=(4, 5)) / _inside(call, slide))


def _avg_pool_back(call: Call, kept: None, upstream: Array) -> Back:
    return _pool_back(call, upstream / _inside(call, _pool_slide(call)), lambda element: 1.0)


def _inside(call: Call, slide: _Slide) -> Array:
    """[out_h, out_w, 1]: how many elements of each window are not padding."""
    ones = np.ones((1, *call.built.input_shape[:2], 1))
    return slide.windows(slide.pad(ones, 0.0)).sum(axis=(4, 5))[0]


def _flatten(call: Call, x: Array) -> Passed:
    return Passed(x.reshape(len(x), -1))


def _flatten_back(call: Call, kept: None, upstream: Array) -> Back:
    return upstream.reshape(len(upstream), *call.built.input_shape), {}


# Normalisation


def _batch_norm(call: Call, x: Array) -> Passed:
    mean, variance, state = call.p["moving_mean"], call.p["moving_variance"], {}
    if call.training:
        mean, variance = _rows(x).mean(axis=0), _rows(x).var(axis=0)
        old = call.layer.momentum
        state = {
            name: old * call.p[name] + (1.0 - old) * value
            for name, value in (("moving_mean", mean), ("moving_variance", variance))
        }
    scale = 1.0 / np.sqrt(variance + call.layer.epsilon)
    normal = (x - mean) * scale
    return Passed(_affine(call, normal), (normal, scale, call.training), state)


def _batch_norm_back(call: Call, kept: tuple[Array, Array, bool], upstream: Array) -> Back:
    """Ioffe & Szegedy (2015), section 3; with running statistics the layer is affine."""
    normal, scale, training = kept
    by_normal, gradients = _affine_back(call, normal, upstream)
    if not training:
        return by_normal * scale, gradients
    axes = tuple(range(upstream.ndim - 1))
    return scale * _centred(by_normal, normal, axes), gradients


def _layer_norm(call: Call, x: Array) -> Passed:
    scale = 1.0 / np.sqrt(x.var(axis=-1, keepdims=True) + call.layer.epsilon)
    normal = (x - x.mean(axis=-1, keepdims=True)) * scale
    return Passed(_affine(call, normal), (normal, scale))


def _layer_norm_back(call: Call, kept: tuple[Array, Array], upstream: Array) -> Back:
    normal, scale = kept
    by_normal, gradients = _affine_back(call, normal, upstream)
    return scale * _centred(by_normal, normal, (-1,)), gradients


def _group_norm(call: Call, x: Array) -> Passed:
    grouped = _grouped(call, x)
    variance = grouped.var(axis=(1, 3), keepdims=True)
    scale = 1.0 / np.sqrt(variance + call.layer.epsilon)
    normal = (grouped - grouped.mean(axis=(1, 3), keepdims=True)) * scale
    return Passed(_affine(call, normal.reshape(x.shape)), (normal, scale))


def _group_norm_back(call: Call, kept: tuple[Array, Array], upstream: Array) -> Back:
    normal, scale = kept
    by_normal, gradients = _affine_back(call, normal.reshape(upstream.shape), upstream)
    by_x = scale * _centred(_grouped(call, by_normal), normal, (1, 3))
    return by_x.reshape(upstream.shape), gradients


def _grouped(call: Call, x: Array) -> Array:
    """[n, positions, groups, channels of a group]."""
    groups, channels = call.layer.groups, x.shape[-1]
    return x.reshape(len(x), -1, groups, channels // groups)


def _affine(call: Call, normal: Array) -> Array:
    return call.p["gain"] * normal + call.p["bias"]


def _affine_back(call: Call, normal: Array, upstream: Array) -> tuple[Array, Gradients]:
    gradients = {"gain": _rows(upstream * normal).sum(axis=0), "bias": _rows(upstream).sum(axis=0)}
    return upstream * call.p["gain"], gradients


def _centred(by_normal: Array, normal: Array, axes: tuple[int, ...]) -> Array:
    """A gradient behind a normalisation: without its mean, and its part along `normal`."""
    mean = by_normal.mean(axis=axes, keepdims=True)
    return by_normal - mean - normal * (by_normal * normal).mean(axis=axes, keepdims=True)


def _dropout(call: Call, x: Array) -> Passed:
    if not call.training:
        return Passed(x, 1.0)
    if call.mask is None:
        raise ValueError(f"{call.built.name}: dropout needs a mask in training")
    factor = call.mask / (1.0 - call.layer.rate)
    return Passed(x * factor, factor)


def _dropout_back(call: Call, factor: Array | float, upstream: Array) -> Back:
    return upstream * factor, {}


# Sequences


def _embedding(call: Call, x: Array) -> Passed:
    return Passed(call.p["kernel"][x], x)


def _embedding_back(call: Call, x: Array, upstream: Array) -> Back:
    by_kernel = np.zeros_like(call.p["kernel"])
    np.add.at(by_kernel, x, upstream)
    return None, {"kernel": by_kernel}


class _Recurrence(NamedTuple):
    """One time step of a recurrent layer.

    forward(a, r, carry) -> (new carry, kept): a = x @ kernel + bias and r = h @ recurrent_kernel
    hold the gates side by side; the carry is (h,) or (h, c). back(kept, by_carry) -> gradients by
    a, by r, and by the carry apart from its way through r.
    """

    forward: Callable[..., tuple[tuple[Array, ...], Any]]
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


_RECURRENCES: Mapping[type, _Recurrence] = {
    kinds.SimpleRnn: _Recurrence(_simple_step, _simple_back),
    kinds.Lstm: _Recurrence(_lstm_step, _lstm_back, carries=2),
    kinds.Gru: _Recurrence(_gru_step, _gru_back),
}


def _recurrent(call: Call, x: Array) -> Passed:
    p, step = call.p, _RECURRENCES[type(call.layer)]
    carry: tuple[Array, ...] = (np.zeros((len(x), call.layer.units)),) * step.carries
    hidden, kept = [carry[0]], []
    for t in range(x.shape[1]):
        a = x[:, t] @ p["kernel"] + p["bias"]
        carry, of_step = step.forward(a, carry[0] @ p["recurrent_kernel"], carry)
        hidden.append(carry[0])
        kept.append(of_step)
    output = np.stack(hidden[1:], axis=1) if call.layer.sequences else hidden[-1]
    return Passed(output, (x, hidden, kept))


def _recurrent_back(call: Call, kept: Any, upstream: Array) -> Back:
    """Back through time: the gradient by h comes from the output and from the step after."""
    (x, hidden, steps), p, step = kept, call.p, _RECURRENCES[type(call.layer)]
    by_hidden = _at_every_step(upstream, x.shape[1], call.layer.sequences)
    by_x, gradients = np.empty_like(x), {name: np.zeros_like(value) for name, value in p.items()}
    by_carry = tuple(np.zeros_like(hidden[0]) for _ in range(step.carries))
    for t in reversed(range(x.shape[1])):
        by_a, by_r, passed = step.back(steps[t], (by_carry[0] + by_hidden[:, t], *by_carry[1:]))
        gradients["kernel"] += x[:, t].T @ by_a
        gradients["bias"] += by_a.sum(axis=0)
        gradients["recurrent_kernel"] += hidden[t].T @ by_r
        by_x[:, t] = by_a @ p["kernel"].T
        by_carry = (passed[0] + by_r @ p["recurrent_kernel"].T, *passed[1:])
    return by_x, gradients


def _at_every_step(upstream: Array, steps: int, sequences: bool) -> Array:
    """The gradient by the hidden states [n, time, units]: 0 for those that do not come out."""
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
_ACTIVATIONS: Mapping[str, tuple[_Function, _Function]] = {
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


def _activation(call: Call, x: Array) -> Passed:
    return Passed(_ACTIVATIONS[call.layer.function][0](x), x)


def _activation_back(call: Call, x: Array, upstream: Array) -> Back:
    return upstream * _ACTIVATIONS[call.layer.function][1](x), {}


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


_FUNCTIONS = {"rosenbrock": _rosenbrock, "beale": _beale, "branin": _branin}


def _value_and_gradient(layer: kinds.Point, point: Array) -> tuple[float, Array]:
    if layer.objective == "quadratic":
        curvatures = np.geomspace(1.0, layer.condition, len(point))
        return float(0.5 * (curvatures * point**2).sum()), curvatures * point
    try:
        value, gradient = _FUNCTIONS[layer.objective](*point.tolist())
    except OverflowError:
        # Python's floats raise if NumPy's become infinite: such a run has diverged.
        return np.inf, np.full(len(point), np.nan)
    return float(value), np.array(gradient)


def _point(call: Call, x: Array) -> Passed:
    value, _ = _value_and_gradient(call.layer, call.p["point"])
    return Passed(np.full((len(x), 1), value), x)


def _point_back(call: Call, x: Array, upstream: Array) -> Back:
    _, gradient = _value_and_gradient(call.layer, call.p["point"])
    by_x = np.zeros_like(x) if x.dtype.kind == "f" else None
    return by_x, {"point": upstream.sum() * gradient}


LAYERS: Mapping[type, Passes] = {
    kinds.Dense: Passes(_dense, _dense_back),
    kinds.Conv2D: Passes(_conv2d, _conv2d_back),
    kinds.MaxPool2D: Passes(_max_pool, _max_pool_back),
    kinds.AvgPool2D: Passes(_avg_pool, _avg_pool_back),
    kinds.Flatten: Passes(_flatten, _flatten_back),
    kinds.BatchNorm: Passes(_batch_norm, _batch_norm_back),
    kinds.LayerNorm: Passes(_layer_norm, _layer_norm_back),
    kinds.GroupNorm: Passes(_group_norm, _group_norm_back),
    kinds.Dropout: Passes(_dropout, _dropout_back),
    kinds.Embedding: Passes(_embedding, _embedding_back),
    kinds.SimpleRnn: Passes(_recurrent, _recurrent_back),
    kinds.Lstm: Passes(_recurrent, _recurrent_back),
    kinds.Gru: Passes(_recurrent, _recurrent_back),
    kinds.Activation: Passes(_activation, _activation_back),
    kinds.Point: Passes(_point, _point_back),
}

"""torch.nn modules for the layers of gradrace.layers, and where their tensors lie in the canonical
layout.

Samples of three dimensions ([H, W, C]) are held channels first, as torch's convolutions want them;
all others as in the canonical layout. torch's own layers are used wherever they compute the
canonical thing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import torch
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
    Layer,
    LayerNorm,
    Lstm,
    MaxPool2D,
    Parameter,
    Point,
    SimpleRnn,
    same_padding,
)
from gradrace.objective import kernels
from gradrace.plan import Weights
from torch import Tensor, nn
from torch.nn import functional

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
_RECURRENT = {SimpleRnn: nn.RNN, Lstm: nn.LSTM, Gru: nn.GRU}


class Network(nn.Sequential):
    """A model's modules in order, in eval mode; reads and writes weights in the canonical layout.

    Takes samples as `to_torch` lays them out and gives canonical outputs. Made in the default
    dtype. `batch_size` is that of training: all batches have it.
    """

    def __init__(self, layers: Sequence[BuiltLayer], batch_size: int) -> None:
        modules = [
            _module(built, layers[position + 1 :], batch_size)
            for position, built in enumerate(layers)
        ]
        last = [_ChannelsLast()] if len(layers[-1].output_shape) == 3 else []
        super().__init__(*modules, *last)
        self.layouts = _layouts(layers)
        # Kept out of nn.Module's registers, which hold these modules already.
        self.of_layers = tuple(zip(layers, modules, strict=True))
        self.eval()

    def tensors(self, trainable: bool = True) -> Iterator[tuple[str, Tensor]]:
        """(canonical name, tensor) of every parameter that is trained, or of every other one;
        canonical order.
        """
        for built, module in self.of_layers:
            for parameter in built.parameters:
                if parameter.trainable == trainable:
                    yield parameter.name, _tensor(module, parameter.name.rpartition(".")[2])

    def kernels(self) -> list[Tensor]:
        """What penalties and decoupled decay apply to; see gradrace.objective.kernels."""
        tensors = dict(self.tensors())
        return [tensors[name] for name in kernels(built for built, _ in self.of_layers)]

    def fed(self) -> list[tuple[BuiltLayer, FedDropout]]:
        """The dropout layers whose masks come from the harness."""
        return [
            (built, module) for built, module in self.of_layers if isinstance(module, FedDropout)
        ]

    @torch.no_grad()
    def load(self, weights: Weights) -> None:
        """Copies canonical weights in; only before the first call of `train()`."""
        for trainable in (True, False):
            for name, tensor in self.tensors(trainable):
                tensor.copy_(torch.from_numpy(self.layouts[name].from_canonical(weights[name])))

    def canonical(self, tensors: Iterable[tuple[str, Tensor]]) -> Weights:
        """These tensors, or their gradients, as arrays in the canonical layout."""
        return {name: self.layouts[name].to_canonical(as_array(tensor)) for name, tensor in tensors}

    @contextmanager
    def unmoved(self) -> Iterator[None]:
        """What is done inside, training passes as well, leaves running statistics as they were."""
        norms = [module for module in self.modules() if isinstance(module, _BatchNorm)]
        kept = [norm.statistics() for norm in norms]
        yield
        for norm, statistics in zip(norms, kept, strict=True):
            norm.restore(statistics)

    def state(self) -> Weights:
        """What is not trained by the optimizer (running statistics). Leaves the network in eval
        mode.
        """
        self.eval()
        return self.canonical(self.tensors(trainable=False))


def as_array(tensor: Tensor) -> np.ndarray:
    """The tensor's values; those of bfloat16, which NumPy lacks, as float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def to_torch(x: Tensor) -> Tensor:
    """Canonical samples [n, ...] as the modules take them."""
    # With one channel `contiguous` would keep the strides of channels last, and convolutions would
    # choose by them.
    return x.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format) if x.dim() == 4 else x


def unsupported(layers: Sequence[BuiltLayer], batch_size: int) -> str | None:
    """The reason why torch cannot train these layers with this batch size, or None."""
    for built in layers:
        if isinstance(built.layer, BatchNorm) and batch_size * prod(built.input_shape[:-1]) == 1:
            return "PyTorch's batch normalisation refuses batches with one value a feature"
    return None


def _module(built: BuiltLayer, following: Sequence[BuiltLayer], batch_size: int) -> nn.Module:
    match built.layer:
        case Dense(units=units, bias=bias, weight_norm=weight_norm):
            linear = nn.Linear(built.input_shape[-1], units, bias=bias)
            return _canonical(
                built, nn.utils.parametrizations.weight_norm(linear) if weight_norm else linear
            )
        case Conv2D():
            return _convolution(built, built.layer)
        case MaxPool2D() | AvgPool2D():
            return _pooling(built, built.layer)
        case Flatten():
            return (
                nn.Flatten()
                if _flattens_freely(built, following)
                else nn.Sequential(_ChannelsLast(), nn.Flatten())
            )
        case BatchNorm(momentum=momentum, epsilon=epsilon):
            features = built.input_shape[-1]
            return _BatchNorm(
                features, momentum, epsilon, batch_size * prod(built.input_shape[:-1])
            )
        case LayerNorm(epsilon=epsilon):
            return _canonical(built, nn.LayerNorm(built.input_shape[-1], eps=epsilon))
        case Dropout(rate=rate, masks=masks):
            return nn.Dropout(rate) if masks == "native" else FedDropout(rate)
        case Embedding(vocabulary=vocabulary, units=units):
            return _canonical(built, nn.Embedding(vocabulary, units))
        case SimpleRnn(units=units) | Lstm(units=units) | Gru(units=units):
            inner = _RECURRENT[type(built.layer)](built.input_shape[1], units, batch_first=True)
            return _Recurrent(inner, built.layer.sequences)
        case Activation(function=function):
            return _ACTIVATIONS[function]()
        case Point():
            return _Objective(built.layer)
    raise ValueError(f"PyTorch has no {built.layer.kind} layer here")


class _ChannelsLast(nn.Module):
    """[n, C, H, W] to [n, H, W, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class _ChannelsFirst(nn.Module):
    """[n, H, W, C] to [n, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


def _canonical(built: BuiltLayer, module: nn.Module) -> nn.Module:
    """The module, which works on the last axis, between what moves the channels there and back."""
    before = [_ChannelsLast()] if len(built.input_shape) == 3 else []
    after = [_ChannelsFirst()] if len(built.output_shape) == 3 else []
    return _Around(before, module, after) if before or after else module


class _Around(nn.Module):
    """A module with the tensors, and others before and after it."""

    def __init__(
        self, before: Sequence[nn.Module], inner: nn.Module, after: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.before, self.inner, self.after = nn.Sequential(*before), inner, nn.Sequential(*after)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.inner(self.before(x)))


def _pads(
    built: BuiltLayer, window: int, stride: int, padding: str
) -> tuple[tuple[int, int], tuple[int, int]]:
    """(before, after) of height and width."""
    if padding == "valid":
        return (0, 0), (0, 0)
    height, width, _ = built.input_shape
    return same_padding(height, window, stride), same_padding(width, window, stride)


def _even(pads: tuple[tuple[int, int], tuple[int, int]]) -> bool:
    """Whether torch's layers, which pad both ends alike, can do it themselves."""
    return all(before == after for before, after in pads)


def _sides(pads: tuple[tuple[int, int], tuple[int, int]]) -> tuple[int, int, int, int]:
    """In the order of torch's padding layers: left, right, top, bottom."""
    return (*pads[1], *pads[0])


def _convolution(built: BuiltLayer, layer: Conv2D) -> nn.Module:
    pads = _pads(built, layer.kernel, layer.stride, layer.padding)
    own = (pads[0][0], pads[1][0]) if _even(pads) else 0
    convolution = nn.Conv2d(
        built.input_shape[2], layer.filters, layer.kernel, layer.stride, own, bias=layer.bias
    )
    return convolution if _even(pads) else _Around([nn.ZeroPad2d(_sides(pads))], convolution, [])


def _pooling(built: BuiltLayer, layer: MaxPool2D | AvgPool2D) -> nn.Module:
    pads = _pads(built, layer.window, layer.step, layer.padding)
    own = (pads[0][0], pads[1][0]) if _even(pads) else 0
    if isinstance(layer, MaxPool2D):
        pool = nn.MaxPool2d(layer.window, layer.step, own)
        return (
            pool if _even(pads) else nn.Sequential(nn.ConstantPad2d(_sides(pads), -torch.inf), pool)
        )
    average = nn.AvgPool2d(layer.window, layer.step, own, count_include_pad=False)
    return average if _even(pads) else _PaddedAverage(average, built, _sides(pads))


class _PaddedAverage(nn.Module):
    """Average pooling with more padding at the end: torch counts explicit zeros, so its means are
    scaled back.
    """

    def __init__(
        self, pool: nn.AvgPool2d, built: BuiltLayer, sides: tuple[int, int, int, int]
    ) -> None:
        super().__init__()
        self.padded = nn.Sequential(nn.ZeroPad2d(sides), pool)
        self.register_buffer("scale", 1.0 / self.padded(torch.ones(1, 1, *built.input_shape[:2])))

    def forward(self, x: Tensor) -> Tensor:
        return self.padded(x) * self.scale


def _flattens_freely(built: BuiltLayer, following: Sequence[BuiltLayer]) -> bool:
    """Whether the features may stay in the order C, H, W: a dense layer comes next, whose kernel is
    permuted to fit, with nothing but elementwise layers between. This costs a step nothing."""
    if len(built.input_shape) != 3:
        return True
    for other in following:
        if isinstance(other.layer, Dense):
            return True
        if not isinstance(other.layer, Activation):
            return False
    return False


class _BatchNorm(nn.BatchNorm2d):
    """torch's batch normalisation with the biased running variance of the paper's training batches.

    torch averages the unbiased variance. All batches have the same `count` of values a feature, so
    its running variance is kept count / (count - 1) times too large instead of being mended at
    every step: what torch adds then is right. `moving_variance` is the one to evaluate with; it
    follows when the module leaves training mode."""

    moving_variance: Tensor
    running_var: Tensor

    def __init__(self, features: int, momentum: float, epsilon: float, count: int) -> None:
        super().__init__(features, eps=epsilon, momentum=1.0 - momentum)
        self.num_batches_tracked = None  # only counts, and that takes a moment
        self.register_buffer("moving_variance", torch.ones(features))
        self._biased = (count - 1) / count
        self._trained = False

    def _check_input_dim(self, input: Tensor) -> None:
        """Vectors are fine too."""

    @torch.no_grad()
    def train(self, mode: bool = True) -> _BatchNorm:
        if mode and not self._trained:
            self.running_var.copy_(self.moving_variance / self._biased)
            self._trained = True
        elif not mode and self.training and self._trained:
            self.moving_variance.copy_(self.running_var * self._biased)
        return super().train(mode)

    def statistics(self) -> tuple[list[Tensor], bool]:
        """For `restore`."""
        return [buffer.clone() for buffer in self._statistics()], self._trained

    @torch.no_grad()
    def restore(self, statistics: tuple[list[Tensor], bool]) -> None:
        """Running statistics as they were when `statistics` gave these."""
        kept, self._trained = statistics
        for buffer, value in zip(self._statistics(), kept, strict=True):
            buffer.copy_(value)

    def _statistics(self) -> list[Tensor]:
        return [self.running_mean, self.running_var, self.moving_variance]  # type: ignore[list-item]

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 3:  # [n, time, features]
            return self._normalise(x.flatten(0, 1)).view_as(x)
        return self._normalise(x)

    def _normalise(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        return functional.batch_norm(
            x, self.running_mean, self.moving_variance, self.weight, self.bias, eps=self.eps
        )


class FedDropout(nn.Module):
    """Dropout by masks from the harness; in training, `feed` comes before every step."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._scale = 1.0 / (1.0 - rate)
        self._factor: Tensor | None = None

    def feed(self, mask: np.ndarray, dtype: torch.dtype, device: torch.device) -> None:
        """mask: bool[n, *input_shape], canonical."""
        self._factor = to_torch(torch.from_numpy(mask).to(device)).to(dtype) * self._scale

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        if self._factor is None:
            raise ValueError("dropout needs a mask in training")
        return x * self._factor


class _Recurrent(nn.Module):
    """A recurrent layer with its second bias frozen at zero (two would train twice as fast), all
    states or the last.
    """

    def __init__(self, inner: nn.RNNBase, sequences: bool) -> None:
        super().__init__()
        self.inner, self._sequences = inner, sequences
        bias: Tensor = inner.bias_hh_l0  # type: ignore[assignment]
        nn.init.zeros_(bias).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        states = self.inner(x)[0]
        return states if self._sequences else states[:, -1]


class _Objective(nn.Module):
    """The function of a Point layer, once for every sample."""

    _curvatures: Tensor

    def __init__(self, layer: Point) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.empty(len(layer.start)))
        self.register_buffer(
            "_curvatures",
            torch.tensor(np.geomspace(1.0, layer.condition, len(layer.start))).to(self.point),
        )
        self._value = getattr(self, f"_{layer.objective}")

    def forward(self, x: Tensor) -> Tensor:
        return self._value().expand(len(x), 1)

    def _quadratic(self) -> Tensor:
        return 0.5 * (self._curvatures * self.point.square()).sum()

    def _rosenbrock(self) -> Tensor:
        x, y = self.point
        return (1.0 - x) ** 2 + 100.0 * (y - x**2) ** 2

    def _beale(self) -> Tensor:
        x, y = self.point
        return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2

    def _branin(self) -> Tensor:
        x, y = self.point
        bowl = y - 5.1 / (4.0 * torch.pi**2) * x**2 + 5.0 / torch.pi * x - 6.0
        return bowl**2 + 10.0 * (1.0 - 1.0 / (8.0 * torch.pi)) * torch.cos(x) + 10.0


_NAMES = {
    nn.Linear: {"kernel": "weight", "bias": "bias"},
    nn.Conv2d: {"kernel": "weight", "bias": "bias"},
    nn.LayerNorm: {"gain": "weight", "bias": "bias"},
    nn.Embedding: {"kernel": "weight"},
    _BatchNorm: {
        "gain": "weight",
        "bias": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "moving_variance",
    },
    nn.RNNBase: {
        "kernel": "weight_ih_l0",
        "recurrent_kernel": "weight_hh_l0",
        "bias": "bias_ih_l0",
    },
    _Objective: {"point": "point"},
}
_WEIGHT_NORM = {
    "direction": "parametrizations.weight.original1",
    "gain": "parametrizations.weight.original0",
    "bias": "bias",
}


def _tensor(module: nn.Module, name: str) -> Tensor:
    """The module's tensor of this canonical name."""
    owner = module.inner if isinstance(module, _Around | _Recurrent) else module
    if nn.utils.parametrize.is_parametrized(owner):
        return attrgetter(_WEIGHT_NORM[name])(owner)
    names: dict[str, str] = next(names for kind, names in _NAMES.items() if isinstance(owner, kind))
    return getattr(owner, names[name])


class Layout(NamedTuple):
    """Canonical array -> torch's: reshaped to `inner`, axes permuted by `axes`, reshaped to
    `outer`.
    """

    inner: tuple[int, ...]
    axes: tuple[int, ...]
    outer: tuple[int, ...]
    canonical: tuple[int, ...]

    def from_canonical(self, array: np.ndarray) -> np.ndarray:
        """The array as torch stores it, contiguous."""
        return np.ascontiguousarray(
            array.reshape(self.inner).transpose(self.axes).reshape(self.outer)
        )

    def to_canonical(self, array: np.ndarray) -> np.ndarray:
        """A copy in the canonical layout."""
        permuted = array.reshape([self.inner[axis] for axis in self.axes])
        return permuted.transpose(np.argsort(self.axes)).reshape(self.canonical).copy()


def _layouts(layers: Sequence[BuiltLayer]) -> dict[str, Layout]:
    """Canonical name -> layout: HWIO to OIHW, [in, out] to [out, in]; a dense kernel behind an
    image also permuted.
    """
    layouts, flattened = {}, None
    for position, built in enumerate(layers):
        if isinstance(built.layer, Flatten) and len(built.input_shape) == 3:
            flattened = (
                built.input_shape if _flattens_freely(built, layers[position + 1 :]) else None
            )
        for parameter in built.parameters:
            layouts[parameter.name] = _layout(built.layer, parameter, flattened)
        if built.parameters:
            flattened = None
    return layouts


def _layout(layer: Layer, parameter: Parameter, flattened: tuple[int, ...] | None) -> Layout:
    shape = parameter.shape
    if isinstance(layer, Embedding):
        return Layout(shape, (0, 1), shape, shape)
    if isinstance(layer, Dense) and parameter.role == "gain":
        return Layout(shape, (0,), (*shape, 1), shape)
    if len(shape) == 4:
        return Layout(shape, (3, 2, 0, 1), tuple(shape[axis] for axis in (3, 2, 0, 1)), shape)
    if len(shape) == 2 and flattened:
        return Layout((*flattened, shape[1]), (3, 2, 0, 1), shape[::-1], shape)
    return Layout(shape, tuple(reversed(range(len(shape)))), shape[::-1], shape)

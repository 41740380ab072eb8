"""torch.nn modules for the layers of gradrace.layers, and their tensors in the canonical layout.

Samples [H, W, C] are held channels first, as torch's convolutions want them; all others as in the
canonical layout. torch's own layers are used wherever they compute the canonical function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from gradrace import layers as kinds
from gradrace.layers import LEAKY_SLOPE, BuiltLayer, Parameter, same_padding
from gradrace.objective import kernels
from gradrace.plan import Weights
from torch import Tensor, nn
from torch.nn import functional


class TorchNetwork(nn.Sequential):
    """A model's modules in order, in eval mode; reads and writes weights in the canonical layout.

    Takes samples as `to_torch` lays them out and gives canonical outputs. Made in the default
    dtype. Every training batch has `batch_size` samples. table: how each kind of layer is built.
    """

    def __init__(
        self, layers: Sequence[BuiltLayer], batch_size: int, table: Table | None = None
    ) -> None:
        table = LAYERS if table is None else table
        modules = [
            table[type(built.layer)].make(Site(built, layers[place + 1 :], batch_size))
            for place, built in enumerate(layers)
        ]
        last = [_ChannelsLast()] if len(layers[-1].output_shape) == 3 else []
        super().__init__(*modules, *last)
        self.layouts, self._table = _layouts(layers), table
        # Kept out of nn.Module's registers, which hold these modules already.
        self.of_layers = tuple(zip(layers, modules, strict=True))
        self.eval()

    def tensors(self, trainable: bool = True) -> Iterator[tuple[str, Tensor]]:
        """(canonical name, tensor) of each parameter that is trained, or of each that is not."""
        for built, module in self.of_layers:
            owner, names = getattr(module, "inner", module), self._table[type(built.layer)].names
            for parameter in built.parameters:
                if parameter.trainable == trainable:
                    short = parameter.name.rpartition(".")[2]
                    yield parameter.name, attrgetter(names[short])(owner)

    def kernels(self) -> list[Tensor]:
        """The tensors that penalties and decoupled decay act on."""
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
        """Running statistics stay as they were, whatever passes are made inside."""
        norms = [module for module in self.modules() if isinstance(module, _BatchNorm)]
        kept = [norm.statistics() for norm in norms]
        yield
        for norm, statistics in zip(norms, kept, strict=True):
            norm.restore(statistics)

    def state(self) -> Weights:
        """Running statistics. Leaves the network in eval mode."""
        self.eval()
        return self.canonical(self.tensors(trainable=False))


def as_array(tensor: Tensor) -> np.ndarray:
    """The tensor's values; those of bfloat16, which NumPy lacks, as float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def gradient_of(tensor: Tensor) -> Tensor:
    """Zeros if the output does not depend on it at all."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def to_torch(x: Tensor) -> Tensor:
    """Canonical samples [n, ...] as the modules take them."""
    # With one channel `contiguous` keeps channels-last strides, by which convolutions choose.
    return x.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format) if x.dim() == 4 else x


def unsupported(layers: Sequence[BuiltLayer], batch_size: int) -> str | None:
    """The reason why torch cannot train these layers with this batch size, or None."""
    for built in layers:
        values = batch_size * prod(built.input_shape[:-1])
        if isinstance(built.layer, kinds.BatchNorm) and values == 1:
            return "PyTorch's batch normalisation refuses batches with one value a feature"
    return None


# Modules


class _ChannelsLast(nn.Module):
    """[n, C, H, W] to [n, H, W, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class _ChannelsFirst(nn.Module):
    """[n, H, W, C] to [n, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


class _Swapped(nn.Module):
    """[n, time, features] to [n, features, time], and back."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class _Around(nn.Module):
    """A module with the tensors, and others before and after it."""

    def __init__(
        self, before: Sequence[nn.Module], inner: nn.Module, after: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.before, self.inner, self.after = nn.Sequential(*before), inner, nn.Sequential(*after)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.inner(self.before(x)))


class _PaddedAverage(nn.Module):
    """Average pooling with more padding at the end. torch counts explicit zeros, so its means are
    scaled back."""

    def __init__(
        self, pool: nn.AvgPool2d, built: BuiltLayer, sides: tuple[int, int, int, int]
    ) -> None:
        super().__init__()
        self.padded = nn.Sequential(nn.ZeroPad2d(sides), pool)
        self.register_buffer("scale", 1.0 / self.padded(torch.ones(1, 1, *built.input_shape[:2])))

    def forward(self, x: Tensor) -> Tensor:
        return self.padded(x) * self.scale


class _BatchNorm(nn.BatchNorm2d):
    """torch's batch normalisation with the paper's biased running variance.

    torch averages the unbiased variance. All batches have the same `count` of values a feature, so
    `running_var` is kept count / (count - 1) times too large: what torch adds then is right, and no
    step pays for a correction. Evaluation takes `moving_variance`, which follows when the module
    leaves training mode.
    """

    moving_variance: Tensor
    running_var: Tensor

    def __init__(self, features: int, momentum: float, epsilon: float, count: int) -> None:
        super().__init__(features, eps=epsilon, momentum=1.0 - momentum)
        self.num_batches_tracked = None  # counts, and that takes time
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
        moving: list[Any] = [self.running_mean, self.running_var, self.moving_variance]
        return moving

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

    def feed(
        self, mask: np.ndarray, dtype: torch.dtype, device: torch.device, in_place: bool = False
    ) -> None:
        """mask: bool[n, *input_shape], canonical. in_place: into the memory of the mask before, in
        which a captured step finds it."""
        factor = to_torch(torch.from_numpy(mask).to(device)).to(dtype) * self._scale
        if in_place and self._factor is not None:
            self._factor.copy_(factor)
        else:
            self._factor = factor

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        if self._factor is None:
            raise ValueError("dropout needs a mask in training")
        return x * self._factor


class _Recurrent(nn.Module):
    """All states of a recurrent layer, or the last. Its second bias stays at zero: two biases would
    train twice as fast as one."""

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

    def __init__(self, layer: kinds.Point) -> None:
        super().__init__()
        self._layer, count = layer, len(layer.start)
        self.point = nn.Parameter(torch.empty(count))
        curvatures = torch.tensor(np.geomspace(1.0, layer.condition, count))
        self.register_buffer("_curvatures", curvatures.to(self.point))

    def forward(self, x: Tensor) -> Tensor:
        return self._value().expand(len(x), 1)

    def _value(self) -> Tensor:
        if self._layer.objective == "quadratic":
            return 0.5 * (self._curvatures * self.point.square()).sum()
        x, y = self.point
        value: Tensor = self._layer.of_two(x, y, torch.cos)
        return value


# Layouts


class Layout(NamedTuple):
    """Canonical array -> torch's: reshaped to `inner`, axes permuted, reshaped to `outer`."""

    inner: tuple[int, ...]
    axes: tuple[int, ...]
    outer: tuple[int, ...]
    canonical: tuple[int, ...]

    def from_canonical(self, array: np.ndarray) -> np.ndarray:
        """The array as torch stores it, contiguous."""
        permuted = array.reshape(self.inner).transpose(self.axes)
        return np.ascontiguousarray(permuted.reshape(self.outer))

    def to_canonical(self, array: np.ndarray) -> np.ndarray:
        """A copy in the canonical layout."""
        permuted = array.reshape([self.inner[axis] for axis in self.axes])
        return permuted.transpose(np.argsort(self.axes)).reshape(self.canonical).copy()


def layout_of(shape: tuple[int, ...]) -> Layout:
    """HWIO as OIHW, [in, out] as [out, in], vectors as they are."""
    axes = (3, 2, 0, 1) if len(shape) == 4 else tuple(reversed(range(len(shape))))
    return Layout(shape, axes, tuple(shape[axis] for axis in axes), shape)


def _layouts(layers: Sequence[BuiltLayer]) -> dict[str, Layout]:
    """Canonical name -> layout. A dense kernel behind a flattened image is permuted too."""
    layouts: dict[str, Layout] = {}
    flattened: tuple[int, ...] | None = None
    for place, built in enumerate(layers):
        if isinstance(built.layer, kinds.Flatten) and len(built.input_shape) == 3:
            free = _flattens_freely(Site(built, layers[place + 1 :]))
            flattened = built.input_shape if free else None
        for parameter in built.parameters:
            layouts[parameter.name] = _layout(built.layer, parameter, flattened)
        if built.parameters:
            flattened = None
    return layouts


def _layout(layer: Any, parameter: Parameter, flattened: tuple[int, ...] | None) -> Layout:
    shape = parameter.shape
    if isinstance(layer, kinds.Embedding):
        return Layout(shape, (0, 1), shape, shape)
    if isinstance(layer, kinds.Dense) and parameter.role == "gain":
        return Layout(shape, (0,), (*shape, 1), shape)
    if len(shape) == 2 and flattened:
        return Layout((*flattened, shape[1]), (3, 2, 0, 1), shape[::-1], shape)
    return layout_of(shape)


# The table of layers


class Site(NamedTuple):
    """Where a layer stands in a model."""

    built: BuiltLayer
    following: Sequence[BuiltLayer] = ()
    batch_size: int = 1

    @property
    def layer(self) -> Any:
        """The layer itself; each kind knows its own fields."""
        return self.built.layer

    @property
    def channels(self) -> int:
        """The size of the last axis before the layer."""
        return self.built.input_shape[-1]


class Kind(NamedTuple):
    """How torch builds a kind of layer, and its names for the canonical parameters."""

    make: Callable[[Site], nn.Module]
    names: Mapping[str, str] = {}


def channels_last(site: Site, module: nn.Module) -> nn.Module:
    """The module, which works on the last axis, with channels moved there and back."""
    before = [_ChannelsLast()] if len(site.built.input_shape) == 3 else []
    after = [_ChannelsFirst()] if len(site.built.output_shape) == 3 else []
    return _Around(before, module, after) if before or after else module


def _dense(site: Site) -> nn.Module:
    linear: nn.Module = nn.Linear(site.channels, site.layer.units, bias=site.layer.bias)
    if site.layer.weight_norm:
        linear = nn.utils.parametrizations.weight_norm(linear)
    return channels_last(site, linear)


# Padding (before, after) of height and width.
Pads = tuple[tuple[int, int], tuple[int, int]]


def pads_of(site: Site, window: int, stride: int) -> Pads:
    """Of a layer with a sliding window."""
    if site.layer.padding == "valid":
        return (0, 0), (0, 0)
    height, width, _ = site.built.input_shape
    return same_padding(height, window, stride), same_padding(width, window, stride)


def _own(pads: Pads) -> tuple[int, int] | None:
    """Padding as torch's layers do it themselves: the same at both ends, or None."""
    (top, bottom), (left, right) = pads
    return (top, left) if top == bottom and left == right else None


def sides_of(pads: Pads) -> tuple[int, int, int, int]:
    """In the order of torch's padding layers: left, right, top, bottom."""
    return (*pads[1], *pads[0])


def _conv2d(site: Site) -> nn.Module:
    layer, pads = site.layer, pads_of(site, site.layer.kernel, site.layer.stride)
    own = _own(pads)
    convolution = nn.Conv2d(
        site.channels, layer.filters, layer.kernel, layer.stride, own or 0, bias=layer.bias
    )
    return convolution if own else _Around([nn.ZeroPad2d(sides_of(pads))], convolution, [])


def _max_pool(site: Site) -> nn.Module:
    window, step = site.layer.window, site.layer.step
    pads = pads_of(site, window, step)
    own = _own(pads)
    pool = nn.MaxPool2d(window, step, own or 0)
    return pool if own else nn.Sequential(nn.ConstantPad2d(sides_of(pads), -torch.inf), pool)


def _avg_pool(site: Site) -> nn.Module:
    window, step = site.layer.window, site.layer.step
    pads = pads_of(site, window, step)
    own = _own(pads)
    pool = nn.AvgPool2d(window, step, own or 0, count_include_pad=False)
    return pool if own else _PaddedAverage(pool, site.built, sides_of(pads))


def _flatten(site: Site) -> nn.Module:
    return nn.Flatten() if _flattens_freely(site) else nn.Sequential(_ChannelsLast(), nn.Flatten())


def _flattens_freely(site: Site) -> bool:
    """Whether features may stay in the order C, H, W, which costs a step nothing: next comes a
    dense layer, whose kernel is permuted to fit, with only elementwise layers between."""
    if len(site.built.input_shape) != 3:
        return True
    for other in site.following:
        if not isinstance(other.layer, kinds.Activation):
            return isinstance(other.layer, kinds.Dense)
    return False


def _batch_norm(site: Site) -> nn.Module:
    layer, count = site.layer, site.batch_size * prod(site.built.input_shape[:-1])
    return _BatchNorm(site.channels, layer.momentum, layer.epsilon, count)


def _layer_norm(site: Site) -> nn.Module:
    return channels_last(site, nn.LayerNorm(site.channels, eps=site.layer.epsilon))


def _group_norm(site: Site) -> nn.Module:
    norm = nn.GroupNorm(site.layer.groups, site.channels, eps=site.layer.epsilon)
    # torch wants the channels on axis 1; images have them there already.
    sequence = len(site.built.input_shape) == 2
    return _Around([_Swapped()], norm, [_Swapped()]) if sequence else norm


def _dropout(site: Site) -> nn.Module:
    native = site.layer.masks == "native"
    return nn.Dropout(site.layer.rate) if native else FedDropout(site.layer.rate)


def _embedding(site: Site) -> nn.Module:
    return channels_last(site, nn.Embedding(site.layer.vocabulary, site.layer.units))


def _recurrent(make: Callable[..., nn.RNNBase]) -> Kind:
    def made(site: Site) -> nn.Module:
        inner = make(site.channels, site.layer.units, batch_first=True)
        return _Recurrent(inner, site.layer.sequences)

    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")
    return Kind(made, dict(zip(("kernel", "recurrent_kernel", "bias"), names, strict=True)))


_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
_WEIGHTS = {"kernel": "weight", "bias": "bias"}
_SCALED = {"gain": "weight", "bias": "bias"}
_WEIGHT_NORM = {
    "direction": "parametrizations.weight.original1",
    "gain": "parametrizations.weight.original0",
}
_RUNNING = {"moving_mean": "running_mean", "moving_variance": "moving_variance"}

Table = Mapping[type, Kind]

LAYERS: Table = {
    kinds.Dense: Kind(_dense, {**_WEIGHTS, **_WEIGHT_NORM}),
    kinds.Conv2D: Kind(_conv2d, _WEIGHTS),
    kinds.MaxPool2D: Kind(_max_pool),
    kinds.AvgPool2D: Kind(_avg_pool),
    kinds.Flatten: Kind(_flatten),
    kinds.BatchNorm: Kind(_batch_norm, {**_SCALED, **_RUNNING}),
    kinds.LayerNorm: Kind(_layer_norm, _SCALED),
    kinds.GroupNorm: Kind(_group_norm, _SCALED),
    kinds.Dropout: Kind(_dropout),
    kinds.Embedding: Kind(_embedding, {"kernel": "weight"}),
    kinds.SimpleRnn: _recurrent(nn.RNN),
    kinds.Lstm: _recurrent(nn.LSTM),
    kinds.Gru: _recurrent(nn.GRU),
    kinds.Activation: Kind(lambda site: _ACTIVATIONS[site.layer.function]()),
    kinds.Point: Kind(lambda site: _Objective(site.layer), {"point": "point"}),
}

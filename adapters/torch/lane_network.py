"""The model of many runs at once: torch.func.vmap over parameters with a leading axis of lanes.

Convolutions and recurrent layers are written as matrix products, which become batched ones. Under
vmap torch's own convolution would be a grouped one, which gains nothing, and its recurrent layers
are slow on a CPU and impossible on a GPU. All other layers are those of single runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np
import torch
from gradrace import layers as kinds
from gradrace.adapters.torch.layers import (
    LAYERS,
    Kind,
    Layout,
    Site,
    Table,
    TorchNetwork,
    as_array,
    channels_last,
    pads_of,
    sides_of,
)
from gradrace.layers import BuiltLayer
from gradrace.objective import kernels
from gradrace.plan import Weights
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional


class LaneNetwork:
    """One set of modules, and the tensors [lanes, ...] of all lanes by canonical name.

    trained: the parameters. state: running statistics.
    """

    def __init__(
        self,
        layers: Sequence[BuiltLayer],
        batch_size: int,
        starts: Sequence[Weights],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._layers = tuple(layers)
        self._modules = TorchNetwork(layers, batch_size, LANE_LAYERS).to(device, dtype)
        own = [*self._modules.named_parameters(), *self._modules.named_buffers()]
        names = {id(tensor): name for name, tensor in own}
        # Canonical name -> the one by which torch.func gives a module its tensor.
        self._names: dict[str, str] = {}
        self.trained: dict[str, Tensor] = {}
        self.state: dict[str, Tensor] = {}
        for trainable, held in ((True, self.trained), (False, self.state)):
            for name, tensor in self._modules.tensors(trainable):
                self._names[name] = names[id(tensor)]
                stacked = self._stacked(name, starts).to(device, dtype)
                held[name] = stacked.requires_grad_(trainable)
        self._factors = {
            built.name: names[id(module.factor)]
            for built, module in self._modules.of_layers
            if isinstance(module, _FedByLane)
        }

    @property
    def layouts(self) -> list[Layout]:
        """Of one lane's trained tensors, in their order."""
        return [self._modules.layouts[name] for name in self.trained]

    def kernels(self) -> list[Tensor]:
        """The tensors that penalties and decoupled decay act on."""
        return [self.trained[name] for name in kernels(self._layers)]

    def train(self, training: bool) -> None:
        """Whether the calls that follow are those of steps, or of evaluations."""
        self._modules.train(training)

    def __call__(self, x: Tensor, factors: Mapping[str, Tensor]) -> Tensor:
        """Canonical outputs [lanes, n, ...] of samples x[lanes, n, ...], laid out by `to_torch`.

        factors: [lanes, n, ...] by a dropout's name, what its inputs are multiplied by.
        """
        tensors = {self._names[name]: each for name, each in (self.trained | self.state).items()}
        tensors |= {self._factors[name]: factor for name, factor in factors.items()}
        outputs: Tensor = vmap(self._of_a_lane)(tensors, x)
        return outputs

    def _of_a_lane(self, tensors: dict[str, Tensor], x: Tensor) -> Tensor:
        output: Tensor = functional_call(self._modules, tensors, (x,))
        return output

    def weights(self, lane: int) -> Weights:
        """One lane's, state included, in the canonical layout."""
        scales = self._variance_scales()
        return {
            name: self._modules.layouts[name].to_canonical(
                as_array(tensor[lane] * scales[name] if name in scales else tensor[lane])
            )
            for name, tensor in (self.trained | self.state).items()
        }

    def _stacked(self, name: str, starts: Sequence[Weights]) -> Tensor:
        layout, scale = self._modules.layouts[name], self._variance_scales().get(name, 1.0)
        return torch.from_numpy(np.stack([layout.from_canonical(s[name]) for s in starts]) / scale)

    def _variance_scales(self) -> dict[str, float]:
        """By the name of a running variance: what the one that is held is multiplied by."""
        return {
            f"{built.name}.moving_variance": module.biased
            for built, module in self._modules.of_layers
            if isinstance(module, _LaneBatchNorm)
        }


class _LaneBatchNorm(nn.BatchNorm2d):
    """As that of single runs: `running_var` is held count / (count - 1) times too large. Evaluation
    multiplies by `biased`, since vmap's function must not assign attributes."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, momentum: float, epsilon: float, count: int) -> None:
        super().__init__(features, eps=epsilon, momentum=1.0 - momentum)
        self.num_batches_tracked = None  # counts, and that takes time
        self.biased = (count - 1) / count

    def _check_input_dim(self, input: Tensor) -> None:
        """Vectors are fine too."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 3:  # [n, time, features]
            return self._normalise(x.flatten(0, 1)).view_as(x)
        return self._normalise(x)

    def _normalise(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        variance = self.running_var * self.biased
        return functional.batch_norm(
            x, self.running_mean, variance, self.weight, self.bias, eps=self.eps
        )


class _FedByLane(nn.Module):
    """Dropout by factors that a call of the network is given: 0, or the dropout's scale."""

    factor: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factor", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor if self.training else x


class _NormedDense(nn.Module):
    """A dense layer with weight normalisation; torch's own has no rule for vmap."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        units = site.layer.units
        self.direction = nn.Parameter(torch.empty(units, site.channels))
        self.gain = nn.Parameter(torch.empty(units, 1))
        self.bias = nn.Parameter(torch.empty(units)) if site.layer.bias else None

    def forward(self, x: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(self.direction, dim=1, keepdim=True)
        return functional.linear(x, self.direction * (self.gain / norms), self.bias)


class _PatchConv2d(nn.Module):
    """A convolution as one matrix product of the image's patches (im2col)."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        layer, channels = site.layer, site.channels
        self.weight = nn.Parameter(torch.empty(layer.filters, channels, layer.kernel, layer.kernel))
        self.bias = nn.Parameter(torch.empty(layer.filters)) if layer.bias else None
        self._pads = sides_of(pads_of(site, layer.kernel, layer.stride))
        self._window, self._size = (layer.kernel, layer.stride), site.built.output_shape[:2]

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self._window
        padded = functional.pad(x, self._pads) if any(self._pads) else x
        patches = functional.unfold(padded, kernel, stride=stride).transpose(1, 2)
        outputs = functional.linear(patches, self.weight.flatten(1), self.bias)
        return outputs.transpose(1, 2).unflatten(2, self._size)


# State and the two products of gates -> the next state; the first tensor is what comes out.
_State = tuple[Tensor, ...]
_Cell = Callable[[_State, Tensor, Tensor], _State]


class _UnrolledRecurrent(nn.Module):
    """A recurrent layer as a product over all inputs and one a step of time."""

    def __init__(self, site: Site, gates: int, states: int, cell: _Cell) -> None:
        super().__init__()
        units, features = site.layer.units, site.channels
        self.weight_ih = nn.Parameter(torch.empty(gates * units, features))
        self.weight_hh = nn.Parameter(torch.empty(gates * units, units))
        self.bias = nn.Parameter(torch.empty(gates * units))
        self._cell, self._states, self._sequences = cell, states, site.layer.sequences

    def forward(self, x: Tensor) -> Tensor:
        driven = functional.linear(x, self.weight_ih, self.bias).unbind(1)
        across = self.weight_hh.t()
        state = (x.new_zeros(len(x), across.shape[0]),) * self._states
        outputs = []
        for step in driven:
            state = self._cell(state, step, state[0] @ across)
            outputs.append(state[0])
        return torch.stack(outputs, 1) if self._sequences else outputs[-1]


def _simple_cell(state: _State, driven: Tensor, recurrent: Tensor) -> _State:
    return (torch.tanh(driven + recurrent),)


def _lstm_cell(state: _State, driven: Tensor, recurrent: Tensor) -> _State:
    i, f, g, o = (driven + recurrent).chunk(4, -1)
    memory = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(memory), memory


def _gru_cell(state: _State, driven: Tensor, recurrent: Tensor) -> _State:
    (r, z, n), (of_r, of_z, of_n) = driven.chunk(3, -1), recurrent.chunk(3, -1)
    new = torch.tanh(n + torch.sigmoid(r + of_r) * of_n)
    return (new + torch.sigmoid(z + of_z) * (state[0] - new),)


def _recurrent(gates: int, states: int, cell: _Cell) -> Kind:
    names = {"kernel": "weight_ih", "recurrent_kernel": "weight_hh", "bias": "bias"}
    return Kind(lambda site: _UnrolledRecurrent(site, gates, states, cell), names)


def _dense(site: Site) -> nn.Module:
    normed = site.layer.weight_norm
    return channels_last(site, _NormedDense(site)) if normed else LAYERS[kinds.Dense].make(site)


def _batch_norm(site: Site) -> nn.Module:
    layer, count = site.layer, site.batch_size * prod(site.built.input_shape[:-1])
    return _LaneBatchNorm(site.channels, layer.momentum, layer.epsilon, count)


LANE_LAYERS: Table = {
    **LAYERS,
    kinds.Dense: Kind(
        _dense, {"kernel": "weight", "direction": "direction", "gain": "gain", "bias": "bias"}
    ),
    kinds.Conv2D: Kind(_PatchConv2d, {"kernel": "weight", "bias": "bias"}),
    kinds.BatchNorm: Kind(
        _batch_norm,
        {
            "gain": "weight",
            "bias": "bias",
            "moving_mean": "running_mean",
            "moving_variance": "running_var",
        },
    ),
    kinds.Dropout: Kind(lambda site: _FedByLane() if site.layer.rate else nn.Identity()),
    kinds.SimpleRnn: _recurrent(1, 1, _simple_cell),
    kinds.Lstm: _recurrent(4, 2, _lstm_cell),
    kinds.Gru: _recurrent(3, 1, _gru_cell),
}

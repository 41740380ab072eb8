"""PyTorch: torch.nn layers, torch.optim classes, eager mode."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from gradrace.adapter import Metrics
from gradrace.adapters._torch_optimizer import DTYPES, Updater, prepare
from gradrace.binding import unavailable
from gradrace.layers import Activation, BuiltLayer, Conv2D, Dense, Flatten, Lstm, MaxPool2D, build
from gradrace.optimizer import Optimizer
from gradrace.plan import Plan, Weights
from gradrace.spec import RunSpec
from torch import Tensor, nn

FRAMEWORK = "torch"
TITLE = "PyTorch"
REQUIRES = ("torch",)
MODES = ("eager",)
CONVERGENCE_MODE = "eager"

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class TorchSession:
    """One nn.Module and one torch.optim.Optimizer."""

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        self._device, self._dtype = prepare(run), DTYPES[run.dtype]
        self._task, self._plan = run.task, plan
        self._layers = build(run.task.model, run.task.input_shape)
        self._layouts = _layouts(self._layers)
        self._model = nn.Sequential(*(_module(built) for built in self._layers)).to(self._device)
        self._load(start)
        self._updater = Updater(run, plan.optimizer, [tensor for _, tensor in self._tensors()], plan.learning_rates)
        self._losses: list[Tensor] = []
        self._x, self._y = self._split("train")

    def train(self, steps: range) -> None:
        rows = torch.from_numpy(self._plan.batches[steps.start : steps.stop]).to(self._device)
        batches = zip(steps, self._x[rows].unbind(0), self._y[rows].unbind(0), strict=True)
        model, updater, losses = self._model, self._updater, self._losses
        cross_entropy = nn.functional.cross_entropy
        for step, x, y in batches:
            updater.zero_grad()
            loss = cross_entropy(model(x), y)
            loss.backward()
            updater.step(step)
            losses.append(loss.detach())

    def sync(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def losses(self) -> np.ndarray:
        taken, self._losses = self._losses, []
        return torch.stack(taken).double().cpu().numpy() if taken else np.empty(0)

    @torch.no_grad()
    def evaluate(self, split: str) -> Metrics:
        x, y = self._split(split)
        logits = self._model(x)
        loss = nn.functional.cross_entropy(logits, y)
        return Metrics(float(loss), float((logits.argmax(dim=1) == y).double().mean()))

    def weights(self) -> Weights:
        return {name: self._layouts[name].to_canonical(tensor.detach().cpu().numpy()) for name, tensor in self._tensors()}

    def set_learning_rates(self, rates: np.ndarray) -> None:
        self._updater.set_learning_rates(rates)

    def state_bytes(self) -> int:
        return self._updater.state_bytes()

    def close(self) -> None:
        self._losses.clear()

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """(canonical name, tensor) of every trainable parameter, in canonical order."""
        for built, module in zip(self._layers, self._model, strict=True):
            for parameter in built.parameters:
                yield parameter.name, _tensor(module, parameter.name.rpartition(".")[2])

    @torch.no_grad()
    def _load(self, start: Weights) -> None:
        for name, tensor in self._tensors():
            tensor.copy_(torch.from_numpy(self._layouts[name].from_canonical(start[name])))

    def _split(self, split: str) -> tuple[Tensor, Tensor]:
        return _device_split(self._plan.data.name, split, self._task.input_shape, self._dtype, self._device)


class TorchAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK

    def versions(self) -> dict[str, str]:
        return {name: importlib.metadata.version(name) for name in ("torch", "numpy")}

    def devices(self) -> tuple[str, ...]:
        return ("cpu", "gpu") if torch.cuda.is_available() else ("cpu",)

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if run.mode not in MODES:
            return f"PyTorch has no mode {run.mode!r} here"
        if run.device not in self.devices():
            return "no GPU visible to PyTorch"
        return unavailable(run, optimizer)

    def open(self, run: RunSpec, start: Weights, plan: Plan) -> TorchSession:
        return TorchSession(run, start, plan)

    def updates(
        self, run: RunSpec, optimizer: Optimizer, start: Weights, gradients: Sequence[Weights], rates: np.ndarray
    ) -> list[Weights]:
        device = prepare(run)
        layouts = {name: _layout(array.shape, None) for name, array in start.items()}

        def place(arrays: Weights) -> list[Tensor]:
            # torch.tensor copies: the caller's arrays stay as they are.
            laid_out = (layouts[name].from_canonical(arrays[name]) for name in layouts)
            return [torch.tensor(array, dtype=DTYPES[run.dtype], device=device) for array in laid_out]

        tensors = [tensor.requires_grad_() for tensor in place(start)]
        updater = Updater(run, optimizer, tensors, rates)
        taken: list[Weights] = []
        for step, given in enumerate(gradients):
            for tensor, gradient in zip(tensors, place(given), strict=True):
                tensor.grad = gradient
            updater.step(step)
            arrays = [tensor.detach().cpu().numpy() for tensor in tensors]
            taken.append({n: layouts[n].to_canonical(array) for n, array in zip(layouts, arrays, strict=True)})
        return taken


ADAPTER = TorchAdapter()


class _LastState(nn.Module):
    """nn.LSTM that gives its last hidden state, with its second bias frozen at zero (two would train twice as fast)."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, units, batch_first=True)
        bias: Tensor = self.lstm.bias_hh_l0  # type: ignore[assignment]
        nn.init.zeros_(bias).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0][:, -1]


def _module(built: BuiltLayer) -> nn.Module:
    match built.layer:
        case Dense(units=units):
            return nn.Linear(built.input_shape[0], units)
        case Conv2D(filters=filters, kernel=kernel):
            return nn.Conv2d(built.input_shape[2], filters, kernel, padding=kernel // 2)
        case MaxPool2D(window=window):
            return nn.MaxPool2d(window)
        case Flatten():
            return nn.Flatten()
        case Lstm(units=units):
            return _LastState(built.input_shape[1], units)
        case Activation(function=function):
            return _ACTIVATIONS[function]()
    raise ValueError(f"PyTorch has no {built.layer.kind} layer here")


def _tensor(module: nn.Module, name: str) -> Tensor:
    if isinstance(module, _LastState):
        names = {"kernel": "weight_ih_l0", "recurrent_kernel": "weight_hh_l0", "bias": "bias_ih_l0"}
        return getattr(module.lstm, names[name])
    return getattr(module, {"kernel": "weight", "bias": "bias"}[name])


class _Layout(NamedTuple):
    """Canonical array -> torch's: reshaped to `inner`, axes permuted by `axes`, reshaped to `outer`."""

    inner: tuple[int, ...]
    axes: tuple[int, ...]
    outer: tuple[int, ...]
    canonical: tuple[int, ...]

    def from_canonical(self, array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array.reshape(self.inner).transpose(self.axes).reshape(self.outer))

    def to_canonical(self, array: np.ndarray) -> np.ndarray:
        permuted = array.reshape([self.inner[axis] for axis in self.axes])
        return permuted.transpose(np.argsort(self.axes)).reshape(self.canonical).copy()


def _layouts(layers: Iterable[BuiltLayer]) -> dict[str, _Layout]:
    """Canonical name -> layout: HWIO to OIHW, [in, out] to [out, in].

    nn.Flatten gives features in the order C, H, W where the canonical order is H, W, C; the kernel of the next dense
    layer is permuted to fit, which costs a step nothing.
    """
    layouts, flattened = {}, None
    for built in layers:
        if isinstance(built.layer, Flatten) and len(built.input_shape) == 3:
            flattened = built.input_shape
        for parameter in built.parameters:
            layouts[parameter.name] = _layout(parameter.shape, flattened)
        if built.parameters:
            flattened = None
    return layouts


def _layout(shape: tuple[int, ...], flattened: tuple[int, ...] | None) -> _Layout:
    if len(shape) == 4:
        return _Layout(shape, (3, 2, 0, 1), tuple(shape[axis] for axis in (3, 2, 0, 1)), shape)
    if len(shape) == 2 and flattened:
        return _Layout((*flattened, shape[1]), (3, 2, 0, 1), shape[::-1], shape)
    return _Layout(shape, tuple(reversed(range(len(shape)))), shape[::-1], shape)


@lru_cache(maxsize=16)
def _device_split(
    data: str, split: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The split on the device, images as NCHW, kept between runs."""
    from gradrace.data import load

    loaded = load(data)
    x = torch.from_numpy(loaded.shaped(split, shape)).to(dtype)
    x = x.permute(0, 3, 1, 2).contiguous() if len(shape) == 3 else x
    return x.to(device), torch.from_numpy(loaded.splits[split].y).to(device)



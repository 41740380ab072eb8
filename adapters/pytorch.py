"""PyTorch: torch.nn layers, torch.optim classes, eager mode."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial

import numpy as np
import torch
from gradrace.adapter import Differentials, Metrics, Part
from gradrace.adapters import _torch_losses as torch_losses
from gradrace.adapters._torch_layers import Layout, Network, to_torch, unsupported
from gradrace.adapters._torch_optimizer import DTYPES, Updater, prepare
from gradrace.binding import unavailable
from gradrace.layers import BuiltLayer, build
from gradrace.optimizer import Optimizer
from gradrace.plan import Plan, Weights, dropout_masks
from gradrace.spec import Dtype, RunSpec, TaskSpec
from torch import Tensor

FRAMEWORK = "torch"
TITLE = "PyTorch"
REQUIRES = ("torch",)
MODES = ("eager",)
CONVERGENCE_MODE = "eager"

# Samples that go through the model together in an evaluation, so that a large split fits into memory.
_EVALUATED_AT_ONCE = 1024


class TorchSession:
    """One nn.Module and one torch.optim.Optimizer."""

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        self._device, self._dtype = prepare(run), DTYPES[run.dtype]
        self._task, self._plan = run.task, plan
        self._rates = plan.learning_rates.tolist()
        layers = build(run.task.model, run.task.input_shape)
        self._output_shape = layers[-1].output_shape
        self._model = Network(layers, run.task.batch_size).to(self._device)
        self._model.load(start)
        # Native dropout draws from torch's one generator; building the model has drawn from it as well.
        torch.manual_seed(run.seed)
        names, tensors = zip(*self._tensors(), strict=True)
        layouts = [self._model.layouts[name] for name in names]
        self._updater = Updater(run, plan.optimizer, tensors, plan.learning_rates, layouts)
        self._losses: list[Tensor] = []
        self._x, self._y = self._split("train")
        kernels = self._model.kernels()
        self._criterion = torch_losses.criterion(run.task, self._output_shape)
        self._penalty = torch_losses.penalty(run.task.regularization, kernels)
        self._before_update = torch_losses.before_update(run.task.regularization, list(tensors), kernels)
        self._fed = self._model.fed()

    def train(self, steps: range) -> None:
        rows = torch.from_numpy(self._plan.batches[steps.start : steps.stop]).to(self._device)
        batches = zip(steps, self._x[rows].unbind(0), self._y[rows].unbind(0), strict=True)
        model, updater, losses = self._model, self._updater, self._losses
        rates, criterion, penalty, before_update = self._rates, self._criterion, self._penalty, self._before_update
        model.train()
        for step, x, y in batches:
            if self._fed:
                self._feed_masks(step)
            updater.zero_grad()
            loss = criterion(model(x), y)
            if penalty:
                loss = loss + penalty()
            loss.backward()
            if before_update:
                before_update(rates[step])
            updater.step(step, partial(self._again, x, y) if updater.asks_for_loss else None)
            losses.append(loss.detach())

    def _again(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss with its gradients, for an optimizer that evaluates it several times a step."""
        self._updater.zero_grad()
        loss = self._criterion(self._model(x), y)
        if self._penalty:
            loss = loss + self._penalty()
        loss.backward()
        if self._before_update:
            self._before_update(0.0)
        return loss

    def sync(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def losses(self) -> np.ndarray:
        taken, self._losses = self._losses, []
        return torch.stack(taken).double().cpu().numpy() if taken else np.empty(0)

    @torch.no_grad()
    def evaluate(self, split: str) -> Metrics:
        x, y = self._split(split)
        self._model.eval()
        outputs = torch.cat([self._model(piece) for piece in x.split(_EVALUATED_AT_ONCE)])
        return Metrics(float(self._criterion(outputs, y)), torch_losses.metric(self._task, outputs, y))

    def weights(self) -> Weights:
        return {**self._model.canonical(self._tensors()), **self._model.state()}

    def set_learning_rates(self, rates: np.ndarray) -> None:
        self._rates = rates.tolist()
        self._updater.set_learning_rates(rates)

    def state_bytes(self) -> int:
        return self._updater.state_bytes()

    def compilations(self) -> int:
        return 0

    def parts(self) -> tuple[Part, ...]:
        return ()

    def probe(self, part: Part, steps: range) -> None:
        raise ValueError(f"{part} cannot be timed apart here")

    def peak_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        self._losses.clear()

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """(canonical name, tensor) of every trainable parameter, in canonical order."""
        return self._model.tensors()

    def _feed_masks(self, step: int) -> None:
        for built, dropout in self._fed:
            (mask,) = dropout_masks(built, self._plan.seed, range(step, step + 1), self._task.batch_size)
            dropout.feed(mask, self._dtype, self._device)

    def _split(self, split: str) -> tuple[Tensor, Tensor]:
        x = _device_split(self._plan.data.name, split, self._task.input_shape, self._dtype, self._device)
        y = torch_losses.prepared(self._task, self._output_shape, self._plan.data.splits[split].y, self._dtype)
        return x, y.to(self._device)


class TorchAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK

    def versions(self) -> dict[str, str]:
        return {name: importlib.metadata.version(name) for name in ("torch", "numpy")}

    def devices(self) -> tuple[str, ...]:
        return ("cpu", "gpu") if torch.cuda.is_available() else ("cpu",)

    def policy(self, run: RunSpec) -> dict[str, str]:
        return {}

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if run.mode not in MODES:
            return f"PyTorch has no mode {run.mode!r} here"
        if run.device not in self.devices():
            return "no GPU visible to PyTorch"
        layers = build(run.task.model, run.task.input_shape)
        return unsupported(layers, run.task.batch_size) or unavailable(run, optimizer)

    def open(self, run: RunSpec, start: Weights, plan: Plan) -> TorchSession:
        return TorchSession(run, start, plan)

    def updates(
        self, run: RunSpec, optimizer: Optimizer, start: Weights, gradients: Sequence[Weights], rates: np.ndarray
    ) -> list[Weights]:
        device = prepare(run)
        layouts = {name: _kernel_layout(array.shape) for name, array in start.items()}

        def place(arrays: Weights) -> list[Tensor]:
            # torch.tensor copies: the caller's arrays stay as they are.
            laid_out = (layouts[name].from_canonical(arrays[name]) for name in layouts)
            return [torch.tensor(array, dtype=DTYPES[run.dtype], device=device) for array in laid_out]

        tensors = [tensor.requires_grad_() for tensor in place(start)]
        updater = Updater(run, optimizer, tensors, rates, list(layouts.values()))
        taken: list[Weights] = []
        for step, given in enumerate(gradients):
            for tensor, gradient in zip(tensors, place(given), strict=True):
                tensor.grad = gradient
            updater.step(step)
            arrays = [tensor.detach().cpu().numpy() for tensor in tensors]
            taken.append({n: layouts[n].to_canonical(array) for n, array in zip(layouts, arrays, strict=True)})
        return taken

    def differentiate(
        self, layer: BuiltLayer, weights: Weights, x: np.ndarray, upstream: np.ndarray, training: bool,
        mask: np.ndarray | None = None, dtype: Dtype = "float64", mode: str | None = None,
    ) -> Differentials:  # fmt: skip
        torch.set_default_dtype(DTYPES[dtype])
        network = Network((layer,), len(x))
        network.load(weights)
        network.train(training)
        for _, dropout in network.fed():
            if mask is not None:
                dropout.feed(mask, DTYPES[dtype], torch.device("cpu"))
        inputs = _cast(x, DTYPES[dtype])
        inputs.requires_grad_(inputs.is_floating_point())
        output = network(to_torch(inputs))
        output.backward(_cast(upstream, DTYPES[dtype]))
        gradients = network.canonical((name, _gradient(tensor)) for name, tensor in network.tensors())
        by_input = _gradient(inputs).numpy() if inputs.requires_grad else None
        return Differentials(output.detach().numpy(), by_input, gradients, network.state())

    def loss(
        self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64"
    ) -> tuple[float, np.ndarray]:
        logits = _cast(outputs, DTYPES[dtype]).requires_grad_()
        loss = torch_losses.criterion(task, outputs.shape[1:])(logits, _prepared(task, outputs, y, dtype))
        loss.backward()
        return loss.item(), _gradient(logits).numpy()

    def metric(self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64") -> float:
        return torch_losses.metric(task, _cast(outputs, DTYPES[dtype]), _prepared(task, outputs, y, dtype))


ADAPTER = TorchAdapter()


def _kernel_layout(shape: tuple[int, ...]) -> Layout:
    """As torch stores the kernel of a layer of its own: HWIO as OIHW, [in, out] as [out, in]."""
    axes = (3, 2, 0, 1) if len(shape) == 4 else tuple(reversed(range(len(shape))))
    return Layout(shape, axes, tuple(shape[axis] for axis in axes), shape)


def _cast(array: np.ndarray, dtype: torch.dtype) -> Tensor:
    """A new tensor of this dtype; integers stay integers."""
    tensor = torch.tensor(array)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _gradient(tensor: Tensor) -> Tensor:
    """Zeros where the output does not depend on it at all."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _prepared(task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype) -> Tensor:
    return torch_losses.prepared(task, outputs.shape[1:], y, DTYPES[dtype])


@lru_cache(maxsize=16)
def _device_split(
    data: str, split: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The split's x on the device, images as NCHW, kept between runs. Features that are integers stay so, for embeddings."""
    from gradrace.data import load

    return to_torch(_cast(load(data).shaped(split, shape), dtype)).to(device)

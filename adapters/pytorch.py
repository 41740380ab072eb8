"""PyTorch: torch.nn layers, torch.optim classes, eager mode."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from gradrace.adapter import Differentials, Metrics
from gradrace.adapters import _torch_losses as torch_losses
from gradrace.adapters._torch_layers import Network, to_torch, unsupported
from gradrace.binding import Affine, Bound, bind, unavailable
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

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Samples that go through the model together in an evaluation, so that a large split fits into memory.
_EVALUATED_AT_ONCE = 1024


class TorchSession:
    """One nn.Module and one torch.optim.Optimizer."""

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        torch.set_num_threads(run.threads)
        self._device = torch.device("cuda" if run.device == "gpu" else "cpu")
        self._dtype = _DTYPES[run.dtype]
        if run.device == "gpu":
            # TF32 is the default of cuDNN; every framework computes plain float32 here.
            torch.backends.cudnn.allow_tf32 = False
        # The class makes its scalar state (NAdam's mu_product) in the default dtype whatever the parameters have.
        torch.set_default_dtype(self._dtype)
        self._task, self._plan = run.task, plan
        self._rates = plan.learning_rates.tolist()
        layers = build(run.task.model, run.task.input_shape)
        self._output_shape = layers[-1].output_shape
        self._model = Network(layers, run.task.batch_size).to(self._device)
        self._model.load(start)
        # Native dropout draws from torch's one generator; building the model has drawn from it as well.
        torch.manual_seed(run.seed)
        bound = bind(run, plan.optimizer, plan.learning_rates)
        self._optimizer = _optimizer(bound, [tensor for _, tensor in self._tensors()], self._rates[0])
        self._corrections = _Corrections(self._optimizer, bound) if bound.hyper_tables or bound.state_tables else None
        self._losses: list[Tensor] = []
        self._x, self._y = self._split("train")
        kernels = self._model.kernels()
        self._criterion = torch_losses.criterion(run.task, self._output_shape)
        self._penalty = torch_losses.penalty(run.task.regularization, kernels)
        parameters = [tensor for _, tensor in self._tensors()]
        self._before_update = torch_losses.before_update(run.task.regularization, parameters, kernels)
        self._fed = self._model.fed()

    def train(self, steps: range) -> None:
        rows = torch.from_numpy(self._plan.batches[steps.start : steps.stop]).to(self._device)
        batches = zip(steps, self._x[rows].unbind(0), self._y[rows].unbind(0), strict=True)
        model, optimizer, losses = self._model, self._optimizer, self._losses
        rates, criterion, penalty, before_update = self._rates, self._criterion, self._penalty, self._before_update
        model.train()
        for step, x, y in batches:
            for group in optimizer.param_groups:
                group["lr"] = rates[step]
            if self._corrections:
                self._corrections.apply(step)
            if self._fed:
                self._feed_masks(step)
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            if penalty:
                loss = loss + penalty()
            loss.backward()
            if before_update:
                before_update(rates[step])
            optimizer.step()
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
        self._model.eval()
        outputs = torch.cat([self._model(piece) for piece in x.split(_EVALUATED_AT_ONCE)])
        return Metrics(float(self._criterion(outputs, y)), torch_losses.metric(self._task, outputs, y))

    def weights(self) -> Weights:
        return {**self._model.canonical(self._tensors()), **self._model.state()}

    def state_bytes(self) -> int:
        states = self._optimizer.state.values()
        tensors = [value for state in states for value in state.values() if torch.is_tensor(value) and value.dim() > 0]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

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
        x, y = _device_split(self._plan.data.name, split, self._task.input_shape, self._dtype, self._device)
        return x, torch_losses.prepared(self._task, self._output_shape, y, self._dtype)


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
        layers = build(run.task.model, run.task.input_shape)
        return unsupported(layers, run.task.batch_size) or unavailable(run, optimizer)

    def open(self, run: RunSpec, start: Weights, plan: Plan) -> TorchSession:
        return TorchSession(run, start, plan)

    def differentiate(
        self, layer: BuiltLayer, weights: Weights, x: np.ndarray, upstream: np.ndarray, training: bool,
        mask: np.ndarray | None = None, dtype: Dtype = "float64", mode: str | None = None,
    ) -> Differentials:  # fmt: skip
        torch.set_default_dtype(_DTYPES[dtype])
        network = Network((layer,), len(x))
        network.load(weights)
        network.train(training)
        for _, dropout in network.fed():
            if mask is not None:
                dropout.feed(mask, _DTYPES[dtype], torch.device("cpu"))
        inputs = _cast(x, _DTYPES[dtype])
        inputs.requires_grad_(inputs.is_floating_point())
        output = network(to_torch(inputs))
        output.backward(_cast(upstream, _DTYPES[dtype]))
        gradients = network.canonical((name, _gradient(tensor)) for name, tensor in network.tensors())
        by_input = _gradient(inputs).numpy() if inputs.requires_grad else None
        return Differentials(output.detach().numpy(), by_input, gradients, network.state())

    def loss(
        self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64"
    ) -> tuple[float, np.ndarray]:
        logits = _cast(outputs, _DTYPES[dtype]).requires_grad_()
        loss = torch_losses.criterion(task, outputs.shape[1:])(logits, _prepared(task, outputs, y, dtype))
        loss.backward()
        return loss.item(), _gradient(logits).numpy()

    def metric(self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64") -> float:
        return torch_losses.metric(task, _cast(outputs, _DTYPES[dtype]), _prepared(task, outputs, y, dtype))


ADAPTER = TorchAdapter()


class _Corrections:
    """What the canonical rule needs beside the optimizer's class, done before each step; see gradrace.optimizer."""

    def __init__(self, optimizer: torch.optim.Optimizer, bound: Bound) -> None:
        self._optimizer = optimizer
        self._hypers = {name: table.tolist() for name, table in bound.hyper_tables.items()}
        self._buffers = [(self._find(name), affine) for name, affine in self._with_state(bound).items()]

    def apply(self, step: int) -> None:
        for group in self._optimizer.param_groups:
            for name, values in self._hypers.items():
                group[name] = values[step]
        for buffers, affine in self._buffers:
            torch._foreach_mul_(buffers, float(affine.scale[step]))
            torch._foreach_add_(buffers, float(affine.shift[step]))

    def _with_state(self, bound: Bound) -> dict[str, Affine]:
        """torch makes its state in the first step: take one with zero gradients, then count from 0 again."""
        if bound.state_tables:
            parameters = [tensor for group in self._optimizer.param_groups for tensor in group["params"]]
            before = [tensor.detach().clone() for tensor in parameters]
            for tensor in parameters:
                tensor.grad = torch.zeros_like(tensor)
            self._optimizer.step()
            with torch.no_grad():
                torch._foreach_copy_(parameters, before)
            for state in self._optimizer.state.values():
                state["step"].zero_()
        return dict(bound.state_tables)

    def _find(self, name: str) -> list[Tensor]:
        return [state[name] for state in self._optimizer.state.values()]


def _optimizer(bound: Bound, parameters: list[Tensor], lr: float) -> torch.optim.Optimizer:
    """The class, in its fused form where it has one."""
    accepted = inspect.signature(bound.make).parameters
    fused = {"fused": True} if "fused" in accepted else {}
    return bound.make(parameters, lr=lr, **{**fused, **bound.arguments})


def _cast(array: np.ndarray, dtype: torch.dtype) -> Tensor:
    """A new tensor of this dtype; integers stay integers."""
    tensor = torch.tensor(array)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _gradient(tensor: Tensor) -> Tensor:
    """Zeros where the output does not depend on it at all."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _prepared(task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype) -> Tensor:
    return torch_losses.prepared(task, outputs.shape[1:], torch.tensor(y), _DTYPES[dtype])


@lru_cache(maxsize=16)
def _device_split(
    data: str, split: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The split on the device, images as NCHW, kept between runs. Features that are integers stay so, for embeddings."""
    from gradrace.data import load

    loaded = load(data)
    x = to_torch(_cast(loaded.shaped(split, shape), dtype))
    return x.to(device), torch.from_numpy(loaded.splits[split].y).to(device)

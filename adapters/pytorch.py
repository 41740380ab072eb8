"""PyTorch: torch.nn layers and torch.optim classes, eager or through torch.compile; see
_torch_modes.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from gradrace.adapter import Differentials, Metrics, Part
from gradrace.adapters import _torch_input as torch_input
from gradrace.adapters import _torch_losses as torch_losses
from gradrace.adapters import _torch_modes as torch_modes
from gradrace.adapters._torch_layers import Layout, Network, as_array, to_torch, unsupported
from gradrace.adapters._torch_optimizer import Updater
from gradrace.adapters._torch_policy import DTYPES, policy, prepare
from gradrace.adapters._torch_probe import UpdateProbe
from gradrace.binding import unavailable
from gradrace.layers import BuiltLayer, build
from gradrace.optimizer import Optimizer
from gradrace.plan import Plan, Weights, dropout_masks
from gradrace.spec import Dtype, RunSpec, TaskSpec
from torch import Tensor, nn

FRAMEWORK = "torch"
TITLE = "PyTorch"
REQUIRES = ("torch",)
MODES = ("eager", "eager-fused", "compile")
CONVERGENCE_MODE = "eager-fused"
PROOF_MODES = ("eager-fused",)

# Samples that go through the model together in an evaluation, so that a large split fits into
# memory.
_EVALUATED_AT_ONCE = 1024


class TorchSession:
    """One nn.Module and one torch.optim.Optimizer."""

    def __init__(self, run: RunSpec, start: Weights, plan: Plan) -> None:
        self._device, self._dtype = prepare(run), DTYPES[run.dtype]
        self._run, self._task, self._plan = run, run.task, plan
        self._gpus = [torch.cuda.current_device()] if self._device.type == "cuda" else []
        self._rates = plan.learning_rates.tolist()
        layers = build(run.task.model, run.task.input_shape)
        self._output_shape = layers[-1].output_shape
        self._model = Network(layers, run.task.batch_size).to(self._device, self._dtype)
        self._model.load(start)
        # Native dropout draws from torch's one generator; building the model has drawn from it as
        # well.
        self._seed(run.seed)
        trained = dict(self._tensors())
        self._trained, self._layouts = (
            list(trained.values()),
            [self._model.layouts[name] for name in trained],
        )
        self._updater = Updater(run, plan.optimizer, trained, plan.learning_rates, self._layouts)
        self._losses: list[Tensor] = []
        self._batches = self._input()
        self._kernels, rules = self._model.kernels(), run.task.regularization
        self._criterion = torch_losses.criterion(run.task, self._output_shape)
        self._before_update = torch_losses.before_update(rules, self._trained, self._kernels)
        self._fed = self._model.fed()
        self._draws = any(
            isinstance(module, nn.Dropout) and module.p for module in self._model.modules()
        )
        self._loss = torch_modes.objective(
            self._model, self._criterion, torch_losses.penalty(rules, self._kernels)
        )
        self._compiles, self._compilations = run.mode == "compile", 0
        if self._compiles:
            self._loss = torch_modes.compiled(self._loss, self._model)
        self._probed: list[Tensor] = []
        self._update_probe: UpdateProbe | None = None

    def _seed(self, seed: int) -> None:
        if self._device.type == "cuda":
            torch.manual_seed(seed)
        else:
            # torch.manual_seed would note for every other kind of device where it was called from,
            # for 1 ms.
            torch.default_generator.manual_seed(seed)

    def train(self, steps: range) -> None:
        with self._counted():
            self._train(steps)

    def _train(self, steps: range) -> None:
        updater, losses, rates = self._updater, self._losses, self._rates
        self._model.train()
        for step, (x, y) in zip(steps, self._batches(steps), strict=True):
            if self._fed:
                self._feed_masks(step)
            loss = self._gradients(x, y, rates[step])
            updater.step(
                step, partial(self._gradients, x, y, 0.0) if updater.asks_for_loss else None
            )
            losses.append(loss.detach())

    def _gradients(self, x: Tensor, y: Tensor, rate: float) -> Tensor:
        """The loss, with its gradients as the update wants them, kernels decayed at this learning
        rate; 0 where an optimizer evaluates the loss several times a step."""
        loss = self._differentiated(x, y)
        if self._before_update:
            self._before_update(rate)
        return loss

    def _differentiated(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss, penalties included, with its gradients."""
        self._updater.zero_grad()
        loss = self._loss(x, y)
        loss.backward()
        return loss

    def sync(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def losses(self) -> np.ndarray:
        taken, self._losses = self._losses, []
        return torch.stack(taken).double().cpu().numpy() if taken else np.empty(0)

    def evaluate(self, split: str) -> Metrics:
        """In mode compile too the model runs eagerly here; in bfloat16 the loss of its outputs is
        taken in float32.
        """
        with self._updater.evaluated():
            return self._evaluate(split)

    @torch.no_grad()
    def _evaluate(self, split: str) -> Metrics:
        accurate = torch.promote_types(self._dtype, torch.float32)
        x, y = self._split(split, self._device, accurate)
        self._model.eval()
        outputs = torch.cat([self._model(piece) for piece in x.split(_EVALUATED_AT_ONCE)]).to(
            accurate
        )
        return Metrics(
            float(self._criterion(outputs, y)), torch_losses.metric(self._task, outputs, y)
        )

    def weights(self) -> Weights:
        return {**self._model.canonical(self._tensors()), **self._model.state()}

    def set_learning_rates(self, rates: np.ndarray) -> None:
        self._rates = rates.tolist()
        self._updater.set_learning_rates(rates)

    def gradients(self, step: int) -> Weights:
        with self._counted(), self._unmoved():
            self._probe_loss(range(step, step + 1), self._differentiated)
        taken = self._model.canonical((name, _gradient(tensor)) for name, tensor in self._tensors())
        # A step adds to what it finds.
        self._updater.zero_grad()
        return taken

    def state_bytes(self) -> int | None:
        return self._updater.state_bytes()

    def compilations(self) -> int:
        return self._compilations

    def parts(self) -> tuple[Part, ...]:
        """L-BFGS has no update apart: a native one evaluates the loss inside, and equal gradients
        give its memory nothing to work on. Nor has any other class that evaluates the loss
        itself."""
        return (
            ("forward", "gradient")
            if self._updater.inseparable
            else ("forward", "gradient", "update")
        )

    def probe(self, part: Part, steps: range) -> None:
        """See gradrace.adapter.Session. The update is that of an optimizer of its own on copies of
        weights and gradients, made by the first call, so that the optimizer's state does not move
        either."""
        if part not in self.parts():
            raise ValueError(f"{part} cannot be timed apart here")
        if part == "update":
            self._update_probe = self._update_probe or self._new_update_probe(steps)
            return self._update_probe.take(steps)
        with self._counted(), self._unmoved():
            self._probe_loss(steps, self._loss if part == "forward" else self._differentiated)

    def _probe_loss(self, steps: range, loss_of: Callable[[Tensor, Tensor], Tensor]) -> None:
        probed = self._probed = []
        self._model.train()
        for step, (x, y) in zip(steps, self._batches(steps), strict=True):
            if self._fed:
                self._feed_masks(step)
            probed.append(loss_of(x, y).detach())

    def _new_update_probe(self, steps: range) -> UpdateProbe:
        with self._counted(), self._unmoved():
            self._probe_loss(steps[:1], self._differentiated)
        return UpdateProbe(self._run, self._plan, self._trained, self._kernels, self._layouts)

    def peak_bytes(self) -> int | None:
        return (
            torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else None
        )

    def close(self) -> None:
        self._losses.clear()
        self._probed.clear()
        self._update_probe = None

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """(canonical name, tensor) of every trainable parameter, in canonical order."""
        return self._model.tensors()

    def _feed_masks(self, step: int) -> None:
        for built, dropout in self._fed:
            (mask,) = dropout_masks(
                built, self._plan.seed, range(step, step + 1), self._task.batch_size
            )
            dropout.feed(mask, self._dtype, self._device)

    def _input(self) -> torch_input.Batches:
        if self._run.input == "pipeline":
            x, y = self._split("train", torch.device("cpu"), self._dtype)
            return torch_input.piped(x, y, self._plan.batches, self._device)
        return torch_input.resident(
            *self._split("train", self._device, self._dtype), self._plan.batches
        )

    def _split(self, split: str, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Features in the run's dtype, targets in this one."""
        x = torch_input.features(
            self._plan.data.name, split, self._task.input_shape, self._dtype, device
        )
        y = torch_losses.prepared(
            self._task, self._output_shape, self._plan.data.splits[split].y, dtype
        )
        return x, y.to(device)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Counts what is compiled inside."""
        before = torch_modes.programs() if self._compiles else 0
        yield
        if self._compiles:
            self._compilations += torch_modes.programs() - before

    @contextmanager
    def _unmoved(self) -> Iterator[None]:
        """What is done inside leaves running statistics and the random numbers of native dropout as
        they were.
        """
        with self._model.unmoved(), torch.random.fork_rng(self._gpus, enabled=self._draws):
            yield


class TorchAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK

    def versions(self) -> dict[str, str]:
        return {name: importlib.metadata.version(name) for name in ("torch", "numpy")}

    def devices(self) -> tuple[str, ...]:
        return ("cpu", "gpu") if torch.cuda.is_available() else ("cpu",)

    def policy(self, run: RunSpec) -> dict[str, str]:
        return policy(run)

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if run.mode not in MODES:
            return f"PyTorch has no mode {run.mode!r} here"
        if run.device not in self.devices():
            return "no GPU visible to PyTorch"
        layers = build(run.task.model, run.task.input_shape)
        reason = unsupported(layers, run.task.batch_size) or unavailable(run, optimizer)
        return reason or (torch_modes.cannot_compile(run.device) if run.mode == "compile" else None)

    def open(self, run: RunSpec, start: Weights, plan: Plan) -> TorchSession:
        return TorchSession(run, start, plan)

    def updates(
        self,
        run: RunSpec,
        optimizer: Optimizer,
        start: Weights,
        gradients: Sequence[Weights],
        rates: np.ndarray,
    ) -> list[Weights]:
        device = prepare(run)
        layouts = {name: _kernel_layout(array.shape) for name, array in start.items()}

        def place(arrays: Weights) -> list[Tensor]:
            # torch.tensor copies: the caller's arrays stay as they are.
            laid_out = (layouts[name].from_canonical(arrays[name]) for name in layouts)
            return [
                torch.tensor(array, dtype=DTYPES[run.dtype], device=device) for array in laid_out
            ]

        tensors = [tensor.requires_grad_() for tensor in place(start)]
        updater = Updater(
            run, optimizer, dict(zip(layouts, tensors, strict=True)), rates, list(layouts.values())
        )
        taken: list[Weights] = []
        for step, given in enumerate(gradients):
            for tensor, gradient in zip(tensors, place(given), strict=True):
                tensor.grad = gradient
            updater.step(step)
            taken.append(
                {
                    n: layouts[n].to_canonical(as_array(t))
                    for n, t in zip(layouts, tensors, strict=True)
                }
            )
        return taken

    def differentiate(
        self,
        layer: BuiltLayer,
        weights: Weights,
        x: np.ndarray,
        upstream: np.ndarray,
        training: bool,
        mask: np.ndarray | None = None,
        dtype: Dtype = "float64",
        mode: str | None = None,
    ) -> Differentials:
        torch.set_default_dtype(torch.promote_types(DTYPES[dtype], torch.float32))
        network = Network((layer,), len(x)).to(DTYPES[dtype])
        network.load(weights)
        network.train(training)
        for _, dropout in network.fed():
            if mask is not None:
                dropout.feed(mask, DTYPES[dtype], torch.device("cpu"))
        inputs = torch_input.cast_features(x, DTYPES[dtype])
        inputs.requires_grad_(inputs.is_floating_point())
        output = network(to_torch(inputs))
        output.backward(torch_input.cast_features(upstream, DTYPES[dtype]))
        gradients = network.canonical(
            (name, _gradient(tensor)) for name, tensor in network.tensors()
        )
        by_input = as_array(_gradient(inputs)) if inputs.requires_grad else None
        return Differentials(as_array(output), by_input, gradients, network.state())

    def loss(
        self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64"
    ) -> tuple[float, np.ndarray]:
        logits = torch_input.cast_features(outputs, DTYPES[dtype]).requires_grad_()
        loss = torch_losses.criterion(task, outputs.shape[1:])(
            logits, _prepared(task, outputs, y, dtype)
        )
        loss.backward()
        return loss.item(), as_array(_gradient(logits))

    def metric(
        self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64"
    ) -> float:
        return torch_losses.metric(
            task,
            torch_input.cast_features(outputs, DTYPES[dtype]),
            _prepared(task, outputs, y, dtype),
        )


ADAPTER = TorchAdapter()


def _kernel_layout(shape: tuple[int, ...]) -> Layout:
    """As torch stores the kernel of a layer of its own: HWIO as OIHW, [in, out] as [out, in]."""
    axes = (3, 2, 0, 1) if len(shape) == 4 else tuple(reversed(range(len(shape))))
    return Layout(shape, axes, tuple(shape[axis] for axis in axes), shape)


def _gradient(tensor: Tensor) -> Tensor:
    """Zeros where the output does not depend on it at all."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _prepared(task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype) -> Tensor:
    return torch_losses.prepared(task, outputs.shape[1:], y, DTYPES[dtype])

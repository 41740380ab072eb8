"""PyTorch: torch.nn layers and torch.optim classes; read modes and session first.

`modes`: eager, as a CUDA graph or through torch.compile. `session`: one model in training;
`captured`: by replays of one captured step (`graph`). `layers`, `losses`, `batches`, `optimizer`
(`pieces` that torch lacks; `third_party`, `early_state`: mended classes; `groups`), `policy`.
`population`: many models at once, by `lane_network`, `lane_losses`, `lane_updates`; on a GPU by
`lane_stacked` with its `lane_numbers`, and `lane_graph`. `lane_keys`, `lane_trials`: which runs.
`stepping/`: optimizers of any package; `imported`: what is one. `profiling`: parts of a step.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gradrace.adapter import Differentials
from gradrace.adapters.torch import batches, lane_keys, losses, modes
from gradrace.adapters.torch.captured import CapturedSession
from gradrace.adapters.torch.lane_graph import CapturedPopulation
from gradrace.adapters.torch.layers import (
    TorchNetwork,
    as_array,
    gradient_of,
    layout_of,
    to_torch,
    unsupported,
)
from gradrace.adapters.torch.optimizer import Updater
from gradrace.adapters.torch.policy import DTYPES, accelerator, policy, prepare, visible_device
from gradrace.adapters.torch.population import TorchPopulation
from gradrace.adapters.torch.session import TorchSession
from gradrace.adapters.torch.stepping.instance import TorchMaker
from gradrace.binding import unavailable
from gradrace.importpath import ImportPath
from gradrace.layers import BuiltLayer, build
from gradrace.optimizer import Optimizer
from gradrace.plan import RunInputs, Weights
from gradrace.spec import Dtype, RunSpec, TaskSpec
from torch import Tensor

FRAMEWORK = "torch"
TITLE = "PyTorch"
REQUIRES = ("torch",)
MODES = ("eager", "eager-fused", "cudagraph", "compile")
CONVERGENCE_MODE = "eager-fused"
PROOF_MODES = ("eager-fused",)
ALONE_MODES = {"compile": "torch<2.13"}
MEMORY_MIB = 250
# Measured on two cores of an AMD EPYC on 2026-11-27: medians of the suite `quick`.
FIRST_RUN_S = (1.0, 0.1, 5e-4)


class TorchAdapter:
    """See gradrace.adapter.Adapter."""

    name = FRAMEWORK
    trains_groups = True

    def versions(self) -> dict[str, str]:
        return {name: importlib.metadata.version(name) for name in ("torch", "numpy")}

    def devices(self) -> tuple[str, ...]:
        return ("cpu", "gpu") if torch.cuda.is_available() else ("cpu",)

    def accelerator(self) -> dict[str, str]:
        return accelerator()

    def policy(self, run: RunSpec) -> dict[str, str]:
        return policy(run)

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        if run.mode not in MODES:
            return f"PyTorch has no mode {run.mode!r} here"
        if run.device not in self.devices():
            return "no GPU visible to PyTorch"
        layers = build(run.task.model, run.task.input_shape)
        reason = unsupported(layers, run.task.batch_size) or unavailable(run, optimizer)
        if reason or run.mode not in ("cudagraph", "compile"):
            return reason
        compiles = run.mode == "compile"
        return (
            modes.cannot_compile(run.device) if compiles else modes.cannot_capture(run, optimizer)
        )

    def open(self, run: RunSpec, start: Weights, inputs: RunInputs) -> TorchSession:
        kind = CapturedSession if modes.MODES[run.mode].captured else TorchSession
        return kind(run, start, inputs)

    def lane_key(self, run: RunSpec, inputs: RunInputs) -> Hashable:
        return lane_keys.lane_key(_by_itself(run), inputs)

    def open_population(
        self,
        runs: Sequence[RunSpec],
        starts: Sequence[Weights],
        inputs: Sequence[RunInputs],
        lanes: int,
    ) -> TorchPopulation:
        kind = CapturedPopulation if runs[0].device == "gpu" else TorchPopulation
        return kind([_by_itself(run) for run in runs], starts, inputs, lanes)

    def updates(
        self,
        run: RunSpec,
        optimizer: Optimizer,
        start: Weights,
        gradients: Sequence[Weights],
        rates: np.ndarray,
    ) -> list[Weights]:
        device = prepare(run)
        layouts = {name: layout_of(array.shape) for name, array in start.items()}

        def place(arrays: Weights) -> dict[str, Tensor]:
            # torch.tensor copies: the caller's arrays stay as they are.
            laid_out = {name: each.from_canonical(arrays[name]) for name, each in layouts.items()}
            dtype = DTYPES[run.dtype]
            return {n: torch.tensor(a, dtype=dtype, device=device) for n, a in laid_out.items()}

        tensors = {name: tensor.requires_grad_() for name, tensor in place(start).items()}
        updater = Updater(run, optimizer, tensors, rates, list(layouts.values()))
        taken: list[Weights] = []
        for step, given in enumerate(gradients):
            for name, gradient in place(given).items():
                tensors[name].grad = gradient
            updater.step(step)
            taken.append({n: layouts[n].to_canonical(as_array(t)) for n, t in tensors.items()})
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
        device = visible_device()
        network = TorchNetwork((layer,), len(x)).to(device, DTYPES[dtype])
        network.load(weights)
        network.train(training)
        for _, dropout in network.fed():
            if mask is not None:
                dropout.feed(mask, DTYPES[dtype], device)
        inputs = batches.cast_features(x, DTYPES[dtype]).to(device)
        inputs.requires_grad_(inputs.is_floating_point())
        output = network(to_torch(inputs))
        output.backward(batches.cast_features(upstream, DTYPES[dtype]).to(device))
        gradients = network.canonical((name, gradient_of(each)) for name, each in network.tensors())
        by_input = as_array(gradient_of(inputs)) if inputs.requires_grad else None
        return Differentials(as_array(output), by_input, gradients, network.state())

    def loss(
        self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64"
    ) -> tuple[float, np.ndarray]:
        logits, labels = _given(task, outputs, y, dtype)
        loss = losses.criterion(task, outputs.shape[1:])(logits.requires_grad_(), labels)
        loss.backward()
        return loss.item(), as_array(gradient_of(logits))

    def metric(
        self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64"
    ) -> float:
        return losses.metric(task, *_given(task, outputs, y, dtype))

    def maker(self, path: ImportPath, hyper: Mapping[str, Any]) -> TorchMaker:
        return TorchMaker(path, hyper)


ADAPTER = TorchAdapter()


def _by_itself(run: RunSpec) -> RunSpec:
    """The run in the mode in which it would be trained alone."""
    return run.model_copy(update={"mode": CONVERGENCE_MODE, "lanes": 1})


def _given(task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype) -> tuple[Tensor, ...]:
    """Outputs and targets as the losses take them."""
    prepared = losses.prepared(task, outputs.shape[1:], y, DTYPES[dtype])
    logits, device = batches.cast_features(outputs, DTYPES[dtype]), visible_device()
    return logits.to(device), prepared.to(device)

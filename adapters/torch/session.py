"""One nn.Module and one torch.optim.Optimizer, trained in one of the modes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod

import numpy as np
import torch
from gradrace.adapter import Metrics, Part
from gradrace.adapters.large_data import Placed, rows_at_once
from gradrace.adapters.torch import batches, losses, modes
from gradrace.adapters.torch.graph import table
from gradrace.adapters.torch.groups import updater_of
from gradrace.adapters.torch.layers import Layout, TorchNetwork, gradient_of
from gradrace.adapters.torch.policy import DTYPES, prepare
from gradrace.layers import build
from gradrace.objective import Objective, metric_of
from gradrace.plan import RunInputs, Weights, dropout_masks
from gradrace.spec import RunSpec
from torch import Tensor, nn

# An evaluation takes so many samples at a time, to bound the memory.
_EVALUATED_AT_ONCE = 1024
# An evaluation holds so many entries of outputs, and else adds up its pieces.
OUTPUTS_HELD = 2**23


class TorchSession:
    """One nn.Module and one torch.optim.Optimizer."""

    def __init__(self, run: RunSpec, start: Weights, inputs: RunInputs) -> None:
        self._device, self._dtype = prepare(run), DTYPES[run.dtype]
        self._run, self._task, self._inputs = run, run.task, inputs
        self._mode, self._compilations = modes.MODES[run.mode], 0
        self._gpus = [torch.cuda.current_device()] if self._device.type == "cuda" else []
        self._tables_on = self._device if self._mode.captured else None
        self._rates = table(inputs.learning_rates, self._tables_on)
        layers = build(run.task.model, run.task.input_shape)
        self._output_shape = layers[-1].output_shape
        self._evaluated = rows_at_once(layers, _EVALUATED_AT_ONCE, self._dtype.itemsize)
        self._held: dict[Hashable, tuple[Placed[Tensor], Placed[Tensor]]] = {}
        self._model = TorchNetwork(layers, run.task.batch_size).to(self._device, self._dtype)
        self._model.load(start)
        # Native dropout draws from torch's one generator, as building the model has done.
        self._seed(run.seed)
        trained = dict(self._model.tensors())
        self._trained = list(trained.values())
        self._layouts = [self._model.layouts[name] for name in trained]
        self._updater = updater_of(run, inputs, trained, self._layouts)
        self._losses: list[Tensor] = []
        self._batches = self._input()
        self._kernels, rules = self._model.kernels(), run.task.regularization
        self._criterion = losses.criterion(run.task, self._output_shape)
        self._before_update = losses.before_update(rules, self._trained, self._kernels)
        self._fed = self._model.fed()
        self._draws = any(isinstance(each, nn.Dropout) and each.p for each in self._model.modules())
        penalty = losses.penalty(rules, self._kernels)
        self._loss = modes.objective(self._model, self._criterion, penalty)
        if self._mode.compiled:
            self._loss = modes.compiled(self._loss, self._model)
        self._probed: list[Tensor] = []
        self._update_probe: UpdateProbe | None = None

    def _seed(self, seed: int) -> None:
        if self._device.type == "cuda":
            torch.manual_seed(seed)
        else:
            # torch.manual_seed would take 1 ms to note its caller for all other kinds of device.
            torch.default_generator.manual_seed(seed)

    def train(self, steps: range) -> None:
        with self._counted():
            self._train(steps)

    def _train(self, steps: range) -> None:
        self._model.train()
        if self._updater.asks_for_loss or self._updater.curved:
            return self._train_by_loss(steps)
        # Bound once: each call and each look-up of an attribute is felt in a small step.
        loss_of, update, rates = self._loss, self._updater.step, self._rates
        zero_grad, before_update = self._updater.zero_grad, self._before_update
        keep, fed = self._losses.append, self._fed
        for step, (x, y) in zip(steps, self._batches(steps), strict=True):
            if fed:
                self._feed_masks(step)
            zero_grad()
            loss = loss_of(x, y)
            loss.backward()
            if before_update:
                before_update(rates[step])
            update(step)
            keep(loss.detach())

    def _train_by_loss(self, steps: range) -> None:
        """For classes that evaluate the loss themselves, or differentiate its gradients."""
        for step, (x, y) in zip(steps, self._batches(steps), strict=True):
            if self._fed:
                self._feed_masks(step)
            loss = self._gradients(x, y, self._rates[step])
            again = partial(self._gradients, x, y, 0.0)
            self._updater.step(step, again if self._updater.asks_for_loss else None)
            self._losses.append(loss.detach())

    def _gradients(self, x: Tensor, y: Tensor, rate: float | Tensor) -> Tensor:
        """The loss; gradients are clipped and kernels decayed at this learning rate, which is 0 if
        an optimizer evaluates the loss several times a step."""
        loss = self._differentiated(x, y)
        if self._before_update:
            self._before_update(rate)
        return loss

    def _differentiated(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss with penalties; its gradients are left in the tensors."""
        self._updater.zero_grad()
        loss = self._loss(x, y)
        loss.backward(create_graph=self._updater.curved)
        return loss

    def sync(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def losses(self) -> np.ndarray:
        taken, self._losses = self._losses, []
        return torch.stack(taken).double().cpu().numpy() if taken else np.empty(0)

    def evaluate(self, split: str) -> Metrics:
        """Eagerly in every mode; bfloat16 outputs are compared in float32."""
        with self._updater.evaluated():
            return self._evaluate(split)

    @torch.no_grad()
    def _evaluate(self, split: str) -> Metrics:
        accurate = torch.promote_types(self._dtype, torch.float32)
        x, y = self._split(split, self._device, accurate)
        self._model.eval()
        found = (self._model(piece) for piece in x.split(self._evaluated))
        if len(y) * prod(self._output_shape) <= OUTPUTS_HELD:
            outputs = torch.cat(list(found)).to(accurate)
            metric = losses.metric(self._task, outputs, y)
            return Metrics(float(self._criterion(outputs, y)), metric)
        loss, total = 0.0, 0.0
        for piece, own in zip(found, y.split(self._evaluated), strict=True):
            outputs = piece.to(accurate)
            loss += float(self._criterion(outputs, own)) * len(own)
            total += float(losses.metric_total(self._task, outputs, own))
        loss /= len(y)
        labels = y.cpu().numpy()
        return Metrics(loss, metric_of(Objective.of(self._task), total, loss, labels))

    def weights(self) -> Weights:
        return {**self._model.canonical(self._model.tensors()), **self._model.state()}

    def set_learning_rates(self, rates: np.ndarray) -> None:
        self._rates = table(rates, self._tables_on)
        self._updater.set_learning_rates(rates)

    def gradients(self, step: int) -> Weights:
        with self._counted(), self._unmoved():
            self._probe_loss(range(step, step + 1), self._differentiated)
        taken = self._model.canonical(
            (name, gradient_of(tensor)) for name, tensor in self._model.tensors()
        )
        # A step adds to the gradients that it finds.
        self._updater.zero_grad()
        return taken

    def state_bytes(self) -> int | None:
        return self._updater.state_bytes()

    def compilations(self) -> int:
        return self._compilations

    def parts(self) -> tuple[Part, ...]:
        if self._updater.inseparable:
            return ("forward", "gradient")
        return ("forward", "gradient", "update")

    def probe(self, part: Part, steps: range) -> None:
        """See gradrace.adapter.Session. The update is that of an optimizer of its own on copies, so
        that the optimizer's state does not move either."""
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
        tensors = dict(self._model.tensors())
        return UpdateProbe(self._run, self._inputs, tensors, self._kernels, self._layouts)

    def peak_bytes(self) -> int | None:
        cuda = self._device.type == "cuda"
        return torch.cuda.max_memory_allocated(self._device) if cuda else None

    def close(self) -> None:
        modes.released(self._model)
        self._losses.clear()
        self._probed.clear()
        self._update_probe = None
        self._held.clear()
        self._batches = batches.none

    def _feed_masks(self, step: int) -> None:
        seed, steps, batch = self._inputs.seed, range(step, step + 1), self._task.batch_size
        for built, dropout in self._fed:
            (mask,) = dropout_masks(built, seed, steps, batch)
            dropout.feed(mask, self._dtype, self._device, in_place=self._mode.captured)

    def _input(self) -> batches.Batches:
        if self._run.input == "pipeline":
            x, y = self._split("train", torch.device("cpu"), self._dtype)
            return batches.piped(x, y, self._inputs.batches, self._device)
        return batches.resident(
            *self._split("train", self._device, self._dtype), self._inputs.batches
        )

    def _split(self, split: str, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Features in the run's dtype, targets in this one."""
        key = (split, device, dtype)
        if key not in self._held:
            task, shape, data = self._task, self._output_shape, self._inputs.data
            make = partial(losses.prepared, task, shape, data.splits[split].y, dtype)
            kind = (task.loss, task.label_smoothing, shape, dtype)
            x = batches.features(data, split, task.input_shape, self._dtype, device)
            self._held[key] = x, batches.labels(data, split, kind, make, device)
        x, y = self._held[key]
        return x.value, y.value

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Counts the programs that are compiled inside."""
        before = modes.programs() if self._mode.compiled else 0
        yield
        if self._mode.compiled:
            self._compilations += modes.programs() - before

    @contextmanager
    def _unmoved(self) -> Iterator[None]:
        """Running statistics and native dropout's generator stay as they were."""
        with self._model.unmoved(), torch.random.fork_rng(self._gpus, enabled=self._draws):
            yield


class UpdateProbe:
    """The run's optimizer on twins of the model's tensors, which keep the gradients of one batch.

    The update includes clipping and decoupled decay; the learning rate is 0. Neither the model's
    tensors nor its own optimizer's state are touched, not even by rules that move without a
    learning rate (Rprop) or by corrections that scale the state.
    """

    def __init__(
        self,
        run: RunSpec,
        inputs: RunInputs,
        tensors: Mapping[str, Tensor],
        kernels: Sequence[Tensor],
        layouts: Sequence[Layout],
    ) -> None:
        named = {n: tensor.detach().clone().requires_grad_() for n, tensor in tensors.items()}
        twins = list(named.values())
        twin_of = {id(tensor): named[name] for name, tensor in tensors.items()}
        twin_kernels = [twin_of[id(kernel)] for kernel in kernels]
        self._updater = updater_of(run, inputs, named, layouts)
        self._updater.rest()
        # After the updater, which drops gradients if it makes the optimizer's state beforehand.
        for twin, tensor in zip(twins, tensors.values(), strict=True):
            twin.grad = None if tensor.grad is None else tensor.grad.clone()
        self._before_update = losses.before_update(run.task.regularization, twins, twin_kernels)

    def take(self, steps: range) -> None:
        """The updates of these steps, as `train` makes them."""
        updater, before_update = self._updater, self._before_update
        for step in steps:
            if before_update:
                before_update(0.0)
            updater.step(step)

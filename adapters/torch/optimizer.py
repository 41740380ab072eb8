"""torch.optim classes driven step by step, with learning rates and corrections."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from gradrace.adapter import Unsupported
from gradrace.adapters.held_arrays import HeldArrays, held_arrays
from gradrace.adapters.torch.graph import add, entry, multiply, on_host, table
from gradrace.adapters.torch.layers import Layout
from gradrace.adapters.torch.modes import MODES, Mode
from gradrace.adapters.torch.pieces import CanonicalStorage
from gradrace.adapters.torch.stepping.making import has_switches, set_rate
from gradrace.adapters.torch.stepping.training import Watched, new_optimizer, recipe_for
from gradrace.binding import Bound, bind
from gradrace.optimizer import Optimizer
from gradrace.plugins.places import made
from gradrace.spec import RunSpec
from torch import Tensor

RATE_HINT = "torch classes take the learning rate as `lr`"
_WITHOUT_ARRAYS = (torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Generator)


class Updater:
    """torch's own optimizer of these tensors, with the run's rule, corrections and learning rates.

    tensors: by canonical name; layouts: theirs. A rule that depends on storage gets twins of the
    tensors in canonical layout. In a mode that captures the step, all numbers that change from step
    to step are read on the device.
    """

    def __init__(
        self,
        run: RunSpec,
        optimizer: Optimizer,
        tensors: Mapping[str, Tensor],
        rates: np.ndarray,
        layouts: Sequence[Layout],
    ) -> None:
        self._run, self._declared, self._tensors = run, optimizer, list(tensors.values())
        bound = bind(run, optimizer, rates)
        twins = CanonicalStorage(self._tensors, layouts) if bound.canonical_storage else None
        self._storage = twins
        self._held = dict(zip(tensors, twins.twins if twins else self._tensors, strict=True))
        mode = MODES[run.mode]
        self._on = self._tensors[0].device if mode.captured else None
        # The rates of a plateau are not known in advance.
        self._moves = run.schedule.kind == "plateau" or len(set(bound.learning_rates)) > 1
        self.optimizer: Any
        # Whether the class evaluates the loss itself, and so needs a closure; whether it needs
        # gradients that can be differentiated once more.
        self.asks_for_loss, self.curved = bound.asks_for_loss, False
        self._watched: Watched | None = None
        if optimizer.imported:
            self._import(bound, mode)
        else:
            self.optimizer = _optimizer(bound, list(self._held.values()), mode, self._moves)
            _check_step(self.optimizer, self.asks_for_loss)
            self._switches = has_switches(self.optimizer)
            # Instead of the loss, a class of ours may need gradients that can be differentiated.
            self.curved = getattr(self.optimizer, "curved", False) is True
            self.asks_for_loss = self.asks_for_loss and not self.curved
            if self.curved and mode.compiled:
                name = type(self.optimizer).__name__
                raise Unsupported(
                    f"{name} needs second derivatives, which torch.compile does not give"
                )
        # Whether its update cannot be timed apart: it evaluates the loss on its way, or learns from
        # how gradients change, so that equal ones make another, shorter step.
        lbfgs = isinstance(self.optimizer, torch.optim.LBFGS)
        self.inseparable = self.asks_for_loss or self.curved or lbfgs
        self._evaluation, self.stepped = bound.evaluation, False
        if self._switches:
            self.optimizer.train()
        self._follow(bound)

    def _import(self, bound: Bound, mode: Mode) -> None:
        """Makes the class of an import path, in the way that it takes."""
        recipe = recipe_for(self._run, self._declared, bound)
        self.optimizer = new_optimizer(recipe, self._run, self._held, mode, float(bound.base_rate))
        self.asks_for_loss = recipe.drive == "step(closure)"
        self.curved = recipe.drive == "backward(create_graph=True), step()"
        self._switches = recipe.switches
        self._watched = Watched(self.optimizer, self._held)

    def set_learning_rates(self, rates: np.ndarray) -> None:
        """Replaces the whole table float64[steps], and the corrections that follow from it."""
        self._follow(bind(self._run, self._declared, rates))

    def _follow(self, bound: Bound) -> None:
        self.rates = table(bound.learning_rates, self._on)
        corrected = bound.hyper_tables or bound.state_tables
        self._corrections = _Corrections(self.optimizer, bound, self._on) if corrected else None

    def rest(self) -> None:
        """Sets every learning rate to 0; corrections stay. Some imported classes divide by it, so
        theirs is one that hardly moves a weight."""
        self.rates = [1e-10 if self._watched else 0.0] * len(self.rates)

    @property
    def zero_grad(self) -> Callable[[], None]:
        """Drops the gradients of the step before. Without twins, the optimizer's own method."""
        own: Callable[[], None] | None = getattr(self.optimizer, "zero_grad", None)
        return self._drop if self._storage is not None or own is None else own

    def _drop(self) -> None:
        for tensor in self._tensors:
            tensor.grad = None

    def step(self, step: int | Tensor, closure: Callable[[], Tensor] | None = None) -> None:
        """Update number `step`, counted from 0, with the tensors' gradients.

        step: int64[1] on the device if the step is captured. closure: evaluates the loss and its
        gradients anew, for a class that asks for it.
        """
        # `entry` costs two calls more.
        rate = self.rates[step] if type(step) is int else entry(self.rates, step)
        if self._watched:
            # Its groups may lie in an optimizer inside it, and have another name for the rate.
            set_rate(self.optimizer, rate)
        else:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        if self._corrections:
            self._corrections.apply(step)
        self.stepped = True
        if self._storage is not None:
            self._storage.gather()
        if closure is not None:
            self.optimizer.step(self._wrapped(closure))
        else:
            self.optimizer.step()
        if self._storage is not None:
            self._storage.scatter()
        if self._watched:
            self._watched.stepped()

    def _wrapped(self, closure: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """The closure, for a class that moves the tensors between its calls."""
        storage = self._storage
        if storage is None:
            # A class may forget to turn gradients on.
            return torch.enable_grad()(lambda: closure().detach())

        def through_storage() -> Tensor:
            storage.scatter()
            loss = closure()
            storage.gather()
            return loss

        return through_storage

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Inside, the tensors hold the weights to evaluate; afterwards their own, bit for bit.

        Uses the binding's function, or the methods eval() and train() of a class that has both.
        """
        if not self.stepped or (self._evaluation is None and not self._switches):
            # Before the first step, which makes the state, there is one set of weights.
            yield
            return
        with torch.no_grad(), self._storage.seen() if self._storage else nullcontext():
            kept = {name: tensor.detach().clone() for name, tensor in self._held.items()}
            try:
                if self._evaluation is not None:
                    self._set(self._checked(self._evaluation(self._state(), _copied(kept))))
                else:
                    self.optimizer.eval()
                if self._storage is not None:
                    self._storage.scatter()
                yield
            finally:
                if self._evaluation is None:
                    self.optimizer.train()
                # train() alone would round.
                self._set(kept)

    def _set(self, values: Mapping[str, Tensor]) -> None:
        for name, tensor in self._held.items():
            tensor.detach().copy_(values[name])

    def _checked(self, found: Any) -> Mapping[str, Tensor]:
        """ValueError unless it holds a tensor of the right shape for each parameter."""
        label = self._declared.bindings[self._run.framework].evaluation
        if not isinstance(found, Mapping) or found.keys() != self._held.keys():
            raise ValueError(
                f"evaluation {label} must return a tensor for each of {', '.join(self._held)}"
            )
        for name, tensor in self._held.items():
            shape = getattr(found[name], "shape", None)
            if shape != tensor.shape:
                raise ValueError(
                    f"evaluation {label}: {name} has shape {list(tensor.shape)}, not"
                    f" {shape and list(shape)}"
                )
        return found

    def _state(self) -> dict[str, Any]:
        """A copy of `Optimizer.state_dict()`, with canonical names for indices."""
        names = {id(tensor): name for name, tensor in self._held.items()}
        own = self.optimizer.state
        groups = [
            {**_copied(_settings(group)), "params": [names[id(p)] for p in group["params"]]}
            for group in self.optimizer.param_groups
        ]
        state = {name: _copied(dict(own.get(each, {}))) for name, each in self._held.items()}
        return {"state": state, "param_groups": groups}

    @property
    def set_each_step(self) -> set[str]:
        """Keys of the optimizer's parameter groups that get a value before every step."""
        return {"lr", *(self._corrections.hypers if self._corrections else ())}

    def on_host(self) -> dict[str, str]:
        """What the optimizer keeps on the host, see `graph.on_host`."""
        return on_host(self.optimizer, self.set_each_step)

    def moved(self) -> list[Tensor]:
        """All tensors that a step moves: those that are trained, and the optimizer's own.
        Unsupported if some may be missing."""
        own = self._own_arrays([])
        if not own.whole:
            raise Unsupported(
                "the state of its optimizer cannot be looked into, so that the steps before the"
                " capture of a CUDA graph could not be undone"
            )
        return [*self._tensors, *self._held.values(), *own.arrays]

    def _own_arrays(self, gradients: list[Tensor]) -> HeldArrays:
        """The optimizer's arrays but for the parameters and these gradients."""
        own = {**vars(self.optimizer), "param_groups": None, "defaults": None}
        groups = [_settings(group) for group in getattr(self.optimizer, "param_groups", ())]
        # Some classes hang their buffers on the parameters.
        hung = [vars(tensor) for tensor in self._held.values()]
        but = [*self._tensors, *self._held.values(), *gradients]
        return held_arrays([own, groups, hung], torch.is_tensor, but, _WITHOUT_ARRAYS)

    def state_bytes(self) -> int | None:
        """See gradrace.adapter.Session."""
        tensors = [*self._tensors, *self._held.values()]
        gradients = [tensor.grad for tensor in tensors if tensor.grad is not None]
        but = [*tensors, *gradients]
        found = self._own_arrays(gradients)
        apart = {_memory(tensor): tensor for tensor in found.arrays if tensor.dim()}
        for tensor in but:
            apart.pop(_memory(tensor), None)
        total = sum(tensor.numel() * tensor.element_size() for tensor in apart.values())
        known = found.whole and (total or (self.stepped and not self._keeps_arrays()))
        return total if known else None

    def _keeps_arrays(self) -> bool:
        """Whether the reference rule has a state: a class without one then hides it."""
        rule = self._declared.rule
        if rule is None:
            return False
        state = rule.init(np.zeros((2, 2)), self._declared.hypers(self._run.optimizer.hyper))
        return any(np.ndim(value) for value in state.values())


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter group without its parameters."""
    return {key: value for key, value in group.items() if key != "params"}


def _memory(tensor: Tensor) -> tuple[Any, ...]:
    """Equal for two views of the same memory."""
    if tensor.layout is not torch.strided:
        return (id(tensor),)
    return tensor.data_ptr(), tensor.numel(), tensor.dtype


def _copied(value: Any) -> Any:
    """New containers and tensors; other objects stay the same."""
    if torch.is_tensor(value):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copied(entry) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_copied(entry) for entry in value)
    return value


def _check_step(optimizer: torch.optim.Optimizer, asks_for_loss: bool) -> None:
    """ValueError if `step` cannot be called as the binding says."""
    try:
        signature = inspect.signature(optimizer.step)
    except (TypeError, ValueError):
        # Written in C: the call itself raises.
        return
    try:
        signature.bind(*([None] if asks_for_loss else []))
    except TypeError as error:
        name = f"{type(optimizer).__name__}.step"
        if asks_for_loss:
            raise ValueError(
                f"{name} takes no closure, but its Binding says asks_for_loss=True"
            ) from error
        raise ValueError(
            f"{name} cannot be called without arguments ({error}); a class that evaluates the loss"
            " itself needs asks_for_loss=True in its Binding"
        ) from error


class _Corrections:
    """Applies the canonical rule's corrections before each step; see gradrace.optimizer."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, bound: Bound, on: torch.device | None
    ) -> None:
        """on: the device that holds the tables, None for the host."""
        self._optimizer = optimizer
        self.hypers = {name: table(values, on) for name, values in bound.hyper_tables.items()}
        self._affines = {
            name: (table(affine.scale, on), table(affine.shift, on))
            for name, affine in bound.state_tables.items()
        }
        # Whether a buffer stays as the class makes it, as zeros, if that happens in this step.
        self._unshifted = {name: affine.shift == 0.0 for name, affine in bound.state_tables.items()}
        self._check_hypers()
        if bound.state_tables and not optimizer.state and hasattr(optimizer, "_init_group"):
            make_state(optimizer)
        self._buffers: dict[str, list[Tensor]] = {}

    def _check_hypers(self) -> None:
        for group in self._optimizer.param_groups:
            for name in self.hypers:
                if name not in group:
                    known = ", ".join(key for key in group if key != "params")
                    raise ValueError(
                        f"corrections: {type(self._optimizer).__name__} has no {name!r} in its"
                        f" param_groups (known: {known})"
                    )

    def apply(self, step: int | Tensor) -> None:
        for group in self._optimizer.param_groups:
            for name, values in self.hypers.items():
                group[name] = entry(values, step)
        for name, (scales, shifts) in self._affines.items():
            # A number on the device cannot be asked; without a state it is that of the first step.
            host = 0 if isinstance(step, Tensor) else step
            if not self._optimizer.state and self._unshifted[name][host]:
                # The class makes its buffers in its first step, as zeros.
                continue
            buffers = self._buffers.get(name) or self._find(name)
            multiply(buffers, entry(scales, step))
            add(buffers, entry(shifts, step))

    def _find(self, name: str) -> list[Tensor]:
        states = list(self._optimizer.state.values())
        if not states or not all(torch.is_tensor(state.get(name)) for state in states):
            label = type(self._optimizer).__name__
            known = sorted({str(key) for state in states for key in state}) or [
                "nothing before its first step"
            ]
            raise ValueError(
                f"corrections: the state of {label} has no {name!r} (known: {', '.join(known)})"
            )
        self._buffers[name] = [state[name] for state in states]
        return self._buffers[name]


def make_state(optimizer: torch.optim.Optimizer) -> None:
    """Makes the state that torch makes in the first step, by the method of all torch.optim classes.

    A step with zero gradients would leave traces (epsilon in Adamax's norm, 0 / 0 in RMSprop's
    momentum).
    """
    # torch's base class does not declare it.
    init_group = getattr(optimizer, "_init_group")  # noqa: B009
    lists = len(inspect.signature(init_group).parameters) - 1
    for group in optimizer.param_groups:
        for tensor in group["params"]:
            tensor.grad = torch.zeros_like(tensor)
        init_group(group, *([] for _ in range(lists)))
    optimizer.zero_grad()


def _optimizer(
    bound: Bound, parameters: list[Tensor], mode: Mode, rates_move: bool
) -> torch.optim.Optimizer:
    """The class at its own choice of implementation; if asked to and possible, its fused form.

    rates_move: the learning rate is not the same at every step. A step that is captured then reads
    it on the device, and so needs an implementation that can.
    """
    known = inspect.signature(bound.make).parameters
    fused = mode.fused and "fused" in known
    chosen = {"fused": True} if fused else {}
    if mode.captured:
        # Fused kernels take a rate on the device as float32, and other hyperparameters from the
        # host.
        inexact = rates_move and parameters[0].dtype == torch.float64
        if fused and (inexact or bound.hyper_tables):
            chosen = {}
        wanted = ["capturable", *([] if chosen else ["foreach"])]
        chosen |= {name: True for name in wanted if name in known}
    given = {"lr": float(bound.base_rate), **chosen, **bound.arguments}
    return made(bound.make, "lr", RATE_HINT, (parameters,), given)

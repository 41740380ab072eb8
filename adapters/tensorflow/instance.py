"""Keras' optimizers stepped by hand, see gradrace.stepping.instance."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapters.calls import Call, distribution_of, imported_class, said
from gradrace.adapters.tensorflow.layers import array_of
from gradrace.adapters.tensorflow.making import KerasFactory, factory, floatx, in_doubles
from gradrace.adapters.tensorflow.script import script_of
from gradrace.errors import UserError
from gradrace.importpath import ImportPath
from gradrace.plan import Weights
from gradrace.stepping.instance import Gradients, MakerFacts, Making, NotApplicable
from gradrace.stepping.scenario import Scenario

Array = np.ndarray
# The rate with which it is tried out.
_RATE = 1e-3
_STEPS = 3


def maker(path: ImportPath, hyper: Mapping[str, Any]) -> KerasMaker:
    """See gradrace.stepping.instance.CertifyingAdapter."""
    made = KerasMaker(factory(imported_class(path), hyper), dict(hyper))
    made.factory.check(hyper)
    return replace(made, matrices_only=_matrices_only(made))


@dataclass(frozen=True)
class KerasMaker:
    """See gradrace.stepping.instance.Maker."""

    factory: KerasFactory
    hyper: Mapping[str, Any]
    matrices_only: bool = False

    def facts(self) -> MakerFacts:
        imported, inner = self.factory.imported, self.factory.inner
        doubles = "in float64 its numbers are np.float64, as Keras takes floats for float32"
        return MakerFacts(
            label=imported.path.dotted,
            distribution=distribution_of(imported.make),
            rate_argument=self.factory.rate_argument,
            defaults=imported.defaults,
            drive=f"apply(), eagerly; {doubles}",
            inner=", ".join(each.path.dotted for each in inner.values()),
            matrices_only=self.matrices_only,
        )

    def variants(self) -> tuple[str, ...]:
        return ("graph", "compiled")

    def make(self, start: Weights, making: Making) -> KerasInstance:
        if making.resting:
            raise NotApplicable("Keras' optimizers have one learning rate")
        if making.strided:
            raise NotApplicable("TensorFlow's tensors are contiguous")
        return KerasInstance(self.call(making), start, making)

    def call(self, making: Making) -> Call:
        """The call that makes an optimizer."""
        call = self.factory.call(making.rate, {**self.hyper, **making.hyper})
        return in_doubles(call) if making.dtype == "float64" else call

    def script(self, scenario: Scenario) -> str:
        return script_of(self.call(scenario.making), scenario)


class KerasInstance:
    """See gradrace.stepping.instance.Instance."""

    def __init__(self, call: Call, start: Weights, making: Making) -> None:
        self._dtype, self._given = making.dtype, dict[str, tf.Tensor | None]()
        with floatx(self._dtype):
            self._variables = {
                name: keras.Variable(np.asarray(value), dtype=self._dtype, name=_plain(name))
                for name, value in start.items()
            }
            self._optimizer = call.made()
            self._optimizer.build(list(self._variables.values()))
        self._apply: Callable[[list[Any]], None] = self._applied
        if making.variant:
            compiled = making.variant == "compiled"
            self._apply = tf.function(self._applied, autograph=False, jit_compile=compiled)

    def step(self, gradients: Gradients) -> None:
        with floatx(self._dtype):
            self._given = {
                name: None if gradients.get(name) is None else self._tensor(gradients[name])
                for name in self._variables
            }
            self._apply(list(self._given.values()))

    def _applied(self, gradients: list[Any]) -> None:
        # As a user's loss is scaled, if the optimizer asks for that.
        scaled = [each if each is None else self._optimizer.scale_loss(each) for each in gradients]
        self._optimizer.apply(scaled, list(self._variables.values()))

    def _tensor(self, value: Any) -> tf.Tensor:
        return tf.cast(tf.constant(np.asarray(value, np.float64)), self._dtype)

    def weights(self) -> Weights:
        return {name: _float64(variable) for name, variable in self._variables.items()}

    def evaluated(self) -> Weights:
        """After finalize_variable_values, which puts averages in their place (use_ema)."""
        variables = list(self._variables.values())
        kept = [tf.identity(variable.value) for variable in variables]
        with floatx(self._dtype):
            self._optimizer.finalize_variable_values(variables)
        found = self.weights()
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)
        return found

    def set_rate(self, rate: float) -> None:
        with floatx(self._dtype):
            self._optimizer.learning_rate = rate

    def state(self) -> Mapping[str, Array]:
        """Its variables, but for the learning rate's."""
        rates = {id(each) for each in _rates(self._optimizer)}
        held = [each for each in self._optimizer.variables if id(each) not in rates]
        return {name: array_of(each.value) for name, each in self._named(held)}

    def _named(self, held: Sequence[keras.Variable]) -> Iterator[tuple[str, keras.Variable]]:
        """ "kernel.momentum" for adam/kernel_momentum; a name that comes again with a number."""
        seen: dict[str, int] = {}
        for variable in held:
            # Keras numbers the variables that nobody named.
            name = self._readable(re.sub(r"^variable_\d+$", "variable", variable.name))
            seen[name] = seen.get(name, 0) + 1
            yield (name if seen[name] == 1 else f"{name}.{seen[name]}"), variable

    def _readable(self, name: str) -> str:
        fitting = [tensor for tensor in self._variables if name.startswith(f"{_plain(tensor)}_")]
        if not fitting:
            return name
        tensor = max(fitting, key=len)
        return f"{tensor}.{name[len(tensor) + 1 :]}"

    def gradients(self) -> Gradients:
        return {name: None if g is None else _array64(g) for name, g in self._given.items()}

    def save(self) -> bytes:
        """By save_own_variables, as Keras' model files have it."""
        store: dict[str, Any] = {}
        self._optimizer.save_own_variables(store)
        for name, value in store.items():
            # NumPy's files lack bfloat16; no number of it is lost in float32.
            kept = np.float32 if "bfloat16" in str(value.dtype) else value.dtype
            store[name] = np.asarray(value, kept)
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **store)
        return file.getvalue()

    def load(self, saved: bytes) -> None:
        with np.load(io.BytesIO(saved)) as store, floatx(self._dtype):
            self._optimizer.load_own_variables(dict(store))


def _matrices_only(made: KerasMaker) -> bool:
    """Tried out on a matrix, and on a vector beside it. UserError if no step can be taken."""
    matrix = {"kernel": np.linspace(-1.0, 1.0, 6).reshape(3, 2)}
    try:
        _try(made, {**matrix, "bias": np.linspace(-1.0, 1.0, 2)})
    except (UserError, ImportError):
        raise
    except Exception as error:
        try:
            _try(made, matrix)
        except Exception:
            raise UserError(_reason(made, error)) from error
        return True
    return False


def _reason(made: KerasMaker, error: Exception) -> str:
    path = made.factory.imported.path
    if isinstance(error, NotImplementedError):
        return f"{path} is abstract: it has no update_step; name a class that has one"
    return f"{path} cannot take a step: {said(error)}"


def _try(made: KerasMaker, start: Weights) -> None:
    instance = made.make(start, Making(_RATE, dtype="float32"))
    for _ in range(_STEPS):
        instance.step(start)


def _rates(optimizer: Any) -> Iterator[Any]:
    """The variables that hold learning rates."""
    for each in (optimizer, getattr(optimizer, "inner_optimizer", None)):
        yield getattr(each, "_learning_rate", None)


def _plain(name: str) -> str:
    return name.replace(".", "_").replace("/", "_")


def _float64(variable: keras.Variable) -> Array:
    return _array64(variable.value)


def _array64(tensor: Any) -> Array:
    return np.array(tf.cast(tensor, tf.float64))

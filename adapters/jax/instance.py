"""Optax' optimizers stepped by hand, see gradrace.stepping.instance."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gradrace.adapters.calls import distribution_of, imported_class
from gradrace.adapters.jax.extra import extra_of, stepped
from gradrace.adapters.jax.making import OptaxFactory, call_of, factory
from gradrace.adapters.jax.optimizer import Parameters
from gradrace.adapters.jax.schedule_free import evaluated
from gradrace.adapters.jax.script import script_of
from gradrace.importpath import ImportPath
from gradrace.plan import Weights
from gradrace.spec import Dtype
from gradrace.stepping.instance import Gradients, MakerFacts, Making, NotApplicable
from gradrace.stepping.scenario import Scenario

Array = np.ndarray
Step = Callable[[Parameters, Any, Parameters], tuple[Parameters, Any]]


def maker(path: ImportPath, hyper: Mapping[str, Any]) -> OptaxMaker:
    """See gradrace.stepping.instance.CertifyingAdapter."""
    made = factory(imported_class(path), hyper)
    made.check(hyper)
    extra, matrices_only = extra_of(made, hyper)
    return OptaxMaker(made, dict(hyper), extra, matrices_only)


@dataclass(frozen=True)
class OptaxMaker:
    """See gradrace.stepping.instance.Maker. extra: names of the update's extra arguments."""

    factory: OptaxFactory
    hyper: Mapping[str, Any]
    extra: tuple[str, ...] = ()
    matrices_only: bool = False
    _kept: dict[str, _Compiled] = field(default_factory=dict, compare=False)

    def facts(self) -> MakerFacts:
        imported, inner = self.factory.imported, self.factory.inner
        return MakerFacts(
            label=imported.path.dotted,
            distribution=distribution_of(imported.make),
            rate_argument=imported.rate_argument,
            defaults=imported.defaults,
            drive=self._drive(),
            inner=", ".join(each.path.dotted for each in inner.values()),
            matrices_only=self.matrices_only,
        )

    def _drive(self) -> str:
        given = ", ".join(["gradients", "state", "tensors", *self.extra])
        chained = "; chained with optax.scale_by_learning_rate, as it has no learning rate"
        return f"jit of update({given})" + (chained if self.factory.chained else "")

    def variants(self) -> tuple[str, ...]:
        return ("op by op",)

    def make(self, start: Weights, making: Making) -> OptaxInstance:
        if making.resting:
            raise NotApplicable("an Optax optimizer has no parameter groups")
        if making.strided:
            raise NotApplicable("JAX' arrays are contiguous")
        return OptaxInstance(partial(self.compiled, making), start, making)

    def compiled(self, making: Making, rate: float) -> _Compiled:
        """The same for equal arguments, so that XLA compiles it once."""
        hyper = {**self.hyper, **making.hyper}
        key = f"{rate!r} {sorted(hyper.items())!r} {making.variant}"
        if key not in self._kept:
            made = self.factory(rate, **hyper)
            step = partial(stepped, made, self.extra)
            self._kept[key] = _Compiled(made.init, step if making.variant else jax.jit(step))
        return self._kept[key]

    def script(self, scenario: Scenario) -> str:
        hyper = {**self.hyper, **scenario.making.hyper}
        return script_of(lambda rate: call_of(self.factory, rate, hyper), self.extra, scenario)


@dataclass(frozen=True)
class _Compiled:
    init: Callable[[Parameters], Any]
    step: Step


class OptaxInstance:
    """See gradrace.stepping.instance.Instance."""

    def __init__(
        self, compiled: Callable[[float], _Compiled], start: Weights, making: Making
    ) -> None:
        self._compiled, self._dtype, self._rate = compiled, making.dtype, making.rate
        self._given: Gradients = {}
        with _precision(self._dtype):
            self._tensors = self._placed(start)
            self._state = compiled(self._rate).init(self._tensors)

    def step(self, gradients: Gradients) -> None:
        given = {name: gradients.get(name) for name in self._tensors}
        present = {name: value for name, value in given.items() if value is not None}
        if len(present) < len(given):
            raise NotApplicable("Optax takes a gradient for every tensor")
        with _precision(self._dtype):
            placed = self._placed(present)
            step = self._compiled(self._rate).step
            self._tensors, self._state = step(placed, self._state, self._tensors)
            self._given = {name: _float64(value) for name, value in placed.items()}

    def _placed(self, arrays: Weights) -> Parameters:
        return {
            name: jnp.asarray(np.asarray(value, np.float64), self._dtype)
            for name, value in arrays.items()
        }

    def weights(self) -> Weights:
        return {name: _float64(value) for name, value in self._tensors.items()}

    def evaluated(self) -> Weights:
        with _precision(self._dtype):
            found = evaluated(self._state, self._tensors)
            return {name: _float64(value) for name, value in found.items()}

    def set_rate(self, rate: float) -> None:
        """A transformation of another rate goes on with the state."""
        self._rate = rate

    def state(self) -> Mapping[str, Array]:
        leaves, _ = jax.tree_util.tree_flatten_with_path(self._state)
        found: dict[str, Array] = {}
        for path, leaf in leaves:
            name = _readable(path, self._tensors)
            # Two parts of a chain may have the same names.
            found[name if name not in found else _whole(path)] = _shown(leaf)
        return found

    def gradients(self) -> Gradients:
        return dict(self._given)

    def save(self) -> bytes:
        """The leaves of the state's tree."""
        leaves = [_bits(leaf) for leaf in jax.tree.leaves(self._state)]
        file = io.BytesIO()
        np.savez(file, *leaves, allow_pickle=False)
        return file.getvalue()

    def load(self, saved: bytes) -> None:
        leaves, structure = jax.tree.flatten(self._state)
        with np.load(io.BytesIO(saved)) as store, _precision(self._dtype):
            arrays = [store[name] for name in store.files]
            pairs = zip(leaves, arrays, strict=True)
            self._state = jax.tree.unflatten(structure, [_restored(*pair) for pair in pairs])


def _precision(dtype: Dtype) -> Any:
    return jax.enable_x64(dtype == "float64")


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _shown(leaf: Any) -> Array:
    """A copy; bfloat16, which NumPy lacks, as float32."""
    array = np.array(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    return array.astype(np.float32) if array.dtype == jnp.bfloat16 else array


def _bits(leaf: Any) -> Array:
    array = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    return array.view(np.uint16) if array.dtype == jnp.bfloat16 else array


def _restored(like: Any, saved: Array) -> Any:
    if _is_key(like):
        return jax.random.wrap_key_data(jnp.asarray(saved), impl=jax.random.key_impl(like))
    dtype = np.asarray(like).dtype
    array = saved.view(dtype) if dtype == jnp.bfloat16 else saved
    return jnp.asarray(array, dtype)


def _readable(path: Any, tensors: Mapping[str, Any]) -> str:
    """ "kernel.mu": the tensor's name first, places in tuples left out."""
    parts = [_part(entry) for entry in path if not hasattr(entry, "idx")]
    own = [part for part in parts if part in tensors]
    return ".".join([*own, *(part for part in parts if part not in tensors)]) or _whole(path)


def _whole(path: Any) -> str:
    return ".".join(_part(entry) for entry in path) or "state"


def _part(entry: Any) -> str:
    keys = (getattr(entry, kind, None) for kind in ("name", "key", "idx"))
    return str(next(key for key in keys if key is not None))


def _float64(value: Any) -> Array:
    return np.array(value).astype(np.float64)

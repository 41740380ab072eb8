"""Every canonical layer as a Keras layer, its parameters' places, and the layers that Keras lacks.

Keras computes the canonical function except: GRU gates stand in the order z, r, h and have a
second bias; constants of leaky_relu and gelu are float32 whatever the tensors are; there is no
weight normalisation.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from gradrace import layers as kinds
from gradrace.layers import LEAKY_SLOPE, BuiltLayer
from gradrace.objective import Amounts, fed_dropouts, scale_of
from gradrace.plan import Weights

Array = np.ndarray
Masks = Mapping[str, tf.Tensor]


class Slot(NamedTuple):
    """A parameter in Keras. `swap`: an array from canonical to Keras' layout, and the way back."""

    variable: keras.Variable
    swap: Callable[[Array], Array]
    kernel: bool


class KerasNetwork:
    """Keras layers one after another: the graph of a keras.Sequential, plus masks of dropout."""

    def __init__(
        self,
        layers: Sequence[BuiltLayer],
        dtype: str,
        device: str,
        table: Mapping[type, Kind] | None = None,
    ) -> None:
        """table: LAYERS by default."""
        table = table or LAYERS
        self._layers = [(built, _built(table, built, dtype, device)) for built in layers]
        self._fed = {built.name for built in fed_dropouts(layers)}
        self._slots = {
            name: slot
            for built, layer in self._layers
            for name, slot in _slots(built, layer).items()
        }
        self.trainable_names = [
            p.name for built, _ in self._layers for p in built.parameters if p.trainable
        ]
        self.trainable_variables = [self._slots[name].variable for name in self.trainable_names]
        self.kernels = [slot.variable for slot in self._slots.values() if slot.kernel]

    def __call__(self, x: tf.Tensor, training: bool, masks: Masks, amounts: Amounts) -> tf.Tensor:
        """x[n, *input_shape] -> outputs; in training, batch statistics move on.

        masks: layer's name -> bool[n, ...].
        """
        for built, layer in self._layers:
            if built.name not in self._fed:
                x = layer(x, training=training)
            elif training:
                x = _masked(x, masks[built.name], amounts[scale_of(built.name)])
        return x

    def variable(self, name: str) -> keras.Variable:
        """Of the parameter of this canonical name."""
        return self._slots[name].variable

    def load(self, weights: Weights) -> None:
        """Sets every parameter, state included, from canonical arrays."""
        for name, slot in self._slots.items():
            slot.variable.assign(slot.swap(weights[name]).astype(slot.variable.dtype))

    def weights(self) -> dict[str, Array]:
        """Canonical name -> a copy of the present value, state included."""
        return {n: slot.swap(array_of(slot.variable.value)) for n, slot in self._slots.items()}

    def canonical(self, values: Mapping[int, tf.Tensor]) -> dict[str, Array]:
        """Other values of the variables, by their ids, as `weights` gives them."""
        return {n: s.swap(array_of(values[id(s.variable)])) for n, s in self._slots.items()}

    def gradients(self, gradients: Iterable[tf.Tensor]) -> dict[str, Array]:
        """Those by the trainable variables, in their order, as canonical arrays by name."""
        named = zip(self.trainable_names, gradients, strict=True)
        return {name: self._slots[name].swap(array_of(gradient)) for name, gradient in named}

    @contextmanager
    def unmoved(self) -> Iterator[None]:
        """Batch statistics and generators of dropout stay as they were, whatever runs inside."""
        moving = self.moving_variables
        before = [tf.identity(variable.value) for variable in moving]
        yield
        for variable, value in zip(moving, before, strict=True):
            variable.assign(value)

    @property
    def moving_variables(self) -> list[keras.Variable]:
        """Those that a forward pass in training moves: batch statistics, generators of dropout."""
        trained = {id(variable) for variable in self.trainable_variables}
        variables = [slot.variable for slot in self._slots.values()]
        moving = [variable for variable in variables if id(variable) not in trained]
        return [*moving, *self._generators().values()]

    def seed(self, seed: int) -> None:
        """Starts the generators of Keras' own dropout by the seed and each layer's name."""
        for name, state in self._generators().items():
            own = np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0]
            state.assign(np.array([own, 0], dtype=np.uint32).astype(state.dtype))

    def _generators(self) -> dict[str, keras.Variable]:
        """Layer's name -> the state of its generator."""
        return {
            built.name: layer.seed_generator.state
            for built, layer in self._layers
            if isinstance(built.layer, kinds.Dropout) and built.layer.rate
        }


def array_of(value: tf.Tensor) -> Array:
    """A copy; bfloat16, which NumPy lacks, as float32."""
    return np.array(tf.cast(value, tf.float32) if value.dtype == tf.bfloat16 else value)


def _masked(x: tf.Tensor, mask: tf.Tensor, scale: Any) -> tf.Tensor:
    """As Keras' own dropout does it, with a mask that is given."""
    return tf.where(mask, x * scale, tf.zeros_like(x))


def _built(table: Mapping[type, Kind], built: BuiltLayer, dtype: str, device: str) -> keras.Layer:
    common = {"name": built.name, "dtype": dtype}
    layer = table[type(built.layer)].make(built.layer, common, device)
    layer.build((None, *built.input_shape))
    return layer


def _slots(built: BuiltLayer, layer: keras.Layer) -> dict[str, Slot]:
    """Canonical name -> the parameter's place."""
    kind = LAYERS[type(built.layer)]
    owner, slots = getattr(layer, "cell", layer), {}
    for parameter in built.parameters:
        own = parameter.name.removeprefix(f"{built.name}.")
        variable = getattr(owner, kind.names.get(own, own))
        slots[parameter.name] = Slot(variable, kind.swap, parameter.role == "kernel")
    return slots


# Layers of our own


class OneBiasGruCell(keras.layers.GRUCell):  # type: ignore[misc]
    """Keras' cell (reset_after) with its second bias held at 0: two would train twice as fast."""

    def build(self, input_shape: Any) -> None:
        self.use_bias = False
        super().build(input_shape)
        self.use_bias = True
        self.input_bias = self.add_weight(shape=(3 * self.units,), name="bias", initializer="zeros")

    @property
    def bias(self) -> tf.Tensor:
        """[2, 3 * units], as Keras and cuDNN want it."""
        bias = tf.convert_to_tensor(self.input_bias.value)
        return tf.stack([bias, tf.zeros_like(bias)])

    @bias.setter
    def bias(self, value: None) -> None:
        assert value is None, "Keras' own bias is not made"


class WeightNormDense(keras.layers.Layer):  # type: ignore[misc]
    """x @ (gain * direction / |direction|) + bias; see gradrace.layers.Dense."""

    def __init__(self, units: int, use_bias: bool, **common: Any) -> None:
        super().__init__(**common)
        self.units, self.use_bias = units, use_bias

    def build(self, input_shape: Any) -> None:
        self.direction = self.add_weight(shape=(input_shape[-1], self.units), name="direction")
        self.gain = self.add_weight(shape=(self.units,), name="gain")
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.units,), name="bias")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        direction = tf.convert_to_tensor(self.direction.value)
        kernel = direction * (self.gain.value / tf.norm(direction, axis=0))
        outputs = keras.ops.matmul(inputs, kernel)
        return outputs + self.bias.value if self.use_bias else outputs


class PointLayer(keras.layers.Layer):  # type: ignore[misc]
    """A function of its own parameters, the same for every sample; see gradrace.layers.Point."""

    def __init__(self, kind: kinds.Point, **common: Any) -> None:
        super().__init__(**common)
        self._kind = kind

    def build(self, input_shape: Any) -> None:
        self.point = self.add_weight(shape=(len(self._kind.start),), name="point")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        value = self._value(tf.convert_to_tensor(self.point.value))
        return tf.fill([tf.shape(inputs)[0], 1], value)

    def _value(self, point: tf.Tensor) -> tf.Tensor:
        kind = self._kind
        if kind.objective != "quadratic":
            return kind.of_two(point[0], point[1], tf.cos)
        curvatures = np.geomspace(1.0, kind.condition, len(kind.start))
        return tf.reduce_sum(tf.constant(curvatures, point.dtype) * tf.square(point)) / 2.0


# The table of layers


class Kind(NamedTuple):
    """How Keras builds a kind of layer: make(layer, common, device), common being name and dtype.

    names: canonical parameters that Keras calls something else. swap: see Slot.
    """

    make: Callable[[Any, Mapping[str, Any], str], keras.Layer]
    names: Mapping[str, str] = {}
    swap: Callable[[Array], Array] = np.asarray


def _dense(kind: kinds.Dense, common: Mapping[str, Any], device: str) -> keras.Layer:
    make = WeightNormDense if kind.weight_norm else keras.layers.Dense
    return make(kind.units, use_bias=kind.bias, **common)


def _conv2d(kind: kinds.Conv2D, common: Mapping[str, Any], device: str) -> keras.Layer:
    sizes = kind.filters, kind.kernel, kind.stride
    return keras.layers.Conv2D(*sizes, kind.padding, use_bias=kind.bias, **common)


def _pool(make: Callable[..., keras.Layer]) -> Kind:
    # TensorFlow leaves padding out of the mean, which is the canonical way.
    return Kind(lambda kind, common, _: make(kind.window, kind.step, kind.padding, **common))


def _batch_norm(kind: kinds.BatchNorm, common: Mapping[str, Any], device: str) -> keras.Layer:
    options = {"momentum": kind.momentum, "epsilon": kind.epsilon, **common}
    return keras.layers.BatchNormalization(**options)


def _group_norm(kind: kinds.GroupNorm, common: Mapping[str, Any], device: str) -> keras.Layer:
    return keras.layers.GroupNormalization(kind.groups, epsilon=kind.epsilon, **common)


def _recurrent(kind: Any, common: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    # The harness sets all weights; Keras' own orthogonal start needs a QR decomposition, which
    # bfloat16 has not.
    return {"return_sequences": kind.sequences, "recurrent_initializer": "zeros", **common, **more}


def _cudnn(device: str) -> Any:
    return "auto" if device == "gpu" else False


def _simple_rnn(kind: kinds.SimpleRnn, common: Mapping[str, Any], device: str) -> keras.Layer:
    return keras.layers.SimpleRNN(kind.units, **_recurrent(kind, common))


def _lstm(kind: kinds.Lstm, common: Mapping[str, Any], device: str) -> keras.Layer:
    return keras.layers.LSTM(kind.units, **_recurrent(kind, common, use_cudnn=_cudnn(device)))


def _gru(kind: kinds.Gru, common: Mapping[str, Any], device: str) -> keras.Layer:
    gru = keras.layers.GRU(kind.units, **_recurrent(kind, common, use_cudnn=_cudnn(device)))
    gru.cell = OneBiasGruCell(kind.units, recurrent_initializer="zeros", dtype=common["dtype"])
    return gru


def _gru_swap(array: Array) -> Array:
    """Columns r, z, n <-> z, r, h."""
    one, two, three = np.split(array, 3, axis=-1)
    return np.concatenate([two, one, three], axis=-1)


def _activation(kind: kinds.Activation, common: Mapping[str, Any], device: str) -> keras.Layer:
    if common["dtype"] == "float64" and kind.function in _FLOAT64:
        return keras.layers.Activation(_FLOAT64[kind.function], **common)
    if kind.function == "leaky_relu":
        return keras.layers.LeakyReLU(LEAKY_SLOPE, **common)
    return keras.layers.Activation(kind.function, **common)


def _leaky_relu(x: tf.Tensor) -> tf.Tensor:
    return tf.where(x > 0.0, x, LEAKY_SLOPE * x)


def _gelu(x: tf.Tensor) -> tf.Tensor:
    return 0.5 * x * (1.0 + tf.math.erf(x * np.sqrt(0.5)))


# TensorFlow's own hold their constants as float32: exact in float32, wrong by 2e-8 and 6e-9 in
# float64.
_FLOAT64: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "leaky_relu": _leaky_relu,
    "gelu": _gelu,
}
_SCALED = {"gain": "gamma", "bias": "beta"}

LAYERS: Mapping[type, Kind] = {
    kinds.Dense: Kind(_dense),
    kinds.Conv2D: Kind(_conv2d),
    kinds.MaxPool2D: _pool(keras.layers.MaxPooling2D),
    kinds.AvgPool2D: _pool(keras.layers.AveragePooling2D),
    kinds.Flatten: Kind(lambda kind, common, _: keras.layers.Flatten(**common)),
    kinds.BatchNorm: Kind(_batch_norm, _SCALED),
    kinds.LayerNorm: Kind(
        lambda kind, common, _: keras.layers.LayerNormalization(epsilon=kind.epsilon, **common),
        _SCALED,
    ),
    kinds.GroupNorm: Kind(_group_norm, _SCALED),
    kinds.Dropout: Kind(lambda kind, common, _: keras.layers.Dropout(kind.rate, seed=0, **common)),
    kinds.Embedding: Kind(
        lambda kind, common, _: keras.layers.Embedding(kind.vocabulary, kind.units, **common),
        {"kernel": "embeddings"},
    ),
    kinds.SimpleRnn: Kind(_simple_rnn),
    kinds.Lstm: Kind(_lstm),
    kinds.Gru: Kind(_gru, {"bias": "input_bias"}, _gru_swap),
    kinds.Activation: Kind(_activation),
    kinds.Point: Kind(lambda kind, common, _: PointLayer(kind, **common)),
}

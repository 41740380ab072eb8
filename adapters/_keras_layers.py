"""Every canonical layer as a Keras layer, with the places of its parameters, and what Keras lacks.

Keras computes the canonical thing except: GRU gates stand in the order z, r, h and have a second
bias; constants of leaky_relu and gelu are float32 whatever the tensors are; there is no weight
normalisation."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from gradrace.layers import (
    LEAKY_SLOPE,
    Activation,
    AvgPool2D,
    BatchNorm,
    BuiltLayer,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Gru,
    LayerNorm,
    Lstm,
    MaxPool2D,
    Point,
    SimpleRnn,
)
from gradrace.objective import Amounts, fed_dropouts, scale_of
from gradrace.plan import Weights

Array = np.ndarray
Masks = Mapping[str, tf.Tensor]

# Canonical names of parameters that Keras calls something else.
_KERAS_NAMES: Mapping[type, Mapping[str, str]] = {
    BatchNorm: {"gain": "gamma", "bias": "beta"},
    LayerNorm: {"gain": "gamma", "bias": "beta"},
    Embedding: {"kernel": "embeddings"},
    Gru: {"bias": "input_bias"},
}


class Held(NamedTuple):
    """A parameter in Keras. `swap` takes an array from the canonical to Keras' layout, and the same
    way back.
    """

    variable: keras.Variable
    swap: Callable[[Array], Array]
    kernel: bool


class Network:
    """Keras layers one after another: the graph of a keras.Sequential, and masks of dropout beside
    the samples.
    """

    def __init__(self, layers: Sequence[BuiltLayer], dtype: str, device: str) -> None:
        self._layers = [(built, _built(built, dtype, device)) for built in layers]
        self._fed = {built.name for built in fed_dropouts(layers)}
        self._held = {
            name: held
            for built, layer in self._layers
            for name, held in _parameters(built, layer).items()
        }
        self.trainable_names = [
            p.name for built, _ in self._layers for p in built.parameters if p.trainable
        ]
        self.trainable_variables = [self._held[name].variable for name in self.trainable_names]
        self.kernels = [held.variable for held in self._held.values() if held.kernel]

    def __call__(self, x: tf.Tensor, training: bool, masks: Masks, amounts: Amounts) -> tf.Tensor:
        """x[n, *input_shape] -> outputs; in training, batch statistics move on. masks: layer's name
        -> bool[n, ...].
        """
        for built, layer in self._layers:
            if built.name not in self._fed:
                x = layer(x, training=training)
            elif training:
                x = _masked(x, masks[built.name], amounts[scale_of(built.name)])
        return x

    def load(self, weights: Weights) -> None:
        """Sets every parameter, state included, from canonical arrays."""
        for name, held in self._held.items():
            held.variable.assign(held.swap(weights[name]).astype(held.variable.dtype))

    def weights(self) -> dict[str, Array]:
        """Canonical name -> a copy of the present value, state included."""
        return {name: held.swap(array_of(held.variable.value)) for name, held in self._held.items()}

    def gradients(self, gradients: Iterable[tf.Tensor]) -> dict[str, Array]:
        """Of the trainable variables, in their order -> canonical."""
        named = zip(self.trainable_names, gradients, strict=True)
        return {name: self._held[name].swap(array_of(gradient)) for name, gradient in named}

    @contextmanager
    def unmoved(self) -> Iterator[None]:
        """What forward passes move, batch statistics and generators of dropout, is set back
        afterwards.
        """
        trainable = {id(variable) for variable in self.trainable_variables}
        held = (held.variable for held in self._held.values())
        moving = [
            *(variable for variable in held if id(variable) not in trainable),
            *self._generators().values(),
        ]
        before = [tf.identity(variable.value) for variable in moving]
        yield
        for variable, value in zip(moving, before, strict=True):
            variable.assign(value)

    def seed(self, seed: int) -> None:
        """Starts the generators of dropout that Keras itself draws, as functions of the seed and
        the layer's name.
        """
        for name, state in self._generators().items():
            own = np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0]
            state.assign(np.array([own, 0], dtype=np.uint32).astype(state.dtype))

    def _generators(self) -> dict[str, keras.Variable]:
        """Layer's name -> the state of its generator."""
        dropouts = (
            (b.name, layer)
            for b, layer in self._layers
            if isinstance(b.layer, Dropout) and b.layer.rate
        )
        return {name: layer.seed_generator.state for name, layer in dropouts}


def array_of(value: tf.Tensor) -> Array:
    """A copy; bfloat16, which NumPy lacks, as float32."""
    return np.array(tf.cast(value, tf.float32) if value.dtype == tf.bfloat16 else value)


def _masked(x: tf.Tensor, mask: tf.Tensor, scale: Any) -> tf.Tensor:
    """As Keras' own dropout does it, with a mask that is given."""
    return tf.where(mask, x * scale, tf.zeros_like(x))


def _built(built: BuiltLayer, dtype: str, device: str) -> keras.Layer:
    layer = _keras_layer(built, {"name": built.name, "dtype": dtype}, device)
    layer.build((None, *built.input_shape))
    return layer


def _keras_layer(built: BuiltLayer, common: Mapping[str, Any], device: str) -> keras.Layer:
    layers, kind = keras.layers, built.layer
    match kind:
        case Dense(weight_norm=True):
            return WeightNormDense(kind.units, kind.bias, **common)
        case Dense():
            return layers.Dense(kind.units, use_bias=kind.bias, **common)
        case Conv2D():
            return layers.Conv2D(
                kind.filters, kind.kernel, kind.stride, kind.padding, use_bias=kind.bias, **common
            )
        case MaxPool2D():
            return layers.MaxPooling2D(kind.window, kind.step, kind.padding, **common)
        case AvgPool2D():
            # TensorFlow leaves the padding out of the mean, which is the canonical way.
            return layers.AveragePooling2D(kind.window, kind.step, kind.padding, **common)
        case Flatten():
            return layers.Flatten(**common)
        case BatchNorm():
            return layers.BatchNormalization(momentum=kind.momentum, epsilon=kind.epsilon, **common)
        case LayerNorm():
            return layers.LayerNormalization(epsilon=kind.epsilon, **common)
        case Dropout():
            return layers.Dropout(kind.rate, seed=0, **common)
        case Embedding():
            return layers.Embedding(kind.vocabulary, kind.units, **common)
        case SimpleRnn() | Lstm() | Gru():
            return _recurrent(kind, common, device)
        case Activation():
            return _activation(kind.function, common)
        case Point():
            return PointLayer(kind, **common)
    raise ValueError(f"no Keras layer for {kind.kind}")


def _recurrent(kind: SimpleRnn | Lstm | Gru, common: Mapping[str, Any], device: str) -> keras.Layer:
    # The harness sets all weights; Keras' own orthogonal start would want a QR decomposition, which
    # bfloat16 has not.
    options = {"return_sequences": kind.sequences, "recurrent_initializer": "zeros", **common}
    if isinstance(kind, SimpleRnn):
        return keras.layers.SimpleRNN(kind.units, **options)
    options["use_cudnn"] = "auto" if device == "gpu" else False
    if isinstance(kind, Lstm):
        return keras.layers.LSTM(kind.units, **options)
    gru = keras.layers.GRU(kind.units, **options)
    gru.cell = OneBiasGruCell(kind.units, recurrent_initializer="zeros", dtype=common["dtype"])
    return gru


class OneBiasGruCell(keras.layers.GRUCell):  # type: ignore[misc]
    """Keras' cell (reset_after) with the bias of the recurrent product held at zero: both would
    train, twice as fast.
    """

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
        outputs = keras.ops.matmul(
            inputs, direction * (self.gain.value / tf.norm(direction, axis=0))
        )
        return outputs + self.bias.value if self.use_bias else outputs


class PointLayer(keras.layers.Layer):  # type: ignore[misc]
    """A function of its own parameters, the same for every sample; see gradrace.layers.Point."""

    def __init__(self, kind: Point, **common: Any) -> None:
        super().__init__(**common)
        self._kind = kind

    def build(self, input_shape: Any) -> None:
        self.point = self.add_weight(shape=(len(self._kind.start),), name="point")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        value = _objective(self._kind, tf.convert_to_tensor(self.point.value))
        return tf.fill([tf.shape(inputs)[0], 1], value)


def _objective(kind: Point, point: tf.Tensor) -> tf.Tensor:
    if kind.objective == "quadratic":
        curvatures = np.geomspace(1.0, kind.condition, len(kind.start))
        return tf.reduce_sum(tf.constant(curvatures, point.dtype) * tf.square(point)) / 2.0
    x, y = point[0], point[1]
    match kind.objective:
        case "rosenbrock":
            return (1.0 - x) ** 2 + 100.0 * (y - x**2) ** 2
        case "beale":
            return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2
        case _:
            parabola = y - 5.1 / (4.0 * np.pi**2) * x**2 + 5.0 / np.pi * x - 6.0
            return parabola**2 + 10.0 * (1.0 - 1.0 / (8.0 * np.pi)) * tf.cos(x) + 10.0


def _activation(function: str, common: Mapping[str, Any]) -> keras.Layer:
    if common["dtype"] == "float64" and function in _FLOAT64:
        return keras.layers.Activation(_FLOAT64[function], **common)
    if function == "leaky_relu":
        return keras.layers.LeakyReLU(LEAKY_SLOPE, **common)
    return keras.layers.Activation(function, **common)


def _leaky_relu(x: tf.Tensor) -> tf.Tensor:
    return tf.where(x > 0.0, x, LEAKY_SLOPE * x)


def _gelu(x: tf.Tensor) -> tf.Tensor:
    return 0.5 * x * (1.0 + tf.math.erf(x * np.sqrt(0.5)))


# TensorFlow's own hold their constant as float32: wrong by 2e-8 and 6e-9 in float64, exact in
# float32.
_FLOAT64: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "leaky_relu": _leaky_relu,
    "gelu": _gelu,
}


def _parameters(built: BuiltLayer, layer: keras.Layer) -> dict[str, Held]:
    """Canonical name -> where it is kept."""
    names = _KERAS_NAMES.get(type(built.layer), {})
    holder = layer.cell if isinstance(built.layer, SimpleRnn | Lstm | Gru) else layer
    swap = _gru_swap if isinstance(built.layer, Gru) else np.asarray
    held = {}
    for parameter in built.parameters:
        own = parameter.name.removeprefix(f"{built.name}.")
        held[parameter.name] = Held(
            getattr(holder, names.get(own, own)), swap, parameter.role == "kernel"
        )
    return held


def _gru_swap(array: Array) -> Array:
    """Columns r, z, n <-> z, r, h."""
    one, two, three = np.split(array, 3, axis=-1)
    return np.concatenate([two, one, three], axis=-1)

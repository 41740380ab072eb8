"""Biases of many lanes: what of a layer is computed in another way than in a single run.

The gradient of a bias is a sum over the batch. TensorFlow sums [lanes, batch, width] over the batch
in vectors that run on from lane to lane: unless the width is a multiple of theirs, the order of
summation, and so the last bits, depend on a lane's place. A bias that was spread over the batch by
a matrix product has another such product as its gradient, a lane at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from gradrace import layers as kinds
from gradrace.adapters.tensorflow.layers import LAYERS, KerasNetwork, Kind, WeightNormDense
from gradrace.layers import BuiltLayer, Shape

# Of a vector register of any processor so far.
_BYTES = 64
_BIASED = (kinds.Dense, kinds.Conv2D)


def vector(dtype: str) -> int:
    """The most numbers of this type that a processor computes with at once."""
    return _BYTES // tf.as_dtype(dtype).size


def unfit(layers: Sequence[BuiltLayer], dtype: str) -> str | None:
    """The layer whose sums over the batch would depend on a lane's place, as a reason; or None."""
    for built in layers:
        width = _summed_width(built)
        if width % vector(dtype):
            return (
                f"{built.name} is {width} wide, no multiple of {vector(dtype)}: TensorFlow's sums"
                " over a batch would depend on a lane's place"
            )
    return None


def _summed_width(built: BuiltLayer) -> int:
    """Of what is summed over the batch by TensorFlow itself; 0 for nothing."""
    match built.layer:
        case kinds.BatchNorm() | kinds.LayerNorm() | kinds.GroupNorm():
            return built.input_shape[-1]
        case kinds.Dense(weight_norm=True, units=units):
            return units
        case kinds.SimpleRnn() | kinds.Lstm() | kinds.Gru():
            return next(p.shape[0] for p in built.parameters if p.role == "bias")
    return 0


def spread(
    network: KerasNetwork, layers: Sequence[BuiltLayer], batch: int, dtype: str
) -> list[tuple[keras.Variable, Shape]]:
    """The biases to be spread, and the shapes to spread them to."""
    found = []
    for built in layers:
        bias = network.variable(f"{built.name}.bias") if isinstance(built.layer, _BIASED) else None
        if bias is not None and bias.shape[0] % vector(dtype):
            found.append((bias, (batch, *built.output_shape)))
    return found


class LaneDense(keras.layers.Dense):  # type: ignore[misc]
    """Takes a bias that was spread; Keras would add a row."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        outputs = keras.ops.matmul(inputs, self.kernel)
        return outputs + self.bias.value if self.use_bias else outputs


class LaneConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """Takes a bias that was spread; Keras would reshape it to one pixel."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        outputs = self.convolution_op(inputs, self.kernel)
        return outputs + self.bias.value if self.use_bias else outputs


def _dense(kind: kinds.Dense, common: Mapping[str, Any], device: str) -> keras.Layer:
    make = WeightNormDense if kind.weight_norm else LaneDense
    return make(kind.units, use_bias=kind.bias, **common)


def _conv2d(kind: kinds.Conv2D, common: Mapping[str, Any], device: str) -> keras.Layer:
    sizes = kind.filters, kind.kernel, kind.stride
    return LaneConv2D(*sizes, kind.padding, use_bias=kind.bias, **common)


LANE_LAYERS: Mapping[type, Kind] = {
    **LAYERS,
    kinds.Dense: Kind(_dense),
    kinds.Conv2D: Kind(_conv2d),
}

"""Which layers are computed for all lanes at once, and the biases of those that are.

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


def vector(dtype: str) -> int:
    """The most numbers of this type that a processor computes with at once."""
    return _BYTES // int(tf.as_dtype(dtype).size)


def vectorises(layers: Sequence[BuiltLayer], dtype: str) -> bool:
    """Whether all lanes go through these layers at once, so that no bit depends on a lane's place.

    A convolution takes one kernel at a time, and is faster in a loop over whole lanes than in one
    of its own."""
    return not any(
        isinstance(built.layer, kinds.Conv2D) or _summed_width(built) % vector(dtype)
        for built in layers
    )


def _summed_width(built: BuiltLayer) -> int:
    """Of what TensorFlow sums over the batch; 0 for nothing."""
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
    """The biases that have to be spread over a batch, and the shapes that they get."""
    biases = (
        (network.variable(f"{built.name}.bias"), (batch, *built.output_shape))
        for built in layers
        if isinstance(built.layer, kinds.Dense) and built.layer.bias
    )
    return [(bias, shape) for bias, shape in biases if shape[-1] % vector(dtype)]


class SpreadDense(keras.layers.Dense):  # type: ignore[misc]
    """Takes a bias that was spread; Keras takes a row only."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        outputs = keras.ops.matmul(inputs, self.kernel)
        return outputs + self.bias.value if self.use_bias else outputs


def _dense(kind: kinds.Dense, common: Mapping[str, Any], device: str) -> keras.Layer:
    make = WeightNormDense if kind.weight_norm else SpreadDense
    return make(kind.units, use_bias=kind.bias, **common)


LANE_LAYERS: Mapping[type, Kind] = {**LAYERS, kinds.Dense: Kind(_dense)}

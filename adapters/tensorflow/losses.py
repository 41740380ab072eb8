"""Losses, metrics, penalties and clipping from TensorFlow's operations; see TaskSpec."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf
from gradrace.objective import Amounts, Objective


def loss(objective: Objective, amounts: Amounts, outputs: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The mean over outputs [n, ...]."""
    return tf.reduce_mean(each_loss(objective, amounts, outputs, y))


def each_loss(
    objective: Objective, amounts: Amounts, outputs: tf.Tensor, y: tf.Tensor
) -> tf.Tensor:
    """Of outputs [n, ...]: a tensor whose mean is the loss."""
    match objective.loss:
        case "softmax_cross_entropy" if "kept" in amounts:
            dtype, spread = outputs.dtype, amounts["spread"]
            given = (amounts["kept"] + spread, spread)
            on, off = (tf.convert_to_tensor(value, dtype) for value in given)
            soft = tf.one_hot(y, outputs.shape[-1], on_value=on, off_value=off, dtype=dtype)
            return tf.nn.softmax_cross_entropy_with_logits(labels=soft, logits=outputs)
        case "softmax_cross_entropy":
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=outputs)
        case "binary_cross_entropy":
            labels = tf.cast(y, outputs.dtype)[..., tf.newaxis]
            labels = labels * amounts["kept"] + amounts["spread"] if "kept" in amounts else labels
            return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=outputs)
        case "mean_squared_error":
            return tf.math.squared_difference(outputs, y)
        case "huber":
            return keras.losses.huber(y, outputs, delta=1.0)
        case "output":
            return outputs


def metric_total(objective: Objective, outputs: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The sum for `gradrace.objective.metric_of`: right answers as int64, or float64."""
    match objective.metric:
        case "accuracy" if objective.loss == "binary_cross_entropy":
            return tf.math.count_nonzero(tf.equal(tf.cast(outputs[..., 0] > 0.0, y.dtype), y))
        case "accuracy":
            return tf.math.count_nonzero(tf.equal(tf.argmax(outputs, axis=-1), y))
        case "r2":
            return tf.reduce_sum(tf.cast(tf.math.squared_difference(outputs, y), tf.float64))
        case "negative_loss":
            return tf.constant(0, tf.int64)


def penalised(amounts: Amounts, loss: tf.Tensor, kernels: Sequence[keras.Variable]) -> tf.Tensor:
    """The loss with L1 and L2; Keras' regularizers have float32 coefficients even in float64."""
    for name, size in (("l1", tf.abs), ("half_l2", tf.square)):
        if kernels and name in amounts:
            sums = [tf.reduce_sum(size(kernel.value)) for kernel in kernels]
            loss = loss + amounts[name] * tf.add_n(sums)
    return loss


def clipped(amounts: Amounts, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Gradients scaled to a global norm of at most clip_norm."""
    if "clip_norm" not in amounts:
        return list(gradients)
    norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(gradient)) for gradient in gradients]))
    # A norm of zero gives infinity, and so 1.
    factor = tf.minimum(tf.ones_like(norm), amounts["clip_norm"] / norm)
    return [gradient * factor for gradient in gradients]


def decay(amounts: Amounts, kernels: Sequence[keras.Variable], rate: tf.Tensor) -> None:
    """Decoupled: every kernel becomes kernel * (1 - rate * decay)."""
    factor = 1.0 - rate * amounts["decay"]
    for kernel in kernels:
        kernel.assign(kernel.value * factor)

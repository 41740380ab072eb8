"""Losses, metrics, penalties and clipping in TensorFlow, from its own operations. See TaskSpec and
Regularization.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf
from gradrace.objective import Amounts, Objective


def losses(objective: Objective, amounts: Amounts, outputs: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Of outputs [n, ...]: tensor [n, ...] whose mean is the loss."""
    match objective.loss:
        case "softmax_cross_entropy" if "kept" in amounts:
            dtype = outputs.dtype
            on, off = (
                tf.convert_to_tensor(v, dtype)
                for v in (amounts["kept"] + amounts["spread"], amounts["spread"])
            )
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
    """What `gradrace.objective.metric_of` wants the sum of: int64 of right answers, or float64."""
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
    """The loss with L1 and L2 added. Not Keras' regularizers, whose coefficients are float32 in
    float64.
    """
    if kernels and "l1" in amounts:
        loss = loss + amounts["l1"] * tf.add_n(
            [tf.reduce_sum(tf.abs(kernel.value)) for kernel in kernels]
        )
    if kernels and "half_l2" in amounts:
        loss = loss + amounts["half_l2"] * tf.add_n(
            [tf.reduce_sum(tf.square(kernel.value)) for kernel in kernels]
        )
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

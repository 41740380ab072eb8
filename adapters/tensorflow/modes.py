"""How TensorFlow is driven: graph, xla, loop or fit.

graph: a traced step, called once a batch. xla: the same step compiled by XLA. loop: all steps of a
call in one traced loop, not compiled by XLA, whose loops are slow at convolutions. fit: the step
handed to Keras' own Model.fit.
All compute the same but for rounding under XLA and its padded maximum pooling: among equal values
it may send the gradient to another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from gradrace.adapter import Part
from gradrace.adapters.tensorflow.batches import Batches
from gradrace.adapters.tensorflow.program import Body, Program

PARTS: tuple[Part, ...] = ("forward", "gradient", "update")


class Drive:
    """Drives one program; see gradrace.adapter.Session for the methods.

    A subclass says how it trains and, if its step has seams, how each part is done apart: the hooks
    named after the parts. Their results are kept, so that nothing is optimised away.
    """

    parts: tuple[Part, ...] = ()

    def __init__(self, program: Program, batches: Batches) -> None:
        self._program, self._batches = program, batches
        self._losses: list[tf.Tensor] = []
        self._gradients: Sequence[tf.Tensor] = ()
        self._kept: Any = None

    def train(self, steps: range) -> None:
        """Updates the program's weights."""
        raise NotImplementedError

    def losses(self) -> tf.Tensor:
        """[k]: of the steps trained since the last call."""
        taken, self._losses = self._losses, []
        return self._joined(taken) if taken else tf.zeros([0])

    def probe(self, part: Part, steps: range) -> None:
        """Moves the program's state: batch statistics, generators, the optimizer's buffers."""
        match part:
            case "forward":
                self._kept = self._forward(steps)
            case "gradient":
                self._kept = self._gradient(steps)
            case "update":
                if not self._gradients:
                    _, *self._gradients = self._gradient(steps[:1])
                self._program.go_to(steps.start)
                self._kept = self._update(steps)

    def _joined(self, taken: list[tf.Tensor]) -> tf.Tensor:
        return tf.concat(taken, 0)

    def _forward(self, steps: range) -> Any:
        """Losses of these steps."""
        raise NotImplementedError

    def _gradient(self, steps: range) -> Any:
        """Loss or losses, then the gradients of the last step."""
        raise NotImplementedError

    def _update(self, steps: range) -> Any:
        """As many updates with `self._gradients`."""
        raise NotImplementedError


class Stepping(Drive):
    """Modes graph and xla: one call of a traced function a batch."""

    parts = PARTS

    def train(self, steps: range) -> None:
        """See Drive."""
        step = self._program.traced("step", self._program.step, self._program.batch_types)
        for batch in self._batches.each(steps):
            self._losses.append(step(*batch))

    def _joined(self, taken: list[tf.Tensor]) -> tf.Tensor:
        return tf.stack(taken)

    def _forward(self, steps: range) -> Any:
        forward = self._program.traced("forward", self._program.forward, self._program.batch_types)
        return [forward(*batch) for batch in self._batches.each(steps)]

    def _gradient(self, steps: range) -> Any:
        gradient, last = self._program.batch_gradient, None
        for batch in self._batches.each(steps):
            last = gradient(*batch)
        return last

    def _update(self, steps: range) -> Any:
        update = self._program.traced("update", self._program.update, self._program.gradient_types)
        for _ in steps:
            update(*self._gradients)


class Looping(Drive):
    """Mode loop: a call is one tf.while_loop of any number of steps, which fetches its batches.

    XLA's loops on a CPU run convolutions several times slower than single steps.
    """

    parts = PARTS

    def train(self, steps: range) -> None:
        """See Drive."""
        self._losses.append(self._looped("step", self._program.step, steps))

    def _forward(self, steps: range) -> Any:
        return self._looped("forward", self._program.forward, steps)

    def _looped(self, name: str, piece: Body, steps: range) -> Any:
        # A program outlives its sessions: what is traced must hold nothing of this one.
        fetch, dtype = self._batches.fetch, self._program.dtype

        def losses(*arguments: Any) -> tf.Tensor:
            count, batch = fetch(*arguments)
            taken = tf.TensorArray(dtype, size=count)
            taken, *_ = repeated(count, lambda t, taken: (taken.write(t, piece(*batch(t))),), taken)
            return taken.stack()

        return self._called(f"{name} loop", losses, steps)

    def _called(self, name: str, body: Body, steps: range) -> Any:
        loop = self._program.traced(name, body, self._batches.loop_signature)
        return loop(*self._batches.looped(steps))

    def _gradient(self, steps: range) -> Any:
        # A loop computes all that its body hands on.
        fetch, program = self._batches.fetch, self._program

        def gradients(*arguments: Any) -> Any:
            count, batch = fetch(*arguments)

            def each(t: tf.Tensor, taken: tf.TensorArray, *before: tf.Tensor) -> Any:
                loss, *gradients = program.gradients(*batch(t))
                return taken.write(t, loss), *gradients

            none = (tf.zeros(kind.shape, kind.dtype) for kind in program.gradient_types())
            taken, *last = repeated(count, each, tf.TensorArray(program.dtype, size=count), *none)
            return taken.stack(), *last

        return self._called("gradient loop", gradients, steps)

    def _update(self, steps: range) -> Any:
        program = self._program

        def updates(count: tf.Tensor, *gradients: tf.Tensor) -> tf.Tensor:
            def each(t: tf.Tensor, done: tf.Tensor) -> Any:
                program.update(*gradients)
                return (done + 1,)

            return repeated(count, each, tf.constant(0))[0]

        update = program.traced(
            "update loop", updates, lambda: [tf.TensorSpec([], tf.int32), *program.gradient_types()]
        )
        return update(tf.constant(len(steps)), *self._gradients)


class Fitting(Drive):
    """Mode fit: a call of `train` is one keras.Model.fit, an unshuffled epoch of our train_step.

    Keras' work around a step is part of the mode: data set, iterator, callbacks and logs. The step
    is a graph, so that nothing else differs from mode graph. fit has no seam to time a part at.
    """

    def train(self, steps: range) -> None:
        """See Drive."""
        keras.config.set_floatx(self._program.dtype)
        model = self._program.keep("fit", lambda: _Model(self._program))
        for some in self._batches.portions(steps):
            model.expect(some)
            model.fit(**self._batches.fitted(some), shuffle=False, verbose=0)
            self._losses.append(tf.identity(model.taken))


class _Model(keras.Model):  # type: ignore[misc]
    """Hands Keras our step, and keeps every batch's loss in `taken`: Keras reports only means."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._step, self._program = program.counted(self._taking), program
        self.taken = tf.Variable(np.zeros(0), shape=[None], dtype=program.dtype, trainable=False)
        self._first = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.built = True
        self.compile(optimizer=None, jit_compile=False)

    def expect(self, steps: range) -> None:
        """The next fit takes these steps."""
        self._first.assign(steps.start)
        self.taken.assign(np.zeros(len(steps), self.taken.dtype.as_numpy_dtype))

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One batch ((x, *masks), y)."""
        return {"loss": self._step(*data)}

    def _taking(self, samples: tuple[tf.Tensor, ...], y: tf.Tensor) -> tf.Tensor:
        x, *masks = samples
        position = self._program.position - self._first
        loss = self._program.step(x, y, *masks)
        self.taken.scatter_nd_update([[position]], [loss])
        return loss


def repeated(count: tf.Tensor, body: Callable[..., Any], *state: Any) -> Any:
    """body(t, *state) -> state, for t = 0, 1, ... below count, strictly one after another."""
    _, *after = tf.while_loop(
        lambda t, *_: t < count,
        lambda t, *before: (t + 1, *body(t, *before)),
        (tf.constant(0), *state),
        parallel_iterations=1,
    )
    return after


class Mode(NamedTuple):
    """How a program is driven, and whether XLA compiles its functions."""

    drive: Callable[[Program, Batches], Drive]
    compiled: bool = False


MODES: Mapping[str, Mode] = {
    "graph": Mode(Stepping),
    "xla": Mode(Stepping, compiled=True),
    "loop": Mode(Looping),
    "fit": Mode(Fitting),
}

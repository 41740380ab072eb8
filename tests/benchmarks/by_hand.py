"""Loops for digits_mlp and Adam by hand, as good as an expert's, for overhead.py to compare with.

Each takes the same weights, rows and learning rate as the harness, and does the same work a step:
a batch gathered from data on the device, loss, gradients, update; the losses are fetched once a
block. Data, types and compiled functions are made ahead. LOOPS has them by case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

RATE = 1e-3
LAYERS = ("0_dense", "2_dense", "4_dense")


class Work(NamedTuple):
    """start: weights by canonical name. x: float32[n, 64]. y: int64[n]. blocks:
    int64[blocks, steps, batch], the rows of each step's batch. device: cpu or gpu."""

    start: Mapping[str, np.ndarray]
    x: np.ndarray
    y: np.ndarray
    blocks: np.ndarray
    device: str


# The losses of block `number`, [steps].
Loop = Callable[[int], Any]


def torch_loop(work: Work, fused: bool | None) -> Loop:
    """A block's batches gathered at once, nn.Sequential, torch.optim.Adam. fused: None leaves the
    choice to torch."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    device = torch.device("cuda" if work.device == "gpu" else "cpu")
    dense = [nn.Linear(64, 128), nn.Linear(128, 128), nn.Linear(128, 10)]
    with torch.no_grad():
        for layer, name in zip(dense, LAYERS, strict=True):
            layer.weight.copy_(torch.tensor(work.start[f"{name}.kernel"].T))
            layer.bias.copy_(torch.tensor(work.start[f"{name}.bias"]))
    model = nn.Sequential(dense[0], nn.ReLU(), dense[1], nn.ReLU(), dense[2]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=fused)
    data = [torch.from_numpy(values).to(device) for values in (work.x, work.y)]
    order = torch.from_numpy(work.blocks)

    def block(number: int) -> Any:
        losses, rows = [], order[number].to(device)
        inputs, labels = (values[rows].unbind(0) for values in data)
        for a, b in zip(inputs, labels, strict=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(a), b)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses).cpu().numpy()

    return block


def torch_eager(work: Work) -> Loop:
    """Adam as torch chooses by itself: one tensor after another on a CPU, together on a GPU."""
    return torch_loop(work, None)


def torch_fused(work: Work) -> Loop:
    """Adam with fused=True."""
    return torch_loop(work, True)


def _tensorflow_step(work: Work) -> Any:
    import keras
    import tensorflow as tf

    hidden = [keras.layers.Dense(128, activation="relu") for _ in range(2)]
    dense = [*hidden, keras.layers.Dense(10)]
    model = keras.Sequential([keras.layers.Input((64,)), *dense])
    for layer, name in zip(dense, LAYERS, strict=True):
        layer.set_weights([work.start[f"{name}.kernel"], work.start[f"{name}.bias"]])
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(model.trainable_variables)

    def step(a: Any, b: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(a, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=b, logits=logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return step


def tensorflow_function(work: Work) -> Loop:
    """A tf.function a step, as Keras' and TensorFlow's guides write it."""
    return _tensorflow_steps(work, concrete=False)


def tensorflow_concrete(work: Work) -> Loop:
    """The step's concrete function: a tf.function looks for the right trace at every call."""
    return _tensorflow_steps(work, concrete=True)


def _tensorflow_steps(work: Work, concrete: bool) -> Loop:
    import tensorflow as tf

    step: Any = tf.function(_tensorflow_step(work))
    inputs, labels = tf.constant(work.x), tf.constant(work.y)
    if concrete:
        shapes = tf.TensorSpec((32, 64), tf.float32), tf.TensorSpec((32,), tf.int64)
        step = step.get_concrete_function(*shapes)

    def block(number: int) -> Any:
        rows = work.blocks[number]
        taken = (tf.unstack(tf.gather(values, rows)) for values in (inputs, labels))
        return tf.stack([step(a, b) for a, b in zip(*taken, strict=True)]).numpy()

    return block


def tensorflow_loop(work: Work) -> Loop:
    """One tf.function a block, with a loop over its batches in it."""
    import tensorflow as tf

    step = _tensorflow_step(work)
    inputs, labels = tf.constant(work.x), tf.constant(work.y)
    count = work.blocks.shape[1]

    @tf.function
    def steps(rows: Any) -> Any:
        losses = tf.TensorArray(tf.float32, size=count)
        for t in tf.range(count):
            losses = losses.write(t, step(tf.gather(inputs, rows[t]), tf.gather(labels, rows[t])))
        return losses.stack()

    return lambda number: steps(tf.constant(work.blocks[number])).numpy()


class _Jax(NamedTuple):
    """carry: (parameters, optimizer's state). step(carry, (x, y)) -> carry, loss."""

    carry: Any
    step: Callable[[Any, Any], tuple[Any, Any]]
    inputs: Any
    labels: Any


def _jax(work: Work) -> _Jax:
    import jax
    import jax.numpy as jnp
    import optax

    optimizer = optax.adam(RATE)

    def loss_of(p: Any, a: Any, b: Any) -> Any:
        for name in LAYERS[:-1]:
            a = jax.nn.relu(a @ p[f"{name}.kernel"] + p[f"{name}.bias"])
        logits = a @ p[f"{LAYERS[-1]}.kernel"] + p[f"{LAYERS[-1]}.bias"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, b).mean()

    def step(carry: Any, batch: Any) -> tuple[Any, Any]:
        p, state = carry
        loss, gradient = jax.value_and_grad(loss_of)(p, *batch)
        updates, state = optimizer.update(gradient, state, p)
        return (optax.apply_updates(p, updates), state), loss

    p = {name: jnp.asarray(value, jnp.float32) for name, value in work.start.items()}
    inputs, labels = jnp.asarray(work.x), jnp.asarray(work.y.astype(np.int32))
    return _Jax((p, optimizer.init(p)), step, inputs, labels)


def jax_indexed(work: Work) -> Loop:
    """One jitted, donating step at a time, which gathers its batch by rows that are on the device,
    as all other loops here do."""
    import jax

    made = _jax(work)

    def step(carry: Any, x: Any, y: Any, rows: Any) -> tuple[Any, Any]:
        return made.step(carry, (x[rows], y[rows]))

    jitted, carry = jax.jit(step, donate_argnums=0), made.carry
    rows = [jax.device_put(list(each)) for each in work.blocks.astype(np.int32)]

    def block(number: int) -> Any:
        nonlocal carry
        losses = []
        for own in rows[number]:
            carry, loss = jitted(carry, made.inputs, made.labels, own)
            losses.append(loss)
        return np.array(jax.device_get(losses))

    return block


def jax_staged(work: Work) -> Loop:
    """The same, over batches that were gathered before the clock ran: less work a step, and memory
    for every batch of the run."""
    import jax

    made = _jax(work)
    jitted, carry = jax.jit(made.step, donate_argnums=0), made.carry
    x, y = work.x, work.y.astype(np.int32)
    staged = [[jax.device_put((x[rows], y[rows])) for rows in each] for each in work.blocks]

    def block(number: int) -> Any:
        nonlocal carry
        losses = []
        for batch in staged[number]:
            carry, loss = jitted(carry, batch)
            losses.append(loss)
        return np.array(jax.device_get(losses))

    return block


def jax_scan(work: Work) -> Loop:
    """lax.scan over a block's batches, rows handed over as NumPy's int32."""
    import jax

    made = _jax(work)

    def steps(carry: Any, x: Any, y: Any, rows: Any) -> tuple[Any, Any]:
        return jax.lax.scan(lambda c, own: made.step(c, (x[own], y[own])), carry, rows)

    jitted, carry = jax.jit(steps, donate_argnums=0), made.carry
    blocks = work.blocks.astype(np.int32)

    def block(number: int) -> Any:
        nonlocal carry
        carry, losses = jitted(carry, made.inputs, made.labels, blocks[number])
        return np.asarray(losses)

    return block


def jax_nnx(work: Work) -> Loop:
    """`nnx.jit` over a module and an optimizer, as Flax teaches."""
    return _nnx(work, lambda step, model, optimizer: lambda *given: step(model, optimizer, *given))


def jax_nnx_cached(work: Work) -> Loop:
    """The same with `nnx.cached_partial`, which takes the module apart once."""
    from flax import nnx

    return _nnx(work, nnx.cached_partial)


def _nnx(work: Work, bound: Callable[..., Any]) -> Loop:
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx

    class Network(nnx.Module):
        def __init__(self) -> None:
            rngs, sizes = nnx.Rngs(0), (64, 128, 128, 10)
            made = [nnx.Linear(*pair, rngs=rngs) for pair in pairwise(sizes)]
            for layer, name in zip(made, LAYERS, strict=True):
                layer.kernel = nnx.Param(jnp.asarray(work.start[f"{name}.kernel"], jnp.float32))
                layer.bias = nnx.Param(jnp.asarray(work.start[f"{name}.bias"], jnp.float32))
            self.first, self.second, self.last = made

        def __call__(self, x: Any) -> Any:
            return self.last(nnx.relu(self.second(nnx.relu(self.first(x)))))

    @nnx.jit
    def step(model: Any, optimizer: Any, x: Any, y: Any, rows: Any) -> Any:
        def loss_of(model: Any) -> Any:
            logits = model(x[rows])
            return optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()

        loss, gradients = nnx.value_and_grad(loss_of)(model)
        optimizer.update(model, gradients)
        return loss

    model = Network()
    program = bound(step, model, nnx.Optimizer(model, optax.adam(RATE), wrt=nnx.Param))
    inputs, labels = jnp.asarray(work.x), jnp.asarray(work.y.astype(np.int32))
    rows: Sequence[Any] = [jax.device_put(list(each)) for each in work.blocks.astype(np.int32)]

    def block(number: int) -> Any:
        return np.array(jax.device_get([program(inputs, labels, own) for own in rows[number]]))

    return block

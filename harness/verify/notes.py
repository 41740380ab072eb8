"""Facts on layers, losses, initialisers, schedules and defects, for docs/differences.md.

Of torch 2.13, Keras 3.15 on TensorFlow 2.21, JAX 0.10, Flax 0.12 (nnx) and Optax 0.2.8, read in
their sources and measured. `cost` computes, in NumPy, how far an output moves if the default of one
library is taken for another's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Note:
    """One name with several meanings.

    libraries: framework -> its meaning. agree: how to make them agree. paths: framework -> dotted
    path that a user calls. shown: arguments whose defaults are shown. cost: comparison -> relative
    difference."""

    name: str
    libraries: Mapping[str, str]
    agree: str
    paths: Mapping[str, str] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    cost: Mapping[str, Callable[[], float]] = field(default_factory=dict)


def _each(torch: str, tensorflow: str, jax: str) -> dict[str, str]:
    return {"torch": torch, "tensorflow": tensorflow, "jax": jax}


def _apart(a: Array, b: Array) -> float:
    """Largest difference over the largest magnitude."""
    return float(np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max()))


def _x(*shape: int) -> Array:
    return np.random.default_rng(7).normal(size=shape)


def _normalised(epsilon: float, scale: float) -> Array:
    x = scale * _x(64, 8)
    return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + epsilon)


def _leaky(slope: float) -> Array:
    x = _x(200)
    return np.where(x > 0, x, slope * x)


def _gelu(exact: bool) -> Array:
    from scipy.special import erf

    x = np.linspace(-4, 4, 801)
    inner = erf(x / np.sqrt(2)) if exact else np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + inner)


def _strided(before: int) -> Array:
    """One axis of 8, a kernel of 3, stride 2, `before` zeros in front (TensorFlow: 0)."""
    x, kernel = _x(8), np.random.default_rng(8).normal(size=3)
    padded = np.pad(x, (before, 1))
    return np.array([padded[2 * i : 2 * i + 3] @ kernel for i in range(4)])


def _averaged(count_padding: bool) -> Array:
    x = _x(6)
    sums = np.array([x[max(0, i - 1) : i + 2].sum() for i in range(6)])
    counts = 3.0 if count_padding else np.array([len(x[max(0, i - 1) : i + 2]) for i in range(6)])
    return sums / counts


def _flattened(channels_first: bool) -> Array:
    x, kernel = _x(4, 4, 3), np.random.default_rng(8).normal(size=48)
    return np.array([(x.transpose(2, 0, 1) if channels_first else x).reshape(-1) @ kernel])


def _gru(reset_after: bool) -> Array:
    rng = np.random.default_rng(9)
    x, h, w, r = (rng.normal(size=size) for size in (4, 5, (4, 15), (5, 15)))
    gate = 1.0 / (1.0 + np.exp(-(x @ w[:, :10] + h @ r[:, :10])))
    reset, update = gate[:5], gate[5:]
    inner = reset * (h @ r[:, 10:]) if reset_after else (reset * h) @ r[:, 10:]
    return update * h + (1 - update) * np.tanh(x @ w[:, 10:] + inner)


def _running(biased: bool) -> Array:
    x = _x(32, 4)
    return 0.9 + 0.1 * x.var(axis=0, ddof=0 if biased else 1)


_FROM_LOGITS = "logits × 20 and labels as they come"


def _cross_entropy(clipped: bool) -> Array:
    logits = 20.0 * _x(200, 5)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    if clipped:
        p = np.clip(p, 1e-7, 1 - 1e-7)
    with np.errstate(divide="ignore"):
        shifted = logits - logits.max(axis=1, keepdims=True)
        exact = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.array([-(np.log(p) if clipped else exact)[np.arange(200), np.arange(200) % 5].mean()])


LAYERS = (
    Note(
        "Dense",
        _each("kernel [out, in]", "kernel [in, out]", "kernel [in, out]"),
        "transpose the kernel between torch and the others",
        _each("torch.nn.Linear", "keras.layers.Dense", "flax.nnx.Linear"),
    ),
    Note(
        "Conv2D",
        _each(
            "kernel OIHW, images NCHW; padding pads both ends alike; 'same' only at stride 1",
            "kernel HWIO, images NHWC; 'same' at stride 2 pads one more at the end",
            "kernel HWIO, images NHWC; 'SAME' as TensorFlow, and it is the default",
        ),
        (
            "kernel.transpose(3, 2, 0, 1); in torch pad explicitly: total = max((ceil(n / s) -"
            " 1) s + k - n, 0), half of it (rounded down) before, the rest after"
        ),
        _each("torch.nn.Conv2d", "keras.layers.Conv2D", "flax.nnx.Conv"),
        ("padding", "stride", "strides"),
        {
            "padding=1 for 'same' at stride 2 on an even size": lambda: _apart(
                _strided(1), _strided(0)
            )
        },
    ),
    Note(
        "MaxPool2D",
        _each(
            "stride is the window; padding both ends alike",
            "stride is the window",
            "nnx.max_pool has stride 1 by default: 8x8 becomes 7x7",
        ),
        (
            "give the stride; for 'same' in torch pad with -inf by hand. Ties send the gradient"
            " to the first entry in all three"
        ),
        _each("torch.nn.MaxPool2d", "keras.layers.MaxPooling2D", "flax.nnx.max_pool"),
        ("stride", "strides", "padding"),
    ),
    Note(
        "AvgPool2D",
        _each("counts padding in the mean", "does not", "counts it"),
        "count_include_pad=False in torch and Flax",
        _each("torch.nn.AvgPool2d", "keras.layers.AveragePooling2D", "flax.nnx.avg_pool"),
        ("count_include_pad", "stride", "strides"),
        {"padding counted, window 3": lambda: _apart(_averaged(True), _averaged(False))},
    ),
    Note(
        "Flatten before Dense",
        _each("features in the order C, H, W", "H, W, C", "H, W, C"),
        (
            "reshape the dense kernel to [H, W, C, out], transpose to C, H, W, or permute the"
            " image before flattening"
        ),
        cost={"kernel taken over as it is": lambda: _apart(_flattened(True), _flattened(False))},
    ),
    Note(
        "BatchNorm",
        _each(
            "momentum is the share of the new value; running variance unbiased",
            "momentum is the share of the old value; running variance biased",
            (
                "as Keras; statistics are float32 even with param_dtype=float64, and the variance"
                " is computed as E[x²] - E[x]² (use_fast_variance), which loses digits far from 0"
            ),
        ),
        (
            "momentum_torch = 1 - momentum_keras; one epsilon; running variance of torch times"
            " (n - 1) / n; float64 statistics and use_fast_variance=False in Flax"
        ),
        _each("torch.nn.BatchNorm2d", "keras.layers.BatchNormalization", "flax.nnx.BatchNorm"),
        ("momentum", "eps", "epsilon"),
        {
            "Keras' epsilon for torch's, activations of size 0.1": lambda: _apart(
                _normalised(1e-3, 0.1), _normalised(1e-5, 0.1)
            ),
            "running variance after one batch of 32, unbiased": lambda: _apart(
                _running(False), _running(True)
            ),
        },
    ),
    Note(
        "LayerNorm",
        _each("epsilon 1e-5", "epsilon 1e-3", "epsilon 1e-6"),
        "give epsilon",
        _each("torch.nn.LayerNorm", "keras.layers.LayerNormalization", "flax.nnx.LayerNorm"),
        ("eps", "epsilon"),
        {
            "Keras' epsilon for torch's, activations of size 1": lambda: _apart(
                _normalised(1e-3, 1), _normalised(1e-5, 1)
            ),
            "… of size 0.1": lambda: _apart(_normalised(1e-3, 0.1), _normalised(1e-5, 0.1)),
        },
    ),
    Note(
        "GroupNorm",
        _each("epsilon 1e-5", "epsilon 1e-3, 32 groups", "epsilon 1e-6, 32 groups"),
        "give epsilon and the number of groups",
        _each("torch.nn.GroupNorm", "keras.layers.GroupNormalization", "flax.nnx.GroupNorm"),
        ("eps", "epsilon"),
    ),
    Note(
        "Dropout",
        _each("on until model.eval()", "on under training=True only", "on until model.eval()"),
        (
            "all three scale what is kept by 1 / (1 - rate); their generators cannot agree:"
            " draw the mask yourself and multiply"
        ),
        _each("torch.nn.Dropout", "keras.layers.Dropout", "flax.nnx.Dropout"),
    ),
    Note(
        "Embedding",
        _each(
            "N(0, 1)", "U(-0.05, 0.05); its gradient is sparse (IndexedSlices)", "normal / √units"
        ),
        "the table is the same in all three",
        _each("torch.nn.Embedding", "keras.layers.Embedding", "flax.nnx.Embed"),
    ),
    Note(
        "SimpleRNN",
        _each("two biases, both trained", "one bias", "SimpleCell: one bias, dtype float32"),
        (
            "in torch freeze bias_hh at 0: two trained biases move the sum twice as fast, under"
            " SGD and Adam alike; in Flax give dtype"
        ),
        _each("torch.nn.RNN", "keras.layers.SimpleRNN", "flax.nnx.SimpleCell"),
    ),
    Note(
        "LSTM",
        _each(
            "gates i, f, g, o; two biases; forget bias drawn like the others",
            "gates i, f, c, o (c is g); one bias; forget bias starts at 1 (unit_forget_bias)",
            (
                "OptimizedLSTMCell: gates i, f, g, o in one kernel; LSTMCell: twelve tensors;"
                " forget bias 0"
            ),
        ),
        "transpose for torch, freeze bias_hh at 0, set the forget bias alike",
        _each("torch.nn.LSTM", "keras.layers.LSTM", "flax.nnx.OptimizedLSTMCell"),
    ),
    Note(
        "GRU",
        _each(
            "gates r, z, n; two biases; reset after the product",
            "gates z, r, h; bias [2, 3 units]; reset_after=True by default",
            "gates r, z, n; no recurrent bias, against its docstring",
        ),
        (
            "columns [H:2H, 0:H, 2H:3H] between Keras and the others; recurrent bias frozen at"
            " 0; reset_after=True"
        ),
        _each("torch.nn.GRU", "keras.layers.GRU", "flax.nnx.GRUCell"),
        ("reset_after",),
        {"reset before the product, one step": lambda: _apart(_gru(False), _gru(True))},
    ),
    Note(
        "Weight normalisation",
        _each(
            "parametrizations.weight_norm, gain [out, 1]",
            "no such layer",
            "nnx.WeightNorm, adds 1e-12 to the norm",
        ),
        "kernel = gain · direction / |direction|, norms by column, as a function of both",
    ),
    Note(
        "LeakyReLU",
        _each(
            "slope 0.01",
            "slope 0.3 as a layer, 0.2 as keras.activations.leaky_relu; the constant is float32",
            "slope 0.01; at exactly 0 the gradient is 1, elsewhere 0.01",
        ),
        "give the slope",
        _each("torch.nn.LeakyReLU", "keras.layers.LeakyReLU", "flax.nnx.leaky_relu"),
        ("negative_slope",),
        {
            "slope 0.3 for 0.01": lambda: _apart(_leaky(0.3), _leaky(0.01)),
            "slope 0.2 for 0.01": lambda: _apart(_leaky(0.2), _leaky(0.01)),
        },
    ),
    Note(
        "GELU",
        _each(
            "exact (erf)",
            "exact, with a float32 constant: 6e-9 off in float64",
            "the tanh approximation",
        ),
        "approximate=False in Flax",
        _each("torch.nn.GELU", "keras.activations.gelu", "flax.nnx.gelu"),
        ("approximate",),
        {"tanh for erf": lambda: _apart(_gelu(False), _gelu(True))},
    ),
    Note(
        "ReLU, ELU, SiLU, sigmoid, tanh",
        _each("-", "-", "-"),
        "the same in all three; the gradient of ReLU at 0 is 0",
    ),
)

LOSSES = (
    Note(
        "Softmax cross-entropy",
        _each(
            "of logits, mean",
            (
                "from_logits=False by default: of probabilities, clipped to [1e-7, 1 - 1e-7] where"
                " the logits cannot be recovered"
            ),
            "of logits, one value a sample: take the mean yourself",
        ),
        "from_logits=True in Keras",
        _each(
            "torch.nn.CrossEntropyLoss",
            "keras.losses.SparseCategoricalCrossentropy",
            "optax.softmax_cross_entropy_with_integer_labels",
        ),
        ("from_logits", "reduction", "label_smoothing"),
        {
            f"clipped probabilities, {_FROM_LOGITS}": lambda: _apart(
                _cross_entropy(True), _cross_entropy(False)
            )
        },
    ),
    Note(
        "Squared error",
        _each("mean of e²", "mean of e²", "optax.squared_error is e²; optax.l2_loss is e² / 2"),
        "optax.squared_error(...).mean()",
        _each("torch.nn.MSELoss", "keras.losses.MeanSquaredError", "optax.squared_error"),
        cost={"optax.l2_loss for a squared error": lambda: 0.5},
    ),
    Note(
        "L2 penalty",
        _each(
            "weight_decay= adds wd · p to the gradient (not in AdamW, Muon, Adafactor)",
            (
                "regularizers.L2(l) is l · sum w², without a half, its coefficient float32;"
                " weight_decay= is decoupled and times the learning rate in every optimizer"
            ),
            "add_decayed_weights, where in the chain you put it",
        ),
        (
            "weight_decay=wd of torch's SGD is L2(wd / 2) of Keras and"
            " chain(add_decayed_weights(wd), sgd(...)) of Optax; for decoupled decay multiply"
            " by 1 - lr · wd before the step"
        ),
        cost={"coefficient of L2(wd) taken for wd": lambda: 0.5},
    ),
    Note(
        "Clipping by norm",
        _each(
            "clip_grad_norm_: c / (norm + 1e-6)",
            "clipnorm= is per variable; global_clipnorm= is global",
            "clip_by_global_norm, exact",
        ),
        "global_clipnorm in Keras; torch's 1e-6 costs 2e-7 at a norm of 5",
        cost={"torch's 1e-6 at a norm of 5": lambda: 1.0 - 5.0 / (5.0 + 1e-6)},
    ),
)

INITIALIZERS = (
    Note(
        "Dense and convolution kernels",
        _each(
            "kaiming_uniform(a=√5) = U(±1/√fan_in): standard deviation 0.58/√fan_in",
            "Glorot uniform: √(2 / (fan_in + fan_out))",
            "LeCun normal, truncated: 1/√fan_in",
        ),
        (
            "draw once in NumPy and copy; the standard deviations of a 256-128 layer are 0.036,"
            " 0.072 and 0.063"
        ),
    ),
    Note(
        "Biases", _each("U(±1/√fan_in)", "0 (an LSTM's forget bias 1)", "0"), "start at 0, or copy"
    ),
    Note(
        "Recurrent kernels",
        _each(
            "U(±1/√units) for all, both biases too",
            "orthogonal over [units, 4 units]",
            "orthogonal over [units, 4 units]; by gate in LSTMCell",
        ),
        "copy; an orthogonal matrix over all gates is not one by gate",
    ),
    Note(
        "Normal variants of Glorot, He and LeCun",
        _each(
            "not truncated: tails to 4.5 standard deviations",
            "truncated at 2 and divided by 0.8796, so that the standard deviation is right",
            "as Keras",
        ),
        (
            "the standard deviations agree, the tails do not: the largest draw is 2.27 of them,"
            " or 4.5"
        ),
    ),
    Note(
        "truncated_normal(stddev=0.02)",
        _each(
            "trunc_normal_: bounds ±2 are absolute: nothing is cut, standard deviation 0.0201",
            "cut at 2 of them without correction: 0.0176",
            "as Keras: 0.0176",
        ),
        "divide by 0.8796, or give torch a=-2·std, b=2·std",
    ),
    Note(
        "Uniform variants, orthogonal, zeros, constant",
        _each("-", "-", "-"),
        "the same law in all three; the generators differ, so copy",
    ),
)

SCHEDULES: Mapping[str, Mapping[str, str]] = {
    "constant": _each(
        "ConstantLR multiplies by a factor for the first steps: not constant",
        "a float",
        "constant_schedule",
    ),
    "step": _each(
        "StepLR, per call of step()",
        "ExponentialDecay(staircase=True)",
        "exponential_decay(staircase=True)",
    ),
    "multi_step": _each(
        "MultiStepLR: the boundary step has the new rate",
        "PiecewiseConstantDecay: the boundary step still has the old rate",
        "piecewise_constant_schedule: the new rate, given as factors",
    ),
    "exponential": _each(
        "ExponentialLR, per call of step()",
        "ExponentialDecay, continuous in the step",
        "exponential_decay, continuous",
    ),
    "polynomial": _each("PolynomialLR", "PolynomialDecay", "polynomial_schedule"),
    "linear": _each(
        "LinearLR: factors 1/3 to 1 by default, a rise",
        "PolynomialDecay(power=1)",
        "linear_schedule",
    ),
    "cosine": _each(
        "CosineAnnealingLR: computed from the rate before, rises again after T_max",
        "CosineDecay, in float32: up to 2.5e-3 off near the end of the decay",
        "cosine_decay_schedule, in float32 as well",
    ),
    "cosine_restarts": _each(
        "CosineAnnealingWarmRestarts, cycles in steps: the run may end just after a restart",
        "CosineDecayRestarts (t_mul 2 by default)",
        "sgdr_schedule, every cycle given by hand",
    ),
    "warmup_cosine": _each(
        "SequentialLR of LinearLR and CosineAnnealingLR",
        "CosineDecay(warmup_target, warmup_steps): the first update has rate 0",
        "warmup_cosine_decay_schedule: the first update has rate 0",
    ),
    "one_cycle": _each(
        "OneCycleLR: the same rates; it also cycles momentum unless cycle_momentum=False",
        "none",
        "cosine_onecycle_schedule: peaks one update later, and would end one after the last",
    ),
    "cyclic": _each(
        "CyclicLR, which also cycles momentum unless cycle_momentum=False",
        "none",
        "none; join_schedules",
    ),
    "inverse_sqrt": _each("none; LambdaLR", "none", "none; a function of the count"),
    "wsd": _each("none; SequentialLR", "none", "none; join_schedules"),
    "plateau": _each(
        (
            "ReduceLROnPlateau: relative threshold 1e-4, patience 10, and reduces at the"
            " evaluation after these: one later than Keras, Optax and gradrace; patience - 1 is"
            " the same"
        ),
        (
            "callback ReduceLROnPlateau, per epoch: absolute min_delta 1e-4, patience 10,"
            " reduces at the 10th"
        ),
        (
            "contrib.reduce_on_plateau scales updates, and wants the value with every update;"
            " patience 10, reduces at the 10th"
        ),
    ),
}
SCHEDULES_AGREE = (
    "Compute the rates once, in float64, and hand each library the table: `param_groups[0]['lr'] ="
    " rate[t]` in torch, a `LearningRateSchedule` that gathers from a tensor in Keras, `lambda"
    " count: table[count]` in Optax. All three then use exactly the rate of the table, rounded to"
    " the run's dtype; `gradrace verify -k rates` proves it. Keras' callbacks step once an epoch,"
    " its schedules once an update; torch's whenever you call `step()`."
)

# Name, library with version, effect.
DEFECTS = (
    (
        "optax.rprop",
        "Optax 0.2.8",
        (
            "gives out each step's update one step late, and zeros at the first"
            " (google-deepmind/optax pull request 1725 mends it)"
        ),
    ),
    (
        "keras.optimizers.ScheduleFreeAdamW",
        "Keras 3.15 on TensorFlow",
        (
            "keeps a reference to the variable where it wants its old value (`momentum_old ="
            " momentum.value`), so that the average is of the wrong iterates"
        ),
    ),
    (
        "optax.adadelta()",
        "Optax 0.2.8",
        "its default learning_rate=None does not turn the sign: gradient ascent",
    ),
    ("flax.nnx.GRUCell", "Flax 0.12", "the docstring has a recurrent bias, the code none"),
    (
        "flax.nnx.BatchNorm",
        "Flax 0.12",
        "running statistics stay float32 under param_dtype=float64",
    ),
    ("keras.optimizers.Adafactor(relative_step=)", "Keras 3.15", "has no effect"),
    (
        "keras.optimizers.Ftrl",
        "Keras 3.15",
        "the first step replaces the initial weights by what an empty history gives",
    ),
    (
        "torch.optim.NAdam",
        "torch 2.13",
        "keeps mu_product in the default dtype: float32 for float64 parameters",
    ),
    (
        "keras.ops.cast(0.9, 'float64')",
        "Keras 3.15 on TensorFlow",
        (
            "is 0.8999999761581421: Python floats pass through float32, which moves Adam by"
            " 6.5e-6 in float64; pass numpy.float64 instead"
        ),
    ),
    (
        "optax.adafactor",
        "Optax 0.2.8",
        "the decay of the second moment is computed in float32 even with 64-bit types on",
    ),
    ("torch.optim.Muon", "torch 2.13", "Newton-Schulz in bfloat16 whatever the parameters are"),
)

"""Framework-neutral layers, their shapes and parameters.

Canonical layout, which adapters translate to their own: images NHWC, convolution kernels HWIO,
dense kernels [in, out], sequences [time, features], recurrent kernels [in, gates * units] with the
gates in the order i, f, g, o (LSTM) and r, z, n (GRU). All float64 until an adapter loads them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, prod
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, FiniteFloat, PositiveInt

from .strict import Strict

Shape = tuple[int, ...]
Initializer = Literal[
    "zeros",
    "constant",
    "normal",
    "uniform",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "orthogonal",
]
Role = Literal["kernel", "bias", "gain", "point", "state"]
Padding = Literal["valid", "same"]
ActivationFunction = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh"]
PointFunction = Literal["quadratic", "rosenbrock", "beale", "branin"]

# The slope of leaky_relu on the negative side (Maas et al., 2013); libraries' defaults are 0.01,
# 0.2 and 0.3.
LEAKY_SLOPE = 0.01


class Parameter(NamedTuple):
    """One tensor of a layer: its shape in canonical layout, its initialiser and the fans the
    initialiser scales by.

    role: "kernel" is what L1 and L2 penalise; "state" is not trained by the optimizer (BatchNorm's
    running statistics).
    values: the start itself, if it is given instead of drawn; shaped like the tensor, flattened
    in C order."""

    name: str
    shape: Shape
    initializer: Initializer
    fan_in: int
    fan_out: int
    role: Role = "kernel"
    values: tuple[float, ...] | None = None

    @property
    def trainable(self) -> bool:
        """Whether the optimizer updates it."""
        return self.role != "state"


class _Layer(Strict):
    def output(self, shape: Shape) -> Shape:
        """The shape of a sample after this layer. ValueError if the shape before does not fit."""
        return shape

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        """The parameters for samples of this shape, named without the layer's prefix."""
        return ()


class Dense(_Layer):
    """y = x @ kernel + bias over the last axis.

    With `weight_norm` (Salimans & Kingma, 2016, eq. 2) kernel = gain * direction / |direction|,
    norms by column; the parameters are then direction [in, out], gain [out] and bias, and the gain
    starts as |direction|: the same function."""

    kind: Literal["dense"] = "dense"
    units: PositiveInt
    initializer: Initializer = "glorot_uniform"
    bias: bool = True
    weight_norm: bool = False

    def output(self, shape: Shape) -> Shape:
        if not shape:
            raise ValueError("dense takes samples of at least one dimension")
        return (*shape[:-1], self.units)

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        fans = (shape[-1], self.units)
        kernel = Parameter(
            "direction" if self.weight_norm else "kernel", fans, self.initializer, *fans
        )
        # `initial_weights` sets a gain to the column norms of the direction that was drawn.
        gain = (
            (Parameter("gain", (self.units,), "zeros", *fans, role="gain"),)
            if self.weight_norm
            else ()
        )
        return (kernel, *gain, *_bias(self.bias, self.units, fans))


class Conv2D(_Layer):
    """Square convolution on [H, W, C]. 'same' pads zeros to ceil(size / stride), odd ones last."""

    kind: Literal["conv2d"] = "conv2d"
    filters: PositiveInt
    kernel: PositiveInt = 3
    stride: PositiveInt = 1
    padding: Padding = "same"
    initializer: Initializer = "he_normal"
    bias: bool = True

    def output(self, shape: Shape) -> Shape:
        return (*_slid(self.kind, shape, self.kernel, self.stride, self.padding), self.filters)

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        area, channels = self.kernel * self.kernel, shape[2]
        fans = (area * channels, area * self.filters)
        kernel = Parameter(
            "kernel", (self.kernel, self.kernel, channels, self.filters), self.initializer, *fans
        )
        return (kernel, *_bias(self.bias, self.filters, fans))


class _Pool(_Layer):
    window: PositiveInt = 2
    stride: PositiveInt | None = None
    padding: Padding = "valid"

    @property
    def step(self) -> int:
        """The stride; by default the window, so that windows do not overlap."""
        return self.stride or self.window


class MaxPool2D(_Pool):
    """Maximum over square windows of [H, W, C]; ties send the gradient to the first in C order."""

    kind: Literal["max_pool2d"] = "max_pool2d"

    def output(self, shape: Shape) -> Shape:
        return (*_slid(self.kind, shape, self.window, self.step, self.padding), shape[2])


class AvgPool2D(_Pool):
    """Mean over square windows of [H, W, C]; padding is not counted."""

    kind: Literal["avg_pool2d"] = "avg_pool2d"

    def output(self, shape: Shape) -> Shape:
        return (*_slid(self.kind, shape, self.window, self.step, self.padding), shape[2])


class Flatten(_Layer):
    """Any sample to a vector, in the order of the canonical layout (C order of [H, W, C])."""

    kind: Literal["flatten"] = "flatten"

    def output(self, shape: Shape) -> Shape:
        return (prod(shape),)


class BatchNorm(_Layer):
    """Normalises the last axis over all others with the batch's mean and biased variance (Ioffe &
    Szegedy, 2015).

    Running statistics, used for evaluation: new = momentum * old + (1 - momentum) * batch's, the
    variance biased too."""

    kind: Literal["batch_norm"] = "batch_norm"
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    epsilon: Annotated[float, Field(gt=0.0)] = 1e-5

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        n = shape[-1]
        ones, zeros = (1.0,) * n, (0.0,) * n
        return (
            Parameter("gain", (n,), "constant", n, n, role="gain", values=ones),
            Parameter("bias", (n,), "zeros", n, n, role="bias"),
            Parameter("moving_mean", (n,), "zeros", n, n, role="state", values=zeros),
            Parameter("moving_variance", (n,), "constant", n, n, role="state", values=ones),
        )


class LayerNorm(_Layer):
    """Normalises each sample over its last axis (Ba et al., 2016)."""

    kind: Literal["layer_norm"] = "layer_norm"
    epsilon: Annotated[float, Field(gt=0.0)] = 1e-5

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        n = shape[-1]
        return (
            Parameter("gain", (n,), "constant", n, n, role="gain", values=(1.0,) * n),
            Parameter("bias", (n,), "zeros", n, n, role="bias"),
        )


class GroupNorm(_Layer):
    """Normalises each sample over all positions and each of `groups` equal groups of neighbouring
    channels, the last axis (Wu & He, 2018)."""

    kind: Literal["group_norm"] = "group_norm"
    groups: PositiveInt
    epsilon: Annotated[float, Field(gt=0.0)] = 1e-5

    def output(self, shape: Shape) -> Shape:
        if not shape or shape[-1] % self.groups:
            raise ValueError(f"group_norm: {self.groups} groups do not divide samples {shape}")
        return shape

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        n = shape[-1]
        return (
            Parameter("gain", (n,), "constant", n, n, role="gain", values=(1.0,) * n),
            Parameter("bias", (n,), "zeros", n, n, role="bias"),
        )


class Dropout(_Layer):
    """In training, zeroes elements with probability `rate` and scales the rest by 1 / (1 - rate).

    masks="harness": which ones is drawn by the harness (`plan.dropout_masks`) and fed in, the same
    in every framework; "native": the framework draws them, and frameworks differ.
    """

    kind: Literal["dropout"] = "dropout"
    rate: Annotated[float, Field(ge=0.0, lt=1.0)]
    masks: Literal["harness", "native"] = "harness"


class Embedding(_Layer):
    """Row of kernel [vocabulary, units] for every integer of a sample [time]."""

    kind: Literal["embedding"] = "embedding"
    vocabulary: PositiveInt
    units: PositiveInt
    initializer: Initializer = "uniform"

    def output(self, shape: Shape) -> Shape:
        return (*shape, self.units)

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        return (
            Parameter(
                "kernel",
                (self.vocabulary, self.units),
                self.initializer,
                self.vocabulary,
                self.units,
            ),
        )


class _Recurrent(_Layer):
    """Over [time, features]: the last hidden state comes out, or with `sequences` all of them.
    Starts from zeros.
    """

    units: PositiveInt
    sequences: bool = False
    initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "glorot_uniform"

    def output(self, shape: Shape) -> Shape:
        _need_rank(type(self).__name__, shape, 2)
        return (shape[0], self.units) if self.sequences else (self.units,)

    def _gated(self, shape: Shape, gates: int) -> tuple[Parameter, ...]:
        # Fans are those of one gate: the kernels of the gates are stored side by side but act
        # apart.
        features, units = shape[1], self.units
        return (
            Parameter("kernel", (features, gates * units), self.initializer, features, units),
            Parameter(
                "recurrent_kernel", (units, gates * units), self.recurrent_initializer, units, units
            ),
            Parameter("bias", (gates * units,), "zeros", features, units, role="bias"),
        )


class SimpleRnn(_Recurrent):
    """h' = tanh(x @ kernel + h @ recurrent_kernel + bias)."""

    kind: Literal["simple_rnn"] = "simple_rnn"

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        return self._gated(shape, 1)


class Lstm(_Recurrent):
    """LSTM (Hochreiter & Schmidhuber, 1997; Gers et al., 2000): gates i, f, g, o; one bias."""

    kind: Literal["lstm"] = "lstm"

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        return self._gated(shape, 4)


class Gru(_Recurrent):
    """GRU with n = tanh(x W_n + b_n + r * (h R_n)): gates r, z, n; one bias, on the inputs."""

    kind: Literal["gru"] = "gru"

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        return self._gated(shape, 3)


class Activation(_Layer):
    """Elementwise. relu'(0) = 0; leaky_relu has slope 0.01, elu alpha 1; gelu is the exact one."""

    kind: Literal["activation"] = "activation"
    function: ActivationFunction = "relu"


class Point(_Layer):
    """A function of the parameters alone, for studying optimizers: samples are ignored, f(point)
    comes out for each.

    quadratic: sum(curvature_i * x_i^2) / 2 with curvatures spaced evenly in logarithm from 1 to
    `condition`;
    rosenbrock: (1 - x)^2 + 100 (y - x^2)^2; beale: (1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625
    - x + xy^3)^2;
    branin: (y - 5.1 x^2 / (4 pi^2) + 5 x / pi - 6)^2 + 10 (1 - 1 / (8 pi)) cos(x) + 10.
    """

    kind: Literal["point"] = "point"
    objective: PointFunction
    start: tuple[FiniteFloat, ...]
    condition: Annotated[float, Field(ge=1.0)] = 100.0

    def of_two(self, x: Any, y: Any, cos: Callable[[Any], Any]) -> Any:
        """The function at (x, y), arrays of any library, whose cosine is `cos`; not quadratic."""
        match self.objective:
            case "rosenbrock":
                return (1.0 - x) ** 2 + 100.0 * (y - x**2) ** 2
            case "beale":
                terms = (1.5 - x + x * y) ** 2, (2.25 - x + x * y**2) ** 2
                return terms[0] + terms[1] + (2.625 - x + x * y**3) ** 2
        valley = y - 5.1 / (4.0 * pi**2) * x**2 + 5.0 / pi * x - 6.0
        return valley**2 + 10.0 * (1.0 - 1.0 / (8.0 * pi)) * cos(x) + 10.0

    def output(self, shape: Shape) -> Shape:
        if self.objective != "quadratic" and len(self.start) != 2:
            raise ValueError(
                f"{self.objective} is a function of 2 numbers, not of {len(self.start)}"
            )
        return (1,)

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        n = len(self.start)
        return (Parameter("point", (n,), "constant", n, n, role="point", values=self.start),)


Layer = Annotated[
    Dense
    | Conv2D
    | MaxPool2D
    | AvgPool2D
    | Flatten
    | BatchNorm
    | LayerNorm
    | GroupNorm
    | Dropout
    | Embedding
    | SimpleRnn
    | Lstm
    | Gru
    | Activation
    | Point,
    Field(discriminator="kind"),
]


class BuiltLayer(NamedTuple):
    """A layer in a model: unique name, a sample's shapes, parameters with full names."""

    name: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    parameters: tuple[Parameter, ...]


def build(model: tuple[Layer, ...], input_shape: Shape) -> tuple[BuiltLayer, ...]:
    """Infers shapes through the model and names its layers `<position>_<kind>`.

    ValueError names the layer whose shapes do not fit.
    """
    built, shape = [], input_shape
    for position, layer in enumerate(model):
        name = f"{position}_{layer.kind}"
        try:
            after = layer.output(shape)
        except ValueError as error:
            raise ValueError(f"layer {name}: {error}") from None
        parameters = tuple(p._replace(name=f"{name}.{p.name}") for p in layer.parameters(shape))
        built.append(BuiltLayer(name, layer, shape, after, parameters))
        shape = after
    return tuple(built)


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """(before, after) of one axis, so that ceil(size / stride) windows fit; the odd one after."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def _bias(wanted: bool, units: int, fans: tuple[int, int]) -> tuple[Parameter, ...]:
    return (Parameter("bias", (units,), "zeros", *fans, role="bias"),) if wanted else ()


def _slid(kind: str, shape: Shape, window: int, stride: int, padding: Padding) -> tuple[int, int]:
    """Height and width after a sliding window."""
    _need_rank(kind, shape, 3)
    height, width, _ = shape
    if padding == "same":
        return -(-height // stride), -(-width // stride)
    if window > min(height, width):
        raise ValueError(f"{kind}: a window of {window} does not fit into {height}x{width}")
    return (height - window) // stride + 1, (width - window) // stride + 1


def _need_rank(kind: str, shape: Shape, rank: int) -> None:
    if len(shape) != rank:
        raise ValueError(f"{kind.lower()} takes samples of {rank} dimensions, got shape {shape}")

"""Framework-neutral layers: what a model is made of, with shapes and parameters.

Canonical layout, which adapters translate to their own: images NHWC, convolution kernels HWIO, dense kernels
[in, out], recurrent kernels [in, 4 * units] with gate order i, f, g, o. All float64 until an adapter loads them.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

Shape = tuple[int, ...]
Initializer = Literal["he_normal", "glorot_uniform", "zeros"]


class Parameter(NamedTuple):
    """One trainable tensor: its shape in canonical layout, its initialiser and the fans the initialiser scales by."""

    name: str
    shape: Shape
    initializer: Initializer
    fan_in: int
    fan_out: int


class _Layer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def output(self, shape: Shape) -> Shape:
        """Shape of one sample after this layer, given its shape before; ValueError where they do not fit."""
        raise NotImplementedError

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        """The layer's own parameters for samples of this input shape (names without the layer's prefix)."""
        return ()


class Dense(_Layer):
    """y = x @ kernel + bias, on samples of shape [in]."""

    kind: Literal["dense"] = "dense"
    units: PositiveInt
    initializer: Initializer = "glorot_uniform"

    def output(self, shape: Shape) -> Shape:
        _need_rank(self.kind, shape, 1)
        return (self.units,)

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        return (
            Parameter("kernel", (shape[0], self.units), self.initializer, shape[0], self.units),
            Parameter("bias", (self.units,), "zeros", shape[0], self.units),
        )


class Conv2D(_Layer):
    """Square convolution with stride 1 and zero padding to the input's size ('same'), on samples [H, W, C]."""

    kind: Literal["conv2d"] = "conv2d"
    filters: PositiveInt
    kernel: Annotated[int, Field(ge=1, multiple_of=1)] = 3
    initializer: Initializer = "he_normal"

    def output(self, shape: Shape) -> Shape:
        _need_rank(self.kind, shape, 3)
        if self.kernel % 2 == 0:
            raise ValueError("conv2d: only odd kernel sizes have a symmetric 'same' padding")
        return (*shape[:2], self.filters)

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        area, channels = self.kernel * self.kernel, shape[2]
        fans = (area * channels, area * self.filters)
        return (
            Parameter("kernel", (self.kernel, self.kernel, channels, self.filters), self.initializer, *fans),
            Parameter("bias", (self.filters,), "zeros", *fans),
        )


class MaxPool2D(_Layer):
    """Maximum over non-overlapping square windows; the window must divide height and width."""

    kind: Literal["max_pool2d"] = "max_pool2d"
    window: PositiveInt = 2

    def output(self, shape: Shape) -> Shape:
        _need_rank(self.kind, shape, 3)
        height, width, channels = shape
        if height % self.window or width % self.window:
            raise ValueError(f"max_pool2d: window {self.window} does not divide {height}x{width}")
        return (height // self.window, width // self.window, channels)


class Flatten(_Layer):
    """Any sample to a vector, in the order of the canonical layout (C order of [H, W, C])."""

    kind: Literal["flatten"] = "flatten"

    def output(self, shape: Shape) -> Shape:
        return (prod(shape),)


class Lstm(_Layer):
    """LSTM over [time, features]; the last hidden state comes out. One bias of [4 * units]; no forget-gate offset."""

    kind: Literal["lstm"] = "lstm"
    units: PositiveInt

    def output(self, shape: Shape) -> Shape:
        _need_rank(self.kind, shape, 2)
        return (self.units,)

    def parameters(self, shape: Shape) -> tuple[Parameter, ...]:
        # Glorot's fans are those of one gate: the four kernels are stored side by side but act apart.
        features, units = shape[1], self.units
        return (
            Parameter("kernel", (features, 4 * units), "glorot_uniform", features, units),
            Parameter("recurrent_kernel", (units, 4 * units), "glorot_uniform", units, units),
            Parameter("bias", (4 * units,), "zeros", features, units),
        )


class Activation(_Layer):
    """An elementwise non-linearity. relu'(0) = 0 in every framework."""

    kind: Literal["activation"] = "activation"
    function: Literal["relu", "tanh"] = "relu"

    def output(self, shape: Shape) -> Shape:
        return shape


Layer = Annotated[Dense | Conv2D | MaxPool2D | Flatten | Lstm | Activation, Field(discriminator="kind")]


class BuiltLayer(NamedTuple):
    """A layer in its place: its unique name, the shape of a sample before it, and its parameters with full names."""

    name: str
    layer: Layer
    input_shape: Shape
    parameters: tuple[Parameter, ...]


def build(model: tuple[Layer, ...], input_shape: Shape) -> tuple[BuiltLayer, ...]:
    """Infers shapes through the model and names its layers `<position>_<kind>`.

    Raises ValueError, naming the layer, where shapes do not fit.
    """
    built, shape = [], input_shape
    for position, layer in enumerate(model):
        name = f"{position}_{layer.kind}"
        try:
            after = layer.output(shape)
        except ValueError as error:
            raise ValueError(f"layer {name}: {error}") from None
        parameters = tuple(p._replace(name=f"{name}.{p.name}") for p in layer.parameters(shape))
        built.append(BuiltLayer(name, layer, shape, parameters))
        shape = after
    return tuple(built)


def _need_rank(kind: str, shape: Shape, rank: int) -> None:
    if len(shape) != rank:
        raise ValueError(f"{kind} takes samples of {rank} dimensions, got shape {shape}")

"""The functions of Point layers over many points at once, for drawing; the adapters compute them on
one, with gradients.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..layers import Point, PointFunction

# Where the functions of two numbers are lowest. Branin's three minima to 6 digits (Dixon & Szegö,
# 1978).
MINIMA: Mapping[PointFunction, tuple[tuple[float, float], ...]] = {
    "quadratic": ((0.0, 0.0),),
    "rosenbrock": ((1.0, 1.0),),
    "beale": ((3.0, 0.5),),
    "branin": ((-np.pi, 12.275), (np.pi, 2.275), (9.42477796, 2.475)),
}
MINIMUM: Mapping[PointFunction, float] = {
    "quadratic": 0.0,
    "rosenbrock": 0.0,
    "beale": 0.0,
    "branin": 0.39788736,
}


def surface(layer: Point, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The layer's function at the points (x, y), arrays of one shape; see layers.Point for the
    formulas.
    """
    if layer.objective == "quadratic":
        return 0.5 * (x**2 + layer.condition * y**2)
    value: np.ndarray = layer.of_two(x, y, np.cos)
    return value

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
    match layer.objective:
        case "quadratic":
            return 0.5 * (x**2 + layer.condition * y**2)
        case "rosenbrock":
            return (1.0 - x) ** 2 + 100.0 * (y - x**2) ** 2
        case "beale":
            return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2
        case "branin":
            valley = y - 5.1 * x**2 / (4.0 * np.pi**2) + 5.0 * x / np.pi - 6.0
            return valley**2 + 10.0 * (1.0 - 1.0 / (8.0 * np.pi)) * np.cos(x) + 10.0

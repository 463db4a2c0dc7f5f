"""The kinds of path, and what is said about one. Every path is defined by its float64 numbers, in real arithmetic."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from flyroom.records import Evidence


@dataclass(frozen=True)
class Polyline:
    """Straight between neighbouring `points`, which are reached at `knots`; a line has two of each."""

    points: Float64[np.ndarray, "point unit"]
    knots: Float64[np.ndarray, " point"]
    shape: tuple[int, ...]  # of one example


@dataclass(frozen=True)
class Arc:
    """x = centre + u cos a + v sin a with the angle a = begin + t (end - begin), in radians.

    A circle where u and v are orthogonal and equally long, an ellipse otherwise.
    """

    centre: Float64[np.ndarray, " unit"]
    u: Float64[np.ndarray, " unit"]
    v: Float64[np.ndarray, " unit"]
    begin: float
    end: float
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Cubic:
    """Piecewise cubic Bezier: `control` points 3j to 3j+3 make the piece between knots j and j+1.

    Neighbouring pieces share a control point, so that the path is continuous exactly, not to rounding.
    """

    control: Float64[np.ndarray, "control unit"]
    knots: Float64[np.ndarray, " knot"]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Curve:
    """Any callable from t to an example: what is measured on it is an estimate."""

    function: Callable[[float], ArrayLike]
    shape: tuple[int, ...]


Path = Polyline | Arc | Cubic | Curve


@dataclass(frozen=True)
class Taylor:
    """Polynomials in tau, from -1 at a piece's low end to 1 at its high end, with proved error bounds.

    x = sum_k coefficients[k] tau^k up to `value_errors`; dx/dtau (not dx/dt) is its derivative up to `rate_errors`;
    both hold for every unit and every tau in [-1, 1].
    """

    coefficients: Float64[np.ndarray, "power unit piece"]
    value_errors: Float64[np.ndarray, "unit piece"]
    rate_errors: Float64[np.ndarray, "unit piece"]


@dataclass(frozen=True)
class Length:
    """The length of a path lies in [low, high]: proved where the evidence is `certified`."""

    low: float
    high: float
    evidence: Evidence

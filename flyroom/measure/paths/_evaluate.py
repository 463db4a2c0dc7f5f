"""Points of a path in float64, and where its smooth pieces join."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from flyroom.measure.paths._checked import example_shape, stacked
from flyroom.measure.paths._records import Arc, Cubic, Curve, Path, Polyline

STEP = 1e-5  # of a central difference: its error is least near the cube root of the rounding error


def curve(function: Callable[[float], ArrayLike], dimension: int | tuple[int, ...]) -> Curve:
    """Any smooth callable from t in [0, 1] to an example, as a path: estimates only, and no Taylor model.

    `dimension` is the number of units or the shape of an example. Raises ValueError where one of nine points
    has another shape or is not finite, or where all of them are one.
    """
    found = Curve(function, example_shape(dimension))
    few = points(found, np.linspace(0.0, 1.0, 9))
    if (few == few[0]).all():
        raise ValueError("nine points of the curve are one: its length seems to be zero; give a curve that moves")
    return found


def knots(path: Path) -> Float64[np.ndarray, " knot"]:
    """The parameters 0 = k0 < ... < km = 1 at which smooth pieces join; every subdivision must contain them."""
    return path.knots if isinstance(path, Polyline | Cubic) else np.array([0.0, 1.0])


def points(path: Path, t: Float64[np.ndarray, " point"]) -> Float64[np.ndarray, "point unit"]:
    """x(t) in float64, a row for each t in [0, 1]: for previews, not for proofs (`taylor` has the error bounds).

    The points at the knots of a polyline or a spline are exact. Raises ValueError for a t outside [0, 1].
    """
    _inside(t)
    if isinstance(path, Curve):
        return _called(path, t)
    if isinstance(path, Arc):
        angle = (path.begin + t * (path.end - path.begin))[:, None]
        return path.centre + np.cos(angle) * path.u + np.sin(angle) * path.v
    piece, s = _local(path.knots, t)
    r = 1 - s
    if isinstance(path, Polyline):
        return r * path.points[piece] + s * path.points[piece + 1]
    b = [path.control[3 * piece + k] for k in range(4)]
    return r**3 * b[0] + 3 * r**2 * s * b[1] + 3 * r * s**2 * b[2] + s**3 * b[3]


def velocities(path: Path, t: Float64[np.ndarray, " point"]) -> Float64[np.ndarray, "point unit"]:
    """dx/dt in float64, a row for each t in [0, 1]; at a knot that of the piece after it (at t = 1 before it).

    A callable is differenced: about ten digits of a smooth one. Raises ValueError for a t outside [0, 1].
    """
    _inside(t)
    if isinstance(path, Curve):
        low, high = np.maximum(t - STEP, 0.0), np.minimum(t + STEP, 1.0)
        return (_called(path, high) - _called(path, low)) / (high - low)[:, None]
    if isinstance(path, Arc):
        span = path.end - path.begin
        angle = (path.begin + t * span)[:, None]
        return span * (np.cos(angle) * path.v - np.sin(angle) * path.u)
    piece, s = _local(path.knots, t)
    width = np.diff(path.knots)[piece][:, None]
    if isinstance(path, Polyline):
        return (path.points[piece + 1] - path.points[piece]) / width
    r = 1 - s
    d = [path.control[3 * piece + k + 1] - path.control[3 * piece + k] for k in range(3)]
    return 3 * (r**2 * d[0] + 2 * r * s * d[1] + s**2 * d[2]) / width


def closed(path: Path) -> bool:
    """Whether the path ends where it begins: exactly, or for an arc after a whole number of turns to rounding."""
    if isinstance(path, Polyline):
        return bool((path.points[0] == path.points[-1]).all())
    if isinstance(path, Cubic):
        return bool((path.control[0] == path.control[-1]).all())
    if isinstance(path, Arc):
        turns = abs(path.end - path.begin) / (2 * math.pi)
        return math.isclose(turns, round(turns), rel_tol=1e-15)
    ends = points(path, np.array([0.0, 1.0]))
    return bool(np.allclose(ends[0], ends[1], rtol=1e-12, atol=1e-12))


def _inside(t: np.ndarray) -> None:
    if not ((t >= 0) & (t <= 1)).all():
        raise ValueError("a parameter t is outside [0, 1] or not a number; a path begins at 0 and ends at 1")


def _local(at: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The piece of each t, and how much of it lies behind: a column in [0, 1]."""
    piece = np.clip(np.searchsorted(at, t, side="right") - 1, 0, len(at) - 2)
    return piece, ((t - at[piece]) / (at[piece + 1] - at[piece]))[:, None]


def _called(path: Curve, t: np.ndarray) -> Float64[np.ndarray, "point unit"]:
    found = [np.asarray(path.function(float(at))) for at in t]
    wrong = next((one.shape for one in found if one.shape != path.shape), path.shape)
    if wrong != path.shape:
        raise ValueError(f"the curve's function returned shape {wrong}; it was said to return {path.shape}")
    return stacked(np.reshape(found, (len(found), *path.shape)), "points of the curve")[0]

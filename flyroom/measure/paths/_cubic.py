"""Smooth paths through or near given points."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

from flyroom.measure.paths._checked import closing, distinct, stacked
from flyroom.measure.paths._records import Cubic


def spline(points: ArrayLike, *, closed: bool = False) -> Cubic:
    """The cubic spline through `points` (point, *shape), natural at its ends; `closed` gives the periodic one.

    The knots are the float64 numbers j/m. SciPy's spline gives the slopes at the knots; the path is then defined by
    the float64 Bezier points made of them: it meets every given point exactly and is continuous exactly, its first
    and second derivatives are so to rounding. A spline overshoots where neighbouring distances differ much.
    Raises ValueError for fewer than two points (three where closed), equal neighbours, non-finite numbers.
    """
    from scipy.interpolate import CubicSpline  # slow to import; straight paths do without

    rows, shape = stacked(points)
    rows = closing(rows) if closed else rows
    distinct(rows)
    at = np.linspace(0.0, 1.0, len(rows))
    through = CubicSpline(at, rows, bc_type="periodic" if closed else "natural")
    slopes, third = np.asarray(through(at, 1)), np.diff(at)[:, None] / 3
    control = np.empty((3 * len(rows) - 2, rows.shape[1]))
    control[::3] = rows
    control[1::3] = rows[:-1] + third * slopes[:-1]
    control[2::3] = rows[1:] - third * slopes[1:]
    return Cubic(control, at, shape)


def bezier(points: ArrayLike) -> Cubic:
    """Cubic Bezier pieces: `points` (3k+1, *shape) are their control points; every third one is on the path.

    Piece j takes the share [j/k, (j+1)/k] of t. Raises ValueError for another number of points, for a piece whose
    four control points are one, and for non-finite numbers.

    >>> bezier([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]]).knots
    array([0., 1.])
    """
    rows, shape = stacked(points)
    if len(rows) < 4 or len(rows) % 3 != 1:
        raise ValueError(f"cubic Bezier pieces take 4, 7, 10, ... control points; got {len(rows)}")
    for first in range(0, len(rows) - 1, 3):
        if _one_point(rows[first : first + 4]):
            raise ValueError(
                f"control points {first} to {first + 3} are equal: the piece has length zero; remove three of them"
            )
    return Cubic(rows, np.linspace(0.0, 1.0, len(rows) // 3 + 1), shape)


def _one_point(rows: Float64[np.ndarray, "control unit"]) -> bool:
    return bool((rows == rows[0]).all())

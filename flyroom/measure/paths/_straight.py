"""Straight paths."""

import numpy as np
from numpy.typing import ArrayLike

from flyroom.measure.paths._checked import closing, distinct, same_shape, stacked
from flyroom.measure.paths._records import Polyline


def line(start: ArrayLike, end: ArrayLike) -> Polyline:
    """The straight line from `start` (t = 0) to `end` (t = 1), two different examples of one shape.

    Raises ValueError for equal or non-finite ends and for shapes that differ.

    >>> line([0.0, 0.0], [3.0, 4.0]).points
    array([[0., 0.],
           [3., 4.]])
    """
    rows, shape = same_shape(start=start, end=end)
    ends = np.stack(rows)
    distinct(ends, "give two different ends")
    return Polyline(ends, np.array([0.0, 1.0]), shape)


def polyline(points: ArrayLike, *, closed: bool = False) -> Polyline:
    """Straight from point to point; `points` is (point, *shape of one example). `closed` goes back to the first.

    The knots are the float64 numbers j/m, so every piece takes the same share of t whatever its length: the speed
    jumps at the knots. Raises ValueError for fewer than two points (three where closed), equal neighbours and
    non-finite numbers.

    >>> polyline([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], closed=True).knots.size
    4
    """
    rows, shape = stacked(points)
    rows = closing(rows) if closed else rows
    distinct(rows)
    return Polyline(rows, np.linspace(0.0, 1.0, len(rows)), shape)

"""Paths on circles and ellipses."""

import math

import numpy as np
from numpy.typing import ArrayLike

from flyroom.measure.paths._checked import example_shape, same_shape, stacked, units
from flyroom.measure.paths._records import Arc

LARGEST_ANGLE = 1e3  # radians: many turns more are a mistake, and would take many pieces


def arc(centre: ArrayLike, u: ArrayLike, v: ArrayLike, begin: float, end: float) -> Arc:
    """x = centre + u cos a + v sin a, with the angle a from `begin` to `end` in radians (end < begin runs backwards).

    The path is defined with these float64 angles: `end=2 * np.pi` is the float64 number, 2.4e-16 below the real one.
    Raises ValueError for shapes that differ, numbers that are not finite, u = v = 0 and begin = end.

    >>> arc([0.0, 0.0], [2.0, 0.0], [0.0, 1.0], 0.0, np.pi).shape
    (2,)
    """
    (middle, first, second), shape = same_shape(centre=centre, u=u, v=v)
    if not (first.any() or second.any()):
        raise ValueError("u and v are both zero: the arc has length zero; give at least one direction")
    if not abs(begin) <= LARGEST_ANGLE or not abs(end) <= LARGEST_ANGLE:
        raise ValueError(f"the angles are {begin} and {end}; give radians between +-{LARGEST_ANGLE:g}")
    if begin == end:
        raise ValueError(f"the arc begins and ends at the angle {begin}: its length is zero; give two angles")
    return Arc(middle, first, second, float(begin), float(end), shape)


def raghu(x0: ArrayLike, x1: ArrayLike) -> Arc:
    """The circular trajectory cos(pi t / 2) x0 + sin(pi t / 2) x1 of Raghu et al. (2017, arXiv 1606.05336).

    It is a quarter of a circle only where x0 and x1 are orthogonal and equally long; otherwise of an ellipse. pi/2 is
    the float64 number nearest to it, so the path ends within 6.2e-17 |x0| of x1.
    Raises ValueError for shapes that differ, equal points and numbers that are not finite.
    """
    (first, second), shape = same_shape(x0=x0, x1=x1)
    if (first == second).all():
        raise ValueError("x0 and x1 are equal; give two different points")
    zero = np.zeros(shape)
    return arc(zero, first.reshape(shape), second.reshape(shape), 0.0, math.pi / 2)


def great_circle(x0: ArrayLike, x1: ArrayLike, *, full: bool = True) -> Arc:
    """The circle about the origin through x0 in the plane of x0 and x1, with radius |x0|; from x0 towards x1.

    `full=False` stops at the direction of x1: at x1 itself only where |x1| = |x0|. The second axis is made
    orthogonal in float64, so the circle is one to rounding; its length is certified as it is.
    Raises ValueError where x0 and x1 span no plane.

    >>> round(great_circle([1.0, 0.0], [1.0, 1.0], full=False).end, 6)
    0.785398
    """
    (first, second), shape = same_shape(x0=x0, x1=x1)
    radius, other = float(_norm(first)), float(_norm(second))
    if radius == 0 or other == 0:
        raise ValueError("x0 or x1 is zero: they span no plane; give two directions")
    e, along = first / radius, second / other
    across = along - (along @ e) * e
    across -= (across @ e) * e  # twice: orthogonal to rounding also where the two are nearly parallel
    height = float(np.linalg.norm(across))
    if height < 1e-12:
        raise ValueError("x0 and x1 are parallel to rounding: they span no plane; give two different directions")
    end = 2 * math.pi if full else math.atan2(height, float(along @ e))
    v = (radius / height) * across
    return arc(np.zeros(shape), first.reshape(shape), v.reshape(shape), 0.0, end)


def circle(shape: int | tuple[int, ...], radius: float, seed: int) -> Arc:
    """A full circle about the origin in a random plane: both axes are drawn from `numpy.random.default_rng(seed)`.

    `shape` is that of one example, or its number of units (at least two). Raises ValueError otherwise and for a
    radius that is not positive and finite.
    """
    shape = example_shape(shape)
    if units(shape) < 2:
        raise ValueError(f"a circle needs at least two units; an example of shape {shape} has {units(shape)}")
    if not 0 < radius < math.inf:
        raise ValueError(f"the radius is {radius}; give a positive number")
    x0, x1 = np.random.default_rng(seed).standard_normal((2, *shape))
    (row,), _ = stacked(x0[None])
    return great_circle(x0 * (radius / float(_norm(row))), x1)


def _norm(row: np.ndarray) -> float:
    """The Euclidean norm, without overflow or underflow of the squares."""
    largest = float(np.abs(row).max())
    return largest * float(np.linalg.norm(row / largest)) if largest > 0 else 0.0

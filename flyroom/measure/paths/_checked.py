"""What may be a point of a path: finite real numbers of one shape, as flat float64."""

import math

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

LARGEST = 1e100  # so that no difference or product of a few entries overflows


def stacked(given: ArrayLike, what: str = "points") -> tuple[Float64[np.ndarray, "point unit"], tuple[int, ...]]:
    """The points (point, *shape) as rows, and the shape of one. Raises ValueError if they are no finite numbers."""
    try:
        array = np.asarray(given)
    except ValueError:
        raise ValueError(f"the {what} have different shapes; give all of them one shape") from None
    if array.dtype.kind not in "fiu":
        raise ValueError(f"the {what} have dtype {array.dtype}; give real numbers")
    if array.ndim == 0 or not array.size:
        raise ValueError(f"the {what} have shape {array.shape}; give (point, *shape of one example), not empty")
    shape = array.shape[1:]
    rows = np.array(array, np.float64).reshape(len(array), -1)
    if not np.isfinite(rows).all():
        raise ValueError(f"the {what} have entries that are not finite; remove NaN and infinity first")
    if np.abs(rows).max() > LARGEST:
        raise ValueError(f"the {what} have entries beyond {LARGEST:g}; scale them down")
    return rows, shape


def same_shape(**vectors: ArrayLike) -> tuple[list[Float64[np.ndarray, " unit"]], tuple[int, ...]]:
    """The named vectors, flat, and their common shape."""
    rows, shapes = [], {}
    for name, given in vectors.items():
        (row,), shapes[name] = stacked(np.asarray(given)[None], f"numbers of {name}")
        rows.append(row)
    if len(set(shapes.values())) > 1:
        said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"the shapes differ: {said}; give all of them one shape")
    return rows, next(iter(shapes.values()))


def distinct(rows: Float64[np.ndarray, "point unit"], advice: str = "remove one of them") -> None:
    """Raises ValueError where there are fewer than two points or two that follow each other are equal."""
    if len(rows) < 2:
        raise ValueError(f"a path needs at least two points; got {len(rows)}")
    equal = np.flatnonzero((rows[1:] == rows[:-1]).all(axis=1))
    if equal.size:
        first = int(equal[0])
        raise ValueError(f"points {first} and {first + 1} are equal: the piece between them has length zero; {advice}")


def closing(rows: Float64[np.ndarray, "point unit"]) -> Float64[np.ndarray, "point+1 unit"]:
    """The points with the first one again at the end."""
    if len(rows) < 3:
        raise ValueError(f"a closed path needs at least three points; got {len(rows)}")
    if (rows[0] == rows[-1]).all():
        raise ValueError("the last point equals the first; leave it out, closed=True adds it")
    return np.concatenate([rows, rows[:1]])


def example_shape(given: int | tuple[int, ...]) -> tuple[int, ...]:
    """A number of units or a shape, as a shape of positive sizes."""
    shape = (given,) if isinstance(given, int) else tuple(given)
    if any(isinstance(size, bool) or size < 1 for size in shape):
        raise ValueError(f"an example of shape {shape} is empty; give positive sizes")
    return shape


def units(shape: tuple[int, ...]) -> int:
    """How many numbers one example has."""
    return math.prod(shape)

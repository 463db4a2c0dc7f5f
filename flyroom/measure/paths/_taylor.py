"""Taylor models of a path: a polynomial on each piece with proved bounds of what it leaves out, rounding included.

Every bound counts the roundings of the float64 operations that made the coefficients, to first order, rounded up
generously; `SLACK` covers the higher orders and the rounding of the bounds themselves, `TINY` covers underflow.
"""

import numpy as np
from jaxtyping import Float64

from flyroom.measure.paths._records import Arc, Cubic, Curve, Path, Polyline, Taylor

ROUND = 2.0**-53  # unit roundoff
ULPS = 4  # NumPy's cos and sin are trusted to; the tests compare them with Arb, in which they are within 1
SLACK, TINY = 1 + 1e-13, 1e-300
LARGEST_ORDER = 64


def taylor(path: Path, low: Float64[np.ndarray, " piece"], high: Float64[np.ndarray, " piece"], order: int) -> Taylor:
    """The path on the pieces [low, high] of t, as polynomials of degree `order` in tau in [-1, 1].

    Each piece must lie between two neighbouring `knots`. t runs in real arithmetic from the number `low` (tau = -1) to
    the number `high` (tau = 1). Lines and cubics are polynomials, so that their errors are rounding alone (where order
    >= 1 and >= 3); arcs leave out a^(order+1)/(order+1)! for the half angle a. Note that rates are d/dtau, not d/dt.

    Raises ValueError for a callable, which proves nothing, and for pieces that are empty, cross a knot or leave [0, 1].

    >>> from flyroom.measure.paths import line
    >>> taylor(line([0.0, 0.0], [3.0, 4.0]), np.array([0.0]), np.array([1.0]), 2).coefficients[:, :, 0]
    array([[1.5, 2. ],
           [1.5, 2. ],
           [0. , 0. ]])
    """
    if isinstance(path, Curve):
        raise ValueError(
            "a callable has no Taylor model, since nothing is known between its values; give a line, polyline, arc, "
            "spline or Bezier path, or ask for an estimate"
        )
    if not 1 <= order <= LARGEST_ORDER:
        raise ValueError(f"the order is {order}; give 1 to {LARGEST_ORDER}")
    if not ((low >= 0) & (low < high) & (high <= 1)).all():
        raise ValueError("each piece must have 0 <= low < high <= 1")
    if isinstance(path, Arc):
        return _arc(path, low, high, order)
    piece = np.searchsorted(path.knots, low, side="right") - 1
    if (high > path.knots[piece + 1]).any():
        raise ValueError("a piece crosses a knot of the path; subdivide at knots(path)")
    begin = path.knots[piece]
    width = path.knots[piece + 1] - begin
    # The share of the knot interval at the middle of the piece, and half of what the piece takes of it: both are sums
    # and quotients of non-negative numbers, to within 4 roundings relative.
    middle, half = ((low - begin) / width + (high - begin) / width) / 2, (high - low) / width / 2
    if isinstance(path, Polyline):
        return _straight(path, piece, middle, half, order)
    return _cubic(path, piece, middle, half, order)


def _straight(path: Polyline, piece: np.ndarray, middle: np.ndarray, half: np.ndarray, order: int) -> Taylor:
    columns = path.points.T
    start = columns[:, piece]
    step = columns[:, piece + 1] - start
    coefficients = np.zeros((order + 1, *start.shape))
    coefficients[0] = start + middle * step
    coefficients[1] = half * step
    # middle * step: 4 + 1 + 1 roundings, half * step: 3 + 1 + 1; the sum rounds once more.
    rates = 8 * ROUND * np.abs(coefficients[1])
    values = 8 * ROUND * middle * np.abs(step) + rates + ROUND * np.abs(coefficients[0])
    return Taylor(coefficients, values * SLACK + TINY, rates * SLACK + TINY)


def _cubic(path: Cubic, piece: np.ndarray, s: np.ndarray, h: np.ndarray, order: int) -> Taylor:
    """The cubic b0 + c1 s + c2 s^2 + c3 s^3 of the knot interval, shifted to the middle of the piece and scaled."""
    columns = path.control.T
    b = [columns[:, 3 * piece + k] for k in range(4)]
    d = [b[k + 1] - b[k] for k in range(3)]
    shifted = _shifted(3 * d[0], 3 * (d[1] - d[0]), d[2] - 2 * d[1] + d[0], s, h)
    shifted[0] += b[0]
    # The same sums of absolute values: with them a bound counts at most 21 roundings of each coefficient.
    a = [np.abs(step) for step in d]
    sizes = _shifted(3 * a[0], 3 * (a[1] + a[0]), a[2] + 2 * a[1] + a[0], s, h)
    values = 32 * ROUND * (sizes[0] + sizes[1] + sizes[2] + sizes[3]) + ROUND * np.abs(shifted[0])
    rates = 32 * ROUND * (sizes[1] + 2 * sizes[2] + 3 * sizes[3])
    for power in range(order + 1, 4):  # what a lower order leaves out
        values += np.abs(shifted[power])
        rates += power * np.abs(shifted[power])
    coefficients = np.zeros((order + 1, *values.shape))
    for power in range(min(order, 3) + 1):
        coefficients[power] = shifted[power]
    return Taylor(coefficients, values * SLACK + TINY, rates * SLACK + TINY)


def _shifted(
    c1: np.ndarray, c2: np.ndarray, c3: np.ndarray, s: np.ndarray, h: np.ndarray
) -> list[Float64[np.ndarray, "unit piece"]]:
    """Coefficients in tau of c1 x + c2 x^2 + c3 x^3 at x = s + h tau."""
    third = s * c3
    return [s * (c1 + s * (c2 + third)), h * (c1 + s * (2 * c2 + 3 * third)), h * h * (c2 + 3 * third), h * h * h * c3]


def _arc(path: Arc, low: np.ndarray, high: np.ndarray, order: int) -> Taylor:
    """cos and sin of angle + a tau by their series in a tau; the remainder is Lagrange's."""
    span = path.end - path.begin
    angle, half = path.begin + (low + high) / 2 * span, (high - low) / 2 * span
    # The angle: 3 roundings of its second term and one of the sum. The half angle: 3 roundings relative.
    moved = 8 * ROUND * (abs(path.begin) + abs(span))
    wrong = 2 * ULPS * ROUND + moved  # of cos and sin at the real middle
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = path.u[:, None], path.v[:, None]
    turned = (u * cos + v * sin, v * cos - u * sin)
    coefficients = np.empty((order + 1, *turned[0].shape))
    np.add(path.centre[:, None], turned[0], out=coefficients[0])
    factor, size = np.ones_like(half), np.abs(half)
    values, rates = np.full_like(size, wrong + 6 * ROUND), np.zeros_like(size)
    for power in range(1, order + 1):
        factor = factor * half / power  # to within 6 roundings more each time
        np.multiply(turned[power % 2], -factor if power % 4 in (2, 3) else factor, out=coefficients[power])
        each = np.abs(factor) * (wrong + (8 * power + 6) * ROUND)
        values += each
        rates += power * each
    left_out = np.abs(factor) * size / (order + 1) * (1 + 8 * (order + 1) * ROUND)
    sizes, radii = np.abs(u) + np.abs(v), np.hypot(u, v)
    value_errors = sizes * values + radii * left_out + ROUND * np.abs(coefficients[0])
    rate_errors = sizes * rates + radii * ((order + 1) * left_out)
    return Taylor(coefficients, value_errors * SLACK + TINY, rate_errors * SLACK + TINY)

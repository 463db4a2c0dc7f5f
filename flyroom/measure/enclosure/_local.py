"""Taylor coefficients of elementwise functions with a proved bound of their error, in float64.

Everything rests on one assumption: a base function of NumPy or SciPy errs by at most `ULPS` units in the last place.
What is computed from base functions is bounded by running error analysis (Higham, *Accuracy and Stability of Numerical
Algorithms*, 2002, sections 3.1 and 3.3), with u = 2^-53 for each operation; one ulp is at most 2 u of the number.

Derivatives of tanh, erf and GELU are a decaying weight times a polynomial. All roots of the polynomial are real, and a
product of differences loses no digits except where it must: close to a root. The weight 1 - tanh^2 comes from one
exponential, and the error of that is an error of the place: exp(-2 x) with a relative error d is exp(-2 x') at an x'
only d / 2 away, so that it costs d / 2 times the next derivative.
"""

from collections.abc import Callable, Mapping
from math import factorial, pi, sqrt
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import special

from flyroom.measure.enclosure import _tables

HIGHEST = 12  # the highest order
U = 2.0**-53
GUARD = 2.0**-900  # above all that is lost where numbers underflow
_SLACK = 1 + 2.0**-30  # above the rounding of the error bounds themselves, and terms in u^2

# Assumed, in ulp. Measured by benchmarks/ulps.py against Arb (NumPy 2.4.6, SciPy 1.17.1, AVX-512): exp 0.68, expm1
# 0.52, log 0.58, log1p 0.57, sin 0.52, cos 0.52, tanh 1.16, erf 2.68. IEEE 754 has sqrt rounded correctly. That of
# erfc grows with its argument z and is used for z >= 1 only: ULPS["erfc"] + 2 z^2, measured 0.65 of that at most.
ULPS: Mapping[str, float] = MappingProxyType(
    {
        "exp": 4.0,
        "expm1": 4.0,
        "log": 4.0,
        "log1p": 4.0,
        "sqrt": 0.5,
        "sin": 4.0,
        "cos": 4.0,
        "tanh": 4.0,
        "erf": 6.0,
        "erfc": 8.0,
    }
)


class Local(NamedTuple):
    """Taylor coefficients, the value first, and how far each may be from the truth."""

    coefficients: Float64[np.ndarray, "order+1 *shape"]
    errors: Float64[np.ndarray, "order+1 *shape"]


Rows = tuple[np.ndarray, np.ndarray]  # coefficients and errors, (order + 1, number)


def expand(name: str, centre: np.ndarray, order: int) -> Rows:
    """`local` without its checks, of centres in one row. Where nothing is known: 0 with an infinite error."""
    with np.errstate(all="ignore"):
        values, errors = RULES[name](centre, order)
        errors *= _SLACK
        errors += GUARD
        if not np.isfinite(errors.sum() + values.sum()):
            lost = ~(np.isfinite(values) & np.isfinite(errors))
            values[lost], errors[lost] = 0, np.inf
    return values, errors


def _relative(values: np.ndarray, units: float | np.ndarray) -> Rows:
    """Values that err by `units` times u of themselves."""
    return values, np.abs(values) * (units * U)


class _Place(NamedTuple):
    """Where a polynomial is taken: w, or w - 1 where `flipped`, and how far it may be off.

    Where flipped, w - root is (w - 1) + (1 - root), both without cancellation.
    """

    at: np.ndarray
    off: np.ndarray
    flipped: np.ndarray | None = None


def _product(name: str, order: int, start: np.ndarray, place: _Place, value: np.ndarray, error: np.ndarray) -> int:
    """Into `value`: start * lead * (w - root) * (w - root) ... of that order; into `error`: what `place.off` makes.

    Lead, root and 1 - root are rounded to nearest. What comes in relative errors is left to the caller: the result is
    their number in u, two for the lead and three for each root.
    """
    roots, gaps, leads = _tables.factors(name)
    np.multiply(start, leads[order], out=value)
    zeros = np.isfinite(roots[order])
    # A root errs by u |root| <= u |w - root| + u |w|, and so does 1 - root.
    off = place.off + np.abs(place.at) * U
    for i, (root, gap) in enumerate(zip(roots[order][zeros].tolist(), gaps[order][zeros].tolist(), strict=True)):
        factor = place.at - (root if place.flipped is None else np.where(place.flipped, -gap, root))
        made = np.abs(value * off)
        value *= factor
        if i:  # |(v + e)(f + d) - v f| <= |v| d + e (|f| + d)
            np.abs(factor, out=factor)
            factor += off
            error *= factor
            error += made
        else:
            error[:] = made
    if not zeros.any():
        error[:] = 0
    return 2 + 3 * int(zeros.sum())


def _products(
    name: str, orders: range, starts: Rows, relative: float | np.ndarray, place: _Place, values: np.ndarray, errors
) -> None:
    """Into rows of these orders: `_product`, from the first of `starts` where the derivative is even, else the second.

    `relative` is that of both starts, in u.
    """
    for k in orders:
        units = _product(name, k, starts[_tables.odd(name, k)], place, values[k], errors[k])
        errors[k] += np.abs(values[k]) * ((relative + units) * U)


class _Bend(NamedTuple):
    """What tanh at h gives: a = exp(-2 |h|), 1 + a, and the rows of tanh, of which row 0 is left empty.

    `shift` bounds how far the h' that a is of is from h.
    """

    small: np.ndarray
    above: np.ndarray
    values: np.ndarray
    errors: np.ndarray
    shift: float


def _bend(h: np.ndarray, order: int) -> _Bend:
    """Row k is (-1)^(k-1) (1 - y^2) times a monic polynomial in y = tanh h.

    The weight is 4 a / (1 + a)^2 and errs by 4 u, y = (1 - a) / (1 + a) by 3 u, y^2 by 7 u, for the h' that a is of.
    """
    small = np.exp(-2 * np.minimum(np.abs(h), 350))  # beyond, all rows are below GUARD
    above = 1 + small
    y = np.copysign((1 - small) / above, h)
    weight = 4 * small / (above * above)
    w = y * y
    flipped = w > 0.5
    place = _Place(np.where(flipped, -weight, w), np.where(flipped, weight * (4 * U), w * (7 * U)), flipped)
    values, errors = np.empty((2, order + 2, *h.shape))
    starts = (weight, weight * y)
    _products("tanh", range(1, order + 1), starts, 8.0, place, values, errors)
    _product("tanh", order + 1, starts[_tables.odd("tanh", order + 1)], place, values[-1], errors[-1])
    # From h' to h: the next row, and the one after it for the second order. |row| <= weight since all factors are
    # below 1, and the error of a row is far below 1e-13 of the weight.
    shift = 1.001 * ULPS["exp"] * U
    spare = 1e-12 * weight
    for k in range(1, order + 1):
        errors[k] += (np.abs(values[k + 1]) + spare) * ((k + 1) * shift)
    return _Bend(small, above, values[:-1], errors[:-1], shift)


def _tanh(x: np.ndarray, order: int) -> Rows:
    _, _, values, errors, _ = _bend(x, order)
    values[0], errors[0] = _relative(np.tanh(x), 2 * ULPS["tanh"])
    return values, errors


def _sigmoid_and(x: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray, _Bend]:
    """(1 + tanh(x / 2)) / 2, with what it was made of."""
    bend = _bend(x / 2, order)
    values, errors = bend.values, bend.errors
    for k in range(1, order + 1):
        values[k] *= 0.5 ** (k + 1)
        errors[k] *= 0.5 ** (k + 1)
    values[0] = np.where(x < 0, bend.small, 1.0) / bend.above
    slope = bend.small / bend.above  # above the derivative, a / (1 + a)^2
    errors[0] = values[0] * (3 * U) + slope * (2.01 * bend.shift)
    return values, errors, bend


def _sigmoid(x: np.ndarray, order: int) -> Rows:
    return _sigmoid_and(x, order)[:2]


def _softplus(x: np.ndarray, order: int) -> Rows:
    """max(x, 0) + log(1 + exp(-|x|)); its derivative is the sigmoid."""
    slopes, of_slopes, bend = _sigmoid_and(x, max(order - 1, 0))
    bent = np.log1p(bend.small)
    value = np.maximum(x, 0) + bent
    error = bent * (2 * ULPS["log1p"] * U) + bend.small * (2.01 * bend.shift) + value * U
    values, errors = np.empty((2, order + 1, *x.shape))
    values[0], errors[0] = value, error
    for k in range(1, order + 1):
        np.divide(slopes[k - 1], k, out=values[k])
        np.divide(of_slopes[k - 1] + np.abs(slopes[k - 1]) * U, k, out=errors[k])
    return values, errors


def _silu(x: np.ndarray, order: int) -> Rows:
    """x s(x): row k is x s_k + s_(k-1). Far out to the left s falls faster than x grows: x is held at 750 there."""
    s, e, _ = _sigmoid_and(x, order)
    values, errors = np.empty_like(s), np.empty_like(e)
    held = np.maximum(x, -750)
    values[0] = held * s[0]
    errors[0] = np.abs(values[0]) * U + e[0] * np.abs(held)
    near = np.minimum(held, 750)
    far = np.abs(near)
    for k in range(1, order + 1):
        np.multiply(s[k], near, out=values[k])
        np.multiply(e[k], far, out=errors[k])
        errors[k] += np.abs(values[k]) * U
        values[k] += s[k - 1]
        errors[k] += e[k - 1]
        errors[k] += np.abs(values[k]) * U
    return values, errors


def _erf(x: np.ndarray, order: int) -> Rows:
    """Rows k are 2/sqrt(pi) exp(-x^2) times Hermite polynomials; the rounding of x^2 is a relative error of x^2 u."""
    near = np.clip(x, -40, 40)  # beyond, all rows but the first are below GUARD
    w = near * near
    weight = np.exp(-w) * (2 / sqrt(pi))
    relative = w * 1.001 + (2 * ULPS["exp"] + 6)  # the constant, the products, and that times the odd factor
    values, errors = np.empty((2, order + 1, *x.shape))
    values[0], errors[0] = _relative(special.erf(x), 2 * ULPS["erf"])
    _products("erf", range(1, order + 1), (weight, weight * near), relative, _Place(w, w * U), values, errors)
    return values, errors


def _gelu(x: np.ndarray, order: int) -> Rows:
    """x P(x): row 1 is P + x p, rows from 2 on are the normal density p times polynomials in x^2."""
    near = np.clip(x, -40, 40)
    w = near * near
    density = np.exp(-w / 2) * (1 / sqrt(2 * pi))
    relative = w * 0.501 + (2 * ULPS["exp"] + 6)
    values, errors = np.empty((2, max(order, 1) + 1, *x.shape))
    below, error = _normal(near, density)
    held = np.maximum(x, -40)
    values[0] = held * below
    errors[0] = np.abs(held) * error + np.abs(values[0]) * U
    steep = near * density
    values[1] = below + steep
    errors[1] = error + np.abs(steep) * ((relative + 1) * U) + np.abs(values[1]) * U
    _products("gelu", range(2, order + 1), (density, steep), relative, _Place(w, w * U), values, errors)
    return values[: order + 1], errors[: order + 1]


def _normal(x: np.ndarray, density: np.ndarray) -> Rows:
    """The normal distribution function: from erf in the middle, from erfc in the tails.

    x / sqrt 2 errs by 2 u of itself, which moves the value by 2 u |x| p.
    """
    z = x * sqrt(0.5)
    half = special.erf(z) * 0.5
    value = 0.5 + half
    error = np.abs(half) * (2 * ULPS["erf"] * U) + value * U
    far = np.abs(z) >= 1
    if far.any():
        tail_of = np.abs(z[far])
        tail = special.erfc(tail_of) * 0.5
        value[far] = np.where(x[far] < 0, tail, 1 - tail)
        error[far] = tail * ((2 * ULPS["erfc"] + 4 * tail_of * tail_of) * U) + np.where(x[far] < 0, 0, U)
    return value, error + np.abs(x) * density * (2.01 * U)


def _waves(sine: np.ndarray, cosine: np.ndarray, order: int) -> np.ndarray:
    rows = (sine, cosine, -sine, -cosine)
    return np.stack([rows[k % 4] / factorial(k) for k in range(order + 1)])


def _sin(x: np.ndarray, order: int) -> Rows:
    return _relative(_waves(np.sin(x), np.cos(x), order), 2 * ULPS["sin"] + 1)


def _cos(x: np.ndarray, order: int) -> Rows:
    return _relative(_waves(np.cos(x), -np.sin(x), order), 2 * ULPS["cos"] + 1)


def _exp(x: np.ndarray, order: int) -> Rows:
    value = np.exp(x)
    return _relative(np.stack([value / factorial(k) for k in range(order + 1)]), 2 * ULPS["exp"] + 1)


def _expm1(x: np.ndarray, order: int) -> Rows:
    values, errors = _exp(x, order)
    values[0], errors[0] = _relative(np.expm1(x), 2 * ULPS["expm1"])
    return values, errors


def _powers(first: np.ndarray, units: float, x: np.ndarray, of_x: float, exponent: float, order: int) -> Rows:
    """Rows of x^exponent from the value at order 0, divided by x again and again: never a power that overflows alone.

    Each step errs by the rounding of a ratio, a product and a quotient, and by `of_x` units, the error of x.
    """
    values, errors = np.empty((2, order + 1, *x.shape))
    values[0] = first
    errors[0] = np.abs(first) * (units * U)
    for k in range(1, order + 1):
        np.divide(values[k - 1], x, out=values[k])
        values[k] *= (exponent - k + 1) / k
        errors[k] = np.abs(values[k]) * ((units + k * (3 + of_x)) * U)
    return values, errors


def _inside(domain: np.ndarray, rows: Rows) -> Rows:
    """Outside the domain nothing is known."""
    if not domain.all():
        rows[1][:, ~domain] = np.inf
    return rows


def _logarithm(x: np.ndarray, value: Rows, of_x: float, order: int) -> Rows:
    """Rows from 1 on are those of the reciprocal, divided by k."""
    values, errors = np.empty((2, order + 1, *x.shape))
    values[0], errors[0] = value
    if order:
        slopes, of_slopes = _powers(1 / x, 1 + of_x, x, of_x, -1.0, order - 1)
        divisor = np.arange(1, order + 1)[:, None]
        values[1:] = slopes / divisor
        errors[1:] = (of_slopes + np.abs(slopes) * U) / divisor
    return _inside(x > 0, (values, errors))


def _log(x: np.ndarray, order: int) -> Rows:
    return _logarithm(x, _relative(np.log(x), 2 * ULPS["log"]), 0.0, order)


def _log1p(x: np.ndarray, order: int) -> Rows:
    return _logarithm(1 + x, _relative(np.log1p(x), 2 * ULPS["log1p"]), 1.0, order)


def _sqrt(x: np.ndarray, order: int) -> Rows:
    return _inside(x >= 0, _powers(np.sqrt(x), 2 * ULPS["sqrt"], x, 0.0, 0.5, order))


def _rsqrt(x: np.ndarray, order: int) -> Rows:
    return _inside(x > 0, _powers(1 / np.sqrt(x), 2 * ULPS["sqrt"] + 1, x, 0.0, -0.5, order))


def _reciprocal(x: np.ndarray, order: int) -> Rows:
    return _inside(x != 0, _powers(1 / x, 1.0, x, 0.0, -1.0, order))


def _square(x: np.ndarray, order: int) -> Rows:
    values, errors = np.zeros((2, max(order, 2) + 1, *x.shape))
    values[0], values[1], values[2] = x * x, 2 * x, 1
    errors[0] = values[0] * U
    return values[: order + 1], errors[: order + 1]


RULES: Mapping[str, Callable[[np.ndarray, int], Rows]] = MappingProxyType(
    {
        "cos": _cos,
        "erf": _erf,
        "exp": _exp,
        "expm1": _expm1,
        "gelu": _gelu,
        "log": _log,
        "log1p": _log1p,
        "reciprocal": _reciprocal,
        "rsqrt": _rsqrt,
        "sigmoid": _sigmoid,
        "silu": _silu,
        "sin": _sin,
        "softplus": _softplus,
        "sqrt": _sqrt,
        "square": _square,
        "swish": _silu,
        "tanh": _tanh,
    }
)

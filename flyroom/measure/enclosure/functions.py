"""Elementwise functions as certified measures need them: Taylor coefficients, remainders and ranges, all proved.

Bounds hold for the real function at the given float64 numbers, rounding included, on one assumption that is stated and
measured: how far base functions of NumPy and SciPy may err (`ULPS`). GELU is the exact one, x times the normal
distribution function, not the approximation by tanh; softplus is log(1 + exp x) everywhere, without the straight line
that PyTorch draws from 20 on.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from math import inf, pi, sqrt
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Float64

from flyroom.measure.enclosure import _tables
from flyroom.measure.enclosure._local import GUARD, HIGHEST, RULES, ULPS, Local, U, expand
from flyroom.nets.derivatives import KNOWN

__all__ = ["HIGHEST", "NAMES", "ULPS", "Local", "local", "ranges", "remainder", "slopes"]

NAMES: frozenset[str] = frozenset(RULES)
_BLOCK = 2048  # centres at once: what one block needs stays in the processor's cache

Interval = tuple[Float64[np.ndarray, "*shape"], Float64[np.ndarray, "*shape"]]

# The turns of f and of f': between neighbours it is monotone. Each is (place, value), the places good to 1e-12, the
# values rounded outward by `flyroom.nets.derivatives`; a pole stands twice.
_Turns = tuple[tuple[float, float], ...]
_POLE = ((0.0, -inf), (0.0, inf))
_TURNS: Mapping[str, _Turns] = MappingProxyType(
    {
        "gelu": ((-0.75179152469356445746, KNOWN["gelu"].values.low),),
        "silu": ((-1.27846454276107379511, KNOWN["silu"].values.low),),
        "reciprocal": _POLE,
        "square": ((0.0, 0.0),),
    }
)
_SLOPE_TURNS: Mapping[str, _Turns] = MappingProxyType(
    {name: ((0.0, KNOWN[name].first.high),) for name in ("tanh", "sigmoid", "erf")}
    | {
        name: ((-place, KNOWN[name].first.low), (place, KNOWN[name].first.high))
        for name, place in (("gelu", sqrt(2)), ("silu", 2.39935728051546766783))
    }
    | {"reciprocal": _POLE}
)
# Bounds of f and of f' on the whole domain.
_Bounds = tuple[float, float]
_REAL, _RISING = (-inf, inf), (0.0, inf)
_WHOLE: Mapping[str, tuple[_Bounds, _Bounds]] = MappingProxyType(
    {name: (KNOWN[name].values, KNOWN[name].first) for name in NAMES & KNOWN.keys()}
    | {
        "cos": ((-1.0, 1.0), (-1.0, 1.0)),
        "exp": (_RISING, _RISING),
        "expm1": ((-1.0, inf), _RISING),
        "log": (_REAL, _RISING),
        "log1p": (_REAL, _RISING),
        "reciprocal": (_REAL, (-inf, 0.0)),
        "rsqrt": (_RISING, (-inf, 0.0)),
        "sqrt": (_RISING, _RISING),
    }
)


def local(name: str, centre: Float[np.ndarray, "*shape"] | float, order: int) -> Local:
    """Taylor coefficients at each centre, entry k being the k-th derivative divided by k!, with bounds of their errors.

    |true - coefficients| <= errors, the centres being taken as exact. Outside the domain, and where a number overflows,
    the coefficient is 0 and its error infinite. Errors are absolute, at least 2^-900. Not derivatives: the second is
    twice entry 2.

    Raises ValueError for a function that is not in `NAMES`, an order outside 0, ..., 12, and NaN.

    >>> found = local("exp", 0.0, 2)
    >>> found.coefficients.tolist(), bool((found.errors < 2e-15).all())
    ([1.0, 1.0, 0.5], True)
    """
    name, shape, (row,) = _checked(name, order, centre)
    values, errors = np.empty((2, order + 1, row.size))
    for start in range(0, row.size, _BLOCK):
        here = slice(start, start + _BLOCK)
        values[:, here], errors[:, here] = expand(name, row[here], order)
    return Local(values.reshape(order + 1, *shape), errors.reshape(order + 1, *shape))


def ranges(
    name: str, low: Float[np.ndarray, "*shape"] | float, high: Float[np.ndarray, "*shape"] | float
) -> tuple[Float64[np.ndarray, "*shape"], Float64[np.ndarray, "*shape"]]:
    """Below and above f(x) for all x in [low, high], elementwise; ends may be infinite.

    From the ends and the extremes between them: sharp but for rounding. Where an end is outside the domain, and where
    the pole of the reciprocal is inside, nothing more than the bounds on the whole domain.

    Raises ValueError for a function that is not in `NAMES`, for low > high and NaN.

    >>> low, high = ranges("square", -1.0, 2.0)
    >>> float(low), round(float(high), 9)
    (0.0, 4.0)
    """
    name, shape, ends = _checked(name, 0, low, high)
    least, most = _between(name, 0, *ends)
    return least.reshape(shape), most.reshape(shape)


def slopes(
    name: str, low: Float[np.ndarray, "*shape"] | float, high: Float[np.ndarray, "*shape"] | float
) -> tuple[Float64[np.ndarray, "*shape"], Float64[np.ndarray, "*shape"]]:
    """Below and above f'(x) for all x in [low, high]: as `ranges`, of the derivative.

    >>> low, high = slopes("sin", 0.0, 1.0)
    >>> round(float(low), 6), float(high)
    (0.540302, 1.0)
    """
    name, shape, ends = _checked(name, 1, low, high)
    least, most = _between(name, 1, *ends)
    return least.reshape(shape), most.reshape(shape)


def remainder(
    name: str, low: Float[np.ndarray, "*shape"] | float, high: Float[np.ndarray, "*shape"] | float, order: int
) -> Float64[np.ndarray, "*shape"]:
    """Above |f^(order)(x)| / order! for all x in [low, high], elementwise: what stands in Lagrange's remainder.

    Of tanh, sigmoid, softplus, SiLU, GELU and erf the table's supremum on the cells that meet the interval, which are
    1/64 wide (1/32 for sigmoid, softplus and SiLU); of the others closed forms at the ends. Infinite where the interval
    leaves the domain. Orders 0 and 1 are the largest absolute values of `ranges` and `slopes`.

    Raises ValueError for a function that is not in `NAMES`, an order outside 0, ..., 12, low > high and NaN.

    >>> float(remainder("square", -1.0, 1.0, 2)), float(remainder("log", 0.0, 1.0, 2))
    (1.0, inf)
    """
    name, shape, ends = _checked(name, order, low, high)
    return _largest(name, order, *ends).reshape(shape)


_FACTORIALS = 1 / np.cumprod([1.0, *range(1, HIGHEST + 1)])


def _largest(name: str, order: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    if order <= 1:
        least, most = _between(name, order, low, high)
        return np.maximum(-least, most)
    if name == "square":
        return np.full(low.shape, 1.0 if order == 2 else 0.0)
    if name in ("sin", "cos"):
        least, most = _between("sin" if (name == "sin") == (order % 2 == 0) else "cos", 0, low, high)
        return _up(np.maximum(-least, most) * _FACTORIALS[order], 3)
    if name in ("exp", "expm1"):
        return _sizes(name, high, order)
    if name in ("log", "log1p", "sqrt", "rsqrt"):  # derivatives that shrink to the right
        return _sizes(name, low, order)
    near = np.maximum(np.maximum(low, -high), 0)
    if name == "reciprocal":
        return _sizes(name, near, order)
    return _tabled(name, order, near, np.maximum(-low, high))


def _tabled(name: str, order: int, near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """sigmoid_k(x) = tanh_k(x/2) / 2^(k+1), and softplus_k = sigmoid_(k-1) / k. Halving is exact but for subnormals."""
    if name in _tables.TABLES:
        return _tables.supremum(name, order, near, far)
    kept = order if name == "sigmoid" else order - 1
    found = _tables.supremum("tanh", kept, near / 2, far / 2) * 0.5 ** (kept + 1)
    return found if name == "sigmoid" else _up(found / order, 1)


def _sizes(name: str, at: np.ndarray, order: int) -> np.ndarray:
    """Above the size of the coefficient at a place."""
    found = local(name, at, order)
    return _up(np.abs(found.coefficients[order]) + found.errors[order], 1)


def _up(x: np.ndarray, roundings: int) -> np.ndarray:
    return x * (1 + (roundings + 2) * 2 * U) + GUARD


def _between(name: str, derivative: int, low: np.ndarray, high: np.ndarray) -> Interval:
    """The range of f or f' from its ends and turns: monotone between neighbouring turns."""
    ends = local(name, np.stack([low, high]), derivative)
    values, errors = ends.coefficients[derivative], ends.errors[derivative] * (1 + 4 * U)
    spare = np.abs(values) * (2 * U)  # for the rounding of the next line
    least, most = (values - errors - spare).min(0), (values + errors + spare).max(0)
    for place, value in (_SLOPE_TURNS if derivative else _TURNS).get(name, ()):
        spread = 1e-12 if place else 0.0
        met = (low <= place + spread) & (high >= place - spread)
        least, most = np.minimum(least, value, out=least, where=met), np.maximum(most, value, out=most, where=met)
    if name in ("sin", "cos"):
        # Maxima of sin at pi/2 + 2 pi n; f' of sin is cos, and of cos it is -sin: each a quarter turn on.
        first = (0.5 if name == "sin" else 0.0) - 0.5 * derivative
        most = np.where(_meets(low, high, first), 1.0, most)
        least = np.where(_meets(low, high, first + 1), -1.0, least)
    bounds = _WHOLE[name][derivative]
    return np.maximum(least, bounds[0]), np.minimum(most, bounds[1])


def _meets(low: np.ndarray, high: np.ndarray, phase: float) -> np.ndarray:
    """Whether (phase + 2 n) pi may lie in the interval for a whole n: never False where it does.

    Below 1e6 turns are right to 1e-9, rounding and pi included; beyond, and at infinity, the answer is True.
    """
    large = ~(np.maximum(np.abs(low), np.abs(high)) < 1e6)
    start, end = (np.where(large, 0, x) / (2 * pi) - phase / 2 for x in (low, high))
    return large | (np.floor(end + 1e-9) >= np.ceil(start - 1e-9))


def _checked(name: str, order: int, *numbers: np.ndarray | float) -> tuple[str, tuple[int, ...], list[np.ndarray]]:
    """The name under which the function stands in the tables, the common shape, and the numbers in rows."""
    if name not in NAMES:
        near = get_close_matches(name, NAMES, n=3) or sorted(NAMES)
        raise ValueError(f"no certified bounds of a function {name!r}; did you mean {' or '.join(near)}?")
    if not 0 <= order <= HIGHEST:
        raise ValueError(f"order = {order}: Taylor coefficients are bounded from order 0 to {HIGHEST}")
    arrays = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in numbers))
    rows = [x.reshape(-1) for x in arrays]
    if any(np.isnan(row).any() for row in rows):
        raise ValueError(f"{name} of NaN was asked for; centres and ends of intervals are numbers")
    if (rows[0] > rows[-1]).any():
        wrong = np.flatnonzero(rows[0] > rows[-1])[0]
        raise ValueError(f"an interval from {rows[0][wrong]} to {rows[1][wrong]} is empty; give the smaller end first")
    return "silu" if name == "swish" else name, arrays[0].shape, rows

"""How long a path is: an interval that is proved to hold it."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from flyroom.measure.paths._evaluate import knots, points
from flyroom.measure.paths._records import Arc, Cubic, Curve, Length, Path, Polyline
from flyroom.measure.paths._taylor import ROUND, SLACK, taylor
from flyroom.records import Evidence

ORDER = 12
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
NODE_ERROR = 2.0**-50  # of every node and weight, absolute; measured against Arb: 2.3e-16
RADIUS = 2.0  # of the disc in which the speed is shown to be analytic
# Sixteen nodes integrate polynomials up to degree 31 exactly. The k-th Chebyshev coefficient of a function that is
# analytic and at most M in the ellipse with parameter rho is at most 2 M rho^-k (Trefethen 2013, theorem 8.1), and both
# the integral and the quadrature of T_k are at most 2, so the error is at most 8 M rho^-32 / (1 - 1/rho). The disc of
# RADIUS holds the ellipse with (rho + 1/rho) / 2 = RADIUS; M <= 1.4 |Q_0|.
_RHO = RADIUS + math.sqrt(RADIUS**2 - 1)
QUADRATURE_ERROR = 1.01 * 8 * 1.4 * _RHO**-32 / (1 - 1 / _RHO)
NEGLIGIBLE = 1e-14  # share of the whole at which a piece around zero speed is no longer halved
SHORTEST = 2.0**-45  # in t: nor is a shorter piece
SMALLEST = 1e-100  # length that is integrated
CHUNK = 2**21  # numbers at once
TINY = 1e-150  # covers squares that underflow, once everything is scaled to about one


def length(path: Path) -> Length:
    """The Euclidean length of the path: certified for all but callables, which get an estimate.

    Straight pieces: norms, rounded outward. Arcs and cubics: the speed is integrated on pieces on which it is shown to
    be analytic around the interval (Gauss-Legendre, remainder proved); pieces around points of zero speed count with
    zero and with their greatest speed. The relative width is about 1e-13 for hundreds of units, 4e-11 for 150 000.
    A callable: chord sums of 4096 pieces, a lower bound up to the callable's own error, and as upper end the sum's last
    gain from doubling added once more (three times what is missing if it is smooth): no proof.
    Raises ValueError for arcs and cubics shorter than 1e-100.
    """
    if isinstance(path, Polyline):
        return _chords(path)
    if isinstance(path, Curve):
        return _sampled(path)
    return _integrated(path)


def _chords(path: Polyline) -> Length:
    steps = np.diff(path.points, axis=0).T
    scale = _exponent(steps)
    norms = np.linalg.norm(np.ldexp(steps, -scale), axis=0)
    error = _rounding(len(steps)) * norms + TINY
    return _total(norms - error, norms + error, scale)


def _integrated(path: Arc | Cubic) -> Length:
    at = knots(path)
    low, high = at[:-1], at[1:]
    total = _at_most(path)
    if total < SMALLEST:
        raise ValueError(f"the path is at most {total:g} long; its squares underflow, scale it up")
    scale = _exponent(np.array([total]))
    chunk = max(CHUNK // (ORDER * math.prod(path.shape)), 1)
    lows: list[float] = []
    highs: list[float] = []
    while low.size:
        found = _speeds(path, low[:chunk], high[:chunk], scale)
        lows += list(found.low[found.smooth])
        highs += list(found.high[found.smooth])
        tiny = (np.ldexp(found.fastest, scale) <= NEGLIGIBLE * total) | (high[:chunk] - low[:chunk] <= SHORTEST)
        highs += list(found.fastest[~found.smooth & tiny])
        halved = _halved(low[:chunk][~found.smooth & ~tiny], high[:chunk][~found.smooth & ~tiny])
        low, high = np.concatenate([halved[0], low[chunk:]]), np.concatenate([halved[1], high[chunk:]])
    return _total(np.array(lows), np.array(highs), scale)


class _Speeds(NamedTuple):
    """Of each piece: whether its speed is smooth, its length if so, and what it is at most if not."""

    smooth: Bool[np.ndarray, " piece"]
    low: Float64[np.ndarray, " piece"]
    high: Float64[np.ndarray, " piece"]
    fastest: Float64[np.ndarray, " piece"]


def _speeds(path: Arc | Cubic, low: np.ndarray, high: np.ndarray, scale: int) -> _Speeds:
    rate, error = (np.ldexp(part, -scale) for part in _rates(path, low, high))
    slack = 1 + _rounding(len(error))
    missed = 2 * np.linalg.norm(error, axis=0) * slack + TINY
    fastest = 2 * np.linalg.norm(np.abs(rate).sum(axis=0), axis=0) * slack + missed
    powers = RADIUS ** np.arange(len(rate))[1:, None, None]
    varies = np.linalg.norm((np.abs(rate[1:]) * powers).sum(axis=0), axis=0)
    # |S - S(0)| <= 2 |Q_0| E + E^2 < |Q_0|^2 in the disc: there the root of S = sum_i Q_i^2 is analytic.
    smooth = varies <= 0.39 * np.linalg.norm(rate[0], axis=0)
    integral, part = np.zeros_like(missed), np.zeros_like(missed)
    integral[smooth], part[smooth] = _speed_integral(rate[:, :, smooth])
    return _Speeds(smooth, integral - part - missed, integral + part + missed, fastest * SLACK)


def _at_most(path: Arc | Cubic) -> float:
    """A simple upper bound of the length, to compare small pieces with: not part of any proof."""
    if isinstance(path, Arc):
        return abs(path.end - path.begin) * float(np.linalg.norm(path.u) + np.linalg.norm(path.v))
    return float(np.linalg.norm(np.diff(path.control, axis=0), axis=1).sum())


def _rates(
    path: Arc | Cubic, low: np.ndarray, high: np.ndarray
) -> tuple[Float64[np.ndarray, "power unit piece"], Float64[np.ndarray, "unit piece"]]:
    """Coefficients of dx/dtau and the bound of their error."""
    model = taylor(path, low, high, ORDER)
    powers = np.arange(1.0, ORDER + 1)[:, None, None]
    rate = powers * model.coefficients[1:]
    return rate, model.rate_errors + ROUND * SLACK * np.abs(rate).sum(axis=0)


def _speed_integral(
    rate: Float64[np.ndarray, "power unit piece"],
) -> tuple[Float64[np.ndarray, " piece"], Float64[np.ndarray, " piece"]]:
    """The integral over tau of |Q(tau)|, and the bound of its error."""
    integral = np.zeros(rate.shape[2])
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        value = rate[-1].copy()
        for coefficient in rate[-2::-1]:
            value *= node
            value += coefficient
        integral += weight * np.linalg.norm(value, axis=0)
    powers = np.arange(1.0, len(rate) + 1)[:, None, None]
    size = np.linalg.norm((powers * np.abs(rate)).sum(axis=0), axis=0)  # bounds the speed and its slope
    # Horner's rule 2 ORDER roundings; norms and the sum over nodes; a node is off (times the slope), a weight is off.
    rounding = 2 * (2 * ORDER + 16) * ROUND + 2 * _rounding(rate.shape[1]) + 2 * NODE_ERROR + len(NODES) * NODE_ERROR
    return integral, (rounding + QUADRATURE_ERROR) * size * (1 + 2 * _rounding(rate.shape[1])) + TINY


def _halved(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both halves of every piece; they share the float64 number between them, so that nothing is lost or doubled."""
    middle = (low + high) / 2
    return np.concatenate([low, middle]), np.concatenate([middle, high])


def _sampled(path: Curve) -> Length:
    rows = points(path, np.linspace(0.0, 1.0, 4097))
    fine = float(np.linalg.norm(np.diff(rows, axis=0), axis=1).sum())
    coarse = float(np.linalg.norm(np.diff(rows[::2], axis=0), axis=1).sum())
    return Length(fine, fine + max(fine - coarse, 0.0), Evidence.estimate)


def _rounding(units: int) -> float:
    """Relative error of a float64 norm of this many differences, whatever the order of the sum."""
    return (units + 16) * ROUND


def _exponent(numbers: np.ndarray) -> int:
    """The power of two that the largest number is near: a scale without rounding."""
    return int(np.frexp(np.abs(numbers).max())[1])


def _total(lows: np.ndarray, highs: np.ndarray, scale: int) -> Length:
    low = math.nextafter(math.ldexp(math.fsum(np.maximum(lows, 0.0)), scale), 0.0)
    high = math.nextafter(math.ldexp(math.fsum(highs), scale), math.inf)
    return Length(low, high, Evidence.certified)

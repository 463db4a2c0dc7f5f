"""Infinitely wide random networks (mean field): how variance, speed, curvature, correlation pass from layer to layer.

Pre-activations of layer l are Gaussian with variance q. On a circle about the origin of the input, that of the first
layer is constant, and so are all others: what is followed is a great circle. Source: Poole, Lahiri, Raghu,
Sohl-Dickstein and Ganguli, "Exponential expressivity in deep neural networks through transient chaos", NeurIPS 2016,
arXiv 1606.05340. The abstract was read; the recursions are recalled, derived again (see `propagate`), and tested
against networks that were drawn.
"""

from collections.abc import Callable
from math import inf, sqrt
from typing import Literal, NamedTuple, cast

import numpy as np
from jaxtyping import Float64
from scipy.optimize import brentq

from flyroom.measure.random_networks._arguments import (
    check_bias_std,
    check_count,
    check_positive,
    check_weight_std,
)
from flyroom.measure.random_networks._averages import ORDERS, averages, nodes, spectrum
from flyroom.nets.derivatives import known, taylor

CRITICAL = 1e-9  # a chi_1 as near to 1 as this is called critical
VANISHED, DIVERGED = 1e-12, 1e9  # variances between which a fixed point is looked for
STEP = 1.1  # ratio of neighbouring variances in the search
NEAR = 1 - 1e-10  # correlations above are not told from 1


class MeanField(NamedTuple):
    """The fixed point that deep layers tend to.

    `variance` is q*, `chi1` and `chi2` are weight_std^2 times the means of f'^2 and f''^2 there; a speed grows by the
    root of chi1 a layer. `correlation` is the correlation that two different inputs tend to, known to within
    `correlation_error`. `curvature` is what the curvature of a great circle's image tends to, times the root of the
    width: finite in the chaotic phase. `phase` is "chaotic" for chi1 above 1 and "ordered" below.
    """

    variance: float
    chi1: float
    chi2: float
    correlation: float
    correlation_error: float
    curvature: float
    phase: Literal["ordered", "critical", "chaotic"]


class Propagation(NamedTuple):
    """A great circle, layer by layer; the first entry is that of the first layer's pre-activations.

    `variance`, and `metric`, the mean square of a unit's speed per radian, are per unit of width: a speed of a whole
    layer of width N is sqrt(N metric). `curvature` is Euclidean curvature (one over the radius of the circle that fits
    best) times sqrt(N). `turning` = curvature^2 metric is the squared speed of the tangent's direction per radian: the
    integral of its root is the Grassmannian length.
    """

    variance: Float64[np.ndarray, " layer"]
    metric: Float64[np.ndarray, " layer"]
    curvature: Float64[np.ndarray, " layer"]
    turning: Float64[np.ndarray, " layer"]


def susceptibilities(activation: str, weight_std: float, variance: float) -> tuple[float, float]:
    """(chi_1, chi_2): weight_std^2 times the means of f'(u)^2 and f''(u)^2 over a Gaussian u of this variance.

    chi_1 is weight_std^2 for the identity and weight_std^2 / 2 for ReLU, whatever the variance. chi_2 is infinite for
    an activation with kinks: its curve has corners. Within 1e-12, relatively.

    Raises ValueError for an unknown activation, a weight_std not above 0, and a variance below 0 or not finite.
    """
    _check(activation, weight_std, 0.0)
    if variance != 0:
        check_positive("variance", variance)
    _, first, second = averages(activation, variance)
    return weight_std**2 * first, weight_std**2 * second


def propagate(
    activation: str, weight_std: float, bias_std: float, layers: int, *, variance: float = 1.0
) -> Propagation:
    """Variance, metric and curvature of a great circle through `layers` layers, the first of which has `variance`.

    q' = weight_std^2 E f(u)^2 + bias_std^2; g' = chi_1 g; (kappa')^2 = 3 chi_2 / chi_1^2 + kappa^2 / chi_1, with chi_1
    and chi_2 at q. They begin with g = q and kappa^2 = 1 / q: the circle h(t) = sqrt(q) (a cos t + b sin t). (So
    biases of the first layer have to be 0; those of all others are `bias_std`.)

    Why: h and h' are independent because q is constant along the circle. h'' is not independent of h: it is -(g / q) h
    and a rest r of variance A - g^2 / q, A being E h''^2. In A' / weight_std^2 = E(f'' h'^2 + f' h'')^2 what that adds,
    (g / q)^2 E f'^2 (h^2 - q) - 2 (g^2 / q) E f' f'' h, is 0 by Stein's identity E h F(h) = q E F'(h). So A' = 3 chi_2
    g^2 + chi_1 A, also away from the fixed point, and kappa^2 = A / g^2 because h' and h'' are independent.

    Exact for infinite width. At finite width the means of q, g and A are exact in the second layer. The mean of a speed
    is less than the root of the mean of its square.

    Raises ValueError for an unknown activation, a weight_std not above 0, a bias_std below 0, no layers, a variance not
    above 0, and where a number outgrows all floats.
    """
    _check(activation, weight_std, bias_std)
    check_count("layers", layers)
    check_positive("variance", variance)
    q, g, bend = variance, variance, 1 / variance
    rows = [(q, g, bend)]
    for _ in range(layers - 1):
        value, first, second = averages(activation, q)
        chi1, chi2 = weight_std**2 * first, weight_std**2 * second
        q, g = weight_std**2 * value + bias_std**2, chi1 * g
        if not (0 < q < inf and 0 < g < inf):
            raise ValueError(
                f"layer {len(rows) + 1}: variance {q:.3g}, metric {g:.3g}, which floats do not hold; take fewer layers"
            )
        bend = 3 * chi2 / chi1 / chi1 + bend / chi1
        rows.append((q, g, bend))
    variances, metrics, bends = np.array(rows).T
    return Propagation(variances, metrics, np.sqrt(bends), bends * metrics)


def mean_field(activation: str, weight_std: float, bias_std: float, *, variance: float = 1.0) -> MeanField:
    """The fixed point that a network's layers tend to, beginning with this variance of the first pre-activations.

    Formulas: `propagate`; at the fixed point kappa*^2 = 3 chi_2 / (chi_1 (chi_1 - 1)) in the chaotic phase. In the
    ordered phase the curvature grows without bound while the metric shrinks, and their product stays bounded: no growth
    of the Grassmannian length. Means are within 1e-12, relatively. The fixed point is the first between neighbours of
    a grid with ratio 1.1 in the direction in which the first step goes, which is where the layers tend to as long as
    the variance of a layer grows with that of the layer before.

    >>> found = mean_field("tanh", 1.5, 0.3)
    >>> round(found.chi1, 3), found.phase
    (1.061, 'chaotic')

    Raises ValueError for an unknown activation, a weight_std not above 0, a bias_std below 0, a variance not above 0,
    and where the variance grows without bound (ReLU above weight_std^2 = 2, identity above 1, square): then there is no
    fixed point, and `propagate` and `susceptibilities` say what happens.
    """
    _check(activation, weight_std, bias_std)
    check_positive("variance", variance)
    fixed = _fixed_variance(activation, weight_std, bias_std, variance)
    chi1, chi2 = susceptibilities(activation, weight_std, fixed)
    phase = "critical" if abs(chi1 - 1) <= CRITICAL else "chaotic" if chi1 > 1 else "ordered"
    low = high = 1.0
    if phase == "chaotic":
        low, high = _fixed_correlation(activation, weight_std, bias_std, fixed)
    if phase == "chaotic":
        curvature = sqrt(3 * chi2 / (chi1 * (chi1 - 1)))
    else:  # at the critical point a straight activation keeps the curvature that the circle has
        curvature = 1 / sqrt(fixed) if phase == "critical" and chi2 == 0 and fixed > 0 else inf
    return MeanField(fixed, chi1, chi2, (low + high) / 2, (high - low) / 2, curvature, phase)


def correlation_map(activation: str, weight_std: float, bias_std: float, variance: float, correlation: float) -> float:
    """The correlation of two inputs after one more layer, both having pre-activations of this variance.

    (weight_std^2 E f(u) f(v) + bias_std^2) / (weight_std^2 E f(u)^2 + bias_std^2), by Mehler's series to order 1000: a
    sum of c^n with weights that are not negative, closed in the middle of the bounds of its rest. Within 1e-12 for
    smooth activations at moderate variances; within 1e-5 where there are kinks and correlations near -1 or 1.

    Raises ValueError as `susceptibilities` does, and for a correlation outside [-1, 1], a bias_std below 0, a variance
    of 0.
    """
    _check(activation, weight_std, bias_std)
    check_positive("variance", variance)
    if not -1 <= correlation <= 1:
        raise ValueError(f"correlation = {correlation}: give a number from -1 to 1")
    squares, rest = spectrum(activation, variance)
    whole = squares.sum() + rest
    if correlation == -1:
        z, weight = nodes(activation, variance)
        u = sqrt(variance) * z
        shared = float(weight @ (taylor(activation, u, 0)[0] * taylor(activation, -u, 0)[0]))
    else:
        tail = rest * abs(correlation) ** ORDERS
        series = float(np.polynomial.polynomial.polyval(correlation, squares))
        # What is left out lies between 0 and the tail; for negative correlations between minus the tail and the tail.
        shared = series + (tail if correlation == 1 else tail / 2 if correlation > 0 else 0.0)
    return (weight_std**2 * shared + bias_std**2) / (weight_std**2 * float(whole) + bias_std**2)


def _check(activation: str, weight_std: float, bias_std: float) -> None:
    known(activation)  # refuses an unknown name
    check_weight_std(weight_std)
    check_bias_std(bias_std)


def _fixed_variance(activation: str, weight_std: float, bias_std: float, start: float) -> float:
    def excess(q: float) -> float:
        """By how much a layer raises the variance, over the variance: no digits are lost at small ones."""
        return weight_std**2 * averages(activation, q).value / q + bias_std**2 / q - 1

    first = excess(start)
    if abs(first) <= 1e-12:
        return start
    floor = weight_std**2 * averages(activation, 0.0).value + bias_std**2
    here, factor = start, STEP if first > 0 else 1 / STEP
    while True:
        there = here * factor
        if there > DIVERGED:
            raise ValueError(
                f"{activation} with weight_std = {weight_std} and bias_std = {bias_std}: the variance grows from layer"
                " to layer without bound, so there is no fixed point; take smaller weights, or follow the layers with"
                " `propagate`"
            )
        if floor == 0 and there < VANISHED:
            return 0.0
        if excess(there) * first <= 0:
            return _root(excess, min(here, there), max(here, there))
        here = there


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where the function is 0, to the last digits; its signs at the two ends differ."""
    return cast(float, brentq(function, low, high, xtol=1e-300))


def _fixed_correlation(activation: str, weight_std: float, bias_std: float, fixed: float) -> tuple[float, float]:
    """Bounds of the correlation c below 1 that a layer keeps: where (1 - map(c)) / (1 - c) is 1.

    That quotient is sum_n w_n (1 + c + ... + c^(n - 1)) with weights that are not negative, so it rises from at most 1
    at c = 0 to chi_1 > 1 at c = 1 and is 1 once. Orders that were left out have c^n between 0 and c^ORDERS.
    """
    squares, rest = spectrum(activation, fixed)
    weights = weight_std**2 * squares[1:] / fixed
    left = weight_std**2 * rest / fixed
    orders = np.arange(1, ORDERS)

    def quotient(c: float, last: float) -> float:
        return (float(weights @ (1 - c**orders)) + left * (1 - last)) / (1 - c) - 1

    def root(truncated: bool) -> float:
        def excess(c: float) -> float:
            return quotient(c, c**ORDERS if truncated else 0.0)

        if excess(0.0) >= 0:  # an odd activation without biases: 0, but for rounding
            return 0.0
        return _root(excess, 0.0, NEAR) if excess(NEAR) > 0 else 1.0

    one, other = root(truncated=False), root(truncated=True)
    return min(one, other), max(one, other)

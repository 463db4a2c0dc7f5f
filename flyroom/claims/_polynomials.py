"""Least squares with polynomials of one variable: fits of many draws at once, and their error in closed form.

Let y = f(x) + noise of variance s^2 at fixed places x_1, ..., x_n. The fitted polynomial is linear in y: its value at u
is a(u) . y, with weights a(u) that depend on the places alone. So, over draws of the noise, its mean at u is
a(u) . f(x) and its variance s^2 |a(u)|^2, and the expected squared error on a fresh noisy value at u is

    (a(u) . f(x) - f(u))^2  +  s^2 |a(u)|^2  +  s^2        bias^2 + variance + noise,

with nothing left over: the noise of the fresh value is independent of the fit, and the fit's deviation from its own
mean has mean zero. Averaged over u uniform on [-1, 1], by Gauss-Legendre quadrature, these are the numbers here.

Reference: Geman, Bienenstock and Doursat, "Neural networks and the bias/variance dilemma", 1992, section 3.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.polynomial import legendre

Curve = Callable[[Float[np.ndarray, "..."]], Float[np.ndarray, "..."]]

NODES = 32  # of the quadrature: exact for polynomials of degree 63


class Expected(NamedTuple):
    """What is expected of the fits of one order, averaged over [-1, 1]; `train` is on the places of the fit itself."""

    train: float
    bias: float  # squared
    variance: float


def quadrature() -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]:
    """Nodes on [-1, 1] and weights that add up to 1: a mean over the interval.

    >>> nodes, weights = quadrature()
    >>> round(float(weights @ nodes**4), 12)
    0.2
    """
    nodes, weights = legendre.leggauss(NODES)
    return nodes, weights / 2


def coefficients(
    x: Float[np.ndarray, "*own point"], y: Float[np.ndarray, "draw point"], order: int
) -> Float[np.ndarray, "draw coefficient"]:
    """The polynomials that fit each draw by least squares: coefficients of Legendre polynomials.

    `x` is one row of places for all draws, or one for each. Legendre polynomials are nearly orthogonal here, so that
    few digits are lost. Where several polynomials fit equally well, the one with the smallest coefficients is taken.

    >>> line = coefficients(np.array([-1.0, 1.0]), np.array([[2.0, 4.0]]), 1)
    >>> evaluated(line, np.array([0.0, 3.0])).round(12).tolist()
    [[3.0, 6.0]]
    """
    return (np.linalg.pinv(legendre.legvander(x, order)) @ y[..., None])[..., 0]


def evaluated(
    found: Float[np.ndarray, "draw coefficient"], at: Float[np.ndarray, "*own place"]
) -> Float[np.ndarray, "draw place"]:
    """Fitted polynomials at places that are the same for all draws, or each draw's own."""
    return (legendre.legvander(at, found.shape[-1] - 1) @ found[..., None])[..., 0]


def weights(
    x: Float[np.ndarray, " point"], at: Float[np.ndarray, " place"], order: int
) -> Float[np.ndarray, "place point"]:
    """The row for each place with which the fit there is a weighted sum of the values at x."""
    return legendre.legvander(at, order) @ np.linalg.pinv(legendre.legvander(x, order))


def expected(curve: Curve, x: Float[np.ndarray, " point"], noise: float, order: int) -> Expected:
    """Closed form, for places that stay the same from draw to draw; `noise` is its standard deviation.

    >>> found = expected(lambda x: x**2, np.linspace(-1, 1, 9), 0.5, 2)
    >>> round(found.train, 12) == round(0.5**2 * (9 - 3) / 9, 12), round(found.bias, 12)
    (True, 0.0)
    """
    nodes, share = quadrature()
    clean, inside, outside = curve(x), weights(x, x, order), weights(x, nodes, order)
    left = clean - inside @ clean
    # Of n - (order + 1) directions of the noise nothing is fitted: the trace of 1 less the projection.
    free = len(x) - float(np.trace(inside))
    return Expected(
        train=float(left @ left) / len(x) + noise**2 * free / len(x),
        bias=float(share @ (outside @ clean - curve(nodes)) ** 2),
        variance=float(noise**2 * (share @ (outside**2).sum(axis=1))),
    )

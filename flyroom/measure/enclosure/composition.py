"""The polynomial of f(P(tau)) from Taylor coefficients of f, and all that is left out of it; products of polynomials.

Polynomials stand in arrays (..., order, piece). What is cut off is bounded twice: `value` by the sum of |c_k| over what
is left out, `rate` by that of k |c_k|, which bounds its derivative on [-1, 1].
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from flyroom.measure.enclosure.rounding import gamma, up

Polynomial = Float64[np.ndarray, "*example order piece"]
Bound = Float64[np.ndarray, "*example piece"]


class Composed(NamedTuple):
    """A polynomial, and bounds of what the true one and its derivative may differ from it by."""

    coefficients: Polynomial
    value: Bound
    rate: Bound


class Tails(NamedTuple):
    """Sums over the orders from k on, at [..., k, :]: of |c|, and of order times |c|. One entry more than orders."""

    value: Polynomial
    rate: Polynomial


def tails(coefficients: Polynomial) -> Tails:
    """Both sums for every order of a polynomial."""
    size = np.abs(coefficients)
    weighted = np.arange(size.shape[-2], dtype=float)[:, None] * size
    found = []
    for terms in (size, weighted):
        sums = np.zeros((*terms.shape[:-2], terms.shape[-2] + 1, terms.shape[-1]))
        sums[..., :-1, :] = np.cumsum(terms[..., ::-1, :], axis=-2)[..., ::-1, :]
        found.append(up(sums))
    return Tails(*found)


def composed(outer: Float64[np.ndarray, "outer *example piece"], inner: Polynomial) -> Composed:
    """sum_i outer[i] (P - c)^i, c being the coefficient of order 0 of P = `inner`, to the order of P.

    By Horner's scheme. What is multiplied i more times by P - c, which begins at order 1, is only needed to order
    `order` - i: the rest lands in the tail, with the same power of the piece's length. Rounding: each term goes through
    at most `order` sums of at most order + 1 products, and all terms together are at most sum |outer[i]| g^i.
    """
    order = inner.shape[-2] - 1
    tail = tails(inner)
    stray, pace = tail.value[..., 1, :], tail.rate[..., 1, :]  # of P - c: bounds of its size and of its derivative's
    found = np.zeros_like(inner)
    found[..., 0, :] = outer[order]
    value, rate = np.zeros_like(stray), np.zeros_like(stray)
    moving = np.zeros_like(stray)
    size, growth = np.abs(outer[order]), np.zeros_like(stray)  # Horner's scheme with absolute values, for the rounding
    for i in range(order - 1, -1, -1):
        kept = order - i  # orders of the new polynomial
        cut, cut_rate = _cut(found, tail, kept)
        rate = rate * stray + value * pace + cut_rate
        value = value * stray + cut
        growth = growth * stray + size * pace
        moving = size * stray  # without outer[i], which is copied
        size = moving + np.abs(outer[i])
        new = np.zeros_like(found)
        for k in range(1, kept + 1):
            for j in range(max(0, k - order), min(k, kept)):
                new[..., k, :] += found[..., j, :] * inner[..., k - j, :]
        new[..., 0, :] = outer[i]
        found = new
    lost = gamma((order + 1) * (order + 2))
    return Composed(found, up(value + lost * moving), up(rate + lost * growth))


def _cut(polynomial: Polynomial, tail: Tails, kept: int) -> tuple[Bound, Bound]:
    """What the product of a polynomial of orders below `kept` with P - c has beyond the order `kept`."""
    value, rate = np.zeros_like(tail.value[..., 0, :]), np.zeros_like(tail.value[..., 0, :])
    last = tail.value.shape[-2] - 1
    for j in range(kept):
        begin = kept - j + 1
        if begin >= last:
            continue
        size = np.abs(polynomial[..., j, :])
        value += size * tail.value[..., begin, :]
        rate += size * (j * tail.value[..., begin, :] + tail.rate[..., begin, :])
    return value, rate


def product(a: Polynomial, b: Polynomial) -> Composed:
    """The product of two polynomials of one order, cut off at it."""
    order = a.shape[-2] - 1
    of_a, of_b = tails(a), tails(b)
    found = np.zeros(np.broadcast_shapes(a.shape, b.shape))
    value, rate = np.zeros_like(found[..., 0, :]), np.zeros_like(found[..., 0, :])
    for j in range(order + 1):
        found[..., j:, :] += a[..., j : j + 1, :] * b[..., : order + 1 - j, :]
        size, begin = np.abs(a[..., j, :]), order + 1 - j
        value += size * of_b.value[..., begin, :]
        rate += size * (j * of_b.value[..., begin, :] + of_b.rate[..., begin, :])
    lost = gamma(order + 2)
    a_size, b_size, a_pace, b_pace = (sums[..., 0, :] for sums in (of_a.value, of_b.value, of_a.rate, of_b.rate))
    return Composed(found, up(value + lost * a_size * b_size), up(rate + lost * (a_pace * b_size + a_size * b_pace)))

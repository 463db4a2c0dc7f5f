"""How many pieces or what degree a network can have, and how much length that allows inside a ball."""

from collections.abc import Callable, Sequence
from math import comb, exp, lgamma, log, pi, sqrt
from typing import Literal

import numpy as np
from jaxtyping import Float

from flyroom.measure.random_networks._arguments import (
    check_bias_std,
    check_count,
    check_positive,
    check_weight_std,
    check_width,
    check_widths,
)
from flyroom.measure.random_networks._norms import expected_norm

_UP = 1 + 1e-13  # more than all rounding here: a Gamma ratio within 1e-14, and a few products


def degree_length_bound(degree: int, radius: float, dimension: int) -> float:
    """The largest length of a polynomial curve of this degree inside a ball: proved; rounded up.

    2 D R sqrt(pi) Gamma((n + 1) / 2) / Gamma(n / 2) for degree D, radius R and n dimensions, about D R sqrt(2 pi n).
    Proof: by Cauchy and Crofton, the length of a curve is the mean, over directions, of the total variation of its
    shadow in that direction, divided by the mean of |one coordinate of a direction| = Gamma(n / 2) / (sqrt(pi)
    Gamma((n + 1) / 2)). A shadow is a polynomial of degree at most D, so it turns at most D - 1 times, and each of its
    at most D monotone stretches rises or falls by at most 2 R. For one dimension it is reached by Chebyshev's
    polynomials.

    A network of h squaring layers has degree 2^h along a line. On a whole circle (a trigonometric polynomial of
    degree D) shadows have up to 2 D monotone stretches: give twice the degree.

    >>> round(degree_length_bound(4, 1.0, 1), 9)
    8.0

    Raises ValueError for a degree or dimension below 1 and a radius not above 0.
    """
    check_count("degree", degree)
    check_positive("radius", radius)
    check_width("dimension", dimension)
    # sqrt(pi) Gamma((n + 1) / 2) / Gamma(n / 2) is the mean norm of a Gaussian vector over that of its coordinate.
    ratio = float(expected_norm(np.array([float(dimension)]))[0]) * sqrt(pi / 2)
    return _held(lambda: 2.0 * degree * radius * ratio * _UP)


def piecewise_length_bound(pieces: int, radius: float) -> float:
    """The largest length of a curve of this many straight pieces inside a ball, 2 R pieces: proved; rounded up.

    A straight piece inside a ball of radius R is at most a diameter long. Pieces are those of the image, not of the
    path: a bent path has to be counted as it is after the network.

    Raises ValueError for fewer than 1 piece and a radius not above 0.
    """
    check_count("pieces", pieces)
    check_positive("radius", radius)
    return _held(lambda: 2.0 * radius * pieces * _UP)


def activation_pattern_bound(widths: Sequence[int], activation: Literal["relu", "hard_tanh"]) -> int:
    """No network with these widths (the input's first, then its hidden layers) has more activation regions: proved.

    The product over layers of sum_(j <= m) C(n_l, j), with m the least width before the layer, and 2 n_l in place of
    n_l for hard tanh, whose units bend twice. Proof: on a region of the layers before, all pre-activations of layer l
    are affine functions of at most m variables, and n hyperplanes cut m-dimensional space into at most sum_(j <= m)
    C(n, j) regions (Schlaefli; Zaslavsky 1975). It is the argument of Raghu et al. (2017), who print its order
    (`printed.raghu_pattern_order`). Regions on which different patterns give the same linear map count apart. Along a
    line m is 1: give 1 as the first width; n_l + 1 (2 n_l + 1) pieces a layer.

    >>> activation_pattern_bound([2, 3], "relu"), activation_pattern_bound([1, 8, 8], "relu")
    (7, 81)

    Raises ValueError for fewer than two widths, widths below 1, and any other activation.
    """
    check_widths(widths)
    if activation not in ("relu", "hard_tanh"):
        raise ValueError(f"activation = {activation!r}: regions are bounded for 'relu' and 'hard_tanh'")
    bends = 1 if activation == "relu" else 2
    found = 1
    for layer, width in enumerate(widths[1:], 1):
        free = min(widths[:layer])
        found *= sum(comb(bends * width, chosen) for chosen in range(min(free, bends * width) + 1))
    return found


def expected_region_bound(neurons: int, inputs: int, constant: float) -> float:
    """The published bound of the expected number of activation regions per volume, (T N)^n / n!: quoted.

    For N >= n ReLU neurons in all, n inputs, and a constant T that holds the density of biases and the size of
    gradients, and which the caller has to know; the depth does not appear. Hanin and Rolnick, "Deep ReLU networks have
    surprisingly few activation patterns" (NeurIPS 2019, arXiv 1906.00904): the abstract was read (the number of neurons
    raised to the input dimension), the constants are recalled. Along a line it is T N: linear in the number of neurons,
    as in "Complexity of linear regions in deep networks" (ICML 2019, arXiv 1901.09021). Not a bound of the largest
    number, which is `activation_pattern_bound`.

    Raises ValueError for counts below 1, fewer neurons than inputs, a constant not above 0, and a bound that no float
    holds.
    """
    check_count("neurons", neurons)
    check_count("inputs", inputs)
    check_positive("constant", constant)
    if neurons < inputs:
        raise ValueError(
            f"{neurons} neurons of {inputs} inputs: the bound is stated for at least as many neurons as inputs; with"
            " fewer, 2 ** neurons bounds the number of regions"
        )
    return _held(lambda: exp(inputs * (log(constant) + log(neurons)) - lgamma(inputs + 1)))


def expected_first_layer_crossings(
    start: Float[np.ndarray, " input"],
    end: Float[np.ndarray, " same"],
    width: int,
    weight_std: float,
    bias_std: float,
) -> float:
    """How many units of a random first layer change sign between two points, in expectation: proved.

    width / pi times the angle between the points, each lengthened by the coordinate bias_std sqrt(fan-in) / weight_std:
    in that space a row and its bias, scaled likewise, are a normal vector of uniform direction, and its hyperplane
    separates two vectors with probability angle / pi. A unit is affine along the segment and crosses at most once.
    So the count is in proportion to the number of neurons; Hanin and Rolnick (ICML 2019, arXiv 1901.09021; abstract
    read) prove the like for all layers of a deep network, with constants that are not given here.

    >>> expected_first_layer_crossings(np.array([1.0, 0.0]), np.array([0.0, 2.0]), 10, 1.0, 0.0)
    5.0

    Raises ValueError for points of different or no length, numbers that are not finite, a point at the origin where
    there are no biases, a width below 1, a weight_std not above 0 and a bias_std below 0.
    """
    check_width("width", width)
    check_weight_std(weight_std)
    check_bias_std(bias_std)
    if len(start) != len(end) or len(start) == 0:
        raise ValueError(f"points of {len(start)} and {len(end)} coordinates: give two points of one space")
    if not (np.isfinite(start).all() and np.isfinite(end).all()):
        raise ValueError("a coordinate is not finite (NaN or infinity); give two points")
    last = bias_std * sqrt(len(start)) / weight_std
    one, two = (np.append(np.asarray(point, np.float64), last) for point in (start, end))
    if not (one.any() and two.any()):
        raise ValueError("without biases every unit is 0 at the origin, which is on no side; give another point")
    one, two = (_direction(point) for point in (one, two))
    # The arc cosine loses half the digits of a small angle; this form (Kahan) does not.
    angle = 2 * np.arctan2(np.linalg.norm(one - two), np.linalg.norm(one + two))
    return float(width * angle / pi)


def _direction(point: Float[np.ndarray, " coordinate"]) -> Float[np.ndarray, " coordinate"]:
    point = point / np.abs(point).max()  # squares of the largest coordinates would overflow
    return point / np.linalg.norm(point)


def _held(bound: Callable[[], float]) -> float:
    try:
        found = bound()
    except OverflowError:
        found = float("inf")
    if not np.isfinite(found):
        raise ValueError("the bound is larger than any float; give smaller counts or a smaller radius")
    return found

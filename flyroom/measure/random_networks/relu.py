"""Random ReLU networks: the exact expected length of a path's image, and bounds that were published for it.

Here the length of the input is 1: every number is a ratio of lengths. Widths begin with that of the input; a network of
widths n_0, ..., n_d has d layers, each with a ReLU, except the last where there is a linear head.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import exp, pi, sqrt

import numpy as np
from jaxtyping import Float64

from flyroom.measure.random_networks._arguments import check_weight_std, check_widths
from flyroom.measure.random_networks._norms import expected_masked_norm, expected_norm


def expected_relu_growths(
    widths: Sequence[int], weight_std: float, *, linear_head: bool
) -> Float64[np.ndarray, " layer"]:
    """By what factor each layer of a random ReLU network multiplies the expected length of any path: exact.

    Layer l has the factor sqrt(weight_std^2 / n_(l-1)) E[sqrt(2) Gamma((B + 1) / 2) / Gamma(B / 2)] with B binomial
    from n_l trials of probability 1/2; with a linear head B = n_l in the last layer.

    Proof: turning a row of weights and its bias (w, b) into (-w, -b) leaves |w v| as it is for a velocity v, and
    switches the unit from on to off or back. So which units are on is decided by fair coins, independent of all |w v|,
    wherever no pre-activation is 0; and the speed after the layer is the speed before, times the norm of a Gaussian
    vector with B coordinates. The length is the integral of the speed, and means pass through integrals (Fubini).
    Biases may have any symmetric distribution. The weights must be Gaussian.

    Published in other words by Hanin, Jeong and Rolnick (ICLR 2022, arXiv 2102.10492), whose constants were not read;
    the formula rests on the proof. Means are not medians: lengths are skewed, about log-normal, and the median is
    lower. Biases lengthen nothing.

    Raises ValueError for fewer than two widths, widths below 1, and a weight_std that is not above 0.
    """
    check_widths(widths)
    check_weight_std(weight_std)
    last = len(widths) - 2
    return np.array(
        [
            weight_std
            / sqrt(before)
            * (_whole(width) if linear_head and layer == last else expected_masked_norm(width, 0.5))
            for layer, (before, width) in enumerate(pairwise(widths))
        ]
    )


def expected_relu_length(widths: Sequence[int], weight_std: float, *, linear_head: bool) -> float:
    """The expected length of a path's image under a random ReLU network, over the length of the path: exact.

    The product of `expected_relu_growths`, where the proof stands. The form of the path does not matter.

    >>> round(expected_relu_length([16] * 6, 2**0.5, linear_head=False), 4)
    0.8163

    Raises ValueError as `expected_relu_growths` does, and where the product is no finite number.
    """
    return _finite_product(expected_relu_growths(widths, weight_std, linear_head=linear_head))


def asymptotic_relu_length(widths: Sequence[int], weight_std: float, *, linear_head: bool) -> float:
    """What `expected_relu_length` tends to in wide networks: no bound, and off by O(sum of 1 / n_l^2), relatively.

    sqrt(n_d / n_0) (weight_std / sqrt 2)^d exp(-5/8 sum_l 1 / n_l). By expansion of one factor, E norm = sqrt(B) (1 -
    1 / 4 B) and E sqrt(B) = sqrt(n / 2) (1 - 1 / 8 n), together 1 - 5 / 8 n. A linear head has 1 instead of 1 / sqrt 2
    and 1/4 instead of 5/8. With weight_std = sqrt 2 and equal widths it is the exponent -5/8 sum 1 / n_l of Hanin,
    Jeong and Rolnick (ICLR 2022; recalled, derived anew here).

    Raises ValueError as `expected_relu_length` does.
    """
    check_widths(widths)
    check_weight_std(weight_std)
    hidden = widths[1:-1] if linear_head else widths[1:]
    factors = [weight_std / sqrt(2) * exp(-5 / (8 * width)) for width in hidden]
    if linear_head:
        factors.append(weight_std * exp(-1 / (4 * widths[-1])))
    return _finite_product(np.array([*factors, sqrt(widths[-1] / widths[0])]))


def price_tanner_growths(
    widths: Sequence[int], weight_std: float, *, linear_head: bool, kept: float = 1.0
) -> Float64[np.ndarray, " layer"]:
    """A lower bound of each layer's factor of expected length, also for sparse Gaussian weights: proved, and loose.

    If E|u w| >= M |u| for every row of weights w and every u, then a ReLU layer of k units multiplies the expected
    length by at least M sqrt(k) / 2, and a linear one by M sqrt(k): a vector's norm is at least the sum of its absolute
    values over sqrt(k), and half the units are on (see `expected_relu_growths`). For Gaussian weights M = weight_std
    sqrt(2 / (pi n)), n being the fan-in: the factor is weight_std / sqrt(2 pi) where widths are equal. Where each
    weight is kept with probability `kept` and is 0 otherwise, M is at least `kept` times that, because the norm of what
    is left of a unit vector u is at least the sum of the u_i^2 that are left. Kept weights are not scaled up.

    Price and Tanner, arXiv 1911.10651: the general form is in the abstract; the sparse corollary is recalled, and
    proved above. With weight_std = sqrt 2 the factor is 0.564, where the true one is near 1.

    Raises ValueError as `expected_relu_growths` does, and for a `kept` that is not a share above 0.
    """
    check_widths(widths)
    check_weight_std(weight_std)
    if not 0 < kept <= 1:
        raise ValueError(f"kept = {kept}: give the share of weights that are not struck out, above 0 and at most 1")
    before, after = np.array(widths[:-1], np.float64), np.array(widths[1:], np.float64)
    factors = kept * weight_std / sqrt(2 * pi) * np.sqrt(after / before)
    if linear_head:
        factors[-1] *= 2
    return factors


def price_tanner_length(widths: Sequence[int], weight_std: float, *, linear_head: bool, kept: float = 1.0) -> float:
    """A lower bound of the expected length of a path's image, over that of the path: see `price_tanner_growths`.

    >>> round(price_tanner_length([16] * 6, 2**0.5, linear_head=False), 4)  # the truth is 0.8163
    0.0572
    """
    return _finite_product(price_tanner_growths(widths, weight_std, linear_head=linear_head, kept=kept))


def _whole(width: int) -> float:
    return float(expected_norm(np.array([width], np.float64))[0])


def _finite_product(factors: Float64[np.ndarray, " factor"]) -> float:
    logarithm = float(np.log(factors).sum())
    if abs(logarithm) > 700:
        raise ValueError(
            f"the ratio of lengths is exp({logarithm:.6g}), which no float holds; take the factors of the layers, or"
            " fewer layers"
        )
    return float(np.prod(factors)) if len(factors) < 500 else exp(logarithm)

"""Expected Euclidean norms of Gaussian vectors, whole or with coordinates struck out at random."""

from math import sqrt

import numpy as np
from jaxtyping import Float
from scipy.special import gamma

# Gamma(x + 1/2) / Gamma(x) = sqrt(x) (1 + c_1 / x + c_2 / x^2 + ...), DLMF 5.11.13. From x = 50 on the first term that
# is left out is below 1e-15.
_SERIES = (1.0, -1 / 8, 1 / 128, 5 / 1024, -21 / 32768, -399 / 262144, 869 / 4194304)
_FAR = 50.0


def expected_norm(dimension: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The mean norm of a standard Gaussian vector, sqrt(2) Gamma((n + 1) / 2) / Gamma(n / 2); 0 for dimension 0.

    Within 1e-14 of the true value, relatively.
    """
    half = np.asarray(dimension, np.float64) / 2
    near = np.clip(half, 0.5, _FAR)
    far = np.maximum(half, _FAR)
    series = np.polynomial.polynomial.polyval(1 / far, _SERIES)
    ratio = np.where(half < _FAR, gamma(near + 0.5) / gamma(near), np.sqrt(far) * series)
    return np.where(half > 0, sqrt(2) * ratio, 0.0)


def expected_masked_norm(width: int, share: float) -> float:
    """The mean norm of a standard Gaussian vector of which each coordinate is kept with probability `share`.

    An exact sum over the binomial number of kept coordinates, whose probabilities follow from the one in the middle by
    their ratios. Counts further than 20 sqrt(width) from the mean have together a probability below 2 exp(-800), by
    Hoeffding's inequality, and are left out.
    """
    if share <= 0:
        return 0.0
    if share >= 1:
        return float(expected_norm(np.array([width], np.float64))[0])
    middle, reach = int(width * share), int(20 * sqrt(width)) + 2
    up = np.arange(middle, min(width, middle + reach), dtype=np.float64)
    down = np.arange(middle, max(0, middle - reach), -1, dtype=np.float64)
    odds = share / (1 - share)
    above = np.cumprod((width - up) / (up + 1) * odds)
    below = np.cumprod(down / (width - down + 1) / odds)
    weights = np.concatenate([below[::-1], [1.0], above])
    counts = np.concatenate([down[::-1] - 1, [middle], up + 1])
    return float(weights @ expected_norm(counts) / weights.sum())

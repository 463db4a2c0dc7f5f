"""Mean and standard deviation of a raw signal's values over the whole population, in closed form.

The indexed stream is normalised by these two numbers, so that a signal's values depend on nothing but itself.
"""

from functools import lru_cache

import numpy as np

from flyroom.data.mnist1d import stages
from flyroom.data.mnist1d._arguments import Process


@lru_cache(maxsize=16)
def moments(process: Process) -> tuple[float, float]:
    """(mean, standard deviation) over classes, paddings, shifts, noise and positions.

    A value of the subsampled signal is a weighted sum of two neighbours a, b of the full one,

        y = sum_j w_j (s d_j + (1 - m_j) c_j + n_j - g r_j),    j in {a, b},

    with the dilated and shifted digit d, its mask m = (d != 0), the scale s, smoothed noise c, independent noise n
    and the ramp g r. Given class, padding and shift, which are enumerated, the terms are independent; s has mean 1
    and second moment 1 + coefficient^2 / 12, the others have mean zero, and

        E y^2 = E s^2 (sum w d)^2 + sum_jk w_j w_k (1 - m_j)(1 - m_k) Cov(c_j, c_k) + iid^2 sum w^2 + Var g (sum w r)^2.
    """
    length = process.length
    digits = stages.templates().x
    low, high = process.padding
    dilated = stages.dilator(digits, process)
    weights = stages.subsample(np.eye(length), process.final_seq_length).T  # [sample, position], two non-zeros a row
    kernel = stages.smooth(np.eye(length)).T  # [position, draw]
    covariance = process.corr_noise_scale**2 * (kernel @ kernel.T)
    right = np.minimum(np.searchsorted(np.linspace(0, 1, length), np.linspace(0, 1, len(weights)), "right"), length - 1)
    left = right - 1
    rows = np.arange(len(weights))
    w_left, w_right = weights[rows, left], weights[rows, right]

    # Shifts of the length or more leave the signal where it is, as the shift 0 does.
    shifts = np.arange(min(process.max_translation, length))
    chance = np.full(len(shifts), 1 / process.max_translation)
    chance[0] += (process.max_translation - len(shifts)) / process.max_translation
    at_left, at_right = ((place - shifts[:, None]) % length for place in (left, right))  # [shift, sample]

    first, second = [], []
    for padding in range(low, high + 1):
        for digit in dilated(np.arange(len(digits)), np.full(len(digits), padding)):
            shifted = w_left * digit[at_left] + w_right * digit[at_right]
            dark_left, dark_right = w_left * (digit[at_left] == 0), w_right * (digit[at_right] == 0)
            noise = (
                dark_left**2 * covariance[left, left]
                + dark_right**2 * covariance[right, right]
                + 2 * dark_left * dark_right * covariance[left, right]
            )
            first.append(chance @ shifted.mean(1))
            second.append(chance @ ((1 + process.scale_coeff**2 / 12) * shifted**2 + noise).mean(1))
    ramp = weights @ np.linspace(-0.5, 0.5, length)
    always = process.iid_noise_scale**2 * (weights**2).sum(1) + process.shear_scale**2 / 12 * ramp**2
    mean = float(np.mean(first))
    variance = float(np.mean(second) + always.mean() - mean**2)
    # The subtraction leaves rounding errors where nothing varies.
    if not (np.isfinite(variance) and variance > 1e-12 * mean**2):
        raise ValueError(
            f"the signals have variance {variance:g} and cannot be normalised; "
            "make scale_coeff, corr_noise_scale, iid_noise_scale and shear_scale smaller, or give them some variation"
        )
    return mean, float(np.sqrt(variance))

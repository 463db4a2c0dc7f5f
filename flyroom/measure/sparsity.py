"""Masks of zeros and ones over weights: which are kept, how sparse that is, and whether the kept ones stand together.

Pure functions of arrays. A mask is 1 where a weight is kept and 0 where it is cut.
"""

import numpy as np
from jaxtyping import Float

Mask = Float[np.ndarray, " weight"]
LayerMask = Float[np.ndarray, "output input"]


def keep_largest(scores: Float[np.ndarray, " weight"], sparsity: float) -> Mask:
    """The mask that cuts the `int(sparsity * n)` lowest of n scores; of equal scores the first are cut first.

    Pruning by magnitude scores a weight by its absolute value after training (Frankle and Carbin, ICLR 2019, section
    2); a random mask comes from scores drawn at random. A score that is NaN counts as the largest, and is kept.
    Sparsity is the share that is *cut*, not the share that is kept, and it is rounded down: 3 weights at 0.5 keep 2.

    >>> keep_largest(np.array([0.3, 0.1, 0.2, 0.5]), 0.5).tolist()
    [1.0, 0.0, 0.0, 1.0]

    Raises ValueError for a sparsity outside [0, 1].
    """
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity {sparsity} is not a share: give 0 (nothing is cut) to 1 (everything is)")
    mask = np.ones(len(scores), np.float32)
    mask[np.argsort(scores, kind="stable")[: int(sparsity * len(scores))]] = 0
    return mask


def sparsity(masks: list[np.ndarray]) -> float:
    """The share of all weights that these masks cut; ValueError where they hold no weight at all.

    >>> sparsity([np.array([1.0, 0.0]), np.array([[0.0], [0.0]])])
    0.75
    """
    count = sum(mask.size for mask in masks)
    if count == 0:
        raise ValueError("the masks hold no weights, so no share of them is cut; give at least one that is not empty")
    return sum(int((mask == 0).sum()) for mask in masks) / count


def adjacent(mask: LayerMask, together: int) -> int:
    """How often `together` neighbouring inputs of one output are all kept: windows, counted over all outputs.

    Windows overlap, and do not reach round the end: three kept in a row are two pairs. (The published notebook of
    the lottery tickets counts windows of four of a ticket with the last factor taken from the random mask.)

    >>> adjacent(np.array([[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]]), 2)
    2

    Raises ValueError for windows of fewer than one input or more than there are.
    """
    _windows(mask, together)
    kept = np.lib.stride_tricks.sliding_window_view(mask != 0, together, axis=1)
    return int(kept.all(axis=2).sum())


def expected_adjacent(mask: LayerMask, together: int) -> float:
    """What `adjacent` is on average if every output keeps as many inputs as it does, at places drawn uniformly.

    Of the C(m, n) ways to keep n of m inputs, C(m - k, n - k) keep k given ones, and there are m - k + 1 windows; so
    an output adds (m - k + 1) n (n - 1) ... (n - k + 1) / (m (m - 1) ... (m - k + 1)). The counts by output are held
    fixed on purpose. Outputs that keep many inputs have neighbours among them without any locality: "density to the
    power k" leaves that out, and calls any uneven mask local.

    >>> expected_adjacent(np.array([[1.0, 1.0, 0.0]]), 2)  # 2 of the 3 ways to keep two are neighbours
    0.6666666666666666

    Raises ValueError as `adjacent` does.
    """
    windows = _windows(mask, together)
    kept = (mask != 0).sum(axis=1).astype(np.float64)
    chance = np.ones_like(kept)
    for i in range(together):
        chance *= np.maximum(kept - i, 0) / (mask.shape[1] - i)
    return float(windows * chance.sum())


def _windows(mask: LayerMask, together: int) -> int:
    if not 1 <= together <= mask.shape[1]:
        raise ValueError(f"{together} neighbours cannot be found among {mask.shape[1]} inputs; choose 1 to that many")
    return mask.shape[1] - together + 1

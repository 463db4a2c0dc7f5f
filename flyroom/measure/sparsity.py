"""Masks of zeros and ones over weights: which are kept, how sparse that is, and whether the kept ones stand together.

Pure functions of arrays. A mask is 1 where a weight is kept and 0 where it is cut.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

Mask = Float[np.ndarray, " weight"]
LayerMask = Float[np.ndarray, "output input"]

SETTLING = 50  # rounds of trades before the first draw, in which every output trades once a round
BETWEEN = 5  # and between two draws


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
    power k" leaves that out, and calls any uneven mask local. Inputs are taken to be alike here; where some are hardly
    kept by any output, the others lie closer together, and `expected_adjacent_both` is the chance to compare with.

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


def expected_adjacent_both(
    mask: LayerMask, together: Sequence[int], *, draws: int = 100, seed: int = 0
) -> tuple[float, ...]:
    """What `adjacent` is on average if every output *and* every input keeps its count, for each of `together`.

    The mean over `draws` of all masks with these row and column sums, which are equally likely. There is no closed
    form; they are drawn by trades of two outputs (the curveball: Strona et al., Nature Communications 5:4114, 2014),
    all outputs in pairs at a time (global curveball: Carstens et al., ESA 2018): what only one of the two keeps is
    dealt out between them anew. One chain is run from the mask, so neighbouring draws are nearly independent, and the
    error is about their deviation over the root of `draws`; a pure function of mask and seed all the same.

    >>> expected_adjacent_both(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]), [2])  # there is no other such mask
    (2.0,)

    Raises ValueError as `adjacent` does, and for less than one draw.
    """
    for k in together:
        _windows(mask, k)
    if draws < 1:
        raise ValueError(f"{draws} draws have no mean; choose at least 1")
    random, kept = np.random.default_rng(seed), mask != 0
    counts = np.zeros((draws, len(together)))
    for i in range(draws):
        for _ in range(BETWEEN if i else SETTLING):
            kept = traded(kept, random)
        counts[i] = [adjacent(kept.astype(np.float32), k) for k in together]
    return tuple(counts.mean(axis=0).tolist())


def traded(kept: Bool[np.ndarray, "output input"], random: np.random.Generator) -> Bool[np.ndarray, "output input"]:
    """The mask after one trade of every output with another one, drawn at random; of an odd number, one rests.

    Each of a pair keeps what both kept. What one alone kept is shuffled between them, and each gets as many of it as
    it gave, so that no sum of a row or a column changes.
    """
    half = len(kept) // 2
    order = random.permutation(len(kept))
    one, other = order[:half], order[half : 2 * half]
    first, second = kept[one], kept[other]
    unshared = first != second
    # The places of a row that are unshared come first in `ranks`, in a random order.
    ranks = np.where(unshared, random.random(unshared.shape), 2.0).argsort(axis=1).argsort(axis=1)
    to_first = unshared & (ranks < (first & unshared).sum(axis=1, keepdims=True))
    after = kept.copy()
    after[one] = (first & second) | to_first
    after[other] = (first & second) | (unshared & ~to_first)
    return after


def _windows(mask: LayerMask, together: int) -> int:
    if not 1 <= together <= mask.shape[1]:
        raise ValueError(f"{together} neighbours cannot be found among {mask.shape[1]} inputs; choose 1 to that many")
    return mask.shape[1] - together + 1

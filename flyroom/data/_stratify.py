"""Which rows go to the smaller side of a stratified split."""

import numpy as np
from jaxtyping import Int


def stratify(
    labels: Int[np.ndarray, " example"], fraction: float, seed: int
) -> tuple[Int[np.ndarray, " rest"], Int[np.ndarray, " chosen"]]:
    """Rows of a seeded split into (rest, chosen), both in their original order.

    round(fraction * n) rows are chosen in all. A class of size c gives the whole part of fraction * c; what is
    missing to the total is given, one each, by the classes with the largest remainders, the smaller label first
    where remainders are equal. **Raises** ValueError if a class would have no row on one side.
    """
    if isinstance(fraction, bool) or not isinstance(fraction, int | float | np.integer | np.floating):
        raise TypeError(f"fraction={fraction!r} is a {type(fraction).__name__}; give a number between 0 and 1")
    if not 0 < fraction < 1:
        raise ValueError(f"fraction={fraction} is not strictly between 0 and 1; 0.2 sets one fifth aside")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed={seed!r} is not a whole number of at least 0")
    if len(labels) == 0:
        raise ValueError("there are no examples to split")
    classes, sizes = np.unique(labels, return_counts=True)
    # Rounded, so that 0.2 * 5 counts as the whole number that it stands for.
    shares = np.round(fraction * sizes, 9)
    counts = np.floor(shares).astype(int)
    missing = int(np.floor(np.round(fraction * len(labels), 9) + 0.5)) - int(counts.sum())
    largest = np.argsort(-np.round(shares - counts, 9), kind="stable")
    counts[largest[:missing]] += 1
    for label, size, count in zip(classes, sizes, counts, strict=True):
        if not 0 < count < size:
            raise ValueError(
                f"fraction={fraction} of class {label}, which has {size} example(s), leaves {count} on one side and "
                f"{size - count} on the other; each side needs at least one: change the fraction or add examples"
            )
    generator = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), bool)
    for label, count in zip(classes, counts, strict=True):
        chosen[generator.permutation(np.flatnonzero(labels == label))[:count]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)

"""Paths between the examples of a data set."""

from collections.abc import Sequence

import numpy as np

from flyroom.measure.paths._cubic import spline
from flyroom.measure.paths._records import Cubic, Polyline
from flyroom.measure.paths._straight import line
from flyroom.records import Dataset

SPLITS = ("train", "test")


def between(dataset: Dataset, i: int, j: int, *, split: str = "train") -> Polyline:
    """The straight line from example i to example j of the training or the test part.

    Raises ValueError for an index that is out of range, an unknown split, and equal examples.
    """
    first, last = examples(dataset, [i, j], split)
    return line(first, last)


def through(dataset: Dataset, indices: Sequence[int], *, closed: bool = False, split: str = "train") -> Cubic:
    """The cubic spline through these examples, in this order; `closed` returns to the first.

    Raises ValueError as `between` and `spline` do.
    """
    return spline(examples(dataset, indices, split), closed=closed)


def examples(dataset: Dataset, indices: Sequence[int], split: str = "train") -> np.ndarray:
    """The chosen examples (point, *shape of one); negative indices are refused."""
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r}; give train or test")
    x = dataset.x_train if split == "train" else dataset.x_test
    for index in indices:
        if not 0 <= index < len(x):
            raise ValueError(f"{dataset.name} has no {split} example {index}; it has {len(x)}, give 0 to {len(x) - 1}")
    return x[list(indices)]

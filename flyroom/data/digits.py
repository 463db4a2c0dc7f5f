"""Handwritten digits, 8 by 8 pixels, 1797 of them: real data that ships inside scikit-learn.

Not MNIST, and not to be compared with its figures: smaller images of other writers.

Reference: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI repository, 1998 (its test part).
"""

from typing import Any

import numpy as np

from flyroom.data._stratify import stratify
from flyroom.records import Dataset


def make(train_split: float = 0.8, seed: int = 42) -> Dataset:
    """The digits, pixels divided by 16 into [0, 1]; `x_train` is `[example, row, column]` in float64.

    1 - `train_split` of the examples are the test part, stratified, chosen by `seed`. **Raises** ValueError for a
    `train_split` outside (0, 1).

    >>> make().x_train.shape
    (1438, 8, 8)
    """
    from sklearn.datasets import load_digits

    if not 0 < train_split < 1:
        raise ValueError(f"train_split={train_split} is not strictly between 0 and 1; 0.8 trains on four fifths")
    bunch: Any = load_digits()
    x, y = np.asarray(bunch["images"]) / 16, np.asarray(bunch["target"]).astype(np.int64)
    train, test = stratify(y, 1 - train_split, seed)
    return Dataset(
        name="digits",
        x_train=x[train],
        y_train=y[train],
        x_test=x[test],
        y_test=y[test],
        classes=tuple(str(label) for label in range(10)),
        axes=("row", "column"),
        recipe={"name": "digits", "train_split": float(train_split), "seed": int(seed)},
    )

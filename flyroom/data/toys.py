"""Points in the plane: two moons, two circles, blobs. For pictures of decision regions.

Labels alternate along the examples, so that classes are as equal as the number allows; the first
`int(n * train_split)` examples are the training part, the rest the test part, all drawn independently.
"""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from jaxtyping import Float

from flyroom.records import Dataset, Json


def moons(n: int = 1000, noise: float = 0.1, train_split: float = 0.8, seed: int = 42) -> Dataset:
    """Two interleaved half circles of radius 1, the upper about (0, 0), the lower about (1, 1/2).

    `noise` is the standard deviation of a normal added to each coordinate. **Raises** TypeError, ValueError.

    >>> moons(n=10, noise=0.0).x_train.shape
    (8, 2)
    """
    y, generator = _labels("moons", n, noise, 2, train_split, seed)
    angle = np.pi * generator.random(n)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    x = np.where(y[:, None] == 0, upper, lower) + noise * generator.standard_normal((n, 2))
    return _dataset("moons", x, y, 2, train_split, {"n": n, "noise": noise, "seed": seed})


def circles(
    n: int = 1000, noise: float = 0.05, factor: float = 0.5, train_split: float = 0.8, seed: int = 42
) -> Dataset:
    """A circle of radius 1 (class 0) about one of radius `factor` (class 1), which lies in (0, 1).

    `noise` is the standard deviation of a normal added to each coordinate. **Raises** TypeError, ValueError.

    >>> circles(n=10).classes
    ('0', '1')
    """
    y, generator = _labels("circles", n, noise, 2, train_split, seed)
    if not 0 < _number("factor", factor) < 1:
        raise ValueError(f"factor={factor} is not strictly between 0 and 1; 0.5 makes the inner circle half as wide")
    angle = 2 * np.pi * generator.random(n)
    radius = np.where(y == 0, 1.0, factor)
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x += noise * generator.standard_normal((n, 2))
    return _dataset("circles", x, y, 2, train_split, {"n": n, "noise": noise, "factor": factor, "seed": seed})


def blobs(n: int = 1000, noise: float = 0.3, classes: int = 3, train_split: float = 0.8, seed: int = 42) -> Dataset:
    """Normal clouds about `classes` points that are equally spaced on the circle of radius 1, the first at (1, 0).

    `noise` is the standard deviation of each coordinate. **Raises** TypeError, ValueError.

    >>> blobs(n=10, classes=5).classes
    ('0', '1', '2', '3', '4')
    """
    if isinstance(classes, bool) or not isinstance(classes, Integral) or classes < 2:
        raise ValueError(f"classes={classes!r} is not a whole number of at least 2")
    y, generator = _labels("blobs", n, noise, classes, train_split, seed)
    angle = 2 * np.pi * y / classes
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) + noise * generator.standard_normal((n, 2))
    return _dataset("blobs", x, y, classes, train_split, {"n": n, "noise": noise, "classes": classes, "seed": seed})


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; give a number")
    if not math.isfinite(value):
        raise ValueError(f"{name}={value} is not finite; give a finite number")
    return float(value)


def _labels(
    name: str, n: int, noise: float, classes: int, train_split: float, seed: int
) -> tuple[np.ndarray, np.random.Generator]:
    """Checks what all toys share; then labels 0, 1, ..., 0, 1, ... and a generator."""
    for argument, value, least in (("n", n, classes), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(f"{argument}={value!r} is a {type(value).__name__}; give a whole number")
        if value < least:
            raise ValueError(f"{argument}={value} is too small for {name}; it must be at least {least}")
    if _number("noise", noise) < 0:
        raise ValueError(f"noise={noise} is negative; it is a standard deviation, at least 0")
    if not 0 < _number("train_split", train_split) <= 1 or int(n * train_split) == 0:
        raise ValueError(
            f"train_split={train_split} of n={n} examples is not a training part; give a fraction in (0, 1] that "
            "leaves at least one example"
        )
    return np.arange(n) % classes, np.random.default_rng(seed)


def _dataset(
    name: str,
    x: Float[np.ndarray, "example 2"],
    y: np.ndarray,
    classes: int,
    train_split: float,
    arguments: dict[str, Json],
) -> Dataset:
    train = int(len(x) * train_split)
    plain = {key: value if isinstance(value, int | float) else value.item() for key, value in arguments.items()}
    return Dataset(
        name=name,
        x_train=x[:train],
        y_train=y[:train],
        x_test=x[train:],
        y_test=y[train:],
        classes=tuple(str(label) for label in range(classes)),
        axes=("coordinate",),
        recipe={"name": name, **plain, "train_split": float(train_split)},
    )

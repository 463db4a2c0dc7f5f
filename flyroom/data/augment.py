"""More training examples from those that are there: moved and scaled copies. Dataset -> Dataset."""

from dataclasses import replace
from math import isfinite

import numpy as np

from flyroom.records import Dataset


def roll_and_scale(
    dataset: Dataset,
    copies: int,
    *,
    seed: int,
    roll: bool = True,
    low: float | int = 0.8,
    high: float | int = 1.2,
) -> Dataset:
    """The training part, and after it so many rolled and scaled copies of examples of it.

    A copy is of an example that is drawn at random, with replacement; it is rotated by a number of places that is drawn
    from all of them, so that what leaves at the end comes back at the beginning, and multiplied by a factor that is
    uniform on [low, high). The label stays. With `roll=False` nothing is rotated, with `low=high=1` nothing is scaled;
    the draws of one seed are the same in either case, and fewer copies are the beginning of more. The test part is
    untouched.

    Source: Prince, Understanding Deep Learning (2023), notebook 9.5. A rotation moves the end of a signal to its
    beginning: it is no shift of the digit alone.

    **Raises** ValueError for a negative number of copies or seed, for bounds that are not finite or not in order, and
    for examples that are no signals.

    >>> from flyroom.data import mnist1d
    >>> more = roll_and_scale(mnist1d.make(num_samples=1000), 100, seed=0)
    >>> more.x_train.shape, more.x_test.shape
    ((900, 40), (200, 40))
    """
    count, length = _checked(dataset, copies, seed, low, high)
    # A generator for each, so that a number of copies is the beginning of a larger one.
    sources, places, factors = (np.random.default_rng([seed, which]) for which in range(3))
    taken = sources.integers(count, size=copies)
    offset = places.integers(length, size=copies) if roll else np.zeros(copies, np.int64)
    factor = low + (high - low) * factors.random(copies)
    where = (np.arange(length) - offset[:, None]) % length
    copied = np.take_along_axis(dataset.x_train[taken], where, axis=1) * factor[:, None]
    return replace(
        dataset,
        name=f"{dataset.name}, {copies} copies",
        x_train=np.concatenate([dataset.x_train, copied.astype(dataset.x_train.dtype)]),
        y_train=np.concatenate([dataset.y_train, dataset.y_train[taken]]),
        recipe={
            "name": "roll and scale",
            "copies": copies,
            "roll": roll,
            "low": float(low),
            "high": float(high),
            "seed": seed,
            "of": dict(dataset.recipe),
        },
    )


def _checked(dataset: Dataset, copies: int, seed: int, low: float | int, high: float | int) -> tuple[int, int]:
    if copies < 0 or seed < 0:
        raise ValueError(f"copies {copies}, seed {seed}: neither may be below 0")
    if not (isfinite(low) and isfinite(high) and low <= high):
        raise ValueError(f"factors from {low} to {high}: give two finite numbers, the lower one first")
    if dataset.x_train.ndim != 2 or not dataset.x_train.size:
        raise ValueError(f"{dataset.name} has examples of shape {dataset.x_train.shape}; signals are (example, place)")
    return dataset.x_train.shape

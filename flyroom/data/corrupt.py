"""Data made worse on purpose: labels that are wrong, examples that are taken away. Dataset -> Dataset.

Only the training part is touched; the test part stays as it is, so that it still measures what is to be learned.
"""

import random
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Int

from flyroom.records import Dataset


def label_noise(dataset: Dataset, probability: float, *, seed: int) -> Dataset:
    """Each training label is drawn anew with this probability, uniformly from all classes.

    The right class may be drawn again, so that of k classes only (k - 1) / k of the drawn labels are wrong: noise of
    0.15 with ten classes leaves 13.5 % wrong labels, not 15 %. Which labels are drawn anew at a lower probability is
    a subset of those at a higher one with the same seed, and they get the same new labels.

    **Raises** ValueError for a probability outside [0, 1] and a seed below 0, TypeError for other types.

    >>> from flyroom.data import load
    >>> clean = load("mnist1d", num_samples=1000)
    >>> int((label_noise(clean, 0.5, seed=0).y_train != clean.y_train).sum())
    350
    """
    chance, chosen = _probability(probability), _whole("seed", seed, 0)
    drawing = np.random.default_rng(chosen)
    count = len(dataset.y_train)
    uniforms, labels = drawing.random(count), drawing.integers(len(dataset.classes), size=count)
    y = np.where(uniforms < chance, labels, dataset.y_train).astype(dataset.y_train.dtype)
    return _noisy(dataset, y, {"probability": chance, "seed": chosen})


def canonical_label_noise(dataset: Dataset, probability: float) -> Dataset:
    """The label noise of the published double-descent notebooks, label for label, on canonical MNIST-1D.

    They make the data, which seeds NumPy's global generator, and go on drawing from it: for each training example a
    uniform, and if that is below the probability, a label from 0 to 9. So the noise is a function of the data set's
    seed. The generator's state after the data is found by drawing everything that the data drew (about 80,000
    samples a second); the labels that come out are compared with those of `dataset`.

    Not to be confused with `label_noise`, which is seeded by itself. Reference: the notebook `deep-double-descent` of
    github.com/greydanus/mnist1d, which has 16,000 samples, a quarter of them to train on, and noise of 0.15: 577 of
    4000 labels are wrong.

    **Raises** ValueError for data that are not the canonical stream as it was made, and for a probability outside
    [0, 1].
    """
    chance = _probability(probability)
    recipe = dataset.recipe
    if (recipe.get("name"), recipe.get("stream")) != ("mnist1d", "canonical"):
        raise ValueError(
            f"{dataset.name} is not canonical MNIST-1D as it was made, whose random stream this noise continues; "
            "take label_noise, which has a seed of its own"
        )
    state, labels = _after_canonical(
        recipe["num_samples"],
        len(dataset.classes),
        int(recipe["template_len"]) + int(recipe["padding"][1]),
        recipe["max_translation"],
        recipe["final_seq_length"] if recipe["shuffle_seq"] else 0,
        recipe["seed"],
    )
    if not np.array_equal(labels, np.concatenate([dataset.y_train, dataset.y_test])):
        raise ValueError(f"the labels of {dataset.name} are not those that its recipe makes; make the data anew")
    y = dataset.y_train.copy()
    for i in range(len(y)):
        if state.random_sample() < chance:
            y[i] = state.randint(0, 10)
    return _noisy(dataset, y, {"probability": chance, "stream": "canonical"})


def python_label_noise(dataset: Dataset, probability: float, *, seed: int = 42) -> Dataset:
    """The label noise of the UDL book's notebook 8.3, label for label, from Python's own generator.

    For each training example a uniform, and if that is below the probability, the whole part of ten times another.
    The notebook seeds that generator with 0, and making the data seeds it anew with the data set's seed, 42.

    **Raises** ValueError for data that have not ten classes, a probability outside [0, 1] and a seed below 0, TypeError
    for other types.
    """
    chance, chosen = _probability(probability), _whole("seed", seed, 0)
    if len(dataset.classes) != 10:
        raise ValueError(
            f"{dataset.name} has {len(dataset.classes)} classes, and this noise draws one of ten; take label_noise, "
            "which draws from those that there are"
        )
    generator = random.Random(chosen)
    y = dataset.y_train.copy()
    for i in range(len(y)):
        if generator.random() < chance:
            y[i] = int(generator.random() * 10)
    return _noisy(dataset, y, {"probability": chance, "stream": "python", "seed": chosen})


def _after_canonical(
    samples: int, classes: int, length: int, shifts: int, positions: int, seed: int
) -> tuple[np.random.RandomState, Int[np.ndarray, " sample"]]:
    """The legacy generator as the canonical stream leaves it, and the labels in the order that it gave them.

    `positions` is 0 where they are not shuffled.
    """
    state = np.random.RandomState(seed)
    for _ in range(samples):
        state.random_sample(2)  # padding, scale
        state.randint(0, shifts)
        state.standard_normal(2 * length)
        state.random_sample()  # shear
    order = state.permutation(samples)
    if positions:
        state.permutation(positions)
    return state, np.repeat(np.arange(classes), samples // classes)[order]


def subsample(dataset: Dataset, count: int, *, seed: int) -> Dataset:
    """`count` training examples, chosen at random and in random order; the test part stays whole.

    Nested: with one seed, a smaller subsample is the beginning of a larger one. Classes are not balanced.

    **Raises** ValueError for a count below 1 or above the number of training examples and for a seed below 0,
    TypeError for other types.

    >>> from flyroom.data import load
    >>> subsample(load("moons", n=40), 5, seed=0).x_train.shape
    (5, 2)
    """
    number, chosen = _whole("count", count, 1), _whole("seed", seed, 0)
    there_are = len(dataset.y_train)
    if number > there_are:
        raise ValueError(f"count={number} examples cannot be taken from {there_are}; choose 1 to {there_are}")
    taken = np.random.default_rng(chosen).permutation(there_are)[:number]
    return replace(
        dataset,
        name=f"{dataset.name}, {number} examples",
        x_train=dataset.x_train[taken],
        y_train=dataset.y_train[taken],
        recipe={"name": "subsample", "count": number, "seed": chosen, "of": dict(dataset.recipe)},
    )


def _noisy(dataset: Dataset, y: Int[np.ndarray, " train"], arguments: dict[str, Any]) -> Dataset:
    recipe = {"name": "label noise", **arguments, "of": dict(dataset.recipe)}
    return replace(dataset, name=f"{dataset.name}, noisy labels", y_train=y, recipe=recipe)


def _probability(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"probability={value!r} is a {type(value).__name__}; give a number from 0 to 1")
    if not 0 <= value <= 1:
        raise ValueError(f"probability={value} is not in [0, 1]; 0.15 draws 15 % of the labels anew")
    return float(value)


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; give a whole number")
    if value < least:
        raise ValueError(f"{name}={value} is below {least}; give a whole number of at least {least}")
    return int(value)

"""Validation data out of training data: Dataset -> Dataset. Choices are made on it, never on the test part."""

from dataclasses import replace

from flyroom.data._stratify import stratify
from flyroom.records import Dataset


def validation_split(dataset: Dataset, fraction: float = 0.2, *, seed: int) -> Dataset:
    """The training part of `dataset`, divided: what is trained on, and as the test part a validation part.

    The original test part is not in the result, so that nothing can be selected on it by mistake. The split is
    stratified: round(fraction * n) examples are set aside; a class of size c gives the whole part of fraction * c,
    and the classes with the largest remainders one more each until the total is reached (the smaller label first
    where remainders are equal). Within a class the choice is random by `seed`. Examples keep their order.
    **Raises** ValueError for a fraction outside (0, 1) and for a class that would be missing on one side.

    >>> from flyroom.data import load
    >>> split = validation_split(load("mnist1d", num_samples=500), 0.25, seed=0)
    >>> split.name, len(split.x_train), len(split.x_test)
    ('mnist1d validation', 300, 100)
    """
    rest, chosen = stratify(dataset.y_train, fraction, seed)
    return replace(
        dataset,
        name=f"{dataset.name} validation",
        x_train=dataset.x_train[rest],
        y_train=dataset.y_train[rest],
        x_test=dataset.x_train[chosen],
        y_test=dataset.y_train[chosen],
        recipe={
            "name": "validation split",
            "fraction": float(fraction),
            "seed": int(seed),
            "of": dict(dataset.recipe),
        },
    )

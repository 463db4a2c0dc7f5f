"""How often a classifier is right: on the examples at hand, exactly, and on those to come, with an interval."""

import numpy as np
from jaxtyping import Float, Int

from flyroom.records import Dataset, Evidence, Measurement

Predictions = Int[np.ndarray, " example"] | Float[np.ndarray, "example class_"]


def accuracy(predicted: Predictions, labels: Int[np.ndarray, " example"]) -> Measurement:
    """The share of these examples whose class was predicted: a count, and so exact.

    `predicted` holds classes, or one row of scores (logits, probabilities) an example, of which the largest
    counts; of equal ones the first. Not to be confused with `population_accuracy`, which speaks of examples that
    were not seen.

    >>> accuracy(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])).value
    0.75

    Raises ValueError for shapes that do not fit each other, an empty set, scores that are NaN.
    """
    right = _chosen(predicted, labels) == labels
    value = int(right.sum()) / right.size
    return Measurement(value, (value, value), Evidence.exact, right.size)


def population_accuracy(
    predicted: Predictions, labels: Int[np.ndarray, " example"], *, confidence: float = 0.95
) -> Measurement:
    """The same share as an estimate for further examples of the same kind, for this one trained network.

    The interval is Clopper and Pearson's (1934, Biometrika 26:404), because it holds the true rate at least as
    often as it says, at every rate and every number of examples; Wilson's is narrower, and does so only on average.
    It does not speak of other seeds: the spread over trained networks is found by training them.

    >>> found = population_accuracy(np.zeros(20, int), np.zeros(20, int))
    >>> found.value, round(found.interval[0], 4), found.interval[1]
    (1.0, 0.8316, 1.0)
    """
    from scipy.stats import binomtest

    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence:g} does not lie between 0 and 1; did you mean 0.95?")
    right = _chosen(predicted, labels) == labels
    found = binomtest(int(right.sum()), right.size).proportion_ci(confidence, method="exact")
    interval = (float(found.low), float(found.high))
    return Measurement(int(right.sum()) / right.size, interval, Evidence.estimate, right.size)


def confusion(
    predicted: Predictions, labels: Int[np.ndarray, " example"], *, classes: int
) -> Int[np.ndarray, "true predicted"]:
    """Entry [i, j] counts the examples of class i that were taken for class j: rows are the truth.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 1, 0]), classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    chosen = _chosen(predicted, labels)
    for name, values in (("predicted", chosen), ("labels", labels)):
        if values.min() < 0 or values.max() >= classes:
            raise ValueError(
                f"{name} run from {values.min()} to {values.max()}, but {classes} classes are 0 to {classes - 1}"
            )
    return np.bincount(labels * classes + chosen, minlength=classes**2).reshape(classes, classes)


def nearest_neighbours(dataset: Dataset, k: int = 10) -> Measurement:
    """Test accuracy of the vote of the k nearest training examples (Euclidean): a baseline that is not trained.

    It is deterministic, and exact on the given test part. Of classes with equal votes the first wins.
    """
    from sklearn.neighbors import KNeighborsClassifier

    if not 1 <= k <= len(dataset.x_train):
        raise ValueError(f"k = {k} neighbours cannot be found among {len(dataset.x_train)} training examples")
    classifier = KNeighborsClassifier(n_neighbors=k)
    classifier.fit(dataset.x_train.reshape(len(dataset.x_train), -1), dataset.y_train)
    return accuracy(classifier.predict(dataset.x_test.reshape(len(dataset.x_test), -1)), dataset.y_test)


def _chosen(predicted: Predictions, labels: Int[np.ndarray, " example"]) -> Int[np.ndarray, " example"]:
    if labels.size == 0:
        raise ValueError("no examples were given: an empty set has no accuracy")
    if predicted.ndim not in (1, 2) or len(predicted) != len(labels):
        raise ValueError(
            f"predictions of shape {predicted.shape} do not fit {len(labels)} labels: give one class, or one row of"
            " scores, for each label"
        )
    if predicted.ndim == 1:
        return predicted
    if np.isnan(predicted).any():
        raise ValueError("the scores hold NaN, of which none is the largest: the network has diverged, or overflowed")
    if labels.min() < 0 or labels.max() >= predicted.shape[1]:
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, but each example has {predicted.shape[1]} scores"
        )
    return predicted.argmax(axis=1)

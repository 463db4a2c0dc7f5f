"""What a representation holds of the classes: by its neighbours, by a linear probe, by its clusters, and on a map.

A representation is one row of numbers an example: pixels, a layer of a network, the coordinates of a map. The votes
and the probe return classes, of which `measure.accuracy` counts how many are right.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

Rows = Float[np.ndarray, "example feature"]
Metric = Literal["euclidean", "cosine"]


class Probe(NamedTuple):
    """The classes that a linear classifier gives the test examples, and the steps that its fit took."""

    predicted: Int[np.ndarray, " test"]
    steps: int


class Map(NamedTuple):
    """A t-SNE embedding: its points, and the Kullback-Leibler divergence that is left, in nats."""

    points: Float[np.ndarray, "example 2"]
    divergence: float


def vote(
    x_train: Float[np.ndarray, "train feature"],
    y_train: Int[np.ndarray, " train"],
    x: Rows,
    k: int = 10,
    *,
    metric: Metric = "euclidean",
) -> Int[np.ndarray, " example"]:
    """The class that most of the k nearest training examples have; of classes with equal votes the lowest.

    `metric="cosine"` looks at directions only. Raises ValueError for k outside 1 to the number of training examples,
    and for numbers that are not finite.

    >>> vote(np.array([[0.0], [1.0], [9.0]]), np.array([4, 4, 7]), np.array([[0.4], [8.0]]), 1).tolist()
    [4, 7]
    """
    _check(x_train, k, len(x_train))
    _check(x, k, len(x_train))
    return _majority(y_train, _index(x_train, k, metric).kneighbors(x, return_distance=False))


def leave_one_out(
    x: Rows, y: Int[np.ndarray, " example"], k: int = 10, *, metric: Metric = "euclidean"
) -> Int[np.ndarray, " example"]:
    """`vote` of the k nearest *other* examples, for every example: no part of the data need be put aside.

    Not to be confused with a vote in which an example counts among its own neighbours: that flatters, the more the
    smaller k is. Raises ValueError as `vote` does.

    >>> leave_one_out(np.array([[0.0], [1.0], [9.0]]), np.array([4, 4, 7]), 1).tolist()
    [4, 4, 4]
    """
    _check(x, k, len(x) - 1)
    return _majority(y, _index(x, k, metric).kneighbors(None, return_distance=False))


def silhouette(x: Rows, y: Int[np.ndarray, " example"]) -> float:
    """The mean silhouette of the classes, -1 to 1 (Rousseeuw 1987, J. Comput. Appl. Math. 20:53).

    For each example (b - a) / max(a, b), where a is its mean distance to the others of its class and b that to the
    nearest other class. It judges the true classes as if they were clusters: classes that fall into several clusters
    of their own score low. Kaufman and Rousseeuw (1990, Finding Groups in Data, table 4) read up to 0.25 as no
    substantial structure and above 0.5 as a reasonable one. Raises ValueError unless there are at least two classes
    and fewer classes than examples.

    >>> round(silhouette(np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([0, 0, 1, 1])), 3)
    0.9
    """
    from sklearn.metrics import silhouette_score

    _check(x, 1, len(x))
    found = len(np.unique(y))
    if not 2 <= found < len(x):
        raise ValueError(f"{found} classes in {len(x)} examples: a silhouette needs 2 or more, and fewer than examples")
    return float(silhouette_score(x, y))


def linear_probe(
    x_train: Float[np.ndarray, "train feature"],
    y_train: Int[np.ndarray, " train"],
    x_test: Float[np.ndarray, "test feature"],
    *,
    tolerance: float = 1e-2,
    steps: int = 1000,
) -> Probe:
    """Multinomial logistic regression on features that are standardised by the training part (L2, C = 1, L-BFGS).

    `tolerance` bounds the gradient of the *summed* loss, as scikit-learn's `tol` did when most published probes were
    fitted; it bounds that of the mean loss now, so that the same 1e-2 stops thousands of times sooner (MNIST-1D's
    pixels: 33.3 % after 12 steps, against 32.8 % after 175). Computed in the precision of the features. Scikit-learn
    warns where `steps` do not suffice.

    Raises ValueError for numbers that are not finite, one class only, and a tolerance or steps that are not positive.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    if not tolerance > 0 or steps < 1:
        raise ValueError(f"tolerance {tolerance} and steps {steps} must be above 0")
    _check(x_train, 1, len(x_train))
    _check(x_test, 1, len(x_train))
    scaler = StandardScaler().fit(x_train)
    model = LogisticRegression(tol=tolerance / len(x_train), max_iter=steps)
    model.fit(scaler.transform(x_train), y_train)
    predicted = model.predict(scaler.transform(x_test))
    return Probe(np.asarray(predicted), int(model.n_iter_.max()))


def tsne(x: Rows, *, seed: int = 0, perplexity: int = 30) -> Map:
    """t-SNE (van der Maaten and Hinton 2008, JMLR 9:2579) by openTSNE at its defaults: first positions by PCA, 250
    steps at exaggeration 12 and 500 without, learning rate n / exaggeration.

    On one thread: the same seed and machine give the same map. Directions, units and the distances between far groups
    mean nothing. `seed` moves little but the search for neighbours and the PCA.

    Raises ImportError where openTSNE is not installed, ValueError for numbers that are not finite and for no more than
    3 x `perplexity` examples.
    """
    try:
        from openTSNE import TSNE
    except ImportError:
        raise ImportError("openTSNE is not installed; it is part of the lab: pip install 'flyroom[lab]'") from None
    _check(x, 1, len(x))
    if not 0 < 3 * perplexity < len(x):
        raise ValueError(
            f"{len(x)} examples with perplexity {perplexity}: it must be above 0, and 3 x it below the examples"
        )
    found = TSNE(perplexity=perplexity, n_jobs=1, random_state=seed).fit(np.asarray(x, np.float64))
    return Map(np.array(found, np.float64), float(found.kl_divergence))


def _index(x: np.ndarray, k: int, metric: Metric):
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k, metric=metric).fit(x)


def _majority(labels: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    classes, numbered = np.unique(labels, return_inverse=True)
    places = np.arange(len(neighbours))[:, None] * len(classes) + numbered[neighbours]
    counts = np.bincount(places.ravel(), minlength=len(neighbours) * len(classes))
    return classes[counts.reshape(-1, len(classes)).argmax(axis=1)]


def _check(x: np.ndarray, k: int, most: int) -> None:
    if not 1 <= k <= most:
        raise ValueError(f"k = {k} neighbours cannot be found among {most} examples; 1 to {most} can")
    if not np.isfinite(x).all():
        raise ValueError(
            "the representation holds numbers that are not finite (NaN or infinity); the network diverged?"
        )

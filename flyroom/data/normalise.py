"""Inputs with mean 0 and variance 1, and without correlations: fitted on the training part, applied to both.

A mean, a scale or a matrix that has seen the test part has told the network about it, so a fit reads `x_train` and
nothing else, and what it found is a record of its own that is applied to any data of the same shape. Split first, fit
afterwards. Variances here are divided by the number of examples n, as `StandardScaler` of scikit-learn does; its `PCA`
divides by n - 1.

>>> from flyroom.data import load
>>> data = load("digits")
>>> fitted = fit_standard(data, per="all")
>>> round(float(apply(fitted, data).x_train.std()), 6)
1.0
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Shaped

from flyroom.records import Dataset

Per = Literal["feature", "channel", "all"]
Constant = Literal["refuse", "centre"]
Method = Literal["zca", "pca"]


@dataclass(frozen=True)
class Standard:
    """(x - mean) / scale. Both have as many axes as an example, of length 1 where one value serves the whole axis.

    `fitted_on` is the recipe of the data whose training part was read.
    """

    mean: Float[np.ndarray, "*shared"]
    scale: Float[np.ndarray, "*shared"]
    per: Per
    constant: Constant
    example: tuple[int, ...]
    fitted_on: Mapping[str, Any]


@dataclass(frozen=True)
class Whitening:
    """matrix (x - mean), x being a flattened example.

    `variances` are the eigenvalues of the training part's covariance in falling order; along each of these directions
    the whitened training part has the variance v / (v + epsilon), which is 1 where epsilon is 0.
    """

    mean: Float[np.ndarray, " feature"]
    matrix: Float[np.ndarray, "direction feature"]
    variances: Float[np.ndarray, " direction"]
    method: Method
    epsilon: float
    example: tuple[int, ...]
    fitted_on: Mapping[str, Any]


def fit_standard(dataset: Dataset, *, per: Per = "feature", constant: Constant = "refuse") -> Standard:
    """Mean and standard deviation of the training part: `per` feature, channel, or one for all values together.

    "feature" treats every place of an example by itself (what `StandardScaler` does), "channel" all places of the axis
    that is called channel alike (what is usual for images), "all" every value alike, which keeps relative sizes. The
    three are easily confused: on images "feature" divides each pixel by its own spread, so that pixels at the border,
    which hardly vary, weigh as much as those in the middle.

    What never varies in the training part has no scale. It is refused, or with `constant="centre"` only its mean is
    subtracted and its scale is 1: it is then 0 in the training part, and in the test part whatever it deviates by.

    **Raises** ValueError for a `per` or `constant` that is none, data without a channel axis where one is asked for,
    features that never vary, a training part that is empty or not finite.

    >>> from flyroom.data import load
    >>> fit_standard(load("digits"), per="all").mean.shape
    (1, 1)
    """
    if per not in ("feature", "channel", "all") or constant not in ("refuse", "centre"):
        raise ValueError(
            f"per={per!r}, constant={constant!r}: choose per='feature', 'channel' or 'all', and constant='refuse' or "
            "'centre'"
        )
    x = _training(dataset)
    axes = _pooled(dataset, per)
    mean, scale = x.mean(axes, keepdims=True), x.std(axes, keepdims=True)
    # A constant that binary fractions do not hold, such as 0.1, has a tiny standard deviation, but no range.
    still = x.max(axes, keepdims=True) == x.min(axes, keepdims=True)
    if still.any() and constant == "refuse":
        raise ValueError(
            f"{int(still.sum())} of {still.size} means and scales (per {per}) are of values that never vary in the "
            f"training part of {dataset.name}; take constant='centre', which leaves their scale at 1, or pool more "
            "values with per='all'"
        )
    mean, scale = np.where(still, x.min(axes, keepdims=True), mean), np.where(still, 1.0, scale)
    shape = mean.shape[1:]
    return Standard(mean.reshape(shape), scale.reshape(shape), per, constant, x.shape[1:], dict(dataset.recipe))


def fit_zca(dataset: Dataset, *, epsilon: float = 0.0) -> Whitening:
    """The whitening that changes examples least: matrix C^(-1/2), C being the training part's covariance.

    Of all linear maps after which the training part is uncorrelated with variance 1, this one has the smallest mean
    squared distance between x and its image (Kessy et al. 2018, section 3.1), so that an image stays one. With C = U
    diag(v) U^T the matrix is U diag(1 / sqrt(v + epsilon)) U^T. `epsilon` has the unit of x squared; it keeps
    directions that hardly vary, which are mostly noise, from being blown up: the largest factor is 1 / sqrt(epsilon).
    That factor is also what meets test examples along directions in which the training part does not vary at all.

    Named zero-phase component analysis (Bell and Sejnowski 1997). Not to be confused with PCA whitening, which is this
    and a rotation, nor with standardising, which leaves correlations.

    **Raises** ValueError for an epsilon below 0, for 0 where some direction does not vary in the training part (always
    so with fewer examples than features), and for a training part that is empty or not finite.

    >>> from flyroom.data import load
    >>> fit_zca(load("moons")).matrix.shape
    (2, 2)
    """
    mean, variances, directions, factors = _decomposed(dataset, epsilon)
    matrix, example = (directions * factors) @ directions.T, dataset.x_train.shape[1:]
    return Whitening(mean, matrix, variances, "zca", float(epsilon), example, dict(dataset.recipe))


def fit_pca(dataset: Dataset, *, epsilon: float = 0.0) -> Whitening:
    """PCA whitening: coordinates along the principal directions, each divided by the root of its variance + epsilon.

    Directions come in falling order of variance, each with its largest entry positive. What comes out are no longer
    pixels or places: examples are flat, and their one axis is called component. A network that uses neighbourhood, such
    as a convolution, wants `fit_zca` instead.

    `sklearn.decomposition.PCA(whiten=True)` divides variances by n - 1; its output is smaller by sqrt((n - 1) / n).

    **Raises** ValueError as `fit_zca` does.
    """
    mean, variances, directions, factors = _decomposed(dataset, epsilon)
    matrix, example = (directions * factors).T, dataset.x_train.shape[1:]
    return Whitening(mean, matrix, variances, "pca", float(epsilon), example, dict(dataset.recipe))


def apply(fitted: Standard | Whitening, dataset: Dataset) -> Dataset:
    """Both parts of `dataset`, normalised by what was fitted; floating point types stay, whole numbers become float64.

    The recipe tells what was done; it names the data that was fitted on where that is not `dataset` itself.

    **Raises** ValueError for examples of another shape.

    >>> from flyroom.data import load
    >>> data = load("moons")
    >>> white = apply(fit_zca(data), data)
    >>> (np.cov(white.x_train.T, bias=True).round(6) + 0.0).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if dataset.x_train.shape[1:] != fitted.example or dataset.x_test.shape[1:] != fitted.example:
        raise ValueError(
            f"{dataset.name} has examples of shape {dataset.x_train.shape[1:]}, but the fit was made on "
            f"{fitted.example}; fit and apply to data of one shape"
        )
    if isinstance(fitted, Standard):
        parts = [_standardised(fitted, x) for x in (dataset.x_train, dataset.x_test)]
        recipe = {"name": "standardise", "per": fitted.per, "constant": fitted.constant}
    else:
        parts = [_whitened(fitted, x) for x in (dataset.x_train, dataset.x_test)]
        recipe = {"name": f"whiten by {fitted.method}", "epsilon": fitted.epsilon}
    own, other = dict(dataset.recipe), dict(fitted.fitted_on)
    return replace(
        dataset,
        name=f"{dataset.name}, {'standardised' if isinstance(fitted, Standard) else 'whitened'}",
        x_train=parts[0],
        x_test=parts[1],
        axes=("component",) if isinstance(fitted, Whitening) and fitted.method == "pca" else dataset.axes,
        recipe={**recipe, **({} if own == other else {"fitted_on": other}), "of": own},
    )


Examples = Shaped[np.ndarray, "example *shape"]


def _standardised(fitted: Standard, x: Examples) -> Examples:
    return ((x.astype(np.float64) - fitted.mean) / fitted.scale).astype(_kept(x))


def _whitened(fitted: Whitening, x: Examples) -> Shaped[np.ndarray, "example *_"]:
    found = (x.reshape(len(x), len(fitted.mean)).astype(np.float64) - fitted.mean) @ fitted.matrix.T
    return (found if fitted.method == "pca" else found.reshape(x.shape)).astype(_kept(x))


def _kept(x: Examples) -> np.dtype:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)


def _training(dataset: Dataset) -> Float[np.ndarray, "example *shape"]:
    """The training part in float64: the only one that a fit reads."""
    x = np.asarray(dataset.x_train, np.float64)
    if not x.size or not np.isfinite(x).all():
        raise ValueError(
            f"the training part of {dataset.name} has shape {x.shape} and "
            f"{int((~np.isfinite(x)).sum())} values that are not finite; a fit needs examples, all of them finite"
        )
    return x


def _pooled(dataset: Dataset, per: Per) -> tuple[int, ...]:
    """The axes of x whose values share a mean; axis 0 are the examples."""
    axes = range(dataset.x_train.ndim)
    if per == "feature":
        return (0,)
    if per == "all":
        return tuple(axes)
    if "channel" not in dataset.axes:
        raise ValueError(
            f"{dataset.name} has the axes {dataset.axes}, none of which is called channel; with a single channel "
            "per='all' is the same"
        )
    return tuple(axis for axis in axes if axis != 1 + dataset.axes.index("channel"))


def _decomposed(dataset: Dataset, epsilon: Any) -> tuple[np.ndarray, ...]:
    """The mean, variances along principal directions in falling order, these as columns, and a factor for each."""
    if not (isfinite(epsilon) and epsilon >= 0):
        raise ValueError(f"epsilon={epsilon} must be finite and at least 0; it is added to variances")
    x = _training(dataset)
    flat = x.reshape(len(x), -1)
    count, features = flat.shape
    mean = flat.mean(0)
    # Not the eigenvalues of the covariance: squaring first would lose half of the digits of the small ones.
    found, transposed = np.linalg.svd(np.linalg.qr(flat - mean, mode="r"))[1:]
    deviations = np.concatenate([found, np.zeros(features - len(found))]) / np.sqrt(count)
    largest = np.take_along_axis(transposed, np.abs(transposed).argmax(1)[:, None], 1)
    directions, variances = (transposed * np.where(largest < 0, -1.0, 1.0)).T, deviations**2
    # Up to this a deviation is rounding.
    still = deviations <= deviations[0] * max(count, features) * np.finfo(np.float64).eps
    if epsilon == 0 and still.any():
        raise ValueError(
            f"the training part of {dataset.name} does not vary along {int(still.sum())} of {len(still)} directions, "
            "which no factor gives variance 1; take an epsilon above 0 (a thousandth of the largest variance is "
            f"{variances[0] / 1000:.2g}), or leave these features out"
        )
    return mean, variances, directions, 1 / np.sqrt(variances + epsilon)

"""Input normalisation and whitening: closed forms, the theorem on ZCA, scikit-learn; the test part is never read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from flyroom.data import archive, corrupt, load
from flyroom.data.normalise import apply, fit_pca, fit_standard, fit_zca
from flyroom.data.views import to_sklearn
from flyroom.records import Dataset, Run
from flyroom.store import key  # a recipe must be plain JSON

FITS = {
    "feature": fit_standard,
    "channel": lambda data: fit_standard(data, per="channel"),
    "all": lambda data: fit_standard(data, per="all"),
    "zca": fit_zca,
    "zca shrunk": lambda data: fit_zca(data, epsilon=0.3),
    "pca": fit_pca,
}


def images(seed: int = 0, count: int = 60) -> Dataset:
    """Correlated examples of two channels, 2 by 3, of unequal means and spreads; the test part is of another kind."""
    random = np.random.default_rng(seed)
    first, second = (np.linalg.qr(random.normal(size=(12, 12)))[0] for _ in range(2))
    mixing = first @ np.diag(np.logspace(-1, 1, 12)) @ second
    x = (random.normal(size=(count, 12)) @ mixing + np.arange(12)).reshape(count, 2, 2, 3)
    y = np.arange(count) % 2
    test = random.exponential(size=(9, 2, 2, 3)) - 70
    axes = ("channel", "row", "column")
    return Dataset("images", x, y, test, y[:9], ("even", "odd"), axes, {"name": "images", "seed": seed})


def flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


def covariance(x: np.ndarray) -> np.ndarray:
    return np.cov(flat(x).T, bias=True)


# What is fitted


@pytest.mark.parametrize("name", FITS)
def test_the_test_part_has_no_influence(name: str):
    data = images()
    hostile = replace(data, x_test=np.full_like(data.x_test, np.nan), y_test=1 - data.y_test)
    ours, theirs = FITS[name](data), FITS[name](hostile)
    for mine, other in zip(vars(ours).values(), vars(theirs).values(), strict=True):
        assert (mine.tobytes() == other.tobytes()) if isinstance(mine, np.ndarray) else (mine == other)
    np.testing.assert_array_equal(apply(ours, data).x_train, apply(theirs, hostile).x_train)
    more = replace(data, x_train=data.x_train + 1)  # and the training part has
    assert FITS[name](more).mean.tobytes() != ours.mean.tobytes()


@pytest.mark.parametrize(("per", "axes"), [("feature", (0,)), ("channel", (0, 2, 3)), ("all", (0, 1, 2, 3))])
def test_means_and_variances_of_what_is_pooled(per, axes):
    data = images()
    done = apply(fit_standard(data, per=per), data)
    np.testing.assert_allclose(done.x_train.mean(axes), 0, atol=1e-12)
    np.testing.assert_allclose(done.x_train.var(axes), 1, rtol=1e-12)
    mean, deviation = (getattr(data.x_train, name)(axes, keepdims=True) for name in ("mean", "std"))
    np.testing.assert_allclose(done.x_test, (data.x_test - mean) / deviation, rtol=1e-12)
    assert abs(done.x_test.mean()) > 1  # by the training part's numbers, not by its own


def test_the_channel_axis_is_the_one_of_that_name():
    data = images()
    last = replace(
        data,
        x_train=np.moveaxis(data.x_train, 1, 3),
        x_test=np.moveaxis(data.x_test, 1, 3),
        axes=("row", "column", "channel"),
    )
    ours, theirs = (apply(fit_standard(one, per="channel"), one) for one in (last, data))
    np.testing.assert_allclose(np.moveaxis(ours.x_train, 3, 1), theirs.x_train, rtol=1e-12)
    assert fit_standard(last, per="channel").mean.shape == (1, 1, 2)


def test_standardising_is_scikit_learns():
    data = load("mnist1d", num_samples=500)
    scaler: Any = StandardScaler().fit(data.x_train)
    done = apply(fit_standard(data), data)
    np.testing.assert_allclose(done.x_train, scaler.transform(data.x_train), atol=1e-12)
    np.testing.assert_allclose(done.x_test, scaler.transform(data.x_test), atol=1e-12)


def test_pixels_that_never_vary():
    data = load("digits")
    still = int((data.x_train.max(0) == data.x_train.min(0)).sum())
    assert still > 0
    with pytest.raises(ValueError, match=rf"{still} of 64 means and scales \(per feature\) .* constant='centre'"):
        fit_standard(data)
    done = apply(fit_standard(data, constant="centre"), data)
    scaler: Any = StandardScaler().fit(to_sklearn(data)[0])  # does the same without asking
    np.testing.assert_allclose(flat(done.x_test), scaler.transform(to_sklearn(data, "test")[0]), atol=1e-12)


def test_a_constant_that_binary_fractions_do_not_hold_is_one():
    data = images()
    x, test = data.x_train.copy(), data.x_test.copy()
    x[:, 0, 0, 0], test[:, 0, 0, 0] = 0.1, 0.6
    assert 0 < x[:, 0, 0, 0].std() < 1e-15  # a tiny scale, that would blow up the test part
    data = replace(data, x_train=x, x_test=test)
    with pytest.raises(ValueError, match="1 of 12 means and scales"):
        fit_standard(data)
    done = apply(fit_standard(data, constant="centre"), data)
    assert (done.x_train[:, 0, 0, 0] == 0).all()
    np.testing.assert_allclose(done.x_test[:, 0, 0, 0], 0.5, rtol=1e-14)


# Whitening


@pytest.mark.parametrize("fit", [fit_zca, fit_pca])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 50.0])
def test_variances_are_one_or_shrunk_by_epsilon(fit, epsilon):
    data = images()
    values, vectors = np.linalg.eigh(covariance(data.x_train))
    shrunk = values / (values + epsilon)
    fitted = fit(data, epsilon=epsilon)
    np.testing.assert_allclose(fitted.variances, values[::-1], rtol=1e-9)
    found = covariance(apply(fitted, data).x_train)
    expected = (vectors * shrunk) @ vectors.T if fit is fit_zca else np.diag(shrunk[::-1])
    np.testing.assert_allclose(found, expected, atol=1e-9)
    if epsilon == 0:
        np.testing.assert_allclose(found, np.eye(12), atol=1e-9)
    else:
        assert np.abs(found - np.eye(12)).max() > 0.1
    np.testing.assert_allclose(flat(apply(fitted, data).x_train).mean(0), 0, atol=1e-9)


def distance(data: Dataset, matrix: np.ndarray) -> float:
    """The mean squared distance between the centred training part and its image."""
    x = flat(data.x_train) - flat(data.x_train).mean(0)
    return float(((x @ matrix.T - x) ** 2).sum(1).mean())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20))
def test_of_all_whitenings_zca_changes_least(seed: int):
    """Every whitening is a rotation (or reflection) of one of them; E|Wx - x|^2 = sum (sqrt(v) - 1)^2 is the least."""
    data = images(seed % 7)
    zca, principal = fit_zca(data), fit_pca(data)
    least = distance(data, zca.matrix)
    np.testing.assert_allclose(least, ((np.sqrt(zca.variances) - 1) ** 2).sum(), rtol=1e-9)
    triangular = np.linalg.inv(np.linalg.cholesky(covariance(data.x_train)))
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(12, 12)))[0]
    near = np.linalg.qr(np.eye(12) + 1e-2 * np.random.default_rng(seed).normal(size=(12, 12)))[0]
    near = near * np.sign(np.diag(near))
    for other in (principal.matrix, triangular, rotation @ zca.matrix, near @ zca.matrix):
        image = flat(data.x_train) @ other.T
        np.testing.assert_allclose(covariance(image), np.eye(12), atol=1e-8)
        assert distance(data, other) > least
    np.testing.assert_allclose(zca.matrix, zca.matrix.T, atol=1e-12)


def test_principal_components_are_scikit_learns():
    data = load("mnist1d", num_samples=500)
    theirs: Any = PCA(whiten=True, svd_solver="full").fit(data.x_train)
    done, n = apply(fit_pca(data), data), len(data.x_train)
    for ours, x in ((done.x_train, data.x_train), (done.x_test, data.x_test)):
        expected = theirs.transform(x) * np.sqrt(n / (n - 1))  # scikit-learn divides by n - 1
        signs = np.sign((ours * expected).sum(0))
        np.testing.assert_allclose(ours, signs * expected, rtol=1e-6, atol=1e-7)
    matrix = fit_pca(data).matrix
    largest = np.take_along_axis(matrix, np.abs(matrix).argmax(1)[:, None], 1)
    assert (largest > 0).all()


def test_zca_keeps_images_and_pca_does_not():
    data = images()
    zca, principal = apply(fit_zca(data), data), apply(fit_pca(data), data)
    assert zca.x_train.shape == data.x_train.shape and zca.axes == data.axes
    assert principal.x_train.shape == (60, 12) and principal.x_test.shape == (9, 12)
    assert principal.axes == ("component",)
    raw = flat(data.x_train) - flat(data.x_train).mean(0)
    alike = [np.corrcoef(raw[:, i], flat(zca.x_train)[:, i])[0, 1] for i in range(12)]
    assert min(alike) > 0  # the diagonal of C^(1/2), which is positive definite


def test_directions_that_do_not_vary():
    data = load("digits")
    with pytest.raises(ValueError, match=r"does not vary along \d+ of 64 directions, .* take an epsilon above 0"):
        fit_zca(data)
    fitted = fit_zca(data, epsilon=1e-2)
    values = np.linalg.eigvalsh(covariance(apply(fitted, data).x_train))[::-1]
    np.testing.assert_allclose(values, fitted.variances / (fitted.variances + 1e-2), atol=1e-12)
    assert values.min() < 1e-12 and values.max() > 0.98
    few = replace(images(), x_train=images().x_train[:12], y_train=images().y_train[:12])
    with pytest.raises(ValueError, match="along 1 of 12 directions"):  # twelve points lie in eleven dimensions
        fit_pca(few)


# What comes out


def test_types_and_empty_parts():
    data = images()
    x_train, x_test = data.x_train.astype(np.float32), data.x_test[:0].astype(np.float32)
    single = replace(data, x_train=x_train, x_test=x_test, y_test=data.y_test[:0])
    whole = replace(data, x_train=(10 * data.x_train).astype(np.int64), x_test=np.abs(data.x_test).astype(np.uint8))
    for fit in FITS.values():
        done = apply(fit(single), single)
        assert done.x_train.dtype == done.x_test.dtype == np.float32 and len(done.x_test) == 0
        assert apply(fit(whole), whole).x_test.dtype == np.float64
        assert done.y_train is data.y_train and done.classes == data.classes
    numbers = Dataset("numbers", np.arange(4.0), np.arange(4), np.arange(2.0), np.arange(2), ("0",))
    np.testing.assert_allclose(apply(fit_standard(numbers), numbers).x_train, (np.arange(4) - 1.5) / np.sqrt(1.25))


def test_recipes_tell_everything_apart_and_survive_a_file(tmp_path: Path):
    data, fewer = images(), corrupt.subsample(images(), 40, seed=0)
    made = {name: apply(fit(data), data) for name, fit in FITS.items()}
    made |= {"centred": apply(fit_standard(data, constant="centre"), data)}
    made |= {"fitted elsewhere": apply(fit_standard(fewer), data), "fewer": apply(fit_standard(fewer), fewer)}
    made |= {"twice": apply(fit_zca(made["all"]), made["all"]), "none": data}
    assert len({key(Run("any", 1, {}, 0, one.recipe)) for one in made.values()}) == len(made)
    assert made["channel"].recipe == {
        "name": "standardise",
        "per": "channel",
        "constant": "refuse",
        "of": data.recipe,
    }
    assert made["fitted elsewhere"].recipe["fitted_on"] == fewer.recipe
    assert made["twice"].recipe["of"] == made["all"].recipe
    for i, one in enumerate(made.values()):
        again = load(archive.save(one, tmp_path / f"{i}.npz"))
        assert again.recipe == one.recipe and again.axes == one.axes
        np.testing.assert_array_equal(again.x_test, one.x_test)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda d: fit_standard(replace(d, axes=()), per="channel"), r"the axes \(\), none .* per='all' is the same"),
        (lambda d: fit_zca(d, epsilon=-1.0), "epsilon=-1.0 must be finite and at least 0"),
        (lambda d: fit_pca(d, epsilon=float("nan")), "epsilon=nan must be finite"),
        (
            lambda d: fit_standard(replace(d, x_train=d.x_train[:0], y_train=d.y_train[:0])),
            r"has shape \(0, 2, 2, 3\) and 0 values",
        ),
        (lambda d: fit_zca(replace(d, x_train=np.where(d.x_train > 9, np.inf, d.x_train))), "values .* not finite"),
        (lambda d: apply(fit_zca(load("moons")), d), r"shape \(2, 2, 3\), but the fit was made on \(2,\)"),
    ],
)
def test_bad_arguments_are_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(images())


@pytest.mark.parametrize("given", [{"per": "pixel"}, {"constant": "ignore"}])
def test_unknown_words_are_refused(given):
    with pytest.raises((ValueError, TypeError), match=next(iter(given))):
        fit_standard(images(), **given)

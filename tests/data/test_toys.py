"""Moons, circles, blobs and digits: where the points lie, and what is refused."""

import numpy as np
import pytest

from flyroom.data import digits, toys


def test_moons_without_noise_lie_on_two_half_circles():
    made = toys.moons(n=200, noise=0.0)
    x, y = np.concatenate([made.x_train, made.x_test]), np.concatenate([made.y_train, made.y_test])
    upper, lower = x[y == 0], x[y == 1]
    np.testing.assert_allclose(np.hypot(*upper.T), 1)
    np.testing.assert_allclose(np.hypot(*(lower - [1, 0.5]).T), 1)
    assert (upper[:, 1] >= 0).all()
    assert (lower[:, 1] <= 0.5).all()


def test_circles_without_noise_have_their_radii():
    made = toys.circles(n=100, noise=0.0, factor=0.25)
    np.testing.assert_allclose(np.hypot(*made.x_train.T), np.where(made.y_train == 0, 1, 0.25))


def test_blobs_lie_about_the_roots_of_unity():
    made = toys.blobs(n=40_000, noise=0.2, classes=5)
    for label in range(5):
        cloud = made.x_train[made.y_train == label]
        centre = [np.cos(2 * np.pi * label / 5), np.sin(2 * np.pi * label / 5)]
        np.testing.assert_allclose(cloud.mean(0), centre, atol=5 * 0.2 / np.sqrt(len(cloud)))
        np.testing.assert_allclose(cloud.std(0), 0.2, rtol=5 / np.sqrt(2 * len(cloud)))


@pytest.mark.parametrize("make", [toys.moons, toys.circles, toys.blobs])
def test_toys_are_seeded_balanced_and_noisy(make):
    one, same, other = make(n=60, seed=1), make(n=60, seed=1), make(n=60, seed=2)
    np.testing.assert_array_equal(one.x_train, same.x_train)
    assert not np.array_equal(one.x_train, other.x_train)
    assert np.ptp(np.bincount(np.concatenate([one.y_train, one.y_test]))) == 0
    assert one.x_train.shape == (48, 2)


@pytest.mark.parametrize(
    ("act", "error", "sentence"),
    [
        (lambda: toys.moons(n=1), ValueError, "n=1 is too small for moons; it must be at least 2"),
        (lambda: toys.moons(noise=-0.1), ValueError, "noise=-0.1 is negative"),
        (lambda: toys.moons(noise=float("nan")), ValueError, "noise=nan is not finite"),
        (lambda: toys.moons(seed=-1), ValueError, "seed=-1 is too small"),
        (lambda: toys.circles(factor=1.0), ValueError, "factor=1.0 is not strictly between 0 and 1"),
        (lambda: toys.blobs(classes=1), ValueError, "classes=1 is not a whole number of at least 2"),
        (lambda: toys.blobs(n=10, train_split=0.01), ValueError, "leaves at least one example"),
        (lambda: digits.make(train_split=1.0), ValueError, "train_split=1.0 is not strictly between"),
    ],
)
def test_errors_say_what_is_allowed(act, error, sentence):
    with pytest.raises(error, match=sentence):
        act()


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    made = digits.make(train_split=0.75, seed=1)
    theirs = load_digits(return_X_y=True)
    ours = np.concatenate([made.x_train, made.x_test]).reshape(-1, 64) * 16
    order, expected = np.lexsort(ours.T), np.lexsort(theirs[0].T)
    np.testing.assert_array_equal(ours[order], theirs[0][expected])
    assert made.x_train.max() == 1
    assert made.x_train.min() == 0
    share = np.bincount(made.y_test) / np.bincount(np.concatenate([made.y_train, made.y_test]))
    assert np.abs(share - 0.25).max() < 1 / 174  # the smallest class has 174 examples
    assert len(made.x_test) == 449
    assert not np.array_equal(digits.make(seed=2).x_test, digits.make(seed=3).x_test)

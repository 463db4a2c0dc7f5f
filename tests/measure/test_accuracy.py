"""Counting right answers: by hand, by an independent count, and under relabelling."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyroom.measure.accuracy import accuracy, confusion, nearest_neighbours, population_accuracy
from flyroom.records import Dataset, Evidence

ROOT = Path(__file__).parents[2]


def test_counts_by_hand():
    found = accuracy(np.array([3, 1, 2, 2]), np.array([3, 1, 2, 0]))
    assert (found.value, found.interval, found.evidence, found.n) == (0.75, (0.75, 0.75), Evidence.exact, 4)


def test_scores_choose_the_largest_and_the_first_of_equals():
    scores = np.array([[0.1, 0.9, 0.0], [2.0, 2.0, 1.0], [-3.0, -2.0, -1.0]])
    assert accuracy(scores, np.array([1, 0, 2])).value == 1.0
    assert accuracy(scores, np.array([1, 1, 2])).value == pytest.approx(2 / 3)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60),
    st.permutations(range(5)),
)
def test_relabelling_the_classes_changes_nothing(pairs, relabel):
    predicted, labels = np.array(pairs).T
    new = np.array(relabel)
    assert accuracy(new[predicted], new[labels]) == accuracy(predicted, labels)
    counts = confusion(predicted, labels, classes=5)
    assert (confusion(new[predicted], new[labels], classes=5)[np.ix_(new, new)] == counts).all()
    scores = np.eye(5)[predicted]
    assert accuracy(scores[:, np.argsort(new)], new[labels]) == accuracy(predicted, labels)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_confusion_counts_every_example_where_it_belongs(pairs):
    predicted, labels = np.array(pairs).T
    counts = confusion(predicted, labels, classes=3)
    for i in range(3):
        for j in range(3):
            assert counts[i, j] == sum(1 for p, y in pairs if (y, p) == (i, j))
    assert counts.trace() / counts.sum() == pytest.approx(accuracy(predicted, labels).value)


def test_population_interval_is_the_published_one():
    # All of n right: the lower bound is (0.025)^(1/n). Of 10, 5 right: Clopper and Pearson's table, 0.187 to 0.813.
    zeros = np.zeros(20, int)
    assert population_accuracy(zeros, zeros).interval == pytest.approx((0.025 ** (1 / 20), 1.0))
    half = population_accuracy(np.repeat([0, 1], 5), np.zeros(10, int))
    assert half.interval == pytest.approx((0.1871, 0.8129), abs=1e-4)
    assert half.evidence == Evidence.estimate


def test_population_interval_holds_the_rate_at_least_as_often_as_it_says():
    from math import comb

    n, labels = 25, np.zeros(25, int)
    found = [population_accuracy((np.arange(n) >= k).astype(int), labels).interval for k in range(n + 1)]
    intervals = [interval for interval in found if interval is not None]
    assert len(intervals) == n + 1
    for rate in (0.02, 0.3, 0.5, 0.93):
        held = sum(
            comb(n, k) * rate**k * (1 - rate) ** (n - k)
            for k, (low, high) in enumerate(intervals)
            if low <= rate <= high
        )
        assert held >= 0.95


def dataset(x_train, y_train, x_test, y_test):
    return Dataset("here", x_train, y_train, x_test, y_test, tuple(map(str, range(10))))


def test_neighbours_agree_with_a_count_by_hand():
    rng = np.random.default_rng(0)
    y, y_test = rng.integers(0, 3, 80), rng.integers(0, 3, 40)
    x, x_test = (
        rng.normal(size=(80, 2, 3)) + y[:, None, None],
        rng.normal(size=(40, 2, 3)) + y_test[:, None, None],
    )
    distance = np.sqrt(((x_test[:, None] - x[None]) ** 2).sum(axis=(2, 3)))
    for k in (1, 5):
        votes = [np.bincount(y[near], minlength=3).argmax() for near in np.argsort(distance, axis=1)[:, :k]]
        assert nearest_neighbours(dataset(x, y, x_test, y_test), k).value == np.mean(np.array(votes) == y_test)


def test_neighbours_on_mnist1d_reach_the_known_accuracy():
    data = pytest.importorskip("mnist1d.data", reason="the reference generator is not installed")
    made = data.make_dataset()
    found = nearest_neighbours(dataset(made["x"], made["y"], made["x_test"], made["y_test"]))
    assert found.value == 0.596


@pytest.mark.parametrize(
    ("predicted", "labels", "message"),
    [
        (np.zeros(0, int), np.zeros(0, int), "an empty set has no accuracy"),
        (np.array([[0.0, np.nan]]), np.zeros(1, int), "hold NaN"),
        (np.zeros((1, 2)), np.array([2]), "each example has 2 scores"),
    ],
)
def test_bad_input(predicted, labels, message):
    with pytest.raises(ValueError, match=message):
        accuracy(predicted, labels)


def test_bad_classes_neighbours_confidence():
    with pytest.raises(ValueError, match="labels run from 0 to 2, but 2 classes are 0 to 1"):
        confusion(np.array([0, 1]), np.array([0, 2]), classes=2)
    y = np.arange(3)
    with pytest.raises(ValueError, match="k = 4 neighbours cannot be found among 3"):
        nearest_neighbours(dataset(y[:, None] * 1.0, y, y[:, None] * 1.0, y), 4)
    with pytest.raises(ValueError, match=r"did you mean 0\.95"):
        population_accuracy(y, y, confidence=95.0)


def test_lengths_that_differ_are_named_where_types_are_not_checked():
    # In these tests the shapes in the types already refuse this; a user sees the sentence.
    call = "import numpy, flyroom.measure.accuracy as a; a.accuracy(numpy.zeros((3, 2)), numpy.zeros(4, int))"
    found = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, cwd=ROOT)
    assert "predictions of shape (3, 2) do not fit 4 labels: give one class" in found.stderr

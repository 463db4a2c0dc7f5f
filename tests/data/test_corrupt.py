"""Wrong labels and fewer examples: which labels, how many of them, and nothing else."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom.data import corrupt, mnist1d
from flyroom.records import Dataset, Run
from flyroom.store import key  # a recipe must be plain JSON


@pytest.fixture(scope="module")
def published() -> Dataset:
    return mnist1d.make(num_samples=16_000, train_split=0.25)


def numbers(count: int, classes: int = 10) -> Dataset:
    """Examples that are their own index, labels that are the last digit of it."""
    x = np.arange(count, dtype=np.float64)[:, None]
    y = np.arange(count) % classes
    return Dataset("numbers", x, y, x - 1e6, y, tuple(map(str, range(classes))), ("value",), {"name": "numbers"})


def untouched_but_labels(before: Dataset, after: Dataset) -> None:
    assert after.x_train is before.x_train
    assert after.x_test is before.x_test and after.y_test is before.y_test
    assert after.y_train.dtype == before.y_train.dtype and after.y_train.shape == before.y_train.shape


# The published noise


def test_the_published_labels(published: Dataset):
    noisy = corrupt.canonical_label_noise(published, 0.15)
    assert int((noisy.y_train != published.y_train).sum()) == 577
    untouched_but_labels(published, noisy)


def test_the_stream_goes_on_where_the_data_stopped():
    """The reference's way, step by step, for a set that is small enough to draw by hand."""
    made = mnist1d.make(num_samples=60, train_split=0.5, max_translation=5, padding=(1, 3), shuffle_seq=True, seed=9)
    state = np.random.RandomState(9)
    for _ in range(60):
        state.rand()  # padding
        state.rand()  # scale
        state.choice(5)
        state.randn(12 + 3)  # correlated noise
        state.randn(12 + 3)  # independent noise
        state.rand()  # shear
    state.permutation(60)
    state.permutation(40)
    expected = made.y_train.copy()
    for i in range(30):
        if state.random_sample() < 0.4:
            expected[i] = state.randint(0, 10)
    assert (expected != made.y_train).any()
    np.testing.assert_array_equal(corrupt.canonical_label_noise(made, 0.4).y_train, expected)


@pytest.mark.parametrize("changed", [{}, {"max_translation": 1}, {"template_len": 20}, {"final_seq_length": 30}])
def test_any_canonical_set_can_be_continued(changed: dict[str, Any]):
    # It raises unless the labels that it finds on the way are those of the data.
    arguments: dict[str, Any] = {"num_samples": 200} | changed
    corrupt.canonical_label_noise(mnist1d.make(**arguments), 0.15)


def test_only_canonical_data_can_be_continued():
    made = mnist1d.make(num_samples=100)
    with pytest.raises(ValueError, match=r"not canonical MNIST-1D .* take label_noise"):
        corrupt.canonical_label_noise(numbers(20), 0.15)
    with pytest.raises(ValueError, match="not canonical"):
        corrupt.canonical_label_noise(corrupt.label_noise(made, 0.1, seed=0), 0.15)
    with pytest.raises(ValueError, match="not those that its recipe makes"):
        corrupt.canonical_label_noise(replace(made, y_train=(made.y_train + 1) % 10), 0.15)


def test_the_books_noise_is_pythons():
    made = numbers(4000)
    random.seed(42)
    expected = [int(random.random() * 10) if random.random() < 0.15 else label for label in made.y_train.tolist()]
    # The conditional expression asks first, as the notebook does.
    noisy = corrupt.python_label_noise(made, 0.15)
    np.testing.assert_array_equal(noisy.y_train, expected)
    untouched_but_labels(made, noisy)
    assert (corrupt.python_label_noise(made, 0.15, seed=1).y_train != noisy.y_train).any()


@pytest.mark.parametrize("classes", [2, 9, 11])
def test_the_books_noise_is_for_ten_classes(classes: int):
    with pytest.raises(ValueError, match=rf"numbers has {classes} classes, .* draws one of ten; take label_noise"):
        corrupt.python_label_noise(numbers(40, classes), 0.15)


# Noise with a seed of its own


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**40), st.integers(2, 12), st.floats(0, 1), st.floats(0, 1))
def test_less_noise_is_part_of_more(seed: int, classes: int, one: float, other: float):
    made = numbers(200, classes)
    little, much = (corrupt.label_noise(made, p, seed=seed).y_train for p in sorted((one, other)))
    changed = little != made.y_train
    np.testing.assert_array_equal(little[changed], much[changed])
    assert 0 <= much.min() <= much.max() < classes


def test_the_share_of_wrong_labels():
    """Of 40,000 labels, drawn anew with p and wrong with 9/10 of it: binomial, so four deviations are 1.2 points."""
    made = numbers(40_000)
    wrong = corrupt.label_noise(made, 0.15, seed=3).y_train != made.y_train
    assert wrong.mean() == pytest.approx(0.9 * 0.15, abs=4 * (0.135 * 0.865 / 40_000) ** 0.5)
    all_drawn = corrupt.label_noise(made, 1.0, seed=3).y_train
    assert np.bincount(all_drawn) == pytest.approx(np.full(10, 4000), abs=4 * (40_000 * 0.09) ** 0.5)


def test_no_noise_changes_nothing_and_seeds_differ():
    made = numbers(500)
    np.testing.assert_array_equal(corrupt.label_noise(made, 0.0, seed=1).y_train, made.y_train)
    first, again, other = (corrupt.label_noise(made, 0.5, seed=s).y_train for s in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    untouched_but_labels(made, corrupt.label_noise(made, 0.5, seed=1))


# Fewer examples


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 2**40))
def test_subsamples_are_nested_and_hold_their_own_labels(one: int, other: int, seed: int):
    made = numbers(50)
    few, many = (corrupt.subsample(made, n, seed=seed) for n in sorted((one, other)))
    np.testing.assert_array_equal(many.x_train[: len(few.x_train)], few.x_train)
    assert len(np.unique(many.x_train)) == len(many.x_train) == max(one, other)
    np.testing.assert_array_equal(many.y_train, many.x_train[:, 0] % 10)
    assert many.x_test is made.x_test and many.y_test is made.y_test


def test_a_subsample_is_drawn_at_random():
    assert corrupt.subsample(numbers(50), 10, seed=0).x_train[:, 0].tolist() != list(range(10))


# What identifies the data


def test_recipes_tell_everything_apart():
    made = mnist1d.make(num_samples=100)
    all_of_them = [
        made,
        corrupt.label_noise(made, 0.15, seed=0),
        corrupt.label_noise(made, 0.15, seed=1),
        corrupt.label_noise(made, 0.2, seed=0),
        corrupt.canonical_label_noise(made, 0.15),
        corrupt.python_label_noise(made, 0.15),
        corrupt.subsample(made, 10, seed=0),
        corrupt.subsample(made, 11, seed=0),
        corrupt.subsample(corrupt.label_noise(made, 0.15, seed=0), 10, seed=0),
    ]
    assert len({key(Run("any", 1, {}, 0, one.recipe)) for one in all_of_them}) == len(all_of_them)
    assert all_of_them[-1].recipe["of"]["of"] == made.recipe


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda d: corrupt.label_noise(d, 1.1, seed=0), ValueError, r"probability=1.1 is not in \[0, 1\]"),
        (lambda d: corrupt.label_noise(d, float("nan"), seed=0), ValueError, "probability=nan"),
        (lambda d: corrupt.label_noise(d, 0.1, seed=-1), ValueError, "seed=-1 is below 0"),
        (lambda d: corrupt.python_label_noise(d, -0.1), ValueError, "probability=-0.1"),
        (lambda d: corrupt.subsample(d, 0, seed=0), ValueError, "count=0 is below 1"),
        (lambda d: corrupt.subsample(d, 21, seed=0), ValueError, "count=21 examples cannot be taken from 20"),
    ],
)
def test_bad_arguments_are_refused(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call(numbers(20))

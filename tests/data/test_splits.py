"""Validation splits: exact numbers per class, nothing lost, nothing of the test part."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom.data import toys
from flyroom.data.splits import validation_split
from flyroom.records import Dataset


def dataset(labels):
    """Examples that are their own index; the test part holds values that must not turn up."""
    y = np.asarray(labels, np.int64)
    x = np.arange(len(y), dtype=np.float64)[:, None]
    return Dataset("numbers", x, y, x - 1000, y, tuple(str(label) for label in range(int(y.max()) + 1)), ("value",))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(20, 60), min_size=1, max_size=6),
    st.integers(1, 9),
    st.integers(0, 2**31),
    st.randoms(use_true_random=False),
)
def test_stratification_is_exact(sizes, tenths, seed, order):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    order.shuffle(labels)
    whole = dataset(labels)
    split = validation_split(whole, tenths / 10, seed=seed)
    assert len(split.y_test) == (tenths * len(labels) + 5) // 10
    for label, size in enumerate(sizes):
        count = int((split.y_test == label).sum())
        assert tenths * size // 10 <= count <= -(-tenths * size // 10)
    together = np.concatenate([split.x_train, split.x_test])[:, 0]
    np.testing.assert_array_equal(np.sort(together), np.arange(len(labels)))
    np.testing.assert_array_equal(split.y_train, whole.y_train[split.x_train[:, 0].astype(int)])
    np.testing.assert_array_equal(split.y_test, whole.y_train[split.x_test[:, 0].astype(int)])
    assert (np.diff(split.x_train[:, 0]) > 0).all()
    assert (np.diff(split.x_test[:, 0]) > 0).all()


def test_the_largest_remainders_give_one_more():
    # fraction 0.25 of 5, 6, 7: whole parts 1, 1, 1; round(4.5) = 5 in all, so two more: 7 (.75) and 6 (.5)
    split = validation_split(dataset([0] * 5 + [1] * 6 + [2] * 7), 0.25, seed=0)
    assert np.bincount(split.y_test).tolist() == [1, 2, 2]
    # equal remainders: the smaller label first
    split = validation_split(dataset([0] * 6 + [1] * 6 + [2] * 4), 0.25, seed=0)
    assert np.bincount(split.y_test).tolist() == [2, 1, 1]


def test_a_split_is_seeded_named_and_without_test_data():
    whole = toys.moons(n=100)
    one, same, other = (validation_split(whole, 0.2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.x_test, same.x_test)
    assert not np.array_equal(one.x_test, other.x_test)
    assert one.name == "moons validation"
    assert one.recipe == {"name": "validation split", "fraction": 0.2, "seed": 1, "of": whole.recipe}
    test_rows = {tuple(row) for row in whole.x_test}
    assert not test_rows & {tuple(row) for row in np.concatenate([one.x_train, one.x_test])}


@pytest.mark.parametrize(
    ("fraction", "sentence"),
    [
        (0.0, "fraction=0.0 is not strictly between 0 and 1"),
        (1.0, "fraction=1.0 is not strictly between 0 and 1"),
        (15.0, "0.2 sets one fifth aside"),
        (float("nan"), "fraction=nan"),
        (0.1, r"class 1, which has 2 example\(s\), leaves 0 on one side"),
        (0.9, r"class 1, which has 2 example\(s\), leaves 2 on one side and 0"),
    ],
)
def test_impossible_splits_are_refused(fraction, sentence):
    with pytest.raises(ValueError, match=sentence):
        validation_split(dataset([0] * 20 + [1] * 2), fraction, seed=0)


def test_an_empty_training_part_is_refused():
    whole = toys.moons(n=10)
    empty = replace(whole, x_train=whole.x_train[:0], y_train=whole.y_train[:0])
    with pytest.raises(ValueError, match="there are no examples to split"):
        validation_split(empty, 0.5, seed=0)

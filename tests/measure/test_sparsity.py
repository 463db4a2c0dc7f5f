"""Masks: what is cut, how sparse that is, and neighbours against what chance would give."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flyroom.measure.sparsity import adjacent, expected_adjacent, keep_largest, sparsity

MASKS = st.tuples(st.integers(1, 5), st.integers(4, 9)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.sampled_from([0.0, 1.0]))
)


@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 10)), st.floats(0, 1))
def test_the_lowest_scores_are_cut(scores, share):
    mask = keep_largest(scores, share)
    assert int((mask == 0).sum()) == int(share * len(scores))
    if 0 < mask.sum() < len(mask):
        assert scores[mask == 1].min() >= scores[mask == 0].max()


def test_equal_scores_are_cut_from_the_first():
    assert keep_largest(np.zeros(5), 0.4).tolist() == [0, 0, 1, 1, 1]


def test_what_was_cut_stays_cut_when_its_weights_are_zero():
    scores = np.abs(np.random.default_rng(0).normal(size=1000))
    first = keep_largest(scores, 0.5)
    second = keep_largest(np.random.default_rng(1).uniform(0.1, 1, 1000) * first, 0.8)
    assert (second <= first).all() and second.sum() == 200


def test_nan_is_kept():
    assert keep_largest(np.array([np.nan, 3.0, 1.0, 2.0]), 0.75).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match="is not a share"):
        keep_largest(np.ones(3), share)


def test_sparsity_counts_all_weights_together():
    assert sparsity([np.zeros((3, 2), np.float32), np.ones(2, np.float32)]) == 0.75
    with pytest.raises(ValueError, match="hold no weights"):
        sparsity([np.zeros(0)])


@given(MASKS, st.integers(1, 4))
def test_windows_are_counted_one_by_one(mask, together):
    by_hand = sum(
        all(mask[row, i + j] for j in range(together))
        for row in range(mask.shape[0])
        for i in range(mask.shape[1] - together + 1)
    )
    assert adjacent(mask, together) == by_hand


@pytest.mark.parametrize("together", [1, 2, 3, 4])
@pytest.mark.parametrize("kept", [0, 1, 3, 4, 6, 7])
def test_the_expectation_is_the_mean_over_all_ways_to_keep_as_many(kept, together):
    ways = list(combinations(range(7), kept))
    assert len(ways) == comb(7, kept)
    counts = []
    for chosen in ways:
        mask = np.zeros((1, 7), np.float32)
        mask[0, list(chosen)] = 1
        counts.append(adjacent(mask, together))
        assert expected_adjacent(mask, together) == pytest.approx(expected_adjacent(mask[:, ::-1], together))
    assert expected_adjacent(mask, together) == pytest.approx(np.mean(counts))


def test_rows_add_up():
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], np.float32)
    rows = [expected_adjacent(mask[i : i + 1], 2) for i in range(2)]
    assert expected_adjacent(mask, 2) == pytest.approx(sum(rows))
    assert rows == pytest.approx([0.5, 3.0])


def test_an_uneven_mask_is_not_called_local():
    """Half of the rows dense and half empty: far more pairs than density squared, and no more than its rows give."""
    random = np.random.default_rng(0)
    mask = (random.random((4000, 40)) < np.repeat([0.3, 0.0], 2000)[:, None]).astype(np.float32)
    found, expected = adjacent(mask, 2), expected_adjacent(mask, 2)
    assert found == pytest.approx(expected, rel=0.05)
    assert found > 1.8 * 4000 * 39 * mask.mean() ** 2


@pytest.mark.parametrize("together", [0, -1, 5])
def test_windows_that_do_not_fit_are_refused(together):
    for function in (adjacent, expected_adjacent):
        with pytest.raises(ValueError, match="neighbours cannot be found among 4 inputs"):
            function(np.ones((2, 4), np.float32), together)

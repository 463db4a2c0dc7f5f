"""Masks: what is cut, how sparse that is, and neighbours against what chance would give."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flyroom.measure.sparsity import adjacent, expected_adjacent, expected_adjacent_both, keep_largest, sparsity, traded

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


@given(MASKS, st.integers(0, 2**32))
def test_trades_change_no_sum_of_a_row_or_a_column(mask, seed):
    random, kept = np.random.default_rng(seed), mask != 0
    for _ in range(3):
        kept = traded(kept, random)
        assert (kept.sum(axis=0) == mask.sum(axis=0)).all() and (kept.sum(axis=1) == mask.sum(axis=1)).all()


SMALL = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 1, 0, 1, 0], [1, 0, 0, 0, 1]], np.float32)


def with_the_same_sums(mask):
    """Every mask with the row and column sums of this one, by enumeration."""
    ways = [list(combinations(range(mask.shape[1]), int(row.sum()))) for row in mask]
    for chosen in product(*ways):
        other = np.zeros_like(mask)
        for row, places in enumerate(chosen):
            other[row, list(places)] = 1
        if (other.sum(axis=0) == mask.sum(axis=0)).all():
            yield other


@pytest.mark.parametrize("rows", [4, 3, 2])
def test_both_counts_held_agrees_with_enumeration(rows):
    mask, draws = SMALL[:rows], 1500
    every = list(with_the_same_sums(mask))
    counts = np.array([[adjacent(other, k) for k in (2, 3)] for other in every], float)
    found = expected_adjacent_both(mask, (2, 3), draws=draws, seed=1)
    # Four standard errors, and half as much again for what two draws in a row have in common.
    assert np.abs(np.subtract(found, counts.mean(axis=0))) == pytest.approx(0, abs=6 * counts.std() / draws**0.5)
    assert abs(expected_adjacent(mask, 2) - counts[:, 0].mean()) > 0.1  # another expectation


def test_trades_reach_every_mask_equally_often():
    random, kept, seen = np.random.default_rng(2), SMALL != 0, {}
    every = [(other != 0).tobytes() for other in with_the_same_sums(SMALL)]
    for _ in range(8_000):
        kept = traded(kept, random)
        seen[kept.tobytes()] = seen.get(kept.tobytes(), 0) + 1
    assert set(seen) == set(every)
    expected = 8_000 / len(every)
    assert np.array(list(seen.values())) == pytest.approx(np.full(len(every), expected), rel=0.25)


def test_uneven_inputs_are_not_called_local():
    """A fifth of the inputs hardly kept, at random: above the chance of the rows, and not above that of both."""
    draw = np.random.default_rng(0)
    share = np.where(np.arange(40) < 32, 0.1, 0.005)
    mask = (draw.random((500, 40)) < share).astype(np.float32)
    (both,) = expected_adjacent_both(mask, [2])
    spread = 4 * adjacent(mask, 2) ** 0.5
    assert adjacent(mask, 2) == pytest.approx(both, abs=spread)
    assert both > 1.15 * expected_adjacent(mask, 2)


def test_neighbours_that_are_kept_together_stand_out_and_the_seed_decides():
    mask = np.zeros((100, 40), np.float32)
    for row in range(100):
        mask[row, row % 38 : row % 38 + 3] = 1
    found = expected_adjacent_both(mask, (2, 3), draws=20)
    assert adjacent(mask, 2) == 200 and found[0] < 40 and adjacent(mask, 3) == 100 and found[1] < 5
    assert found == expected_adjacent_both(mask, (2, 3), draws=20)
    assert found != expected_adjacent_both(mask, (2, 3), draws=20, seed=1)


def test_a_single_output_has_nothing_to_trade_with():
    assert expected_adjacent_both(np.array([[1, 1, 0, 1]], np.float32), [2]) == (1.0,)
    with pytest.raises(ValueError, match="0 draws have no mean"):
        expected_adjacent_both(np.ones((2, 4), np.float32), [2], draws=0)


@pytest.mark.parametrize("together", [0, -1, 5])
def test_windows_that_do_not_fit_are_refused(together):
    for function in (adjacent, expected_adjacent):
        with pytest.raises(ValueError, match="neighbours cannot be found among 4 inputs"):
            function(np.ones((2, 4), np.float32), together)
    with pytest.raises(ValueError, match="neighbours cannot be found among 4 inputs"):
        expected_adjacent_both(np.ones((2, 4), np.float32), [2, together])

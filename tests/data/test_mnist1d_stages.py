"""The stages against SciPy and against plain facts about each of them."""

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.ndimage import gaussian_filter

from flyroom.data.mnist1d import stages

RNG_SEED = 5


def test_templates_mirror_each_other():
    x, t, y = stages.templates()
    for digit, mirror in ((6, 0), (7, 1), (8, 3)):
        np.testing.assert_allclose(x[digit], -x[mirror], atol=1e-15)
    assert (x[:, 0] == 0).all()
    np.testing.assert_allclose(x.std(1), 1 / 6)
    np.testing.assert_array_equal(t, np.linspace(-5, 5, 12) / 6)
    np.testing.assert_array_equal(y, np.arange(10))


@pytest.mark.parametrize("length", [1, 2, 5, 8, 9, 40, 72])
def test_smoothing_is_scipys_bit_for_bit(length):
    noise = np.random.default_rng(RNG_SEED).standard_normal((7, length))
    np.testing.assert_array_equal(stages.smooth(noise), np.stack([gaussian_filter(row, 2) for row in noise]))


@pytest.mark.parametrize("points", [2, 3, 12, 72, 73])
@pytest.mark.parametrize("length", [1, 2, 40, 72, 143])
def test_subsampling_is_scipys_bit_for_bit(points, length):
    x = np.random.default_rng(RNG_SEED).standard_normal((4, points))
    expected = interp1d(np.linspace(0, 1, points), x.T, axis=0, kind="linear")(np.linspace(0, 1, length)).T
    one = [np.interp(np.linspace(0, 1, length), np.linspace(0, 1, points), row) for row in x]
    np.testing.assert_array_equal(stages.subsample(x, length), np.stack(one))
    np.testing.assert_allclose(stages.subsample(x, length), expected, atol=1e-14)


def test_memory_order_does_not_matter():
    x = np.random.default_rng(RNG_SEED).standard_normal((9, 30))
    other = np.asfortranarray(x)
    np.testing.assert_array_equal(stages.smooth(x), stages.smooth(other))
    np.testing.assert_array_equal(stages.subsample(x, 17), stages.subsample(other, 17))
    shifts = np.arange(9)
    np.testing.assert_array_equal(stages.translate(x, shifts), stages.translate(other, shifts))


def test_translation_goes_round_and_long_shifts_do_nothing():
    x = np.arange(15.0).reshape(3, 5)
    moved = stages.translate(x, np.array([0, 2, 5]))
    np.testing.assert_array_equal(moved, [x[0], np.roll(x[1], 2), x[2]])
    np.testing.assert_array_equal(stages.translate(x, np.array([7, 5, 4])), [x[0], x[1], np.roll(x[2], 4)])


def test_padding_and_dilation_keep_each_rows_own_length():
    x = np.ones((2, 3))
    paddings = np.array([1, 3])
    padded = stages.pad(x, paddings)
    np.testing.assert_array_equal(padded, [[1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0]])
    dilated = stages.dilate(padded, 3 + paddings, 7)
    np.testing.assert_array_equal(dilated[0], np.interp(np.linspace(0, 1, 7), np.linspace(0, 1, 4), [1, 1, 1, 0]))
    np.testing.assert_array_equal(dilated[1], np.interp(np.linspace(0, 1, 7), np.linspace(0, 1, 6), padded[1]))


def test_correlated_noise_fills_the_background_only():
    rng = np.random.default_rng(RNG_SEED)
    x = np.where(np.arange(60) < 20, 1.5, 0.0) * np.ones((2000, 1))
    noisy = stages.correlated_noise(x, rng.standard_normal(x.shape), 0.25)
    np.testing.assert_array_equal(noisy[:, :20], 1.5)
    inner = noisy[:, 30:50]
    # 0.3756 * 0.25: 2000 * 20 correlated values, about 2000 * 3 independent ones, so 1 % is one deviation
    assert abs(inner.std() / (0.25 * np.sqrt((stages.gaussian_weights() ** 2).sum())) - 1) < 0.05
    assert abs(np.sqrt((stages.gaussian_weights() ** 2).sum()) - 0.3756) < 1e-4


def test_scale_shear_and_iid_noise_do_what_they_say():
    x = np.arange(10.0).reshape(2, 5)
    np.testing.assert_array_equal(stages.scale(x, np.array([0.5, 1.0]), 0.4), [x[0], x[1] * 1.2])
    np.testing.assert_allclose(
        stages.shear(x, np.array([0.5, 1.0]), 2.0), [x[0], x[1] - np.array([-0.5, -0.25, 0, 0.25, 0.5])]
    )
    np.testing.assert_array_equal(stages.iid_noise(x, np.ones((2, 5)), 0.5), x + 0.5)


def test_digits_too_many_for_a_table_are_dilated_one_by_one_to_the_same_bits(monkeypatch):
    from flyroom.data import mnist1d

    chosen = {"num_samples": 300, "padding": (3, 40), "template_len": 9}
    table = mnist1d.make(**chosen)
    monkeypatch.setattr(stages, "TABLE_LIMIT", 0)
    np.testing.assert_array_equal(mnist1d.make(**chosen).x_train, table.x_train)

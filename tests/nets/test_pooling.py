"""Poolings against loops over windows, where gradients have a choice, and what does not fit.

What PyTorch makes of the same windows is compared with in test_convolution.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom.nets import pooling as module
from flyroom.nets.pooling import POOLINGS, global_mean, l2, l2_pool, max_pool, mean_pool, pooling

BY_DEFINITION = {"max": np.max, "mean": np.mean, "l2": np.linalg.norm}


@pytest.mark.parametrize("name", BY_DEFINITION)
@pytest.mark.parametrize(("positions", "size"), [(6, 2), (7, 3), (5, 5), (4, 1)])
def test_every_window_is_pooled_by_itself(name, positions, size):
    x = np.random.default_rng(positions).normal(size=(2, positions, 3)).astype(np.float32)
    out = np.asarray(POOLINGS[name](jnp.asarray(x), size))
    assert out.shape == (2, positions // size, 3)  # the remainder is dropped
    for c, i, b in np.ndindex(*out.shape):
        np.testing.assert_allclose(out[c, i, b], BY_DEFINITION[name](x[c, i * size : (i + 1) * size, b]), rtol=1e-5)


def test_no_pooling_is_the_signal_itself():
    x = jnp.arange(6.0).reshape(1, 6, 1)
    assert pooling("none")(x, 4) is x


def test_l2_of_an_empty_window_has_the_gradient_zero():
    x = jnp.array([0.0, 0.0, 3.0, 4.0]).reshape(1, 4, 1)
    gradient = jax.grad(lambda x: l2(x, 2).sum())(x)
    np.testing.assert_allclose(gradient.ravel(), [0, 0, 0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("size", [0, 5])
def test_a_window_that_does_not_fit_is_named(size):
    with pytest.raises(ValueError, match=f"a window of {size} does not fit 4 positions; choose 1 to 4"):
        l2(jnp.ones((1, 4, 1)), size)


def test_names():
    assert {pooling(name) for name in POOLINGS} == set(POOLINGS.values())
    with pytest.raises(ValueError, match="there is no pooling 'maxx'; did you mean max"):
        pooling("maxx")
    with pytest.raises(ValueError, match="there is no pooling 'zzz'; did you mean l2 or max or mean or none"):
        pooling("zzz")


# Signals and images, any stride and padding. --------------------------------------------------------------------------

BY_WINDOW = {
    max_pool: lambda seen, inside: seen[inside].max(),
    mean_pool: lambda seen, inside: seen.sum() / seen.size,
    l2_pool: lambda seen, inside: np.linalg.norm(seen),
    "not counted": lambda seen, inside: seen.sum() / inside.sum(),
}


@pytest.mark.parametrize("function", BY_WINDOW)
@pytest.mark.parametrize(
    ("shape", "window", "stride", "padding"),
    [
        ((6, 7), (2, 3), None, ((0, 0), (0, 0))),
        ((6, 7), (3, 2), (1, 2), ((1, 0), (0, 1))),
        ((5, 4), (3, 3), (2, 1), ((1, 1), (1, 1))),
        ((1, 9), (1, 4), (1, 3), ((0, 0), (2, 1))),
    ],
)
def test_every_window_by_its_definition(function, shape, window, stride, padding):
    """Windows of an image by loops; where it has one row, of the signal as well."""
    x = np.random.default_rng(sum(window)).normal(size=(2, *shape, 3)).astype(np.float32)
    around = ((0, 0), *padding, (0, 0))
    padded, inside = np.pad(x, around), np.pad(np.ones(x.shape, bool), around)
    pooled, options = (mean_pool, {"count_padding": False}) if function == "not counted" else (function, {})
    out = np.asarray(pooled(jnp.asarray(x), window, stride, padding, **options))
    step = stride or window
    sizes = tuple((n - k) // s + 1 for n, k, s in zip(padded.shape[1:3], window, step, strict=True))
    assert out.shape == (2, *sizes, 3)
    for c, i, j, b in np.ndindex(*out.shape):
        at = (c, slice(i * step[0], i * step[0] + window[0]), slice(j * step[1], j * step[1] + window[1]), b)
        np.testing.assert_allclose(out[c, i, j, b], BY_WINDOW[function](padded[at], inside[at]), rtol=1e-5)
    if shape[0] == 1:
        signal = pooled(jnp.asarray(x[:, 0]), window[1], step[1], padding[1], **options)
        np.testing.assert_array_equal(signal, out[:, 0])


def test_the_lectures_table():
    table = jnp.asarray([[1.0, 2, 5, 6], [3, 4, 7, 8]]).reshape(1, 2, 4, 1)
    assert mean_pool(table, 2, 2)[0, :, :, 0].tolist() == [[2.5, 6.5]]
    assert max_pool(table, 2, 2)[0, :, :, 0].tolist() == [[4, 8]]


def test_windows_side_by_side_are_those_of_the_functions_by_name():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 11, 2)), jnp.float32)
    for name, function in (("max", max_pool), ("mean", mean_pool), ("l2", l2_pool)):
        np.testing.assert_allclose(function(x, 4), POOLINGS[name](x, 4), rtol=1e-6)


def test_a_constant_under_l2_pooling_grows_by_the_root_of_the_window():
    np.testing.assert_allclose(l2_pool(jnp.full((1, 4, 4, 1), 3.0), 2), 6.0)


def test_a_padded_place_never_is_the_maximum():
    assert max_pool(-jnp.ones((1, 3, 1)), 3, 1, 1).ravel().tolist() == [-1.0] * 3


@pytest.mark.parametrize(
    ("function", "expected"),
    [(lambda x: max_pool(x, 3), [1, 0, 0]), (lambda x: POOLINGS["max"](x, 3), [1 / 3] * 3)],
)
def test_of_equal_values_the_first_has_the_gradient_or_all_have_a_part(function, expected):
    gradient = jax.grad(lambda x: function(x).sum())(jnp.ones((1, 3, 1)))
    np.testing.assert_allclose(gradient.ravel(), expected, rtol=1e-6)


@pytest.mark.parametrize("place", range(4))
def test_a_nan_is_not_lost(place):
    x = jnp.zeros((1, 4, 1)).at[0, place, 0].set(jnp.nan)
    for function in (max_pool, mean_pool):
        assert np.isnan(function(x, 2)).ravel().tolist() == [place < 2, place >= 2]


def test_l2_pooling_of_nothing_has_the_gradient_zero():
    x = jnp.array([0.0, 0.0, 3.0, 4.0]).reshape(1, 2, 2, 1)
    gradient = jax.grad(lambda x: l2_pool(x, (1, 2)).sum())(x)
    np.testing.assert_allclose(gradient.ravel(), [0, 0, 0.6, 0.8], rtol=1e-6)


def test_the_global_mean_is_over_space_alone():
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
    np.testing.assert_allclose(global_mean(jnp.asarray(x)), x.mean((1, 2)), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(global_mean(jnp.asarray(x[:, 0])), x[:, 0].mean(1), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("shape", "arguments", "sentence"),
    [
        ((1, 4, 1), (5,), r"a window of 5 does not fit 4 positions with padding \(0, 0\); choose 1 to 4"),
        ((1, 4, 4, 1), ((2, 7), 1, ((0, 0), (1, 1))), r"a window of 7 does not fit 4 positions .* choose 1 to 6"),
        ((1, 4, 1), (3, 1, 2), "a padding of 2 is more than half of a window of 3; choose at most 1"),
        ((1, 4, 1), (0,), "window 0: must be at least 1"),
        ((1, 4, 1), ((2, 2),), r"window \(2, 2\): 2 numbers for 1 axis of space"),
        ((1, 4, 1), (2, 0), "stride 0: must be at least 1"),
        ((1, 4, 1), (2, 2, "same"), r'padding "same" with stride \(2,\)'),
        ((4, 1), (2,), r"x of shape \(4, 1\) has no places to pool; a signal is"),
    ],
)
def test_what_does_not_fit_is_refused(shape, arguments, sentence):
    for function in (max_pool, mean_pool, l2_pool):
        with pytest.raises(ValueError, match=sentence):
            function(jnp.ones(shape), *arguments)


def test_poolings_are_read_as_one_step(monkeypatch):
    """What a reader of networks is given: the kind, no weights, hashable attributes."""
    seen = []

    def noted(kind, function, x, weights, **attributes):
        assert weights == {}
        hash(tuple(attributes.items()))
        seen.append((kind, attributes))
        return function(x, weights)

    monkeypatch.setattr(module, "named", noted)
    signal, image = jnp.ones((2, 6, 1)), jnp.ones((2, 6, 6, 1))
    for name in ("max", "mean", "l2"):
        POOLINGS[name](signal, 3)
    max_pool(image, 3, 2, 1)
    mean_pool(signal, 3, count_padding=False)
    l2_pool(image, 2)
    by_three = {"window": (3,), "stride": (3,), "padding": ((0, 0),)}
    assert seen == [
        ("max_pool", by_three),
        ("mean_pool", by_three | {"count_padding": True}),
        ("l2_pool", by_three),
        ("max_pool", {"window": (3, 3), "stride": (2, 2), "padding": ((1, 1), (1, 1))}),
        ("mean_pool", by_three | {"count_padding": False}),
        ("l2_pool", {"window": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0))}),
    ]

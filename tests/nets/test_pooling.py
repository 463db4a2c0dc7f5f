"""Poolings against loops over windows, and the L2 pooling where its root has no derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom.nets.pooling import POOLINGS, l2, pooling

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

"""Losses against their formulas, and where a careless formula overflows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from flyroom.losses import cross_entropy, squared_error


def net(x):
    return x  # its inputs are its outputs


RANDOM = np.random.default_rng(0)
OUTPUTS, LABELS = RANDOM.normal(size=(7, 3)).astype(np.float32), RANDOM.integers(0, 3, 7).astype(np.int32)


def test_cross_entropy_is_the_mean_of_minus_the_log_probability_in_nats():
    expected = -log_softmax(OUTPUTS, axis=1)[np.arange(7), LABELS].mean()
    np.testing.assert_allclose(cross_entropy(net, jnp.asarray(OUTPUTS), jnp.asarray(LABELS)), expected, rtol=1e-6)
    flat = cross_entropy(net, jnp.zeros((4, 10)), jnp.zeros(4, int))
    np.testing.assert_allclose(flat, np.log(10), rtol=1e-6)


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_cross_entropy_of_large_logits_is_finite(size):
    logits, labels = size * jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([0, 0])
    np.testing.assert_allclose(cross_entropy(net, logits, labels), size / 2, rtol=1e-6)
    gradient = jax.grad(lambda x: cross_entropy(net, x, labels))(logits)
    np.testing.assert_allclose(gradient, [[0, 0], [-0.5, 0.5]], atol=1e-7)


def test_squared_error_is_the_mean_over_batch_and_outputs():
    targets = RANDOM.normal(size=(7, 3)).astype(np.float32)
    expected = ((OUTPUTS - targets) ** 2).sum() / 21
    np.testing.assert_allclose(squared_error(net, jnp.asarray(OUTPUTS), jnp.asarray(targets)), expected, rtol=1e-6)

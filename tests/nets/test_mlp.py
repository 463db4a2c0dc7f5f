"""Plain and residual perceptrons against the formula in NumPy."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom.nets.mlp import MLP, ResidualMLP
from flyroom.nets.spec import parameters


@pytest.mark.parametrize("widths", [(3, 2), (3, 5, 4, 2)])
def test_layers_with_the_activation_between_them_and_none_after_the_last(widths):
    net = MLP.init(jax.random.key(0), widths, jnp.tanh)
    hidden = x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    for i, layer in enumerate(net.layers):
        hidden = hidden @ np.asarray(layer.weight).T + np.asarray(layer.bias)
        hidden = np.tanh(hidden) if i < len(net.layers) - 1 else hidden
    np.testing.assert_allclose(net(jnp.asarray(x)), hidden, atol=1e-6)
    assert parameters(net) == sum((n + 1) * m for n, m in pairwise(widths))


def test_the_residual_layer_adds():
    net = ResidualMLP.init(jax.random.key(0), 4, 3, 2)
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    w, b, u, c, v, d = (np.asarray(leaf) for leaf in jax.tree.leaves(net))
    hidden = np.maximum(x @ w.T + b, 0)
    hidden = hidden + np.maximum(hidden @ u.T + c, 0)
    np.testing.assert_allclose(net(jnp.asarray(x)), hidden @ v.T + d, atol=1e-6)


@pytest.mark.parametrize("widths", [(3,), (3, 0, 2), ()])
def test_widths_that_are_none(widths):
    with pytest.raises(ValueError, match="must be two or more positive numbers, input first, output last"):
        MLP.init(jax.random.key(0), widths)

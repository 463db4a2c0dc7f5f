"""The residual network: dilated convolutions by definition, blocks that add, and what does not fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom.nets.residual import Dilated, ResidualCNN
from flyroom.nets.spec import parameters


def by_definition(x, weight, bias, dilation):
    """out[o, i, b] = bias[o] + sum over c, k of weight[o, c, k] * x[c, i + (k - K // 2) * dilation, b], in loops."""
    outputs, _, kernel = weight.shape
    out = np.zeros((outputs, *x.shape[1:])) + bias[:, None, None]
    for i in range(x.shape[1]):
        for k in range(kernel):
            at = i + (k - kernel // 2) * dilation
            if 0 <= at < x.shape[1]:
                out[:, i] += weight[:, :, k] @ x[:, at]
    return out


applied = eqx.filter_jit(lambda net, x: net(x))


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 2), (5, 9)])
def test_a_dilated_convolution_is_its_definition_either_way(kernel, dilation, monkeypatch):
    random = np.random.default_rng(kernel + dilation)
    x = random.normal(size=(3, 8, 2)).astype(np.float32)
    weight, bias = random.normal(size=(4, 3, kernel)).astype(np.float32), random.normal(size=4).astype(np.float32)
    layer = Dilated(jnp.asarray(weight), jnp.asarray(bias), dilation)
    expected = by_definition(x, weight, bias, dilation)
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, atol=1e-5)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    np.testing.assert_allclose(layer(jnp.asarray(x)), expected, atol=1e-5)


def test_the_default_network():
    net = ResidualCNN.init(jax.random.key(0))
    assert parameters(net) == 24 * 5 + 24 + 4 * (24 * 24 * 3 + 24) + 24 * 10 + 10 == 7402
    assert jax.eval_shape(net, jnp.ones((3, 40))).shape == (3, 10)
    bounds = [(net.stem, 5), (net.blocks[0][0], 72), (net.blocks[1][1], 72), (net.last, 24)]
    for layer, fan_in in bounds:
        assert 0.8 / fan_in**0.5 < np.abs(np.asarray(layer.weight)).max() <= 1 / fan_in**0.5


def test_a_block_adds_to_what_comes_in():
    """With the second convolution of each block at zero, the blocks do nothing, since what comes in is not negative."""
    net = ResidualCNN.init(jax.random.key(1))
    silent = eqx.tree_at(
        lambda n: [leaf for block in n.blocks for leaf in (block[1].weight, block[1].bias)],
        net,
        replace_fn=jnp.zeros_like,
    )
    none = ResidualCNN(net.stem, (), net.last, net.activation, net.window)
    x = np.random.default_rng(2).normal(size=(5, 40)).astype(np.float32)
    expected = applied(none, x)
    np.testing.assert_allclose(applied(silent, x), expected, atol=1e-6)
    assert np.abs(applied(net, x) - expected).max() > 1e-3


def test_a_digit_may_lie_anywhere():
    """Away from the ends, a shift by whole windows moves the features and leaves their mean."""
    net = ResidualCNN.init(jax.random.key(3))
    x = np.zeros((1, 80), np.float32)
    x[0, 30:40] = np.random.default_rng(0).normal(size=10)
    found = applied(net, np.concatenate([x, np.roll(x, 6, axis=1), 2 * x]))
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert np.abs(found[0] - found[2]).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"kernel": 2}, "must be odd"),
        ({"stem": 4}, "must be odd"),
        ({"dilations": (1, 0)}, "must be at least 1"),
        ({"window": 41}, "a window of 41 does not fit 40 positions"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        ResidualCNN.init(jax.random.key(0), **arguments)

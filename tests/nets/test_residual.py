"""The residual network: its layers, blocks that add, and what does not fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convolution_cases import shapes_by_path

from flyroom.nets._layers import Dense, draw
from flyroom.nets.residual import ResidualCNN
from flyroom.nets.spec import parameters

applied = eqx.filter_jit(lambda net, x: net(x))


def test_parameters_keep_their_paths_in_files():
    shapes = shapes_by_path(ResidualCNN.init(jax.random.key(0), dilations=(1, 4)))
    blocks = {f"blocks.{i}.{j}.{part}": shape for i in (0, 1) for j in (0, 1)
              for part, shape in (("weight", (24, 24, 3)), ("bias", (24,)))}  # fmt: skip
    ends = {"stem.weight": (24, 1, 5), "stem.bias": (24,), "last.weight": (10, 24), "last.bias": (10,)}
    assert shapes == blocks | ends


def test_first_weights_are_one_draw_in_order():
    net = ResidualCNN.init(jax.random.key(7), channels=4, dilations=(2,))
    inner = [((4, 4, 3), 12), ((4,), 12)]
    shapes = [((4, 1, 5), 5), ((4,), 5), *inner, *inner, *Dense.shapes(4, 10)]
    for leaf, drawn in zip(jax.tree.leaves(net), draw(jax.random.key(7), shapes), strict=True):
        np.testing.assert_array_equal(leaf, drawn)


def test_no_position_is_lost_whatever_the_dilation():
    net = ResidualCNN.init(jax.random.key(0), stem=7, kernel=5, dilations=(1, 9))
    assert net.stem(jnp.ones((1, 40, 2))).shape == (24, 40, 2)
    assert (net.blocks[1][0].dilation, net.blocks[1][0].padding) == ((9,), ((18, 18),))
    for layer in (layer for block in net.blocks for layer in block):
        assert layer(jnp.ones((24, 20, 2))).shape == (24, 20, 2)


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

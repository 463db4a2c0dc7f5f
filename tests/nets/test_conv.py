"""The convolutional network of the benchmark: its layers, its first weights, what does not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convolution_cases import shapes_by_path

from flyroom.nets._layers import Dense, draw
from flyroom.nets.conv import CNN
from flyroom.nets.pooling import maximum


def test_parameters_keep_their_paths_in_files():
    assert shapes_by_path(CNN.init(jax.random.key(0))) == {
        "convolutions.0.weight": (25, 1, 5),
        "convolutions.0.bias": (25,),
        "convolutions.1.weight": (25, 25, 3),
        "convolutions.1.bias": (25,),
        "convolutions.2.weight": (25, 25, 3),
        "convolutions.2.bias": (25,),
        "last.weight": (10, 125),
        "last.bias": (10,),
    }


def test_first_weights_are_one_draw_in_order():
    net = CNN.init(jax.random.key(7), channels=(4, 6), kernels=(3, 5))
    shapes = [((4, 1, 3), 3), ((4,), 3), ((6, 4, 5), 20), ((6,), 20), *Dense.shapes(6 * 9, 10)]
    for leaf, drawn in zip(jax.tree.leaves(net), draw(jax.random.key(7), shapes), strict=True):
        np.testing.assert_array_equal(leaf, drawn)


def test_a_kernel_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="a kernel of 9 with stride 2 and padding 1 does not fit 4 positions"):
        CNN.init(jax.random.key(0), 4, kernels=(9, 3, 3))


def test_pooled_networks_and_their_errors():
    net = CNN.init(jax.random.key(0), 40, 3, channels=(4, 6), kernels=(3, 3), stride=1, pooling=maximum, window=2)
    assert net.last.weight.shape == (3, 6 * 10)
    assert net(jnp.zeros((7, 40))).shape == (7, 3)
    with pytest.raises(ValueError, match=r"channels \(4,\) and kernels \(3, 3\) must be equally many"):
        CNN.init(jax.random.key(0), channels=(4,), kernels=(3, 3))
    with pytest.raises(ValueError, match="a window of 50 does not fit 19 positions; choose 1 to 19"):
        CNN.init(jax.random.key(0), pooling=maximum, window=50)

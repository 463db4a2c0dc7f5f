"""Convolutions: the two ways agree, both with the definition, and what does not fit is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom.nets.conv import CNN, by_taps, by_xla, output_length
from flyroom.nets.pooling import maximum


def by_definition(x, weight, stride, padding):
    """out[o, i, b] = sum over c, k of weight[o, c, k] * padded[c, i * stride + k, b], in loops."""
    padded = np.pad(x, ((0, 0), (padding, padding), (0, 0)))
    count = (padded.shape[1] - weight.shape[2]) // stride + 1
    out = np.zeros((weight.shape[0], count, x.shape[2]))
    for i in range(count):
        out[:, i] = np.einsum("ock,ckb->ob", weight, padded[:, i * stride : i * stride + weight.shape[2]])
    return out


@settings(max_examples=12, deadline=None)
@given(
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    extra=st.integers(0, 9),
    channels=st.integers(1, 3),
    outputs=st.integers(1, 3),
)
def test_both_ways_are_the_definition(kernel, stride, padding, extra, channels, outputs):
    positions = max(1, kernel - 2 * padding) + extra
    random = np.random.default_rng(kernel + 10 * stride + 100 * padding)
    x = random.normal(size=(channels, positions, 2)).astype(np.float32)
    weight = random.normal(size=(outputs, channels, kernel)).astype(np.float32)
    expected = by_definition(x, weight, stride, padding)
    assert expected.shape[1] == output_length(positions, kernel, stride, padding)
    for way in (by_taps, by_xla):
        np.testing.assert_allclose(way(jnp.asarray(x), jnp.asarray(weight), stride, padding), expected, atol=1e-5)


def test_both_ways_have_the_same_gradients():
    random = np.random.default_rng(0)
    x, weight = (jnp.asarray(random.normal(size=s), jnp.float32) for s in ((3, 11, 4), (5, 3, 4)))

    def slope(way):
        return jax.grad(lambda x, weight: jnp.sin(way(x, weight, 2, 1)).sum(), argnums=(0, 1))(x, weight)

    for ours, theirs in zip(slope(by_taps), slope(by_xla), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_lengths_of_the_benchmark():
    assert [output_length(n, k, 2, 1) for n, k in ((40, 5), (19, 3), (10, 3))] == [19, 10, 5]


@pytest.mark.parametrize("arguments", [(3, 6, 1, 1), (5, 0, 1, 0), (5, 2, 0, 0), (5, 2, 1, -1)])
def test_a_kernel_that_does_not_fit_is_named(arguments):
    n, k, s, p = arguments
    expected = f"kernel of {k} with stride {s} and padding {p} does not fit {n} positions; .* must be at least 1"
    with pytest.raises(ValueError, match=expected):
        output_length(n, k, s, p)


def test_pooled_networks_and_their_errors():
    net = CNN.init(jax.random.key(0), 40, 3, channels=(4, 6), kernels=(3, 3), stride=1, pooling=maximum, window=2)
    assert net.last.weight.shape == (3, 6 * 10)
    assert net(jnp.zeros((7, 40))).shape == (7, 3)
    with pytest.raises(ValueError, match=r"channels \(4,\) and kernels \(3, 3\) must be equally many"):
        CNN.init(jax.random.key(0), channels=(4,), kernels=(3, 3))
    with pytest.raises(ValueError, match="a window of 50 does not fit 19 positions; choose 1 to 19"):
        CNN.init(jax.random.key(0), pooling=maximum, window=50)

"""Stacks of convolutions: against the benchmark's CNN, against loops, and with weights that are not shared."""

from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom.measure.architecture import architecture
from flyroom.nets.conv import CNN
from flyroom.nets.local import Local
from flyroom.nets.spec import parameters
from flyroom.nets.stack import Stack

KEY = jax.random.key(3)
SIGNALS = jax.random.normal(jax.random.key(1), (4, 40))
IMAGES = jax.random.normal(jax.random.key(2), (3, 8, 8))


def test_the_default_is_the_benchmarks_network():
    net, known = Stack.init(KEY), CNN.init(KEY)
    assert parameters(net) == 5210
    for ours, theirs in zip(net.layers, known.convolutions, strict=True):
        assert (ours.weight == theirs.weight).all() and (ours.bias == theirs.bias).all()
    np.testing.assert_allclose(net(SIGNALS), known(SIGNALS), rtol=1e-6, atol=1e-6)


def by_loops(x, weight, bias, stride, dilation, padding):
    """One example (channel, *space) through one convolution and a ReLU, output by output."""
    weight, axes = np.asarray(weight, float), x.ndim - 1
    padded = np.pad(x, [(0, 0), *[(padding, padding)] * axes])
    reach = dilation * (weight.shape[2] - 1) + 1
    counts = [(length - reach) // stride + 1 for length in padded.shape[1:]]
    out = np.zeros((len(weight), *counts))
    for place in product(*map(range, counts)):
        window = tuple(slice(i * stride, i * stride + reach, dilation) for i in place)
        seen = padded[(slice(None), *window)]
        for o in range(len(weight)):
            out[(o, *place)] = max(0.0, float((seen * weight[o]).sum() + bias[o]))
    return out


def halved(x, reduced):
    for axis in range(1, x.ndim):
        keep = x.shape[axis] // 2 * 2
        x = np.moveaxis(x, axis, 0)[:keep]
        x = np.moveaxis(reduced(x.reshape(keep // 2, 2, *x.shape[1:]), 1), 0, axis)
    return x


@pytest.mark.parametrize("pooling", ["none", "max", "mean"])
@pytest.mark.parametrize("summary", ["flatten", "mean"])
@pytest.mark.parametrize(("x", "strides", "dilations"), [(SIGNALS, (1, 2), (1, 2)), (IMAGES, (1, 1), (1, 2))])
def test_it_is_what_loops_make_of_it(pooling, summary, x, strides, dilations):
    net = Stack.init(
        KEY, x.shape[1:], 3, channels=(4, 5), kernels=(3, 3), strides=strides, dilations=dilations, padding=None,
        hidden=(6,), pooling=pooling, summary=summary,
    )  # fmt: skip
    for example, logits in zip(np.asarray(x, float), np.asarray(jax.jit(type(net).__call__)(net, x)), strict=True):
        hidden = example[None]
        for layer, stride, dilation in zip(net.layers, strides, dilations, strict=True):
            hidden = by_loops(hidden, layer.weight, np.asarray(layer.bias), stride, dilation, dilation)
            if pooling != "none":
                hidden = halved(hidden, np.max if pooling == "max" else np.mean)
        seen = hidden.ravel() if summary == "flatten" else hidden.reshape(len(hidden), -1).mean(1)
        first, last = net.dense
        inner = np.maximum(np.asarray(first.weight) @ seen + np.asarray(first.bias), 0)
        expected = np.asarray(last.weight) @ inner + np.asarray(last.bias)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_unshared_weights_that_are_equal_are_shared_ones():
    given = {"channels": (3, 4), "kernels": (5, 3), "strides": 2}
    shared, own = Stack.init(KEY, **given), Stack.init(KEY, shared=False, **given)
    assert all(isinstance(layer, Local) for layer in own.layers)
    assert parameters(own) > 1.5 * parameters(shared)

    def spread(layer, to):
        """The convolution's weights at every place: (out, channel, kernel) to (place, out, channel * kernel)."""
        places = to.weight.shape[0]
        weight = jnp.broadcast_to(layer.weight.reshape(len(layer.weight), -1), to.weight.shape)
        return eqx.tree_at(lambda one: (one.weight, one.bias), to, (weight, jnp.tile(layer.bias[:, None], places)))

    layers = tuple(spread(a, b) for a, b in zip(shared.layers, own.layers, strict=True))
    same = eqx.tree_at(lambda net: (net.layers, net.dense), own, (layers, shared.dense))
    np.testing.assert_allclose(same(SIGNALS), shared(SIGNALS), rtol=1e-5, atol=1e-5)


def test_responses_are_those_before_the_pooling():
    net = Stack.init(KEY, (8, 8), channels=(4, 6), kernels=(3, 3), strides=1, padding=None, pooling="max")
    first, second = net.responses(IMAGES)
    assert first.shape == (4, 8, 8, 3) and second.shape == (6, 4, 4, 3)
    assert float(first.min()) == 0 and float(first.max()) > 0


def test_it_can_be_opened():
    net = Stack.init(KEY, (40,), channels=(4, 6), kernels=(3, 5), strides=1, padding=None, pooling="max")
    found = architecture(net, (40,))
    assert found.parameters == parameters(net)
    assert found.multiply_adds == 40 * 4 * 3 + 20 * 6 * 4 * 5 + 6 * 10 * 10
    assert [one.receptive_field for one in found.layers if one.op == "conv"] == [(3,), (3 + 1 + 4 * 2,)]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"channels": (3,), "kernels": (3, 3)}, "must be equally many"),
        ({"channels": (), "kernels": ()}, "at least one"),
        ({"pooling": "l2"}, "pooling 'l2' and summary 'flatten': choose none, max, mean"),
        ({"summary": "max"}, "choose none, max, mean, and flatten or mean"),
        ({"kernels": (5, 4, 3), "padding": None}, r"kernels \(5, 4, 3\) must be odd"),
        ({"strides": (1, 2)}, r"strides \(1, 2\): give one for all, or one for each of 3 layers"),
        ({"shared": False, "dilations": 2}, "unshared weights are for signals without dilation"),
        ({"kernels": (50, 3, 3)}, "a kernel of 50"),
    ],
)
def test_what_does_not_fit_is_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        Stack.init(KEY, **given)


def test_unshared_images_are_refused():
    with pytest.raises(ValueError, match="got 2 axes"):
        Stack.init(KEY, (8, 8), channels=(3,), kernels=(3,), shared=False)

"""The locally connected layer: by definition, against the convolution that shares its weights, what does not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom.nets import local as module
from flyroom.nets.convolution import Convolution
from flyroom.nets.local import Local
from flyroom.nets.padding import output_length
from flyroom.nets.spec import parameters


def by_definition(layer, x):
    """y[o, i, b] = bias[o, i] + sum over c, k of weight[i, o, c * kernel + k] * padded[c, i * stride + k, b]."""
    weight, bias = np.asarray(layer.weight, float), np.asarray(layer.bias, float)
    padded = np.pad(x, ((0, 0), *layer.padding, (0, 0)))
    (kernel,), (stride,) = layer.kernel, layer.stride
    y = np.zeros((weight.shape[1], weight.shape[0], x.shape[2]))
    for i, o, c, k in np.ndindex(*weight.shape[:2], x.shape[0], kernel):
        y[o, i] += weight[i, o, c * kernel + k] * padded[c, i * stride + k]
    return y + bias[:, :, None]


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "places"), [(3, 1, 0, 7), (3, 1, "same", 9), (4, 2, (1, 0), 4), (1, 3, 0, 3)]
)
def test_every_place_by_its_definition(kernel, stride, padding, places):
    layer = Local.init(jax.random.key(kernel), 3, 5, 9, kernel, stride=stride, padding=padding)
    assert layer.weight.shape == (places, 5, 3 * kernel)
    x = np.random.default_rng(kernel).normal(size=(3, 9, 4)).astype(np.float32)
    np.testing.assert_allclose(layer(jnp.asarray(x)), by_definition(layer, x), atol=1e-5)


def test_with_the_same_weights_everywhere_it_is_the_convolution():
    shared = Convolution.init(jax.random.key(0), 3, 5, 4, stride=2, padding=1)
    places = output_length(11, 4, 2, 1)
    assert shared.bias is not None
    weight = jnp.broadcast_to(shared.weight.reshape(5, -1), (places, 5, 12))
    layer = Local(weight, jnp.broadcast_to(shared.bias[:, None], (5, places)), (4,), (2,), ((1, 1),))
    x = jnp.asarray(np.random.default_rng(1).normal(size=(3, 11, 4)), jnp.float32)
    np.testing.assert_allclose(layer(x), shared(x), atol=1e-5)


def test_no_place_learns_from_another():
    """The gradient of one output place is that of its own weights, and of the inputs under its kernel."""
    layer = Local.init(jax.random.key(0), 2, 3, 8, 3)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 8, 4)), jnp.float32)
    of_layer, of_x = jax.grad(lambda layer, x: layer(x)[:, 2].sum(), argnums=(0, 1))(layer, x)
    learning = np.abs(of_layer.weight).sum((1, 2))
    assert np.flatnonzero(learning).tolist() == [2]
    assert np.flatnonzero(np.abs(of_x).sum((0, 2))).tolist() == [2, 3, 4]


def test_it_has_as_many_times_the_parameters_as_places():
    layer, shared = Local.init(jax.random.key(0), 3, 5, 40, 5), Convolution.init(jax.random.key(0), 3, 5, 5)
    assert parameters(layer) == 36 * parameters(shared) == 36 * 5 * (3 * 5 + 1)
    without = Local.init(jax.random.key(0), 3, 5, 40, 5, bias=False)
    assert without.bias is None and without(jnp.ones((3, 40, 2))).shape == (5, 36, 2)
    assert 0.98 * 15**-0.5 < np.abs(layer.weight).max() <= 15**-0.5


def test_it_is_read_as_one_step_with_its_weights(monkeypatch):
    seen = []

    def noted(kind, function, x, weights, **attributes):
        seen.append((kind, {name: array.shape for name, array in weights.items()}, attributes))
        return function(x, weights)

    monkeypatch.setattr(module, "named", noted)
    Local.init(jax.random.key(0), 2, 3, 8, 3, stride=2, padding=(0, 1))(jnp.ones((2, 8, 1)))
    geometry = {"kernel": (3,), "stride": (2,), "padding": ((0, 1),)}
    assert seen == [("local", {"weight": (4, 3, 6), "bias": (3, 4)}, geometry)]


def test_what_does_not_fit_is_refused():
    layer = Local.init(jax.random.key(0), 3, 5, 9, 3)
    sentence = r"for 7 places that see 9 numbers each, and x of shape \(3, 8, 2\) has 6 places that see 9; a local"
    with pytest.raises(ValueError, match=sentence):
        layer(jnp.ones((3, 8, 2)))
    with pytest.raises(ValueError, match=r"x of shape \(4, 9, 2\) has 7 places that see 12"):
        layer(jnp.ones((4, 9, 2)))
    with pytest.raises(ValueError, match="a kernel of 5 with stride 1 and padding 0 does not fit 4 positions"):
        Local.init(jax.random.key(0), 3, 5, 4, 5)
    with pytest.raises(ValueError, match='padding "same" with stride'):
        Local.init(jax.random.key(0), 3, 5, 9, 3, stride=2, padding="same")
    with pytest.raises(ValueError, match="channels 0 in and 5 out: both must be at least 1"):
        Local.init(jax.random.key(0), 0, 5, 9, 3)

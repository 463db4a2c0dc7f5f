"""Deep networks against NumPy and the plain MLP; the doubling of the variance against its closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom.nets._layers import Dense
from flyroom.nets.deep import DeepMLP
from flyroom.nets.mlp import MLP
from flyroom.nets.spec import parameters


def arrays(net: DeepMLP) -> list[np.ndarray]:
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(net)]


@pytest.mark.parametrize("skip", ["none", "add", "mean"])
@pytest.mark.parametrize("depth", [3, 5])
def test_a_network_is_its_formula(depth, skip):
    random = np.random.default_rng(depth)
    net = jax.tree.map(
        lambda leaf: leaf + 0.1 * random.normal(size=leaf.shape).astype(np.float32),
        DeepMLP.init(jax.random.key(depth), depth, skip, width=6),
    )
    x = random.normal(size=(7, 40)).astype(np.float32)
    first, start, weights, biases, last, end = arrays(net)
    hidden = x @ first.T + start
    for weight, bias in zip(weights, biases, strict=True):
        change = np.maximum(hidden, 0) @ weight.T + bias
        hidden = {"none": change, "add": hidden + change, "mean": (hidden + change) / 2**0.5}[skip]
    expected = np.maximum(hidden, 0) @ last.T + end
    np.testing.assert_allclose(net(jnp.asarray(x)), expected, rtol=1e-4, atol=1e-4)


def test_without_skips_it_is_an_mlp():
    net = DeepMLP.init(jax.random.key(0), 4, width=5)
    inner = zip(net.weights, net.biases, strict=True)
    plain = MLP((net.first, *(Dense(weight, bias) for weight, bias in inner), net.last), jax.nn.relu)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 40)), jnp.float32)
    np.testing.assert_allclose(net(x), plain(x), atol=1e-5)


@pytest.mark.parametrize("depth", [3, 4, 20])
def test_parameters_and_first_weights(depth):
    """41 * 100 + (depth - 2) * 101 * 100 + 101 * 10; He's uniform on (-sqrt(6 / f), sqrt(6 / f)), biases at zero."""
    net = DeepMLP.init(jax.random.key(1), depth, "add")
    assert parameters(net) == 4100 + (depth - 2) * 10_100 + 1010
    assert not any(np.asarray(bias).any() for bias in (net.first.bias, net.biases, net.last.bias))
    for weight, fan_in in ((net.first.weight, 40), (net.weights, 100), (net.last.weight, 100)):
        bound = (6 / fan_in) ** 0.5
        found = np.asarray(weight)
        assert 0.98 * bound < np.abs(found).max() <= bound * (1 + 1e-6)
        assert found.std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
    layers = np.asarray(net.weights).reshape(depth - 2, -1)
    assert len({row.tobytes() for row in layers}) == depth - 2  # each layer is drawn for itself


@pytest.mark.parametrize(("skip", "growth"), [("add", 2.0), ("mean", 1.0)])
def test_each_added_layer_doubles_the_second_moment(skip, growth):
    """E of h + W relu(h): for h as often negative as positive W relu(h) has (2 / n) n E[relu(h)^2] = E[h^2]."""

    def moment(layers: int, seed: int) -> float:
        net = DeepMLP.init(jax.random.key(seed), layers + 2, skip, width=200)
        hidden = np.random.default_rng(seed).normal(size=(200, 50))
        for weight in np.asarray(net.weights):
            hidden = hidden + weight @ np.maximum(hidden, 0)
            hidden *= 1 if skip == "add" else 0.5**0.5
        return float((hidden**2).mean())

    found = np.mean([moment(1, seed) for seed in range(20)])
    assert found == pytest.approx(growth, rel=0.03)


def test_fewer_than_three_layers_are_refused():
    with pytest.raises(ValueError, match=r"depth 2: .* make at least 3"):
        DeepMLP.init(jax.random.key(0), 2)

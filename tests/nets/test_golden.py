"""The benchmark networks against what PyTorch computed, stored in tests/golden/pytorch.npz."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pytorch_layout import (
    BATCH,
    EXAMPLES,
    GOLDEN,
    NAMES,
    RATE,
    directions,
    draw,
    examples,
    load,
    outputs_and_gradient,
    unload,
    weights,
)

from flyroom.losses import cross_entropy
from flyroom.nets.activations import ACTIVATIONS
from flyroom.nets.pooling import POOLINGS
from flyroom.nets.spec import parameters, parse
from flyroom.train import Protocol, contiguous, train_many

PROTOCOL = Protocol(cross_entropy)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {key: file[key] for key in file.files}


def test_the_file_names_its_pytorch_and_is_small(golden):
    assert str(golden["torch"]).startswith("2.")
    assert GOLDEN.stat().st_size < 400_000


def test_the_draw_is_the_published_splitmix64():
    # First outputs of the reference implementation from the state 0 are e220a8397b1dcdaf, 6e789e6aa1b965f4: the
    # label whose checksum is 0 is the empty one, and place 1 is its first.
    unit = np.array([0xE220A8397B1DCDAF >> 40, 0x6E789E6AA1B965F4 >> 40]) / 2**23 - 1
    np.testing.assert_array_equal(draw("", (3,), 1.0)[1:], unit.astype(np.float32))


@pytest.mark.parametrize(
    ("name", "count"),
    [("mnist1d-linear", 410), ("mnist1d-mlp", 15_210), ("mnist1d-cnn", 5_210), ("mnist1d-gru", 5_134)],
)
def test_parameter_counts_and_layouts_are_the_published_ones(name, count):
    net = parse(name).init(jax.random.key(0))
    assert parameters(net) == count
    assert {key: a.shape for key, a in unload(name, net).items()} == {key: s for key, (s, _) in NAMES[name].items()}


@pytest.mark.parametrize("name", NAMES)
def test_float32_outputs_and_gradients(name, golden):
    x, y = examples()
    net = load(name, weights(name))
    outputs, gradients = outputs_and_gradient(net, x[:BATCH], y[:BATCH])
    np.testing.assert_allclose(outputs, golden[f"{name}/outputs32"], rtol=1e-5, atol=1e-5)
    for key, gradient in unload(name, gradients).items():
        np.testing.assert_allclose(gradient, golden[f"{name}/gradient32/{key}"], rtol=1e-5, atol=1e-5, err_msg=key)
        assert np.abs(gradient).max() > 1e-4, f"{key}: so small a gradient would agree with anything"


@pytest.mark.parametrize("name", NAMES)
def test_the_first_ten_losses_in_float32(name, golden):
    x, y = examples()
    (trained,) = train_many(
        [load(name, weights(name))], x, y, contiguous(EXAMPLES, BATCH, 10), PROTOCOL, learning_rate=RATE
    )
    np.testing.assert_allclose(trained.losses, golden[f"{name}/losses32"], rtol=1e-5, atol=1e-5)
    assert trained.losses[0] - trained.losses[-1] > 0.05  # it learns


@pytest.mark.parametrize("name", NAMES)
def test_two_hundred_steps_in_float64(name, golden):
    x, y = examples()
    with jax.enable_x64(True):
        net = load(name, weights(name), np.float64)
        x = x.astype(np.float64)
        first, gradients = outputs_and_gradient(net, x[:BATCH], y[:BATCH])
        order = contiguous(EXAMPLES, BATCH, 200)
        (trained,) = train_many([net], x, y, order, PROTOCOL, learning_rate=RATE)
        outputs, _ = outputs_and_gradient(trained.net, x[:BATCH], y[:BATCH])
    assert trained.losses.dtype == outputs.dtype == np.float64
    np.testing.assert_allclose(first, golden[f"{name}/outputs64"], atol=1e-12)
    for key, gradient in unload(name, gradients).items():
        along = directions(key, gradient.shape) @ gradient.ravel()
        np.testing.assert_allclose(along, golden[f"{name}/gradient64/{key}"], atol=1e-12, err_msg=key)
    np.testing.assert_allclose(trained.losses, golden[f"{name}/losses64"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(outputs, golden[f"{name}/trained64"], rtol=0, atol=1e-9)
    for key, weight in unload(name, trained.net).items():
        along = directions(key, weight.shape) @ weight.ravel()
        np.testing.assert_allclose(along, golden[f"{name}/weights64/{key}"], rtol=0, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_derivatives(name, golden):
    with jax.enable_x64(True):
        x = jnp.asarray(golden["activation/x"])
        value, slope = jax.jit(jax.vmap(jax.value_and_grad(ACTIVATIONS[name])))(x)
    np.testing.assert_allclose([value, slope], golden[f"activation/{name}"], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", sorted(set(POOLINGS) - {"none"}))
def test_poolings_and_their_gradients(name, golden):
    x = draw("pooling", (4, 3, 11), 1.0).transpose(1, 2, 0).astype(np.float64)  # batch last, here
    upstream = draw("upstream", (4, 3, 3), 1.0).transpose(1, 2, 0)
    with jax.enable_x64(True):
        value = jax.jit(lambda x: POOLINGS[name](x, 3))(jnp.asarray(x))
        gradient = jax.jit(jax.grad(lambda x: (POOLINGS[name](x, 3) * upstream).sum()))(jnp.asarray(x))
    np.testing.assert_allclose(value.transpose(2, 0, 1), golden[f"pooling/{name}"], rtol=1e-13)
    np.testing.assert_allclose(gradient.transpose(2, 0, 1), golden[f"pooling gradient/{name}"], rtol=1e-12, atol=1e-15)

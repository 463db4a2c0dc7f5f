"""Losses against their formulas and PyTorch, and where a careless formula overflows."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from recurrent_cases import GOLDEN, LOSSES, SIZES, our_loss
from scipy.special import log_expit, log_softmax

from flyroom.losses import binary_cross_entropy, cross_entropy, squared_error


def net(x):
    return x  # its inputs are its outputs


RANDOM = np.random.default_rng(0)
OUTPUTS, LABELS = RANDOM.normal(size=(7, 3)).astype(np.float32), RANDOM.integers(0, 3, 7).astype(np.int32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_pytorchs(name, size):
    with np.load(GOLDEN) as file:
        expected = {key: file[f"{name} {size:g}/{key}"] for key in ("value", "gradient")}
    with jax.enable_x64(True):
        found = our_loss(name, size)
        for key, array in expected.items():
            np.testing.assert_allclose(found[key], array, rtol=1e-12, atol=1e-15, err_msg=key)
    single = our_loss(name, size, np.float32)
    for key, array in expected.items():
        np.testing.assert_allclose(single[key], array, rtol=1e-5, atol=1e-7, err_msg=key)


@pytest.mark.parametrize("name", LOSSES)
def test_live_against_pytorch(name):
    pytest.importorskip("torch")
    from golden import make_parts_recurrent as make

    for size in SIZES:
        for key, array in make.their_loss(name, size).items():
            np.testing.assert_allclose(our_loss(name, size, np.float32)[key], array, rtol=1e-5, atol=1e-7, err_msg=key)


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


def test_smoothed_labels_pull_the_probabilities_inward():
    """The smallest loss is the entropy of the smoothed label, at the probabilities 1 - s + s / K and s / K."""
    target = np.array([0.1 / 3, 0.9 + 0.1 / 3, 0.1 / 3])
    logits, labels = jnp.asarray(np.log(target)[None], jnp.float32), jnp.array([1])
    loss = cross_entropy(net, logits, labels, smoothing=0.1)
    np.testing.assert_allclose(loss, -(target * np.log(target)).sum(), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda x: cross_entropy(net, x, labels, smoothing=0.1))(logits), 0, atol=1e-7)
    binary = jnp.asarray([[np.log(0.95 / 0.05)]], jnp.float32)
    slope = jax.grad(lambda x: binary_cross_entropy(net, x, jnp.ones((1, 1)), smoothing=0.1))(binary)
    np.testing.assert_allclose(slope, 0, atol=1e-7)


def test_without_smoothing_the_program_is_the_plain_one():
    x, y = jnp.asarray(OUTPUTS), jnp.asarray(LABELS)
    expected = str(jax.make_jaxpr(lambda x: optax.softmax_cross_entropy_with_integer_labels(x, y).mean())(x))
    for given in ((), (0.0,)):
        assert str(jax.make_jaxpr(lambda x, given=given: cross_entropy(net, x, y, *given))(x)) == expected


def test_binary_cross_entropy_is_the_mean_of_minus_the_log_probability_in_nats():
    targets = RANDOM.uniform(size=(7, 3)).astype(np.float32)
    expected = -(targets * log_expit(OUTPUTS) + (1 - targets) * log_expit(-OUTPUTS)).mean()
    np.testing.assert_allclose(
        binary_cross_entropy(net, jnp.asarray(OUTPUTS), jnp.asarray(targets)), expected, rtol=1e-6
    )
    np.testing.assert_allclose(binary_cross_entropy(net, jnp.zeros((4, 1)), jnp.zeros(4, int)), np.log(2), rtol=1e-6)


@pytest.mark.parametrize("size", [1e4, 1e30])
@pytest.mark.parametrize("dtype", [int, bool, float])
def test_binary_cross_entropy_of_large_logits_is_finite(size, dtype):
    logits, labels = size * jnp.array([[1.0], [-1.0], [1.0], [-1.0]]), jnp.array([1, 0, 0, 1], dtype)
    np.testing.assert_allclose(binary_cross_entropy(net, logits, labels), size / 2, rtol=1e-6)
    gradient = jax.grad(lambda x: binary_cross_entropy(net, x, labels))(logits)
    np.testing.assert_allclose(gradient, [[0], [0], [0.25], [-0.25]], atol=1e-7)


def test_a_sure_and_right_answer_costs_little_but_not_nothing():
    """log(1 + exp(-30)) to all digits of float32, where 1 - sigmoid(30) would be 0."""
    loss = binary_cross_entropy(net, jnp.array([[30.0], [-30.0]]), jnp.array([1, 0]))
    np.testing.assert_allclose(loss, np.exp(-30), rtol=1e-5)


def test_two_logits_and_their_difference_are_one_model():
    y = jnp.asarray(LABELS % 2)
    two = cross_entropy(net, jnp.asarray(OUTPUTS[:, :2]), y)
    one = binary_cross_entropy(net, jnp.asarray(OUTPUTS[:, 1:2] - OUTPUTS[:, :1]), y)
    np.testing.assert_allclose(one, two, rtol=1e-6)


def test_squared_error_is_the_mean_over_batch_and_outputs():
    targets = RANDOM.normal(size=(7, 3)).astype(np.float32)
    expected = ((OUTPUTS - targets) ** 2).sum() / 21
    np.testing.assert_allclose(squared_error(net, jnp.asarray(OUTPUTS), jnp.asarray(targets)), expected, rtol=1e-6)
    one = squared_error(net, jnp.asarray(OUTPUTS[:, :1]), jnp.asarray(targets[:, 0]))
    np.testing.assert_allclose(one, ((OUTPUTS[:, 0] - targets[:, 0]) ** 2).mean(), rtol=1e-6)


@pytest.mark.parametrize("loss", [binary_cross_entropy, squared_error])
def test_targets_of_another_shape_are_refused(loss):
    """As they are, (7, 3) and (3,), or (7, 1) and (1, 7), would be stretched over each other."""
    for outputs, targets in (((7, 3), (7,)), ((7, 1), (7, 7)), ((7, 3), (7, 1))):
        with pytest.raises(ValueError, match=r"targets of shape \(7.*\) do not fit outputs of shape \(7, .\)"):
            loss(net, jnp.ones(outputs), jnp.ones(targets))


@pytest.mark.parametrize("loss", [cross_entropy, binary_cross_entropy])
@pytest.mark.parametrize("smoothing", [-0.1, 1.5, float("nan")])
def test_a_smoothing_that_is_none_is_refused(loss, smoothing):
    with pytest.raises(ValueError, match="the part of a label that is spread lies between 0 and 1"):
        loss(net, jnp.zeros((2, 1)), jnp.zeros(2, int), smoothing)

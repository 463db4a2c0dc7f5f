"""A single neuron against scikit-learn, closed forms, and the trainer that trains every other network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LinearRegression, LogisticRegression

from flyroom.losses import binary_cross_entropy, squared_error
from flyroom.nets.neuron import Neuron, fit
from flyroom.nets.spec import parameters
from flyroom.train import Protocol, contiguous, train_many

KEY = jax.random.key(0)


def regression(examples: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of different units, and a target that no plane goes through."""
    random = np.random.default_rng(1)
    x = random.normal(size=(examples, 4)) * [1, 30, 0.02, 5] + [0, 100, 0, -7]
    return x, np.sin(x[:, 0]) + 0.1 * x[:, 1] - 20 * x[:, 2] + random.normal(size=examples)


def classification(examples: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that overlap."""
    random = np.random.default_rng(2)
    x = random.normal(size=(examples, 3)) * [1, 4, 0.3]
    y = random.uniform(size=examples) < 1 / (1 + np.exp(-(1.5 * x[:, 0] - 0.4 * x[:, 1] + 0.5)))
    return x, y.astype(int)


def numbers(neuron: Neuron) -> np.ndarray:
    """Weights and bias."""
    return np.concatenate([np.ravel(neuron.dense.weight), np.ravel(neuron.dense.bias)])


def fitted(x, y, loss) -> np.ndarray:
    with jax.enable_x64(True):
        return numbers(fit(Neuron.init(KEY, x.shape[1]), jnp.asarray(x), jnp.asarray(y), loss))


def test_linear_regression_is_scikit_learns():
    x, y = regression()
    model = LinearRegression().fit(x, y)
    found = fitted(x, y, squared_error)
    np.testing.assert_allclose(found, np.append(model.coef_, model.intercept_), rtol=0, atol=1e-6)
    away = y - x @ found[:-1] - found[-1]  # at the minimum the residuals are orthogonal to everything
    np.testing.assert_allclose(away @ np.column_stack([x, np.ones(len(x))]), 0, atol=1e-8)


@pytest.mark.parametrize("data", ["overlapping", "breast cancer"])
def test_logistic_regression_is_scikit_learns(data):
    if data == "overlapping":
        x, y = classification()
    else:  # all thirty inputs would separate the two classes
        x, y = load_breast_cancer(return_X_y=True)
        x = x[:, :4]
    # C is one over the penalty: infinite, none.
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(x, y)
    found = fitted(x, y, binary_cross_entropy)
    np.testing.assert_allclose(found, np.append(model.coef_, model.intercept_), rtol=1e-6, atol=1e-6)


def test_a_penalty_makes_another_neuron():
    x, y = classification()
    penalised = LogisticRegression(C=0.1).fit(x, y)
    assert np.abs(fitted(x, y, binary_cross_entropy)[:-1] - penalised.coef_[0]).max() > 0.1


@pytest.mark.parametrize("task", ["linear", "logistic"])
def test_the_trainer_of_all_networks_finds_the_same_neuron(task):
    """Gradient descent on the whole set at once."""
    if task == "linear":
        x, y, loss = *regression(), squared_error
        x, y = (x - x.mean(0)) / x.std(0), y[:, None]
    else:
        x, y, loss = *classification(), binary_cross_entropy
        x = x / x.std(0)
    with jax.enable_x64(True):
        start = Neuron.init(KEY, x.shape[1])
        order = contiguous(len(x), len(x), 3000)
        (trained,) = train_many([start], x, y, order, Protocol(loss, optimiser=optax.sgd), learning_rate=0.5)
        newton = fit(start, jnp.asarray(x), jnp.asarray(y), loss)
    assert trained.losses[0] - trained.losses[-1] > 0.05
    np.testing.assert_allclose(numbers(trained.net), numbers(newton), rtol=0, atol=1e-6)


def test_the_start_does_not_matter_nor_does_a_far_one():
    x, y = classification()
    expected = fitted(x, y, binary_cross_entropy)
    with jax.enable_x64(True):
        x, y = jnp.asarray(x), jnp.asarray(y)
        far = jax.tree.map(lambda leaf: leaf * 0 + 5.0, Neuron.init(KEY, 3))  # whole Newton steps leave from here
        found = numbers(fit(far, x, y, binary_cross_entropy))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_a_plane_is_found_in_single_precision():
    x, _ = regression()
    x = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    found = fit(Neuron.init(KEY, 4), jnp.asarray(x), jnp.asarray(x @ [1, 2, 3, 4] + 5, jnp.float32), squared_error)
    assert found.dense.weight.dtype == np.float32
    np.testing.assert_allclose(numbers(found), [1, 2, 3, 4, 5], rtol=1e-5)


def test_labels_that_are_smoothed_have_a_minimum_even_where_a_plane_separates_the_classes():
    """At the minimum of one binary input the two probabilities are the smoothed targets: a closed form."""
    x, y = np.array([[0.0], [0.0], [1.0]]), np.array([0, 0, 1])
    weight, bias = fitted(x, y, partial(binary_cross_entropy, smoothing=0.2))
    np.testing.assert_allclose([bias, bias + weight], [np.log(0.1 / 0.9), np.log(0.9 / 0.1)], rtol=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        ([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1], "plane separates the two classes"),
        ([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0], [3.0, 6.0]], [0, 1, 0, 1], "no single minimum.*an input twice"),
        ([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0], [3.0, 7.0]], [0, 1, 0, 1], "some sum of inputs is constant"),
        ([[1.0, 2.0], [3.0, 5.0]], [0, 1], "fewer examples than parameters"),
    ],
)
def test_where_there_is_no_single_minimum_none_is_invented(x, y, match):
    with pytest.raises(ValueError, match=match):
        fitted(np.array(x), np.array(y), binary_cross_entropy)


def test_too_few_steps_are_said():
    x, y = classification()
    with jax.enable_x64(True), pytest.raises(ValueError, match="2 Newton steps did not reach a minimum"):
        fit(Neuron.init(KEY, 3), jnp.asarray(x), jnp.asarray(y), binary_cross_entropy, most=2)


def test_size_and_refusal():
    assert parameters(Neuron.init(KEY, 7)) == 8
    with pytest.raises(ValueError, match="inputs = 0: a neuron has at least one input"):
        Neuron.init(KEY, 0)

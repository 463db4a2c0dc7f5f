"""The recurrence against a loop over time in NumPy, and its hand-written backward pass against finite differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from flyroom.nets.gru import BiGRU, recurrence


def one_direction(direction, signal):
    """States (time, hidden) of PyTorch's cell on one signal, gate by gate."""
    hidden = direction.hidden_weight.shape[1]
    w, u, b, c = (np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(direction))
    r, z, n = (slice(i * hidden, (i + 1) * hidden) for i in range(3))
    h, states = np.zeros(hidden), []
    for value in signal:
        of_input, of_hidden = w[:, 0] * value + b, u @ h + c
        reset, update = (1 / (1 + np.exp(-(of_input[g] + of_hidden[g]))) for g in (r, z))
        candidate = np.tanh(of_input[n] + reset * of_hidden[n])
        h = (1 - update) * candidate + update * h
        states.append(h)
    return np.array(states)


@pytest.mark.parametrize(("positions", "hidden"), [(1, 2), (7, 3)])
def test_outputs_are_those_of_a_loop(positions, hidden):
    with jax.enable_x64(True):
        net = BiGRU.init(jax.random.key(1), positions, hidden, 4)
        x = np.random.default_rng(0).normal(size=(3, positions))
        found = eqx.filter_jit(net)(jnp.asarray(x))
    weight, bias = np.asarray(net.last.weight), np.asarray(net.last.bias)
    for signal, logits in zip(x, np.asarray(found), strict=True):
        forward = one_direction(net.forward, signal)
        backward = one_direction(net.backward, signal[::-1])[::-1]
        states = np.concatenate([forward, backward], axis=1)
        np.testing.assert_allclose(logits, weight @ states.ravel() + bias, atol=1e-12)


def test_first_and_second_derivatives_against_finite_differences():
    with jax.enable_x64(True):
        random = np.random.default_rng(2)
        matrix, steps = (jnp.asarray(random.normal(size=shape)) for shape in ((8, 5), (4, 3, 2)))
        check_grads(jax.jit(lambda m, s: jnp.sin(recurrence(m, s))), (matrix, steps), order=2, modes=["rev"])


def test_the_gradient_of_a_gradients_norm_is_finite_and_not_zero():
    matrix = jnp.asarray(np.random.default_rng(3).normal(size=(8, 5)), jnp.float32)
    steps = jnp.ones((4, 3, 2))

    def slope_norm(matrix):
        return (jax.grad(lambda m: recurrence(m, steps).sum())(matrix) ** 2).sum()

    second = jax.jit(jax.grad(slope_norm))(matrix)
    assert np.isfinite(second).all() and np.abs(second).max() > 1e-3


def test_forward_mode_is_refused():
    matrix, steps = jnp.ones((8, 5)), jnp.ones((4, 3, 2))
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(lambda m: recurrence(m, steps), (matrix,), (matrix,))

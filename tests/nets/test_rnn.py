"""The plain recurrent network against PyTorch (stored, and itself where it is installed) and a loop in NumPy.

Also the GRU as a layer of any number of inputs, and the parametric ReLU: they share the golden file.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from breadth import breadth
from recurrent_cases import CASES, GOLDEN, NETWORKS, SLOPES, given, our_prelu, ours, prelu_given

from flyroom.nets.gru import gru
from flyroom.nets.prelu import PReLU, prelu
from flyroom.nets.rnn import RNN, rnn
from flyroom.nets.spec import parameters

RECURRENT = [*CASES, *NETWORKS]


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {key: file[key] for key in file.files}


def close(found, expected, **tolerance):
    assert found.keys() == expected.keys()
    for key, array in found.items():
        np.testing.assert_allclose(array, expected[key], err_msg=key, **tolerance)
        assert np.abs(array).max() > 1e-3, f"{key}: so small an array would agree with anything"


def stored(golden, name):
    return {key.partition("/")[2]: array for key, array in golden.items() if key.startswith(f"{name}/")}


def test_the_golden_file_is_small(golden):
    assert str(golden["torch"]).startswith("2.")
    assert GOLDEN.stat().st_size < 150_000


@pytest.mark.parametrize("name", RECURRENT)
def test_states_and_gradients_are_pytorchs(name, golden):
    close(ours(name, given(name, dtype=np.float32)), stored(golden, name), rtol=1e-5, atol=1e-5)
    with jax.enable_x64(True):
        close(ours(name, given(name)), stored(golden, name), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SLOPES)
def test_the_parametric_relu_and_its_gradients_are_pytorchs(name, golden):
    assert (prelu_given(name)["x"] == 0).any()  # also where its derivative is a convention
    with jax.enable_x64(True):
        close(our_prelu(name, prelu_given(name)), stored(golden, name), rtol=0, atol=1e-14)


@pytest.mark.parametrize("label", breadth(["first", "second"], "first"))
@pytest.mark.parametrize("name", [*RECURRENT, *SLOPES])
def test_live_against_pytorch(name, label):
    pytest.importorskip("torch")
    from golden import make_parts_recurrent as make

    if name in SLOPES:
        found = our_prelu(name, prelu_given(name, label, np.float32))
        close(found, make.their_prelu(name, prelu_given(name, label)), rtol=1e-5, atol=1e-5)
    else:
        close(ours(name, given(name, label, np.float32)), make.theirs(name, given(name, label)), rtol=1e-5, atol=1e-5)


def test_the_script_makes_the_golden_file(golden):
    pytest.importorskip("torch")
    from golden import make_parts_recurrent as make

    fresh = make.golden()
    assert fresh.keys() == golden.keys()
    for key in set(fresh) - {"torch"}:
        np.testing.assert_allclose(fresh[key], golden[key], rtol=1e-12, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_outputs_are_those_of_a_loop(bidirectional, nonlinearity):
    net = RNN.init(jax.random.key(1), 7, 3, 4, bidirectional=bidirectional, nonlinearity=nonlinearity)
    x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    squash = np.tanh if nonlinearity == "tanh" else lambda z: np.maximum(z, 0)

    def states(direction, signal):
        w, u, b, c = (np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(direction))
        h, found = np.zeros(3), []
        for value in signal:
            h = squash(w[:, 0] * value + b + u @ h + c)
            found.append(h)
        return np.array(found)

    weight, bias = np.asarray(net.last.weight, np.float64), np.asarray(net.last.bias, np.float64)
    for signal, logits in zip(x, np.asarray(eqx.filter_jit(net)(jnp.asarray(x))), strict=True):
        seen = [states(net.forward, signal)]
        seen += [states(net.backward, signal[::-1])[::-1]] if bidirectional else []
        np.testing.assert_allclose(logits, weight @ np.concatenate(seen, axis=1).ravel() + bias, atol=2e-6)


def test_what_comes_later_is_seen_by_the_backward_direction_alone():
    x, later = jnp.zeros((1, 6, 1)), jnp.zeros((1, 6, 1)).at[0, 4].set(1.0)
    name = "rnn, both directions"
    weights = {key: jnp.asarray(a, jnp.float32) for key, a in given(name).items() if key != "x"}
    changed = np.abs(np.asarray(rnn(later, weights, bidirectional=True) - rnn(x, weights, bidirectional=True)))[..., 0]
    forward, backward = changed[:5].max(0) > 0, changed[5:].max(0) > 0
    assert forward.tolist() == [False] * 4 + [True] * 2 and backward.tolist() == [True] * 5 + [False]


@pytest.mark.parametrize(("bidirectional", "count"), [(False, 2464), (True, 4918)])
def test_parameters_and_first_weights(bidirectional, count):
    """Per direction 6 + 36 + 12; the dense layer sees 6 or 12 states at 40 positions."""
    nets = [RNN.init(jax.random.key(seed), bidirectional=bidirectional) for seed in range(30)]
    assert parameters(nets[0]) == count
    of_direction = np.concatenate(
        [np.ravel(leaf) for net in nets for leaf in jax.tree.leaves((net.forward, net.backward))]
    )
    last = np.concatenate([np.ravel(leaf) for net in nets for leaf in jax.tree.leaves(net.last)])
    for values, fan_in in ((of_direction, 6), (last, 240 * (1 + bidirectional))):
        assert 0.98 * fan_in**-0.5 < np.abs(values).max() <= np.float32(fan_in**-0.5)
        assert values.std() == pytest.approx((3 * fan_in) ** -0.5, rel=0.05)  # of the uniform distribution


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"nonlinearity": "sigmoid"}, "no nonlinearity 'sigmoid'; use tanh or relu"),
        ({"hidden": 0}, "positions 40, hidden 0 and outputs 10 must be at least 1"),
        ({"outputs": 0}, "must be at least 1"),
    ],
)
def test_what_cannot_be_built_is_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        RNN.init(jax.random.key(0), **wrong)


def test_weights_without_pytorchs_names_are_refused():
    weights = {"weight_ih_l0": jnp.ones((3, 1)), "weight_hh_l0": jnp.ones((3, 3))}
    for function in (rnn, gru):
        with pytest.raises(ValueError, match="weights weight_hh_l0, weight_ih_l0 lack weight_ih_l0_reverse or"):
            function(jnp.ones((1, 4, 2)), weights, bidirectional=True)


def test_slopes_that_do_not_fit_are_refused():
    assert PReLU.init(3).slope.tolist() == [0.25] * 3
    with pytest.raises(ValueError, match="2 slopes do not fit 3 channels; give one, or one for each"):
        prelu(jnp.ones((3, 4, 5)), jnp.ones(2))
    with pytest.raises(ValueError, match="channels = 0"):
        PReLU.init(0)

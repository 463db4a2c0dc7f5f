"""The one network reader: what it finds in networks and in plain JAX, that this is the network, what it refuses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom.nets import pooling
from flyroom.nets.activations import ACTIVATIONS
from flyroom.nets.conv import CNN
from flyroom.nets.deep import DeepMLP
from flyroom.nets.graph import Graph, Node
from flyroom.nets.mlp import MLP
from flyroom.nets.norms import AtInference
from flyroom.nets.reader import Unread, read
from flyroom.nets.reader._steps import BATCH
from flyroom.nets.residual import ResidualCNN
from flyroom.nets.resnet import ResNet
from flyroom.nets.spec import parameters, parse

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)


def weight(*shape: int) -> jax.Array:
    return jnp.asarray(RANDOM.standard_normal(shape).astype(np.float32))


@eqx.filter_jit
def called(net, x):
    return net(x)


def agrees(net, shape, *, batch: int = 5, rtol: float = 1e-4) -> Graph:
    """Read it, and compare graph and network on a batch of another size than the reader's."""
    graph = read(net, shape)
    assert batch != BATCH
    x = RANDOM.standard_normal((batch, *shape)).astype(np.float32)
    expected = np.asarray(called(net, jnp.asarray(x)))
    np.testing.assert_allclose(called(graph, jnp.asarray(x)), expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    return graph


def ops(graph: Graph) -> list[str]:
    return [node.attributes.get("name", node.op) for node in graph.nodes]


# Networks of nets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mnist1d-linear", ["input", "dense"]),
        ("mnist1d-mlp", ["input", "dense", "relu", "dense", "relu", "add", "dense"]),
        (
            "mnist1d-cnn",
            ["input", "reshape", "conv", "relu", "conv", "relu", "conv", "relu", "reshape", "dense"],
        ),
        ("mlp:40-8-10:gelu", ["input", "dense", "gelu", "dense"]),
    ],
)
def test_the_steps_of_the_benchmark_networks(text, expected):
    net = parse(text).init(KEY)
    graph = agrees(net, (40,))
    assert ops(graph) == expected
    assert sum(leaf.size for node in graph.nodes for leaf in node.weights.values()) == parameters(net)


def test_a_gru_is_one_step():
    graph = agrees(parse("mnist1d-gru").init(KEY), (40,))
    assert "gru" in ops(graph) and "dot_general" not in ops(graph)


def test_weights_have_the_paths_by_which_the_network_reaches_them():
    graph = read(parse("mlp:4-3-2").init(KEY), (4,))
    assert [node.place for node in graph.nodes] == ["input", "layers.0", "relu_1", "layers.1"]
    net = parse("mlp:4-3-2").init(KEY)
    np.testing.assert_array_equal(graph.nodes[1].weights["weight"], net.layers[0].weight)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_a_step_of_its_name(name):
    graph = agrees(MLP.init(KEY, (3, 4, 2), ACTIVATIONS[name]), (3,))
    if name == "identity":
        return
    found = ops(graph)[2]
    assert ACTIVATIONS[found] is ACTIVATIONS[name]  # swish is silu


@pytest.mark.parametrize("skip", ["none", "add", "mean"])
def test_a_loop_over_stacked_weights_is_unrolled(skip):
    net = DeepMLP.init(KEY, 6, skip, width=7)
    graph = agrees(net, (40,))
    assert ops(graph).count("dense") == 6 and ops(graph).count("relu") == 5
    assert ops(graph).count("add") == (0 if skip == "none" else 4)


@pytest.mark.parametrize("kind", sorted(set(pooling.POOLINGS) - {"none"}))
def test_pooled_and_residual_networks_on_signals(kind):
    net = CNN.init(KEY, channels=(4, 5), kernels=(3, 3), stride=1, pooling=pooling.POOLINGS[kind], window=2)
    assert f"{kind}_pool" in ops(agrees(net, (40,)))
    graph = agrees(ResidualCNN.init(KEY, channels=4, dilations=(1, 2)), (40,))
    assert ops(graph).count("add") == 2 and "mean" in ops(graph)
    assert [node.attributes["dilation"] for node in graph.nodes if node.op == "conv"] == [(1,), (1,), (1,), (2,), (2,)]


@pytest.mark.parametrize(
    ("depth", "stem", "version", "shortcut"), [(18, "cifar", "v1", "B"), (50, "imagenet", "v1.5", "A")]
)
def test_a_resnet_is_read_from_its_shapes_alone(depth, stem, version, shortcut):
    def init(key):
        net = ResNet.init(key, depth, stem=stem, version=version, shortcut=shortcut, classes=10)
        return AtInference(net, net.begin())

    net = eqx.filter_eval_shape(init, KEY)
    graph = read(net, (3, 64, 64))
    assert graph.nodes[-1].op == "dense" and graph.nodes[-1].shape == (10,)
    assert ops(graph).count("add") == (8 if depth == 18 else 16)
    assert ops(graph).count("conv") == (20 if depth == 18 else 49)
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for node in graph.nodes for leaf in node.weights.values())


def test_a_graph_is_read_as_itself():
    graph = read(parse("mnist1d-cnn").init(KEY), (40,))
    again = read(graph, (40,))
    assert ops(again) == ops(graph)
    assert [n.shape for n in again.nodes] == [n.shape for n in graph.nodes]


def test_what_was_traced_before_the_reading_is_not_taken_for_what_is_read():
    net = parse("mnist1d-cnn").init(KEY)
    jitted = jax.jit(lambda x: net(x))
    jitted(jnp.zeros((BATCH, 40)))  # now in JAX's caches, with the parts of its convolutions
    assert "conv" in ops(read(jitted, (40,)))
    x = jnp.asarray(RANDOM.standard_normal((BATCH, 40)).astype(np.float32))
    np.testing.assert_array_equal(jitted(x), jax.jit(lambda x: net(x))(x))  # and reading leaves nothing behind


# Plain JAX ------------------------------------------------------------------------------------------------------------

W, B, V = weight(6, 5), weight(5), weight(5, 3)
KERNEL, IMAGE = weight(4, 2, 3, 3), weight(4)


def images(x):
    y = jax.lax.conv_general_dilated(x, KERNEL, (2, 1), [(1, 0), (1, 1)], rhs_dilation=(1, 2))
    y = jax.nn.silu(y + IMAGE[:, None, None])
    y = jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return y.reshape(x.shape[0], -1) @ weight_of_images


def channels_last(x):
    y = jax.lax.conv_general_dilated(
        x, KERNEL.transpose(2, 3, 1, 0), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    y = jax.lax.reduce_window(jax.nn.relu(y), 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4
    return jnp.mean(y, axis=(1, 2))


weight_of_images = weight(4 * 2 * 3, 3)

PLAIN = {
    "an affine map": ((6,), lambda x: x @ W + B, ["dense"]),
    "weights first": ((6,), lambda x: (W.T @ x.T).T + B, ["dense"]),
    "two layers": ((6,), lambda x: jnp.tanh(x @ W + B) @ V, ["dense", "tanh", "dense"]),
    "two layers, einsum": ((6,), lambda x: jnp.einsum("bh,ho->bo", jax.nn.gelu(x @ W, approximate=False), V),
                           ["dense", "gelu", "dense"]),
    "along the last axis": ((4, 6), lambda x: x @ W + B, ["dense"]),
    "a sum over two axes": ((2, 3), lambda x: jnp.tensordot(x, weight_2d, axes=((1, 2), (0, 1))), ["reshape", "dense"]),
    "a maximum with zero": ((6,), lambda x: jnp.maximum(x @ W, 0) @ V, ["dense", "relu", "dense"]),
    "squares": ((6,), lambda x: ((x @ W) ** 2) @ V, ["dense", "square", "dense"]),
    "a clip": ((6,), lambda x: jnp.clip(x @ W, -1, 1), ["dense", "hard_tanh"]),
    "a sine": ((6,), lambda x: jnp.sin(3 * x), ["scale", "sin"]),
    "a residual": ((5,), lambda x: x + jax.nn.relu(x @ square_weight), ["dense", "relu", "add"]),
    "a softmax": ((6,), lambda x: jax.nn.softmax(x @ W, axis=-1), ["dense", "softmax"]),
    "a permutation": ((6,), lambda x: x[:, jnp.array([5, 3, 1, 0, 2, 4])] @ W, ["take", "dense"]),
    "two halves": ((6,), lambda x: jnp.concatenate([x[:, 3:], x[:, :3]], 1), ["slice", "slice", "concatenate"]),
    "a mean": ((2, 4), lambda x: x.mean(-1), ["mean"]),
    "normalised by hand": ((5,), lambda x: (x - B) / (jnp.abs(B) + 1), None),
    "images": ((2, 8, 8), images, ["conv", "silu", "max_pool", "reshape", "dense"]),
    "channels last": ((8, 8, 2), channels_last, None),
    "elu and softplus": ((6,), lambda x: jax.nn.softplus(jax.nn.elu(x @ W)), ["dense", "elu", "softplus"]),
    "a leaky slope": ((6,), lambda x: jax.nn.leaky_relu(x @ W), ["dense", "leaky_relu"]),
    "under jit and remat": ((6,), jax.jit(jax.checkpoint(lambda x: jnp.tanh(x @ W))), ["dense", "tanh"]),
}  # fmt: skip
weight_2d, square_weight = weight(2, 3, 4), weight(5, 5)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_jax_is_read_by_its_primitives(name):
    shape, function, expected = PLAIN[name]
    graph = agrees(function, shape)
    if expected is not None:
        assert ops(graph)[1:] == expected


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_random_stacks_of_reshapes_and_products_are_read_as_they_are(data):
    """Whatever the order of axes: the graph is the function."""
    random_stack(data)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_many_random_stacks_are_read_as_they_are(data):
    random_stack(data)


def random_stack(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    moves = data.draw(st.lists(st.sampled_from(["transpose", "flatten", "product", "tanh", "widen"]), max_size=5))
    order = data.draw(st.permutations(range(1, len(shape) + 1)))
    seed = data.draw(st.integers(0, 2**16))

    def function(x):
        random = np.random.default_rng(seed)
        for move in moves:
            if move == "transpose" and x.ndim == len(order) + 1:
                x = x.transpose(0, *order)
            elif move == "flatten":
                x = x.reshape(x.shape[0], -1)
            elif move == "product":
                x = x @ random.standard_normal((x.shape[-1], 2)).astype(np.float32)
            elif move == "tanh":
                x = jnp.tanh(x) + 1
            elif move == "widen" and x.ndim < 4:
                x = x[:, None] * random.standard_normal((1, 2, *[1] * (x.ndim - 1))).astype(np.float32)
        return x * 2

    agrees(function, shape, batch=3)


# What is refused ------------------------------------------------------------------------------------------------------

REFUSED = {
    "attention": ((4, 3), lambda x: jnp.einsum("bij,bkj->bik", x, x), "both depend on the input"),
    "a batch norm that trains": ((3,), lambda x: x - x.mean(0), "over the batch"),
    "a sort": ((3,), lambda x: jnp.sort(x), "'sort' has no rule"),
    "a cube": ((3,), lambda x: x**3, "power 3"),
    "half precision": ((3,), lambda x: x.astype(jnp.float16), "cast from float32 to float16"),
    "an argument that decides": ((3,), lambda x: jnp.where(x > 0, x, 2 * x), "has no rule"),
    "the batch as a feature": ((3,), lambda x: x.reshape(-1), "mixes the batch"),
    "a shifted batch": ((3,), lambda x: x[1:], "slice of the batch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused_by_name_and_place(name):
    shape, function, sentence = REFUSED[name]
    with pytest.raises(Unread, match=sentence) as caught:
        read(function, shape)
    assert "test_reader.py" in str(caught.value)


def test_what_is_no_network_is_said():
    with pytest.raises(ValueError, match="does not depend on its input"):
        read(lambda x: jnp.ones((x.shape[0], 2)), (3,))
    with pytest.raises(ValueError, match=r"does not take a batch of examples of shape \(7,\)"):
        read(parse("mlp:4-3-2").init(KEY), (7,))
    with pytest.raises(ValueError, match="returns 2 arrays"):
        read(lambda x: (x, x), (3,))
    with pytest.raises(ValueError, match="batch as axis 1"):
        read(lambda x: jnp.tanh(x).T, (3,))


def test_a_wrong_reading_is_seen(monkeypatch):
    from flyroom.nets.reader import _primitives

    broken = dict(_primitives.RULES)
    broken["neg"] = lambda equation, inputs, state: inputs[0]  # a rule that forgets the sign
    monkeypatch.setattr("flyroom.nets.reader.RULES", broken)
    with pytest.raises(RuntimeError, match="read wrongly"):
        read(lambda x: -jnp.tanh(x), (3,))


def test_graphs_refuse_what_they_do_not_know():
    graph = read(parse("mlp:4-3-2").init(KEY), (4,))
    with pytest.raises(ValueError, match=r"x has the shape \(5, 3\); this network takes \(batch, 4\)"):
        graph(jnp.zeros((5, 3)))
    odd = Graph((graph.nodes[0], Node("fft", (0,), (4,), "spectrum")))
    with pytest.raises(ValueError, match="spectrum: there is no operation 'fft'"):
        odd(jnp.zeros((5, 4)))

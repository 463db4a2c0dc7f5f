"""Lengths of whole networks' images: against rationals, Arb, quadrature, chords, closed forms and each other."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom.data import load
from flyroom.measure import paths
from flyroom.measure.trajectory._leaves import evaluated, groups, halved, split
from flyroom.measure.trajectory._length import length, plan
from flyroom.measure.trajectory._network import opened
from flyroom.measure.trajectory._records import Interval, Trajectory
from flyroom.nets.graph import Graph, Node
from flyroom.nets.pooling import l2_pool, max_pool, mean_pool
from flyroom.nets.reader import Unread, read
from flyroom.nets.spec import parse
from flyroom.records import Evidence

pytest.importorskip("flint")  # python-flint, which the test extra brings

from flint import arb
from trajectory_oracles import (
    chords,
    complex_length,
    network,
    polynomial_length,
    polynomials,
    quadrature,
    random_layers,
    refined_chords,
    relu_line,
)

Net = Callable | Graph


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def last(net: Net, path: paths.Path, rel_tol: float = 1e-3, **given) -> Interval:
    """The interval of the last step, which must be certified and as narrow as asked."""
    found = length(net, path, rel_tol=rel_tol, layers="last", **{"seconds": 20.0, **given})
    interval = found.layers[-1].length
    assert found.reached and found.layers[-1].evidence == Evidence.certified
    assert 0 <= interval.low <= interval.high <= interval.low + rel_tol * interval.high * 1.01 + 1e-120
    return interval


def holds(interval: Interval, true: float, relative: float = 0.0) -> None:
    """The interval holds a number that is itself good to a relative error."""
    assert interval.low <= true * (1 + relative) and true * (1 - relative) <= interval.high, (interval, true)


def holds_ball(interval: Interval, true: arb) -> None:
    assert arb(interval.low) <= true.upper() and true.lower() <= arb(interval.high), (interval, true)


# Exact oracles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("widths", [(16, 16, 16, 16, 4), (4, 16, 16, 16, 1), (3, 6, 6, 6, 6, 6, 2)])
def test_relu_networks_on_a_line_against_rationals(widths: tuple[int, ...], seed: int):
    layers = random_layers(widths, seed)
    start, end = normal(2, widths[0], seed=seed + 100)
    true, corners = relu_line(layers, start, end)
    found = length(network(layers, "relu"), paths.line(start, end), rel_tol=1e-6, layers="last")
    holds_ball(found.layers[-1].length, true)
    assert found.reached and found.rule == "piecewise linear"
    assert found.layers[-1].crossings == corners


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_deeper_relu_networks_against_rationals(seed: int):
    layers = random_layers([32] * 7, seed)
    start, end = normal(2, 32, seed=seed)
    true, corners = relu_line(layers, start, end)
    found = length(network(layers, "relu"), paths.line(start, end), rel_tol=1e-7, layers="last")
    holds_ball(found.layers[-1].length, true)
    assert found.reached and found.layers[-1].crossings == corners


def test_dead_units_and_no_biases():
    """Units at zero all along, and corners of many units at once: a line through the origin."""
    layers = [(weight, 0 * bias) for weight, bias in random_layers((6, 8, 8, 3), 3)]
    layers[0][0][:3] = 0
    start = normal(6)
    true, _ = relu_line(layers, start, -start)
    holds_ball(last(network(layers, "relu"), paths.line(start, -start)), true)
    true, _ = relu_line(layers, start, 3 * start)
    holds_ball(last(network(layers, "relu"), paths.line(start, 3 * start)), true)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_networks_that_square_against_arb(depth: int, seed: int):
    layers = random_layers([5, *[8] * depth, 3], seed, gain=1.0)
    start, end = normal(2, 5, seed=seed)
    true = polynomial_length(polynomials(layers, start, end))
    holds_ball(last(network(layers, "square"), paths.line(start, end), 1e-6), true)


@pytest.mark.parametrize("e", [0.01, 1e-6, 0.5])
def test_the_square_near_one(e: float):
    """The factor two of its derivative: l(x^2) on [1 - e, 1 + e] is 4 e."""
    low, high = 1 - e, 1 + e
    net = network([(np.eye(1), np.zeros(1))], "square", last=True)
    holds(last(net, paths.line([low], [high]), 1e-8), (high - low) * (high + low), 1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_smooth_networks_against_arbs_integral(name: str):
    layers = random_layers((6, 8, 8, 3), 2)
    start, end = normal(2, 6, seed=5)
    holds_ball(last(network(layers, name), paths.line(start, end), 1e-8), complex_length(layers, name, start, end))


SMOOTH = ("tanh", "sigmoid", "softplus", "silu", "swish", "gelu", "erf", "sin", "square")


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_networks_on_a_circle_against_quadrature(name: str):
    graph = network(random_layers((6, 12, 12, 4), 1, gain=1.0), name)
    u, v = normal(2, 6, seed=2)
    path = paths.arc(np.zeros(6), u, v, 0.0, 3.0)
    true = quadrature(graph, lambda t: jnp.cos(3 * t) * u + jnp.sin(3 * t) * v)
    holds(last(graph, path, 1e-7), true, 1e-11)


# Closed forms --------------------------------------------------------------------------------------------------------


def test_orthogonal_layers_keep_lengths():
    layers = [(np.linalg.qr(normal(8, 8, seed=i))[0], normal(8, seed=i)) for i in range(4)]
    for path in (paths.circle(8, radius=2.0, seed=0), paths.line(*normal(2, 8)), paths.spline(normal(5, 8))):
        true = paths.length(path)
        holds(last(network(layers, "identity"), path), (true.low + true.high) / 2, 1e-14)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
def test_a_factor_on_the_output_is_a_factor_of_the_length(name: str):
    layers = random_layers((5, 9, 9, 3), 0)
    path = paths.circle(5, radius=2.0, seed=1)
    plain = last(network(layers, name), path, 1e-6)
    scaled = last(network([*layers[:-1], (-4 * layers[-1][0], layers[-1][1] + 7)], name), path, 1e-6)
    assert 4 * plain.low <= scaled.high and scaled.low <= 4 * plain.high


@pytest.mark.parametrize("name", ["relu", "hard_tanh", "tanh", "elu"])
def test_lengths_of_parts_add_up_and_do_not_know_forwards_from_back(name: str):
    graph = network(random_layers((5, 9, 9, 3), 0), name)
    points = normal(5, 5, seed=3)
    whole, back = (last(graph, paths.polyline(rows), 1e-6) for rows in (points, points[::-1]))
    parts = [last(graph, paths.line(a, b), 1e-6) for a, b in pairwise(points)]
    _overlap(whole, Interval(sum(p.low for p in parts), sum(p.high for p in parts)))
    _overlap(whole, back)
    u, v = normal(2, 5, seed=4)
    arcs = [last(graph, paths.arc(points[0], u, v, *ends), 1e-6) for ends in ((0.0, 4.0), (0.0, 1.5), (4.0, 1.5))]
    _overlap(arcs[0], Interval(arcs[1].low + arcs[2].low, arcs[1].high + arcs[2].high))


def _overlap(a: Interval, b: Interval) -> None:
    assert a.low <= b.high and b.low <= a.high, (a, b)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "erf", "relu", "leaky_relu", "elu", "hard_tanh"])
def test_a_rising_network_of_one_number_goes_from_end_to_end(name: str):
    layers = [(np.abs(weight), bias) for weight, bias in random_layers((3, 8, 8, 1), 2)]
    start, end = np.array([-2.0, -1.0, -1.5]), np.array([1.0, 2.0, 1.5])
    graph = network(layers, name)
    ends = chords(graph, lambda t: start + t[:, None] * (end - start), 1)[-1]
    holds(last(graph, paths.line(start, end), 1e-7), ends, 1e-13)


@pytest.mark.parametrize("name", ["relu", "tanh", "square"])
def test_a_network_that_says_the_same_everywhere_has_length_zero(name: str):
    layers = [(0 * weight, bias) for weight, bias in random_layers((4, 6, 2), 0)]
    found = length(network(layers, name), paths.circle(4, radius=1.0, seed=0), max_pieces=40)
    for row in found.layers:
        assert row.length.low == 0 and row.length.high < 1e-100, row
    assert found.cpu_s < 1  # nothing is gained by halving what does not move


def test_a_step_between_samples_is_found():
    """1001 samples see next to nothing of it; its length is 2."""
    graph = network([(np.array([[1e4]]), np.array([-5003.7]))], "tanh", last=True)
    true = np.tanh(1e4 * 1 - 5003.7) + np.tanh(5003.7)
    holds(last(graph, paths.line([0.0], [1.0])), true, 1e-13)
    assert chords(graph, lambda t: t[:, None], 500)[-1] <= 2


def test_chords_in_float32_grow_out_of_the_interval():
    """The rounding of close points is counted as length; float64 chords stay below."""
    layers = random_layers((8, 32, 32, 32, 10), 0, dtype=np.float32)
    graph = network(layers, "tanh")
    start, end = normal(2, 8, seed=1)
    interval = last(graph, paths.line(start, end), 1e-6)
    t = np.linspace(0, 1, 300_001)
    z = (start + t[:, None] * (end - start)).astype(np.float32)
    for i, (weight, bias) in enumerate(layers):
        z = z @ weight.T + bias
        z = np.tanh(z) if i < len(layers) - 1 else z
    assert z.dtype == np.float32
    assert np.linalg.norm(np.diff(z, axis=0), axis=1).astype(float).sum() > interval.high
    exact = chords(graph, lambda t: start + t[:, None] * (end - start), 3000)[-1]
    assert interval.low - 1e-6 * exact < exact <= interval.high


def test_weights_in_float32_are_taken_as_they_are():
    layers = random_layers((6, 12, 3), 1, dtype=np.float32)
    path = paths.line(*normal(2, 6))
    single = last(network(layers, "tanh"), path, 1e-9)
    double = last(network([(w.astype(float), b.astype(float)) for w, b in layers], "tanh"), path, 1e-9)
    other = last(network(random_layers((6, 12, 3), 1), "tanh"), path, 1e-9)
    assert single == double
    assert single.low > other.high or other.low > single.high  # the float64 weights that they were rounded from


def test_relu_of_both_sides_is_the_identity():
    """Where both kinks lie on one point no derivative is needed."""
    weight = np.array([[1.0], [-1.0]])
    layers = [(weight, np.zeros(2)), (np.array([[1.0, -1.0]]), np.zeros(1))]
    for low, high in ((-1.0, 1.0), (-0.3, 0.7), (0.0, 1.0)):
        holds(last(network(layers, "relu"), paths.line([low], [high])), high - low, 1e-15)


# Random networks of every kind ---------------------------------------------------------------------------------------

EVERY = (*SMOOTH, "relu", "leaky_relu", "hard_tanh", "elu", "identity", "prelu")
PATHS = ("line", "circle", "spline")


def _random(name: str, depth: int, kind: str, seed: int) -> tuple[Graph, paths.Path]:
    draws = np.random.default_rng(seed)
    widths = [int(draws.integers(2, 7)), *(int(n) for n in draws.integers(3, 9, depth)), int(draws.integers(1, 4))]
    gain = 0.8 if name == "square" else 1.5
    layers = random_layers(widths, seed, gain=gain, bias=float(draws.choice([0.0, 0.5])))
    slope = float(draws.choice([0.01, -0.5, 2.0])) if name == "leaky_relu" else None
    graph = network(
        layers, name, slope=slope, prelu=np.array([draws.choice([0.25, -1.0, 1.5])]), last=bool(draws.integers(2))
    )
    path = {
        "line": lambda: paths.line(*draws.standard_normal((2, widths[0]))),
        "circle": lambda: paths.circle(widths[0], radius=float(draws.uniform(0.1, 2)), seed=seed),
        "spline": lambda: paths.spline(draws.standard_normal((4, widths[0]))),
    }[kind]()
    return graph, path


def contained(name: str, depth: int, kind: str, seed: int, points: int) -> None:
    """Every layer at two tolerances, against chords, their extrapolation, and one another."""
    graph, path = _random(name, depth, kind, seed)
    wide = length(graph, path, rel_tol=1e-3, seconds=5.0)
    sharp = length(graph, path, rel_tol=1e-7, seconds=5.0)
    curve = partial(paths.points, path)
    below, near = refined_chords(graph, curve, points)
    places = {node.place: i for i, node in enumerate(graph.nodes)}
    for one, other in zip(wide.layers, sharp.layers, strict=True):
        i = places[one.name]
        case = (name, depth, kind, seed, one, other)
        _overlap(one.length, other.length)
        assert other.length.high <= one.length.high * (1 + 1e-6) + 1e-12, case
        assert below[i] <= min(one.length.high, other.length.high) * (1 + 1e-10) + 1e-10, case
        # Kinks cost chords the second order; what is missing then is a part of what doubling them brought.
        missing = 30 * (near[i] - below[i]) + 20 / points * near[i] + 1e-10
        assert other.length.low <= near[i] + missing, case
        assert not wide.reached or one.length.high - one.length.low <= 1.01e-3 * one.length.high + 1e-120, case


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from(EVERY), st.integers(1, 4), st.sampled_from(PATHS), st.integers(0, 10**6))
def test_random_networks_contain_their_chords(name: str, depth: int, kind: str, seed: int):
    contained(name, depth, kind, seed, 1000)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.sampled_from(EVERY), st.integers(1, 6), st.sampled_from(PATHS), st.integers(0, 10**9))
def test_many_random_networks_contain_their_chords(name: str, depth: int, kind: str, seed: int):
    contained(name, depth, kind, seed, 10_000)


# Kinds of layer ------------------------------------------------------------------------------------------------------


def compared(
    net: Net, shape: tuple[int, ...], *, rel_tol: float = 1e-6, points: int = 4000, seed: int = 0
) -> Trajectory:
    """On a line and an arc: every step against chords in float64 of the same graph."""
    graph = net if isinstance(net, Graph) else read(net, shape)
    u, v = normal(2, *shape, seed=seed)
    found = None
    for path in (paths.line(u, v), paths.arc(0 * u, u, v, 0.0, 2.0)):
        found = length(graph, path, rel_tol=rel_tol, seconds=20.0)
        below, near = refined_chords(graph, partial(paths.points, path), points)
        places = {node.place: i for i, node in enumerate(graph.nodes)}
        assert found.reached
        for row in found.layers:
            i = places[row.name]
            assert below[i] <= row.length.high * (1 + 1e-12) + 1e-12, (row, below[i])
            assert row.length.low <= near[i] * (1 + 1e-4) + 1e-9, (row, near[i])
            assert near[i] <= row.length.high * (1 + 1e-5) + 1e-9, (row, near[i])
    assert found is not None
    return found


def conv(shape: tuple[int, ...], before: tuple[int, ...], kernel: tuple[int, ...], seed: int = 0, **given) -> Node:
    space = len(kernel)
    details = {"stride": (1,) * space, "padding": ((0, 0),) * space, "dilation": (1,) * space, "groups": 1} | given
    weight = normal(shape[0], before[0] // details["groups"], *kernel, seed=seed)
    return Node(
        "conv", (0,), shape, "conv", {"weight": weight, "bias": normal(shape[0], seed=seed + 1)}, tuple(details.items())
    )


def after(node: Node, before: tuple[int, ...], name: str = "tanh") -> Graph:
    """The input, a step, and an activation after it."""
    end = Node("activation", (1,), node.shape, name, {}, (("name", name),))
    return Graph((Node("input", (), before, "input"), node, end))


@pytest.mark.parametrize("mode", ["zero", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_convolutions_of_signals(name: str, mode: str):
    node = conv((4, 6), (2, 11), (3,), padding=((2, 1),), mode=mode, stride=(2,))
    compared(after(node, (2, 11), name), (2, 11))
    node = conv((4, 10), (2, 11), (3,), padding=((1, 2),), mode=mode, dilation=(2,), groups=2)
    compared(after(node, (2, 11), name), (2, 11))


@pytest.mark.parametrize("mode", ["zero", "reflect", "replicate", "circular"])
def test_convolutions_of_images(mode: str):
    node = conv((4, 3, 4), (2, 5, 6), (3, 2), padding=((1, 1), (1, 2)), mode=mode, stride=(2, 2), groups=2)
    compared(after(node, (2, 5, 6)), (2, 5, 6))


def test_pooling_of_signals_and_images():
    def pooled(x):
        y = max_pool(jnp.tanh(jnp.moveaxis(x, 0, -1)), window=3, stride=2, padding=1)
        return jnp.moveaxis(mean_pool(y, window=2, stride=1), -1, 0)

    compared(pooled, (2, 9))
    compared(pooled, (2, 5, 6), rel_tol=1e-4)

    def padded_mean(x):
        y = jnp.moveaxis(x, 0, -1)
        return jnp.moveaxis(mean_pool(y, window=3, stride=2, padding=1, count_padding=False), -1, 0)

    compared(padded_mean, (2, 9))


def test_the_maximum_of_a_value_and_itself():
    """Ties all along the path."""
    net = lambda x: jnp.maximum(x, x)  # noqa: E731
    compared(net, (3,))
    holds(last(lambda x: jnp.maximum(x, -x), paths.line([-1.0], [2.0])), 3.0, 1e-15)


def test_residual_sums_differences_and_joins():
    W, V = (jnp.asarray(normal(5, 5, seed=i), jnp.float32) for i in range(2))

    def residual(x):
        y = x + jnp.tanh(x @ W)
        return y - jnp.sin(y @ V) + 0.5 * x

    compared(residual, (5,))
    compared(lambda x: jnp.concatenate([jnp.tanh(x @ W), x, jax.nn.relu(x @ V)], -1), (5,))
    holds(last(lambda x: x - x + 3 * x, paths.line([0.0], [2.0])), 6.0, 1e-12)


def test_axes_moved_reduced_cut_and_spread():
    W = jnp.asarray(normal(3, 4, seed=1), jnp.float32)

    def moved(x):  # (batch, 3, 4)
        y = jnp.tanh(jnp.swapaxes(x, 1, 2))
        z = y[:, ::2, 1:] - y.mean(1, keepdims=True)[:, :, 1:] + W.sum()
        return jnp.pad(z, ((0, 0), (1, 0), (0, 2))).sum(2) * 3

    compared(moved, (3, 4))


@pytest.mark.parametrize("convention", ["pytorch", "lecture"])
def test_batch_norm_at_inference(convention: str):
    weights = {
        "gain": normal(3),
        "bias": normal(3, seed=1),
        "mean": normal(3, seed=2),
        "variance": normal(3, seed=3) ** 2,
    }
    node = Node("batch_norm", (0,), (3, 4), "norm", weights, (("eps", 1e-5), ("convention", convention)))
    compared(after(node, (3, 4)), (3, 4))


def test_norms_softmax_and_products():
    scaled = {"gain": normal(6), "bias": normal(6, seed=1)}
    compared(after(Node("layer_norm", (0,), (6,), "norm", scaled, (("eps", 1e-5),)), (6,)), (6,), rel_tol=1e-5)
    channels = {"gain": normal(4), "bias": normal(4, seed=1)}
    details = (("groups", 2), ("eps", 1e-5))
    compared(after(Node("group_norm", (0,), (4, 5), "norm", channels, details), (4, 5)), (4, 5), rel_tol=1e-5)
    compared(after(Node("softmax", (0,), (6,), "softmax", {}, (("axis", 0),)), (6,)), (6,), rel_tol=1e-5)
    compared(after(Node("softmax", (0,), (3, 4), "softmax", {}, (("axis", 1),)), (3, 4)), (3, 4), rel_tol=1e-5)
    compared(lambda x: x * jnp.tanh(x) * x[:, :1], (4,))
    compared(lambda x: x / (2 + jnp.sin(x)), (4,))


def test_pooling_by_norms():
    def pooled(x):
        return jnp.moveaxis(l2_pool(jnp.moveaxis(x, 0, -1) + 3, window=3, stride=2), -1, 0)

    compared(pooled, (2, 9), rel_tol=1e-5)


def test_a_softmax_of_large_numbers_does_not_overflow():
    graph = after(Node("softmax", (0,), (3,), "softmax", {}, (("axis", 0),)), (3,), "identity")
    interval = last(graph, paths.line([1000.0, 999.0, 0.0], [1000.0, 1001.0, 1.0]))
    true = quadrature(graph, lambda t: jnp.array([1000.0, 999.0, 0.0]) + t * jnp.array([0.0, 2.0, 1.0]))
    holds(interval, true, 1e-11)


# Networks of the benchmark -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist1d-linear", "mnist1d-mlp", "mnist1d-cnn"])
def test_benchmark_networks_between_two_digits(name: str):
    net = parse(name).init(jax.random.key(0))
    x = np.asarray(load("mnist1d").x_test, np.float64)[:2]
    graph = opened(net, x.shape[1:])
    path = paths.line(*x)
    found = length(net, path, rel_tol=1e-4)
    assert found.reached
    below, near = refined_chords(graph, partial(paths.points, path), 20_000)
    places = {node.place: i for i, node in enumerate(graph.nodes)}
    for row in found.layers:
        i = places[row.name]
        assert below[i] <= row.length.high and row.length.low <= near[i] * (
            1 + 1e-5
        )  # a chord over a kink is too short


def test_networks_without_a_rule_are_refused_by_name_and_place():
    with pytest.raises(Unread, match="gru"):
        length(parse("mnist1d-gru").init(jax.random.key(0)), paths.line(*normal(2, 40)))
    graph = Graph((Node("input", (), (3,), "input"), Node("twirl", (0,), (3,), "layers.7")))
    with pytest.raises(Unread, match=r"layers\.7.*twirl"):
        length(graph, paths.line(*normal(2, 3)))
    graph = after(Node("activation", (0,), (3,), "first", {}, (("name", "tanh"),)), (3,), "mystery")
    with pytest.raises(Unread, match="mystery"):
        length(graph, paths.line(*normal(2, 3)))
    with pytest.raises(Unread):
        length(lambda x: jnp.sort(x, -1), paths.line(*normal(2, 3)))


def test_pytorch_modules():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(5, 8), torch.nn.BatchNorm1d(8), torch.nn.GELU(), torch.nn.Dropout(), torch.nn.Linear(8, 3)
    )
    path = paths.line(*normal(2, 5))
    with pytest.raises(ValueError, match="eval"):
        length(module, path)
    interval = last(module.eval(), path, 1e-6)
    x = torch.as_tensor(paths.points(path, np.linspace(0, 1, 5001)))
    y = module.double()(x).detach().numpy()
    chord = np.linalg.norm(np.diff(y, axis=0), axis=1).sum()
    assert chord <= interval.high and interval.low <= chord * (1 + 1e-6)
    for bad in (torch.nn.GELU(approximate="tanh"), torch.nn.ELU(0.5), torch.nn.Softplus(beta=2.0)):
        with pytest.raises(ValueError):
            length(torch.nn.Sequential(torch.nn.Linear(5, 3), bad).eval(), path)


# What is asked and what is not reached -------------------------------------------------------------------------------


def test_halving_all_pieces_gains_the_order_and_one():
    graph = network(random_layers((6, 16, 16, 4), 0), "tanh")
    path = paths.circle(6, radius=2.0, seed=0)
    for order in (3, 5):
        widths = []
        for times in (5, 6, 7):
            found = evaluated(graph, path, halved(paths.knots(path), times), order, [len(graph.nodes) - 1])
            widths.append(float((found.high - found.low).sum()))
        rates = np.log2(np.array(widths[:-1]) / widths[1:])
        assert (rates > order - 0.2).all() and rates[-1] < order + 2, (order, widths)


def test_what_is_not_reached_still_holds():
    layers = random_layers((6, 16, 16, 16, 4), 0, gain=2.5)
    graph, (u, v) = network(layers, "tanh"), normal(2, 6)
    path = paths.arc(np.zeros(6), u, v, 0.0, 6.0)
    true = quadrature(graph, lambda t: jnp.cos(6 * t) * u + jnp.sin(6 * t) * v, panels=300)
    for limit in ({"max_pieces": 40}, {"seconds": 0.0}):
        found = length(graph, path, rel_tol=1e-9, layers="last", **limit)  # pyright: ignore[reportArgumentType]
        assert not found.reached and found.pieces <= 40
        holds(found.layers[-1].length, true, 1e-10)


def test_layers_are_chosen_by_name():
    graph = network(random_layers((4, 6, 6, 2), 0), "tanh")
    path = paths.line(*normal(2, 4))
    every = length(graph, path)
    assert [row.name for row in every.layers] == [node.place for node in graph.nodes[1:]]
    some = length(graph, path, layers=["layers.1", "tanh_0"])
    assert [row.name for row in some.layers] == ["tanh_0", "layers.1"]
    assert length(graph, path, layers="input").layers[0].length.low == pytest.approx(every.input_length.low, rel=1e-6)
    for row in every.layers:
        alone = length(graph, path, layers=row.name)
        _overlap(alone.layers[0].length, row.length)


def test_bad_input_is_a_sentence():
    graph = network(random_layers((4, 6, 2), 0), "tanh")
    path = paths.line(*normal(2, 4))
    for rel_tol in (0.0, 1.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="rel_tol"):
            length(graph, path, rel_tol=rel_tol)
    with pytest.raises(ValueError, match="shape"):
        length(graph, paths.line(*normal(2, 5)))
    with pytest.raises(ValueError, match=r"'nowhere'.*layers\.0"):
        length(graph, path, layers=["layers.0", "nowhere"])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_give_no_number(bad: float):
    layers = random_layers((4, 6, 2), 0)
    layers[0][0][1, 2] = bad
    for name in ("relu", "tanh"):
        with pytest.raises(ValueError, match="finite"):
            length(network(layers, name), paths.line(*normal(2, 4)))


def test_where_a_function_leaves_its_domain_nothing_is_claimed():
    found = length(jnp.log, paths.line([-1.0], [1.0]), max_pieces=2000, layers="last")
    assert not found.reached and found.layers[-1].length.high == np.inf
    found = length(jnp.sqrt, paths.line([0.0], [1.0]), max_pieces=2000, layers="last")
    assert found.layers[-1].length.low <= 1 <= found.layers[-1].length.high


def test_numbers_that_overflow_give_infinity_not_nonsense():
    found = length(lambda x: (x * 1e30) ** 2, paths.line([1e30], [2e30]), layers="last", max_pieces=200)
    assert found.layers[-1].length.low <= 3e120 * (1 + 1e-6) and found.layers[-1].length.high >= 3e120 * (1 - 1e-6)
    graph = network([(np.full((1, 1), 1e200), np.zeros(1))], "square", last=True)
    found = length(graph, paths.line([1.0], [2.0]), layers="last", max_pieces=200)
    assert not found.reached and found.layers[-1].length.high == np.inf


def test_a_callable_path_is_an_estimate():
    graph = network(random_layers((4, 6, 2), 0), "tanh")
    u, v = normal(2, 4)
    curved = paths.curve(lambda t: np.cos(3 * t) * u + np.sin(3 * t) * v, 4)
    found = length(graph, curved)
    proved = length(graph, paths.arc(np.zeros(4), u, v, 0.0, 3.0), rel_tol=1e-8)
    for one, other in zip(found.layers, proved.layers, strict=True):
        assert one.evidence == Evidence.estimate and other.evidence == Evidence.certified
        assert one.length.low == pytest.approx(other.length.low, rel=1e-5)
        assert one.length.low <= other.length.high
    assert found.rule == "samples"


def test_plans_by_kind_of_network_and_path():
    line, circle = paths.line(*normal(2, 4)), paths.circle(4, radius=1.0, seed=0)
    layers = random_layers((4, 6, 2), 0)
    assert plan(network(layers, "relu"), line)[0] == "piecewise linear"
    assert plan(network(layers, "square"), line)[0] == "polynomial"
    assert plan(network(layers, "square"), circle)[0] == "Taylor models"
    assert plan(network(layers, "elu"), line)[0] == "Taylor models"


def test_pieces_join_without_gaps():
    pieces = halved(np.array([0.0, 0.3, 1.0]), 3)
    assert pieces.low[0] == 0 and pieces.high[-1] == 1 and 0.3 in pieces.low
    assert (pieces.low[1:] == pieces.high[:-1]).all()
    parts = split(pieces, np.arange(16) % 3)
    assert parts.low[0] == 0 and parts.high[-1] == 1 and (parts.low[1:] == parts.high[:-1]).all()
    assert groups(parts, 8).max() == (len(parts.low) - 1) // 8
    gap = type(parts)(np.delete(parts.low, 3), np.delete(parts.high, 3))
    assert groups(gap, 8)[:4].tolist() == [0, 0, 0, 1]

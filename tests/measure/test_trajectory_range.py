"""Least and greatest values along a path: closed forms, dense samples, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom.measure import paths
from flyroom.measure.trajectory import value_range
from flyroom.nets.graph import Graph, Node
from flyroom.nets.spec import parse


def sampled(net, path: paths.Path, t: np.ndarray) -> np.ndarray:
    """A forward pass in float64 at these points."""
    z = paths.points(path, t)
    for layer in net.layers[:-1]:
        u = z @ np.asarray(layer.weight, np.float64).T + np.asarray(layer.bias, np.float64)
        z = np.tanh(u) if net.activation.__name__ == "tanh" else np.maximum(u, 0)
    return z @ np.asarray(net.layers[-1].weight, np.float64).T + np.asarray(net.layers[-1].bias, np.float64)


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_samples_lie_inside_and_nearly_reach_both_ends(name):
    net = parse(f"mlp:4-12-12-3:{name}?weight_std=2&bias_std=0.5").init(jax.random.key(1))
    path = paths.circle(4, radius=2.0, seed=0)
    found = value_range(net, path)
    t = np.linspace(0, 1, 4001)
    values = sampled(net, path, t)
    assert found.reached and len(found.outputs) == 3
    for i, (least, greatest) in enumerate(found.outputs):
        size = max(abs(least.low), abs(greatest.high))
        close = [
            np.linspace(max(at - 3e-4, 0), min(at + 3e-4, 1), 20_001)
            for at in t[[values[:, i].argmin(), values[:, i].argmax()]]
        ]
        lowest, highest = sampled(net, path, close[0])[:, i].min(), sampled(net, path, close[1])[:, i].max()
        assert least.low <= lowest <= least.high + 1e-6 * size
        assert greatest.low - 1e-6 * size <= highest <= greatest.high
        assert max(least.high - least.low, greatest.high - greatest.low) <= 1.1e-6 * size


def test_a_spike_that_samples_miss():
    """A triangle of width 2e-4 and height 1 between samples 1e-3 apart."""
    weight = np.ones((3, 1))
    first = {"weight": weight, "bias": -np.array([0.1234, 0.1235, 0.1236])}
    graph = Graph(
        (
            Node("input", (), (1,), "x"),
            Node("dense", (0,), (3,), "hidden", first),
            Node("activation", (1,), (3,), "relu", {}, (("name", "relu"),)),
            Node("dense", (2,), (1,), "output", {"weight": np.array([[1e4, -2e4, 1e4]])}),
        )
    )
    least, greatest = value_range(graph, paths.line([0.0], [1.0])).outputs[0]
    assert greatest.low == pytest.approx(1, abs=1e-6) and greatest.low <= 1 + 1e-11 and greatest.high >= 1 - 1e-11
    assert least.low <= 0 <= least.high + 1e-11


@settings(max_examples=15, deadline=None)
@given(st.floats(-2, 2), st.floats(0.1, 4), st.floats(-3, 3))
def test_sines_and_squares_in_closed_form(begin, length, frequency):
    """sin(w x) on an interval, and (x - m)^2: extremes at the ends or where the slope is 0."""
    end = begin + length
    path = paths.line([begin], [end])
    w = float(np.float32(frequency))
    found = value_range(lambda x: jnp.sin(w * x), path).outputs[0]
    turns = [np.pi * (k + 0.5) / w for k in range(-8, 9)] if abs(w) > 1e-6 else []
    values = np.sin([w * x for x in (begin, end, *(x for x in turns if begin <= x <= end))])
    _holds(found, values.min(), values.max())
    square = value_range(jnp.square, path).outputs[0]
    ends = (begin**2, end**2)
    _holds(square, 0.0 if begin <= 0 <= end else min(ends), max(ends))


def _holds(found, least: float, greatest: float) -> None:
    slack = 1e-13 * (1 + abs(greatest))
    assert found.least.low <= least + slack and found.least.high >= least - slack
    assert found.greatest.low <= greatest + slack and found.greatest.high >= greatest - slack
    size = max(abs(least), abs(greatest))
    width = max(found.least.high - found.least.low, found.greatest.high - found.greatest.low)
    assert width <= 2e-6 * size + 2e-12


def test_outputs_that_do_not_move():
    (only,) = value_range(lambda x: 0 * x + 0.5, paths.line([0.0], [1.0])).outputs
    assert only.least.low <= 0.5 <= only.greatest.high and only.greatest.high - only.least.low < 1e-12


def test_out_of_pieces_it_holds_all_the_same():
    found = value_range(lambda x: jnp.sin(40 * x), paths.line([-1.0], [1.0]), max_pieces=33)
    least, greatest = found.outputs[0]
    assert not found.reached and found.pieces <= 33
    assert least.low <= -1 <= least.high and greatest.low <= 1 <= greatest.high


@pytest.mark.parametrize(
    ("given_", "sentence"),
    [({"rel_tol": 0.0}, "rel_tol 0.0"), ({"rel_tol": 1.5}, "rel_tol 1.5"), ({"abs_tol": -1.0}, "abs_tol -1.0")],
)
def test_tolerances_that_are_refused(given_, sentence):
    with pytest.raises(ValueError, match=sentence):
        value_range(jnp.square, paths.line([0.0], [1.0]), **given_)


def test_paths_that_are_refused():
    with pytest.raises(ValueError, match="a callable proves nothing"):
        value_range(jnp.square, paths.curve(lambda t: np.array([t]), 1))
    graph = Graph((Node("input", (), (2,), "x"), Node("elementwise", (0,), (2,), "sin", {}, (("name", "sin"),))))
    with pytest.raises(ValueError, match="examples of shape"):
        value_range(graph, paths.line([0.0], [1.0]))

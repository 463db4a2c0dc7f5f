"""The ladder of bounds: each rung against sampling in float64, closed forms, and the mistakes that make it false."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

import equinox as eqx
import jax
import numpy as np
import pytest

from flyroom.measure import paths
from flyroom.measure.trajectory import _ladder, _slopes
from flyroom.measure.trajectory._ladder import bounds
from flyroom.measure.trajectory._records import Interval
from flyroom.measure.trajectory._rungs import Ladder, edges
from flyroom.nets.graph import Graph, Node
from flyroom.nets.reader import Unread

LAYERS = ("layers together on T", "layers together", "layers apart on T", "layers apart")


def chain(weights: Sequence[np.ndarray], name: str, *, bias: float = 0.0, last: bool = False) -> Graph:
    """Dense layers with an activation between them."""
    nodes = [Node("input", (), (weights[0].shape[1],), "x")]
    draw = np.random.default_rng(99)
    for i, weight in enumerate(weights):
        shape = (len(weight),)
        given = {"weight": weight, "bias": bias * draw.normal(size=shape)}
        nodes.append(Node("dense", (len(nodes) - 1,), shape, f"layers.{i}", given))
        if i < len(weights) - 1 or last:
            nodes.append(Node("activation", (len(nodes) - 1,), shape, f"{name}_{i}", {}, (("name", name),)))
    return Graph(tuple(nodes))


def random_chain(widths: Sequence[int], name: str, seed: int = 0, gain: float = 1.4) -> Graph:
    draw = np.random.default_rng(seed)
    weights = [draw.normal(size=(b, a)) * gain / np.sqrt(a) for a, b in pairwise(widths)]
    return chain(weights, name, bias=0.3)


def residual() -> Graph:
    draw = np.random.default_rng(5)
    w = [draw.normal(size=(6, 6)) / 2.5 for _ in range(2)]
    return Graph(
        (
            Node("input", (), (6,), "x"),
            Node("dense", (0,), (6,), "a", {"weight": w[0], "bias": draw.normal(size=6)}),
            Node("activation", (1,), (6,), "tanh", {}, (("name", "tanh"),)),
            Node("dense", (2,), (6,), "b", {"weight": w[1]}),
            Node("add", (0, 3), (6,), "sum"),
            Node("activation", (4,), (6,), "relu", {}, (("name", "relu"),)),
            Node("concatenate", (5, 1), (12,), "join", {}, (("axis", 0),)),
        )
    )


def pooled() -> Graph:
    draw = np.random.default_rng(6)
    window = (("padding", ((0, 0),)), ("stride", (2,)), ("window", (2,)))
    steps = (("dilation", (1,)), ("groups", 1), ("padding", ((1, 1),)), ("stride", (1,)))
    return Graph(
        (
            Node("input", (), (1, 8), "x"),
            Node("conv", (0,), (3, 8), "conv", {"weight": draw.normal(size=(3, 1, 3)), "bias": np.zeros(3)}, steps),
            Node("activation", (1,), (3, 8), "relu", {}, (("name", "relu"),)),
            Node("max_pool", (2,), (3, 4), "pool", {}, window),
            Node("reshape", (3,), (12,), "flat"),
            Node("dense", (4,), (5,), "out", {"weight": draw.normal(size=(5, 12)) / 3, "bias": np.zeros(5)}),
        )
    )


def sampled(graph: Graph, path: paths.Path, count: int) -> dict[tuple[str, str], float]:
    """What the rungs in J would be by dense sampling in float64, and the length under the empty name."""
    t = (np.arange(count) + 0.5) / count
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) if eqx.is_inexact_array(leaf) else leaf, graph)
        x = paths.points(path, t).reshape(-1, *path.shape)
        jacobian = jax.jit(jax.vmap(jax.jacrev(lambda y: wide(y[None])[0].ravel())))
        j = np.asarray(jacobian(x)).reshape(count, -1, x[0].size)
    velocity = paths.velocities(path, t)
    speed = np.linalg.norm(velocity, axis=1)
    found = {("", ""): float(np.linalg.norm(np.einsum("tij,tj->ti", j, velocity), axis=1).mean())}
    basis = paths.tangents(path)
    for on, matrices in (("", j), (" on T", None if basis is None else j @ basis)):
        if matrices is None:
            continue
        values = np.linalg.svd(matrices, compute_uv=False)
        least = values[:, -1] * (matrices.shape[1] >= matrices.shape[2])
        found["upper", f"integral{on}"] = float((values[:, 0] * speed).mean())
        found["upper", f"supremum{on}"] = float(values[:, 0].max() * speed.mean())
        found["lower", f"integral{on}"] = float((least * speed).mean())
        found["lower", f"infimum{on}"] = float(least.min() * speed.mean())
    return found


def circle(units: int | tuple[int, ...], radius: float = 2.0) -> paths.Path:
    return paths.circle(units, radius=radius, seed=0)


def line(units: int) -> paths.Path:
    draw = np.random.default_rng(8)
    return paths.line(draw.normal(size=units), 3 * draw.normal(size=units))


def curved(units: int) -> paths.Path:
    return paths.spline(np.random.default_rng(8).normal(size=(3, units)))


CASES: dict[str, Callable[[], tuple[Graph, paths.Path]]] = {
    "tanh": lambda: (random_chain((6, 10, 10, 12), "tanh"), circle(6)),
    "gelu": lambda: (random_chain((6, 10, 12), "gelu"), circle(6)),
    "relu on a circle": lambda: (random_chain((6, 10, 10, 12), "relu"), circle(6)),
    "relu on a line": lambda: (random_chain((6, 16, 16, 3), "relu"), line(6)),
    "leaky relu": lambda: (random_chain((6, 8, 8), "leaky_relu"), line(6)),
    "elu": lambda: (random_chain((4, 6, 8), "elu"), circle(4)),
    "sin on a spline": lambda: (random_chain((6, 8, 8), "sin"), curved(6)),
    "square": lambda: (random_chain((3, 5, 6), "square"), line(3)),
    "one output": lambda: (random_chain((6, 12, 1), "softplus"), circle(6)),
    "residual": lambda: (residual(), circle(6)),
    "pooled": lambda: (pooled(), circle((1, 8))),
}

SLOW = ("gelu", "relu on a circle", "leaky relu", "square", "one output")
SHOWN = [pytest.param(case, marks=pytest.mark.slow) if case in SLOW else case for case in CASES]


@cache
def found(case: str) -> Ladder:
    return bounds(*CASES[case](), max_pieces=1000)


def values(ladder: Ladder, side: str) -> dict[str, Interval]:
    return {rung.name: rung.value for rung in ladder.rungs if rung.side == side}


@pytest.mark.parametrize("case", SHOWN)
def test_rungs_against_dense_sampling(case: str) -> None:
    graph, path = CASES[case]()
    truth = sampled(graph, path, 4000)
    ladder = found(case)
    assert ladder.length.low * (1 - 2e-3) <= truth["", ""] <= ladder.length.high * (1 + 2e-3)
    compared = 0
    for rung in ladder.rungs:
        if (rung.side, rung.name) in truth:
            at, (low, high) = truth[rung.side, rung.name], rung.value
            # A sampled supremum is never above the certified one, a sampled infimum never below; integrals to the
            # error of the midpoint rule, which kinks make large.
            slack = 1e-2 if rung.name.startswith("integral") else 1e-9
            if rung.side == "upper":
                assert at <= high * (1 + slack) and at >= low * (1 - 5e-3)
            else:
                assert at >= low * (1 - slack) - 1e-12 and at <= high * (1 + 2e-2) + 1e-9
            compared += 1
    assert compared == 8


@pytest.mark.parametrize("case", SHOWN)
def test_rungs_stand_above_one_another_and_around_the_length(case: str) -> None:
    ladder = found(case)
    upper, lower = values(ladder, "upper"), values(ladder, "lower")
    assert len(upper) >= 4 and len(lower) >= 4
    assert all(value.high >= ladder.length.low for value in upper.values())
    assert all(value.low <= ladder.length.high for value in lower.values())
    pairs = 0
    for side, rungs in (("upper", upper), ("lower", lower)):
        for sharper, cruder in edges(side):
            if sharper in rungs and cruder in rungs:
                a, b = rungs[sharper], rungs[cruder]
                assert (a.high <= b.high and a.low <= b.low) if side == "upper" else (a.low >= b.low)
                pairs += 1
    assert pairs >= 8


def test_the_rungs_agree_before_they_are_cut_to_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rung is enclosed for itself: the order holds among them within their widths."""
    monkeypatch.setattr(_ladder, "tightened", lambda rungs, side: dict(rungs))
    ladder = bounds(*CASES["tanh"]())
    for side in ("upper", "lower"):
        rungs = values(ladder, side)
        for sharper, cruder in edges(side):
            if cruder not in rungs:
                continue
            one, other = rungs[sharper], rungs[cruder]
            assert one.low <= other.high if side == "upper" else other.low <= one.high
    for name, value in values(ladder, "upper").items():
        assert value.high <= value.low * 1.01, name


@pytest.mark.parametrize("name", ["identity", "abs"])
def test_isometries(name: str) -> None:
    """Orthogonal layers, and a fold between them: every rung is the path's own length, over and under."""
    draw = np.random.default_rng(1)
    a, b = (np.linalg.qr(draw.normal(size=(5, 5)))[0] for _ in range(2))
    graph = chain([a, b], "identity")
    if name == "abs":
        nodes = list(graph.nodes)
        nodes[2] = Node("elementwise", (1,), (5,), "fold", {}, (("name", "abs"),))
        graph = Graph(tuple(nodes))
    ladder = bounds(graph, circle(5))
    assert len(ladder.rungs) == 17 and ladder.reached
    for rung in ladder.rungs:
        assert rung.value.low == pytest.approx(4 * np.pi, rel=1e-8)
        assert rung.value.high == pytest.approx(4 * np.pi, rel=1e-8)
    assert ladder.length.low == pytest.approx(4 * np.pi, rel=1e-3)


def test_a_linear_network_stretches_by_its_singular_values() -> None:
    weight = np.diag([3.0, 2.0, 0.5])
    straight = paths.line(np.array([0.0, 0.0, 0.0]), np.array([0.0, 4.0, 0.0]))
    ladder = bounds(chain([weight], "tanh"), straight)
    upper, lower = values(ladder, "upper"), values(ladder, "lower")
    for name in ("integral on T", "supremum on T", "layers together on T", "layers apart on T"):
        assert upper[name] == pytest.approx((8, 8), rel=1e-9)
        assert lower[name.replace("supremum", "infimum")] == pytest.approx((8, 8), rel=1e-9)
    for name in ("integral", "supremum", "layers together", "layers apart", "slope constants"):
        assert upper[name] == pytest.approx((12, 12), rel=1e-9)
    for name in ("integral", "infimum", "layers together", "layers apart"):
        assert lower[name] == pytest.approx((2, 2), rel=1e-9)


def test_fewer_outputs_than_inputs_certify_nothing_from_below() -> None:
    """W = [1 0] along (0, t): the length is 0, and the smallest library singular value, 1, would be a false bound."""
    weight = np.array([[1.0, 0.0]])
    assert np.linalg.svd(weight, compute_uv=False)[-1] == 1
    for x in (paths.line(np.zeros(2), np.array([0.0, 1.0])), circle(2)):
        ladder = bounds(chain([weight], "tanh"), x, seconds=1.0)
        for name in ("integral", "infimum", "layers together", "layers apart"):
            assert values(ladder, "lower")[name] == (0, 0)
        said = next(rung.condition for rung in ladder.rungs if rung.side == "lower" and rung.name == "layers apart")
        assert "layers.0 maps 2 numbers to 1" in said


def test_only_the_tangents_count_for_one_output() -> None:
    ladder = bounds(chain([np.array([[3.0, 4.0]])], "tanh"), paths.line(np.zeros(2), np.array([1.0, 0.0])))
    assert values(ladder, "lower")["layers apart on T"] == pytest.approx((3, 3), rel=1e-9)
    assert values(ladder, "lower")["infimum on T"] == pytest.approx((3, 3), rel=1e-9)
    assert values(ladder, "upper")["supremum"] == pytest.approx((5, 5), rel=1e-9)


def test_the_factor_two_of_a_square() -> None:
    """x^2 on [0.99, 1.01]: 0.04 long; the bound without the 2 of phi' = 2 u would be 0.0202."""
    ladder = bounds(chain([np.eye(1)], "square", last=True), paths.line(np.array([0.99]), np.array([1.01])))
    upper, lower = values(ladder, "upper"), values(ladder, "lower")
    assert ladder.length == pytest.approx((0.04, 0.04), rel=1e-3)
    for name in ("supremum", "layers together", "layers apart"):
        assert upper[name] == pytest.approx((0.0404, 0.0404), rel=1e-3)
        assert lower[name.replace("supremum", "infimum")] == pytest.approx((0.0396, 0.0396), rel=1e-3)
    assert any("no bound on the whole line" in reason for reason in ladder.left_out)


def test_positive_squares_have_a_lower_product() -> None:
    """Weights and path positive: no pre-activation crosses 0, and in closed form both products are known."""
    draw = np.random.default_rng(2)
    a, b = np.abs(draw.normal(size=(5, 3))), np.abs(draw.normal(size=(6, 5)))
    begin, end = np.array([1.0, 1.0, 1.0]), np.array([2.0, 3.0, 1.5])
    ladder = bounds(chain([a, b], "square"), paths.line(begin, end))
    length = np.linalg.norm(end - begin)
    least = np.linalg.svd(a, compute_uv=False)[-1] * np.linalg.svd(b, compute_uv=False)[-1]
    most = np.linalg.norm(a, 2) * np.linalg.norm(b, 2)
    assert b.shape[0] >= b.shape[1]
    low, high = 2 * (a @ begin).min() * least * length, 2 * (a @ end).max() * most * length
    for name in ("layers together", "layers apart"):  # all slopes grow along the line
        assert values(ladder, "lower")[name] == pytest.approx((low, low), rel=1e-2)
        assert values(ladder, "upper")[name] == pytest.approx((high, high), rel=1e-2)
    assert low > 0


def test_a_slope_that_crosses_zero_or_a_unit_that_is_off_says_so() -> None:
    for name in ("square", "relu"):
        ladder = bounds(random_chain((3, 5, 6), name), line(3))
        rung = next(rung for rung in ladder.rungs if rung.side == "lower" and rung.name == "layers apart")
        assert rung.value.low == 0 and rung.value.high < 1e-9
        assert "slope 0" in rung.condition and rung.value.high == 0


def test_a_spike_between_samples_is_seen() -> None:
    """tanh(1e4 (x - 0.50037)): the largest slope at 1001 places is 24, the true one 1e4."""
    graph = Graph(
        (
            Node("input", (), (1,), "x"),
            Node("dense", (0,), (1,), "in", {"weight": np.array([[1e4]]), "bias": np.array([-5003.7])}),
            Node("activation", (1,), (1,), "tanh", {}, (("name", "tanh"),)),
        )
    )
    ladder = bounds(graph, paths.line(np.zeros(1), np.ones(1)), seconds=1.0)
    assert values(ladder, "upper")["supremum"].high >= 1e4 * (1 - 1e-12)
    assert values(ladder, "upper")["integral"] == pytest.approx((2, 2), rel=2e-2)


def test_slope_constants_are_those_of_the_activation() -> None:
    weights = [np.eye(3), np.eye(3)]
    for name, constant in (("gelu", 1.12890), ("silu", 1.09984), ("sigmoid", 0.25), ("tanh", 1.0)):
        ladder = bounds(chain(weights, name), circle(3))
        assert values(ladder, "upper")["slope constants"].high == pytest.approx(4 * np.pi * constant, rel=1e-4)


def test_what_cannot_be_bounded_is_refused_or_left_out() -> None:
    graph = random_chain((6, 8, 8), "tanh")
    with pytest.raises(ValueError, match="callable"):
        bounds(graph, paths.curve(lambda t: np.full(6, t), 6))
    with pytest.raises(ValueError, match="rel_tol"):
        bounds(graph, circle(6), rel_tol=1.5)
    softmax = Graph((*graph.nodes, Node("softmax", (3,), (8,), "probabilities", {}, (("axis", 0),))))
    with pytest.raises(Unread, match="probabilities"):
        bounds(softmax, circle(6))
    assert any("sum takes other values" in reason for reason in found("residual").left_out)
    assert any("pool" in reason for reason in found("pooled").left_out)
    assert not set(LAYERS) & set(values(found("residual"), "upper"))


def test_every_rung_says_what_it_rests_on() -> None:
    for rung in found("tanh").rungs:
        assert rung.statement.count("{") == rung.statement.count("}")
        assert (r"\le" in rung.statement) == (rung.side == "upper")
        assert rung.evidence.name == "certified" and rung.condition.endswith(".") and rung.proof.endswith(".")


# Mistakes that the tests above would not all see at once: each breaks a bound. --------------------------------------


def broken(case: str) -> bool:
    """Whether sampling contradicts the certified rungs."""
    graph, path = CASES[case]()
    truth = sampled(graph, path, 1000)
    try:
        ladder = bounds(graph, path, max_pieces=200)
    except AssertionError:
        return True
    for rung in ladder.rungs:
        at = truth.get((rung.side, rung.name))
        if at is not None and not rung.value.low * (1 - 1e-2) - 1e-9 <= at <= rung.value.high * (1 + 1e-2) + 1e-9:
            return True
    return False


def test_halved_slopes_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not broken("tanh")
    right = _slopes._smooth

    def halved(*given: object) -> _slopes.Slopes:
        slopes = right(*given)  # pyright: ignore[reportArgumentType]
        return slopes._replace(coefficients=slopes.coefficients / 2)

    monkeypatch.setattr(_slopes, "_smooth", halved)
    assert broken("tanh")


def test_the_path_basis_need_not_be_orthonormal_but_its_error_counts() -> None:
    """A basis that is off by 1e-3 is counted into every rung on T, as an error that the network may stretch."""
    from flyroom.measure.trajectory import _survey
    from flyroom.measure.trajectory._gains import gains
    from flyroom.measure.trajectory._leaves import halved, start

    graph, path = CASES["tanh"]()
    basis = paths.tangents(path)
    assert basis is not None
    pieces = halved(paths.knots(path), 5)
    tilted = basis + 1e-3 * np.random.default_rng(0).normal(size=basis.shape)
    off = []
    for b in (basis, tilted):
        task = _survey.Task(graph, path, 7, b, gains(graph), False)
        off.append(_survey.strayed(task, start(path, pieces, 7, (6,))))
    assert (off[0] < 1e-9).all()
    # What is not in the span of the tilted basis of each tangent, and its distance from an orthonormal one.
    apart = np.linalg.norm(tilted.T @ tilted - np.eye(2))
    assert (off[1] >= apart).all() and (off[1] < 0.1).all()


def test_variants_follow_both_sides_of_a_kink() -> None:
    """relu(x) - 3 (x + 2) from -1 to 3.1: its slope is -3, then -2, and nothing else in the window around the kink."""
    first = Node("dense", (0,), (2,), "in", {"weight": np.ones((2, 1)), "bias": np.array([0.0, 2.0])})
    bend = Node("activation", (1,), (2,), "relu", {}, (("name", "relu"),))
    out = Node("dense", (2,), (1,), "out", {"weight": np.array([[1.0, -3.0]]), "bias": np.zeros(1)})
    graph = Graph((Node("input", (), (1,), "x"), first, bend, out))
    ladder = bounds(graph, paths.line(np.array([-1.0]), np.array([3.1])))
    upper, lower = values(ladder, "upper"), values(ladder, "lower")
    assert upper["supremum"] == pytest.approx((3 * 4.1, 3 * 4.1), rel=1e-9)
    assert lower["infimum"] == pytest.approx((2 * 4.1, 2 * 4.1), rel=1e-9)
    assert upper["integral"] == pytest.approx((3 + 2 * 3.1, 3 + 2 * 3.1), rel=1e-6)


@pytest.mark.slow
def test_the_deep_network_of_the_facts() -> None:
    from flyroom.nets.spec import parse

    net = parse("mlp:64-64-64-64-64-64-64:tanh?seed=0&weight_std=1.5&bias_std=0.3")
    ladder = bounds(net.init(jax.random.key(0)), paths.circle(64, radius=8.0, seed=0))
    upper, lower = values(ladder, "upper"), values(ladder, "lower")
    assert all(value.high <= 1.01 * value.low for value in upper.values())
    assert 4 < upper["supremum"].low / ladder.length.low < 10
    assert 100 < upper["layers together"].low / ladder.length.low < 2000
    assert 0.05 < lower["infimum on T"].low / ladder.length.low < 0.3
    assert 0 < lower["layers apart"].high / ladder.length.low < 1e-20

"""Lengths of images of paths by other means: rationals, Arb, quadrature and chords. Nothing here is of the measure."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import flint
import jax
import numpy as np
from flint import acb, arb, fmpq, fmpq_poly
from scipy import special

from flyroom.nets.graph import Graph, Node

Layers = Sequence[tuple[np.ndarray, np.ndarray]]  # weight, bias
PRECISION = 200  # bits


def network(
    layers: Layers, name: str, *, slope: float | None = None, last: bool = False, prelu: np.ndarray | None = None
) -> Graph:
    """Dense layers with an activation between them, after the last one too if `last`."""
    nodes = [Node("input", (), (layers[0][0].shape[1],), "input")]
    for i, (weight, bias) in enumerate(layers):
        shape = (len(weight),)
        nodes.append(Node("dense", (len(nodes) - 1,), shape, f"layers.{i}", {"weight": weight, "bias": bias}))
        if i < len(layers) - 1 or last:
            before = (len(nodes) - 1,)
            if name == "prelu":
                nodes.append(Node("prelu", before, shape, f"prelu_{i}", {"slope": prelu}))
            else:
                details = (("name", name), *((("slope", slope),) if slope is not None else ()))
                nodes.append(Node("activation", before, shape, f"{name}_{i}", {}, details))
    return Graph(tuple(nodes))


def random_layers(
    widths: Sequence[int], seed: int, *, gain: float = 1.5, bias: float = 0.3, dtype: type = np.float64
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Gaussian weights of standard deviation gain / sqrt(fan-in)."""
    draw = np.random.default_rng(seed)
    return [
        (
            (draw.standard_normal((after, before)) * gain / np.sqrt(before)).astype(dtype),
            (draw.standard_normal(after) * bias).astype(dtype),
        )
        for before, after in pairwise(widths)
    ]


# In float64. ---------------------------------------------------------------------------------------------------------


def _wide(graph: Graph) -> Graph:
    def widened(leaf):
        array = np.asarray(leaf)
        return array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array

    return jax.tree.map(widened, graph)


NUMPY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "identity": lambda x: x,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "softplus": lambda x: np.logaddexp(0, x),
    "silu": lambda x: x * special.expit(x),
    "swish": lambda x: x * special.expit(x),
    "gelu": lambda x: x * special.ndtr(x),
    "erf": special.erf,
    "sin": np.sin,
    "square": lambda x: x * x,
}


def values(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    """Every step's values for a batch, in float64, flattened: by NumPy where a network is dense, else by JAX."""
    if {node.op for node in graph.nodes} <= {"input", "dense", "activation", "prelu"}:
        found = [x]
        for node in graph.nodes[1:]:
            (z,) = (found[i] for i in node.inputs)
            given = node.attributes
            if node.op == "dense":
                found.append(z @ np.asarray(node.weights["weight"], float).T + np.asarray(node.weights["bias"], float))
            elif node.op == "prelu" or given["name"] == "leaky_relu":
                slope = node.weights["slope"] if node.op == "prelu" else given.get("slope", 0.01)
                found.append(np.where(z > 0, z, slope * z))
            else:
                found.append(NUMPY[given["name"]](z))
        return found
    with jax.enable_x64(True):
        wide = _wide(graph)
        found = jax.jit(lambda x: wide.values(x))(x.reshape(-1, *graph.nodes[0].shape))
        return [np.asarray(one).reshape(len(x), -1) for one in found]


def _summed(values: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(values, axis=0), axis=1).sum())


def chords(graph: Graph, curve: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
    """For every step the sum of the chords between count + 1 points: at most the length, but for rounding."""
    return np.array([_summed(y) for y in values(graph, curve(np.linspace(0, 1, count + 1)))])


def refined_chords(
    graph: Graph, curve: Callable[[np.ndarray], np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Chord sums of 2 count chords, and extrapolated by Richardson, of the second order where nothing has a kink."""
    found = values(graph, curve(np.linspace(0, 1, 2 * count + 1)))
    fine, coarse = (np.array([_summed(y[::step]) for y in found]) for step in (1, 2))
    return fine, fine + (fine - coarse) / 3


def quadrature(graph: Graph, curve: Callable, panels: int = 64, nodes: int = 16) -> float:
    """The integral of the speed of the last step by Gauss and Legendre; `curve` maps JAX numbers t to examples."""
    at, weight = np.polynomial.legendre.leggauss(nodes)
    edges = np.linspace(0, 1, panels + 1)
    half = np.diff(edges)[:, None] / 2
    t = (edges[:-1, None] + half * (1 + at)).ravel()
    with jax.enable_x64(True):
        wide = _wide(graph)

        def image(t):
            return wide(jax.vmap(curve)(t).reshape(-1, *graph.nodes[0].shape))

        _, velocity = jax.jvp(image, (t,), (np.ones_like(t),))
    speed = np.linalg.norm(np.asarray(velocity).reshape(len(t), -1), axis=1)
    return float((half * weight * speed.reshape(panels, nodes)).sum())


# Exactly. ------------------------------------------------------------------------------------------------------------


def rational(x: float) -> fmpq:
    """A float as it is."""
    whole = Fraction(float(x))
    return fmpq(whole.numerator, whole.denominator)


def norm(v: Sequence[fmpq]) -> arb:
    """The Euclidean norm of rationals."""
    flint.ctx.prec = PRECISION
    return arb(sum((x * x for x in v), fmpq(0))).sqrt()


def relu_line(layers: Layers, start: np.ndarray, end: np.ndarray, *, last: bool = False) -> tuple[arb, int]:
    """The length of a ReLU network's image of a line, and how many corners there are, by rationals.

    Layer by layer: values are straight between the corners found so far, so that each change of sign is one more.
    """
    at = [fmpq(0), fmpq(1)]
    points = [[rational(x) for x in side] for side in (start, end)]
    for i, (weight, bias) in enumerate(layers):
        rows, offset = [[rational(w) for w in row] for row in weight], [rational(b) for b in bias]
        points = [
            [sum((w * x for w, x in zip(row, z, strict=True)), b) for row, b in zip(rows, offset, strict=True)]
            for z in points
        ]
        if i == len(layers) - 1 and not last:
            break
        new_at, new_points = [at[0]], [points[0]]
        for (t0, y0), (t1, y1) in pairwise(zip(at, points, strict=True)):
            shares = {a / (a - b) for a, b in zip(y0, y1, strict=True) if (a < 0 < b) or (b < 0 < a)}
            for share in sorted(shares):
                new_at.append(t0 + share * (t1 - t0))
                new_points.append([a + share * (b - a) for a, b in zip(y0, y1, strict=True)])
            new_at.append(t1)
            new_points.append(y1)
        at, points = new_at, [[max(y, fmpq(0)) for y in z] for z in new_points]
    total = sum((norm([b - a for a, b in zip(p, q, strict=True)]) for p, q in pairwise(points)), arb(0))
    return total, len(at) - 2


def polynomials(layers: Layers, start: np.ndarray, end: np.ndarray) -> list[fmpq_poly]:
    """The outputs of a network that squares between its layers, along a line, as polynomials in t."""
    found = [fmpq_poly([rational(a), rational(b) - rational(a)]) for a, b in zip(start, end, strict=True)]
    for i, (weight, bias) in enumerate(layers):
        found = [
            sum((p * rational(w) for w, p in zip(row, found, strict=True)), fmpq_poly([rational(b)]))
            for row, b in zip(weight, bias, strict=True)
        ]
        if i < len(layers) - 1:
            found = [p * p for p in found]
    return found


def polynomial_length(curve: Sequence[fmpq_poly], panels: int = 32) -> arb:
    """The length of a polynomial curve on [0, 1] by Arb's integral, which is an enclosure."""
    flint.ctx.prec = PRECISION
    square = sum((p.derivative() * p.derivative() for p in curve), fmpq_poly([0]))
    total = arb(0)
    for k in range(panels):  # around the middle of each panel, so that balls stay small
        inner = square(fmpq_poly([fmpq(2 * k + 1, 2 * panels), fmpq(1, 2 * panels)]))
        coefficients = [acb(arb(c)) for c in inner.coeffs()]

        def speed(z: acb, analytic: bool, coefficients: list = coefficients) -> acb:
            found = acb(0)
            for c in reversed(coefficients):
                found = found * z + c
            return found.sqrt(analytic=analytic)

        total += acb.integral(speed, -1, 1, rel_tol=2.0**-60, abs_tol=2.0**-60).real / (2 * panels)
    return total


def complex_length(layers: Layers, name: str, start: np.ndarray, end: np.ndarray) -> arb:
    """The length of a tanh or sigmoid network's image of a line by Arb's integral of its complex continuation."""
    flint.ctx.prec = 80
    weights = [([[acb(float(w)) for w in row] for row in W], [acb(float(b)) for b in bias]) for W, bias in layers]
    begin = [acb(arb(rational(x))) for x in start]
    step = [acb(arb(rational(b) - rational(a))) for a, b in zip(start, end, strict=True)]

    def speed(z: acb, analytic: bool) -> acb:
        value, rate = [a + z * d for a, d in zip(begin, step, strict=True)], step
        for i, (rows, bias) in enumerate(weights):
            value = [
                sum((w * x for w, x in zip(row, value, strict=True)), b) for row, b in zip(rows, bias, strict=True)
            ]
            rate = [sum((w * x for w, x in zip(row, rate, strict=True)), acb(0)) for row in rows]
            if i < len(weights) - 1:
                value = [u.tanh() if name == "tanh" else 1 / (1 + (-u).exp()) for u in value]
                slope = [1 - y * y if name == "tanh" else y * (1 - y) for y in value]
                rate = [s * r for s, r in zip(slope, rate, strict=True)]
        return sum((r * r for r in rate), acb(0)).sqrt(analytic=analytic)

    return acb.integral(speed, 0, 1, rel_tol=1e-10, abs_tol=1e-10, eval_limit=10**6).real

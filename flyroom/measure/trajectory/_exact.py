"""Piecewise linear networks on straight paths in exact rationals: where float64 cannot be as sharp as asked.

The breakpoints are rational numbers, found layer by layer; the lengths between them are square roots of rationals,
which Arb encloses to any precision. The numbers grow with depth (some 40 bits a layer): this is for when it is needed.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from flyroom.measure import paths
from flyroom.measure.enclosure.kinks import pieces_of
from flyroom.nets.graph import Graph, Node

EXACT = ("input", "dense", "activation", "prelu", "add", "subtract")
BITS = 128  # of the square roots


class ExactLength(NamedTuple):
    """The length of one step's image, and what was found on the way to it."""

    low: float
    high: float
    pieces: int
    crossings: int


def supported(graph: Graph) -> bool:
    """Whether this can be done: vectors, dense layers, sums, activations made of straight parts; and python-flint."""
    if any(len(node.shape) != 1 for node in graph.nodes):
        return False
    try:
        import flint  # noqa: F401
    except ImportError:
        return False
    names = [node.attributes["name"] for node in graph.nodes if node.op == "activation"]
    return all(node.op in EXACT for node in graph.nodes) and all(name != "elu" for name in names)


def lengths(graph: Graph, path: paths.Polyline, steps: Sequence[int]) -> list[ExactLength]:
    """The length of each of these steps' images, to 128 bits and rounded outward to float64."""
    import flint

    totals = {step: [flint.arb(0), 0, 0] for step in steps}
    with flint.ctx.workprec(BITS):
        for start, end in pairwise(path.points):
            for step, (length, pieces, crossings) in _along(graph, start.ravel(), end.ravel(), steps).items():
                totals[step][0] += length
                totals[step][1] += pieces
                totals[step][2] += crossings
        found = []
        for length, pieces, crossings in totals.values():
            low, high = float(length.lower()), float(length.upper())
            found.append(ExactLength(max(0.0, np.nextafter(low, 0)), np.nextafter(high, np.inf), pieces, crossings))
    return found


Columns = list[list[Any]]  # one list of rationals for each point


def _along(graph: Graph, start: np.ndarray, end: np.ndarray, steps: Sequence[int]) -> dict[int, tuple[Any, int, int]]:
    values: dict[int, Columns] = {0: [[_rational(x) for x in point] for point in (start, end)]}
    found, crossings = {}, 0
    for i, node in enumerate(graph.nodes):
        if i:
            inputs = [values[j] for j in node.inputs]
            if node.op in ("activation", "prelu"):
                about = pieces_of(node)
                places = _crossings(inputs[0], [_rational(kink) for kink in about.kinks])
                crossings += sum(count for count, _ in places)
                values = {j: _inserted(columns, [cuts for _, cuts in places]) for j, columns in values.items()}
                values[i] = [_activated(column, about, node) for column in values[node.inputs[0]]]
            else:
                values[i] = _affine(node, inputs)
        if i in steps:
            found[i] = (_length(values[i]), len(values[i]) - 1, crossings)
    return found


def _rational(x: float) -> Any:
    import flint

    return flint.fmpq(*float(x).as_integer_ratio())


def _affine(node: Node, inputs: list[Columns]) -> Columns:
    import flint

    if node.op in ("add", "subtract"):
        sign = 1 if node.op == "add" else -1
        return [[a + sign * b for a, b in zip(*pair, strict=True)] for pair in zip(*inputs, strict=True)]
    weight = np.asarray(node.weights["weight"], np.float64)
    bias = np.asarray(node.weights.get("bias", np.zeros(len(weight))), np.float64)
    rows, inner = weight.shape
    matrix = flint.fmpq_mat(rows, inner, [_rational(w) for w in weight.ravel()])
    (columns,), count = inputs, len(inputs[0])
    stacked = flint.fmpq_mat(inner, count, [column[k] for k in range(inner) for column in columns])
    found, offsets = (matrix * stacked).tolist(), [_rational(b) for b in bias]
    return [[found[k][j] + offsets[k] for k in range(len(offsets))] for j in range(count)]


def _crossings(columns: Columns, kinks: list[Any]) -> list[tuple[int, list[Any]]]:
    """Between each two points, how many crossings of kinks and at which parts of the way, in order."""
    found = []
    for before, after in pairwise(columns):
        cuts = [
            (kink - a) / (b - a)
            for kink in kinks
            for a, b in zip(before, after, strict=True)
            if (a < kink < b) or (b < kink < a)
        ]
        found.append((len(cuts), sorted(set(cuts))))
    return found


def _inserted(columns: Columns, cuts: list[list[Any]]) -> Columns:
    """The values at the new points as well, each on the straight line between its neighbours."""
    found = [columns[0]]
    for before, after, places in zip(columns[:-1], columns[1:], cuts, strict=True):
        step = [b - a for a, b in zip(before, after, strict=True)] if places else []
        found += [[a + place * d for a, d in zip(before, step, strict=True)] for place in places]
        found.append(after)
    return found


def _activated(column: list[Any], about: Any, node: Node) -> list[Any]:
    kinks = [_rational(kink) for kink in about.kinks]
    slopes = [np.broadcast_to(np.asarray(slope, float), (*node.shape, 1))[:, 0] for slope in about.slopes]
    found = []
    for k, u in enumerate(column):
        part = sum(u > kink for kink in kinks)
        found.append(_rational(slopes[part][k]) * u + _rational(about.offsets[part]))
    return found


def _length(columns: Columns) -> Any:
    import flint

    total = flint.arb(0)
    for before, after in pairwise(columns):
        squares = sum(((b - a) * (b - a) for a, b in zip(before, after, strict=True)), flint.fmpq(0))
        total += flint.arb(squares).sqrt()
    return total

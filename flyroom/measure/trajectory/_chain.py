"""A network as a chain of affine maps and activations, and what products of their factors bound."""

from math import prod
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from flyroom.measure.enclosure import functions, kinks
from flyroom.measure.enclosure.affine import MAPS
from flyroom.measure.enclosure.rounding import UP, gamma
from flyroom.measure.enclosure.spectral import frobenius, injectivity, norm
from flyroom.measure.trajectory._gains import LARGEST, Matrix, bounds_of, matrix
from flyroom.measure.trajectory._records import Interval
from flyroom.measure.trajectory._slopes import BENDS
from flyroom.nets.derivatives import known
from flyroom.nets.graph import Graph, Node


class Block(NamedTuple):
    """Neighbouring affine steps as one map, and the step that bends its values (None for the last)."""

    places: tuple[str, ...]
    shape: tuple[int, int]  # rows and columns
    norm: Interval
    injectivity: Interval
    bend: int | None
    limit: float  # above |phi'| everywhere on the line; infinite where it is not bounded


class Chain(NamedTuple):
    """The blocks in order, and what the first does to the tangents of the path (the same where all directions are)."""

    blocks: tuple[Block, ...]
    norm_on_tangents: Interval
    injectivity_on_tangents: Interval


def chain(graph: Graph, basis: Float64[np.ndarray, "unit direction"] | None, off: float) -> Chain | str:
    """The network as a chain, or a sentence that says why it is none. `basis` is known up to `off`."""
    runs: list[tuple[list[Node], int | None]] = [([], None)]
    for i, node in enumerate(graph.nodes[1:], 1):
        if node.inputs != (i - 1,):
            return f"{node.place} takes other values than those of the step before it: the Jacobian is no product"
        if node.op in BENDS:
            runs[-1] = (runs[-1][0], i)
            runs.append(([], None))
        elif node.op in MAPS:
            runs[-1][0].append(node)
        else:
            return f"{node.place} ({node.op}) is neither affine nor an activation"
    blocks, shape, first = [], graph.nodes[0].shape, None
    for nodes, bend in runs:
        after = nodes[-1].shape if nodes else shape
        entries = np.prod(shape) * np.prod(after)
        if entries > LARGEST:
            return f"{nodes[0].place if nodes else 'the input'}: as a matrix this has {entries:.0f} entries, too many"
        if nodes or first is None:
            found = matrix(nodes, shape)
            first = first or found
            blocks.append(_block(found, nodes, bend, graph))
        else:
            one = Interval(1.0, 1.0)
            blocks.append(Block((), (prod(shape), prod(shape)), one, one, bend, _limit(bend, graph)))
        shape = after
    if first is None or basis is None:
        return Chain(tuple(blocks), blocks[0].norm, blocks[0].injectivity)
    return Chain(tuple(blocks), *_on(first, basis, off, blocks[0].norm.high))


def _block(found: Matrix, nodes: list[Node], bend: int | None, graph: Graph) -> Block:
    places = tuple(node.place for node in nodes)
    both = (Interval(*bounds_of(found, norm)), Interval(*bounds_of(found, injectivity)))
    return Block(places, found.entries.shape, *both, bend, _limit(bend, graph))


def _on(first: Matrix, basis: np.ndarray, off: float, size: float) -> tuple[Interval, Interval]:
    entries = first.entries @ basis
    lost = gamma(len(basis) + 2) * float(frobenius(np.abs(first.entries)) * frobenius(basis))
    moved = Matrix(entries, (lost + first.off * float(frobenius(basis)) + size * off) * UP)
    return Interval(*bounds_of(moved, norm)), Interval(*bounds_of(moved, injectivity))


def _limit(bend: int | None, graph: Graph) -> float:
    """The largest slope anywhere."""
    if bend is None:
        return 1.0
    node = graph.nodes[bend]
    if node.op == "prelu":
        return max(1.0, float(np.abs(node.weights["slope"]).max()))
    name = node.attributes["name"]
    if name == "abs":
        return 1.0
    if name in kinks.PIECEWISE:
        return known(name, node.attributes.get("slope")).lipschitz
    low, high = functions.slopes(name, -np.inf, np.inf)
    return max(-float(low), float(high))

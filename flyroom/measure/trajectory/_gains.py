"""How much each affine step of a network can stretch a vector: bounds of norms, from its matrix."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from flyroom.measure.enclosure import affine
from flyroom.measure.enclosure.affine import MAPS
from flyroom.measure.enclosure.rounding import UP, gamma, up
from flyroom.measure.enclosure.spectral import at_most, frobenius, norm
from flyroom.measure.trajectory._slopes import BENDS
from flyroom.nets.graph import Graph, Node
from flyroom.nets.reader import Unread

LARGEST = 2**24  # entries of a step's matrix
_KEPT = ("reshape", "transpose", "slice", "shift")  # each number goes to one place at most
_SCALED = ("scale", "batch_norm")
FOLLOWED = (*MAPS, *BENDS, "add", "subtract", "concatenate", "max_pool", "constant")


class Gain(NamedTuple):
    """Above the spectral norm of a step's linear part, and above that of its absolute values."""

    norm: float
    absolute: float


class Matrix(NamedTuple):
    """The matrix of an affine map, and above the Frobenius norm of what rounding has done to it."""

    entries: Float64[np.ndarray, "output input"]
    off: float


def check_followed(graph: Graph) -> None:
    """Raise Unread, by name and place, where a step's Jacobian is not followed here."""
    for node in graph.nodes[1:]:
        if node.op not in FOLLOWED:
            raise Unread(
                f"{node.place}: the Jacobian of the operation {node.op!r} is not followed; it is for affine steps, "
                "activations, sums, concatenations and max pooling"
            )
        if node.op in MAPS and node.op not in (*_KEPT, *_SCALED):
            entries = np.prod(node.shape) * np.prod(graph.nodes[node.inputs[0]].shape)
            if entries > LARGEST:
                raise Unread(
                    f"{node.place}: as a matrix this step has {entries:.0f} entries, and its norm is only computed for "
                    f"up to {LARGEST}; give a smaller network or ask for its length alone"
                )


def gains(graph: Graph) -> dict[int, Gain]:
    """For every affine step."""
    return {
        i: _gain(node, graph.nodes[node.inputs[0]].shape) for i, node in enumerate(graph.nodes) if i and node.op in MAPS
    }


def _gain(node: Node, shape: tuple[int, ...]) -> Gain:
    if node.op in _KEPT:
        return Gain(1.0, 1.0)
    if node.op in _SCALED:
        largest = float(affine.magnitude(node, np.ones((*shape, 1))).max()) * UP
        return Gain(largest, largest)
    found = matrix([node], shape)
    size = np.abs(found.entries)
    absolute = min(float(at_most(size)), float(np.sqrt(up(size.sum(0)).max() * up(size.sum(1)).max()) * UP))
    exact = found.entries if found.entries.any() else np.zeros((1, 1))
    return Gain(float(up(norm(exact)[1] + found.off)), float(up(np.asarray(absolute + found.off))))


def matrix(nodes: Sequence[Node], shape: tuple[int, ...]) -> Matrix:
    """Of affine steps one after the other, each mapping what the one before it makes; the identity for none."""
    count = int(np.prod(shape))
    entries, size = (np.eye(count).reshape(*shape, count) for _ in range(2))
    lost = 0
    for node in nodes:
        lost += _roundings(node, entries.shape[:-1])
        entries, size = affine.mapped(node, entries), affine.magnitude(node, size)
    off = gamma(lost) * float(frobenius(size.reshape(-1, count))) if lost else 0.0
    return Matrix(np.asarray(entries, np.float64).reshape(-1, count), off)


def _roundings(node: Node, shape: tuple[int, ...]) -> int:
    return affine.operations(node, shape)


Spectrum = Callable[[Float64[np.ndarray, "row column"]], tuple[np.ndarray, np.ndarray]]


def bounds_of(found: Matrix, spectrum: Spectrum) -> tuple[float, float]:
    """A norm or an injectivity of the matrix in real arithmetic: Weyl for what rounding did."""
    low, high = spectrum(found.entries)
    wide = spectrum.__name__ == "injectivity" and found.entries.shape[0] < found.entries.shape[1]
    off = 0.0 if wide else found.off  # a wide matrix sends some vector to 0, however it is rounded
    return max(float(low) - off * UP, 0.0), float(high) + off * UP

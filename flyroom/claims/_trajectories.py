"""Random networks, circles through them, and what is measured along: shared by claims on the length of a path."""

from collections.abc import Sequence
from math import sqrt

import jax
import numpy as np
from jaxtyping import Float64

from flyroom import stats
from flyroom.measure import paths, trajectory
from flyroom.measure.trajectory import Interval
from flyroom.nets.graph import Graph
from flyroom.nets.mlp import MLP
from flyroom.nets.reader import read
from flyroom.nets.spec import parse
from flyroom.records import Measurement

SECONDS = 60.0  # of processor time for the lengths of one network; beyond, an interval is wider, and says so


def network(activation: str, width: int, depth: int, weight_std: float, bias_std: float, seed: int) -> MLP:
    """An MLP of `depth` hidden layers of equal width, as wide an input and one output, which nobody looks at.

    Weights are normal with variance weight_std^2 / fan-in, biases with variance bias_std^2. Networks of one seed and
    shape differ by these two factors only.
    """
    widths = "-".join([str(width)] * (depth + 1))
    text = f"mlp:{widths}-1:{activation}?weight_std={weight_std!r}&bias_std={bias_std!r}"
    return parse(text).init(jax.random.key(seed))


def circle(width: int, seed: int) -> paths.Arc:
    """A whole circle about the origin of radius sqrt(width), so that a coordinate's mean square is 1."""
    return paths.circle(width, radius=sqrt(width), seed=seed)


def hidden(net: MLP, width: int) -> tuple[Graph, list[str]]:
    """The network as a graph, and the names of its activations in order."""
    graph = read(net, (width,))
    return graph, [node.place for node in graph.nodes if node.op == "activation"]


def lengths(net: MLP, path: paths.Arc, width: int, rel_tol: float) -> list[Interval]:
    """Certified lengths of the path's image after each activation."""
    graph, names = hidden(net, width)
    found = trajectory.length(graph, path, rel_tol=rel_tol, layers=names, seconds=SECONDS)
    return [layer.length for layer in found.layers]


def growth(early: Sequence[float], late: Sequence[float], layers: int) -> Measurement:
    """The factor a layer between two mean lengths, `layers` layers apart: (mean late / mean early)^(1 / layers).

    Of means, not a mean of ratios: that is what an expected length is about.
    """
    found = stats.ratio(late, early)
    interval = found.interval
    if interval is not None:  # Student's, of few values, may reach below 0
        interval = (max(interval[0], 0.0) ** (1 / layers), max(interval[1], 0.0) ** (1 / layers))
    return Measurement(found.value ** (1 / layers), interval, found.evidence, found.n)


def slope(x: Float64[np.ndarray, " point"], y: Float64[np.ndarray, " point"]) -> float:
    """The slope of y against x by least squares."""
    place = x - x.mean()
    return float(place @ y / (place @ place))

"""What else a path tells: speed, curvature, singular values, patterns and the nearest boundary, at points of it.

All in float64 at chosen points, so estimates; what is proved about a whole path stands in `length` and `bounds`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float64

from flyroom.measure import paths
from flyroom.measure.trajectory._network import opened, widened
from flyroom.measure.trajectory._records import Interval, Trajectory
from flyroom.measure.trajectory._steps import chosen
from flyroom.nets.derivatives import KNOWN
from flyroom.nets.graph import Graph
from flyroom.records import Evidence

LARGEST = 5e7  # numbers of Jacobians that are held at once
STEP = 1e-3  # of [0, 1]: half the piece that a path's own derivatives are taken from


@dataclass(frozen=True)
class Along:
    """A network at points of a path. `layers` name the rows of `speed` and `curvature`.

    `speed` is |d f / dt|, `curvature` that of the image, 1/length (infinite where it stands still), `singular_values`
    those of the output's Jacobian by the input, largest first. `patterns` says which side of its kink each unit is on,
    `distance` how far in input space the nearest such boundary lies, as the linear piece at that point sees it: exact
    until another boundary lies nearer. Both are None for networks without kinks.
    """

    t: Float64[np.ndarray, " point"]
    layers: tuple[str, ...]
    speed: Float64[np.ndarray, "layer point"]
    curvature: Float64[np.ndarray, "layer point"]
    singular_values: Float64[np.ndarray, "point value"]
    patterns: Bool[np.ndarray, "point unit"] | None
    distance: Float64[np.ndarray, " point"] | None
    evidence: Evidence = Evidence.estimate


def along(net: Any, path: paths.Path, *, points: int = 65, layers: str | Sequence[str] = "all") -> Along:
    """The network at equally spaced points of a path.

    Raises what `length` raises of networks and layers, and ValueError for fewer than two points and Jacobians that
    would not fit into memory.

    >>> from flyroom.nets.spec import parse
    >>> net = parse("mlp:8-16-16-3:relu").init(jax.random.key(0))
    >>> found = along(net, paths.circle(8, radius=2.0, seed=0), points=9)
    >>> found.speed.shape, found.patterns.shape, found.singular_values.shape
    ((5, 9), (9, 32), (9, 3))
    """
    if points < 2:
        raise ValueError(f"points {points}: a path is looked at in two points or more")
    graph = opened(net, path.shape)
    steps = chosen(graph, layers)
    kinked = [node.inputs[0] for node in graph.nodes if _kinked(node)]
    units = sum(prod(graph.nodes[i].shape) for i in kinked)
    if points * max(units, prod(graph.nodes[-1].shape)) * prod(path.shape) > LARGEST:
        raise ValueError(
            f"the Jacobians of {points} points, {units} units by {prod(path.shape)} inputs, do not fit into memory; "
            "ask for fewer points"
        )
    t = np.linspace(0, 1, points)
    x, v, a = (each.reshape(points, *path.shape) for each in _jet(path, t))
    with jax.enable_x64(True):
        wide = widened(graph)
        first, second = _moved(wide, steps, x, v, a)
        values = np.linalg.svd(_jacobian(wide, [len(graph.nodes) - 1], x)[0], compute_uv=False)
        patterns = distance = None
        if kinked:
            slopes, at = _jacobian(wide, kinked, x)
            patterns = at > 0
            steep = np.linalg.norm(slopes, axis=2)
            away = np.divide(np.abs(at), steep, out=np.full_like(at, np.inf), where=steep > 0)
            distance = away.min(1)
    speed = np.stack([np.linalg.norm(one, axis=1) for one in first])
    names = tuple(graph.nodes[i].place for i in steps)
    return Along(t, names, speed, _curvature(first, second), values, patterns, distance)


def growth(found: Trajectory) -> tuple[Interval, ...]:
    """By how much each layer's image is longer than the one before it, the input's for the first; as certain as both.

    Below 1 the layer shortens the path.
    """
    before = [found.input_length, *(layer.length for layer in found.layers[:-1])]
    return tuple(
        Interval(layer.length.low / old.high if old.high else 0.0, layer.length.high / old.low if old.low else np.inf)
        for layer, old in zip(found.layers, before, strict=True)
    )


def _kinked(node: Any) -> bool:
    """An activation with one kink at 0, whose sign is a pattern."""
    name = node.attributes.get("name", "")
    return node.op == "prelu" or (node.op == "activation" and name in KNOWN and KNOWN[name].kinks == (0.0,))


def _jet(path: paths.Path, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position, velocity and acceleration; at a joint, those of the part to its right."""
    if isinstance(path, paths.Curve):
        x, v = paths.points(path, t), paths.velocities(path, t)
        low, high = np.clip(t - STEP, 0, 1), np.clip(t + STEP, 0, 1)
        change = paths.velocities(path, high) - paths.velocities(path, low)
        return x, v, change / (high - low)[:, None]
    knots = paths.knots(path)
    piece = np.clip(np.searchsorted(knots, t, side="right") - 1, 0, len(knots) - 2)
    low = np.maximum(knots[piece], np.minimum(t - STEP, knots[piece + 1] - 2 * STEP))
    high = np.minimum(knots[piece + 1], low + 2 * STEP)
    c = paths.taylor(path, low, high, 5).coefficients  # (power, unit, point)
    half, tau = (high - low) / 2, (2 * t - low - high) / (high - low)
    derivatives = []
    for order in range(3):
        value = np.zeros_like(c[0])
        for k in range(len(c) - 1, order - 1, -1):
            value = value * tau + c[k] * prod(range(k - order + 1, k + 1))
        derivatives.append((value / half**order).T)
    return derivatives[0], derivatives[1], derivatives[2]


def _moved(graph: Graph, steps: Sequence[int], x: Any, v: Any, a: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """First and second derivatives by t of the steps' values, flattened."""
    axes = (-1, *(1,) * (x.ndim - 1))

    def image(s: Any) -> list[Any]:
        s = s.reshape(axes)
        values = graph.values(x + s * v + s * s / 2 * a)
        return [values[i].reshape(len(x), -1) for i in steps]

    ones = jnp.ones(len(x))
    velocity = lambda s: jax.jvp(image, (s,), (ones,))[1]  # noqa: E731
    first, second = jax.jvp(velocity, (jnp.zeros(len(x)),), (ones,))
    return [np.asarray(one) for one in first], [np.asarray(one) for one in second]


def _curvature(first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray:
    rows = []
    for v, a in zip(first, second, strict=True):
        squared = (v * v).sum(1)
        across = a - v * np.divide((a * v).sum(1), squared, out=np.zeros_like(squared), where=squared > 0)[:, None]
        size = np.linalg.norm(across, axis=1)
        rows.append(np.divide(size, squared, out=np.full_like(size, np.inf), where=squared > 0))
    return np.stack(rows)


def _jacobian(graph: Graph, steps: Sequence[int], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By the flattened input at each point: (point, unit, input), and the values themselves (point, unit)."""

    def image(flat: Any) -> Any:
        values = graph.values(flat.reshape(1, *x.shape[1:]))
        return jnp.concatenate([values[i].ravel() for i in steps])

    flat = x.reshape(len(x), -1)
    wide = jax.jacfwd if sum(prod(graph.nodes[i].shape) for i in steps) > flat.shape[1] else jax.jacrev
    return np.asarray(jax.vmap(wide(image))(flat)), np.asarray(jax.vmap(image)(flat))

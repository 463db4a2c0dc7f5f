"""What the pictures of a path's images show: rows, from values on a grid of t. Previews in float64, not proofs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Bool, Float64

from flyroom.measure import paths
from flyroom.measure.trajectory import Trajectory
from flyroom.nets.derivatives import KNOWN
from flyroom.nets.graph import Graph, Node

STEPS = 128  # of t in a picture; a power of two, so that each t is exact in text as well
FINER = 8  # times as many where signs are looked at
PANELS = 12  # steps of a network in one picture
UNITS = 96  # rows of a pattern
LARGEST = 5e7  # numbers at all steps and all t together; more are not drawn


class Grid(NamedTuple):
    """What the input and each shown step make of the path, and how fast they move, at each t."""

    t: Float64[np.ndarray, " sample"]
    names: tuple[str, ...]
    values: list[Float64[np.ndarray, "sample unit"]]
    speeds: Float64[np.ndarray, "step sample"]
    on: dict[str, Bool[np.ndarray, "sample unit"]]  # by activation: above its kink; piecewise linear networks only


def shown(names: Sequence[str]) -> list[str]:
    """At most PANELS of them, evenly spaced, with the first and the last."""
    if len(names) <= PANELS:
        return list(names)
    return [names[round(i * (len(names) - 1) / (PANELS - 1))] for i in range(PANELS)]


def grid(graph: Graph, path: paths.Path, found: Trajectory) -> Grid | None:
    """Values, speeds and signs; None for a network whose values at all t are too many to be held."""
    places = {node.place: i for i, node in enumerate(graph.nodes)}
    names = shown(["input", *(layer.name for layer in found.layers)])
    size = sum(int(np.prod(node.shape)) for node in graph.nodes)
    if size * (STEPS + 1) > LARGEST:
        return None
    linear = found.rule == "piecewise linear"
    count = STEPS * (FINER if linear and size * (STEPS * FINER + 1) <= LARGEST else 1)
    t = np.linspace(0.0, 1.0, count + 1)
    values, rates = _evaluated(graph, path, t)
    every = count // STEPS
    kept = [values[places[name]][::every] for name in names]
    speeds = np.stack([np.linalg.norm(rates[places[name]][::every], axis=1) for name in names])
    on = {}
    for node in graph.nodes:
        if linear and (node.op == "prelu" or _kinks(node) == (0.0,)):
            on[node.place] = values[node.inputs[0]] > 0
    return Grid(t[::every], tuple(names), kept, speeds, on)


def _kinks(node: Node) -> tuple[float, ...]:
    name = node.attributes.get("name", "")
    return KNOWN[name].kinks if node.op == "activation" and name in KNOWN else ()


def _evaluated(graph: Graph, path: paths.Path, t: Float64[np.ndarray, " sample"]) -> tuple[list[Any], list[Any]]:
    """In float64: of every step the values and their derivatives by t, (sample, unit)."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) if eqx.is_inexact_array(leaf) else leaf, graph)
        x, v = (at(path, t).reshape(-1, *path.shape) for at in (paths.points, paths.velocities))
        both = jax.jvp(wide.values, (x,), (v,))
        values, rates = ([np.asarray(one).reshape(len(t), -1) for one in part] for part in both)
    return values, rates


def images(found: Grid, lengths: dict[str, str]) -> list[dict[str, Any]]:
    """The image after each step in the plane of its two principal directions, scaled to fit into a unit circle.

    The panel's name says how much of the variance the plane holds, and what one unit of the picture is.
    """
    rows = []
    for name, value in zip(found.names, found.values, strict=True):
        flat, share = plane(value)
        radius = float(np.linalg.norm(flat, axis=1).max())
        flat = flat / radius if radius > 0 else flat
        said = f"{name}\nlength {lengths[name]}\n{share:.1%} of the variance, radius {radius:.3g}"
        rows += [
            {"step": said, "t": float(t), "x": round(float(x), 4), "y": round(float(y), 4)}
            for t, (x, y) in zip(found.t, flat, strict=True)
        ]
    return rows


def plane(points: Float64[np.ndarray, "sample unit"]) -> tuple[Float64[np.ndarray, "sample 2"], float]:
    """Coordinates along the two principal directions about the mean, and their share of the variance (1 for none)."""
    centred = points - points.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    flat = np.zeros((len(points), 2))
    flat[:, : len(s[:2])] = u[:, :2] * s[:2]
    total = float((s**2).sum())
    return flat, float((s[:2] ** 2).sum()) / total if total > 0 else 1.0


def speeds(found: Grid) -> list[dict[str, Any]]:
    """The speed of each shown step's image at each t, per unit of t."""
    return [
        {"step": name, "t": float(t), "speed": float(f"{speed:.5g}")}
        for name, row in zip(found.names, found.speeds, strict=True)
        for t, speed in zip(found.t, row, strict=True)
    ]


def patterns(found: Grid) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Where the units that change are on, as stretches of t; and how many changes there were up to each t.

    Of each activation the units come in the order of their first change, UNITS of them at most.
    """
    rows, passed = [], np.zeros(len(found.t), int)
    names = shown(list(found.on))
    for name, on in found.on.items():
        changes = on[1:] != on[:-1]
        every = len(changes) // STEPS
        passed[1:] += changes.sum(1).reshape(STEPS, every).sum(1).cumsum()
        moving = np.flatnonzero(changes.any(0))
        order = moving[np.argsort(changes[:, moving].argmax(0), kind="stable")][:UNITS]
        always = int(on.all(0).sum())
        said = f"{name}: {len(moving)} of {on.shape[1]} units change, {always} stay on"
        if len(moving) > UNITS:
            said += f"; the first {UNITS} are shown"
        if name in names:
            rows += [
                {"step": said, "unit": int(unit), "place": place, "from": low, "to": high}
                for place, unit in enumerate(order)
                for low, high in _stretches(on[:, unit])
            ]
    return rows, [{"t": float(t), "changes": int(n)} for t, n in zip(found.t, passed, strict=True)]


def _stretches(on: Bool[np.ndarray, " sample"]) -> list[tuple[float, float]]:
    """Stretches of t on which a unit is on, from midway between two samples to midway between two others."""
    edges = np.diff(np.concatenate([[0], on.astype(int), [0]]))
    last = len(on) - 1
    return [
        (max(low - 0.5, 0) / last, min(high - 0.5, last) / last)
        for low, high in zip(np.flatnonzero(edges > 0).tolist(), np.flatnonzero(edges < 0).tolist(), strict=True)
    ]

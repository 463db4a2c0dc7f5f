"""Lengths from samples: what can be said of a path that is only a callable. An estimate, never a bound."""

from collections.abc import Sequence
from time import process_time

import jax
import numpy as np

from flyroom.measure import paths
from flyroom.measure.trajectory._network import widened
from flyroom.measure.trajectory._records import Interval, LayerLength, Trajectory
from flyroom.nets.graph import Graph
from flyroom.records import Evidence

SAMPLES = 4097  # and every other one of them, to see what is still missing


def estimated(graph: Graph, path: paths.Path, steps: Sequence[int], rel_tol: float, begun: float) -> Trajectory:
    """Chord sums at two resolutions: between the finer one and what it would grow to at a second-order rate.

    In float64, because in float32 the rounding of close points is counted as length (and grows with their number).
    """
    t = np.linspace(0, 1, SAMPLES)
    with jax.enable_x64(True):
        values = widened(graph).values(paths.points(path, t).reshape(-1, *path.shape))
        found = [np.asarray(values[step]).reshape(SAMPLES, -1) for step in steps]
    rows = []
    for step, y in zip(steps, found, strict=True):
        fine, coarse = (float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum()) for points in (y, y[::2]))
        interval = Interval(fine, fine + max(fine - coarse, 0.0))
        node = graph.nodes[step]
        rows.append(LayerLength(node.place, node.op, interval, Evidence.estimate, SAMPLES - 1, 0))
    reached = all(row.length.high - row.length.low <= rel_tol * row.length.low for row in rows)
    assumes = f"Sums of chords between {SAMPLES} points: between two of them the curve may do anything."
    return Trajectory(
        paths.length(path), tuple(rows), rel_tol, reached, "samples", 0, SAMPLES - 1, process_time() - begun, assumes
    )

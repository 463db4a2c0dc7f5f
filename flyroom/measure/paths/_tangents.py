"""The directions that a path ever moves in."""

import numpy as np
from jaxtyping import Float64

from flyroom.measure.paths._records import Arc, Curve, Path, Polyline


def tangents(path: Path) -> Float64[np.ndarray, "unit direction"] | None:
    """An orthonormal basis, as columns, of the span of all x'(t); None where the span is the whole space or unknown.

    One direction for a line, two for an arc, up to one a piece for a polyline and three a piece for a cubic. A
    Lipschitz factor of the network on this span bounds the length more closely than one on all directions.

    The basis is float64, not proved: a direction of the path's (a side, u or v, a difference of control points, each
    scaled to norm one) lies in the span to about 1e-15 times the larger of the numbers of units and directions.
    A callable gives None, since a sample does not show its span.
    """
    if isinstance(path, Curve):
        return None
    if isinstance(path, Arc):
        moves = np.stack([path.u, path.v])
    else:
        moves = np.diff(path.points if isinstance(path, Polyline) else path.control, axis=0)
    moves = moves[moves.any(axis=1)]
    moves = moves / np.abs(moves).max(axis=1, keepdims=True)
    moves = moves / np.linalg.norm(moves, axis=1, keepdims=True)
    left, sizes, _ = np.linalg.svd(moves.T, full_matrices=False)
    rank = int((sizes > max(moves.shape) * np.finfo(np.float64).eps * sizes[0]).sum())
    return None if rank == moves.shape[1] else np.ascontiguousarray(left[:, :rank])

"""Paths through input space: a curve x(t), t in [0, 1], each with its Taylor model and its certified length.

A path lives in the space of one flattened example; `path.shape` is the shape that the network takes. Straight, circular
and cubic paths carry proofs; `curve` wraps any callable and gives estimates only.

>>> import numpy as np
>>> circular = circle(64, radius=8.0, seed=0)
>>> found = length(circular)
>>> found.low <= 16 * np.pi <= found.high, found.evidence.name
(True, 'certified')
"""

from flyroom.measure.paths._circular import arc, circle, great_circle, raghu
from flyroom.measure.paths._cubic import bezier, spline
from flyroom.measure.paths._data import between, through
from flyroom.measure.paths._evaluate import closed, curve, knots, points, velocities
from flyroom.measure.paths._length import length
from flyroom.measure.paths._records import Arc, Cubic, Curve, Length, Path, Polyline, Taylor
from flyroom.measure.paths._straight import line, polyline
from flyroom.measure.paths._tangents import tangents
from flyroom.measure.paths._taylor import taylor
from flyroom.measure.paths._text import parse

__all__ = [
    "Arc",
    "Cubic",
    "Curve",
    "Length",
    "Path",
    "Polyline",
    "Taylor",
    "arc",
    "between",
    "bezier",
    "circle",
    "closed",
    "curve",
    "great_circle",
    "knots",
    "length",
    "line",
    "parse",
    "points",
    "polyline",
    "raghu",
    "spline",
    "tangents",
    "taylor",
    "through",
    "velocities",
]

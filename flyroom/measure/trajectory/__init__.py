"""How long does a path become? Lengths of a path's images through a network, certified, and the bounds under them."""

from flyroom.measure.trajectory._along import Along, along, growth
from flyroom.measure.trajectory._ladder import bounds
from flyroom.measure.trajectory._length import length
from flyroom.measure.trajectory._range import Extent, Extents, value_range
from flyroom.measure.trajectory._records import Interval, LayerLength, Trajectory
from flyroom.measure.trajectory._rungs import Ladder, Rung

__all__ = [
    "Along", "Extent", "Extents", "Interval", "Ladder", "LayerLength", "Rung", "Trajectory", "along", "bounds",
    "growth", "length", "value_range",
]  # fmt: skip

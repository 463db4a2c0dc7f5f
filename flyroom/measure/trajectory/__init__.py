"""How long does a path become? Lengths of a path's images through a network, certified, and the bounds under them."""

from flyroom.measure.trajectory._along import Along, along, growth
from flyroom.measure.trajectory._length import length
from flyroom.measure.trajectory._records import Interval, LayerLength, Trajectory

__all__ = ["Along", "Interval", "LayerLength", "Trajectory", "along", "growth", "length"]

"""What is found along a path: records."""

from dataclasses import dataclass
from typing import NamedTuple

from flyroom.measure.paths import Length
from flyroom.records import Evidence


class Interval(NamedTuple):
    """A true value lies between these, both included."""

    low: float
    high: float


@dataclass(frozen=True)
class LayerLength:
    """The length of a path's image after one step of a network."""

    name: str  # the step's place in the network
    op: str
    length: Interval
    evidence: Evidence
    pieces: int  # that the path was cut into for it
    crossings: int  # of kinks found up to and with this step; 0 where there are none


@dataclass(frozen=True)
class Trajectory:
    """The lengths of a path's images, layer by layer.

    `reached` is False where the pieces or the seconds ran out before every interval was as narrow as asked: the
    intervals hold all the same. `assumes` says in a sentence what the proof rests on, and of which function it is.
    """

    input_length: Length
    layers: tuple[LayerLength, ...]
    rel_tol: float
    reached: bool
    rule: str  # "piecewise linear", "polynomial" or "Taylor models"; "samples" for an estimate
    order: int  # of the polynomials
    pieces: int
    cpu_s: float
    assumes: str

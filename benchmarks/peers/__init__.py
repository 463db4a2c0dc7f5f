"""The claims' training as the published notebooks do it: PyTorch, eager, one network after another.

One file a claim; `benchmarks/gallery.py` times a step of each and sets it beside what a stored run took here.
"""

from collections.abc import Callable
from typing import NamedTuple

from flyroom.records import Run


class Slice(NamedTuple):
    """A part of a claim that takes one kind of training step.

    `build()` makes data, network and optimiser and returns a function that performs one step; a default run takes
    `steps` of them, all seeds together; `stands_for` chooses the runs that are compared with it.
    """

    name: str
    build: Callable[[], Callable[[], None]]
    steps: int
    stands_for: Callable[[Run], bool]

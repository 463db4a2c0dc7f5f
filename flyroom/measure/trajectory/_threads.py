"""How many threads a network's matrix products are worth."""

from contextlib import AbstractContextManager
from functools import cache
from math import prod
from typing import Any

from threadpoolctl import ThreadpoolController

from flyroom.nets.graph import Graph

SMALL = 256  # units of the widest step: below, threads wait for one another longer than they work


@cache
def _libraries() -> ThreadpoolController:
    """What is loaded is looked up once; it takes milliseconds."""
    return ThreadpoolController()


def threads_for(graph: Graph) -> AbstractContextManager[Any]:
    """A context in which NumPy's products use one thread where the network is small."""
    widest = max(prod(node.shape) for node in graph.nodes)
    return _libraries().limit(limits=1 if widest <= SMALL else None)

"""Results that know what their network costs: shared by claims that compare accuracies at equal cost or equal data."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flyroom.measure.architecture import architecture
from flyroom.records import Result


def counted(results: Sequence[Result], net: Any, shape: Sequence[int]) -> list[Result]:
    """The same results with `parameters` and `multiply_adds` (of one example, forward) of their network as values."""
    found = architecture(net, shape)
    sizes = {"parameters": float(found.parameters), "multiply_adds": float(found.multiply_adds)}
    return [replace(one, values={**one.values, **sizes}) for one in results]

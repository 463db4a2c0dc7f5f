"""Cases of one property: the kinds in the default run, everything else with the slow tests."""

from collections.abc import Iterable
from typing import Any

import pytest


def breadth(cases: Iterable[Any], *core: Any) -> list[Any]:
    """The cases for `parametrize`: those that are not among `core` are marked slow. Nothing is left out of both."""
    listed = list(cases)
    strange = [case for case in core if case not in listed]
    assert not strange, f"no such cases: {strange}"
    return [
        case if case in core else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for case in listed
    ]

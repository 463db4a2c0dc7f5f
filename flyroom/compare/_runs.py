"""The same runs in two stores, bit by bit."""

import math

from flyroom.compare._found import Runs, Side
from flyroom.records import Result


def shared(a: Side, b: Side) -> tuple[tuple[Runs, ...], tuple[float, float]]:
    """The runs in both stores, and the processor time that each store spent on them."""
    others = {one.key: one.result for one in b.records}
    pairs = [(one.key, one.result, others[one.key]) for one in a.records if one.key in others]
    seconds = sum(one.cpu_s for _, one, _ in pairs), sum(other.cpu_s for _, _, other in pairs)
    return tuple(_run(*pair) for pair in pairs), (float(seconds[0]), float(seconds[1]))


def _run(key: str, a: Result, b: Result) -> Runs:
    left, right = _series(a), _series(b)
    differences = {name: _difference(left.get(name), right.get(name)) for name in {**left, **right}}
    found = {name: value for name, value in differences.items() if value is not None}
    return Runs(key, a.run.settings, a.run.seed, not found, found)


def _series(one: Result) -> dict[str, list[float]]:
    """Values and curves alike, as lists of numbers."""
    curves = {f"curve {name}": list(curve) for name, curve in one.curves.items()}
    return {name: [value] for name, value in one.values.items()} | curves


def _difference(a: list[float] | None, b: list[float] | None) -> float | None:
    """The largest absolute difference; None where all bits are the same, NaN where there is no difference to take."""
    if a is None or b is None or len(a) != len(b):
        return math.nan
    sizes = [abs(float(x) - float(y)) for x, y in zip(a, b, strict=True) if not same(x, y)]
    return max(sizes, key=lambda size: math.inf if math.isnan(size) else size, default=None)


def same(a: float | int, b: float | int) -> bool:
    """The same bits: NaN is NaN, and 0 is not -0."""
    return float(a).hex() == float(b).hex()

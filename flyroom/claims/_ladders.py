"""Certified bounds over the certified length, network by network: shared by claims on how loose bounds are."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flyroom import stats
from flyroom.claims import trials
from flyroom.measure.trajectory import Ladder
from flyroom.records import Json, Measurement, Result

NOTHING = 1e-80  # what a bound of 0 counts as, beside the length, where means of logarithms are taken
FARTHEST = 300.0  # powers of ten


def label(side: str, rung: str, end: str) -> str:
    """The name under which one end of a rung's share of the length is stored, such as "upper/supremum on T/low"."""
    return f"{side}/{rung}/{end}"


def shares(found: Ladder) -> dict[str, float]:
    """Every rung over the length, enclosed: low end over high end, high end over low end.

    Raises ValueError for a length that could not be told from 0: nothing has a share of it.
    """
    length = found.length
    if not 0 < length.low <= length.high < math.inf:
        raise ValueError(f"the length lies between {length.low} and {length.high}: bounds have no share of it")
    values = {}
    for rung in found.rungs:
        values[label(rung.side, rung.name, "low")] = rung.value.low / length.high
        if math.isfinite(rung.value.high):
            values[label(rung.side, rung.name, "high")] = rung.value.high / length.low
    return values


def logs(results: Sequence[Result], value: str, **coordinates: Json) -> np.ndarray:
    """log10 of a stored number by seed, 0 counting as `NOTHING`."""
    return np.log10(np.maximum(trials.by_seed(results, value, **coordinates), NOTHING))


def geometric(logarithms: Sequence[float] | np.ndarray) -> Measurement:
    """The geometric mean of numbers from their log10, with the interval of the mean logarithm."""
    found = stats.mean_interval(logarithms)
    interval = found.interval
    if interval is not None:  # Student's, of few values, may reach beyond what float64 holds
        interval = (10.0 ** max(interval[0], -FARTHEST), 10.0 ** min(interval[1], FARTHEST))
    return replace(found, value=10.0**found.value, interval=interval)


def text(results: Sequence[Result], value: str, **coordinates: Json) -> str:
    """The geometric mean as text for a table; 0 where most of the numbers are."""
    found = logs(results, value, **coordinates)
    if float(np.median(found)) <= math.log10(NOTHING):
        return "0"
    return f"{geometric(found).value:.2g}"

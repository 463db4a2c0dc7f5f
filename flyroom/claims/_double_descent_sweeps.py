"""Double descent: from results to numbers by seed. Where a peak lies is asked of each seed's own curve."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flyroom import stats
from flyroom.claims import trials
from flyroom.claims._double_descent import THRESHOLD, parameters
from flyroom.records import Measurement, Result


class Sweep(NamedTuple):
    """One network over several sizes (hidden units or channels, rising), on one kind of labels."""

    net: str  # mlp or cnn
    labels: str  # noisy or clean
    examples: int
    sizes: tuple[int, ...]


def chosen(results: Sequence[Result], one: Sweep, size: int) -> list[Result]:
    """The runs of one size, by seed; ValueError where there is none."""
    place = {"net": one.net, "size": size, "labels": one.labels, "examples": one.examples}
    found = trials.where(results, **place)
    if not found:
        trials.by_seed(results, "test_error", **place)  # says which is missing
    return found


def errors(results: Sequence[Result], one: Sweep, size: int, part: str = "test") -> list[float]:
    """The error after the last update, by seed; `part` is test or train."""
    return [run.values[f"{part}_error"] for run in chosen(results, one, size)]


def table_of_errors(
    results: Sequence[Result], one: Sweep, sizes: Sequence[int], part: str = "test", seeds: set[int] | None = None
) -> tuple[list[int], Float[np.ndarray, "seed size"]]:
    """The seeds that every one of these sizes has (and that are in `seeds`), and their errors."""
    by_size = [{run.run.seed: run.values[f"{part}_error"] for run in chosen(results, one, size)} for size in sizes]
    common = sorted(set.intersection(*map(set, by_size)) & (set(by_size[0]) if seeds is None else seeds))
    return common, np.array([[column[seed] for column in by_size] for seed in common]).reshape(len(common), len(sizes))


def _peaks(one: Sweep, sizes: Sequence[int], values: Float[np.ndarray, "seed size"]) -> Float[np.ndarray, " seed"]:
    learned = np.array([parameters(one.net, size) for size in sizes], float)
    return learned[values.argmax(axis=1)]


def at_peak(results: Sequence[Result], one: Sweep, first: int) -> Float[np.ndarray, " seed"]:
    """The number of parameters at which the test error is largest, by seed, from the size `first` on.

    The smallest networks err more than any peak; `first` is the published first minimum, which leaves them out.
    """
    sizes = [size for size in one.sizes if size >= first]
    return _peaks(one, sizes, table_of_errors(results, one, sizes)[1])


def thresholds(results: Sequence[Result], one: Sweep, first: int) -> Float[np.ndarray, " seed"]:
    """The smallest number of parameters with a training error below 1 %, by seed; infinity where there is none.

    For the seeds of `at_peak` with the same `first`, in the same order.
    """
    sizes = [size for size in one.sizes if size >= first]
    reached = table_of_errors(results, one, sizes, "train")[1] < THRESHOLD
    learned = np.array([parameters(one.net, size) for size in sizes], float)
    return np.where(reached.any(axis=1), learned[reached.argmax(axis=1)], math.inf)


def paired_peaks(
    results: Sequence[Result], few: Sweep, many: Sweep, sizes: Sequence[int]
) -> tuple[Float[np.ndarray, " seed"], Float[np.ndarray, " seed"]]:
    """Parameters at the peak of two sweeps over the same sizes, for the seeds that both have."""
    seeds = set(table_of_errors(results, few, sizes)[0]) & set(table_of_errors(results, many, sizes)[0])
    small, large = (_peaks(one, sizes, table_of_errors(results, one, sizes, seeds=seeds)[1]) for one in (few, many))
    return small, large


def mean_ratio(ratios: Float[np.ndarray, " seed"]) -> Measurement:
    """The geometric mean of positive ratios, with the interval of the mean logarithm."""
    found = stats.mean_interval(np.log(ratios))
    interval = None if found.interval is None else (math.exp(found.interval[0]), math.exp(found.interval[1]))
    return Measurement(math.exp(found.value), interval, found.evidence, found.n)


def epoch_wise(results: Sequence[Result], one: Sweep, size: int) -> tuple[Measurement, Measurement]:
    """How far the test error rises in the course of training, and how far it has fallen again at the end.

    Valley and peak are located on the mean curve of one half of the seeds and measured on the other half, both ways
    round: on one's own curve the lowest point lies too low and the highest too high, and a rise is always found.
    """
    curves = 1 - np.array([run.curves["test_accuracy"] for run in chosen(results, one, size)])
    rises, falls = np.zeros(len(curves)), np.zeros(len(curves))
    halves = (np.arange(len(curves)) % 2 == 0, np.arange(len(curves)) % 2 == 1)
    for measured, located in (halves, halves[::-1]):
        if not measured.any():
            continue
        mean = curves[located if located.any() else measured].mean(axis=0)
        valley, peak = largest_rise(mean)
        rises[measured] = curves[measured, peak] - curves[measured, valley]
        falls[measured] = curves[measured, peak] - curves[measured, -1]
    return stats.mean_interval(rises), stats.mean_interval(falls)


def largest_rise(curve: Float[np.ndarray, " point"]) -> tuple[int, int]:
    """The two points, valley before peak, between which a curve rises most."""
    lowest = np.minimum.accumulate(curve[:-1])
    peak = int((curve[1:] - lowest).argmax()) + 1
    return int(curve[:peak].argmin()), peak

"""How far the mean over a mini-batch strays: measured on activations of signals, and from their autocovariances.

Batch norm takes the mean of a channel over the N = B P values of B signals with P positions. Of independent values the
mean has variance V / N. Positions of one signal are not independent: with gamma(k) the covariance of values k positions
apart, summed over all pairs of places and divided by P, the mean over one signal has the variance

    (gamma(0) + 2 sum over k > 0 of gamma(k)) / P

exactly, whether or not the signals are stationary. V over that is the effective number of positions: as many
independent values as one signal is worth.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Activations = Float[np.ndarray, "example position channel"]
PerChannel = Float[np.ndarray, " channel"]

CHANNELS, KERNEL = 8, 5
BATCHES = 400  # mini-batches of each size, of which the variance is taken
WINDOW_BATCH = 16  # signals a mini-batch, where the number of positions varies
WINDOWS = (1, 2, 4, 8, 16, 32)


def activations(signals: Float[np.ndarray, "example position"], random: np.random.Generator) -> Activations:
    """What a first convolution makes of signals: eight channels, kernel 5, zeros at the ends, weights as PyTorch draws.

    It has no bias, which would move every mean and no variance.
    """
    weights = random.uniform(-1, 1, (KERNEL, CHANNELS)) / np.sqrt(KERNEL)
    padded = np.pad(signals, ((0, 0), (KERNEL // 2, KERNEL // 2)))
    return np.lib.stride_tricks.sliding_window_view(padded, KERNEL, axis=1) @ weights


def autocovariance(values: Activations) -> Float[np.ndarray, "lag channel"]:
    """gamma(k): the covariance over examples of places k apart, over all such pairs of places, divided by P."""
    centred = values - values.mean(0)
    positions = values.shape[1]
    lags = (centred[:, : positions - lag] * centred[:, lag:] for lag in range(positions))
    return np.stack([products.sum(1).mean(0) for products in lags]) / positions


def of_one_signal(covariance: Float[np.ndarray, "lag channel"]) -> PerChannel:
    """The variance of the mean over the positions of one signal, from autocovariances.

    >>> of_one_signal(np.array([[1.0], [0.0], [0.0], [0.0]])).tolist()  # independent: 1 / 4
    [0.25]
    """
    return (covariance[0] + 2 * covariance[1:].sum(0)) / len(covariance)


def of_batches(values: Activations, batch: int, random: np.random.Generator) -> PerChannel:
    """The variance of the mean over mini-batches of whole signals, drawn with replacement."""
    taken = random.integers(len(values), size=(BATCHES, batch))
    return values.mean(1)[taken].mean(1).var(0, ddof=1)


def of_independent(values: Activations, count: int, random: np.random.Generator) -> PerChannel:
    """The same of so many values, each from a signal and a place of its own."""
    flat = values.reshape(-1, values.shape[-1])
    return np.stack([flat[random.integers(len(flat), size=count)].mean(0) for _ in range(BATCHES)]).var(0, ddof=1)


def of_windows(values: Activations, random: np.random.Generator) -> Float[np.ndarray, "window channel"]:
    """The variance of the mean over runs of neighbouring positions of 16 signals; the mean over all places of a run."""
    taken = random.integers(len(values), size=(BATCHES, WINDOW_BATCH))
    means = np.stack([values[chosen].mean(0) for chosen in taken])
    total = np.concatenate([np.zeros_like(means[:, :1]), means.cumsum(1)], axis=1)
    runs = ((total[:, size:] - total[:, :-size]) / size for size in WINDOWS)
    return np.stack([run.var(0, ddof=1).mean(0) for run in runs])


class Spread(NamedTuple):
    """Variances of means, each over that of single values, as means over the channels; and the effective positions."""

    independent: list[float]  # by batch size: B P independent values
    signals: list[float]  # by batch size: B signals
    windows: list[float]  # by size of the window
    one_signal: float  # from autocovariances: what `signals` is expected to be, times the batch size

    @property
    def effective(self) -> float:
        """The effective number of positions of a signal."""
        return 1 / self.one_signal


def measure(
    first: Float[np.ndarray, "example position"],
    other: Float[np.ndarray, "_ position"],
    batches: Sequence[int],
    seed: int,
) -> Spread:
    """Autocovariances of the first signals, mini-batches of the others; the seed draws convolution and batches."""
    random = np.random.default_rng(seed)
    weights = random.integers(2**63)  # one convolution for both
    known, drawn = (activations(signals, np.random.default_rng(weights)) for signals in (first, other))
    single = drawn.var((0, 1))
    positions = drawn.shape[1]
    return Spread(
        [float((of_independent(drawn, size * positions, random) / single).mean()) for size in batches],
        [float((of_batches(drawn, size, random) / single).mean()) for size in batches],
        (of_windows(drawn, random) / single).mean(1).tolist(),
        float((of_one_signal(autocovariance(known)) / known.var((0, 1))).mean()),
    )


def slope(sizes: Sequence[int], variances: Sequence[float]) -> float:
    """The slope of log variance on log size, by least squares: -1 where a variance falls as 1 / size.

    >>> round(slope([1, 2, 4], [8.0, 4.0, 2.0]), 6)
    -1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(variances), 1)[0])

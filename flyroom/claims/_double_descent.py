"""Double descent: the two published protocols, their data, their networks and their printed figures."""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from flyroom.data import corrupt, mnist1d
from flyroom.nets.conv import CNN
from flyroom.nets.mlp import MLP
from flyroom.records import Dataset

EXAMPLES = 4000  # to train on, in both protocols
NOISE = 0.15  # share of the training labels drawn anew, in both protocols
THRESHOLD = 0.01  # a network interpolates where its training error is below this


class Protocol(NamedTuple):
    """A published protocol. `first`, `peak` and `far` are the widths that the claim compares.

    They were chosen from the published figures, not from results: the first minimum, the peak, the last width.
    """

    epochs: int
    samples: int  # training and test examples together
    first: int
    peak: int
    far: int
    widths: tuple[int, ...]  # all of the published ones


PROTOCOLS: Mapping[str, Protocol] = {
    "mnist1d": Protocol(
        500, 16_000, 16, 47, 300, (2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 47, 61, 80, 104, 135, 177, 230, 300)
    ),
    # The book's figure has no printed numbers; the blog post of mnist1d says of it: a peak at 40 to 55 hidden units.
    "udl-8.3": Protocol(
        1000,
        8_000,
        14,
        45,
        400,
        (
            *(2, 4, 6, 8, 10, 14, 18, 22, 26, 30, 35, 40, 45, 50, 55, 60, 70, 80, 90),
            *(100, 120, 140, 160, 180, 200, 250, 300, 400),
        ),
    ),
}
CNN_FIRST, CNN_PEAK, CNN_LAST = 10, 18, 100  # channels: first minimum, peak, the last published number
CHANNELS = (*range(2, 31, 2), *range(35, 101, 5))

# Test error in per cent as the notebook printed it, one run a point, for PROTOCOLS["mnist1d"].widths and CHANNELS.
_NOISY = (
    *(69.6, 67.5, 62.6, 57.5, 54.8, 49.0, 50.3, 47.2, 50.8, 50.7, 52.8, 54.05, 54.0, 52.1, 50.2),
    *(48.4, 47.9, 46.5, 45.5),
)
_CLEAN = (
    *(68.5, 66.8, 58.3, 61.4, 54.2, 49.3, 50.1, 44.6, 42.6, 41.0, 41.7, 41.0, 41.2, 39.6, 38.6),
    *(38.6, 38.1, 37.1, 37.3),
)
_CNN = (
    *(61.2, 35.8, 23.9, 22.0, 19.6, 23.7, 27.7, 27.3, 33.8, 32.5, 31.3, 32.0, 30.0, 32.5, 29.8),
    *(30.2, 30.5, 30.2, 28.7, 28.2, 30.0, 28.1, 28.8, 29.4, 28.1, 28.1, 28.8, 27.4, 27.7),
)
PUBLISHED: Mapping[tuple[str, str], Mapping[int, float]] = {
    ("mlp", "noisy"): dict(zip(PROTOCOLS["mnist1d"].widths, _NOISY, strict=True)),
    ("mlp", "clean"): dict(zip(PROTOCOLS["mnist1d"].widths, _CLEAN, strict=True)),
    ("cnn", "noisy"): dict(zip(CHANNELS, _CNN, strict=True)),
}


def parameters(net: str, size: int) -> int:
    """How many numbers the MLP 40-n-n-10 or the CNN with c, c, c channels learns."""
    return size**2 + 52 * size + 10 if net == "mlp" else 6 * size**2 + 58 * size + 10


def network(net: str, size: int, key: PRNGKeyArray, protocol: str) -> MLP | CNN:
    """First weights: PyTorch's own, or those of the UDL book's notebook.

    That one takes He's uniform (He et al. 2015) on (-sqrt(6 / fan-in), sqrt(6 / fan-in)) for the weights, which is
    sqrt(6) times PyTorch's own draw, and biases of zero.
    """
    if net == "cnn":
        return CNN.init(key, channels=(size, size, size))
    plain = MLP.init(key, (40, size, size, 10))
    if protocol == "mnist1d":
        return plain
    # In NumPy: nothing is compiled.
    return jax.tree.map(
        lambda leaf: np.asarray(leaf) * np.float32(6**0.5) if leaf.ndim == 2 else np.zeros_like(leaf), plain
    )


@cache
def _clean(protocol: str) -> Dataset:
    samples = PROTOCOLS[protocol].samples
    return mnist1d.make(num_samples=samples, train_split=EXAMPLES / samples)


@cache
def data(protocol: str, noise: float, noise_from: str, seed: int, count: int) -> Dataset:
    """The training data of one setting; `seed` counts only where the labels are drawn by it.

    Of fewer examples, the same ones for all seeds, with the same wrong labels; the test part is always whole.
    """
    clean = _clean(protocol)
    if noise == 0:
        noisy = clean
    elif noise_from == "seed":
        noisy = corrupt.label_noise(clean, noise, seed=seed)
    elif protocol == "mnist1d":
        noisy = corrupt.canonical_label_noise(clean, noise)
    else:
        noisy = corrupt.python_label_noise(clean, noise)
    return noisy if count == EXAMPLES else corrupt.subsample(noisy, count, seed=0)

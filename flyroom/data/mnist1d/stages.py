"""The ten templates of MNIST-1D, and each stage of their transformation by itself.

Nothing here is random: every draw is an argument. Arrays are `[example, position]`; the arithmetic is that of the
reference implementation, operation by operation, so that the same draws give the same bits. It does not matter in
which order the memory runs; the streams lay positions out as rows, because smoothing shifts along them.

Reference: Greydanus and Kobak, "Scaling down deep learning with MNIST-1D", ICML 2024, section 2 and appendix A.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from flyroom.data.mnist1d._arguments import Process

EPSILON = 1e-8  # keeps the digit's own points from being taken for background
TABLE_LIMIT = 4_000_000  # numbers: 32 MB
RADIUS = 8  # of the Gaussian that smooths the correlated noise: four standard deviations of two points

# Drawn by hand by the authors of the data set: twelve points for each digit.
_POINTS = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)


class Templates(NamedTuple):
    """The digits before anything is done to them: values `x`, positions `t`, labels `y`."""

    x: Float[np.ndarray, "digit point"]
    t: Float[np.ndarray, " point"]
    y: Int[np.ndarray, " digit"]


class Draws(NamedTuple):
    """All that is random in a batch of signals: integers, uniforms in [0, 1) and standard normals."""

    paddings: Int[np.ndarray, " example"]
    scales: Float[np.ndarray, " example"]
    shifts: Int[np.ndarray, " example"]
    correlated: Float[np.ndarray, "example position"]
    iid: Float[np.ndarray, "example position"]
    shears: Float[np.ndarray, " example"]


def templates() -> Templates:
    """The ten templates: mean removed, divided by the standard deviation, started at zero, divided by six.

    Not to be flipped: templates 6, 7 and 8 are the mirror images of 0, 1 and 3, so that changing the sign of a
    signal changes its label.

    >>> templates().x.shape
    (10, 12)
    """
    x = np.array(_POINTS)
    x -= x.mean(1, keepdims=True)
    x /= x.std(1, keepdims=True)
    x -= x[:, :1]
    return Templates(x / 6.0, np.linspace(-5, 5, x.shape[1]) / 6.0, np.arange(len(x)))


def pad(
    x: Float[np.ndarray, "example point"], paddings: Int[np.ndarray, " example"]
) -> Float[np.ndarray, "example padded"]:
    """Zeros behind the digit. All rows are as long as the longest; row i's own length is points + paddings[i]."""
    out = np.zeros((len(x), x.shape[1] + int(paddings.max(initial=0))))
    out[:, : x.shape[1]] = x
    return out


def dilate(
    x: Float[np.ndarray, "example padded"], lengths: Int[np.ndarray, " example"], length: int
) -> Float[np.ndarray, "example position"]:
    """Stretch the first `lengths[i]` points of row i to `length` points, linearly."""
    out = np.empty((len(x), length))
    for own in np.unique(lengths):
        rows = lengths == own
        out[rows] = subsample(x[rows, :own], length)
    return out


def scale(
    x: Float[np.ndarray, "example position"], uniforms: Float[np.ndarray, " example"], coefficient: float
) -> Float[np.ndarray, "example position"]:
    """Multiply each signal by 1 + coefficient * (u - 1/2)."""
    return x * (1 + coefficient * (uniforms - 0.5))[:, None]


def translate(
    x: Float[np.ndarray, "example position"], shifts: Int[np.ndarray, " example"]
) -> Float[np.ndarray, "example position"]:
    """Shift each signal to the right, round the end.

    A shift of the signal's length or more leaves it where it is (a consequence of slicing in the reference, and not
    what `np.roll` does).
    """
    length = x.shape[1]
    starts = length - np.where(shifts < length, shifts, 0) + 2 * length * np.arange(len(x))
    twice = np.concatenate([x, x], axis=1).ravel()
    return np.lib.stride_tricks.sliding_window_view(twice, length)[starts]


def smooth(noise: Float[np.ndarray, "example position"]) -> Float[np.ndarray, "example position"]:
    """Convolve with a Gaussian of two points' standard deviation, the signal mirrored at both ends.

    The weights and the order of summation are those of `scipy.ndimage.gaussian_filter(noise, 2)`.
    """
    length = noise.shape[1]
    weights = gaussian_weights()
    position = np.arange(-RADIUS, length + RADIUS) % (2 * length)
    mirrored = noise.T[np.minimum(position, 2 * length - 1 - position)]
    out = mirrored[RADIUS : RADIUS + length] * weights[RADIUS]
    pair = np.empty_like(out)
    for offset in range(RADIUS, 0, -1):
        left = mirrored[RADIUS - offset : RADIUS - offset + length]
        right = mirrored[RADIUS + offset : RADIUS + offset + length]
        np.add(left, right, out=pair)
        pair *= weights[RADIUS - offset]
        out += pair
    return out.T


def gaussian_weights() -> Float[np.ndarray, "17"]:
    """exp(-j^2 / 8) for j = -8..8, divided by their sum. NumPy's `exp`: its last bit differs between processors."""
    weights = np.exp(-0.125 * np.arange(-RADIUS, RADIUS + 1) ** 2)
    return weights / weights.sum()


def correlated_noise(
    x: Float[np.ndarray, "example position"], normals: Float[np.ndarray, "example position"], deviation: float
) -> Float[np.ndarray, "example position"]:
    """Smoothed noise on the background only: wherever the signal is exactly zero.

    `deviation` is that of the noise before smoothing, which leaves 0.3756 of it.
    """
    out = smooth(deviation * normals)
    np.copyto(out, x, where=x != 0)
    return out


def iid_noise(
    x: Float[np.ndarray, "example position"], normals: Float[np.ndarray, "example position"], deviation: float
) -> Float[np.ndarray, "example position"]:
    """Independent noise at every point, digit and background."""
    return x + deviation * normals


def shear(
    x: Float[np.ndarray, "example position"], uniforms: Float[np.ndarray, " example"], coefficient: float
) -> Float[np.ndarray, "example position"]:
    """Subtract a ramp that falls or rises by coefficient * (u - 1/2) from one end to the other."""
    slopes = coefficient * (uniforms - 0.5)
    return x - np.multiply.outer(np.linspace(-0.5, 0.5, x.shape[1]), slopes).T


def subsample(x: Float[np.ndarray, "example position"], length: int) -> Float[np.ndarray, "example sample"]:
    """The signal at `length` equally spaced places, linearly interpolated (no filter against aliasing).

    The arithmetic is `np.interp`'s: slope * (place - left) + value at the left, and the value itself where a place
    falls on a point.
    """
    points = np.linspace(0, 1, x.shape[1])
    places = np.linspace(0, 1, length)
    left = np.searchsorted(points, places, side="right") - 1
    exact = np.flatnonzero(points[left] == places)
    between = np.minimum(left, x.shape[1] - 2)
    below = x[:, between]
    out = x[:, between + 1]
    out -= below
    out /= points[between + 1] - points[between]
    out *= places - points[between]
    out += below
    out[:, exact] = x[:, left[exact]]
    return out


def transform(
    dilated: Float[np.ndarray, "example position"], draws: Draws, process: Process
) -> Iterator[tuple[str, np.ndarray]]:
    """Each stage after the dilation, by name, in the reference's order; the last is the signal."""
    x = scale(dilated, draws.scales, process.scale_coeff)
    yield "scale", x
    x = translate(x, draws.shifts)
    yield "translate", x
    x = correlated_noise(x, draws.correlated, process.corr_noise_scale)
    yield "correlated noise", x
    x = iid_noise(x, draws.iid, process.iid_noise_scale)
    yield "iid noise", x
    x = shear(x, draws.shears, process.shear_scale)
    yield "shear", x
    yield "subsample", subsample(x, process.final_seq_length)


def build(rows: Float[np.ndarray, "example point"], draws: Draws, process: Process) -> dict[str, np.ndarray]:
    """Every stage of a batch of signals, from the templates in `rows` to the subsampled signal, by name in order.

    What remains to be done to it is the normalisation (and, where asked for, the shuffling of positions).
    """
    padded = pad(rows + EPSILON, draws.paddings)
    dilated = dilate(padded, rows.shape[1] + draws.paddings, process.length)
    return {"template": rows, "pad": padded, "dilate": dilated, **dict(transform(dilated, draws, process))}


def dilator(digits: Float[np.ndarray, "digit point"], process: Process) -> Callable[..., np.ndarray]:
    """A function from labels and paddings to the dilated digits, `[example, position]`.

    Digits times paddings are few, so that they are dilated once and looked up; only where the table would be large
    is each example dilated by itself. The bits are the same.
    """
    low, high = process.padding
    choices = high - low + 1

    def direct(labels: Int[np.ndarray, " example"], paddings: Int[np.ndarray, " example"]) -> np.ndarray:
        return dilate(pad(digits[labels] + EPSILON, paddings), digits.shape[1] + paddings, process.length)

    if len(digits) * choices * process.length > TABLE_LIMIT:
        return direct
    paddings = np.tile(np.arange(low, high + 1), len(digits))
    table = direct(np.repeat(np.arange(len(digits)), choices), paddings)
    table = table.reshape(len(digits), choices, process.length)
    return lambda labels, paddings: table[labels, paddings - low]


def signals(dilated: Float[np.ndarray, "example position"], draws: Draws, process: Process) -> np.ndarray:
    """The last stage of `transform` alone, `[example, sample]`."""
    *_, (_, out) = transform(dilated, draws, process)
    return out

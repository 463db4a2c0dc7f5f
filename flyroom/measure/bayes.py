"""The Bayes classifier of MNIST-1D: the process is known, so the best that any classifier can do is known too.

Given class, padding and shift (twelve thousand hypotheses at the defaults), a signal before its normalisation is

    x = a m - b r + noise,    m the digit, r the ramp, a and b uniform, noise ~ N(0, C),

with a covariance C = A (corr^2 M K K' M + iid^2 I) A' that depends on where the background is (M) and on nothing else:
K smooths, A subsamples. The likelihood is then the mean over a rectangle of (a, b) of a Gaussian density: over b in
closed form, over a by Gauss-Legendre quadrature. All hypotheses are equally likely beforehand; summing over paddings
and shifts leaves the posterior over classes, and its largest entry is the Bayes classifier.

Source: the process is that of Greydanus and Kobak (ICML 2024), section 2; the rest is Bayes' rule (Duda, Hart and
Stork, Pattern Classification, section 2.2). Not to be confused with template matching, which knows the digits and
not the noise.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from flyroom.data.mnist1d import Stream, population_moments, stages
from flyroom.data.mnist1d.stages import Process

Signals = Float[np.ndarray, "example position"]
LogPosterior = Float[np.ndarray, "example class_"]

CHUNK = 256  # examples that are set against all hypotheses together: 25 MB of bounds at the defaults
MARGIN = 23.0  # nats: a hypothesis whose bound lies this far below the largest likelihood is left out
FIRST = 28.0  # nats: those within this of the best bound are tried first; rarely does a second round find more
NODES = 32  # of the quadrature
NARROW = 1e-9  # a narrower range of scales or slopes is a point: rounding would eat the differences within it
REACH = 6.5  # standard deviations of a, to each side of its best value, that the quadrature covers


class Hypotheses(NamedTuple):
    """Class, padding and shift, all that are possible: `group` are those that share a covariance.

    Everything is whitened: `whiten` takes a signal to coordinates in which the noise is white. There the digit is
    `along` times the direction of the ramp plus `across` times a unit vector of its own (`directions`).
    """

    whiten: Float[np.ndarray, "group position position"]
    ramp: Float[np.ndarray, "group position"]  # unit vector, or zero where there is no shear
    ramp_length: Float[np.ndarray, " group"]
    directions: Float[np.ndarray, "group class_ position"]
    along: Float[np.ndarray, "group class_"]
    across: Float[np.ndarray, "group class_"]
    log_weight: Float[np.ndarray, "group class_"]  # prior, less half the log determinant; -inf where it has no part


def classifier(
    source: Stream,
    *,
    moments: tuple[float, float] | None = None,
    positions: Int[np.ndarray, " position"] | None = None,
) -> Callable[[Signals], LogPosterior]:
    """The function from signals `[example, position]` to log posteriors `[example, class]`, in nats.

    `source` says which process: any arguments of `mnist1d.stream`. `moments` are the mean and the deviation that the
    signals were normalised by, those of the stream unless given (the canonical data take their own); `positions` the
    order of positions that shuffled signals have, that of the stream unless given: shuffled = plain[:, positions].

    Hypotheses whose likelihood is provably below exp(-23) of the largest are left out, so that a class far from the
    signal may have -inf; the quadrature's error is of the order of 1e-6 of a likelihood at the defaults. Classes are
    equally likely beforehand. A `scale_coeff` or `shear_scale` nearer to 0 than 1e-9 counts as 0.

    **Raises** ValueError where signals have no density: `iid_noise_scale` 0, or more positions asked for than there
    are points; and by the returned function for signals of another length or with values that are not finite.

    >>> from flyroom.data.mnist1d import stream
    >>> test = stream("test")
    >>> examples = test[:20]
    >>> int((classifier(test)(examples.x).argmax(axis=1) == examples.y).sum())
    20
    """
    process = _without_slivers(source.process)
    length = process.final_seq_length
    _check(process)
    mean, deviation = _moments(process) if moments is None else moments
    if not (np.isfinite(mean) and np.isfinite(deviation) and deviation > 0):
        raise ValueError(f"moments ({mean}, {deviation}) normalise nothing: give a finite mean and a deviation above 0")
    order = _positions(source) if positions is None else positions
    if sorted(order.tolist()) != list(range(length)):
        raise ValueError(f"positions are not an order of 0 to {length - 1}: each must come once")
    plain = np.argsort(order)
    hypotheses = _hypotheses(replace(process, shuffle_seq=False))

    def log_posterior(x: Signals) -> LogPosterior:
        if x.shape[1] != length:
            raise ValueError(f"signals of {x.shape[1]} positions were given; this process makes {length}")
        if not np.isfinite(x).all():
            raise ValueError("the signals hold values that are not finite (NaN or infinity)")
        raw = x[:, plain].astype(np.float64) * deviation + mean
        parts = [_posterior(raw[i : i + CHUNK], hypotheses, process) for i in range(0, len(raw), CHUNK)]
        return np.concatenate([np.zeros((0, hypotheses.along.shape[1])), *parts])

    return log_posterior


def covariance(process: Process, background: Float[np.ndarray, " point"]) -> Float[np.ndarray, "position position"]:
    """Of the noise in a subsampled signal whose background is 1 and whose digit is 0."""
    return _covariances(process, background[None])[0]


def _check(process: Process) -> None:
    if process.iid_noise_scale == 0:
        raise ValueError(
            "iid_noise_scale=0 leaves the digit without noise, and signals without a density; give it another value"
        )
    if process.final_seq_length > process.length:
        raise ValueError(
            f"final_seq_length={process.final_seq_length} is more than the {process.length} points that carry noise, "
            f"so that signals have no density; it must be at most {process.length}"
        )


def _without_slivers(process: Process) -> Process:
    """The process with ranges of scale and shear that are next to nothing (below NARROW) set to nothing."""
    wide = {name: getattr(process, name) for name in ("scale_coeff", "shear_scale")}
    return replace(process, **{name: width if abs(width) >= NARROW else 0.0 for name, width in wide.items()})


def _moments(process: Process) -> tuple[float, float]:
    recipe = process.recipe()
    return population_moments(**{**recipe, "padding": process.padding})


def _positions(source: Stream) -> Int[np.ndarray, " position"]:
    """The order in which a stream shows positions: the same example, plain and shuffled, has the same values."""
    if not source.process.shuffle_seq:
        return np.arange(source.process.final_seq_length)
    exact = replace(source, dtype=np.dtype(np.float64))
    plain = replace(exact, process=replace(source.process, shuffle_seq=False))
    return np.argsort(plain[0].x)[np.argsort(np.argsort(exact[0].x))]


def _covariances(
    process: Process, backgrounds: Float[np.ndarray, "group point"]
) -> Float[np.ndarray, "group position position"]:
    subsample = stages.subsample(np.eye(process.length), process.final_seq_length).T
    smooth = stages.smooth(np.eye(process.length)).T
    seen = (subsample[None] * backgrounds[:, None]) @ smooth
    correlated = process.corr_noise_scale**2 * (seen @ seen.transpose(0, 2, 1))
    return correlated + process.iid_noise_scale**2 * (subsample @ subsample.T)


@lru_cache(maxsize=4)
def _hypotheses(process: Process) -> Hypotheses:
    """All of them, whitened. Classes whose digits cover different points are different groups."""
    length = process.length
    digits = stages.templates().x
    backgrounds, members, means, weights = [], [], [], []
    for shifted, chance in _shifted(process, digits):
        masks, group = np.unique(shifted == 0, axis=0, return_inverse=True)
        for i, mask in enumerate(masks):
            backgrounds.append(mask.astype(float))
            members.append(group.ravel() == i)
            means.append(shifted)
            weights.append(chance)
    covariances = _covariances(process, np.array(backgrounds))
    lower = np.linalg.cholesky(covariances)
    whiten = np.linalg.inv(lower)
    log_determinant = 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(1)
    subsampled = stages.subsample(np.concatenate(means), process.final_seq_length)
    digit = subsampled.reshape(len(means), len(digits), -1) @ whiten.transpose(0, 2, 1)
    slope = stages.subsample(np.linspace(-0.5, 0.5, length)[None], process.final_seq_length)[0]
    ramp = whiten @ slope * (process.shear_scale != 0)
    ramp_length = np.linalg.norm(ramp, axis=1)
    ramp = ramp / np.maximum(ramp_length, np.finfo(float).tiny)[:, None]
    along = np.einsum("gcp,gp->gc", digit, ramp)
    own = digit - along[..., None] * ramp[:, None]
    across = np.linalg.norm(own, axis=2)
    prior = np.where(np.array(members), np.log(np.array(weights) / len(digits))[:, None], -np.inf)
    return Hypotheses(
        whiten=whiten,
        ramp=ramp,
        ramp_length=ramp_length,
        directions=own / np.maximum(across, np.finfo(float).tiny)[..., None],
        along=along,
        across=across,
        log_weight=prior - 0.5 * (log_determinant + process.final_seq_length * np.log(2 * np.pi))[:, None],
    )


def _shifted(
    process: Process, digits: Float[np.ndarray, "digit point"]
) -> Iterator[tuple[Float[np.ndarray, "digit position"], float]]:
    """The digits at every padding and shift, before scaling, with the chance of that padding and shift.

    Shifts of the length or more leave the signal where it is, as the shift 0 does.
    """
    low, high = process.padding
    dilated = stages.dilator(digits, process)
    shifts = min(process.max_translation, process.length)
    for padding in range(low, high + 1):
        here = dilated(np.arange(len(digits)), np.full(len(digits), padding))
        for shift in range(shifts):
            times = 1 + (process.max_translation - shifts if shift == 0 else 0)
            moved = stages.translate(here, np.full(len(digits), shift))
            yield moved, times / (process.max_translation * (high - low + 1))


def _range(coefficient: float, centre: float) -> tuple[float, float]:
    """Where a uniform of this width and centre lies."""
    return centre - abs(coefficient) / 2, centre + abs(coefficient) / 2


def _posterior(x: Signals, known: Hypotheses, process: Process) -> LogPosterior:
    """Bounds for all hypotheses, likelihoods for those that can matter, a sum over each class."""
    groups, classes = known.along.shape
    low, high = _range(process.scale_coeff, 1.0)
    bounds = np.empty((groups, classes, len(x)))
    for i in range(groups):
        bounds[i] = _bounds(known.whiten[i] @ x.T, i, known, low, high)
    bounds += known.log_weight[..., None]
    least = bounds.max(axis=(0, 1)) - FIRST
    done, found = bounds > least, []
    pairs = np.nonzero(done)
    while len(pairs[0]):
        found.append((pairs, _log_likelihood(x, pairs, known, process)))
        best = np.full(len(x), -np.inf)
        for (_, _, example), likelihood in found:
            np.maximum.at(best, example, likelihood)
        left = (bounds > np.minimum(least, best - MARGIN)) & ~done
        done |= left
        pairs = np.nonzero(left)
    joint = np.zeros((len(x), classes))
    for (_, label, example), likelihood in found:
        np.add.at(joint, (example, label), np.exp(likelihood - best[example]))
    with np.errstate(divide="ignore"):  # a class that is ruled out has the log 0
        return np.log(joint / joint.sum(axis=1, keepdims=True))


def _bounds(
    z: Float[np.ndarray, "position example"], group: int, known: Hypotheses, low: float, high: float
) -> Float[np.ndarray, "class_ example"]:
    """The largest exponent of the density over a in its range and any b: the mean over (a, b) cannot exceed it."""
    rest = np.einsum("pe,pe->e", z, z) - (known.ramp[group] @ z) ** 2
    seen = known.directions[group] @ z
    across = known.across[group][:, None]
    miss = seen - np.clip(seen, low * across, high * across)
    return -0.5 * (rest - seen * seen + miss * miss)


def _log_likelihood(
    x: Signals, pairs: tuple[np.ndarray, ...], known: Hypotheses, process: Process
) -> Float[np.ndarray, " pair"]:
    """log of prior times density for pairs (group, class, example): the mean over the rectangle of (a, b)."""
    group, label, example = pairs
    on_ramp, seen, rest = (np.empty(len(example)) for _ in range(3))
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    for start, stop in pairwise([*starts, len(group)]):  # pairs come group by group
        g, part = group[start], slice(start, stop)
        z = x[example[part]] @ known.whiten[g].T
        on_ramp[part] = z @ known.ramp[g]
        seen[part] = np.einsum("np,np->n", z, known.directions[g][label[part]])
        rest[part] = np.einsum("np,np->n", z, z) - on_ramp[part] ** 2 - seen[part] ** 2
    along, across, ramp = known.along[group, label], known.across[group, label], known.ramp_length[group]
    a, log_weight = _nodes(on_ramp, seen, along, across, ramp, process)
    exponent = -0.5 * (rest[:, None] + (seen[:, None] - a * across[:, None]) ** 2)
    exponent += _over_shear(a * along[:, None] - on_ramp[:, None], ramp[:, None], process)
    exponent += log_weight
    highest = exponent.max(axis=1)
    return highest + np.log(np.exp(exponent - highest[:, None]).sum(axis=1)) + known.log_weight[group, label]


def _nodes(
    on_ramp: Float[np.ndarray, " pair"],
    seen: Float[np.ndarray, " pair"],
    along: Float[np.ndarray, " pair"],
    across: Float[np.ndarray, " pair"],
    ramp: Float[np.ndarray, " pair"],
    process: Process,
) -> tuple[Float[np.ndarray, "pair node"], Float[np.ndarray, "pair node"]]:
    """Values of a, and the logs of their weights in the mean over its range.

    They cover the part of the range around the best a (with b in its own range) outside of which nothing is left.
    """
    if process.scale_coeff == 0:
        return np.ones((len(seen), 1)), np.zeros((len(seen), 1))
    low, high = _range(process.scale_coeff, 1.0)
    tiny = np.finfo(float).tiny
    a = np.clip(seen / np.maximum(across, tiny), low, high)
    if process.shear_scale:
        least, most = _range(process.shear_scale, 0.0)
        for _ in range(2):  # where b would leave its range, it stays at the border and a follows
            wanted = a * along - on_ramp
            b = np.clip(wanted, least * ramp, most * ramp)
            follows = (seen * across + along * (on_ramp + b)) / np.maximum(across**2 + along**2, tiny)
            a = np.where(b == wanted, a, np.clip(follows, low, high))
    reach = REACH / np.maximum(across, tiny)
    first, last = np.maximum(low, a - reach), np.minimum(high, a + reach)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    half = (last - first)[:, None] / 2
    return (first + last)[:, None] / 2 + half * nodes, np.log(half * weights / (high - low))


def _over_shear(
    wanted: Float[np.ndarray, "pair node"], ramp: Float[np.ndarray, "pair 1"], process: Process
) -> Float[np.ndarray, "pair node"]:
    """log of the mean over b of exp(-(b |r| - wanted)^2 / 2): a difference of two normal distribution functions."""
    from scipy.special import ndtr

    least, most = _range(process.shear_scale, 0.0)
    if least == most:
        return -0.5 * wanted**2
    low, high = least * ramp - wanted, most * ramp - wanted
    # Both on the side where small probabilities keep their digits.
    upper = low + high > 0
    low, high = np.where(upper, -high, low), np.where(upper, -low, high)
    with np.errstate(divide="ignore"):
        mass = np.log(ndtr(high) - ndtr(low))
    # Beyond what a float holds: the exponent at the nearer border, which is larger than the truth and very small.
    mass = np.where(high < -37, -0.5 * high * high, mass)
    return mass + np.log(np.sqrt(2 * np.pi) / (ramp * (most - least)))

"""What is known of the Jacobian on pieces of a path: evaluated in batches, halved where the bounds are not sharp."""

from collections.abc import Mapping, Sequence
from math import prod
from time import process_time
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from flyroom.measure import paths
from flyroom.measure.enclosure.rounding import DOWN, TINY, UP, gamma, up
from flyroom.measure.enclosure.spectral import frobenius
from flyroom.measure.enclosure.sweep import Start
from flyroom.measure.trajectory._gains import Gain
from flyroom.measure.trajectory._jacobian import along
from flyroom.measure.trajectory._leaves import GROUP, Pieces, groups, split, start
from flyroom.measure.trajectory._slopes import Extremes
from flyroom.measure.trajectory._stretches import stretches
from flyroom.nets.graph import Graph

FLOOR = 1e-11  # of the product of the affine steps' norms
MEMORY = 1e8  # bytes of a batch's Jacobians, roughly
SMALLEST = 2.0**-45  # of [0, 1]; shorter pieces are not cut
# Of a piece, where the smallest singular value is far below the others: for the infimum, which few pieces decide, and
# for the integral, which all do.
MOST_HALVINGS = (9.0, 4.0)


class Survey(NamedTuple):
    """For every piece, bounds from below and above; see `_stretches.Stretches`.

    `largest` and `smallest` are of |phi'| for each activation; `upper` and `lower` of the products of those over all
    activations at one t: the supremum of the largest ones' product over the piece, the infimum of the smallest ones'.
    """

    most: Float64[np.ndarray, "side piece"]
    least: Float64[np.ndarray, "side piece"]
    norms: Float64[np.ndarray, "side piece"]
    injectivities: Float64[np.ndarray, "side piece"]
    length: Float64[np.ndarray, "side piece"]
    halvings: Float64[np.ndarray, "one piece"]
    strayed: Float64[np.ndarray, "one piece"]
    upper: Float64[np.ndarray, "side piece"]
    lower: Float64[np.ndarray, "side piece"]
    largest: Float64[np.ndarray, "bend*side piece"]
    smallest: Float64[np.ndarray, "bend*side piece"]


class Task(NamedTuple):
    """What to follow along which path: `basis` has one column for each direction."""

    graph: Graph
    path: paths.Path
    order: int
    basis: Float64[np.ndarray, "unit direction"]
    gains: Mapping[int, Gain]
    whole: bool  # the basis is that of all directions, exactly


def strayed(task: Task, begin: Start) -> Float64[np.ndarray, " piece"]:
    """How far the basis may be from an orthonormal one that every tangent lies in the span of, on each piece.

    With an orthonormal basis C of the span of the computed B, |B - C| <= |B^T B - I| (polar decomposition). A tangent
    is C y + r with |r| <= e |x'|; what the network makes of r is covered by counting 2 e into the error of B.
    """
    count = begin.value.shape[-1]
    if task.whole:
        return np.zeros(count)
    b = task.basis
    x = begin.coefficients.reshape(len(b), -1, count)[:, 1:]
    weights = np.arange(1.0, x.shape[1] + 1)[:, None]
    beside = x - np.tensordot(b, np.tensordot(b.T, x, 1), 1)
    sizes, residuals = (frobenius(part.transpose(1, 2, 0)[:, :, None]) for part in (x, beside))
    lost = gamma(2 * len(b) + 8) * float(frobenius(b)) ** 2 * sizes
    rate = frobenius(begin.rate.reshape(len(b), count).T[:, None])
    slowest = sizes[0] - (weights * sizes)[1:].sum(0) * UP - rate
    apart = up((weights * (residuals + lost)).sum(0) + rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        angle = np.where(slowest > 0, np.minimum(apart / slowest * UP, 1.0), 1.0)
    defect = float(frobenius(b.T @ b - np.eye(b.shape[1]))) + gamma(len(b) + 2) * float(frobenius(b)) ** 2
    return up(2 * angle + defect * UP)


def surveyed(task: Task, pieces: Pieces) -> Survey:
    """All pieces, batch by batch."""
    largest = max(int(np.prod(node.shape)) for node in task.graph.nodes)
    batch = int(MEMORY / 8 / (3 * largest * (task.order + 1) * (task.basis.shape[1] + 2)))
    batch = max(batch // GROUP * GROUP, GROUP)
    found = [
        _surveyed(task, Pieces(pieces.low[i : i + batch], pieces.high[i : i + batch]))
        for i in range(0, len(pieces.low), batch)
    ]
    return joined(found)


def joined(found: Sequence[Survey]) -> Survey:
    """All pieces side by side."""
    return Survey(*(np.concatenate([one[i] for one in found], -1) for i in range(len(Survey._fields))))


def _surveyed(task: Task, pieces: Pieces) -> Survey:
    begin = start(task.path, pieces, task.order, task.graph.nodes[0].shape)
    with np.errstate(all="ignore"):  # what is infinite or undefined proves nothing, and is said so in `stretches`
        apart = strayed(task, begin)
        found = along(task.graph, begin, groups(pieces, GROUP), task.basis, apart, task.gains)
        each = stretches(found)
    starts = np.flatnonzero(np.diff(found.origin, prepend=-1))

    def summed(x: np.ndarray) -> np.ndarray:
        low, high = np.add.reduceat(x, starts, axis=-1)
        return np.stack([low * (1 - 2.0**-36), high * (1 + 2.0**-36)])

    def highest(x: np.ndarray) -> np.ndarray:
        return np.maximum.reduceat(x, starts, axis=-1)

    def lowest(x: np.ndarray) -> np.ndarray:
        return np.minimum.reduceat(x, starts, axis=-1)

    upper, lower, largest, smallest = _products(found.extremes, len(found.origin))
    return Survey(
        highest(each.most),
        lowest(each.least),
        summed(each.norms),
        summed(each.injectivities),
        summed(each.length),
        highest(each.halvings[None]),
        apart[None],
        highest(upper),
        lowest(lower),
        highest(largest),
        lowest(smallest),
    )


def _products(found: Mapping[int, Extremes], parts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of all activations' extreme slopes: together at one t, and each for itself."""
    if not found:
        one = np.ones((2, parts))
        return one, one, np.zeros((0, parts)), np.zeros((0, parts))
    bends = list(found.values())
    at = [_product([getattr(one, name) for one in bends]) for name in ("largest_at", "smallest_at")]
    on = [_product([getattr(one, name) for one in bends]) for name in ("largest", "smallest")]
    upper = np.stack([at[0][0].max(0), on[0][1].max(0)])
    lower = np.stack([on[1][0].min(0), at[1][1].min(0)])
    largest = [row for one in bends for row in (one.largest_at[0].max(0), one.largest[1].max(0))]
    smallest = [row for one in bends for row in (one.smallest[0].min(0), one.smallest_at[1].min(0))]
    return upper, lower, np.stack(largest), np.stack(smallest)


def _product(factors: Sequence[np.ndarray]) -> np.ndarray:
    """Of bounds that are not negative, the first row from below and the second from above, underflow included."""
    low, high = np.prod(factors, 0)
    positive = np.min([factor[1] for factor in factors], 0) > 0
    return np.stack([np.maximum(low * DOWN - TINY, 0), high * UP + TINY * positive])


def refined(task: Task, pieces: Pieces, rel_tol: float, most: int, until: float, *, products: bool) -> Survey:
    """Halve the pieces that keep a rung from being as sharp as asked, until none does or nothing more may be spent."""
    kept: list[Survey] = []
    settled = Pieces(np.zeros(0), np.zeros(0))
    found, known = None, pieces
    floor = FLOOR * prod(max(gain.norm, 1.0) for gain in task.gains.values())
    while True:
        begun = process_time()
        new = surveyed(task, known)
        each = (process_time() - begun) / len(known.low)
        found = new if found is None else joined([*kept, new])
        settled = Pieces(np.concatenate([settled.low, known.low]), np.concatenate([settled.high, known.high]))
        scores = _scores(found, rel_tol / 2, products, floor)
        again = (scores > 1) & (settled.high - settled.low > SMALLEST)
        if not again.any():
            return found
        with np.errstate(divide="ignore"):
            times = np.clip(np.ceil(np.log2(np.maximum(scores, 1)) / 3), 1, 3).astype(int)
        cost = np.where(again, 2.0**times, 0)
        allowed = min(most - len(settled.low), (until - process_time()) / max(each, 1e-9))
        order = np.argsort(-scores)
        again[order[np.cumsum(cost[order]) > allowed]] = False
        if not again.any():
            return found
        known = split(Pieces(settled.low[again], settled.high[again]), times[again])
        settled = Pieces(settled.low[~again], settled.high[~again])
        kept = [Survey(*(part[..., ~again] for part in found))]


def _scores(found: Survey, tol: float, products: bool, floor: float) -> np.ndarray:
    """For every piece how many times its gap is too wide for one of the rungs; at most 1 where nothing is to do.

    Norms below the floor are rounding: halving makes them no sharper.
    """
    count = found.most.shape[1]
    if found.most[1].max() < floor:
        return np.zeros(count)
    few, many = (found.halvings[0] <= most for most in MOST_HALVINGS)
    score = np.maximum(_share(found.norms, tol, count), _above(found.most, tol))
    score = np.maximum(score, np.where(many, _share(found.injectivities, tol, count), 0))
    score = np.maximum(score, np.where(few, _below(found.least, tol), 0))
    if products:
        score = np.maximum(score, np.maximum(_above(found.upper, tol), _below(found.lower, tol)))
    return score


def _share(sums: np.ndarray, tol: float, count: int) -> np.ndarray:
    gap, total = sums[1] - sums[0], sums[1].sum()
    if not total > 0 or (np.isfinite(total) and gap.sum() <= tol * total):
        return np.zeros(count)
    if not np.isfinite(total):
        return np.where(np.isfinite(gap), 0, np.inf)
    return gap / (tol * total / count)


def _above(bounds: np.ndarray, tol: float) -> np.ndarray:
    best = bounds[0].max()
    if not best > 0:
        return np.zeros(bounds.shape[1])
    return np.where(bounds[1] > best * (1 + tol), (bounds[1] - best) / (best * tol), 0)


def _below(bounds: np.ndarray, tol: float) -> np.ndarray:
    best = bounds[1].min()
    if not best > 0:
        return np.zeros(bounds.shape[1])
    return np.where(bounds[0] < best * (1 - tol), (best - bounds[0]) / (best * tol), 0)

"""The slopes of an activation along pieces: polynomials of phi'(u(tau)) for every unit, and what they are off by."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from flyroom.measure.enclosure import functions, kinks
from flyroom.measure.enclosure.composition import composed
from flyroom.measure.enclosure.models import Model, Sources, sizes, spread
from flyroom.measure.enclosure.rounding import TINY, UNIT, UP, gamma, up
from flyroom.nets.derivatives import known
from flyroom.nets.graph import Node

BENDS = ("activation", "elementwise", "prelu")
NODES = 16  # cells of a piece on which the largest and the smallest slope are bounded
NUMBERS = 2**22  # at once


class Slopes(NamedTuple):
    """phi'(u) = sum_k coefficients[k] tau^k up to `error`, and always between `low` and `high`.

    Where a unit lies on both sides of a kink (`open`), its slope is `low` or `high` at almost every tau.
    """

    coefficients: Float64[np.ndarray, "*example order piece"]
    error: Float64[np.ndarray, "*example piece"]
    low: Float64[np.ndarray, "*example piece"]
    high: Float64[np.ndarray, "*example piece"]
    open: Bool[np.ndarray, "*example piece"]


def slopes_along(node: Node, model: Model, sources: Sources) -> Slopes:
    """Of a step that acts number by number, on pieces that have been cut at its kinks."""
    error = spread(model, sources)[0]
    name = node.attributes.get("name", "prelu")
    if name not in (*kinks.PIECEWISE, "prelu"):
        return _smooth(name, model.coefficients, error)
    places, levels = _straight(node)
    where = [kinks.sides(_moved(model.coefficients, place), error) for place in places]
    nothing = np.zeros(error.shape, int)
    first = sum(((side > 0).astype(int) for side in where), nothing)
    last = sum(((side >= 0).astype(int) for side in where), nothing)
    count = np.arange(len(levels)).reshape(-1, *(1,) * error.ndim)
    on = (count >= first) & (count <= last)
    each = np.stack([np.broadcast_to(level, error.shape) for level in levels])
    low, high = np.where(on, each, np.inf).min(0), np.where(on, each, -np.inf).max(0)
    if name == "elu":
        return _elu(model.coefficients, error, on, first == last)
    middle = (low + high) / 2
    return Slopes(middle[..., None, :], np.maximum(high - middle, middle - low) * UP, low, high, low < high)


def _straight(node: Node) -> tuple[tuple[float, ...], list[np.ndarray]]:
    """Kinks from left to right, and the slopes between them."""
    if node.op == "prelu":
        slope = np.asarray(node.weights["slope"], np.float64)
        slope = slope.reshape(-1, *(1,) * (len(node.shape) - 1)) if slope.size > 1 else slope.reshape(-1)
        return (0.0,), [np.broadcast_to(slope, node.shape)[..., None], np.ones(1)]
    name = node.attributes["name"]
    if name in ("abs", "elu"):
        return (0.0,), [np.array([-1.0 if name == "abs" else 0.0]), np.ones(1)]
    about = known(name, node.attributes.get("slope"))
    return about.joints, [np.array([slope]) for slope in about.slopes]


def _moved(coefficients: np.ndarray, kink: float) -> np.ndarray:
    moved = coefficients.copy()
    moved[..., 0, :] -= kink
    return moved


def _smooth(name: str, inner: np.ndarray, error: np.ndarray) -> Slopes:
    """phi' expanded like phi itself, one derivative further: its coefficients are (i + 1) a_(i + 1)."""
    order, centre = inner.shape[-2] - 1, inner[..., 0, :]
    stray = sizes(inner)[0]
    reach = up(stray + error + UNIT * np.abs(centre)) * UP  # the ends of the range are rounded too
    there = np.isfinite(centre) & np.isfinite(reach)
    centre, reach = np.where(there, centre, 0), np.where(there, reach, np.inf)
    low, high = centre - reach, centre + reach
    local = functions.local(name, centre, order + 1)
    factors = np.arange(1.0, order + 2).reshape(-1, *(1,) * centre.ndim)
    outer = factors * local.coefficients[1:]
    off = factors * local.errors[1:] + UNIT * np.abs(outer)
    found = composed(outer, inner)
    size, powers = found.value + off[0], np.ones_like(stray)
    for i in range(1, order + 1):
        powers = powers * stray
        size = size + off[i] * powers
    # Lagrange's remainder of phi' is (order + 2) times that of phi; the last term is what u itself is off by.
    size = size + (order + 2) * functions.remainder(name, low, high, order + 2) * powers * stray
    size = size + 2 * functions.remainder(name, low, high, 2) * error
    least, most = functions.slopes(name, low, high)
    return Slopes(found.coefficients, up(size) * UP, least, most, np.zeros(error.shape, bool))


def _elu(inner: np.ndarray, error: np.ndarray, on: np.ndarray, sure: np.ndarray) -> Slopes:
    """exp(u) below 0 and 1 above; where both are possible, all between."""
    below = _smooth("expm1", np.where(on[0][..., None, :], inner, 0.0), np.where(on[0], error, 0.0))
    coefficients = np.zeros_like(below.coefficients)
    coefficients[..., 0, :] = 1.0
    low = np.where(on[0], np.minimum(below.low, 1.0), 1.0)
    high = np.where(sure & on[0], below.high, 1.0)
    bent = sure & on[0]
    middle = (low + high) / 2
    coefficients[..., 0, :] = np.where(sure, 1.0, middle)
    new = np.where(bent[..., None, :], below.coefficients, coefficients)
    off = np.where(bent, below.error, np.where(sure, 0.0, np.maximum(high - middle, middle - low) * UP))
    return Slopes(new, off, low, high, np.zeros(error.shape, bool))


class Extremes(NamedTuple):
    """The largest and the smallest |phi'| among all units of a step: at places of each piece, and on cells between.

    Where a slope is shown to be 0 somewhere on a piece, that stands at its first place. Each is bounded
    from below and above: the first row is below, the second above.
    """

    largest_at: Float64[np.ndarray, "side place piece"]
    smallest_at: Float64[np.ndarray, "side place piece"]
    largest: Float64[np.ndarray, "side cell piece"]
    smallest: Float64[np.ndarray, "side cell piece"]


def extremes(slopes: Slopes) -> Extremes:
    """By the polynomials' values at NODES + 1 places, and what they bend between two of them."""
    count, pieces = slopes.coefficients.shape[-2:]
    flat = [slopes.coefficients.reshape(-1, count, pieces), *(part.reshape(-1, pieces) for part in slopes[1:])]
    step = max(NUMBERS // (len(flat[0]) * (NODES + 1)), 1)
    parts = [_extremes(*(part[..., i : i + step] for part in flat)) for i in range(0, pieces, step)]
    return Extremes(*(np.concatenate([part[i] for part in parts], -1) for i in range(4)))


def _extremes(
    coefficients: np.ndarray, error: np.ndarray, low: np.ndarray, high: np.ndarray, open_: np.ndarray
) -> Extremes:
    units, count, pieces = coefficients.shape
    tau = np.linspace(-1, 1, NODES + 1)
    powers = tau[:, None] ** np.arange(count)
    at = (powers @ coefficients.transpose(1, 0, 2).reshape(count, -1)).reshape(NODES + 1, units, pieces)
    sizes_ = np.abs(coefficients)
    off = up(error + gamma(3 * count + 2) * sizes_.sum(1))
    orders = np.arange(count)
    bend = up(np.einsum("k,ukp->up", orders * (orders - 1.0), sizes_)) * ((2 / NODES) ** 2 / 8)
    places = _absolute(np.maximum(at - off, low), np.minimum(at + off, high))
    cell_low = np.maximum(np.minimum(at[:-1], at[1:]) - up(off + bend), low)
    cell_high = np.minimum(np.maximum(at[:-1], at[1:]) + up(off + bend), high)
    cells = _absolute(cell_low, cell_high)
    # An open unit's slope is one of both at almost every tau: that of |u| is never near 0.
    sides = np.sort(np.abs([low, high]), 0)
    places, cells = (
        [np.where(open_, side, part) for side, part in zip(sides, each, strict=True)] for each in (places, cells)
    )
    smallest = np.stack([part.min(1) for part in places])
    # Continuous slopes that are below 0 at one place and above at another are 0 between them.
    crossing = ((at - off > 0).any(0) & (at + off < 0).any(0) & (count > 1)).any(0)
    smallest[1, 0, crossing] = 0.0
    return Extremes(
        np.stack([part.max(1) for part in places]),
        smallest,
        np.stack([part.max(1) for part in cells]),
        np.stack([part.min(1) for part in cells]),
    )


def _absolute(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the absolute value; rounding of the two subtractions before is made good."""
    least = np.maximum(np.maximum(low, -high), 0) * (1 - 2.0**-50)
    return np.maximum(least - TINY, 0), np.maximum(np.abs(low), np.abs(high)) * (1 + 2.0**-50)


def carried(found: Extremes, parent: np.ndarray) -> Extremes:
    """Of parts of pieces: what holds everywhere on the whole piece holds on each part."""
    ends = []
    for cells in (found.largest, found.smallest):
        low, high = cells[0].min(0), cells[1].max(0)
        ends.append(np.stack([low, high])[:, None, parent])
    places, cell = found.largest_at.shape[1], found.largest.shape[1]
    return Extremes(*(np.repeat(end, places, 1) for end in ends), *(np.repeat(end, cell, 1) for end in ends))

"""Steps with kinks: activations made of parts, and maxima.

Where a value crosses a kink is guessed in float64 and the pieces are cut around it, so that outside of windows a few
roundings wide every number is proved to lie on one side, and there the step is as smooth as its part. In the windows,
and where a value touches a kink without crossing it, the slope is only known to lie between those of both sides; that
costs the length of the window, not its proof.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

from flyroom.measure.enclosure.composite import windows
from flyroom.measure.enclosure.linear import aligned
from flyroom.measure.enclosure.models import Model, Sources, rearranged, sizes, spread
from flyroom.measure.enclosure.roots import Parts, cuts
from flyroom.measure.enclosure.rounding import UP, gamma, up
from flyroom.measure.enclosure.smooth import combined, expanded
from flyroom.nets.derivatives import known
from flyroom.nets.graph import Node

__all__ = ["KINKED", "PIECEWISE", "Parts", "maximum", "parts", "piecewise"]

PIECEWISE = ("relu", "leaky_relu", "hard_tanh", "identity", "abs", "elu")
KINKED = ("activation", "elementwise", "prelu", "max_pool", "maximum")
Bound = Float64[np.ndarray, "*example piece"]


class Pieces(NamedTuple):
    """A function made of parts between kinks; `slopes` and `offsets` are numbers, or arrays with an axis for pieces.

    `curved` names the smooth function that the first part is, where it is not straight.
    """

    kinks: tuple[float, ...]
    slopes: tuple[float | np.ndarray, ...]
    offsets: tuple[float, ...]
    curved: str = ""


def pieces_of(node: Node) -> Pieces:
    """The parts of a step's activation."""
    if node.op == "prelu":
        slope = np.asarray(node.weights["slope"], np.float64)
        slope = slope.reshape(-1, *(1,) * (len(node.shape) - 1)) if slope.size > 1 else slope.reshape(-1)
        return Pieces((0.0,), (np.broadcast_to(slope, node.shape)[..., None], 1.0), (0.0, 0.0))
    name = node.attributes["name"]
    if name == "abs":
        return Pieces((0.0,), (-1.0, 1.0), (0.0, 0.0))
    if name == "elu":
        return Pieces((0.0,), (0.0, 1.0), (0.0, 0.0), "expm1")
    about = known(name, node.attributes.get("slope"))
    return Pieces(about.joints, about.slopes, about.offsets)


def parts(node: Node, inputs: Sequence[Model], sources: Sources) -> Parts | None:
    """Where to cut the pieces before a step; None where nothing is to be cut."""
    if node.op in ("max_pool", "maximum"):
        values, errors, there = _candidates(node, inputs, sources)
        _, leader, its = _leading(values, errors, there)
        differences = leader - values
        differences[:, :, 0][~there] = np.inf  # the padding, which never wins
        return cuts([(differences, errors + its)])
    if node.op != "prelu" and node.attributes["name"] not in PIECEWISE:
        return None
    (model,) = inputs
    error = spread(model, sources)[0]
    return cuts([(_moved(model.coefficients, kink), error) for kink in pieces_of(node).kinks])


def _moved(coefficients: np.ndarray, kink: float) -> np.ndarray:
    if not kink:
        return coefficients
    moved = coefficients.copy()
    moved[..., 0, :] -= kink
    return moved


def sides(coefficients: Float64[np.ndarray, "*example order piece"], error: Bound) -> Int[np.ndarray, "*example piece"]:
    """1 where a value is proved to be at least 0 on the whole piece, -1 where at most 0, and 0 where neither is known.

    By the sum of the coefficients, or at both ends where the polynomial is monotone on the piece.
    """
    order = coefficients.shape[-2]
    size = np.abs(coefficients[..., 1:, :])  # summed without `up`, which would lose what is near the end of a window
    middle, stray = coefficients[..., 0, :], size.sum(-2)
    slack = error * UP + gamma(order + 3) * (np.abs(middle) + stray)
    low, high = middle - stray - slack, middle + stray + slack
    if order > 2:
        others = (np.arange(2.0, order)[:, None] * size[..., 1:, :]).sum(-2)
        monotone = size[..., 0, :] > up(others)
        ends = np.stack([coefficients.sum(-2), (coefficients * (-1.0) ** np.arange(order)[:, None]).sum(-2)])
        low = np.where(monotone, np.maximum(low, ends.min(0) - slack), low)
        high = np.where(monotone, np.minimum(high, ends.max(0) + slack), high)
    return (low >= 0).astype(int) - ((high <= 0) & (low < 0)).astype(int)


def piecewise(node: Node, inputs: Sequence[Model], sources: Sources) -> tuple[Model, Sources]:
    """An activation made of parts, on pieces that have been cut at its kinks as well as that could be done."""
    (model,), about = inputs, pieces_of(node)
    u, error = model.coefficients, spread(model, sources)[0]
    stray, pace = sizes(u)
    if not about.kinks:
        low = high = np.broadcast_to(np.asarray(about.slopes[0], float), stray.shape)
        return combined(
            u.copy(), [((low, high), model)], (np.zeros_like(stray), np.zeros_like(stray)), sources, new=False
        )
    where = [sides(_moved(u, kink), error) for kink in about.kinks]
    first = np.sum([side > 0 for side in where], 0)  # the first part that u may be on, and the last
    last = np.sum([side >= 0 for side in where], 0)
    slopes = np.stack([np.broadcast_to(np.asarray(slope, float), stray.shape) for slope in about.slopes])
    offsets = np.asarray(about.offsets)
    count = np.arange(len(slopes)).reshape(-1, *(1,) * stray.ndim)
    on = (count >= first) & (count <= last)
    curved = _curved(about, u, error, on[0]) if about.curved else None
    lows, highs = slopes.copy(), slopes.copy()
    if curved is not None:
        lows[0], highs[0] = curved.slopes
    low, high = np.where(on, lows, np.inf).min(0), np.where(on, highs, -np.inf).max(0)
    sure = np.equal(first, last)
    slope = np.where(sure, np.take_along_axis(slopes, first[None], 0)[0], (low + high) / 2)
    kink = np.asarray(about.kinks)[np.minimum(first, len(about.kinks) - 1)]
    offset = np.where(sure, offsets[first], _at(about, kink) - slope * kink)
    new = slope[..., None, :] * u
    new[..., 0, :] += offset
    away = up(np.maximum(high - slope, slope - low)) * ~sure
    size = np.abs(u[..., 0, :]) + stray
    lost = gamma(2) * ((np.abs(slope) != 1) & (slope != 0) | (offset != 0))
    rounding = lost * (np.abs(slope) * size + np.abs(offset) + np.abs(slope * kink))
    value = away * (np.abs(u[..., 0, :] - kink) * UP + stray) + rounding
    rate = away * pace + lost * np.abs(slope) * pace
    if curved is not None:
        bent = sure & (first == 0)
        new = np.where(bent[..., None, :], curved.coefficients, new)
        value, rate = np.where(bent, curved.value, value), np.where(bent, curved.rate, rate)
    return combined(new, [((low, high), model)], (up(value), up(rate)), sources, new=True)


def _curved(about: Pieces, u: np.ndarray, error: Bound, on: np.ndarray):
    """The smooth first part where u may lie on it; elsewhere of 0, which is not looked at."""
    return expanded(about.curved, np.where(on[..., None, :], u, 0.0), np.where(on, error, 0.0))


def _at(about: Pieces, kink: np.ndarray) -> np.ndarray:
    """The value at a kink, exactly: by the straight part after it."""
    part = np.searchsorted(np.asarray(about.kinks), kink) + 1
    last = [np.asarray(slope, float).ravel()[0] for slope in about.slopes]  # those after the first kink are numbers
    return np.asarray(last)[part] * kink + np.asarray(about.offsets)[part]


# Maxima --------------------------------------------------------------------------------------------------------------


def _candidates(
    node: Node, inputs: Sequence[Model], sources: Sources
) -> tuple[
    Float64[np.ndarray, "candidate unit order piece"],
    Float64[np.ndarray, "candidate unit piece"],
    Bool[np.ndarray, "candidate unit piece"],
]:
    """The polynomials that compete in each window, their errors, and which of them are there: padding is not."""
    models = _competing(node, inputs)
    values = np.stack([model.coefficients for model, _ in models])
    errors = np.stack([spread(model, sources)[0] for model, _ in models])
    there = np.stack([np.broadcast_to(inside[:, None], errors.shape[1:]) for _, inside in models])
    return values, errors, there


def _competing(node: Node, inputs: Sequence[Model]) -> list[tuple[Model, np.ndarray]]:
    """One flattened model for each place of the windows, and which of its units are not padding."""
    if node.op == "max_pool":
        return windows(node, inputs[0])
    shape, found = node.shape, []
    for model in aligned(inputs):
        wide = rearranged(model, lambda part: np.broadcast_to(part, (*shape, *part.shape[len(shape) :])))
        flat = rearranged(wide, lambda part: part.reshape(prod(shape), *part.shape[len(shape) :]))
        found.append((flat, np.ones(len(flat.value), bool)))
    return found


def _leading(values: np.ndarray, errors: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which candidate is the largest in the middle of each piece, its polynomial and its error."""
    middle = np.where(there, values[:, :, 0], -np.inf)
    leader = middle.argmax(0)[None]
    return leader, np.take_along_axis(values, leader[:, :, None], 0), np.take_along_axis(errors, leader, 0)


def maximum(node: Node, inputs: Sequence[Model], sources: Sources) -> tuple[Model, Sources]:
    """The largest of several values, on pieces that have been cut where the first place changes hands."""
    models = _competing(node, inputs)
    values, errors, there = _candidates(node, inputs, sources)
    leader, chosen, its = _leading(values, errors, there)
    differences = chosen - values
    rounding = gamma(2) * (np.abs(chosen) + np.abs(values)).sum(2)
    rounding_rate = gamma(2) * (np.abs(chosen) + np.abs(values)).sum(2) * values.shape[2]
    apart = up(errors + its + rounding)
    leading = np.arange(len(values))[:, None, None] == leader
    behind = (sides(differences, apart) > 0) | ~there
    contend = ~behind & ~leading
    stray, pace = sizes(differences)
    size = np.abs(differences[:, :, 0]) + stray + rounding
    value = np.where(contend, size, 0).max(0)
    rate = np.where(contend, pace + rounding_rate, 0).max(0)
    open_ = contend.any(0)
    terms = []
    for i, (model, _) in enumerate(models):
        low = (leading[i] & ~open_).astype(float)
        high = (leading[i] | contend[i]).astype(float)
        terms.append(((low, high), model))
    model, sources = combined(chosen[0], terms, (up(value), up(rate)), sources, new=False)
    return rearranged(model, lambda part: part.reshape(*node.shape, *part.shape[1:])), sources

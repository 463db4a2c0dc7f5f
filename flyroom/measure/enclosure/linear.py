"""What affine steps and sums make of models: coefficients, bounds and reach all go through the linear part."""

from collections.abc import Callable, Sequence

import numpy as np

from flyroom.measure.enclosure import affine
from flyroom.measure.enclosure.models import Model, Sources, gross, settled, sizes, spread
from flyroom.measure.enclosure.rounding import UNIT, UP, gamma, up
from flyroom.nets.graph import Node


def columns(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, axes: int) -> np.ndarray:
    """Apply a map of (*example, column) arrays to one whose last `axes` axes are all columns."""
    mapped = function(x.reshape(*x.shape[: x.ndim - axes], -1))
    return mapped.reshape(*mapped.shape[:-1], *x.shape[x.ndim - axes :])


def mapped(node: Node, model: Model, sources: Sources) -> Model:
    """The model of what an affine step (`affine.MAPS`) makes of a value."""
    count = affine.operations(node, model.value.shape[:-1])
    new = columns(lambda x: affine.mapped(node, x), model.coefficients, 2)
    reach = columns(lambda x: affine.mapped(node, x), model.reach, 2)
    lost = gamma(count) if count else 0.0
    stray, pace = sizes(model.coefficients)
    whole, whole_rate = spread(model, sources)
    # Rounding: of the coefficients, and of the entries of `reach`, a part of all that goes through it.
    through_reach, rate_through = gross(model, sources)
    off, off_rate = lost * (stray + np.abs(model.coefficients[..., 0, :]) + through_reach), lost * (pace + rate_through)
    tracked = model.reach.shape[-1] > 0
    bounds = [model.value + off, model.rate + off_rate, *((whole + off, whole_rate + off_rate) if tracked else ())]
    through = columns(lambda x: affine.magnitude(node, x), np.stack(bounds, -2), 2)
    seen = [up(through[..., i, :]) * (UP + lost) for i in range(len(bounds))]
    added = affine.bias(node)
    if added is not None:
        new = np.array(new) if new.base is not None else new
        new[..., 0, :] += added.value[..., None]
        seen[0::2] = [up(value + lost * added.size[..., None]) for value in seen[0::2]]
    return settled(Model(new, seen[0], seen[1], reach), sources, (seen[2], seen[3]) if tracked else None)


def _widened(model: Model, rank: int, sources: int) -> Model:
    """With leading axes of length 1 up to a rank, and zeros for sources that it has not seen."""
    ahead = (1,) * (rank - (model.value.ndim - 1))
    reach = model.reach
    missing = sources - reach.shape[-1]
    if missing:
        reach = np.concatenate([reach, np.zeros((*reach.shape[:-1], missing))], -1)
    known = None if model.known is None else tuple(part.reshape(*ahead, *part.shape) for part in model.known)
    return Model(*(part.reshape(*ahead, *part.shape) for part in (*model[:3], reach)), known)  # pyright: ignore


def aligned(inputs: Sequence[Model]) -> list[Model]:
    """Models of one rank and with as many sources, so that NumPy's rules do the rest."""
    rank = max(model.value.ndim - 1 for model in inputs)
    count = max(model.reach.shape[-1] for model in inputs)
    return [_widened(model, rank, count) for model in inputs]


def summed(a: Model, b: Model, sign: float, sources: Sources) -> Model:
    """a + sign b, for models that are `aligned`; sign is 1 or -1."""
    (ea, ra), (eb, rb) = spread(a, sources), spread(b, sources)
    (ga, sa), (gb, sb) = gross(a, sources), gross(b, sources)
    new = a.coefficients + sign * b.coefficients
    stray, pace = sizes(new)
    # One rounding of each coefficient, and one of each entry of reach.
    value = a.value + b.value + UNIT * (stray + np.abs(new[..., 0, :]) + ga + gb)
    rate = a.rate + b.rate + UNIT * (pace + sa + sb)
    also = (up(ea + eb + value) * UP, up(ra + rb + rate) * UP)
    return settled(Model(new, up(value) * UP, up(rate) * UP, a.reach + sign * b.reach), sources, also)

"""Steps that bend: smooth functions number by number, and products of values.

With u = P + e (`models.py`), c the middle value of P, and f expanded around c to order N:

    f(u) = sum_i a_i (P - c)^i  +  [what was cut off]  +  K r^(N+1)  +  f'(somewhere) e
    d/dtau f(u) = f'(u) (P' + e')

where K bounds |f^(N+1)| / (N+1)! on the range of u. The last terms go into `reach` with the middle slope of the group,
and what the slope strays from it becomes a new source.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from flyroom.measure.enclosure import functions
from flyroom.measure.enclosure.composition import composed, product
from flyroom.measure.enclosure.functions import NAMES
from flyroom.measure.enclosure.models import Model, Sources, gross, settled, sizes, spread
from flyroom.measure.enclosure.rounding import UNIT, UP, gamma, up

__all__ = ["NAMES", "applied", "combined", "expanded", "multiplied"]

Bound = Float64[np.ndarray, "*example piece"]


class Expanded(NamedTuple):
    """f(u) as a polynomial, what it and its rate are off by beside the error of u, and the slopes that that meets."""

    coefficients: Float64[np.ndarray, "*example order piece"]
    value: Bound
    rate: Bound
    slopes: tuple[Bound, Bound]


def expanded(name: str, inner: Float64[np.ndarray, "*example order piece"], error: Bound) -> Expanded:
    """f of values that are off from a polynomial by at most `error`."""
    order, centre = inner.shape[-2] - 1, inner[..., 0, :]
    stray, pace = sizes(inner)
    reach = up(stray + error + UNIT * np.abs(centre)) * UP  # the ends of the range are rounded too
    there = np.isfinite(centre) & np.isfinite(reach)  # elsewhere the bounds have left the numbers; so will what follows
    centre, reach = np.where(there, centre, 0), np.where(there, reach, np.inf)
    low, high = centre - reach, centre + reach
    outer = functions.local(name, centre, order)
    found = composed(outer.coefficients, inner)
    rest = functions.remainder(name, low, high, order + 1)
    bend = 2 * functions.remainder(name, low, high, 2)
    powers = np.ones_like(stray)  # of the stray: stray^i for i = order at the end
    value, rate = found.value + outer.errors[0], found.rate
    for i in range(1, order + 1):
        rate = rate + i * outer.errors[i] * powers * pace
        powers = powers * stray
        value = value + outer.errors[i] * powers
    value = value + rest * powers * stray
    rate = rate + (order + 1) * rest * powers * pace + bend * error * pace
    value, rate = (np.where(there, up(one) * UP, np.inf) for one in (value, rate))
    return Expanded(found.coefficients, value, rate, functions.slopes(name, low, high))


def applied(name: str, model: Model, sources: Sources) -> tuple[Model, Sources]:
    """f of a value, number by number."""
    found = expanded(name, model.coefficients, spread(model, sources)[0])
    return combined(found.coefficients, [(found.slopes, model)], (found.value, found.rate), sources, new=True)


def combined(
    coefficients: Float64[np.ndarray, "*example order piece"],
    terms: Sequence[tuple[tuple[Bound, Bound], Model]],
    made: tuple[Bound, Bound],
    sources: Sources,
    *,
    new: bool,
) -> tuple[Model, Sources]:
    """The model of a value whose error is sum_j slope_j e_j + what is made here, each slope within bounds.

    For the rates the same with e_j'. With `new`, what is made here and all direct errors become sources of their own,
    one for each number; otherwise they stay direct.
    """
    value, rate = made
    whole, whole_rate = made
    reach: np.ndarray = np.zeros(())
    for (low, high), model in terms:
        error, error_rate = spread(model, sources)
        summed, summed_rate = gross(model, sources)
        steep = np.maximum(np.abs(low), np.abs(high))
        whole, whole_rate = whole + steep * error, whole_rate + steep * error_rate
        if not sources.tracked:
            reach = model.reach
            continue
        middle, off = _by_group(low, high, sources)
        of_piece = np.abs(middle[..., sources.group])
        # The entries of reach are rounded once here, which 2^-50 of what they sum to makes good.
        value = value + off * error + of_piece * (model.value + 2.0**-50 * summed)
        rate = rate + off * error_rate + of_piece * (model.rate + 2.0**-50 * summed_rate)
        reach = reach + middle[..., None] * model.reach
    whole, whole_rate = up(whole) * UP, up(whole_rate) * UP
    if not sources.tracked:
        return Model(coefficients, whole, whole_rate, reach), sources
    value, rate = up(value) * UP, up(rate) * UP
    if not new:
        return settled(Model(coefficients, value, rate, reach), sources, (whole, whole_rate)), sources
    count = value[..., 0].size
    groups, before = reach.shape[-2:]
    missing = len(sources.value) - before  # made after these models, by steps that these do not depend on
    own = np.broadcast_to(np.eye(count).reshape(*value.shape[:-1], 1, count), (*value.shape[:-1], groups, count))
    gap = np.zeros((*reach.shape[:-1], missing))
    nothing = np.zeros_like(value)
    grown = Sources(
        np.concatenate([sources.value, value.reshape(count, -1)]),
        np.concatenate([sources.rate, rate.reshape(count, -1)]),
        sources.group,
    )
    model = Model(coefficients, nothing, nothing, np.concatenate([reach, gap, own], -1))
    return settled(model, grown, (whole, whole_rate)), grown


def _by_group(low: Bound, high: Bound, sources: Sources) -> tuple[np.ndarray, np.ndarray]:
    """The middle slope of each group, and how far the slopes on each piece may be from it."""
    starts = np.flatnonzero(np.diff(sources.group, prepend=-1))
    least, most = np.minimum.reduceat(low, starts, axis=-1), np.maximum.reduceat(high, starts, axis=-1)
    middle = (least + most) / 2
    of_piece = middle[..., sources.group]
    return middle, np.maximum(high - of_piece, of_piece - low) * UP


def multiplied(a: Model, b: Model, sources: Sources) -> tuple[Model, Sources]:
    """The product of two values of shapes that fit by NumPy's rules: e = b e_a + P_a e_b, rates by the product rule."""
    shape = np.broadcast_shapes(a.value.shape[:-1], b.value.shape[:-1])
    a, b = (_broadcast(model, shape) for model in (a, b))
    found = product(a.coefficients, b.coefficients)
    (ea, ra), (eb, rb) = spread(a, sources), spread(b, sources)
    (stray_a, pace_a), (stray_b, pace_b) = sizes(a.coefficients), sizes(b.coefficients)
    middle_a, middle_b = a.coefficients[..., 0, :], b.coefficients[..., 0, :]
    # With a = P + e, b = Q + g: ab - PQ = b e + P g, and (ab)' - (PQ)' = b e' + P g' + Q' e + P' g + e g'.
    range_b, range_a = up(stray_b + eb) * UP, stray_a * UP
    lost = gamma(4)
    made = (
        found.value + lost * (np.abs(middle_b) * ea + np.abs(middle_a) * eb),
        found.rate + pace_b * ea + pace_a * eb + ea * rb + lost * (np.abs(middle_b) * ra + np.abs(middle_a) * rb),
    )
    terms = [((middle_b - range_b, middle_b + range_b), a), ((middle_a - range_a, middle_a + range_a), b)]
    return combined(found.coefficients, terms, (up(made[0]), up(made[1])), sources, new=False)


def _broadcast(model: Model, shape: tuple[int, ...]) -> Model:
    if model.value.shape[:-1] == shape:
        return model
    return Model(
        np.broadcast_to(model.coefficients, (*shape, *model.coefficients.shape[-2:])),
        np.broadcast_to(model.value, (*shape, model.value.shape[-1])),
        np.broadcast_to(model.rate, (*shape, model.rate.shape[-1])),
        np.broadcast_to(model.reach, (*shape, *model.reach.shape[-2:])),
    )

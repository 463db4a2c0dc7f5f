"""Taylor models of values along a path: a polynomial on each piece, and what the true value may differ from it by.

On a piece, tau runs from -1 to 1. `coefficients` are those of the polynomial P(tau). The true value is P + e and its
derivative by tau is P' + e', and there are two kinds of error:

- `value` and `rate` bound |e| and |e'| number by number ("direct" errors);
- the rest has come from *sources*, errors made at earlier steps, through the network's own Jacobian: e = M s + ...,
  with |s| bounded by the sources' sizes. `reach` is M, one for each group of neighbouring pieces. Errors that go
  through the product of the layers' Jacobians cancel as the true ones do; through a product of norms they would grow
  by a factor of two a layer (for bounds of values: Berz and Makino, *Reliable Computing* 4, 1998).
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from flyroom.measure.enclosure.rounding import UP, gamma, up

Bound = Float64[np.ndarray, "*example piece"]


class Model(NamedTuple):
    """A value of one step along the pieces. Errors are not negative."""

    coefficients: Float64[np.ndarray, "*example order piece"]
    value: Bound
    rate: Bound
    reach: Float64[np.ndarray, "*example group source"]
    known: tuple[Bound, Bound] | None = None  # what `spread` says of it, where that has been computed
    gross: tuple[Bound, Bound] | None = None  # what its errors sum to through `reach`, which may be more


class Sources(NamedTuple):
    """Sizes of the errors made so far, for values and for rates; each piece belongs to a group, groups in order.

    Where they are not `tracked`, all errors stay direct: cheaper, and as good while a network is shallow.
    """

    value: Float64[np.ndarray, "source piece"]
    rate: Float64[np.ndarray, "source piece"]
    group: Int[np.ndarray, " piece"]
    tracked: bool = True


def spread(model: Model, sources: Sources) -> tuple[Bound, Bound]:
    """Bounds of all that value and rate may differ from the polynomial and its derivative by."""
    return _summed(model, sources) if model.known is None else model.known


def gross(model: Model, sources: Sources) -> tuple[Bound, Bound]:
    """What the errors sum to through `reach`: what rounding of `reach` is a part of, even where less is known."""
    return _summed(model, sources) if model.gross is None else model.gross


def _summed(model: Model, sources: Sources) -> tuple[Bound, Bound]:
    count = model.reach.shape[-1]
    if count == 0:
        return model.value, model.rate
    shape, pieces = model.value.shape, model.value.shape[-1]
    reach = np.abs(model.reach).reshape(-1, *model.reach.shape[-2:])
    found = np.empty((len(reach), 2, pieces))
    edges = np.searchsorted(sources.group, np.arange(reach.shape[1] + 1))
    for g, (begin, end) in enumerate(pairwise(edges)):
        if begin != end:
            found[:, 0, begin:end] = reach[:, g] @ sources.value[:count, begin:end]
            found[:, 1, begin:end] = reach[:, g] @ sources.rate[:count, begin:end]
    value, rate = found[:, 0].reshape(shape), found[:, 1].reshape(shape)
    summed = UP + gamma(count)
    return up(model.value + value * summed), up(model.rate + rate * summed)


def sizes(coefficients: Float64[np.ndarray, "*example order piece"]) -> tuple[Bound, Bound]:
    """The sum of |c_k| over k >= 1, how far the polynomial strays from its middle, and of k |c_k|, for its rate."""
    size = np.abs(coefficients[..., 1:, :])
    weights = np.arange(1.0, size.shape[-2] + 1)[:, None]
    return up(size.sum(-2)), up((weights * size).sum(-2))


def restricted(
    model: Model,
    parent: Int[np.ndarray, " child"],
    begin: Float64[np.ndarray, " child"],
    end: Float64[np.ndarray, " child"],
) -> Model:
    """The model on parts of its pieces: child i is the part of piece `parent[i]` with tau from begin[i] to end[i].

    Where begin and end are multiples of 2^-50 the middle and the half of each part are exact, so that parts that meet
    leave no gap between them.
    """
    middle, half = (begin + end) / 2, (end - begin) / 2
    old = model.coefficients[..., parent]
    order = old.shape[-2]
    stray, rate = sizes(old)
    new = old.copy()
    for last in range(order - 1, 0, -1):  # Horner's scheme for P(middle + s), all coefficients at once
        new[..., last - 1 : order - 1, :] += middle * new[..., last:, :]
    powers = half ** np.arange(order)[:, None]
    # Each coefficient went through at most order + 2 additions and products, all of whose absolute values together are
    # at most what |c| at |middle| + half <= 1 sums to.
    lost = gamma(3 * order + 3)
    off, off_rate = lost * (stray + np.abs(old[..., 0, :])), lost * rate
    direct, known, total = (
        None if pair is None else (up(pair[0][..., parent] + off), up(half * (pair[1][..., parent] + off_rate)))
        for pair in ((model.value, model.rate), model.known, model.gross)
    )
    assert direct is not None
    return Model(new * powers, direct[0], direct[1], model.reach, known, total)


def rearranged(model: Model, change: Callable[[np.ndarray], np.ndarray]) -> Model:
    """The model with the axes of its example changed in all of its arrays alike."""
    return Model(change(model.coefficients), change(model.value), change(model.rate), change(model.reach))


def settled(model: Model, sources: Sources, also: tuple[Bound, Bound] | None = None) -> Model:
    """The model with its bounds computed; `also` are others that hold, of which the lesser count."""
    found = total = _summed(model, sources)
    if also is not None:
        found = (np.minimum(found[0], also[0]), np.minimum(found[1], also[1]))
    return model._replace(known=found, gross=total)


def inherited(sources: Sources, parent: Int[np.ndarray, " child"], half: Float64[np.ndarray, " child"]) -> Sources:
    """The sources of parts of pieces: what was made stays as large; seen along a part, it changes more slowly."""
    rate = up(sources.rate[:, parent] * half)
    return Sources(sources.value[:, parent], rate, sources.group[parent], sources.tracked)

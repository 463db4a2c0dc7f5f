"""Which numbers win the windows of a maximum, on pieces that have been cut where the first place changes hands."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from flyroom.measure.enclosure import affine, kinks
from flyroom.measure.enclosure.models import Model, Sources, spread
from flyroom.measure.enclosure.rounding import gamma, up
from flyroom.nets.graph import Node


class Choice(NamedTuple):
    """For each window and piece the flattened unit that leads, and whether each candidate may win instead.

    `overlap` is how many windows see one unit at most.
    """

    leader: Int[np.ndarray, "window piece"]
    candidates: Sequence[Int[np.ndarray, " window"]]
    contends: Sequence[Bool[np.ndarray, "window piece"]]
    overlap: int


def chosen_rows(node: Node, model: Model, sources: Sources) -> Choice:
    """By the middle of each piece, and proved against every other candidate (`kinks.sides`)."""
    shape, order, pieces = model.value.shape[:-1], *model.coefficients.shape[-2:]
    units = int(np.prod(shape))
    numbers = np.arange(1.0, units + 1).reshape(*shape, 1)
    places = [place.ravel().astype(int) - 1 for place in affine.windows(node, numbers, 0.0)]  # -1 is padding
    values = model.coefficients.reshape(units, order, pieces)
    errors = spread(model, sources)[0].reshape(units, pieces)
    middles = np.stack([np.where(place[:, None] >= 0, values[place, 0], -np.inf) for place in places])
    best = middles.argmax(0)
    leader = np.take_along_axis(np.stack(places)[:, :, None], best[None], 0)[0]
    its, off = (np.take_along_axis(part, index, 0) for part, index in ((values, leader[:, None]), (errors, leader)))
    contends = []
    for place in places:
        other = values[place]
        rounding = gamma(2) * (np.abs(its) + np.abs(other)).sum(1)
        behind = kinks.sides(its - other, up(off + errors[place] + rounding)) > 0
        contends.append((place >= 0)[:, None] & ~behind & (place[:, None] != leader))
    seen = np.bincount(np.concatenate([place[place >= 0] for place in places]), minlength=units)
    return Choice(leader, places, contends, int(seen.max(initial=1)))
